//! `hookbox module run` and `test` with transforms: firings in files, what would be sent of each, and what a host would
//! refuse.

use hookbox_tests::{
    author::Author,
    bad_modules::{self, AS_TOLD},
};
use serde_json::{Value, json};

/// What one firing comes to with these settings: the exit code and the answer.
async fn run(firing: Value, settings: &[&str]) -> (i32, Value) {
    let author = Author::new();
    author.place.write("as_told.wasm", bad_modules::bytes(AS_TOLD));
    author.place.write("firing.json", firing.to_string());
    let settings: Vec<_> = settings.iter().flat_map(|setting| ["--setting", setting]).collect();
    let said = author.calls(&[&["run", "as_told.wasm", "firing.json", "--json"], &settings[..]].concat()).await;
    let answers: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(answers[0]["firing"], "firing.json");
    assert!(answers[0]["fuel"].as_u64() > Some(0), "{answers}");
    (said.code, answers[0]["answer"].clone())
}

#[tokio::test]
async fn run_shows_what_would_be_sent() {
    let fields = |uri: &str, payload: Value, headers: Value, content_type: &str| json!({"uri": uri, "payload": payload, "headers": headers, "content_type": content_type});
    let (code, answer) = run(json!({"payload": {"b": 1, "a": 2}}), &[]).await;
    let unchanged = fields("https://receiver.example.com/in", json!({"b": 1, "a": 2}), json!([]), "application/json");
    assert_eq!((code, answer), (0, unchanged));

    let firing = json!({"uri": "https://example.com/in", "headers": [["X-Team", "support"]]});
    let headers = json!([["X-Team", "support"], ["X-More", "yes"]]);
    let changed = fields("https://example.com/in?b=2", json!({"mark": "seen"}), headers, "text/plain");
    let told = ["append=?b=2", "payload={\"mark\": \"seen\"}", "header=X-More=yes", "content_type=text/plain"];
    assert_eq!(run(firing, &told).await, (0, changed));
}

#[tokio::test]
async fn run_shows_the_whole_firing_that_was_handed_in() {
    let (_, answer) = run(json!({"payload": {"a": 1}, "attempt": 3, "verb": "put"}), &["report=yes"]).await;
    let report = json!({
        "webhook_id": "5a".repeat(32), "account_id": "a".repeat(32), "hook_id": "b".repeat(32),
        "hook_event": "channel_destroy", "attempt": 3, "verb": "put", "uri": "https://receiver.example.com/in",
        "payload": {"a": 1}, "headers": {}, "content_type": "application/json",
    });
    assert_eq!(answer["payload"], report);
}

#[tokio::test]
async fn run_shows_faults_and_what_a_host_refuses() {
    for (setting, kind, words) in [
        ("do=fail", "failed", "it was told to fail"),
        ("do=trap", "fault", "it trapped"),
        // Whichever ends first on this machine: its fuel, or its time.
        ("do=loop", "fault", "or mend the module"),
        ("do=huge", "fault", "modules.output_bytes_max"),
        ("uri=https://elsewhere.example.com/in", "fault", "another scheme, host, port, user or password"),
        ("header=Webhook-Signature=v1,forged", "fault", "the header Webhook-Signature"),
        ("payload=[]", "fault", "not a JSON object"),
    ] {
        let (code, answer) = run(json!({}), &[setting]).await;
        assert_eq!(code, 1, "{setting}: {answer}");
        assert!(answer[kind].as_str().is_some_and(|why| why.contains(words)), "{setting}: {answer}");
    }
    assert_eq!(run(json!({}), &["do=drop"]).await, (0, json!("dropped")));
}

#[tokio::test]
async fn a_firing_that_no_host_hands_in_is_refused() {
    let author = Author::new();
    author.place.write("as_told.wasm", bad_modules::bytes(AS_TOLD));
    for (firing, words) in [
        (json!({"verb": "patch"}), "verb \"patch\" is none of get, post, put"),
        (json!({"content_type": "text/plain"}), "content_type \"text/plain\" is neither"),
        (json!({"attempts": 2}), "unknown field `attempts`"),
        (json!({"payload": []}), "expected a map"),
    ] {
        author.place.write("firing.json", firing.to_string());
        let said = author.calls(&["run", "as_told.wasm", "firing.json"]).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{firing}");
        assert!(said.stderr.starts_with("hookbox: firing.json: firing: ") && said.stderr.contains(words), "{said:?}");
    }
}

/// A folder with the transform in it, and a sample for each form that a result may have.
fn a_folder(author: &Author) {
    author
        .place
        .write("as_told/hookbox-module.toml", "name = \"as_told\"\nlanguage = \"rust\"\nworld = \"transform\"\n");
    author.place.write("as_told/build/as_told.wasm", bad_modules::bytes(AS_TOLD));
    let foreign = "the URI has another scheme, host, port, user or password; only path and query may be changed";
    for (name, settings, result) in [
        ("changed", json!({"mark": "seen"}), json!({"payload": {"mark": "seen", "a": 1}})),
        ("dropped", json!({"do": "drop"}), json!("dropped")),
        ("failed", json!({"do": "fail"}), json!({"failed": "it was told to fail"})),
        (
            "foreign",
            json!({"uri": "http://x.example.com/"}),
            json!({"fault": format!("its output cannot be used: {foreign}")}),
        ),
        ("unchanged", json!({}), json!({})),
    ] {
        let sample = json!({"about": name, "settings": settings, "firing": {"payload": {"a": 1}}, "result": result});
        author.place.write(&format!("as_told/samples/{name}.json"), format!("{sample:#}\n"));
    }
}

#[tokio::test]
async fn samples_of_a_transform_say_what_it_changes() {
    let author = Author::new();
    a_folder(&author);
    let tested = author.succeeds(&["test", "as_told"]).await;
    let told: Vec<_> = tested.lines().filter_map(|line| line.split_once(", ")).map(|(told, _)| told).collect();
    assert_eq!(told[0], "ok     changed.json: another payload");
    assert_eq!(told[1], "ok     dropped.json: dropped");
    assert_eq!(told[2], "ok     failed.json: failed: it was told to fail");
    assert_eq!(told[4], "ok     unchanged.json: nothing changed");
    assert!(
        tested.ends_with("each in an instance of its own, as hosts do it; none was used again\n5 samples, 0 failed\n"),
        "{tested}"
    );
}

#[tokio::test]
async fn a_failing_sample_of_a_transform_shows_what_differs_and_accept_takes_it() {
    let author = Author::new();
    a_folder(&author);
    let changed = author.place.path("as_told/samples/changed.json");
    let before = std::fs::read_to_string(&changed).unwrap();
    author.place.write(
        "as_told/samples/changed.json",
        before.replacen("\"a\": 1\n    }\n  }\n}", "\"a\": 2\n    }\n  }\n}", 1),
    );
    author.place.write("as_told/samples/dropped.json", "{\"settings\": {\"do\": \"drop\"}, \"firing\": {}}");

    let said = author.calls(&["test", "as_told"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("-     \"a\": 2\n") && said.stdout.contains("+     \"a\": 1\n"), "{said:?}");
    assert!(said.stdout.contains("the sample does not say result; --accept writes"), "{said:?}");

    author.succeeds(&["test", "as_told", "--accept"]).await;
    assert_eq!(std::fs::read_to_string(&changed).unwrap(), before, "all but the result is as it was");
    let dropped = std::fs::read_to_string(author.place.path("as_told/samples/dropped.json")).unwrap();
    assert!(dropped.ends_with("\"result\": \"dropped\"\n}\n"), "{dropped}");
    author.succeeds(&["test", "as_told"]).await;
}

#[tokio::test]
async fn a_result_that_no_transform_has_is_refused() {
    let author = Author::new();
    a_folder(&author);
    author.place.write("as_told/samples/wrong.json", json!({"firing": {}, "result": {"verb": "get"}}).to_string());
    let said = author.calls(&["test", "as_told"]).await;
    assert!(
        said.code == 2 && said.stderr.contains("does not change verb, but uri, payload, headers, content_type"),
        "{said:?}"
    );
}

#[tokio::test]
async fn bench_tells_what_a_transform_costs_in_fresh_instances() {
    let author = Author::new();
    a_folder(&author);
    let said = author.calls(&["bench", "as_told", "--rounds", "1", "--json"]).await;
    assert_eq!(said.code, 1, "two of the samples fail: {said:?}");
    let measured: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let samples = measured["samples"].as_array().unwrap();
    let names: Vec<_> = samples.iter().map(|sample| sample["sample"].as_str().unwrap()).collect();
    assert_eq!(names, ["changed.json", "dropped.json", "unchanged.json"]);
    for sample in samples {
        assert!(sample["fresh_us"].as_f64() > Some(0.0) && sample["fuel"].as_u64() > Some(0), "{sample}");
        assert!(sample["reused_us"].is_null() && sample["reused_page_faults"].is_null(), "{sample}");
    }

    for failing in ["failed", "foreign"] {
        std::fs::remove_file(author.place.path(&format!("as_told/samples/{failing}.json"))).unwrap();
    }
    let told = author.succeeds(&["bench", "as_told", "--rounds", "1"]).await;
    assert!(told.contains("1 rounds of 200 calls\n"), "{told}");
    let row = told.lines().find(|line| line.starts_with("changed.json")).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(row.split_whitespace().nth(2), Some("-"), "{row}");
}
