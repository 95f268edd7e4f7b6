//! What was sent and what came back, over REST: lists, ranges, filters, pages; and whose they are.

use hookbox::clock::{GREGORIAN_OFFSET_S, gregorian_s};
use hookbox_tests::{
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook, now_ms},
};
use serde_json::{Value, json};

fn attempts(query: &str) -> String {
    format!("/v2/accounts/{ACCOUNT}/webhooks/attempts{query}")
}

/// A host with a hook whose receiver answered 200, 404 and 200.
async fn three_attempts() -> (TestHost, Receiver, String) {
    let receiver = Receiver::start().await.answering([200, 404, 200]);
    let hook = a_hook("channel_create").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).start().await;
    for _ in 0..3 {
        host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    }
    host.expect_attempts(&id, 3).await;
    (host, receiver, id)
}

fn ids(data: &Value) -> Vec<String> {
    data.as_array().unwrap().iter().map(|attempt| attempt["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn attempts_are_listed_newest_first_in_pages_and_shown_one_by_one() {
    let (host, _receiver, hook) = three_attempts().await;
    let all = host.call("GET", &attempts(""), TENANT_KEY, None).await.expect(200);
    assert_eq!(all.envelope["page_size"], 3);
    let results: Vec<_> = all.data().as_array().unwrap().iter().map(|attempt| attempt["result"].clone()).collect();
    assert_eq!(results, ["success", "failure", "success"]);
    let newest = &all.data()[0];
    assert_eq!(
        (&newest["hook_id"], &newest["resp_status_code"], &newest["try"]),
        (&json!(hook), &json!("200"), &json!(1))
    );
    assert!(newest["timestamp"].as_u64().unwrap() >= gregorian_s(now_ms()) - 60);

    for path in [attempts("?page_size=2"), format!("/v2/accounts/{ACCOUNT}/webhooks/{hook}/attempts?page_size=2")] {
        let first = host.call("GET", &path, TENANT_KEY, None).await.expect(200);
        assert_eq!(ids(first.data()), ids(all.data())[..2]);
        let next = first.envelope["next_start_key"].as_str().unwrap();
        let second = host.call("GET", &format!("{path}&start_key={next}"), TENANT_KEY, None).await.expect(200);
        assert_eq!(ids(second.data()), ids(all.data())[2..]);
        assert!(second.envelope["next_start_key"].is_null());
    }
    for id in ids(all.data()) {
        let one = host.call("GET", &attempts(&format!("/{id}")), TENANT_KEY, None).await.expect(200);
        assert_eq!(one.data()["id"], id);
    }
    host.finish().await;
}

#[tokio::test]
async fn filters_choose_among_attempts() {
    let (host, _receiver, _) = three_attempts().await;
    for (query, count) in [
        ("?filter_result=failure", 1),
        ("?filter_result=success", 2),
        ("?filter_resp_status_code=404", 1),
        ("?filter_hook_event=sms", 0),
        ("?filter_not_result=success&has_key=reason", 1),
    ] {
        let listed = host.call("GET", &attempts(query), TENANT_KEY, None).await.expect(200);
        assert_eq!(listed.data().as_array().unwrap().len(), count, "{query}");
    }
    host.finish().await;
}

#[tokio::test]
async fn a_range_has_kazoos_rules_and_words() {
    let (host, _receiver, _) = three_attempts().await;
    let now = gregorian_s(now_ms());
    let in_range = [
        (String::new(), 3),
        (format!("?created_from={}&created_to={}", now - 100, now + 100), 3),
        (format!("?created_to={}", now - 1000), 0),
        (format!("?created_from={}&created_to={}", now + 100, now + 200), 0),
        (
            format!("?created_from=1&created_to={GREGORIAN_OFFSET_S}")
                .replace("=1&", &format!("={}&", GREGORIAN_OFFSET_S - 5)),
            0,
        ),
    ];
    for (query, count) in in_range {
        let listed = host.call("GET", &attempts(&query), TENANT_KEY, None).await.expect(200);
        assert_eq!(listed.data().as_array().unwrap().len(), count, "{query}");
    }
    let (from, to) = (now - 2_682_001, now);
    let refused = [
        (
            format!("?created_from={from}&created_to={to}"),
            format!("created_to {to} is more than 2682000 seconds from created_from {from}"),
            to,
        ),
        (
            format!("?created_from={to}&created_to={from}"),
            format!("created_to {from} is prior to created_from {to}"),
            to,
        ),
    ];
    for (query, message, cause) in refused {
        let refused = host.call("GET", &attempts(&query), TENANT_KEY, None).await.expect(400);
        assert_eq!(refused.envelope["message"], "validation error");
        let expected = json!({"created_from": {"date_range": {"message": message, "cause": cause}}});
        assert_eq!(refused.data(), &expected, "{query}");
    }
    for query in ["?created_from=x", "?created_to=-1", "?created_from=1e3", "?created_to=99999999999999999999"] {
        let refused = host.call("GET", &attempts(query), TENANT_KEY, None).await.expect(400);
        assert!(refused.data().to_string().contains("integer"), "{query}: {}", refused.envelope);
    }
    host.finish().await;
}

#[tokio::test]
async fn bad_pages_and_made_up_ids_are_refused() {
    let (host, _receiver, hook) = three_attempts().await;
    for (path, status) in [
        (attempts("?start_key=odd"), 400),
        (attempts("?start_key=W10"), 400),
        (attempts("?page_size=0"), 404),
        (attempts("?page_size=many"), 404),
        (attempts("/00000000000000000000000000000000"), 404),
        (attempts("/%00"), 404),
        (format!("/v2/accounts/{ACCOUNT}/webhooks/none/attempts"), 404),
        (format!("/v2/accounts/{SIBLING}/webhooks/attempts"), 403),
    ] {
        host.call("GET", &path, TENANT_KEY, None).await.expect(status);
    }
    host.call("GET", &attempts(""), "", None).await.expect(401);
    // Who may see both accounts does not find the one's in the other.
    let own = host.call("GET", &attempts(""), TENANT_KEY, None).await.expect(200);
    let attempt = own.data()[0]["id"].as_str().unwrap().to_owned();
    for path in [format!("{hook}/attempts"), format!("attempts/{attempt}")] {
        let found = host.call("GET", &format!("/v2/accounts/{SIBLING}/webhooks/{path}"), MASTER_KEY, None).await;
        assert_eq!(found.expect(404).envelope["message"], "bad_identifier");
    }
    let siblings = host.call("GET", &format!("/v2/accounts/{SIBLING}/webhooks/attempts"), MASTER_KEY, None).await;
    assert_eq!(siblings.expect(200).data(), &json!([]));
    host.finish().await;
}

#[tokio::test]
async fn the_attempts_of_a_deleted_hook_stay_listed() {
    let (host, _receiver, hook) = three_attempts().await;
    host.call("DELETE", &format!("/v2/accounts/{ACCOUNT}/webhooks/{hook}"), TENANT_KEY, None).await.expect(200);
    for path in ["attempts".to_owned(), format!("{hook}/attempts")] {
        let listed = host.call("GET", &format!("/v2/accounts/{ACCOUNT}/webhooks/{path}"), TENANT_KEY, None).await;
        assert_eq!(listed.expect(200).data().as_array().unwrap().len(), 3, "{path}");
    }
    host.finish().await;
}

#[tokio::test]
async fn a_page_of_long_attempts_ends_at_its_bytes() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).body("x".repeat(60_000)));
    let hook = a_hook("channel_create").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).setting("api.list_bytes_max", 1_048_576).start().await;
    for _ in 0..20 {
        host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    }
    host.expect_attempts(&id, 20).await;
    let (mut found, mut pages, mut start_key) = (Vec::new(), 0, String::new());
    loop {
        let page = host.call("GET", &attempts(&format!("?start_key={start_key}")), TENANT_KEY, None).await.expect(200);
        found.extend(ids(page.data()));
        pages += 1;
        match page.envelope["next_start_key"].as_str() {
            Some(next) => start_key = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((found.len(), pages), (20, 2));
    let whole = host.call("GET", &attempts("?paginate=false"), TENANT_KEY, None).await.expect(416);
    assert!(whole.data().to_string().contains("api.list_bytes_max"), "{}", whole.envelope);
    host.finish().await;
}
