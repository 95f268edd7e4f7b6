//! From a message to a fired hook, for every module, on both ways in.

use hookbox::store::AttemptQuery;
use hookbox_tests::{
    eventually::eventually,
    receiver::{Receiver, Request},
    samples::{self, ACCOUNT, Message, callflow_webhook, channel_created, sms_received},
    test_host::{MASTER_KEY, TestHost, a_hook},
};
use reqwest::{Url, header::HeaderMap};
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_on_the_broker_becomes_a_signed_request() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder().hook(hook).start().await;

    host.publish(channel_created(ACCOUNT)).await;

    let request = &receiver.expect_requests(1).await[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("x-hook-id"), Some(id.as_str()));
    assert_eq!(request.header("x-account-id"), Some(ACCOUNT));
    assert_eq!(request.json()["hook_event"], "channel_create");
    assert_eq!(request.json()["cluster_id"], "test-cluster");
    assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
    host.expect_attempts(&id, 1).await;
    host.finish().await;
}

#[tokio::test]
async fn a_message_posted_over_http_is_answered_with_what_came_of_it() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder().without_broker().hook(a_hook("channel_create").to(&receiver)).start().await;
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
    assert_eq!(envelope["data"][0]["firings"], 1);
    receiver.expect_requests(1).await;
    host.finish().await;
}

/// A sample of each of the nine modules, published as the platform publishes it; the receiver gets the payload that the
/// sample's file expects, with the cluster's id after it.
#[tokio::test]
async fn each_of_the_nine_kinds_arrives_with_its_payload() {
    let receiver = Receiver::start().await;
    let kinds: Vec<_> = samples::modules()
        .into_iter()
        .filter(|module| module != "skel")
        .map(|module| samples::of(&module).into_iter().find(has_plain_events).unwrap())
        .collect();
    assert_eq!(kinds.len(), 9);
    let hook = |sample: &samples::Sample| {
        let event = sample.events[0]["hook_event"].as_str().unwrap();
        a_hook(event).to_uri(&receiver.url(&format!("/{}", sample.module)))
    };
    // One of the calls says whose it is by its number alone.
    let number = json!({"_id": "+13125550199", "pvt_type": "number", "pvt_assigned_to": ACCOUNT});
    let builder = TestHost::builder().document(number);
    let host = kinds.iter().map(hook).fold(builder, |builder, hook| builder.hook(hook)).start().await;
    // The platform compresses texts.
    for sample in &kinds {
        let is_text = sample.message.exchange == "im";
        let message = sample.message.clone();
        host.publish(if is_text { message.gzip() } else { message }).await;
    }

    let requests = receiver.expect_requests(9).await;
    for sample in &kinds {
        let path = format!("/{}", sample.module);
        let request = requests.iter().find(|request| request.path() == path).unwrap();
        let mut payload = sample.events[0]["payload"].clone();
        payload["cluster_id"] = "test-cluster".into();
        // As text: the order of keys is KAZOO's too, and so are the two spaces.
        assert_eq!(request.text(), format!("{payload:#}"), "{} {}", sample.module, sample.name);
    }
    host.finish().await;
}

/// Has an event, and one that hooks of the table may want.
fn has_plain_events(sample: &samples::Sample) -> bool {
    sample.events.iter().any(|event| event["inline_hook"].is_null())
}

#[tokio::test]
async fn a_hook_that_travels_in_the_message_is_fired_unsigned() {
    let receiver = Receiver::start().await;
    let bystander = Receiver::start().await;
    let host = TestHost::builder().hook(a_hook("notifications").to(&bystander)).start().await;

    host.publish(callflow_webhook(ACCOUNT, &receiver.url("/inline"))).await;

    let request = &receiver.expect_requests(1).await[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/inline"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("webhook-signature"), None);
    assert!(request.header("webhook-id").is_some());
    let form = decoded(request.text());
    for pair in [("account_id", ACCOUNT), ("k", "v"), ("caller_id_number", "+13125550111"), ("is_recording", "false")] {
        assert!(form.contains(&(pair.0.into(), pair.1.into())), "{pair:?} is not in {form:?}");
    }
    host.finish().await;
    assert!(bystander.requests().is_empty(), "an inline hook is the only one for its event");
}

/// A text whose every value needs some care.
fn a_difficult_text() -> Message {
    sms_received(ACCOUNT).with("Body", "Grüße & 100% = a+b?").with("To", "+1 312")
}

#[tokio::test]
async fn the_three_encodings_say_the_same() {
    let receiver = Receiver::start().await;
    let to = |path: &str| a_hook("sms").to_uri(&receiver.url(path));
    let host = TestHost::builder()
        .hook(to("/get?tag=a%20b").with("http_verb", "get"))
        .hook(to("/form").with("format", "form-data"))
        .hook(to("/form-by-default").without("format").with("http_verb", "PUT"))
        .hook(to("/json").with("http_verb", "put"))
        .start()
        .await;

    host.publish(a_difficult_text()).await;

    let requests = receiver.expect_requests(4).await;
    let at = |path: &str| requests.iter().find(|request| request.path() == path).unwrap();
    let json = at("/json");
    assert_eq!((json.method.as_str(), json.header("content-type")), ("PUT", Some("application/json")));
    assert_eq!(json.json()["body"], "Grüße & 100% = a+b?");
    let pairs: Vec<_> = json
        .json()
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    assert_eq!(pairs.last().unwrap(), &("cluster_id".into(), "test-cluster".into()));

    let form = at("/form");
    assert_eq!(form.method, "POST");
    assert_eq!(form.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(decoded(form.text()), pairs);
    assert_eq!((at("/form-by-default").method.as_str(), at("/form-by-default").text()), ("PUT", form.text()));

    let get = at("/get");
    assert_eq!((get.method.as_str(), get.body.len(), get.header("content-type")), ("GET", 0, None));
    let query = get.query().unwrap();
    assert_eq!(decoded(query.strip_prefix("tag=a%20b&").unwrap()), pairs);

    // What cannot be read out of the request is kept beside it.
    let store = &host.running.store;
    let query = AttemptQuery::newest(ACCOUNT.into(), None, 10);
    let attempts = eventually("the attempts to be recorded", async || {
        let attempts = store.attempts(&query).await.unwrap();
        if attempts.len() == 4 { Ok(attempts) } else { Err(attempts.len()) }
    })
    .await;
    for attempt in attempts {
        let is_json = attempt.document["uri"].as_str().unwrap().ends_with("/json");
        let text = attempt.payload.map(|payload| payload["body"].clone());
        assert_eq!(text, (!is_json).then(|| "Grüße & 100% = a+b?".into()), "{}", attempt.document["uri"]);
    }
    host.finish().await;
}

#[tokio::test]
async fn a_new_users_password_stays_inside_unless_the_operator_sends_it() {
    for (setting, sent) in [(false, false), (true, true)] {
        let receiver = Receiver::start().await;
        let host = TestHost::builder()
            .hook(a_hook("notifications").to(&receiver))
            .setting("kazoo.send_passwords", setting)
            .start()
            .await;
        let new_user = samples::of("notifications").into_iter().find(|sample| sample.name == "new_user").unwrap();
        assert!(new_user.message.json()["Password"].is_string());
        host.publish(new_user.message).await;
        let payload = receiver.expect_requests(1).await[0].json();
        assert_eq!((payload["event_name"] == "new_user", payload["password"].is_string()), (true, sent), "{payload}");
        host.finish().await;
    }
}

#[tokio::test]
async fn custom_data_and_headers_go_along() {
    let receiver = Receiver::start().await;
    let hook = a_hook("sms")
        .to(&receiver)
        .with("custom_data", json!({"crm": "77", "from": "hidden", "type": "sms", "action": "none"}))
        .with("headers", json!({"X-Team": "blue"}));
    let host = TestHost::builder().hook(hook).start().await;
    host.publish(sms_received(ACCOUNT)).await;
    let request = &receiver.expect_requests(1).await[0];
    assert_eq!(request.header("x-team"), Some("blue"));
    let payload = request.json();
    assert_eq!((&payload["crm"], &payload["from"], &payload["type"]), (&json!("77"), &json!("hidden"), &json!("sms")));
    assert_eq!(payload["action"], Value::Null);
    host.finish().await;
}

#[tokio::test]
async fn receivers_can_verify_every_encoding_with_the_standards_library() {
    let receiver = Receiver::start().await;
    let hooks = [
        a_hook("sms").to_uri(&receiver.url("/json")),
        a_hook("sms").to_uri(&receiver.url("/form")).with("format", "form-data"),
        a_hook("sms").to_uri(&receiver.url("/get?tag=a%20b")).with("http_verb", "get"),
    ];
    let host = hooks.iter().cloned().fold(TestHost::builder(), |builder, hook| builder.hook(hook)).start().await;
    host.publish(a_difficult_text()).await;

    for request in receiver.expect_requests(3).await {
        let verifier = host.verifier(request.header("x-hook-id").unwrap()).await;
        let signed = request.query().map_or(request.body.clone(), |query| query.as_bytes().to_vec());
        verifier.verify(&signed, &headers(&request)).unwrap_or_else(|error| panic!("{request}: {error}"));
        let changed = [&signed[..], b" "].concat();
        verifier.verify(&changed, &headers(&request)).expect_err("another body is not what was signed");
        let mut another = headers(&request);
        another.insert("webhook-id", "another".parse().unwrap());
        verifier.verify(&signed, &another).expect_err("another id is not what was signed");
    }
    host.finish().await;
}

#[tokio::test]
async fn a_hook_that_asks_for_ed25519_is_signed_so() {
    let receiver = Receiver::start().await;
    let hook = a_hook("sms").to(&receiver).with("signature", "ed25519");
    let host = TestHost::builder().hook(hook).start().await;
    host.publish(sms_received(ACCOUNT)).await;
    let request = &receiver.expect_requests(1).await[0];
    let signature = request.header("webhook-signature").unwrap();
    // 64 bytes in base64.
    assert!(signature.starts_with("v1a,") && signature.len() == "v1a,".len() + 88, "{signature}");
    host.finish().await;
}

fn headers(request: &Request) -> HeaderMap {
    let pairs = request.headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    pairs.collect()
}

/// A form or a query string, as any decoder of forms reads it.
fn decoded(form: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://receiver/?{form}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
