//! The log has one line for each attempt, with what somebody looks for, and nothing that only the receiver shall know.

use hookbox_tests::{
    eventually::eventually,
    real_program::{Place, Serving},
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{HookDraft, a_hook},
};
use serde_json::{Value, json};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

async fn serving(hook: &HookDraft, settings: &str) -> (Place, Serving) {
    let place = Place::with_settings(&format!("telemetry.log_format = \"json\"\n{settings}"));
    let documents = json!([{"_id": ACCOUNT, "pvt_type": "account", "name": "acme", "pvt_tree": []}, hook.document()]);
    place.write("kazoo.json", documents.to_string());
    let imported = place.call(&["import", "kazoo", "kazoo.json", "--config", "hookbox.toml"]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    let serving = place.serve().await;
    (place, serving)
}

/// The lines of attempts, once there are so many.
async fn lines(serving: &Serving, count: usize) -> Vec<Value> {
    eventually(&format!("{count} lines of attempts"), async || {
        let stderr = serving.stderr();
        // The last line may be half written.
        let whole = stderr.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
        let lines: Vec<Value> =
            whole.lines().map(read).filter(|line: &Value| line["target"] == "hookbox::attempt").collect();
        if lines.len() >= count { Ok(lines) } else { Err(stderr) }
    })
    .await
}

#[tokio::test]
async fn an_attempt_has_one_line_and_no_secret_in_it() {
    let receiver = Receiver::start().await.answering_in_turn([
        Answer::status(503).body("an answer of theirs"),
        Answer::status(200).body("an answer of theirs"),
    ]);
    let uri = receiver.url("/T0/s3cret-path?token=s3cret-query").replace("http://", "http://user:s3cret-word@");
    let hook = a_hook("channel_create").to_uri(&uri).with("headers", json!({"Authorization": "s3cret-header"}));
    let (_place, serving) = serving(&hook, "").await;
    let mut message = channel_created(ACCOUNT).to_json();
    message["headers"] = json!({"traceparent": PARENT});
    let (status, envelope) = serving.post(ACCOUNT, &json!([message])).await;
    assert_eq!(status, 202, "{envelope}");

    let lines = lines(&serving, 2).await;
    let [first, second] = &lines[..] else { panic!("one line a try: {lines:#?}") };
    let id = receiver.requests()[0].header("webhook-id").unwrap().to_owned();
    for (line, (number, result, status)) in [(first, (1, "failed", 503)), (second, (2, "delivered", 200))] {
        assert_eq!((&line["webhook_id"], &line["hook"]), (&json!(id), &json!(hook.id())));
        assert_eq!((&line["account"], &line["try_number"]), (&json!(ACCOUNT), &json!(number)));
        assert_eq!((&line["result"], &line["status"]), (&json!(result), &json!(status)));
        assert_eq!(line["receiver"], json!(format!("http://{}", receiver.address())));
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(line["duration_ms"].is_u64(), "{line}");
        assert!(line.get("request_body").is_none() && line.get("answer_body").is_none(), "{line}");
    }
    let stderr = serving.stderr();
    for secret in ["s3cret", "answer of theirs", "203.0.113", "ROUTING"] {
        assert!(!stderr.contains(secret), "{secret} is in the log: {stderr}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn bodies_are_logged_when_somebody_asks_for_them() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).body("an answer of theirs"));
    let hook = a_hook("channel_create").to(&receiver);
    let (_place, serving) = serving(&hook, "telemetry.log_body_bytes_max = 9").await;
    let (status, envelope) = serving.post(ACCOUNT, &json!([channel_created(ACCOUNT).to_json()])).await;
    assert_eq!(status, 202, "{envelope}");
    let lines = lines(&serving, 1).await;
    assert_eq!(lines[0]["answer_body"], "an answer");
    let sent = receiver.requests()[0].body.clone();
    assert_eq!(lines[0]["request_body"].as_str().unwrap().as_bytes(), &sent[..9]);
    serving.stop().await;
}
