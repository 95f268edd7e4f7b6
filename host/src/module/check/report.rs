//! What the check says of an upload, for people: kept with the version, shown to the tenant, printed by the author's tools.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, bounds::Shape, world::Import};

/// A step of the check. They are taken in this order; the first that is not passed refuses the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// No larger than is taken.
    Size,
    /// A component, and a sound one.
    Component,
    /// Not compiled already.
    CompiledCode,
    /// Nothing in it is larger, deeper or more than is taken.
    Bounds,
    /// What it imports is offered.
    Imports,
    /// It fits one of the worlds.
    World,
    /// It compiles at a cost that is taken.
    Compile,
    /// It can be instantiated.
    Instantiate,
    /// It says what it is.
    Metadata,
    /// It says what to bind.
    Bindings,
    /// Its samples fit its own schema. Refuses nothing; what does not fit is a warning.
    Samples,
    /// It was handed messages, or firings. Refuses nothing; what came of them is reported.
    Messages,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Component => "component",
            Self::CompiledCode => "compiled-code",
            Self::Bounds => "bounds",
            Self::Imports => "imports",
            Self::World => "world",
            Self::Compile => "compile",
            Self::Instantiate => "instantiate",
            Self::Metadata => "metadata",
            Self::Bindings => "bindings",
            Self::Samples => "samples",
            Self::Messages => "messages",
        })
    }
}

/// What the check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Module or transform.
    pub kind: Kind,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// The steps that it passed, and how long each took. Those that cost nothing are taken together.
    pub steps: Vec<Passed>,
    /// What it may reach, in words.
    pub imports: Vec<Import>,
    /// What it consists of.
    pub shape: Shape,
    /// What came of the messages, or the firings; none when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<Trials>,
    /// What is allowed, and yet better mended.
    pub warnings: Vec<String>,
}

/// A step that was passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Passed {
    /// Which.
    pub step: Step,
    /// How long it took, ms.
    pub took_ms: f64,
}

/// What came of the messages, or of the firings, that it was handed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trials {
    /// What it made of them.
    #[serde(flatten)]
    pub made: Tally,
    /// The payloads of the first few events, or of the first few firings that would be sent.
    pub payloads: Vec<Value>,
    /// How it failed, for the first few that it failed on.
    pub faults: Vec<Fault>,
    /// How many it failed on.
    pub failed: u64,
    /// What it logged, the first few lines.
    pub log: Vec<String>,
    /// Fuel a call, about one unit an instruction.
    pub fuel: Spread,
    /// Time a call, µs, a fresh instance included.
    pub took_us: Spread,
    /// Memory of a call, bytes.
    pub memory_bytes: Spread,
    /// Page faults of a call.
    pub page_faults: Spread,
    /// Each call, the first `modules.report_calls_max`.
    pub calls: Vec<Call>,
}

/// What a component made of what it was handed, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Tally {
    /// A module, of messages.
    Module {
        /// How many it was handed.
        messages: u64,
        /// How many events it made.
        events: u64,
        /// How many messages were not its own.
        not_mine: u64,
        /// How many it called malformed.
        malformed: u64,
    },
    /// A transform, of firings.
    Transform {
        /// How many it was handed.
        firings: u64,
        /// How many would be sent.
        to_send: u64,
        /// How many it dropped.
        dropped: u64,
    },
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// What it was handed: exchange and routing key of a message, event and sample of a firing.
    pub handed: String,
    /// `events`, `not_mine`, `malformed`, `to_send`, `dropped`, or one word for how it failed, e.g. `trap`.
    pub outcome: &'static str,
    /// How many events came of it; 1 for a firing to be sent.
    pub events: u64,
    /// Fuel.
    pub fuel: u64,
    /// Time, µs.
    pub took_us: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Page faults.
    pub page_faults: u64,
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// On which message or firing, counted from 0.
    pub call: u64,
    /// One word, e.g. `trap`.
    pub kind: &'static str,
    /// In words.
    pub reason: String,
}

/// How a figure is spread over the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: u64,
    /// The one in the middle.
    pub median: u64,
    /// The most.
    pub max: u64,
}

impl Spread {
    /// Of these figures; zeros when there are none.
    pub fn of(mut figures: Vec<u64>) -> Self {
        figures.sort_unstable();
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        Self { min: at(0), median: at(figures.len() / 2), max: at(figures.len().saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_taken_of_any_number_of_figures() {
        assert_eq!(Spread::of(vec![]), Spread::default());
        assert_eq!(Spread::of(vec![5, 1, 9]), Spread { min: 1, median: 5, max: 9 });
        assert_eq!(Spread::of(vec![7]), Spread { min: 7, median: 7, max: 7 });
    }

    #[test]
    fn a_step_is_called_the_same_in_words_and_in_json() {
        for step in [Step::CompiledCode, Step::Metadata, Step::World] {
            assert_eq!(serde_json::to_value(step).unwrap(), step.to_string());
        }
    }
}
