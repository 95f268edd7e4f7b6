//! The report of a component's check, for people; the same of a check here and of an upload.

use serde_json::Value;

use crate::command::table::{say, text};

/// Prints it, and what the component binds.
pub(super) fn print(report: &Value, bindings: &Value) {
    say(&format!("{}, {} bytes, digest {}", text(&report["kind"]), text(&report["bytes"]), text(&report["digest"])));
    let steps = report["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let steps: Vec<_> = steps.iter().map(step).collect();
    say(&format!("passed {}", steps.join(", ")));
    for import in report["imports"].as_array().into_iter().flatten() {
        say(&format!("may use {}: {}", text(&import["name"]), text(&import["means"])));
    }
    for binding in bindings.as_array().into_iter().flatten() {
        let list = |name: &str| binding[name].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ");
        let (exchange, category) = (text(&binding["exchange"]), text(&binding["category"]));
        say(&format!("asks for {exchange} {}: {category} {}", list("routing_keys"), list("names")));
    }
    if let Some(trials) = report.get("trials").filter(|trials| trials.is_object()) {
        print_trials(trials, report["kind"] == "module");
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        say(&format!("warning: {}", text(warning)));
    }
}

/// Those that cost something say how much.
fn step(step: &Value) -> String {
    match step["took_ms"].as_f64() {
        Some(took_ms) if took_ms >= 10.0 => format!("{} ({took_ms:.0} ms)", text(&step["step"])),
        _ => text(&step["step"]),
    }
}

fn print_trials(trials: &Value, is_module: bool) {
    let count = |name: &str| text(&trials[name]);
    let (what, made) = match is_module {
        true => {
            let made = format!(
                "{} events, {} not its own, {} malformed",
                count("events"),
                count("not_mine"),
                count("malformed")
            );
            ("messages", made)
        }
        false => ("firings", format!("{} to be sent, {} dropped", count("to_send"), count("dropped"))),
    };
    say(&format!("handed {} {what}: {made}, {} failed", count(what), count("failed")));
    for (figure, unit) in
        [("fuel", "fuel"), ("took_us", "µs"), ("memory_bytes", "bytes"), ("page_faults", "page faults")]
    {
        let spread = |name: &str| text(&trials[figure][name]);
        say(&format!("a call costs {} {unit} (least {}, most {})", spread("median"), spread("min"), spread("max")));
    }
    for fault in trials["faults"].as_array().into_iter().flatten() {
        let call = &trials["calls"][fault["call"].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(0)];
        let handed = call["handed"].as_str().map(|handed| format!(" ({handed})")).unwrap_or_default();
        let one = if is_module { "message" } else { "firing" };
        say(&format!("{one} {}{handed}: {}", text(&fault["call"]), text(&fault["reason"])));
    }
    for line in trials["log"].as_array().into_iter().flatten() {
        say(&format!("logged: {}", text(line)));
    }
}
