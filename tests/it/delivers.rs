//! From a message to a fired hook, for every module, on both ways in.

use hookbox_tests::{
    receiver::Receiver,
    samples::{ACCOUNT, channel_created},
    test_host::{MASTER_KEY, TestHost, a_hook},
};

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
