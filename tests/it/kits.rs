//! The kits of three languages, with their real tools: from an empty folder, by way of a tenant's upload, to a request at a
//! receiver. The examples are the golden components of `wit/v1`: built from source here, by every toolchain, as long as that contract is kept.

use hookbox_tests::{
    author::Author,
    operator::Operator,
    receiver::Receiver,
    samples::{ACCOUNT, Message},
    test_host::{TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_rust_module_goes_all_the_way() {
    from_an_empty_folder_to_a_receiver("rust", How::InTwoSteps).await;
}

#[tokio::test]
async fn a_new_javascript_module_goes_all_the_way() {
    from_an_empty_folder_to_a_receiver("js", How::AtOnce).await;
}

#[tokio::test]
async fn a_new_python_module_goes_all_the_way() {
    from_an_empty_folder_to_a_receiver("python", How::InTwoSteps).await;
}

/// How a version becomes the active one.
#[derive(Clone, Copy)]
enum How {
    AtOnce,
    InTwoSteps,
}

async fn from_an_empty_folder_to_a_receiver(language: &str, how: How) {
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
    let host = TestHost::builder().hook(a_hook("hung_up").to(&receiver)).start().await;
    bring(&Operator::of(&author.place, &host, TENANT_KEY), how).await;
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

/// Uploads what was built, and makes it active.
async fn bring(tenant: &Operator<'_>, how: How) {
    let push = ["module", "push", "hung_up/build/hung_up.wasm"];
    let pushed = match how {
        How::AtOnce => tenant.does(&[&push[..], &["--activate"]].concat()).await,
        How::InTwoSteps => tenant.does(&push).await,
    };
    for told in ["module, ", "\npassed ", "\nmay use hookbox:webhook/log"] {
        assert!(format!("\n{pushed}").contains(told), "{told:?} is not told: {pushed}");
    }
    let active = match how {
        How::AtOnce => "hung_up 0.1.0 is kept, and active",
        How::InTwoSteps => "hung_up 0.1.0 is kept; `hookbox module activate` makes it active",
    };
    assert!(pushed.ends_with(active), "{pushed}");
    if let How::InTwoSteps = how {
        let said = tenant.does(&["module", "activate", "hung_up", "0.1.0"]).await;
        assert_eq!(said, "version 0.1.0 of hung_up is active");
    }
}

#[tokio::test]
async fn a_new_transform_builds_and_passes_its_own_test_in_every_language() {
    let author = Author::new();
    for language in ["rust", "js", "python"] {
        author.makes(&format!("to_{language}"), language, &["--transform"]).await;
        let built = author.succeeds(&["build", &format!("to_{language}")]).await;
        assert!(built.contains("world webhook-transform"), "{built}");
        let tested = author.succeeds(&["test", &format!("to_{language}")]).await;
        assert!(tested.ends_with("2 samples, 0 failed\n"), "{tested}");
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
