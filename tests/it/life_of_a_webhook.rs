//! KAZOO's life of a webhook, over HTTP, as its clients live it: list what there is, create with errors and without, fetch,
//! list, edit, change in part, look at attempts after failures, see it disabled, enable it in bulk, delete it. Each answer is
//! compared with the envelope that it should have, whole.

use hookbox_tests::{
    eventually::eventually,
    receiver::Receiver,
    rest::Called,
    samples::{ACCOUNT, sms_received},
    test_host::{TENANT_KEY, TestHost},
};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

/// An envelope without what is another one each time.
fn shown(called: &Called, replaced: &[(&str, &str)]) -> Value {
    let mut text = called.envelope.to_string();
    for (found, word) in replaced {
        text = text.replace(found, word);
    }
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    for key in ["request_id", "node", "timestamp", "version"] {
        let value = envelope[key].take();
        assert!(value.is_string(), "{key} is {value}: {envelope:#}");
        envelope[key] = json!(format!("({key})"));
    }
    envelope
}

/// The keys of what differs with machine and time, by name only.
fn without(mut attempt: Value, keys: &[&str]) -> Value {
    for key in keys {
        let value = attempt[*key].take();
        assert!(!value.is_null(), "{key} is missing: {attempt:#}");
        attempt[*key] = json!(format!("({key})"));
    }
    attempt
}

#[tokio::test]
async fn a_webhook_lives_as_in_kazoo() {
    let receiver = Receiver::start().await.answering([500]);
    let uri = receiver.url("/crm");
    let host = TestHost::builder().setting("webhooks.attempt_failure_count", 3).start().await;
    let hooks = format!("/v2/accounts/{ACCOUNT}/webhooks");
    let call = async |method: &str, path: &str, body: Option<Value>| {
        host.call(method, path, TENANT_KEY, body.map(|data| json!({"data": data}))).await
    };

    // What there is, for everybody.
    let available = host.call("GET", "/v2/webhooks", "", None).await.expect(200);
    let names: Vec<_> = available.data().as_array().unwrap().iter().map(|kind| kind["name"].clone()).collect();
    let expected = [
        "SMS",
        "Object",
        "Notifications Webhook",
        "MMS",
        "Channel Destroy",
        "Channel Create",
        "Channel Bridge",
        "Channel Answer",
        "Call Parking",
    ];
    assert_eq!(names, expected);
    assert_eq!(available.envelope["page_size"], 9);

    // Created with errors: all of them at once; then those of the modifiers.
    let bad = call("PUT", &hooks, Some(json!({"hook": "odd", "uri": "http://10.0.0.1/", "retries": "9"}))).await;
    assert_json_snapshot!("create_with_errors", shown(&bad.expect(400), &[]));
    let no_type = json!({"name": "n", "hook": "object", "uri": uri, "custom_data": {"action": "odd"}});
    let bad = call("PUT", &hooks, Some(no_type)).await;
    assert_json_snapshot!("create_without_modifiers", shown(&bad.expect(400), &[]));

    // Created.
    let document = json!({
        "name": "Texts to our CRM", "hook": "sms", "uri": uri, "http_verb": "post", "format": "json", "retries": "0",
        "custom_data": {"tenant": "north"}, "group": "crm", "colour": "green",
    });
    let made = call("PUT", &hooks, Some(document)).await.expect(201);
    let id = made.data()["id"].as_str().unwrap().to_owned();
    let secret = made.data()["secret"].as_str().unwrap().to_owned();
    assert_eq!((made.header("location"), made.header("etag")), (Some(id.as_str()), Some("\"1\"")));
    let replaced = [(id.as_str(), "(id)"), (uri.as_str(), "(uri)"), (secret.as_str(), "(secret)")];
    assert_json_snapshot!("created", shown(&made, &replaced));
    let hook = format!("{hooks}/{id}");

    // Fetched, listed.
    assert_json_snapshot!("fetched", shown(&call("GET", &hook, None).await.expect(200), &replaced));
    assert_json_snapshot!("listed", shown(&call("GET", &hooks, None).await.expect(200), &replaced));

    // Edited: replaced as a whole, then changed in part; the secret is kept.
    let whole = json!({"name": "Texts", "hook": "sms", "uri": uri, "format": "json", "retries": 0, "group": "crm"});
    assert_json_snapshot!("edited", shown(&call("POST", &hook, Some(whole)).await.expect(200), &replaced));
    let part = json!({"custom_data": {"tenant": "south"}, "group": null});
    assert_json_snapshot!("patched", shown(&call("PATCH", &hook, Some(part)).await.expect(200), &replaced));

    // It fails until it is disabled.
    for text in 0..3 {
        host.publish(sms_received(ACCOUNT).with("Message-ID", format!("m{text}"))).await;
    }
    eventually("the hook to be disabled", async || {
        let fetched = call("GET", &hook, None).await.expect(200);
        if fetched.data()["enabled"] == json!(false) { Ok(()) } else { Err(fetched) }
    })
    .await;
    assert_json_snapshot!("disabled", shown(&call("GET", &hook, None).await.expect(200), &replaced));
    assert_json_snapshot!("disabled_in_the_list", shown(&call("GET", &hooks, None).await.expect(200), &replaced));

    // What happened.
    let attempts = call("GET", &format!("{hook}/attempts"), None).await.expect(200);
    let [first, ..] = attempts.data().as_array().unwrap().as_slice() else { panic!("{:#}", attempts.envelope) };
    assert_eq!(attempts.envelope["page_size"], 3);
    let varying = ["id", "event_id", "timestamp", "duration_ms", "phases", "req_headers", "req_body", "resp_headers"];
    let first: Value = serde_json::from_str(&first.to_string().replace(&id, "(id)").replace(&uri, "(uri)")).unwrap();
    assert_json_snapshot!("attempt", without(first, &varying));
    let all = call("GET", &format!("{hooks}/attempts"), None).await.expect(200);
    assert_eq!(all.data(), attempts.data());

    // Enabled again, in bulk.
    for bad in [json!({}), json!({"re-enable": false})] {
        call("PATCH", &hooks, Some(bad)).await.expect(400);
    }
    let enabled = call("PATCH", &hooks, Some(json!({"re-enable": "true"}))).await.expect(200);
    assert_json_snapshot!("re_enabled", shown(&enabled, &replaced));
    assert_json_snapshot!("as_before", shown(&call("GET", &hook, None).await.expect(200), &replaced));
    receiver.answer_from_now_on([hookbox_tests::receiver::Answer::status(200)]);
    let before = receiver.requests().len();
    host.publish(sms_received(ACCOUNT).with("Message-ID", "m9")).await;
    receiver.expect_requests(before + 1).await;

    // Deleted, once.
    assert_json_snapshot!("deleted", shown(&call("DELETE", &hook, None).await.expect(200), &replaced));
    assert_json_snapshot!("deleted_again", shown(&call("DELETE", &hook, None).await.expect(404), &replaced));
    assert_eq!(call("GET", &hooks, None).await.expect(200).data(), &json!([]));
    host.finish().await;
}
