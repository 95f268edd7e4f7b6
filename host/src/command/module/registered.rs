//! `hookbox module list|show|activate|rollback|delete`: what an account has with a host.

use clap::Args;
use serde_json::{Value, json};

use super::quarantine::fields_of;
use crate::command::{
    rest::{Host, Refusal},
    table::{Table, cut, print_fields, print_json, say, text, time},
};

/// How much of a digest tells it from others in a list.
const DIGEST_WIDTH: usize = 13;

/// All of them.
#[derive(Debug, Args)]
pub(super) struct List {}

/// One of them.
#[derive(Debug, Args)]
pub(super) struct One {
    /// Its name.
    name: String,
}

/// One of them, and a version.
#[derive(Debug, Args)]
pub(super) struct Activate {
    /// Its name.
    name: String,
    /// Digest or semantic version.
    version: String,
}

/// One of them, or a version of it.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Its name.
    name: String,
    /// Digest or semantic version; the module with all its versions when absent.
    version: Option<String>,
}

/// A path below a module.
pub(super) async fn in_module(host: &Host, name: &str, rest: &[&str]) -> Result<String, Refusal> {
    host.in_account(&[&["webhook_modules", name], rest].concat()).await
}

impl List {
    /// Prints them.
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let modules = host.get(&host.in_account(&["webhook_modules"]).await?).await?;
        if host.json {
            print_json(&modules);
            return Ok(());
        }
        let mut table = Table::new(&["name", "kind", "active", "state", "offered", "of", "not called because"]);
        for module in modules.as_array().into_iter().flatten() {
            let of = if module["own"] == json!(true) { "this account".into() } else { text(&module["account_id"]) };
            table.row([
                text(&module["id"]),
                text(&module["kind"]),
                text(&module["active"]["version"]),
                text(&module["state"]),
                if module["offered"] == json!(true) { "yes".into() } else { "no".into() },
                of,
                why_not_called(module),
            ]);
        }
        table.print("the account has no modules; `hookbox module push --help` says how to bring one");
        Ok(())
    }
}

impl One {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Prints it and its versions.
    pub(super) async fn show(&self, host: &Host) -> Result<(), Refusal> {
        let module = host.get(&in_module(host, &self.name, &[]).await?).await?;
        let is_own = module["own"] == json!(true);
        let versions = match is_own {
            true => host.get(&in_module(host, &self.name, &["versions"]).await?).await?,
            false => Value::Null,
        };
        if host.json {
            print_json(&json!({"module": module, "versions": versions}));
            return Ok(());
        }
        let mut fields = vec![
            ("name", text(&module["id"])),
            ("kind", text(&module["kind"])),
            ("of", text(&module["account_id"])),
            ("active", text(&module["active"]["version"])),
            ("digest", text(&module["active"]["digest"])),
            ("offered", text(&module["offered"])),
            ("settings", text(&module["settings"])),
            ("limits", text(&module["limits"])),
            ("waiting", text(&module["stored_calls"])),
            ("created", time(&module["created"])),
            ("state", text(&module["state"])),
            ("set aside", text(&module["set_aside"])),
        ];
        fields.extend(fields_of(&module["quarantine"]));
        print_fields(&fields);
        if is_own {
            let mut table = Table::new(&["version", "digest", "active", "bytes", "uploaded", "by"]);
            for version in versions.as_array().into_iter().flatten() {
                table.row([
                    text(&version["version"]),
                    cut(&text(&version["digest"]), DIGEST_WIDTH),
                    if version["active"] == json!(true) { "yes".into() } else { "no".into() },
                    text(&version["size_bytes"]),
                    time(&version["uploaded"]),
                    text(&version["uploaded_by"]["account_id"]),
                ]);
            }
            say("");
            table.print("it has no versions");
        }
        Ok(())
    }

    /// Goes back to the version before.
    pub(super) async fn roll_back(&self, host: &Host) -> Result<(), Refusal> {
        let module = host.post(&in_module(host, &self.name, &["rollback"]).await?, json!({})).await?;
        now_active(host, &module)
    }
}

impl Activate {
    /// Makes the version active.
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let path = in_module(host, &self.name, &["activate"]).await?;
        now_active(host, &host.post(&path, json!({"version": self.version})).await?)
    }
}

impl Delete {
    /// Deletes it.
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let rest: &[&str] = match &self.version {
            Some(version) => &["versions", version],
            None => &[],
        };
        let gone = host.delete(&in_module(host, &self.name, rest).await?).await?;
        match (host.json, &self.version) {
            (true, _) => print_json(&gone),
            (false, Some(version)) => say(&format!("version {version} of {} is deleted", self.name)),
            (false, None) => say(&format!("{} is deleted, with all its versions", self.name)),
        }
        Ok(())
    }
}

fn now_active(host: &Host, module: &Value) -> Result<(), Refusal> {
    match host.json {
        true => print_json(module),
        false => say(&format!("version {} of {} is active", text(&module["active"]["version"]), text(&module["id"]))),
    }
    Ok(())
}

fn why_not_called(module: &Value) -> String {
    let quarantine = &module["quarantine"]["reason"];
    text(if quarantine.is_null() { &module["set_aside"] } else { quarantine })
}
