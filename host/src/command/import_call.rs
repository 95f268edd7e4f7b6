//! `hookbox import kazoo FILE`: KAZOO's documents straight into the store, by [`crate::kazoo::import`].

use std::{path::Path, process::ExitCode};

use super::could_not_begin;
use crate::{
    clock::Clock,
    error_chain::chain,
    hook::{Hook, HookRecord},
    host,
    kazoo::import,
    settings::Settings,
};

/// Loads the documents and prints the report; exit code 1 when some were refused.
pub async fn run(file: &Path, config: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return could_not_begin(&error),
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return could_not_begin(&format!("{}: cannot be read ({error})", file.display())),
    };
    match load(&settings, &text).await {
        Ok(report) => {
            print!("{report}");
            if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(reason) => could_not_begin(&format!("{}: {reason}", file.display())),
    }
}

/// Loads the documents of `text` into the store that the settings name. An error is a sentence for people.
pub async fn load(settings: &Settings, text: &str) -> Result<import::Report, String> {
    let key = host::host_key(settings).map_err(|error| chain(&error))?;
    let store = host::open_store(settings).await.map_err(|error| chain(&error))?;
    let now_ms = Clock::System.now_ms();
    let master = host::master_account(settings, &store, now_ms).await.map_err(|error| chain(&error))?;
    let validate = |record: &HookRecord| {
        Hook::from_record(record, &settings.firing).map(drop).map_err(|problems| problems.to_string())
    };
    let report = import::run(text, &store, &key, &master, &validate, now_ms).await.map_err(|error| chain(&error));
    store.close().await;
    report
}
