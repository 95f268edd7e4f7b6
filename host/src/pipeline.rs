//! READ FIRST: one message through the five stages, and the only place that settles.
//!
//! ```text
//!  ingress ──message──▶ module ──events──▶ match ──firings──▶ fire ──attempts──▶ record ──▶ settle
//! ```
//!
//! 1. [`crate::ingress`] took a message from the broker or from a poster, and decoded it.
//! 2. Every module that wants it is handed it, in a sandbox ([`crate::module`]), all at once; what one makes of it goes on
//!    at once, whatever the others do.
//! 3. The hook table gives the hooks that want each event ([`crate::hook`]).
//! 4. Each firing goes its way ([`crate::firing`]) until it has ended or is stored,
//! 5. which is when the row of its last attempt is committed ([`crate::attempt`]).
//!
//! Then, once, the message is settled. Before that it stays unacknowledged in the broker, so that a process that dies
//! loses nothing.
//!
//! Invariants: a receiver's misbehaviour never requeues a message; a module's misbehaviour keeps the message for that
//! module and does not stop the others; a busy module's calls are stored, and nobody waits for it; only our own failure
//! (the store) sends a message back.

pub mod call_scheduler;
mod stored_calls;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt, future::join_all};
use opentelemetry::trace::SpanKind;
use tracing::Instrument;

use crate::{
    account::AccountTree,
    clock::Clock,
    error_chain::chain,
    firing::{Firer, webhook_id::MessageDigest},
    hook::table::HookTable,
    ingress::{Settlement, decode::DecodeError},
    message::{Event, Firing, Message, Source, Target},
    module::{
        Handled, Made, Module, ModuleError, Modules,
        dead_letter::{self, DeadLetterLog},
        recent_messages::RecentMessages,
        stored_calls::CallLog,
    },
    store::{DeadLetter, SharedStore, StoreResult},
    telemetry::{
        meters::{self, meters},
        spans::{Span, Spans},
        trace_context::TraceContext,
    },
};

/// The five stages, wired.
pub struct Pipeline {
    /// Stage 2.
    pub modules: Arc<Modules>,
    /// Stage 3: whose hooks may want an event…
    pub accounts: Arc<AccountTree>,
    /// … and which do.
    pub hooks: Arc<HookTable>,
    /// Stages 4 and 5.
    pub firer: Arc<Firer>,
    /// Where a dead letter goes that was worked off, and where stored calls wait.
    pub store: SharedStore,
    /// Where the call is kept of a module that is over its share of the workers.
    pub calls: Arc<CallLog>,
    /// Where a message is kept for a module that failed on it.
    pub dead_letters: Arc<DeadLetterLog>,
    /// Begins the spans of messages, calls and matches.
    pub spans: Spans,
    /// What time it is.
    pub clock: Clock,
    /// The last messages, for those who check modules.
    pub recent: Arc<RecentMessages>,
    /// How many messages are under way.
    pub in_flight: AtomicUsize,
    /// `ingress.in_flight_max`.
    pub in_flight_max: usize,
}

/// What came of handing a dead letter's message in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It worked this time; the letter is gone.
    Done {
        /// Events that were made.
        events: usize,
        /// Firings that came of them.
        firings: usize,
    },
    /// It failed again, for this reason; nothing was fired and the letter is kept.
    Failed(String),
    /// It was not tried, for this reason: the module is not active, in quarantine, or does not ask for it any more.
    NotTried(String),
    /// Our fault, or too much is under way; the letter is kept.
    NotNow(String),
}

/// Counts a message as under way until it is dropped, also when whoever waited for it has gone.
struct UnderWay<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> UnderWay<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What became of one module's part in a message. Whatever it is, it is safe: it has ended or is stored.
enum Outcome {
    /// It was served: events that it made, and firings that came of them. None of either when it has no interest in the
    /// message, and when the message is kept for it.
    Served { events: usize, firings: usize },
    /// It says that the message can never work.
    Malformed(String),
    /// We could not call it.
    OurFault(String),
}

impl Pipeline {
    /// One message, top to bottom. Never fails: whatever happens is a settlement.
    pub async fn handle(&self, mut message: Message) -> Settlement {
        let mut told = self.begin_span(&mut message);
        let span = tracing::debug_span!("message", routing_key = message.routing_key, id = message.message_id);
        let under_way = UnderWay::enter(&self.in_flight);
        let source = message.source;
        let settlement = if under_way.before >= self.in_flight_max {
            Settlement::Requeue(self.too_many(&under_way))
        } else {
            let stages = AssertUnwindSafe(self.through_the_stages(message).instrument(span)).catch_unwind();
            stages.await.unwrap_or_else(|_| Settlement::Requeue("a stage panicked; this is a fault of Hookbox".into()))
        };
        drop(under_way);
        told.set("hookbox.settlement", || settlement.as_str());
        if let Settlement::Requeue(reason) = &settlement {
            told.fail(|| reason.clone());
        }
        self.settled(source, settlement)
    }

    /// The span of a message, below which all that comes of it has its own. What is not recorded goes on in its
    /// publisher's trace, when it has one.
    fn begin_span(&self, message: &mut Message) -> Span {
        let mut span = self.spans.of_message(message.trace);
        if let Some(own) = span.context() {
            message.trace = Some(own);
            span.set("hookbox.source", || message.source.as_str());
            span.set("hookbox.exchange", || message.exchange.clone());
            span.set("hookbox.routing_key", || message.routing_key.clone());
            for (name, value) in [
                ("hookbox.message_id", message.message_id.clone()),
                ("hookbox.account", message.account.as_ref().map(ToString::to_string)),
            ] {
                if let Some(value) = value {
                    span.set(name, || value);
                }
            }
        }
        span
    }

    /// Has a module handle the message. Gives also where what comes of it belongs in the trace.
    async fn call(
        &self,
        module: &Arc<Module>,
        message: &Arc<Message>,
    ) -> (Result<Handled, ModuleError>, Option<TraceContext>) {
        let mut span = self.spans.below(message.trace, "module", SpanKind::Internal);
        span.set("hookbox.module", || module.id().to_string());
        span.set("hookbox.module_version", || module.metadata.version.clone());
        let handled = self.modules.call(module, message).await;
        match &handled {
            Ok(Handled::Events(made)) => {
                meters::of_module(module.id()).events.increment(made.len() as u64);
                span.set("hookbox.events", || i64::try_from(made.len()).unwrap_or(i64::MAX));
            }
            Ok(Handled::NotMine | Handled::Malformed(_)) => {}
            Err(error) => span.fail(|| error.to_string()),
        }
        (handled, span.context().or(message.trace))
    }

    /// Hands a dead letter's message to the module that failed on it, and to no other; one that never reached a module, to
    /// all that want it. When all have served it, what they made is fired and the letter removed; else nothing is fired and
    /// the letter stays. Firings have the ids that they would have had, so that receivers know those that they have seen.
    pub async fn replay(&self, letter: &DeadLetter) -> Replay {
        let under_way = UnderWay::enter(&self.in_flight);
        if under_way.before >= self.in_flight_max {
            return Replay::NotNow(self.too_many(&under_way));
        }
        let replayed = AssertUnwindSafe(self.through_again(letter)).catch_unwind().await;
        let replay = match replayed {
            Ok(Ok(replay)) => replay,
            Ok(Err(error)) => Replay::NotNow(chain(&error)),
            Err(_) => Replay::NotNow("a stage panicked; this is a fault of Hookbox".into()),
        };
        tracing::info!(dead_letter = letter.id, ?replay, "dead letter replayed");
        replay
    }

    async fn through_again(&self, letter: &DeadLetter) -> StoreResult<Replay> {
        let message = Arc::new(letter.message.clone());
        let mut asked = self.modules.wanting(&message);
        if let Some(id) = &letter.module {
            asked.retain(|module| module.id() == id);
        }
        if asked.is_empty() {
            return Ok(Replay::NotTried(match &letter.module {
                Some(id) if self.modules.get(id).is_none() => format!("module {id} is not active; load it first"),
                Some(id) => format!("module {id} does not ask for such messages any more"),
                None => "no active module asks for such messages".to_owned(),
            }));
        }
        let mut made: Vec<(Vec<Made>, Option<TraceContext>)> = Vec::new();
        let answers = join_all(asked.iter().map(|module| self.call(module, &message))).await;
        for (module, (answer, trace)) in asked.iter().zip(answers) {
            let said = |reason: &dyn std::fmt::Display| format!("module {}: {reason}", module.id());
            match answer {
                Ok(Handled::Events(events)) => made.push((events, trace)),
                Ok(Handled::NotMine) => {}
                Ok(Handled::Malformed(reason)) => return Ok(Replay::Failed(said(&reason))),
                Err(error @ ModuleError::NotCalled { .. }) => return Ok(Replay::NotTried(said(&error))),
                Err(error @ (ModuleError::Host { .. } | ModuleError::OverShare { .. })) => {
                    return Ok(Replay::NotNow(said(&error)));
                }
                Err(error) => return Ok(Replay::Failed(said(&error))),
            }
        }
        let events = made.iter().map(|(made, _)| made.len()).sum();
        let digest = MessageDigest::new(&message);
        let fired = join_all(made.into_iter().map(|(made, trace)| self.fire_all(&message, &digest, made, trace))).await;
        let firings = fired.into_iter().sum::<StoreResult<usize>>()?;
        self.store.delete_dead_letter(letter.id).await?;
        Ok(Replay::Done { events, firings })
    }

    fn too_many(&self, under_way: &UnderWay<'_>) -> String {
        format!("{} messages are under way already (ingress.in_flight_max)", under_way.before)
    }

    /// What could not even be decoded can never work.
    pub fn refuse(&self, source: Source, error: &DecodeError) -> Settlement {
        self.settled(source, Settlement::Discard(error.to_string()))
    }

    /// Stages 2 to 5: every module that wants the message, side by side. None waits for another.
    async fn through_the_stages(&self, message: Message) -> Settlement {
        let message = Arc::new(message);
        self.recent.keep(&message);
        let wanting = self.modules.wanting(&message);
        let digest = MessageDigest::new(&message);
        let outcomes = join_all(wanting.iter().map(|module| self.through_module(module, &message, &digest))).await;
        settlement(outcomes)
    }

    /// Hands the message to one module, and fires what it makes. Its fault keeps the message for it; the call of one that is
    /// over its share is stored, and made later ([`stored_calls`]).
    async fn through_module(
        &self,
        module: &Arc<Module>,
        message: &Arc<Message>,
        digest: &MessageDigest,
    ) -> StoreResult<Outcome> {
        let nothing_came = Outcome::Served { events: 0, firings: 0 };
        let (handled, trace) = self.call(module, message).await;
        match handled {
            Ok(Handled::Events(made)) => {
                let events = made.len();
                let firings = self.fire_all(message, digest, made, trace).await?;
                Ok(Outcome::Served { events, firings })
            }
            Ok(Handled::NotMine) => Ok(nothing_came),
            Ok(Handled::Malformed(reason)) => Ok(Outcome::Malformed(format!("{}: {reason}", module.id()))),
            Err(error @ ModuleError::OverShare { .. }) => {
                self.keep_call(module, message, digest, &error).await?;
                Ok(nothing_came)
            }
            Err(error @ ModuleError::Host { .. }) => Ok(Outcome::OurFault(format!("{}: {error}", module.id()))),
            Err(error) => {
                self.keep_for(module, message, &error).await?;
                Ok(nothing_came)
            }
        }
    }

    /// Stages 3 to 5 for what one module made of a message: how many firings came of it, when each has ended or is stored.
    async fn fire_all(
        &self,
        message: &Message,
        digest: &MessageDigest,
        made: Vec<Made>,
        trace: Option<TraceContext>,
    ) -> StoreResult<usize> {
        let firings = self.match_hooks(message, digest, made, trace);
        let count = firings.len();
        let stored_or_ended = join_all(firings.into_iter().map(|firing| self.firer.fire(firing))).await;
        stored_or_ended.into_iter().collect::<StoreResult<()>>()?;
        Ok(count)
    }

    /// The message is kept for the module that failed on it.
    async fn keep_for(&self, module: &Module, message: &Message, error: &ModuleError) -> StoreResult<()> {
        let letter = dead_letter::of_module(module, message, error, self.clock.now_ms());
        let id = self.dead_letters.keep(letter).await?;
        meters::of_module(module.id()).dead_letters.increment(1);
        let (module, version) = (module.id(), &module.metadata.version);
        tracing::warn!(%module, version, dead_letter = id, %error, "module failed on a message; it is kept as a dead letter");
        Ok(())
    }

    /// Stage 3: a firing for every hook that wants an event of one module. An inline hook is the only one for its event.
    fn match_hooks(
        &self,
        message: &Message,
        digest: &MessageDigest,
        events: Vec<Made>,
        trace: Option<TraceContext>,
    ) -> Vec<Firing> {
        let mut firings = Vec::new();
        for (index, (mut event, inline)) in events.into_iter().enumerate() {
            let mut span = self.spans.below(trace, "match", SpanKind::Internal);
            event.trace = span.context().or(trace);
            let event = Arc::new(event);
            let targets = match inline {
                Some(hook) => vec![Target::Inline(hook)],
                None => self.hooks_wanting(&event),
            };
            span.set("hookbox.module", || event.module.to_string());
            span.set("hookbox.event", || event.hook_event.clone());
            span.set("hookbox.account", || event.account.to_string());
            span.set("hookbox.hooks", || i64::try_from(targets.len()).unwrap_or(i64::MAX));
            firings.extend(targets.into_iter().map(|target| Firing {
                id: digest.webhook_id(&event.module, index, target.account(), target.hook_id()),
                target,
                event: Arc::clone(&event),
                tries: 0,
                created_ms: message.received_ms,
                lease: None,
            }));
        }
        meters().firings.increment(firings.len() as u64);
        firings
    }

    /// The hooks of the table that want the event; none when nobody knows its account.
    fn hooks_wanting(&self, event: &Event) -> Vec<Target> {
        let Some(ancestors) = self.accounts.ancestors(&event.account) else { return Vec::new() };
        let wanting = self.hooks.matching(&ancestors, event);
        wanting.iter().map(|hook| Target::Stored(hook.account.clone(), hook.id.clone())).collect()
    }

    /// Counts and logs what was decided.
    fn settled(&self, source: Source, settlement: Settlement) -> Settlement {
        meters().settled(source, &settlement);
        let source = source.as_str();
        match &settlement {
            Settlement::Ack { events, firings } => tracing::debug!(source, events, firings, "message settled"),
            Settlement::Discard(reason) => tracing::warn!(source, %reason, "message discarded: it can never work"),
            Settlement::Requeue(reason) => tracing::error!(source, %reason, "message sent back: our fault, try later"),
        }
        settlement
    }
}

/// What is to become of a message, from what became of each module's part in it.
fn settlement(outcomes: Vec<StoreResult<Outcome>>) -> Settlement {
    let (mut events, mut firings, mut was_served) = (0, 0, false);
    let (mut malformed, mut our_fault) = (None, None);
    for outcome in outcomes {
        match outcome {
            Ok(Outcome::Served { events: made, firings: came }) => {
                (events, firings, was_served) = (events + made, firings + came, true);
            }
            Ok(Outcome::Malformed(reason)) => malformed = Some(reason),
            Ok(Outcome::OurFault(reason)) => our_fault = Some(reason),
            // Something could not be stored: what the message caused is not safe, so it has to come again.
            Err(error) => our_fault = Some(chain(&error)),
        }
    }
    match (our_fault, malformed) {
        (Some(reason), _) => Settlement::Requeue(reason),
        // Discarded when nobody could use it; one module's refusal is not another's.
        (None, Some(reason)) if !was_served => Settlement::Discard(reason),
        _ => Settlement::Ack { events, firings },
    }
}
