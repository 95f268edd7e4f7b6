//! REST under load: 1,000 lists and 1,000 creates, 32 at once, through the program as it is run. Prints
//! `rest: list p99 … create p99 …`, the middle ones beside.
#![allow(clippy::print_stdout, clippy::panic, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hookbox_tests::{
    real_program::{Place, Serving},
    rest::send,
    test_host::{MASTER, MASTER_KEY, http},
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUESTS: usize = 1000;
const AT_ONCE: usize = 32;
/// Before what is measured: connections are made, pages are in memory.
const WARM_UP: usize = 100;

#[tokio::main]
async fn main() {
    let place = Place::with_settings("");
    let serving = place.serve().await;
    measure(&serving, "PUT", WARM_UP).await;
    let creates = measure(&serving, "PUT", REQUESTS).await;
    measure(&serving, "GET", WARM_UP).await;
    let lists = measure(&serving, "GET", REQUESTS).await;
    println!(
        "rest: list p99 {:.1} ms create p99 {:.1} ms (p50 {:.1} and {:.1} ms; {REQUESTS} each, {AT_ONCE} at once; a page of 50 of {} hooks)",
        at(&lists, 99),
        at(&creates, 99),
        at(&lists, 50),
        at(&creates, 50),
        REQUESTS + WARM_UP,
    );
    assert_eq!(serving.stop().await, 0);
}

/// How long each took, shortest first.
async fn measure(serving: &Serving, method: &str, requests: usize) -> Vec<Duration> {
    let one = async |number: usize| {
        let url = format!("{}/v2/accounts/{MASTER}/webhooks", serving.url);
        let request = http().request(method.parse().unwrap(), url).header("x-auth-token", MASTER_KEY);
        let hook = json!({"data": {"name": format!("hook {number}"), "uri": "https://example.com/", "hook": "sms"}});
        let request = if method == "PUT" { request.body(hook.to_string()) } else { request };
        let began = Instant::now();
        let called = send(request).await;
        let took = began.elapsed();
        assert!(called.status < 300, "{:#}", called.envelope);
        took
    };
    let mut took: Vec<_> = stream::iter(0..requests).map(one).buffer_unordered(AT_ONCE).collect().await;
    took.sort_unstable();
    took
}

fn at(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}
