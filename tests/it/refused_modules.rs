//! Components that cannot be loaded: each is refused with what is wrong, the host goes on without it, and `/readyz` and
//! `hookbox doctor` say so. What lies in `modules.dir` is followed while the host runs.

use std::fs;

use hookbox::module::Origin;
use hookbox_tests::{
    amqp::Published,
    bad_modules::{self, ECHO, IMPOSTOR, METADATA_LOOP, TRAP, UNKNOWN_IMPORT, WRONG_WORLD},
    eventually::eventually,
    real_program::Place,
    receiver::Receiver,
    samples::{ACCOUNT, bad, channel_created},
    test_host::{TestHost, a_hook, shared_folder},
};
use serde_json::Value;

/// Each with a name for its file and the words that say what is wrong.
fn unusable() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("metadata_loop", bad_modules::bytes(METADATA_LOOP), "it ran past 100 ms"),
        ("wrong_world", bad_modules::bytes(WRONG_WORLD), "does not fit the world hookbox:webhook/webhook-module@1.0.0"),
        ("unknown_import", bad_modules::bytes(UNKNOWN_IMPORT), "evil:host/files"),
        (
            "impostor",
            bad_modules::bytes(IMPOSTOR),
            "id channel_create is the name of a built-in module; choose another",
        ),
        ("truncated", bad_modules::truncated(), "not a usable component: "),
        ("noise", bad_modules::noise(), "not a usable component: "),
        ("core_module", bad_modules::core_module(), "it is a core module; build a component"),
        ("zip", bad_modules::zip(), "it is not WebAssembly"),
        ("native_code", bad_modules::native_code(), "it is not WebAssembly"),
        ("compiled", compiled(), "it is compiled code; give the component that it was compiled from"),
        ("empty", Vec::new(), "it is not WebAssembly"),
        ("big", [bad_modules::bytes(ECHO), vec![0; 1 << 20]].concat(), "(modules.component_bytes_max)"),
    ]
}

/// Code that this very engine has compiled: a file of the module cache without the MAC that stands before the code.
fn compiled() -> Vec<u8> {
    let cache = fs::read_dir(shared_folder().join("module-cache")).unwrap();
    let files = cache.map(|entry| entry.unwrap().path());
    let compiled = files.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    // Other tests have large guests compiled, which would be refused for their size.
    let smallest = compiled.min_by_key(|path| fs::metadata(path).unwrap().len());
    fs::read(smallest.unwrap()).unwrap().split_off(32)
}

/// Makes sure that the shared module cache has something in it.
async fn warm_cache() {
    TestHost::builder().without_broker().start().await.finish().await;
}

async fn reasons(host: &TestHost) -> (u16, Vec<String>) {
    let (status, text) = host.get("/readyz").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    let reasons = answer["reasons"].as_array().unwrap().iter();
    (status, reasons.map(|reason| reason.as_str().unwrap().to_owned()).collect())
}

async fn expect_ready(host: &TestHost) {
    eventually("a ready host", async || match reasons(host).await {
        (200, _) => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn a_host_starts_without_what_cannot_be_loaded_and_says_why() {
    warm_cache().await;
    let receiver = Receiver::start().await;
    let mut builder = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .setting("modules.time_limit_ms", 10)
        .setting("modules.fuel_max", 100_000_000_000_u64)
        .setting("modules.component_bytes_max", 1_000_000);
    for (name, bytes, _) in unusable() {
        builder = builder.module(name, bytes);
    }
    let host = builder.start().await;

    let (status, reasons) = reasons(&host).await;
    assert_eq!(status, 503);
    assert_eq!(reasons.len(), unusable().len(), "{reasons:#?}");
    for (name, _, words) in unusable() {
        let start = format!("module {} is not loaded: ", host.module_file(name).display());
        let reason = reasons.iter().find(|reason| reason.starts_with(&start));
        assert!(reason.is_some_and(|reason| reason.contains(words)), "{name}: {reason:?}");
    }
    host.publish(channel_created(ACCOUNT)).await;
    let request = &receiver.expect_requests(1).await[0];
    assert_eq!(request.json()["impostor"], Value::Null, "the built-in made it");
    host.finish().await;
}

#[tokio::test]
async fn doctor_says_what_cannot_be_loaded() {
    warm_cache().await;
    let place = Place::with_settings(
        "modules.dir = \"modules\"\nmodules.time_limit_ms = 10\nmodules.fuel_max = 100000000000\nmodules.component_bytes_max = 1000000",
    );
    place.write("modules/echo.wasm", bad_modules::bytes(ECHO));
    for (name, bytes, _) in unusable() {
        place.write(&format!("modules/{name}.wasm"), bytes);
    }
    let said = place.call(&["doctor", "--config", "hookbox.toml"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    for (name, _, words) in unusable() {
        let start = format!("WRONG module: modules/{name}.wasm is not loaded: ");
        let line = said.stdout.lines().find(|line| line.starts_with(&start));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {line:?}\n{}", said.stdout);
    }
    assert!(said.stdout.contains("ok    module: echo 1.0.0"), "{}", said.stdout);
}

#[tokio::test]
async fn a_file_that_is_mended_is_loaded_and_one_that_is_removed_is_unloaded() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("mended", bad_modules::noise())
        .hook(a_hook("echo").to(&receiver))
        .setting("modules.watch_ms", 50)
        .start()
        .await;
    assert_eq!(reasons(&host).await.0, 503);

    fs::write(host.module_file("mended"), bad_modules::bytes(ECHO)).unwrap();

    expect_ready(&host).await;
    // The exchange is there once the host has bound it.
    eventually("the binding", async || {
        let amqp = host.amqp.as_ref().unwrap();
        amqp.declare_exchange("bad", lapin::ExchangeKind::Topic).await;
        match amqp.publish(&bad(ACCOUNT)).await {
            Published::Routed => Ok(()),
            other => Err(other),
        }
    })
    .await;
    receiver.expect_requests(1).await;

    fs::remove_file(host.module_file("mended")).unwrap();

    eventually("the binding to go", async || match host.amqp.as_ref().unwrap().publish(&bad(ACCOUNT)).await {
        Published::Unrouted => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(host.running.modules.get(&"echo".into()).is_none());
    expect_ready(&host).await;
    host.finish().await;
}

#[tokio::test]
async fn a_file_that_breaks_leaves_the_last_good_module_at_work() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("echo", bad_modules::bytes(ECHO))
        .hook(a_hook("echo").to(&receiver))
        .setting("modules.watch_ms", 50)
        .start()
        .await;

    fs::write(host.module_file("echo"), bad_modules::truncated()).unwrap();

    eventually("the refusal", async || match reasons(&host).await {
        (503, reasons) if reasons.len() == 1 => Ok(()),
        other => Err(other),
    })
    .await;
    host.publish(bad(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn a_file_that_becomes_another_module_takes_the_old_one_away() {
    let host = TestHost::builder()
        .module("changing", bad_modules::bytes(TRAP))
        .setting("modules.watch_ms", 50)
        .without_broker()
        .start()
        .await;
    assert!(host.running.modules.get(&"trap".into()).is_some());

    fs::write(host.module_file("changing"), bad_modules::bytes(ECHO)).unwrap();

    eventually("the other module", async || host.running.modules.get(&"echo".into()).ok_or("not there")).await;
    assert!(host.running.modules.get(&"trap".into()).is_none(), "nothing stands for the old module any more");
    host.finish().await;
}

#[tokio::test]
async fn of_two_files_with_one_module_the_second_waits_for_the_first_to_go() {
    let host = TestHost::builder()
        .module("a", bad_modules::bytes(ECHO))
        .module("b", bad_modules::bytes(ECHO))
        .setting("modules.watch_ms", 50)
        .without_broker()
        .start()
        .await;
    let (first, second) = (host.module_file("a"), host.module_file("b"));
    let active = || host.running.modules.get(&"echo".into()).map(|module| module.origin.clone());
    assert_eq!(active(), Some(Origin::Folder(first.clone())));
    let (status, reasons) = reasons(&host).await;
    let words = format!("id echo is the name of the module in {}; take one of them away", first.display());
    assert!(status == 503 && reasons.len() == 1 && reasons[0].ends_with(&words), "{reasons:?}");

    fs::remove_file(&first).unwrap();

    expect_ready(&host).await;
    assert_eq!(active(), Some(Origin::Folder(second)));
    host.finish().await;
}

#[tokio::test]
async fn a_folder_that_goes_away_does_not_end_the_host() {
    let host = TestHost::builder()
        .module("echo", bad_modules::bytes(ECHO))
        .setting("modules.watch_ms", 50)
        .setting("supervisor.pause_ms", 1)
        .setting("supervisor.pause_ms_max", 1)
        .without_broker()
        .start()
        .await;
    let (dir, aside) = (host.folder.path().join("modules"), host.folder.path().join("aside"));
    fs::rename(&dir, &aside).unwrap();
    let away = tokio::time::timeout(std::time::Duration::from_millis(500), host.running.fatal()).await;
    assert!(away.is_err(), "the host ended: {away:?}");
    assert!(host.running.modules.get(&"echo".into()).is_some(), "what is loaded stays");

    fs::write(aside.join("trap.wasm"), bad_modules::bytes(TRAP)).unwrap();
    fs::rename(&aside, &dir).unwrap();

    eventually("the folder to be followed again", async || host.running.modules.get(&"trap".into()).ok_or("not there"))
        .await;
    host.finish().await;
}

/// The host's own cache, filled from the shared one, so that nothing has to be compiled for it.
fn own_cache() -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(shared_folder().join("module-cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cwasm") {
            fs::copy(&path, cache.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    cache
}

#[tokio::test]
async fn a_cache_file_that_was_tampered_with_is_not_used() {
    warm_cache().await;
    let cache = own_cache();
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("echo", bad_modules::bytes(ECHO))
        .module("trap", bad_modules::bytes(TRAP))
        .hook(a_hook("echo").to(&receiver))
        .setting("modules.cache_dir", cache.path().display().to_string())
        .start()
        .await;
    let file_of = |module: &str| {
        let digest = host.running.modules.get(&module.into()).unwrap().digest.clone();
        let mut files = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&digest)).unwrap()
    };
    let (echo, trap) = (file_of("echo"), file_of("trap"));
    let genuine = fs::read(&echo).unwrap();
    // Genuine code of this host, but of another component: were it used, echo would trap.
    fs::copy(&trap, &echo).unwrap();
    // Code that was changed under its MAC.
    let mut changed = fs::read(&trap).unwrap();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&trap, &changed).unwrap();

    let host = host.restarted(hookbox::clock::Clock::System).await;

    host.publish(bad(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    assert_eq!(fs::read(&echo).unwrap().len(), genuine.len(), "it was compiled anew");
    assert_ne!(fs::read(&trap).unwrap(), changed, "it was compiled anew");
    host.finish().await;
}

#[tokio::test]
async fn a_cache_that_is_deleted_is_missed_by_nobody() {
    warm_cache().await;
    let cache = own_cache();
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("trap", bad_modules::bytes(TRAP))
        .hook(a_hook("echo").to(&receiver))
        .setting("modules.cache_dir", cache.path().display().to_string())
        .setting("modules.watch_ms", 50)
        .start()
        .await;

    fs::remove_dir_all(cache.path()).unwrap();
    fs::write(host.module_file("echo"), bad_modules::bytes(ECHO)).unwrap();

    eventually("the module", async || host.running.modules.get(&"echo".into()).ok_or("not there")).await;
    expect_ready(&host).await;
    host.publish(bad(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}
