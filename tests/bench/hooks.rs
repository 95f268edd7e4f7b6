//! What a large table of hooks costs: a million hooks of a hundred thousand accounts, each five levels below the root. How long
//! it takes to find the hooks of an event, and how much memory a hook takes. Prints
//! `hooks: … us a look-up among … hooks, … bytes a hook`.
#![allow(clippy::print_stdout)]

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use hookbox::{
    hook::{Hook, HookRecord, SealedSecret, table::HookTable},
    message::{AccountId, Event},
    settings::{FiringSettings, Settings},
};
use hookbox_tests::rig::median;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ACCOUNTS: u64 = 100_000;
const HOOKS_OF_EACH: u64 = 10;
const LOOK_UPS: u32 = 20_000;
const ROUNDS: usize = 9;
const EVENTS: [&str; 7] =
    ["channel_create", "channel_answer", "channel_destroy", "channel_bridge", "notifications", "object", "sms"];

fn main() {
    let settings = Settings::default().firing;
    let before = resident_bytes();
    let table = HookTable::new();
    for account in 0..ACCOUNTS {
        table.extend((0..HOOKS_OF_EACH).map(|n| hook(account, n, &settings)));
    }
    let bytes = (resident_bytes() - before) / (ACCOUNTS * HOOKS_OF_EACH);
    let events: Vec<_> = (0..u64::from(LOOK_UPS)).map(event).collect();
    let (mut rounds, mut found) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        found = 0;
        let began = Instant::now();
        for (ancestors, event) in &events {
            found += black_box(table.matching(ancestors, event)).len();
        }
        rounds.push(us(began.elapsed()) / f64::from(LOOK_UPS));
    }
    println!(
        "hooks: {:.2} us a look-up among {} hooks ({:.1} found by each), {bytes} bytes a hook",
        median(&rounds),
        table.len(),
        found as f64 / f64::from(LOOK_UPS)
    );
}

fn account_id(number: u64) -> AccountId {
    AccountId::from(format!("{number:032x}"))
}

/// The first hook of each account is for what is below it, too.
fn hook(account: u64, n: u64, settings: &FiringSettings) -> Hook {
    let Value::Object(document) = json!({
        "name": "bench", "http_verb": "post", "format": "json", "enabled": true, "include_subaccounts": n == 0,
        "hook": EVENTS[usize::try_from(account + n).expect("it fits") % EVENTS.len()],
        "uri": format!("https://receiver-{account}.example.com/hooks"),
    }) else {
        unreachable!("it is an object")
    };
    let record = HookRecord {
        id: format!("{:032x}", account * HOOKS_OF_EACH + n).into(),
        account: account_id(account),
        document,
        disabled_message: None,
        // As long as one that is sealed.
        secrets: vec![SealedSecret { sealed: "x".repeat(104), until_ms: None }],
        revision: 1,
        created_ms: 0,
    };
    Hook::from_record(&record, settings).expect("the document is good")
}

/// An event of some account, and the five accounts above that, root first.
fn event(n: u64) -> (Vec<AccountId>, Event) {
    let account = (n * 7_919) % ACCOUNTS;
    let ancestors = (1..=5).rev().map(|up| account_id((account / 3_u64.pow(up)) + u64::from(up))).collect();
    let event = Event {
        module: "channel_create".into(),
        hook_event: "channel_create".to_owned(),
        account: account_id(account),
        payload: serde_json::Map::new(),
        facets: Vec::new(),
        selectors: [].into(),
        internal_leg: false,
        within: None,
        hooks_of: None,
        trace: None,
    };
    (ancestors, event)
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("the kernel's figures of this process");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
