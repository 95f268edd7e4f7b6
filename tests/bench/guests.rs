//! What a call costs in each language: the example `missed_call`, built by the kits, in the sandbox that hosts have, in an
//! instance of its own and in one that is used again. Prints `guest js: fresh … us, reused … us, page faults …`. And how long
//! a tenant waits for the report of an upload: `upload-to-report: rust … ms, quickjs … ms, python … ms`, all steps of the
//! check, compiled in the process apart, with nothing in its cache.
#![allow(clippy::print_stdout, clippy::panic)]

use std::{fs, time::Instant};

use hookbox_tests::{author::Author, upload_desk::UploadDesk};
use serde_json::Value;

/// The sample that is measured: the one that gives an event.
const SAMPLE: &str = "missed.json";
/// Uploads of one component; the median counts.
const UPLOADS: usize = 3;

#[tokio::main]
async fn main() {
    let author = Author::new();
    let mut reports = Vec::new();
    for (language, engine) in [("rust", "rust"), ("js", "quickjs"), ("python", "python")] {
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
        let component = format!("{folder}/build/missed_call.wasm");
        let component = fs::read(&component).unwrap_or_else(|error| panic!("{component}: {error}"));
        reports.push(format!("{engine} {:.0} ms", upload_to_report_ms(&component).await));
    }
    println!("upload-to-report: {}", reports.join(", "));
}

/// The median, each with an empty cache.
async fn upload_to_report_ms(component: &[u8]) -> f64 {
    let mut took_ms = Vec::new();
    for _ in 0..UPLOADS {
        let desk = UploadDesk::with(&[]);
        let (component, began) = (component.to_vec(), Instant::now());
        desk.check(component, &[]).await.unwrap_or_else(|error| panic!("it is refused: {error}"));
        took_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took_ms.sort_by(f64::total_cmp);
    took_ms[UPLOADS / 2]
}
