//! `hookbox module quarantine|lift`: why a module is not called, and having it called again all the same. Of the operator's
//! modules with the master account.

use serde_json::Value;

use super::registered::{One, in_module};
use crate::command::{
    rest::{Host, Refusal},
    table::{print_fields, print_json, say, text, time},
};

impl One {
    /// Prints how it stands.
    pub(super) async fn show_quarantine(&self, host: &Host) -> Result<(), Refusal> {
        let standing = host.get(&in_module(host, self.name(), &["quarantine"]).await?).await?;
        if host.json {
            print_json(&standing);
            return Ok(());
        }
        let rule = format!(
            "{} of {} within {} ms",
            text(&standing["faults"]),
            text(&standing["fault_count"]),
            text(&standing["fault_window_ms"])
        );
        let mut fields = vec![("module", text(&standing["module"])), ("faults", rule)];
        fields.extend(fields_of(&standing["quarantine"]));
        print_fields(&fields);
        Ok(())
    }

    /// Lifts it.
    pub(super) async fn lift_quarantine(&self, host: &Host) -> Result<(), Refusal> {
        let standing = host.delete(&in_module(host, self.name(), &["quarantine"]).await?).await?;
        match host.json {
            true => print_json(&standing),
            false => say(&format!("{} is called again, and its faults are forgotten", text(&standing["module"]))),
        }
        Ok(())
    }
}

/// What there is to say of a quarantine, when there is one.
pub(super) fn fields_of(quarantine: &Value) -> Vec<(&'static str, String)> {
    if quarantine.is_null() {
        return vec![("quarantine", "no".to_owned())];
    }
    vec![
        ("quarantine", text(&quarantine["reason"])),
        ("since", time(&quarantine["since"])),
        ("failed version", text(&quarantine["version"])),
        ("failed on", text(&quarantine["last_message"])),
    ]
}
