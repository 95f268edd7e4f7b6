//! The console, driven in a real browser by `tests/console/drive.mjs`; and what of it can be seen without one.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hookbox_tests::{
    bad_modules,
    receiver::{Answer, Receiver},
    rest::send,
    samples::{ACCOUNT, bad, sms_received},
    test_host::{MASTER, MASTER_KEY, TENANT_KEY, TestHost, a_hook},
};
use serde_json::json;

/// What a payload and an answer are made of that must never be markup.
const MARKUP: &str = "<script>window.stolen = 1</script><img src=x onerror='window.stolen = 2'><b>bold</b>";
/// For the whole of it, seconds.
const PATIENCE_S: u32 = 300;

/// The folder that all tests of this build share, `target` as a rule.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().to_owned()
}

fn chromium() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    found
        .into_iter()
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("there is no Chromium; `make browser-tools` brings it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_does_in_a_browser_what_it_is_for() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).body(MARKUP));
    let broken = Receiver::start().await.answering_with(Answer::status(500).body("the database is away"));
    let failing = a_hook("sms").to(&broken).with("name", "A failing hook").with("retry_schedule_s", json!([]));
    let healthy = a_hook("sms").to(&receiver).with("name", "Texts to our CRM");
    let failing_id = failing.id();
    let host = TestHost::builder()
        .without_broker()
        .hook(failing)
        .hook(healthy)
        .module("trap", bad_modules::bytes(bad_modules::TRAP))
        .setting("modules.fault_count", 2)
        .setting("modules.tenant_bindings", json!(["bad"]))
        .setting("webhooks.attempt_failure_count", 4)
        .start()
        .await;
    for _ in 0..2 {
        host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    }
    while host.disabled_message(&failing_id).await.is_none() {
        host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    }
    host.expect_no_waiting().await;

    let tools = target().join("browser");
    assert!(tools.is_dir(), "{} is not there; `make browser-tools` brings it", tools.display());
    let config = json!({
        "url": format!("http://{}", host.running.api_address),
        "account": ACCOUNT, "tenantKey": TENANT_KEY, "master": MASTER, "masterKey": MASTER_KEY,
        "component": bad_modules::CRM, "transform": bad_modules::AS_TOLD, "receiver": receiver.url("").trim_end_matches('/'), "markup": MARKUP,
        "failing": failing_id, "pictures": target().join("console"), "tools": tools, "chromium": chromium(),
    });
    let file = host.folder.path().join("console.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/drive.mjs");
    let driven = tokio::task::spawn_blocking(move || {
        let mut program = Command::new("timeout");
        program.arg(PATIENCE_S.to_string()).arg("node").arg(script).arg(file);
        program.stdin(Stdio::null()).output().unwrap()
    });
    let driven = driven.await.unwrap();
    let said = [String::from_utf8_lossy(&driven.stdout), String::from_utf8_lossy(&driven.stderr)].concat();
    assert!(driven.status.success(), "the console did not do as it should:\n{said}");
    println!("{said}");
    host.finish().await;
}

#[tokio::test]
async fn what_the_page_loads_may_be_kept_for_ever_and_the_page_is_asked_for_anew() {
    let host = TestHost::builder().without_broker().start().await;
    let page = send(host.request("GET", "/")).await.expect(200);
    let text = page.envelope.as_str().unwrap();
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    let same = send(host.request("GET", "/").header("if-none-match", page.header("etag").unwrap())).await;
    assert_eq!(same.status, 304);

    let paths: Vec<_> = text.split('"').filter(|word| word.starts_with("/console/")).collect();
    assert!(paths.len() > 10, "{text}");
    for path in &paths {
        let file = send(host.request("GET", path)).await.expect(200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    // Of another version, or somewhere else.
    let (folder, _) = paths[0].rsplit_once('/').unwrap();
    for path in
        ["/console/0123456789abcdef/main.js", &format!("{folder}/none.js"), &format!("{folder}/..%2f..%2fCargo.toml")]
    {
        let none = send(host.request("GET", path)).await.expect(404);
        assert_eq!(none.header("cache-control"), Some("no-store"), "{path}");
    }
    host.finish().await;
}
