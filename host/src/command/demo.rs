//! `hookbox demo`: see it work in a minute, with no broker and no database server.
//!
//! A real host on an embedded store in a temporary folder, receivers on loopback, two accounts, hooks, and one message
//! of every kind, posted over HTTP. Prints each delivery as it lands, and a summary that is read from the store.

mod documents;
mod receivers;

use std::{path::Path, process::ExitCode, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::{
    documents::{CUSTOMER, FAILING_HOOK, hooks_and_accounts, messages},
    receivers::Receivers,
};
use super::{could_not_begin, rest};
use crate::{
    error_chain::chain,
    hook::Hook,
    host::{self, HostOptions, RunningHost},
    kazoo::import,
    message::{AccountId, HookId},
    settings::Settings,
    store::AttemptQuery,
    telemetry,
};

/// How long the demo waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo; exit code 1 when something did not happen that should have.
pub async fn run(stay: bool) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("hookbox-demo-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return could_not_begin(&format!("{}: cannot be made ({error}); set TMPDIR", folder.display()));
    }
    let ended = show(&folder, stay).await;
    let _ = std::fs::remove_dir_all(&folder);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("\nThe demo did not go as it should: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn show(folder: &Path, stay: bool) -> Result<(), String> {
    let settings = settings(folder, stay)?;
    telemetry::start_logs(&settings.telemetry)?;
    let receivers = Receivers::start().await.map_err(|error| format!("receivers cannot listen: {error}"))?;

    println!("Hookbox demo: a host on an embedded store, three receivers, two accounts, {} hooks.", documents::HOOKS);
    let options = HostOptions { with_skel: true, ..HostOptions::default() };
    let host = host::start(settings.clone(), options).await.map_err(|error| chain(&error))?;
    let key = host.new_master_key.clone().ok_or("the fresh store had a master key already")?;
    println!("  host at http://{}, {} modules in their sandboxes\n", host.api_address, host.modules.active().len());
    load_hooks(&settings, &host, &receivers).await?;

    println!("Messages are posted, deliveries land:\n");
    let events = post_messages(&host, &key).await?;
    let deadline = Instant::now() + PATIENCE;
    let kinds = documents::KINDS.len();
    receivers.wait_for_kinds(&documents::KINDS, deadline).await?;
    wait_until_disabled(&host, deadline).await?;
    receivers.wait_for_slow(deadline).await?;
    wait_until_settled(&host, deadline).await?;

    println!("\nWhat happened:\n");
    println!("  {kinds} messages, one of each kind, became {events} events; {} requests arrived.", receivers.count());
    println!("  {} of them were signed (Standard Webhooks); the slow receiver held up nobody.", receivers.signed());
    summary(&host).await?;
    if stay {
        println!(
            "\nThe console is at http://{}; end it with Ctrl-C. Sign in with one of these keys:",
            host.api_address
        );
        println!("  {key}  the operator's: all accounts");
        println!("  {}  the customer's: its own", customer_key(&host, &key).await?);
        let _ = tokio::signal::ctrl_c().await;
    }
    host.stop().await;
    let program = std::env::args().next().unwrap_or_else(|| "hookbox".to_owned());
    println!("\nNext: `{program} demo --stay` for a browser; README.md, and `{program} serve --config FILE`.");
    Ok(())
}

fn settings(folder: &Path, stay: bool) -> Result<Settings, String> {
    let environment = [
        ("HOOKBOX_STORE__URL", format!("sqlite:{}", folder.join("demo.db").display())),
        // The receivers are on loopback, which the address policy refuses unless it is told otherwise.
        ("HOOKBOX_FIRING__ALLOW_ADDRESSES", "[\"127.0.0.0/8\"]".to_owned()),
        ("HOOKBOX_API__LISTEN", if stay { "127.0.0.1:8000" } else { "127.0.0.1:0" }.to_owned()),
        ("HOOKBOX_FIRING__PARK_AFTER_MS", "300".to_owned()),
        // What the demo shows, it prints itself.
        ("HOOKBOX_TELEMETRY__LOG", "off".to_owned()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    Settings::from_parts(None, environment).map_err(|error| error.to_string())
}

/// Loads accounts and hooks as `hookbox import kazoo` does.
async fn load_hooks(settings: &Settings, host: &RunningHost, receivers: &Receivers) -> Result<(), String> {
    let documents = Value::Array(hooks_and_accounts(receivers)).to_string();
    let key = host::host_key(settings).map_err(|error| chain(&error))?;
    let validate = |record: &crate::hook::HookRecord| {
        Hook::from_record(record, &settings.firing).map(drop).map_err(|problems| problems.to_string())
    };
    let report =
        import::run(&documents, &host.store, &key, &host.master, &validate, crate::clock::Clock::System.now_ms())
            .await
            .map_err(|error| chain(&error))?;
    if let Some(refused) = report.refused.first() {
        return Err(format!("the demo's own document was refused: {refused:?}"));
    }
    host.follower.catch_up().await.map_err(|error| chain(&error))
}

/// Posts them over HTTP, as the customer would; gives how many events they became.
async fn post_messages(host: &RunningHost, key: &str) -> Result<u64, String> {
    let client = rest::client().map_err(|error| chain(&error))?;
    let mut events = 0;
    for message in messages() {
        let settled = put(&client, host, key, "messages", &message).await?;
        events += settled[0]["events"].as_u64().unwrap_or(0);
    }
    Ok(events)
}

/// A key of the customer's, made as the operator would.
async fn customer_key(host: &RunningHost, key: &str) -> Result<String, String> {
    let client = rest::client().map_err(|error| chain(&error))?;
    let made = put(&client, host, key, "keys", &json!({"name": "demo"})).await?;
    made["api_key"].as_str().map(str::to_owned).ok_or_else(|| format!("the host made no key: {made}"))
}

/// Puts something into the customer's account; gives the answer's data.
async fn put(client: &Client, host: &RunningHost, key: &str, what: &str, data: &Value) -> Result<Value, String> {
    let url = format!("http://{}/v2/accounts/{CUSTOMER}/{what}", host.api_address);
    let request = client.put(&url).header("x-auth-token", key).header("content-type", "application/json");
    let answer = request.body(json!({"data": data}).to_string()).send().await.map_err(|error| chain(&error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| chain(&error))?;
    let mut envelope: Value =
        serde_json::from_str(&text).map_err(|error| format!("{url}: {status}, not JSON: {error}"))?;
    match status.is_success() {
        true => Ok(envelope["data"].take()),
        false => Err(format!("{url}: the host answered {status} to {data}: {envelope}")),
    }
}

async fn wait_until_disabled(host: &RunningHost, deadline: Instant) -> Result<(), String> {
    loop {
        let record = host.store.hook(&HookId::from(FAILING_HOOK)).await.map_err(|error| chain(&error))?;
        if let Some(reason) = record.and_then(|record| record.disabled_message) {
            println!("  the failing hook is switched off: {reason}");
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err("the failing hook was not switched off in time".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The slow receiver has answered, but the row of the attempt may still be on its way.
async fn wait_until_settled(host: &RunningHost, deadline: Instant) -> Result<(), String> {
    while host.store.firing_counts(None).await.map_err(|error| chain(&error))?.waiting > 0 {
        if Instant::now() >= deadline {
            return Err("firings were still waiting at the end".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What the store knows: attempts by hook.
async fn summary(host: &RunningHost) -> Result<(), String> {
    println!("\n  {:<36} {:>9} {:>9}  now", "hook", "delivered", "failed");
    for (account, hook, name) in documents::hook_names() {
        let (account, hook) = (AccountId::from(account), HookId::from(hook));
        let query = AttemptQuery::newest(account, Some(hook.clone()), 1000);
        let attempts = host.store.attempts(&query).await.map_err(|error| chain(&error))?;
        let delivered = attempts.iter().filter(|attempt| attempt.document["result"] == "success").count();
        let record = host.store.hook(&hook).await.map_err(|error| chain(&error))?;
        let now = record
            .and_then(|record| record.disabled_message)
            .map_or("enabled".into(), |why| format!("disabled: {why}"));
        println!("  {name:<36} {delivered:>9} {:>9}  {now}", attempts.len() - delivered);
    }
    Ok(())
}
