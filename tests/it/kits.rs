//! The kits of three languages, with their real tools: from an empty folder, by way of a tenant's upload, to a request at a
//! receiver. The examples are the golden components of `wit/v1`: built from source here, by every toolchain, as long as that contract is kept.

use hookbox_tests::{
    author::{Author, PATIENT_COMPILER},
    operator::Operator,
    receiver::{Receiver, Request},
    samples::{ACCOUNT, Message},
    test_host::{Builder, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_rust_module_goes_all_the_way() {
    module_from_an_empty_folder_to_a_receiver("rust", How::InTwoSteps).await;
}

#[tokio::test]
async fn a_new_javascript_module_goes_all_the_way() {
    module_from_an_empty_folder_to_a_receiver("js", How::AtOnce).await;
}

#[tokio::test]
async fn a_new_python_module_goes_all_the_way() {
    module_from_an_empty_folder_to_a_receiver("python", How::InTwoSteps).await;
}

#[tokio::test]
async fn a_new_rust_transform_goes_all_the_way() {
    transform_from_an_empty_folder_to_a_receiver("rust", How::AtOnce).await;
}

#[tokio::test]
async fn a_new_javascript_transform_goes_all_the_way() {
    transform_from_an_empty_folder_to_a_receiver("js", How::InTwoSteps).await;
}

#[tokio::test]
async fn a_new_python_transform_goes_all_the_way() {
    transform_from_an_empty_folder_to_a_receiver("python", How::AtOnce).await;
}

/// How a version becomes the active one.
#[derive(Clone, Copy)]
enum How {
    AtOnce,
    InTwoSteps,
}

async fn module_from_an_empty_folder_to_a_receiver(language: &str, how: How) {
    let author = Author::new();
    author.makes("hung_up", language, &[]).await;
    author.succeeds(&["build", "hung_up"]).await;
    let tested = author.succeeds(&["test", "hung_up"]).await;
    assert!(tested.ends_with("3 samples, 0 failed\n"), "{tested}");
    let checked = author.succeeds(&["check", "hung_up"]).await;
    assert!(
        checked.starts_with("hung_up 0.1.0 (Hung up)\nmodule, ") && checked.ends_with("a host takes it\n"),
        "{checked}"
    );

    let receiver = Receiver::start().await;
    let host = patient_host().hook(a_hook("hung_up").to(&receiver)).start().await;
    bring(&Operator::of(&author.place, &host, TENANT_KEY), "module", "hung_up", how).await;
    host.publish(a_call_ends()).await;
    let sent = receiver.expect_requests(1).await.remove(0);
    assert_eq!(payload(&sent), json!({"call_id": "ünï", "hangup_cause": "NORMAL_CLEARING", "duration_s": 61}));
    host.finish().await;
}

fn patient_host() -> Builder {
    PATIENT_COMPILER.iter().fold(TestHost::builder(), |host, (key, _, value)| host.setting(key, *value))
}

async fn transform_from_an_empty_folder_to_a_receiver(language: &str, how: How) {
    let author = Author::new();
    author.makes("try_count", language, &["--transform"]).await;
    let built = author.succeeds(&["build", "try_count"]).await;
    assert!(built.contains("world webhook-transform"), "{built}");
    let tested = author.succeeds(&["test", "try_count"]).await;
    assert!(tested.ends_with("2 samples, 0 failed\n"), "{tested}");
    let checked = author.succeeds(&["check", "try_count"]).await;
    assert!(checked.starts_with("transform, ") && checked.ends_with("a host takes it\n"), "{checked}");
    assert!(checked.contains("\nhanded 2 firings: 2 to be sent, 0 dropped, 0 failed\n"), "{checked}");

    let receiver = Receiver::start().await;
    let (plain, changed) = (a_hook("channel_destroy"), a_hook("channel_destroy"));
    let host = patient_host()
        .hook(plain.to_uri(&receiver.url("/plain")))
        .hook(changed.to_uri(&receiver.url("/changed")).with("transform", json!({"module": "try_count"})))
        .start()
        .await;
    bring(&Operator::of(&author.place, &host, TENANT_KEY), "transform", "try_count", how).await;
    host.publish(a_call_ends()).await;
    let sent = receiver.expect_requests(2).await;
    let to = |path: &str| sent.iter().find(|request| request.path() == path).unwrap();
    assert_eq!(to("/changed").header("x-attempt"), Some("1"));
    assert_eq!(to("/plain").header("x-attempt"), None);
    assert_eq!(payload(to("/changed")), payload(to("/plain")), "it changes a header, and nothing else");
    assert_eq!(payload(to("/changed"))["call_id"], "ünï");
    host.finish().await;
}

fn a_call_ends() -> Message {
    let body = json!({
        "Event-Category": "call_event", "Event-Name": "CHANNEL_DESTROY", "Msg-ID": "m1", "Call-ID": "ünï",
        "Hangup-Cause": "NORMAL_CLEARING", "Duration-Seconds": 61, "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
    });
    Message::new("callevt", "call.CHANNEL_DESTROY.x", &body)
}

/// What was sent, but for what the host writes into everything.
fn payload(request: &Request) -> Value {
    let mut payload: Value = serde_json::from_slice(&request.body).unwrap();
    payload.as_object_mut().unwrap().remove("cluster_id");
    payload
}

/// Uploads what was built, and makes it active.
async fn bring(tenant: &Operator<'_>, kind: &str, name: &str, how: How) {
    let file = format!("{name}/build/{name}.wasm");
    let push = ["module", "push", &file];
    let pushed = match how {
        How::AtOnce => tenant.does(&[&push[..], &["--activate"]].concat()).await,
        How::InTwoSteps => tenant.does(&push).await,
    };
    for told in [&format!("\n{kind}, "), "\npassed ", "\nmay use "] {
        assert!(format!("\n{pushed}").contains(told), "{told:?} is not told: {pushed}");
    }
    let active = match how {
        How::AtOnce => format!("{name} 0.1.0 is kept, and active"),
        How::InTwoSteps => format!("{name} 0.1.0 is kept; `hookbox module activate` makes it active"),
    };
    assert!(pushed.ends_with(&active), "{pushed}");
    if let How::InTwoSteps = how {
        let said = tenant.does(&["module", "activate", name, "0.1.0"]).await;
        assert_eq!(said, format!("version 0.1.0 of {name} is active"));
    }
}

#[tokio::test]
async fn the_examples_build_with_every_toolchain_and_do_what_their_samples_say() {
    let author = Author::new();
    for language in ["rust", "js", "python"] {
        let folder = |name: &str| format!("{}/../sdk/examples/{language}/{name}", env!("CARGO_MANIFEST_DIR"));
        let (missed_call, slack_text) = (folder("missed_call"), folder("slack_text"));
        author.succeeds(&["build", &missed_call]).await;
        let tested = author.succeeds(&["test", &missed_call]).await;
        assert!(tested.ends_with("5 samples, 0 failed\n"), "{tested}");
        author.succeeds(&["build", &slack_text]).await;
        let tested = author.succeeds(&["test", &slack_text]).await;
        assert!(tested.ends_with("3 samples, 0 failed\n"), "{tested}");
    }
}
