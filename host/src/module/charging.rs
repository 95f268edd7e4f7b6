//! What follows of a call whatever it gave: what it said is logged, a fault is counted, and too many are quarantine.

use metrics::counter;

use super::{guest_log::Level, quarantine::Quarantine, sandbox::Called};
use crate::{clock::Clock, message::ModuleId};

/// Charges calls to those who were called. Cheap to clone, because workers do it too.
#[derive(Clone)]
pub struct Charging {
    /// What time it is.
    pub clock: Clock,
}

/// Who was called.
pub struct Charged<'a> {
    /// The module or the transform.
    pub id: &'a ModuleId,
    /// Its semantic version.
    pub version: &'a str,
    /// Where its faults are counted.
    pub quarantine: &'a Quarantine,
}

impl Charging {
    /// Charges one call.
    pub fn charge<T>(&self, to: &Charged<'_>, called: &Called<T>) {
        let id = to.id;
        for line in &called.log.lines {
            match line.level {
                Level::Debug => tracing::debug!(target: "hookbox::module_log", module = %id, "{}", line.text),
                Level::Info => tracing::info!(target: "hookbox::module_log", module = %id, "{}", line.text),
                Level::Warn | Level::Error => {
                    tracing::warn!(target: "hookbox::module_log", module = %id, "{}", line.text);
                }
            }
        }
        if called.log.dropped_bytes > 0 {
            counter!("hookbox_module_log_dropped_bytes_total", "module" => id.to_string())
                .increment(called.log.dropped_bytes);
        }
        if let Err(error) = &called.result {
            counter!("hookbox_module_faults_total", "module" => id.to_string(), "kind" => error.kind()).increment(1);
            if error.is_charged() && to.quarantine.charge(error, self.clock.now_ms()) {
                let version = to.version;
                tracing::error!(module = %id, version, %error,
                    "put in quarantine: it is not called any more until another version takes its place");
            }
        }
    }
}
