//! `hookbox doctor --audit`: proves over a store that nothing was lost without a word.

use std::{path::Path, process::ExitCode};

use super::{super::could_not_begin, Report};
use crate::{
    audit::{self, Bounds, Violation, ViolationKind},
    clock::Clock,
    error_chain::chain,
    host,
    settings::Settings,
    store::{SharedStore, StoreResult, audit::HookStands},
};

/// Prints counts and each violation; exit code 1 when there is any. Only reads: hosts may be at work on the store.
pub(super) async fn run(config: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return could_not_begin(&error),
    };
    let store = match host::open_store(&settings).await {
        Ok(store) => store,
        Err(error) => return could_not_begin(&chain(&error)),
    };
    let audited = audited(&settings, &store).await;
    store.close().await;
    match audited {
        Ok((bounds, found)) => said(&bounds, &found),
        Err(error) => could_not_begin(&chain(&error)),
    }
}

async fn audited(settings: &Settings, store: &SharedStore) -> StoreResult<(Bounds, audit::Report)> {
    let bounds = Bounds::of(settings, store, Clock::System.now_ms()).await?;
    let found = audit::audit(store, &bounds).await?;
    Ok((bounds, found))
}

fn said(bounds: &Bounds, found: &audit::Report) -> ExitCode {
    let audit::Report { delivered, dropped, failed, outside, waiting, late, undelivered, .. } = found;
    let mut report = Report { bad: 0 };
    let attempts = format!("{delivered} delivered, {dropped} dropped by transforms, {failed} failed");
    let why = match bounds.successes_recorded {
        true => "too old, from before the list was exact, or tests",
        false => "all of them: webhooks.log_successful_attempts is off, so nothing tells which firings arrived",
    };
    report.line("attempts", Ok(format!("{attempts}; {outside} not judged ({why})")));
    let behind = match late {
        0 => String::new(),
        late => format!("; {late} have been due for long: does a host run, and keep up?"),
    };
    report.line("waiting", Ok(format!("{waiting} firings{behind}")));
    report.line("undelivered", Ok(format!("{undelivered} firings")));
    for violation in &found.violations {
        report.line("firing", Err(sentence(violation)));
    }
    let named = found.violations.len() as u64;
    if found.violation_count > named {
        report.line("firings", Err(format!("{} more like these", found.violation_count - named)));
    }
    println!("violations: {}", found.violation_count);
    match found.violation_count {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn sentence(violation: &Violation) -> String {
    let Violation { webhook_id, account, hook, kind } = violation;
    let what = match kind {
        ViolationKind::Vanished { attempt, for_good } => {
            let last = if *for_good { "its last try" } else { "a try that was to be repeated" };
            format!(
                "{last} (attempt {attempt}) failed, and it is neither delivered nor waiting nor listed as undelivered; \
                 send that attempt again (hookbox attempts resend {attempt}), and report this as a fault of Hookbox"
            )
        }
        ViolationKind::NeverFree { free_ms } => format!(
            "it waits until {free_ms} (ms since 1970), longer than any pause or lease; was a clock set back? Edit and \
             save its hook disabled, then enabled, and send it again"
        ),
        ViolationKind::HookNotOn(HookStands::Off) => {
            "it waits although its hook is disabled, and hosts have passed it over".to_owned()
        }
        ViolationKind::HookNotOn(_) => "it waits although its hook is gone, and hosts have passed it over".to_owned(),
        ViolationKind::NoReason => "it is listed as undelivered without a reason".to_owned(),
    };
    format!("{webhook_id} of hook {hook}, account {account}: {what}")
}
