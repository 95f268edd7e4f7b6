//! What can be put on the stage: a component of either world, what it is handed, and how its answers read in samples.

use std::sync::Arc;

use serde_json::Value;

use super::{
    sample::Sample,
    stage::{Played, Stage},
};
use crate::{account::AccountTree, message::Object, module::sandbox::Cost};

/// Makes a call each time, and tells what it cost; `None` when it failed. After that it must not be asked again.
pub(super) type Calls<'a> = Box<dyn FnMut() -> Option<Cost> + 'a>;

/// A component that is loaded. Answers are in the form of [`Played::answer`].
pub(super) trait OnStage {
    /// What it is handed.
    type Handed;
    /// Under which key a sample has that.
    const HANDED: &'static str;
    /// Under which of these keys a sample has what is expected.
    const EXPECTED: &'static [&'static str];

    /// What is handed in, of the sample's words, and the accounts that there are meanwhile; `None`: it stands alone, with
    /// no sample around it.
    fn handed(
        value: Value,
        accounts: Option<AccountTree>,
        stage: &Stage,
    ) -> Result<(Self::Handed, Arc<AccountTree>), String>;

    /// The answer that a sample expects, with all that it may leave out; `None` when it does not say.
    fn expected(said: Object, handed: &Self::Handed, stage: &Stage) -> Result<Option<Value>, String>;

    /// The answer as a sample says it: the key and the value.
    fn accepted(answer: &Value, handed: &Self::Handed) -> (&'static str, Value);

    /// The answer in a few words.
    fn in_words(answer: &Value, handed: &Self::Handed) -> String;

    /// What of the answer is worth more than words.
    fn shown(answer: &Value, handed: &Self::Handed) -> Vec<Value>;

    /// Makes a call in an instance of its own.
    fn play_fresh(&self, sample: &Sample<Self::Handed>) -> Played;

    /// Makes a call in an instance that has had the others; with the names of those that it was not ended by. `None` when
    /// hosts never do so.
    fn play_used<'a>(
        &self,
        _sample: &Sample<Self::Handed>,
        _before: &[&'a Sample<Self::Handed>],
    ) -> Option<(Played, Vec<&'a str>)> {
        None
    }

    /// Gives `measure` calls that are made each in an instance of its own and, unless hosts never do so, calls that are all
    /// made in one.
    fn measured<R>(
        &self,
        sample: &Sample<Self::Handed>,
        measure: impl FnOnce(&mut Calls<'_>, Option<&mut Calls<'_>>) -> R,
    ) -> R;

    /// Why a host would not hand it over.
    fn why_not_handed_over(&self, _handed: &Self::Handed) -> Option<String> {
        None
    }
}

/// An answer that is an error: `{"failed": "why"}` and the like.
pub(super) fn error_in_words(answer: &Value) -> String {
    match answer {
        Value::Object(error) => {
            error.iter().map(|(kind, why)| format!("{kind}: {}", why.as_str().unwrap_or_default())).collect()
        }
        other => other.as_str().unwrap_or_default().replace('_', " "),
    }
}
