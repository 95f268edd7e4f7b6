//! The calls of a trial, watched: what came of each, and what it cost.

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use super::super::{
    TrialFiring,
    report::{Call, Fault, Spread, Tally, Trials},
};
use crate::{
    message::{Message, Object, UnixMs},
    module::{
        Handled, Module, ModuleError, Transform, guest::Surroundings, page_faults, sandbox::Called,
        transform::TransformInput,
    },
    settings::ModuleSettings,
};

/// How many payloads, faults and lines are shown.
const SHOWN_MAX: usize = 5;
/// A payload above this size is not shown, bytes.
const SHOWN_PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// What was handed over is named by so many characters at most.
const NAME_CHARS_MAX: usize = 200;

/// The calls so far.
pub(super) struct Watched {
    made: Tally,
    payloads: Vec<Value>,
    faults: Vec<Fault>,
    failed: u64,
    log: Vec<String>,
    calls: Vec<Call>,
    calls_max: usize,
}

/// What came of a call: in one word, how many events, and their payloads as far as they are shown.
type Came = (&'static str, u64, Vec<Object>);

impl Watched {
    pub(super) fn new(made: Tally, settings: &ModuleSettings) -> Self {
        let calls_max = usize::try_from(settings.report_calls_max).unwrap_or(usize::MAX);
        Self {
            made,
            payloads: Vec::new(),
            faults: Vec::new(),
            failed: 0,
            log: Vec::new(),
            calls: Vec::new(),
            calls_max,
        }
    }

    pub(super) fn hand_message(&mut self, module: &Module, message: &Message) {
        let handed = format!("{} {}", message.exchange, message.routing_key);
        let shown_max = SHOWN_MAX.saturating_sub(self.payloads.len());
        self.watch(
            handed,
            || module.handle(message),
            |handled| match handled {
                Handled::Events(events) => {
                    let count = events.len() as u64;
                    let payloads = events.into_iter().take(shown_max).map(|(event, _)| event.payload);
                    ("events", count, payloads.collect())
                }
                Handled::NotMine => ("not_mine", 0, Vec::new()),
                Handled::Malformed(_) => ("malformed", 0, Vec::new()),
            },
        );
    }

    pub(super) fn hand_firing(
        &mut self,
        transform: &Transform,
        surroundings: &Surroundings,
        TrialFiring { name, firing, check }: TrialFiring,
        now_ms: UnixMs,
    ) {
        let account = firing.account_id.as_str().into();
        let settings = Arc::clone(&surroundings.settings);
        let input = TransformInput { firing, account, settings, limits: None, now_ms };
        self.watch(
            name,
            || transform.call(&input).checked(check),
            |sent| match sent {
                Some(payload) => ("to_send", 1, vec![payload]),
                None => ("dropped", 0, Vec::new()),
            },
        );
    }

    fn watch<T>(&mut self, handed: String, call: impl FnOnce() -> Called<T>, came: impl FnOnce(T) -> Came) {
        let (faults_before, began) = (page_faults::so_far(), Instant::now());
        let Called { result, log, cost } = call();
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let faults = page_faults::so_far().zip(faults_before).map(|(after, before)| after.saturating_sub(before));
        let room = SHOWN_MAX.saturating_sub(self.log.len());
        self.log.extend(log.lines.into_iter().take(room).map(|line| line.text));
        let (outcome, events, payloads) = match result {
            Ok(made) => came(made),
            Err(error) => (self.failed(&error), 0, Vec::new()),
        };
        let room = SHOWN_MAX.saturating_sub(self.payloads.len());
        self.payloads.extend(payloads.into_iter().take(room).map(shown));
        self.made.count(outcome, events);
        self.calls.push(Call {
            handed: handed.chars().take(NAME_CHARS_MAX).collect(),
            outcome,
            events,
            fuel: cost.fuel,
            took_us,
            memory_bytes: cost.memory_bytes as u64,
            page_faults: faults.unwrap_or_default(),
        });
    }

    fn failed(&mut self, error: &ModuleError) -> &'static str {
        self.failed += 1;
        if self.faults.len() < SHOWN_MAX {
            let call = self.calls.len() as u64;
            self.faults.push(Fault { call, kind: error.kind(), reason: error.to_string() });
        }
        error.kind()
    }

    /// What to tell of them, and what to warn of; nothing when there were none.
    pub(super) fn finish(self, warnings: &mut Vec<String>) -> Option<Trials> {
        let Self { made, payloads, faults, failed, log, mut calls, calls_max } = self;
        let what = match made {
            Tally::Module { .. } => "messages",
            Tally::Transform { .. } => "firings",
        };
        if failed > 0 {
            warnings.push(format!("it failed on {failed} of {} {what}", calls.len()));
        }
        let spread = |figure: fn(&Call) -> u64| Spread::of(calls.iter().map(figure).collect());
        let (fuel, took_us) = (spread(|call| call.fuel), spread(|call| call.took_us));
        let (memory_bytes, page_faults) = (spread(|call| call.memory_bytes), spread(|call| call.page_faults));
        let were_made = !calls.is_empty();
        calls.truncate(calls_max);
        let told = Trials { made, payloads, faults, failed, log, fuel, took_us, memory_bytes, page_faults, calls };
        were_made.then_some(told)
    }
}

impl Tally {
    fn count(&mut self, outcome: &str, more: u64) {
        match self {
            Self::Module { messages, events, not_mine, malformed } => {
                *messages += 1;
                *events += more;
                *not_mine += u64::from(outcome == "not_mine");
                *malformed += u64::from(outcome == "malformed");
            }
            Self::Transform { firings, to_send, dropped } => {
                *firings += 1;
                *to_send += more;
                *dropped += u64::from(outcome == "dropped");
            }
        }
    }
}

fn shown(payload: Object) -> Value {
    let payload = Value::Object(payload);
    match payload.to_string().len() {
        bytes if bytes > SHOWN_PAYLOAD_BYTES_MAX => Value::String(format!("({bytes} bytes, not shown)")),
        _ => payload,
    }
}
