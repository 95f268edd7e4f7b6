//! What stands in for the host's imports on this thread while a module is rehearsed. Off stage there are no settings
//! and no accounts, and log lines are lost.

use std::cell::RefCell;

use super::Rehearsal;
use crate::log::Level;

#[derive(Default)]
struct Stage {
    host: Rehearsal,
    log: Vec<(Level, String)>,
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::default();
}

pub(super) fn enter(host: Rehearsal) {
    STAGE.set(Stage { host, log: Vec::new() });
}

pub(super) fn leave() -> Vec<(Level, String)> {
    STAGE.take().log
}

pub(crate) fn log(level: Level, text: &str) {
    STAGE.with_borrow_mut(|stage| stage.log.push((level, text.to_owned())));
}

pub(crate) fn setting(key: &str) -> Option<String> {
    STAGE.with_borrow(|stage| stage.host.settings.get(key).cloned())
}

pub(crate) fn settings() -> Vec<(String, String)> {
    STAGE.with_borrow(|stage| stage.host.settings.clone().into_iter().collect())
}

pub(crate) fn reseller(account: &str) -> Option<String> {
    STAGE.with_borrow(|stage| stage.host.accounts.resellers.get(account).cloned())
}

pub(crate) fn ancestors(account: &str) -> Vec<String> {
    STAGE.with_borrow(|stage| stage.host.accounts.ancestors.get(account).cloned().unwrap_or_default())
}

pub(crate) fn account_of_number(number: &str) -> Option<String> {
    STAGE.with_borrow(|stage| stage.host.accounts.numbers.get(number).cloned())
}
