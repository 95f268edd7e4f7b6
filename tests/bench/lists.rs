//! Lists of a full store, SQLite and PostgreSQL: 100,000 attempts and 10,000 hooks of one account, through the program as it is
//! run. Every list that the console asks for is asked for 50 times, one after the other. Prints a line each,
//! `lists of …: … p50 … p99 …`, and fails when one took longer than 200 ms.
#![allow(clippy::print_stdout, clippy::panic, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use hookbox::{
    attempt::{Attempt, Fault, Outcome, Phases, SentRequest},
    clock::gregorian_s,
    hook::HookRecord,
    message::UnixMs,
    store::{self, Entry, FiringChange, SharedStore},
};
use hookbox_tests::{
    database::Database,
    real_program::{Place, Serving},
    rest::send,
    test_host::{MASTER, MASTER_KEY, http, now_ms},
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOOKS: u64 = 10_000;
const ATTEMPTS: u64 = 100_000;
/// As attempts are written by a busy host: so many in a group.
const GROUP: u64 = 1000;
/// They began within the last hours, so far apart.
const APART_MS: u64 = 100;
/// One of so many failed.
const FAILED: u64 = 50;
const TIMES: usize = 50;
/// Before what is measured: connections are made, pages are in memory.
const WARM_UP: usize = 3;
const AIM: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() {
    let place = Place::with_settings("");
    let sqlite = format!("sqlite:{}", place.path("hookbox.db").display());
    let database = Database::new().await;
    let mut slow = Vec::new();
    for (name, url) in [("sqlite", sqlite), ("postgres", database.url())] {
        for list in lists_of(&place, name, &url).await {
            slow.push(format!("{name}: {list}"));
        }
    }
    assert!(slow.is_empty(), "slower than {} ms: {}", AIM.as_millis(), slow.join("; "));
}

/// Prints what the lists of this store take; gives those that are too slow.
async fn lists_of(place: &Place, name: &str, url: &str) -> Vec<&'static str> {
    let environment = [("HOOKBOX_STORE__URL", url)];
    // The master account and the tables are made by the program itself.
    assert_eq!(place.serve_with(&environment).await.stop().await, 0);
    let store = store::open(url).await.unwrap();
    let began = Instant::now();
    fill(&store).await;
    store.close().await;
    let took_s = began.elapsed().as_secs_f64();
    println!("lists of {name}: {HOOKS} hooks and {ATTEMPTS} attempts written in {took_s:.1} s");

    let serving = place.serve_with(&environment).await;
    let newest = format!("webhooks/attempts?created_from={}", gregorian_s(now_ms() - 86_400_000));
    let hook = format!("webhooks/{}", id(HOOKS / 2));
    let mut slow = Vec::new();
    for (list, path) in [
        ("hooks", "webhooks?page_size=100".to_owned()),
        ("hooks, a thousand", "webhooks?page_size=1000".to_owned()),
        ("hooks, disabled ones", "webhooks?page_size=100&filter_enabled=false".to_owned()),
        ("hooks, none is like that", "webhooks?page_size=100&has_key=disable_reason".to_owned()),
        ("attempts", format!("{newest}&page_size=50")),
        ("attempts that failed", format!("{newest}&page_size=50&filter_result=failure")),
        ("attempts, none is like that", format!("{newest}&page_size=50&filter_hook_event=sms")),
        ("attempts of a hook", format!("{hook}/attempts?page_size=60")),
        ("undelivered of a hook", format!("{hook}/undelivered?page_size=20")),
        ("failures of a hook", format!("{hook}/failures")),
        ("overview", "overview".to_owned()),
        ("modules", "webhook_modules".to_owned()),
        ("dead letters", "dead_letters?page_size=50".to_owned()),
        ("accounts", "descendants?page_size=100".to_owned()),
        ("keys", "keys".to_owned()),
    ] {
        let took = measure(&serving, &path).await;
        println!("lists of {name}: {list:<28} p50 {:>6.1} ms p99 {:>6.1} ms", at(&took, 50), at(&took, 99));
        if took.last().is_some_and(|slowest| *slowest > AIM) {
            slow.push(list);
        }
    }
    assert_eq!(serving.stop().await, 0);
    slow
}

fn id(number: u64) -> String {
    format!("{number:032x}")
}

async fn fill(store: &SharedStore) {
    let now_ms = now_ms();
    for number in 0..HOOKS {
        let document = json!({
            "name": format!("Hook {number} of our CRM"), "uri": format!("https://crm.example.com/hooks/{number}"),
            "hook": "channel_destroy", "http_verb": "post", "format": "json", "retries": 2,
            "enabled": !number.is_multiple_of(FAILED), "custom_data": {"tenant": number.to_string()},
        });
        let record = HookRecord {
            id: id(number).as_str().into(),
            account: MASTER.into(),
            document: document.as_object().cloned().unwrap(),
            disabled_message: None,
            secrets: Vec::new(),
            revision: 1,
            created_ms: now_ms,
        };
        store.put_hook(&record, now_ms).await.unwrap();
    }
    for group in 0..ATTEMPTS / GROUP {
        let entries: Vec<_> = (group * GROUP..(group + 1) * GROUP)
            .map(|number| Entry {
                attempt: Some(attempt(number, now_ms - (ATTEMPTS - number) * APART_MS)),
                counts_as_failure: false,
                change: FiringChange::None,
            })
            .collect();
        store.commit(&entries).await.unwrap();
    }
}

/// As long as attempts of a call's end are: a kilobyte of payload, a dozen headers.
fn attempt(number: u64, at_ms: UnixMs) -> Attempt {
    let payload = json!({
        "hook_event": "channel_destroy", "call_id": id(number), "other_leg_call_id": id(number + 1),
        "caller_id_name": "Zoë Müller", "caller_id_number": "+15551234567", "callee_id_number": "+15557654321",
        "from": "user@acme.example.com", "to": "+15557654321@acme.example.com", "request": "+15557654321@acme.example.com",
        "hangup_cause": "NORMAL_CLEARING", "hangup_code": "sip:200", "duration_seconds": "125", "ringing_seconds": "7",
        "billing_seconds": "118", "timestamp": "63881319200", "account_id": MASTER, "cluster_id": id(7),
        "custom_channel_vars": {"note": "x".repeat(400)},
    });
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let outcome = match number.is_multiple_of(FAILED) {
        true => Outcome::Failed { fault: Fault::Connection, detail: "203.0.113.9:443 refused".into() },
        false => Outcome::Answered {
            status: 200,
            headers: vec![header("content-type", "application/json"), header("server", "nginx")],
            body: "{\"ok\": true}".into(),
            body_cut: false,
        },
    };
    Attempt {
        id: format!("{at_ms:012x}{number:020x}"),
        webhook_id: format!("{number:064x}").into(),
        account: MASTER.into(),
        hook: id(number % HOOKS).as_str().into(),
        hook_event: "channel_destroy".into(),
        module: "channel_destroy".into(),
        at_ms,
        try_number: 1,
        uri: format!("https://crm.example.com/hooks/{}", number % HOOKS),
        request: SentRequest {
            method: "POST",
            headers: vec![
                header("content-type", "application/json"),
                header("webhook-id", &format!("{number:064x}")),
                header("webhook-timestamp", "1714100000"),
                header("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
                header("x-hook-id", &id(number % HOOKS)),
                header("x-account-id", MASTER),
            ],
            body: payload.to_string(),
        },
        outcome,
        duration_ms: 20 + number % 80,
        phases: Phases { connect_us: None, first_byte_us: Some(18_000), body_us: Some(90) },
        trace: None,
        next_try_ms: None,
        retries_left: 2,
        payload: None,
        transform: None,
    }
}

/// How long each took, shortest first.
async fn measure(serving: &Serving, path: &str) -> Vec<Duration> {
    let url = format!("{}/v2/accounts/{MASTER}/{path}", serving.url);
    let mut took = Vec::with_capacity(TIMES + WARM_UP);
    for _ in 0..TIMES + WARM_UP {
        let began = Instant::now();
        let called = send(http().get(&url).header("x-auth-token", MASTER_KEY)).await;
        took.push(began.elapsed());
        assert_eq!(called.status, 200, "{path}: {:#}", called.envelope);
    }
    took.drain(..WARM_UP);
    took.sort_unstable();
    took
}

fn at(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}
