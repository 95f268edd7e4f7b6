//! The same call for each of several things that were named: all are tried, and each has its line.

use serde_json::{Value, json};

use super::{
    rest::{Host, Refusal},
    table::{Table, print_json},
};

/// Makes the call with each id, and prints what came of it (`said` puts an answer into words). What the host has against
/// one of several is in that one's line, and the others are tried all the same; what is in the way of all ends it.
pub(super) async fn each(
    host: &Host,
    ids: &[String],
    call: impl AsyncFn(&str) -> Result<Value, Refusal>,
    said: impl Fn(&Value) -> String,
) -> Result<(), Refusal> {
    let mut table = Table::new(&["id", "outcome"]);
    let (mut answers, mut failed, mut in_the_way) = (Vec::new(), 0, None);
    for id in ids {
        match call(id).await {
            Ok(answer) => {
                table.row([id.clone(), said(&answer)]);
                answers.push(answer);
            }
            Err(refusal) => match refusal.against_one().filter(|_| ids.len() > 1) {
                Some(words) => {
                    failed += 1;
                    table.row([id.clone(), words.clone()]);
                    answers.push(json!({"id": id, "error": words}));
                }
                None => {
                    in_the_way = Some(refusal);
                    break;
                }
            },
        }
    }
    match (host.json, answers.is_empty()) {
        (_, true) => {}
        (true, false) => print_json(&Value::Array(answers)),
        (false, false) => table.print(""),
    }
    match (in_the_way, failed) {
        (Some(refusal), _) => Err(refusal),
        (None, 0) => Ok(()),
        (None, _) => Err(Refusal::NotAll(format!("{failed} of {} were not done", ids.len()))),
    }
}
