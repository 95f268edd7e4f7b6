//! What a call costs in each language: the example `missed_call`, built by the kits, in the sandbox that hosts have, in an
//! instance of its own and in one that is used again. Prints `guest js: fresh … us, reused … us, page faults …`.
#![allow(clippy::print_stdout, clippy::panic)]

use hookbox_tests::author::Author;
use serde_json::Value;

/// The sample that is measured: the one that gives an event.
const SAMPLE: &str = "missed.json";

#[tokio::main]
async fn main() {
    let author = Author::new();
    for language in ["rust", "js", "python"] {
        let folder = format!("{}/../sdk/examples/{language}/missed_call", env!("CARGO_MANIFEST_DIR"));
        author.succeeds(&["build", &folder]).await;
        let said = author.succeeds(&["bench", &folder, "--json"]).await;
        let measured: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let samples = measured["samples"].as_array().into_iter().flatten();
        let sample = samples.clone().find(|sample| sample["sample"] == SAMPLE);
        let sample = sample.unwrap_or_else(|| panic!("{SAMPLE} was not measured: {said}"));
        let figure = |name: &str| sample[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "guest {language}: fresh {:.1} us, reused {:.1} us, page faults {:.2} and {:.2}, fuel {}, component of {} bytes",
            figure("fresh_us"),
            figure("reused_us"),
            figure("fresh_page_faults"),
            figure("reused_page_faults"),
            sample["fuel"],
            measured["component_bytes"],
        );
    }
}
