//! Bulk resends: everything of a time, once, without getting into live traffic's way, and through restarts.

use hookbox::{clock::Clock, store::AttemptQuery};
use hookbox_tests::{
    eventually::eventually,
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

fn jobs(rest: &str) -> String {
    format!("/v2/accounts/{ACCOUNT}/webhooks/resend_jobs{rest}")
}

/// Small pages, so that a job has several.
fn paged(hooks: &[HookDraft]) -> Builder {
    let builder = TestHost::builder()
        .without_broker()
        .setting("webhooks.disable_disabler", true)
        .setting("firing.claim_poll_ms", 50)
        .setting("firing.resend_page_rows", 3);
    hooks.iter().fold(builder, |builder, hook| builder.hook(hook.clone()))
}

async fn post(host: &TestHost, count: usize) {
    for _ in 0..count {
        let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
        assert_eq!(status, 202, "{envelope}");
    }
}

async fn begin(host: &TestHost, data: Value) -> String {
    let begun = host.call("PUT", &jobs(""), TENANT_KEY, Some(json!({"data": data}))).await.expect(201);
    let id = begun.data()["id"].as_str().unwrap().to_owned();
    assert_eq!((begun.header("location"), &begun.data()["state"]), (Some(id.as_str()), &json!("running")));
    id
}

async fn job(host: &TestHost, id: &str) -> Value {
    host.call("GET", &jobs(&format!("/{id}")), TENANT_KEY, None).await.expect(200).data().clone()
}

async fn expect_state(host: &TestHost, id: &str, state: &str) -> Value {
    eventually("the job's state", async || {
        let job = job(host, id).await;
        if job["state"] == state { Ok(job) } else { Err(job) }
    })
    .await
}

async fn expect_at_least(receiver: &Receiver, count: usize) {
    eventually("requests", async || match receiver.requests().len() {
        found if found >= count => Ok(()),
        found => Err(found),
    })
    .await;
}

/// How often each `webhook-id` arrived, sorted.
fn arrivals(receiver: &Receiver) -> Vec<usize> {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for request in receiver.requests() {
        *counts.entry(request.header("webhook-id").unwrap().to_owned()).or_default() += 1;
    }
    counts.into_values().collect()
}

#[tokio::test]
async fn undelivered_firings_of_all_hooks_are_sent_again_and_those_of_disabled_ones_skipped() {
    let (receiver, other) = (Receiver::start().await.answering([404]), Receiver::start().await.answering([404]));
    let (hook, off) = (a_hook("channel_create").to(&receiver), a_hook("channel_create").to(&other));
    let host = paged(&[hook.clone(), off.clone()]).start().await;
    post(&host, 7).await;
    host.expect_attempts(&hook.id(), 7).await;
    host.expect_attempts(&off.id(), 7).await;
    let off_path = format!("/v2/accounts/{ACCOUNT}/webhooks/{}", off.id());
    host.call("PATCH", &off_path, TENANT_KEY, Some(json!({"data": {"enabled": false}}))).await.expect(200);
    receiver.answer_from_now_on([Answer::status(200)]);

    let id = begin(&host, json!({})).await;

    let done = expect_state(&host, &id, "done").await;
    assert_eq!((&done["resent"], &done["skipped"], &done["outcome"]), (&json!(7), &json!(7), &json!("undelivered")));
    receiver.expect_requests(14).await;
    host.expect_no_waiting().await;
    assert_eq!(arrivals(&receiver), [2; 7]);
    assert_eq!(other.requests().len(), 7);
    let counts = host.running.store.firing_counts(Some(&off.id().into())).await.unwrap();
    assert_eq!(counts.undelivered, 7, "what was skipped stays listed");
    host.finish().await;
}

#[tokio::test]
async fn what_was_delivered_is_sent_again_once_each() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver).with("format", "form-data");
    let host = paged(std::slice::from_ref(&hook)).start().await;
    post(&host, 5).await;
    // Two of them were sent again already, so they have two attempts each; and a test is no event.
    for attempt in &host.expect_attempts(&hook.id(), 5).await[..2] {
        let path = format!("/v2/accounts/{ACCOUNT}/webhooks/attempts/{}/resend", attempt["id"].as_str().unwrap());
        host.call("POST", &path, TENANT_KEY, None).await.expect(202);
    }
    host.expect_attempts(&hook.id(), 7).await;
    let test = format!("/v2/accounts/{ACCOUNT}/webhooks/{}/test", hook.id());
    host.call("POST", &test, TENANT_KEY, None).await.expect(200);

    let id = begin(&host, json!({"outcome": "delivered", "hook_id": hook.id()})).await;

    let done = expect_state(&host, &id, "done").await;
    assert_eq!((&done["resent"], &done["skipped"], &done["hook_id"]), (&json!(5), &json!(0), &json!(hook.id())));
    receiver.expect_requests(13).await;
    host.expect_no_waiting().await;
    let mut counts = arrivals(&receiver);
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 2, 2, 3, 3]);
    host.finish().await;
}

#[tokio::test]
async fn all_is_what_was_delivered_and_what_was_not() {
    let receiver = Receiver::start().await.answering([200, 404, 200, 404, 200]);
    let hook = a_hook("channel_create").to(&receiver);
    let host = paged(std::slice::from_ref(&hook)).start().await;
    post(&host, 5).await;
    host.expect_attempts(&hook.id(), 5).await;
    let id = begin(&host, json!({"outcome": "all"})).await;
    assert_eq!(expect_state(&host, &id, "done").await["resent"], 5);
    receiver.expect_requests(10).await;
    host.expect_no_waiting().await;
    assert_eq!(arrivals(&receiver), [2; 5]);
    host.finish().await;
}

#[tokio::test]
async fn a_job_takes_only_its_time() {
    let (clock, receiver) = (Clock::manual(1_800_000_000_000), Receiver::start().await);
    let hook = a_hook("channel_create").to(&receiver);
    let host = paged(std::slice::from_ref(&hook)).clock(clock.clone()).start().await;
    for _ in 0..3 {
        post(&host, 1).await;
        clock.advance(10_000);
    }
    let attempts = host.expect_attempts(&hook.id(), 3).await;
    let middle = &attempts[1]["timestamp"];
    let id = begin(&host, json!({"outcome": "delivered", "created_from": middle, "created_to": middle})).await;
    assert_eq!(expect_state(&host, &id, "done").await["resent"], 1);
    let requests = receiver.expect_requests(4).await;
    assert_eq!(requests[3].header("webhook-id"), attempts[1]["event_id"].as_str());
    host.finish().await;
}

/// Firings wait for a receiver that cannot be reached, so a job has to wait; it goes on when they are gone.
#[tokio::test]
async fn a_job_waits_while_much_waits_already_and_can_be_stopped() {
    let receiver = Receiver::start().await.answering([404]);
    let (hook, slow) = (a_hook("channel_create").to(&receiver), a_hook("sms").to(&receiver));
    let slow = slow.with("retry_schedule_s", json!([3600]));
    let host = paged(&[hook.clone(), slow.clone()]).setting("firing.resend_waiting_max", 1).start().await;
    post(&host, 5).await;
    host.expect_attempts(&hook.id(), 5).await;
    receiver.answer_from_now_on([Answer::status(503)]);
    for _ in 0..2 {
        host.post(ACCOUNT, MASTER_KEY, &hookbox_tests::samples::sms_received(ACCOUNT)).await;
    }
    host.expect_attempts(&slow.id(), 2).await;

    let (first, second) = (begin(&host, json!({})).await, begin(&host, json!({})).await);
    let before = receiver.requests().len();
    receiver.expect_silence(std::time::Duration::from_millis(300)).await;
    assert_eq!(receiver.requests().len(), before);
    assert_eq!(job(&host, &first).await["state"], "running");
    assert_eq!(job(&host, &first).await["progress"], "undelivered");
    let stopped = host.call("DELETE", &jobs(&format!("/{first}")), TENANT_KEY, None).await.expect(200);
    assert_eq!((&stopped.data()["state"], &stopped.data()["resent"]), (&json!("stopped"), &json!(0)));
    host.call("DELETE", &jobs(&format!("/{first}")), TENANT_KEY, None).await.expect(409);

    receiver.answer_from_now_on([Answer::status(200)]);
    let slow_path = format!("/v2/accounts/{ACCOUNT}/webhooks/{}", slow.id());
    host.call("DELETE", &slow_path, TENANT_KEY, None).await.expect(200);
    assert_eq!(expect_state(&host, &second, "done").await["resent"], 5);
    assert_eq!(job(&host, &first).await["state"], "stopped");
    host.finish().await;
}

/// The host is stopped, or its part falls over, in the middle of a job; each firing is sent again once.
#[tokio::test]
async fn a_job_goes_on_where_it_was_after_a_restart() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let host = paged(std::slice::from_ref(&hook))
        .setting("firing.resend_page_rows", 1)
        .setting("firing.resend_waiting_max", 1)
        .setting("firing.resend_lease_ms", 1000)
        .start()
        .await;
    post(&host, 40).await;
    host.expect_attempts(&hook.id(), 40).await;
    let id = begin(&host, json!({"outcome": "delivered"})).await;
    expect_at_least(&receiver, 45).await;
    assert!(host.running.inject_fault("resend jobs"));
    expect_at_least(&receiver, 50).await;
    let host = host.restarted(Clock::System).await;
    let done = expect_state(&host, &id, "done").await;
    assert_eq!((&done["resent"], &done["skipped"]), (&json!(40), &json!(0)));
    host.expect_no_waiting().await;
    assert_eq!(arrivals(&receiver).iter().filter(|count| **count != 2).count(), 0, "{:?}", arrivals(&receiver));
    host.finish().await;
}

/// Two hosts on one store share the jobs.
#[tokio::test]
async fn two_hosts_do_not_do_the_same_job() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let host = paged(std::slice::from_ref(&hook)).setting("store.poll_ms", 100).start().await;
    let other = hookbox::host::start(host.settings.clone(), Default::default()).await.unwrap();
    post(&host, 20).await;
    host.expect_attempts(&hook.id(), 20).await;
    let ids = [begin(&host, json!({"outcome": "delivered"})).await];
    for id in &ids {
        assert_eq!(expect_state(&host, id, "done").await["resent"], 20);
    }
    receiver.expect_requests(40).await;
    host.expect_no_waiting().await;
    assert!(arrivals(&receiver).iter().all(|count| *count == 2), "{:?}", arrivals(&receiver));
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn what_is_not_kept_is_skipped_and_too_much_fails_with_a_reason() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let host = paged(std::slice::from_ref(&hook)).setting("firing.resend_delivered_max", 5).start().await;
    post(&host, 6).await;
    host.expect_attempts(&hook.id(), 6).await;
    let id = begin(&host, json!({"outcome": "delivered"})).await;
    let failed = expect_state(&host, &id, "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("firing.resend_delivered_max"), "{failed}");
    assert_eq!(failed["resent"], 3, "the page before it was sent");
    host.expect_attempts(&hook.id(), 9).await;
    host.call("DELETE", &format!("/v2/accounts/{ACCOUNT}/webhooks/{}", hook.id()), TENANT_KEY, None).await.expect(200);
    host.expect_no_waiting().await;
    let query = AttemptQuery::newest(ACCOUNT.into(), None, 1);
    let newest = host.running.store.attempts(&query).await.unwrap()[0].document["timestamp"].as_u64().unwrap();
    let id = begin(&host, json!({"outcome": "delivered", "created_to": newest})).await;
    // Five at most are looked at, so the job is given those that it may have.
    let ended = eventually("its end", async || {
        let job = job(&host, &id).await;
        if job["state"] == "running" { Err(job) } else { Ok(job) }
    })
    .await;
    assert_eq!((&ended["resent"], &ended["skipped"]), (&json!(0), &json!(3)), "the hook is gone");
    host.finish().await;
}

#[tokio::test]
async fn bad_jobs_are_refused_and_others_are_not_seen() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let off = a_hook("channel_create").to(&receiver).with("enabled", false);
    let theirs = a_hook("channel_create").to(&receiver).of(SIBLING);
    let host = paged(&[hook, off.clone(), theirs.clone()])
        .setting("firing.resend_jobs_max", 2)
        .setting("firing.resend_waiting_max", 1)
        .start()
        .await;
    for (data, status) in [
        (json!({"outcome": "some"}), 400),
        (json!({"created_from": "x"}), 400),
        (json!({"created_from": 2, "created_to": 1}), 400),
        (json!({"hook_id": 7}), 400),
        (json!({"hook_id": "none"}), 404),
        (json!({"hook_id": theirs.id()}), 404),
        (json!({"hook_id": off.id()}), 409),
    ] {
        host.call("PUT", &jobs(""), TENANT_KEY, Some(json!({"data": data.clone()}))).await.expect(status);
    }
    host.call("PUT", &jobs(""), TENANT_KEY, None).await.expect(400);
    let id = begin(&host, json!({"created_from": 0, "created_to": u64::MAX})).await;
    for method in ["GET", "DELETE"] {
        host.call(method, &jobs("/none"), TENANT_KEY, None).await.expect(404);
        let elsewhere = format!("/v2/accounts/{SIBLING}/webhooks/resend_jobs/{id}");
        host.call(method, &elsewhere, MASTER_KEY, None).await.expect(404);
        host.call(method, &elsewhere, TENANT_KEY, None).await.expect(403);
    }
    expect_state(&host, &id, "done").await;
    let listed = host.call("GET", &jobs(""), TENANT_KEY, None).await.expect(200);
    assert_eq!(listed.data().as_array().unwrap().iter().map(|job| &job["id"]).collect::<Vec<_>>(), [&json!(id)]);
    host.finish().await;
}

#[tokio::test]
async fn an_account_has_so_many_jobs_at_once() {
    let receiver = Receiver::start().await.answering([503]);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([3600]));
    let host = paged(std::slice::from_ref(&hook))
        .setting("firing.resend_jobs_max", 2)
        .setting("firing.resend_waiting_max", 1)
        .start()
        .await;
    // So they wait.
    post(&host, 2).await;
    host.expect_attempts(&hook.id(), 2).await;
    let first = begin(&host, json!({})).await;
    begin(&host, json!({})).await;
    let full = host.call("PUT", &jobs(""), TENANT_KEY, Some(json!({"data": {}}))).await.expect(409);
    assert!(full.data()["message"].as_str().unwrap().contains("firing.resend_jobs_max"));
    host.call("DELETE", &jobs(&format!("/{first}")), TENANT_KEY, None).await.expect(200);
    begin(&host, json!({})).await;
    host.finish().await;
}
