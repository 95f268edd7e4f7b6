//! What `hookbox module …` says to an author when something is not as it should be.

use hookbox_tests::{
    author::Author,
    bad_modules::{self, ECHO, HOG, METADATA_LOOP, SPIN, TRAP},
};
use serde_json::{Value, json};

/// A file of one message that the bad modules ask for.
fn a_message(author: &Author) {
    let body = json!({"Event-Category": "bad", "Event-Name": "anything", "Account-ID": "a1"});
    author.place.write("message.json", json!({"exchange": "bad", "routing_key": "bad.x", "body": body}).to_string());
}

#[tokio::test]
async fn a_folder_that_is_not_empty_is_left_alone() {
    let author = Author::new();
    author.place.write("doorbell/mine.txt", "mine");
    let said = author.calls(&["new", "doorbell", "--lang", "js"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert_eq!(said.stderr, "hookbox: doorbell is not empty; name another folder with --dir\n");
    assert_eq!(std::fs::read_dir(author.place.path("doorbell")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_name_that_no_module_can_have_is_refused() {
    let author = Author::new();
    for name in ["Doorbell", "../doorbell", "all", "", &"a".repeat(65)] {
        let said = author.calls(&["new", name, "--lang", "js"]).await;
        assert!(said.code == 2 && said.stderr.contains("a module cannot be called"), "{said:?}");
    }
    assert_eq!(std::fs::read_dir(author.place.path(".")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_missing_tool_is_named_with_what_to_install() {
    let author = Author::new();
    let nowhere = author.place.path("nowhere").display().to_string();
    let environment =
        [("PATH", nowhere.as_str()), ("HOOKBOX_CLI_CACHE", nowhere.as_str()), ("CARGO", "cargo"), ("RUSTC", "rustc")];
    for (language, wanted) in [
        ("rust", "rustc is missing; install Rust with rustup"),
        ("js", "npm is missing; install Node.js 18 or later, with npm"),
        ("python", "python3 is missing; install Python 3.10 or later, with its venv module"),
    ] {
        author.succeeds(&["new", language, "--lang", language]).await;
        let said = author.calls_with(&["build", language], &environment).await;
        assert!(said.code == 2 && said.stderr.ends_with(&format!("hookbox: {wanted}\n")), "{language}: {said:?}");
    }
}

#[tokio::test]
async fn what_was_not_built_cannot_be_tested() {
    let author = Author::new();
    author.succeeds(&["new", "doorbell", "--lang", "js"]).await;
    for call in ["test", "check", "bench"] {
        let said = author.calls(&[call, "doorbell"]).await;
        assert!(said.code == 2 && said.stderr.ends_with("run `hookbox module build doorbell` first\n"), "{said:?}");
    }
}

#[tokio::test]
async fn what_was_changed_since_it_was_built_is_pointed_at() {
    let author = Author::new();
    author.succeeds(&["new", "doorbell", "--lang", "js"]).await;
    author.succeeds(&["build", "doorbell"]).await;
    assert_eq!(author.calls(&["test", "doorbell"]).await.stderr, "");
    let code = std::fs::read_to_string(author.place.path("doorbell/module.js")).unwrap();
    author.place.write("doorbell/module.js", code);
    let said = author.calls(&["test", "doorbell"]).await;
    let words = "doorbell/module.js is newer than doorbell/build/doorbell.wasm: build it again to see the change\n";
    assert_eq!((said.code, said.stderr.as_str()), (0, words));
}

#[tokio::test]
async fn run_shows_events_and_faults_of_any_component() {
    let author = Author::new();
    a_message(&author);
    author.place.write("echo.wasm", bad_modules::bytes(ECHO));
    let said = author.calls(&["run", "echo.wasm", "message.json", "--json"]).await;
    let answers: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(answers[0]["answer"][0]["account_id"], "a1");
    assert_eq!(answers[0]["handed_over"], true);
    assert!(answers[0]["fuel"].as_u64() > Some(0) && answers[0]["memory_bytes"].as_u64() > Some(0));

    for (module, words) in [(TRAP, "it trapped"), (SPIN, "units of fuel"), (HOG, "bytes of memory")] {
        author.place.write("bad.wasm", bad_modules::bytes(module));
        let said = author.calls(&["run", "bad.wasm", "message.json"]).await;
        assert!(said.code == 1 && said.stdout.contains(words), "{module}: {said:?}");
    }
}

#[tokio::test]
async fn check_says_what_a_host_would_say() {
    let author = Author::new();
    for (name, bytes, words) in [
        ("loop.wasm", bad_modules::bytes(METADATA_LOOP), "refused at metadata: it "),
        ("core.wasm", bad_modules::core_module(), "refused at component: not a usable component: it is a core module"),
    ] {
        author.place.write(name, bytes);
        let said = author.calls(&["check", name]).await;
        assert!(said.code == 1 && said.stdout.starts_with(words), "{said:?}");
    }
}

#[tokio::test]
async fn a_failing_sample_shows_what_differs_and_accept_takes_it() {
    let author = Author::new();
    author.succeeds(&["new", "doorbell", "--lang", "js"]).await;
    author.succeeds(&["build", "doorbell"]).await;
    let sample = author.place.path("doorbell/samples/hung_up.json");
    let before = std::fs::read_to_string(&sample).unwrap();
    author.place.write("doorbell/samples/hung_up.json", before.replace("\"duration_s\": 61", "\"duration_s\": 62"));

    let said = author.calls(&["test", "doorbell"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stdout.contains("-       \"duration_s\": 62\n") && said.stdout.contains("+       \"duration_s\": 61\n"),
        "{said:?}"
    );
    assert!(said.stdout.ends_with("3 samples, 1 failed\n"), "{said:?}");

    author.succeeds(&["test", "doorbell", "--accept"]).await;
    assert_eq!(std::fs::read_to_string(&sample).unwrap(), before, "all but the events is as it was");
    author.succeeds(&["test", "doorbell"]).await;
}

const FORGETFUL_NOT: &str = r##"
import { module } from "./hookbox/index.js";

let calls = 0;

export const { metadata, bindings, handleEvent } = module({
  id: "counter",
  name: "Counter",
  version: "1.0.0",
  bindings: [{ exchange: "e", routingKeys: ["#"], category: "c" }],
  handle: ({ accountId }) => ({ accountId, payload: { calls: ++calls } }),
});
"##;

#[tokio::test]
async fn what_a_module_keeps_between_calls_is_found_out() {
    let author = Author::new();
    author.succeeds(&["new", "counter", "--lang", "js"]).await;
    author.place.write("counter/module.js", FORGETFUL_NOT);
    std::fs::remove_dir_all(author.place.path("counter/samples")).unwrap();
    let message = json!({"exchange": "e", "routing_key": "k", "account_id": "a1", "body": {"Event-Category": "c"}});
    let events = json!([{"hook_event": "counter", "account_id": "a1", "payload": {"calls": 1}}]);
    author.place.write("counter/samples/one.json", json!({"message": message, "events": events}).to_string());
    author.succeeds(&["build", "counter"]).await;

    let said = author.calls(&["test", "counter", "--seed", "1"]).await;

    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("hidden state: after these in the same instance"), "{said:?}");
    assert!(said.stdout.ends_with("1 samples, 1 failed\nto see the same again: --seed 1\n"), "{said:?}");
    let again = author.calls(&["test", "counter", "--seed", "1", "--json"]).await;
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["samples"][0]["problems"][0]["kind"], "hidden state");
}
