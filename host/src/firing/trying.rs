//! One try of a firing: the hook's transform looks at it, the request is made and sent, and what happened becomes an
//! [`Attempt`]. Nothing is judged or recorded here.

use std::{sync::Arc, time::Duration};

use opentelemetry::trace::SpanKind;
use tokio::time::Instant;

use super::{
    Firer,
    client::Exchanged,
    request::{self, PreparedRequest},
    retry,
    signature::Secret,
    telling,
    transform::Rewritten,
    transforming::ToSend,
};
use crate::{
    attempt::{Attempt, Fault, Outcome, Phases, SentRequest},
    hook::Hook,
    message::{Firing, UnixMs},
    store::secrets::SecretError,
    telemetry::trace_context::TraceContext,
};

/// Why no request can be made. That is an outcome too: what is wrong is in the hook or its transform.
pub(super) struct Unmade {
    /// Whose fault it is.
    pub(super) fault: Fault,
    /// For people.
    pub(super) detail: String,
}

impl Firer {
    /// Has the hook's transform look at it, makes the request, sends it, and says what happened.
    pub(super) async fn tried(&self, firing: &Firing, hook: &Hook) -> Attempt {
        let (at_ms, began) = (self.clock.now_ms(), Instant::now());
        let timeout = self.timeout(hook);
        let mut span = self.spans.below(firing.event.trace, "attempt", SpanKind::Client);
        let trace = span.context().or(firing.event.trace);
        let (to_send, transform) = match hook.rare.as_ref().and_then(|rare| rare.transform.as_ref()) {
            None => (None, None),
            Some(wanted) => {
                let (to_send, run) = self.transformed(firing, hook, wanted, timeout).await;
                (Some(to_send), Some(Box::new(run)))
            }
        };
        let (sent, uri, outcome, phases) = match to_send {
            None => {
                let (sent, outcome, phases) = self.send(firing, hook, None, (at_ms, trace), timeout).await;
                (sent, None, outcome, phases)
            }
            Some(ToSend::Rewritten(rewritten)) => {
                let rest = timeout.saturating_sub(began.elapsed());
                let (sent, outcome, phases) = self.send(firing, hook, Some(&rewritten), (at_ms, trace), rest).await;
                (sent, Some(rewritten.uri), outcome, phases)
            }
            Some(ToSend::Nothing(outcome)) => (SentRequest::default(), None, outcome, Phases::default()),
        };
        let try_number = firing.tries + 1;
        // What a transform made of it is no payload to send again: that goes through the transform anew.
        let shown = transform.is_none() && request::shows_payload(hook, &sent);
        let attempt = Attempt {
            id: Attempt::new_id(at_ms),
            webhook_id: firing.id.clone(),
            account: hook.account.clone(),
            hook: hook.id.clone(),
            hook_event: firing.event.hook_event.clone(),
            module: firing.event.module.clone(),
            at_ms,
            try_number,
            uri: uri.unwrap_or_else(|| hook.uri.to_string()),
            request: sent,
            outcome,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            phases,
            trace,
            next_try_ms: None,
            retries_left: retry::retries_left(hook, try_number),
            payload: (!shown).then(|| Arc::clone(&firing.event)),
            transform,
        };
        telling::describe(&mut span, &attempt);
        attempt
    }

    /// Makes the request and sends it.
    async fn send(
        &self,
        firing: &Firing,
        hook: &Hook,
        rewritten: Option<&Rewritten>,
        at: (UnixMs, Option<TraceContext>),
        timeout: Duration,
    ) -> (SentRequest, Outcome, Phases) {
        match self.prepared(firing, hook, rewritten, at) {
            Ok((prepared, sent)) => {
                let Exchanged { outcome, phases, .. } = self.client.send(prepared, timeout).await;
                (sent, outcome, phases)
            }
            Err(Unmade { fault, detail }) => {
                (SentRequest::default(), Outcome::Failed { fault, detail }, Phases::default())
            }
        }
    }

    /// The request as it goes out, signed at this time and in this place of a trace, and as records show it.
    pub(super) fn prepared(
        &self,
        firing: &Firing,
        hook: &Hook,
        rewritten: Option<&Rewritten>,
        (at_ms, trace): (UnixMs, Option<TraceContext>),
    ) -> Result<(PreparedRequest, SentRequest), Unmade> {
        let secrets = self.secrets(hook, at_ms).map_err(|error| Unmade {
            fault: Fault::BadRequest,
            detail: format!("the hook's secret cannot be opened ({error}); set a new one"),
        })?;
        let with = request::Firing {
            id: &firing.id,
            cluster_id: &self.cluster_id,
            now_ms: at_ms,
            secrets: &secrets,
            rewritten,
            body_bytes_max: usize::try_from(self.settings.body_bytes_max).unwrap_or(usize::MAX),
            trace,
        };
        request::prepare(hook, &firing.event, with).map_err(|too_long| Unmade {
            fault: if rewritten.is_some() { Fault::TransformFailed } else { Fault::BadRequest },
            detail: too_long.to_string(),
        })
    }

    /// How long a try of the hook may take, its transform included.
    pub(super) fn timeout(&self, hook: &Hook) -> Duration {
        let own_ms = hook.rare.as_ref().and_then(|rare| rare.timeout_ms).map(u64::from);
        let timeout_ms = own_ms.unwrap_or(self.settings.request_timeout_ms).min(self.settings.request_timeout_ms_max);
        Duration::from_millis(timeout_ms)
    }

    /// The secrets that the hook's requests are signed with at this time, newest first.
    fn secrets(&self, hook: &Hook, at_ms: UnixMs) -> Result<Vec<Secret>, SecretError> {
        let valid = hook.secrets.iter().filter(|secret| secret.until_ms.is_none_or(|until| at_ms < until));
        valid.map(|sealed| self.key.open(&hook.id, sealed).map(Secret::from)).collect()
    }
}
