//! Lists with filters: a page ends when enough was passed over, says where to go on, and nothing is left out.

use hookbox_tests::{
    receiver::Receiver,
    samples::{ACCOUNT, channel_created},
    test_host::{MASTER_KEY, TENANT_KEY, TestHost, a_hook},
};
use serde_json::Value;

/// Hooks or attempts that one page passes over.
const LOOKS_MAX: u64 = 10;

fn ids(data: &Value) -> Vec<String> {
    data.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

/// The ids on all pages of a list, and how many pages there were.
async fn all_pages(host: &TestHost, list: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut start_key) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("/v2/accounts/{ACCOUNT}/{list}&start_key={start_key}");
        let page = host.call("GET", &path, TENANT_KEY, None).await.expect(200);
        found.extend(ids(page.data()));
        pages += 1;
        match page.envelope["next_start_key"].as_str() {
            Some(next) => start_key = next.to_owned(),
            None => return (found, pages),
        }
    }
}

async fn whole(host: &TestHost, list: &str) -> Vec<String> {
    let path = format!("/v2/accounts/{ACCOUNT}/{list}&paginate=false");
    ids(host.call("GET", &path, TENANT_KEY, None).await.expect(200).data())
}

#[tokio::test]
async fn a_page_of_attempts_ends_when_enough_was_passed_over() {
    let receiver = Receiver::start().await.answering([404, 200]);
    let hook = a_hook("channel_create").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).setting("api.list_looks_max", LOOKS_MAX).start().await;
    for _ in 0..25 {
        host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    }
    host.expect_attempts(&id, 25).await;
    // The one that is wanted is the oldest of them.
    let list = "webhooks/attempts?filter_resp_status_code=404";
    let (found, pages) = all_pages(&host, list).await;
    assert_eq!((found.len(), pages), (1, 3));
    assert_eq!(whole(&host, list).await, found, "a whole list has no page to go on with");
    assert_eq!(all_pages(&host, "webhooks/attempts?filter_result=failure").await, (found, 1), "the store finds these");
    host.finish().await;
}

#[tokio::test]
async fn a_page_of_hooks_ends_when_enough_was_passed_over() {
    let receiver = Receiver::start().await;
    let mut host = TestHost::builder().without_broker().setting("api.list_looks_max", LOOKS_MAX);
    let mut wanted = Vec::new();
    for number in 0..25 {
        let hook = a_hook("sms").to(&receiver).with("enabled", number % 12 == 0);
        if number % 12 == 0 {
            wanted.push(hook.id());
        }
        host = host.hook(hook);
    }
    let host = host.start().await;
    wanted.sort();
    let list = "webhooks?page_size=5&filter_enabled=true";
    assert_eq!(all_pages(&host, list).await, (wanted.clone(), 3));
    assert_eq!(whole(&host, list).await, wanted);
    host.finish().await;
}
