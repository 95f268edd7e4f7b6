//! The way of a firing through its hook's transform, before there is a request.

use std::{sync::Arc, time::Duration};

use super::{
    Firer,
    transform::{self, Bounds, Rewritten},
};
use crate::{
    attempt::{Fault, Outcome, TransformRun},
    hook::{Hook, TransformUse},
    message::Firing,
    module::{ModuleError, transform::TransformInput, transform_table::FoundTransform},
};

/// What a transform leaves to be sent.
pub(super) enum ToSend {
    /// This, in the place of what the hook says.
    Rewritten(Rewritten),
    /// Nothing: it dropped the firing, or failed.
    Nothing(Outcome),
}

impl Firer {
    /// Has the hook's transform, as it is registered at this moment, look at the firing. Takes no longer than `patience`.
    pub(super) async fn transformed(
        &self,
        firing: &Firing,
        hook: &Hook,
        wanted: &TransformUse,
        patience: Duration,
    ) -> (ToSend, TransformRun) {
        let FoundTransform { transform, mut settings, limits } =
            match self.modules.find_transform(&hook.account, wanted) {
                Ok(found) => found,
                Err(missing) => {
                    let run = TransformRun {
                        id: wanted.module.as_str().into(),
                        version: wanted.version.clone(),
                        digest: None,
                        fuel: 0,
                    };
                    return (ToSend::Nothing(failed(missing.to_string())), run);
                }
            };
        if !wanted.settings.is_empty() {
            Arc::make_mut(&mut settings).extend(wanted.settings.clone());
        }
        let handed = transform::input(hook, firing);
        let bounds = Bounds::new(&handed, &self.settings, self.modules.output_bytes_max());
        let input = TransformInput {
            firing: handed,
            account: hook.account.clone(),
            settings,
            limits,
            now_ms: firing.created_ms,
        };
        let (result, cost) =
            self.modules.transform(&transform, input, patience, move |given| bounds.check(given)).await;
        let run = TransformRun {
            id: transform.id.clone(),
            version: transform.version.clone(),
            digest: Some(transform.digest.clone()),
            fuel: cost.fuel,
        };
        let to_send = match result {
            Ok(Some(rewritten)) => ToSend::Rewritten(rewritten),
            Ok(None) => ToSend::Nothing(Outcome::Dropped),
            Err(error) => ToSend::Nothing(failed(in_words(&run, &error))),
        };
        (to_send, run)
    }
}

fn in_words(run: &TransformRun, error: &ModuleError) -> String {
    format!("transform {} {}: {error}", run.id, run.version)
}

fn failed(detail: String) -> Outcome {
    Outcome::Failed { fault: Fault::TransformFailed, detail }
}
