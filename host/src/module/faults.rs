//! Faults that wait to be written: a trap-looping module makes thousands in a second, so they are added up for each version,
//! and written as one.
//!
//! Filled by whoever charges calls, on the workers' threads; emptied by [`super::quarantining`]. Bounded by the number of
//! versions that wait at once (`modules.faulty_versions_max`), whatever each of them does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::counter;
use ring::digest;
use tokio::sync::Notify;

use super::ModuleError;
use crate::{
    message::{Message, UnixMs},
    store::module_faults::Component,
};

/// So much is kept of a message's id, in characters.
const MESSAGE_ID_CHARS_MAX: usize = 256;

/// What a call was about that failed.
#[derive(Clone, Copy, Debug)]
pub enum FailedOn<'a> {
    /// A module on a message.
    Message(&'a Message),
    /// A transform on the firing of this `webhook-id`.
    Firing(&'a str),
}

impl FailedOn<'_> {
    /// How people find it again: the message's id, or the digest of its body when it has none; the firing's `webhook-id`.
    pub fn name(&self) -> String {
        match self {
            Self::Firing(webhook_id) => (*webhook_id).to_owned(),
            Self::Message(Message { message_id: Some(id), .. }) => id.chars().take(MESSAGE_ID_CHARS_MAX).collect(),
            Self::Message(message) => {
                format!("sha256:{}", hex::encode(digest::digest(&digest::SHA256, message.body.as_bytes()).as_ref()))
            }
        }
    }
}

/// Faults of one version that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The version, as its owner numbers it.
    pub version: String,
    /// How many.
    pub count: u64,
    /// When the last was.
    pub at_ms: UnixMs,
    /// The last, in words.
    pub last_error: String,
    /// What the last was about.
    pub last_message: String,
    /// Why this node does not call the version any more, when it has counted enough by itself.
    pub too_many: Option<Arc<String>>,
}

/// The faults that wait.
#[derive(Debug)]
pub struct FaultQueue {
    waiting: Mutex<HashMap<Component, Waiting>>,
    versions_max: usize,
    /// Rung when one waits.
    pub noted: Notify,
}

impl FaultQueue {
    /// An empty one, for so many versions at once.
    pub fn new(versions_max: u64) -> Self {
        let versions_max = usize::try_from(versions_max).unwrap_or(usize::MAX);
        Self { waiting: Mutex::default(), versions_max, noted: Notify::new() }
    }

    /// Adds one fault.
    pub fn note(
        &self,
        of: Component,
        version: &str,
        (error, on): (&ModuleError, FailedOn<'_>),
        too_many: Option<Arc<String>>,
        at_ms: UnixMs,
    ) {
        let (version, last_error, last_message) = (version.to_owned(), error.to_string(), on.name());
        self.add(of, Waiting { version, count: 1, at_ms, last_error, last_message, too_many });
        self.noted.notify_one();
    }

    /// Takes all.
    pub fn take(&self) -> HashMap<Component, Waiting> {
        std::mem::take(&mut *self.locked())
    }

    /// Adds faults to those that wait, e.g. back when they could not be written.
    pub fn add(&self, of: Component, faults: Waiting) {
        let mut waiting = self.locked();
        let has_room = waiting.len() < self.versions_max;
        match waiting.get_mut(&of) {
            Some(there) => {
                there.count = there.count.saturating_add(faults.count);
                there.too_many = there.too_many.take().or(faults.too_many);
                if faults.at_ms >= there.at_ms {
                    (there.at_ms, there.last_error, there.last_message) =
                        (faults.at_ms, faults.last_error, faults.last_message);
                }
            }
            None if has_room => drop(waiting.insert(of, faults)),
            // The store has been away while ever more versions failed; each node still counts for itself.
            None => counter!("hookbox_module_faults_lost_total").increment(faults.count),
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Component, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Source;

    fn of(module: &str) -> Component {
        Component { module: module.into(), digest: "d1".into() }
    }

    fn note(queue: &FaultQueue, module: &str, on: &str, too_many: Option<&str>, at_ms: UnixMs) {
        let reason = too_many.map(|reason| Arc::new(reason.to_owned()));
        queue.note(
            of(module),
            "1.0.0",
            (&ModuleError::Fuel { limit: at_ms, whose: Default::default() }, FailedOn::Firing(on)),
            reason,
            at_ms,
        );
    }

    #[test]
    fn faults_of_a_version_are_added_up_and_the_last_is_kept() {
        let queue = FaultQueue::new(10);
        note(&queue, "a1/crm", "first", None, 1);
        note(&queue, "a1/crm", "second", Some("too many"), 2);
        note(&queue, "sms", "other", None, 2);
        let taken = queue.take();
        assert_eq!((taken.len(), taken[&of("sms")].count), (2, 1));
        let crm = &taken[&of("a1/crm")];
        assert_eq!((crm.count, crm.at_ms, crm.last_message.as_str()), (2, 2, "second"));
        assert!(crm.last_error.contains("its 2 units"), "{crm:?}");
        assert!(queue.take().is_empty());

        note(&queue, "a1/crm", "third", None, 3);
        queue.add(of("a1/crm"), crm.clone());
        let crm = &queue.take()[&of("a1/crm")];
        assert_eq!((crm.count, crm.at_ms, crm.last_message.as_str()), (3, 3, "third"), "what comes back is the older");
        assert_eq!(crm.too_many.as_deref().map(String::as_str), Some("too many"), "and is not forgotten");
    }

    #[test]
    fn so_many_versions_may_wait_and_no_more() {
        let queue = FaultQueue::new(2);
        for module in ["a", "b", "c", "a"] {
            note(&queue, module, "m", None, 1);
        }
        let taken = queue.take();
        assert_eq!((taken.len(), taken[&of("a")].count), (2, 2), "those that have a place are still added up");
    }

    #[test]
    fn a_message_is_named_so_that_it_is_found_again() {
        let mut message = Message {
            source: Source::Http,
            exchange: "e".into(),
            routing_key: "r".into(),
            message_id: Some("m7".into()),
            category: "c".into(),
            name: "n".into(),
            account: None,
            within: None,
            received_ms: 1,
            trace: None,
            body: "{}".into(),
        };
        assert_eq!(FailedOn::Message(&message).name(), "m7");
        message.message_id = Some("é".repeat(1000));
        assert_eq!(FailedOn::Message(&message).name(), "é".repeat(256));
        message.message_id = None;
        // `printf '{}' | sha256sum`.
        let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(FailedOn::Message(&message).name(), digest);
    }
}
