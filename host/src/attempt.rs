//! Stage 5, record: what happened on one try, as data.
//!
//! Whatever a receiver does (500, time-out, refused, endless body) is an [`Attempt`], never an error. The parts:
//! [`log`] writes attempts in groups, [`failure_window`] says by plain rules what they mean for the hook, and
//! [`disabler`] acts on it.

pub mod disabler;
pub mod failure_window;
pub mod log;
pub mod notices;
pub mod re_enable;
pub mod record;

use std::sync::Arc;

use crate::{
    message::{AccountId, Event, HookId, ModuleId, UnixMs, WebhookId},
    telemetry::trace_context::TraceContext,
};

/// One HTTP try of a firing: request, response and timings, or what went wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// 32 hex digits, beginning with the time, so that ids sort as attempts do.
    pub id: String,
    /// The firing it belongs to; KAZOO's `event_id`.
    pub webhook_id: WebhookId,
    /// Whose hook it is.
    pub account: AccountId,
    /// The hook it was made for.
    pub hook: HookId,
    /// The event's name.
    pub hook_event: String,
    /// The module that made the event.
    pub module: ModuleId,
    /// When it began.
    pub at_ms: UnixMs,
    /// 1 for the first try.
    pub try_number: u32,
    /// The URI of the hook as it was configured then, or what its transform made of it.
    pub uri: String,
    /// What was sent.
    pub request: SentRequest,
    /// What came of it.
    pub outcome: Outcome,
    /// From the beginning to the last byte that was read.
    pub duration_ms: u64,
    /// How that is made up, as far as the try came.
    pub phases: Phases,
    /// Where it stands in a trace, when there is one.
    pub trace: Option<TraceContext>,
    /// When the next try is due; `None` when this was the last.
    pub next_try_ms: Option<UnixMs>,
    /// Tries that are left after this one.
    pub retries_left: u32,
    /// The event whose payload is to be kept beside the record, because the request's body does not show it as JSON.
    pub payload: Option<Arc<Event>>,
    /// The transform that it went through, when the hook has one.
    pub transform: Option<Box<TransformRun>>,
}

/// What of a try took how long. What did not come about has no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking up the name, connecting, TLS; `None` also when a connection was used again.
    pub connect_us: Option<u64>,
    /// From there to the head of the answer.
    pub first_byte_us: Option<u64>,
    /// From the head to the last byte that was read.
    pub body_us: Option<u64>,
}

/// What of a transform is recorded with an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformRun {
    /// `account/name`; the name alone when there is no such transform.
    pub id: ModuleId,
    /// The semantic version; what the hook asks for when it is not there.
    pub version: String,
    /// SHA-256 of the component; `None` when it is not there.
    pub digest: Option<String>,
    /// What the call burnt; 0 when there was none.
    pub fuel: u64,
}

/// The request as it went out, fit for the log: secrets are masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentRequest {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// Names and values in their own case; values of the hook's own headers are masked.
    pub headers: Vec<(String, String)>,
    /// Text; empty for GET.
    pub body: String,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The receiver answered, well or badly.
    Answered {
        /// The HTTP status.
        status: u16,
        /// As they came.
        headers: Vec<(String, String)>,
        /// The first `firing.response_bytes_max` after decompression, broken UTF-8 replaced.
        body: String,
        /// Whether the body went on after that.
        body_cut: bool,
    },
    /// No answer, or none in time.
    Failed {
        /// What kind of failure.
        fault: Fault,
        /// For people: what was tried and what came back.
        detail: String,
    },
    /// The hook's transform dropped it: nothing was sent, and nothing shall be.
    Dropped,
}

/// Why a try got no answer. The words are those of the records and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The name has no address.
    NameLookup,
    /// The address policy refuses an address of the name, or the literal one.
    AddressRefused,
    /// Refused, unreachable, or cut before the answer began.
    Connection,
    /// TLS could not be agreed.
    Tls,
    /// The deadline passed, at whatever point.
    Timeout,
    /// The answer was not HTTP, or broke off in the middle.
    BadAnswer,
    /// The hook's transform failed.
    TransformFailed,
    /// The request could not be made of this event and this hook (a URI that is none, a header that is none).
    BadRequest,
}

impl Fault {
    /// All of them, in their order.
    pub const ALL: [Fault; 8] = [
        Fault::NameLookup,
        Fault::AddressRefused,
        Fault::Connection,
        Fault::Tls,
        Fault::Timeout,
        Fault::BadAnswer,
        Fault::TransformFailed,
        Fault::BadRequest,
    ];

    /// The word in records and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::NameLookup => "name-lookup",
            Fault::AddressRefused => "address-refused",
            Fault::Connection => "connection",
            Fault::Tls => "tls",
            Fault::Timeout => "timeout",
            Fault::BadAnswer => "bad-answer",
            Fault::TransformFailed => "transform-failed",
            Fault::BadRequest => "bad-request",
        }
    }
}

/// The last time that an attempt's id can begin with.
const ID_MS_MAX: UnixMs = 0xffff_ffff_ffff;

impl Attempt {
    /// An id for an attempt that begins now: 12 hex digits of the time, 20 of chance.
    pub fn new_id(at_ms: UnixMs) -> String {
        format!("{:012x}{}", at_ms & ID_MS_MAX, hex::encode(rand::random::<[u8; 10]>()))
    }

    /// What no id of an attempt that begins at this time or later is below; `None` when ids do not reach so far.
    pub fn first_id(at_ms: UnixMs) -> Option<String> {
        (at_ms <= ID_MS_MAX).then(|| format!("{at_ms:012x}"))
    }
}

impl Outcome {
    /// Success is any 2xx, and what was dropped on purpose.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Answered { status: 200..=299, .. } | Outcome::Dropped)
    }
}
