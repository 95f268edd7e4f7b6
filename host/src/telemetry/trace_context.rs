//! A place in a trace, as W3C's `traceparent` writes it: which trace, which span, and whether it is recorded.
//!
//! It comes in by a header of AMQP or HTTP, travels in messages and events (also where they are stored), and goes out to
//! receivers. `tracestate` and `baggage` do not travel: they are for the systems of whoever set them, and receivers are
//! other people's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of the header.
pub const HEADER: &str = "traceparent";

/// The bit of the flags that says that a trace is recorded.
const SAMPLED: u8 = 1;

/// A place in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Of the trace; never zero.
    pub trace_id: u128,
    /// Of the span; never zero.
    pub span_id: u64,
    /// Whether whoever began the trace has it recorded.
    pub is_sampled: bool,
}

/// No `traceparent` that we know: it is as if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

impl FromStr for TraceContext {
    type Err = Unknown;

    /// Reads version 00, and of later versions what 00 has, as the recommendation asks.
    fn from_str(text: &str) -> Result<Self, Unknown> {
        let mut parts = text.trim().split('-');
        let mut part = |digits: usize| {
            let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == digits).filter(is_hex).ok_or(Unknown)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let has_more = parts.next().is_some();
        if version == "ff" || (version == "00" && has_more) {
            return Err(Unknown);
        }
        let trace_id = u128::from_str_radix(trace_id, 16).map_err(|_| Unknown)?;
        let span_id = u64::from_str_radix(span_id, 16).map_err(|_| Unknown)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| Unknown)?;
        match (trace_id, span_id) {
            (0, _) | (_, 0) => Err(Unknown),
            _ => Ok(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0 }),
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads one that is stored with a message or an event. One that cannot be read is none: they are worth more than it.
pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TraceContext>, D::Error> {
    let stored = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(stored.as_ref().and_then(serde_json::Value::as_str).and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written_alike() {
        let read: TraceContext = PARENT.parse().unwrap();
        assert_eq!((read.span_id, read.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(read.to_string(), PARENT);
        let other_flags: TraceContext = PARENT.replace("-01", "-fe").parse().unwrap();
        assert!(!other_flags.is_sampled);
    }

    #[test]
    fn what_is_none_is_as_if_absent() {
        let zeros = ("0".repeat(32), "0".repeat(16));
        for text in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT.replace("00-", "ff-"),
            &format!("{PARENT}-more"),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros.0),
            &PARENT.replace("00f067aa0ba902b7", &zeros.1),
            &PARENT.replace("4bf9", "4bf"),
            &PARENT.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(Unknown), "{text}");
        }
        assert!(format!("01{}-more", &PARENT[2..]).parse::<TraceContext>().is_ok(), "a later version may say more");
    }

    #[test]
    fn what_is_stored_is_read_also_when_it_is_none_or_was_never_there() {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(default, deserialize_with = "lenient")]
            trace: Option<TraceContext>,
        }
        let read = |text: &str| serde_json::from_str::<Stored>(text).unwrap().trace;
        assert_eq!(read(&format!("{{\"trace\":\"{PARENT}\"}}")), PARENT.parse().ok());
        for none in ["{}", "{\"trace\":null}", "{\"trace\":\"x\"}", "{\"trace\":{\"a\":1}}"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,80}") {
            if let Ok(read) = text.parse::<TraceContext>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
