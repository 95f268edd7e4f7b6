//! The kits of three languages, with their real tools: from an empty folder to a request at a receiver. The examples are
//! the golden components of `wit/v1`: built from source here, by every toolchain, as long as that contract is kept.

use hookbox_tests::{
    author::Author,
    receiver::Receiver,
    samples::{ACCOUNT, Message},
    test_host::{TestHost, a_hook},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_rust_module_goes_all_the_way() {
    from_an_empty_folder_to_a_receiver("rust").await;
}

#[tokio::test]
async fn a_new_javascript_module_goes_all_the_way() {
    from_an_empty_folder_to_a_receiver("js").await;
}

#[tokio::test]
async fn a_new_python_module_goes_all_the_way() {
    from_an_empty_folder_to_a_receiver("python").await;
}

async fn from_an_empty_folder_to_a_receiver(language: &str) {
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
    let host = TestHost::builder()
        .module("hung_up", author.component("hung_up"))
        .hook(a_hook("hung_up").to(&receiver))
        .start()
        .await;
    let body = json!({
        "Event-Category": "call_event", "Event-Name": "CHANNEL_DESTROY", "Msg-ID": "m1", "Call-ID": "ünï",
        "Hangup-Cause": "NORMAL_CLEARING", "Duration-Seconds": 61, "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
    });
    host.publish(Message::new("callevt", "call.CHANNEL_DESTROY.x", &body)).await;
    let requests = receiver.expect_requests(1).await;
    let mut sent: Value = serde_json::from_slice(&requests[0].body).unwrap();
    sent.as_object_mut().unwrap().remove("cluster_id");
    assert_eq!(sent, json!({"call_id": "ünï", "hangup_cause": "NORMAL_CLEARING", "duration_s": 61}));
    host.finish().await;
}

#[tokio::test]
async fn a_new_transform_builds_in_every_language() {
    let author = Author::new();
    for language in ["rust", "js", "python"] {
        author.makes(&format!("to_{language}"), language, &["--transform"]).await;
        let built = author.succeeds(&["build", &format!("to_{language}")]).await;
        assert!(built.contains("world webhook-transform"), "{built}");
        assert!(exports(&author.component(&format!("to_{language}"))).contains(&"transform".to_owned()));
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
        let component = std::fs::read(format!("{slack_text}/build/slack_text.wasm")).unwrap();
        assert!(exports(&component).contains(&"transform".to_owned()));
    }
}

/// The names that a component exports at its root.
fn exports(component: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) if depth > 0 => depth -= 1,
            wasmparser::Payload::ComponentExportSection(section) if depth == 0 => {
                names.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    names
}
