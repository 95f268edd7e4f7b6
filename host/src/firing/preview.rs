//! The very request that would go out, without sending it: the hook's transform looks at the event, headers are set, the
//! signature is made. Nothing is dialled, recorded or counted; what the transform costs is charged as always.

use super::{Firer, transforming::ToSend};
use crate::{
    attempt::{Outcome, SentRequest, TransformRun},
    hook::Hook,
    message::Firing,
};

/// What would go out.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// Where to, for GET with the query string.
    pub uri: String,
    /// The request, secrets masked as in records; `None` when none would go out.
    pub request: Option<SentRequest>,
    /// Why none would: what is wrong with the hook or its transform. None, and no request: the transform dropped it.
    pub problem: Option<String>,
    /// The transform that it went through.
    pub transform: Option<TransformRun>,
}

impl Firer {
    /// What a try of this firing would send at this moment.
    pub async fn preview(&self, firing: &Firing, hook: &Hook) -> Preview {
        let mut preview = Preview { uri: hook.uri.to_string(), request: None, problem: None, transform: None };
        let mut rewritten = None;
        if let Some(wanted) = hook.rare.as_ref().and_then(|rare| rare.transform.as_ref()) {
            let (to_send, run) = self.transformed(firing, hook, wanted, self.timeout(hook)).await;
            preview.transform = Some(run);
            match to_send {
                ToSend::Rewritten(made) => rewritten = Some(made),
                ToSend::Nothing(Outcome::Failed { detail, .. }) => return Preview { problem: Some(detail), ..preview },
                ToSend::Nothing(_) => return preview,
            }
        }
        match self.prepared(firing, hook, rewritten.as_ref(), (self.clock.now_ms(), None)) {
            Ok((prepared, sent)) => Preview { uri: prepared.uri, request: Some(sent), ..preview },
            Err(unmade) => Preview { problem: Some(unmade.detail), ..preview },
        }
    }
}
