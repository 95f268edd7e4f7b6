//! `hookbox module push`: a component goes to the host piece by piece, with its progress on stderr when people look on.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Args;
use futures_util::stream;
use serde_json::Value;

use super::{registered::in_module, report};
use crate::command::{
    rest::{Host, Refusal, with_query},
    table::{print_json, say, text},
};

/// What goes at once, bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What to upload, and what becomes of it.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// The component (.wasm).
    file: PathBuf,
    /// What it is to be called; the file's name when absent. A module's is the id in its metadata.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The semantic version of a transform, the next one when absent. A module says its own.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Make it the active version at once.
    #[arg(long)]
    activate: bool,
    /// Say on stderr how much has gone, also where that is no terminal.
    #[arg(long)]
    progress: bool,
}

impl Push {
    /// Uploads it, and prints what the check found.
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let component = tokio::fs::read(&self.file).await;
        let component = component.map_err(|error| Refusal::Unable(format!("{}: {error}", self.file.display())))?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => name_of(&self.file)?,
        };
        let mut query = Vec::new();
        query.extend(self.version.iter().map(|version| ("version", version.clone())));
        query.extend(self.activate.then(|| ("activate", "true".to_owned())));
        let path = with_query(&in_module(host, &name, &["versions"]).await?, &query);
        let size = component.len();
        let (version, is_new) =
            host.upload(&path, "application/wasm", size, pieces(component.into(), self.progress)).await?;
        if host.json {
            print_json(&version);
            return Ok(());
        }
        report::print(&version["report"], &version["bindings"]);
        let what = match (is_new, version["active"] == Value::Bool(true)) {
            (true, true) => "kept, and active",
            (true, false) => "kept; `hookbox module activate` makes it active",
            (false, true) => "the host has it already; it is active",
            (false, false) => "the host has it already; `hookbox module activate` makes it active",
        };
        say(&format!("{name} {} is {what}", text(&version["version"])));
        Ok(())
    }
}

/// What a file is called, as a module is.
fn name_of(file: &Path) -> Result<String, Refusal> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = stem.to_ascii_lowercase().replace(['-', '.', ' '], "_");
    match crate::module::description::is_module_id(&name) {
        true => Ok(name),
        false => Err(Refusal::Unable(format!("{} does not say what to call it: use --name", file.display()))),
    }
}

/// The component in pieces; how much of it has gone is said when people look on, or it is asked for.
fn pieces(
    component: Bytes,
    is_asked_for: bool,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let looks_on = is_asked_for || std::io::stderr().is_terminal();
    stream::iter((0..component.len()).step_by(PIECE_BYTES).map(move |from| {
        let to = (from + PIECE_BYTES).min(component.len());
        if looks_on {
            let percent = to * 100 / component.len();
            let end = if to == component.len() { ", being checked …\n" } else { "" };
            // Whoever looks on may have gone.
            write!(std::io::stderr(), "\rsent {to} of {} bytes, {percent} %{end}", component.len()).ok();
        }
        Ok(component.slice(from..to))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_to_call_it() {
        for (file, name) in [("target/my_crm.wasm", "my_crm"), ("My-CRM.wasm", "my_crm"), ("a.b.wasm", "a_b")] {
            assert_eq!(name_of(Path::new(file)).ok().as_deref(), Some(name));
        }
        assert!(name_of(Path::new("ü.wasm")).is_err());
    }
}
