//! Accounts over REST: made, read, changed, moved and deleted with all that is below; and who may do it.

use std::collections::BTreeMap;

use hookbox::store::Notice;
use hookbox_tests::{
    rest::send,
    samples::{ACCOUNT, channel_created},
    test_host::{MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

async fn a_host() -> TestHost {
    TestHost::builder().without_broker().start().await
}

/// Makes an account with this id; gives its key.
async fn made(host: &TestHost, parent: &str, id: &str) -> String {
    let body = json!({"data": {"name": format!("account {id}"), "id": id}});
    let made = host.call("PUT", &format!("/v2/accounts/{parent}"), MASTER_KEY, Some(body)).await.expect(201);
    made.data()["api_key"].as_str().unwrap().to_owned()
}

/// What an account shows of itself.
async fn shown(host: &TestHost, id: &str) -> Value {
    host.call("GET", &format!("/v2/accounts/{id}"), MASTER_KEY, None).await.expect(200).data().clone()
}

/// What waits to be told of accounts: how often each action, by account.
async fn told(host: &TestHost) -> BTreeMap<(String, String), usize> {
    let notices: Vec<Notice> = host.running.store.notices(1000).await.unwrap();
    let mut told = BTreeMap::new();
    for notice in notices.iter().filter(|notice| notice.body["Type"] == "account") {
        let word = |key: &str| notice.body[key].as_str().unwrap().to_owned();
        *told.entry((word("Account-ID"), word("Event-Name"))).or_default() += 1;
    }
    told
}

#[tokio::test]
async fn an_account_is_made_and_its_key_opens_it() {
    let host = a_host().await;
    let body = json!({"data": {"name": "Acme", "realm": "SIP.Acme.Example", "note": {"a": 1}, "is_reseller": true}});
    let made = host.call("PUT", &format!("/v2/accounts/{ACCOUNT}"), TENANT_KEY, Some(body)).await.expect(201);
    let id = made.data()["id"].as_str().unwrap();
    assert_eq!((id.len(), made.header("location")), (32, Some(id)));
    assert_eq!(made.header("etag"), Some("\"1\""));
    let key = made.data()["api_key"].as_str().unwrap();

    let read = host.call("GET", &format!("/v2/accounts/{id}"), key, None).await.expect(200);
    let expected = json!({
        "name": "Acme", "realm": "sip.acme.example", "note": {"a": 1}, "id": id, "is_reseller": false, "reseller_id": RESELLER,
    });
    assert_eq!(*read.data(), expected);
    assert_eq!(read.envelope["revision"], "1");
    assert_eq!(told(&host).await, BTreeMap::from([((id.to_owned(), "doc_created".to_owned()), 2)]));
    // At once, on this node: its own hooks are fired by its own messages.
    assert_eq!(host.post(id, key, &channel_created(id)).await.0, 202);
    // Nothing above it, nor beside it.
    for other in [ACCOUNT, RESELLER, SIBLING, MASTER] {
        host.call("GET", &format!("/v2/accounts/{other}"), key, None).await.expect(403);
    }
    host.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_new_account_is_said() {
    let host = a_host().await;
    made(&host, ACCOUNT, "taken").await;
    let first = json!({"data": {"name": "first", "realm": "first.example"}});
    host.call("PUT", &format!("/v2/accounts/{ACCOUNT}"), MASTER_KEY, Some(first)).await.expect(201);
    for (data, status, pointer) in [
        (json!({}), 400, "/data/name/required"),
        (json!({"name": ""}), 400, "/data/name/minLength"),
        (json!({"name": ["a"]}), 400, "/data/name/type"),
        (json!({"name": "a", "id": "UPPER"}), 400, "/data/id/wrong_format"),
        (json!({"name": "a", "id": "../etc"}), 400, "/data/id/wrong_format"),
        (json!({"name": "a", "id": 7}), 400, "/data/id/type"),
        (json!({"name": "a", "realm": "no realm"}), 400, "/data/realm/wrong_format"),
        (json!({"name": "a", "realm": "FIRST.example"}), 400, "/data/realm/unique"),
        (json!({"name": "a", "id": "taken"}), 409, "/data/message"),
        (json!({"name": "a", "note": "n".repeat(70_000)}), 400, "/data/data/maxLength"),
    ] {
        let body = json!({"data": data});
        let refused = host.call("PUT", &format!("/v2/accounts/{ACCOUNT}"), TENANT_KEY, Some(body)).await.expect(status);
        assert!(refused.envelope.pointer(pointer).is_some(), "{pointer}: {}", refused.envelope);
    }
    for (body, pointer) in
        [("{\"data\": ", "/data/json/invalid"), ("{}", "/data/data/required"), ("{\"data\": []}", "/data/data/type")]
    {
        let request = host.request("PUT", &format!("/v2/accounts/{ACCOUNT}")).header("x-auth-token", TENANT_KEY);
        let refused = send(request.body(body)).await.expect(400);
        assert!(refused.envelope.pointer(pointer).is_some(), "{pointer}: {}", refused.envelope);
    }
    host.finish().await;
}

#[tokio::test]
async fn only_who_may_see_an_account_learns_whether_there_is_one() {
    let host = a_host().await;
    for id in [SIBLING, RESELLER, "nobody", "..%2F..%2Fetc", "UPPER"] {
        host.call("GET", &format!("/v2/accounts/{id}"), TENANT_KEY, None).await.expect(403);
    }
    for id in ["nobody", "..%2F..%2Fetc", "UPPER", "%00"] {
        let refused = host.call("GET", &format!("/v2/accounts/{id}"), MASTER_KEY, None).await.expect(404);
        assert_eq!(refused.envelope["message"], "bad identifier");
    }
    host.call("GET", &format!("/v2/accounts/{ACCOUNT}"), "", None).await.expect(401);
    host.finish().await;
}

#[tokio::test]
async fn a_document_is_replaced_and_changed_at_its_revision() {
    let host = a_host().await;
    let path = format!("/v2/accounts/{ACCOUNT}");
    let replaced = json!({"data": {"name": "Acme", "language": "de-de", "realm": "a.example"}});
    let replaced = host.call("POST", &path, TENANT_KEY, Some(replaced)).await.expect(200);
    let revision = replaced.envelope["revision"].as_str().unwrap().to_owned();
    let changed = json!({"data": {"language": null, "note": 7}});
    let request = |revision: &str, body: &Value| {
        let request = host.request("PATCH", &path).header("x-auth-token", TENANT_KEY).header("if-match", revision);
        send(request.body(body.to_string()))
    };
    let patched = request(&format!("\"{revision}\""), &changed).await.expect(200);
    assert_eq!((&patched.data()["note"], patched.data().get("language")), (&json!(7), None));
    assert_eq!(patched.data()["realm"], "a.example");
    let stale = request(&format!("\"{revision}\""), &json!({"data": {"note": 8}})).await.expect(412);
    assert_eq!(stale.data()["revision"], patched.envelope["revision"]);
    assert_eq!(shown(&host, ACCOUNT).await["note"], 7);

    for (data, pointer) in [
        (json!({"name": null}), "/data/name/required"),
        (json!({"name": 5}), "/data/name/type"),
        (json!({"realm": "x/y"}), "/data/realm/wrong_format"),
    ] {
        let refused = host.call("PATCH", &path, TENANT_KEY, Some(json!({"data": data}))).await.expect(400);
        assert!(refused.envelope.pointer(pointer).is_some(), "{}", refused.envelope);
    }
    // An answer can be sent back as it came.
    let same = json!({"data": shown(&host, ACCOUNT).await});
    let same = host.call("POST", &path, TENANT_KEY, Some(same)).await.expect(200);
    assert_eq!(same.envelope["revision"], patched.envelope["revision"], "nothing has changed");
    host.finish().await;
}

#[tokio::test]
async fn an_account_goes_with_all_that_is_below_it() {
    let hook = a_hook("channel_create").to_uri("http://127.0.0.1:9/").of(ACCOUNT);
    let hook_id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).start().await;
    let child = made(&host, ACCOUNT, "child").await;
    let grandchild = made(&host, "child", "grandchild").await;
    let path = format!("/v2/accounts/{ACCOUNT}");
    host.call("DELETE", &path, TENANT_KEY, None).await.expect(403);
    host.call("DELETE", &format!("/v2/accounts/{MASTER}"), MASTER_KEY, None).await.expect(403);
    let stale = host.request("DELETE", &path).header("x-auth-token", MASTER_KEY).header("if-match", "\"77\"");
    send(stale).await.expect(412);

    let gone = host.call("DELETE", &path, MASTER_KEY, None).await.expect(200);
    assert_eq!((&gone.data()["id"], &gone.data()["_read_only"]["deleted"]), (&json!(ACCOUNT), &json!(true)));
    for key in [TENANT_KEY, &child, &grandchild] {
        host.call("GET", &path, key, None).await.expect(401);
    }
    for id in [ACCOUNT, "child", "grandchild"] {
        host.call("GET", &format!("/v2/accounts/{id}"), MASTER_KEY, None).await.expect(404);
        assert_eq!(told(&host).await[&(id.to_owned(), "doc_deleted".to_owned())], 2);
    }
    host.call("DELETE", &path, MASTER_KEY, None).await.expect(404);
    assert!(host.running.store.hook(&hook_id.as_str().into()).await.unwrap().is_none());
    assert!(host.running.hooks.get(&ACCOUNT.into(), &hook_id.as_str().into()).is_none());
    assert!(host.running.store.keys(&"child".into()).await.unwrap().is_empty());
    // The id is free again, and nothing of the old one comes back.
    made(&host, RESELLER, ACCOUNT).await;
    host.call("GET", &path, TENANT_KEY, None).await.expect(401);
    assert!(host.running.hooks.get(&ACCOUNT.into(), &hook_id.as_str().into()).is_none());
    host.finish().await;
}

#[tokio::test]
async fn an_id_whose_attempts_are_kept_is_the_operators_to_give() {
    let hook = a_hook("channel_create").to_uri("http://127.0.0.1:9/").with("retry_schedule_s", Vec::<u32>::new());
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).start().await;
    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    host.expect_attempts(&id, 1).await;
    let reseller =
        host.call("PUT", &format!("/v2/accounts/{RESELLER}/keys"), MASTER_KEY, Some(json!({"data": {}}))).await;
    let reseller = reseller.expect(201).data()["api_key"].as_str().unwrap().to_owned();
    host.call("DELETE", &format!("/v2/accounts/{ACCOUNT}"), MASTER_KEY, None).await.expect(200);

    let body = json!({"data": {"name": "heir", "id": ACCOUNT}});
    host.call("PUT", &format!("/v2/accounts/{RESELLER}"), &reseller, Some(body.clone())).await.expect(409);
    host.call("PUT", &format!("/v2/accounts/{RESELLER}"), MASTER_KEY, Some(body)).await.expect(201);
    host.finish().await;
}

#[tokio::test]
async fn a_subtree_moves_and_finds_its_resellers() {
    let host = a_host().await;
    made(&host, ACCOUNT, "child").await;
    let key = made(&host, "child", "grandchild").await;
    let mover = format!("/v2/accounts/{ACCOUNT}/move");
    let to = |id: &str| Some(json!({"data": {"to": id}}));
    host.call("POST", &mover, TENANT_KEY, to(SIBLING)).await.expect(403);
    for (body, pointer) in [
        (json!({}), "/data/to/required"),
        (json!({"to": 1}), "/data/to/type"),
        (json!({"to": "nobody"}), "/data/to/not_found"),
        (json!({"to": ACCOUNT}), "/data/to/invalid"),
        (json!({"to": "grandchild"}), "/data/to/invalid"),
    ] {
        let refused = host.call("POST", &mover, MASTER_KEY, Some(json!({"data": body}))).await.expect(400);
        assert!(refused.envelope.pointer(pointer).is_some(), "{pointer}: {}", refused.envelope);
    }
    host.call("POST", &format!("/v2/accounts/{MASTER}/move"), MASTER_KEY, to(ACCOUNT)).await.expect(409);

    host.call("PUT", &format!("/v2/accounts/{SIBLING}/reseller"), MASTER_KEY, None).await.expect(200);
    let moved = host.call("POST", &mover, MASTER_KEY, to(SIBLING)).await.expect(200);
    assert_eq!(moved.data()["reseller_id"], SIBLING);
    assert_eq!(shown(&host, "grandchild").await["reseller_id"], SIBLING);
    let accounts = [ACCOUNT, "child", "grandchild"].map(|id| (id.to_owned(), "doc_edited".to_owned()));
    let told = told(&host).await;
    assert!(accounts.iter().all(|account| told.get(account) == Some(&2)), "{told:?}");
    // This node knows it at once.
    let sibling =
        host.call("PUT", &format!("/v2/accounts/{SIBLING}/keys"), MASTER_KEY, Some(json!({"data": {}}))).await;
    let sibling = sibling.expect(201).data()["api_key"].as_str().unwrap().to_owned();
    let seen = host.call("GET", "/v2/accounts/grandchild/parents", &sibling, None).await.expect(200);
    let ids: Vec<_> = seen.data().as_array().unwrap().iter().map(|parent| parent["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [SIBLING, ACCOUNT, "child"], "from the caller down");
    let own = host.call("GET", "/v2/accounts/grandchild/parents", &key, None).await.expect(200);
    assert_eq!(*own.data(), json!([]));
    // Again, to where it is: nothing changes.
    let again = host.call("POST", &mover, MASTER_KEY, to(SIBLING)).await.expect(200);
    assert_eq!(again.envelope["revision"], moved.envelope["revision"]);
    host.finish().await;
}

#[tokio::test]
async fn resellers_come_and_go() {
    let host = a_host().await;
    made(&host, ACCOUNT, "child").await;
    made(&host, "child", "grandchild").await;
    let path = format!("/v2/accounts/{ACCOUNT}/reseller");
    host.call("PUT", &path, TENANT_KEY, None).await.expect(403);
    assert_eq!(shown(&host, "grandchild").await["reseller_id"], RESELLER);

    let promoted = host.call("PUT", &path, MASTER_KEY, None).await.expect(200);
    assert_eq!(promoted.data()["is_reseller"], true);
    assert_eq!(shown(&host, "grandchild").await["reseller_id"], ACCOUNT);
    made(&host, "child", "late").await;
    assert_eq!(shown(&host, "late").await["reseller_id"], ACCOUNT);

    let demoted = host.call("DELETE", &path, MASTER_KEY, None).await.expect(200);
    assert_eq!(demoted.data()["is_reseller"], false);
    for id in [ACCOUNT, "child", "grandchild", "late"] {
        assert_eq!(shown(&host, id).await["reseller_id"], RESELLER, "{id}");
    }
    host.call("DELETE", &format!("/v2/accounts/{MASTER}/reseller"), MASTER_KEY, None).await.expect(409);
    host.finish().await;
}

#[tokio::test]
async fn the_tree_is_listed_in_pages() {
    let host = a_host().await;
    for id in ["c1", "c2", "c3"] {
        made(&host, ACCOUNT, id).await;
    }
    made(&host, "c1", "d1").await;
    let list = async |path: &str| host.call("GET", &format!("/v2/accounts/{ACCOUNT}/{path}"), TENANT_KEY, None).await;
    let ids = |envelope: &Value| -> Vec<String> {
        envelope["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = list("children?page_size=2").await.expect(200);
    assert_eq!((ids(&first.envelope), &first.envelope["page_size"]), (vec!["c1".into(), "c2".into()], &json!(2)));
    let next = first.envelope["next_start_key"].as_str().unwrap();
    let second = list(&format!("children?page_size=2&start_key={next}")).await.expect(200);
    assert_eq!((ids(&second.envelope), second.envelope.get("next_start_key")), (vec!["c3".into()], None));
    let all = list("descendants?paginate=false").await.expect(200);
    assert_eq!(ids(&all.envelope), ["c1", "c2", "c3", "d1"]);
    assert_eq!(all.data()[3]["tree"], json!([ACCOUNT, "c1"]), "nothing above the caller is shown");
    let found = list("descendants?filter_name=account%20d1").await.expect(200);
    assert_eq!(ids(&found.envelope), ["d1"]);
    let made_up = list("children?start_key=made-up").await.expect(400);
    assert!(made_up.data()["start_key"]["invalid"].is_object());
    list("children?page_size=0").await.expect(404);
    host.finish().await;
}

#[tokio::test]
async fn the_tree_has_a_bound() {
    let host = TestHost::builder().without_broker().setting("api.tree_depth_max", 4).start().await;
    made(&host, ACCOUNT, "child").await;
    let body = json!({"data": {"name": "too deep"}});
    host.call("PUT", "/v2/accounts/child", MASTER_KEY, Some(body)).await.expect(409);
    made(&host, SIBLING, "other").await;
    let into = Some(json!({"data": {"to": "other"}}));
    host.call("POST", "/v2/accounts/child/move", MASTER_KEY, into).await.expect(409);
    host.finish().await;
}
