//! Messages from the host itself, when AMQP is off.
//!
//! With a broker, what the host has to tell (`webhook_failing`, `webhook_disabled`, `webhook_module_quarantined`) is published by
//! [`crate::changes::Publisher`], and comes back in by the bindings of the module that wants it. Without one, this part
//! takes the notices out of the store and hands those of the `notifications` exchange to the pipeline, as the broker
//! would; so hooks are told either way. The others are for other nodes and other programs, which nothing leads to: they
//! are removed.
//!
//! A notice is removed when its message was settled, so a killed process hands it over again, and what comes of it has
//! the same `webhook-id`. *Not* guaranteed: what two hosts on one store do of which only one has a broker; either may
//! take a notice.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Settlement,
    decode::{Decoder, Incoming},
};
use crate::{
    account::AccountTree,
    clock::Clock,
    error_chain::chain,
    message::Source,
    notice::NOTIFICATIONS,
    pipeline::Pipeline,
    store::{Notice, SharedStore, StoreResult},
    telemetry::meters::meters,
};

/// Notices read at once.
const PAGE_ROWS: u32 = 1000;
/// Notices that are worked on at once.
const AT_ONCE: usize = 16;

/// Hands the host's notices to its own pipeline.
pub struct OwnNotices {
    /// Where they are kept.
    pub store: SharedStore,
    /// Rung when one was written.
    pub wake: Arc<Notify>,
    /// `store.poll_ms`: how often to look all the same.
    pub poll_ms: u64,
    /// How bodies are read.
    pub decoder: Decoder,
    /// Whose accounts are known.
    pub accounts: Arc<AccountTree>,
    /// Where messages go.
    pub pipeline: Arc<Pipeline>,
    /// What time it is.
    pub clock: Clock,
    /// Cancelled when no more are to be taken.
    pub stopping: CancellationToken,
}

impl OwnNotices {
    /// Takes notices until told to stop; what was taken is settled first.
    pub async fn run(&self) -> Result<(), Infallible> {
        while !self.stopping.is_cancelled() {
            match self.take_all().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = chain(&error), "own notices cannot be taken; trying on"),
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(self.poll_ms)) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Takes the notices that are there. Whether to look again at once: there were some, and all of them could be taken.
    async fn take_all(&self) -> StoreResult<bool> {
        let notices = self.store.notices(PAGE_ROWS).await?;
        let found = !notices.is_empty();
        let notices = stream::iter(notices).take_while(|_| ready(!self.stopping.is_cancelled()));
        let taken: Vec<_> = notices.map(|notice| self.take(notice)).buffer_unordered(AT_ONCE).collect().await;
        let all = taken.into_iter().try_fold(true, |all, one| one.map(|one| all && one))?;
        Ok(found && all)
    }

    /// Settles one, and removes it unless it has to come again.
    async fn take(&self, notice: Notice) -> StoreResult<bool> {
        if notice.exchange == NOTIFICATIONS
            && let Settlement::Requeue(_) = self.hand_over(&notice).await
        {
            return Ok(false);
        }
        self.store.delete_notice(notice.id).await?;
        Ok(true)
    }

    async fn hand_over(&self, notice: &Notice) -> Settlement {
        // It stands in for the broker, so that receivers see no difference.
        let source = Source::Amqp;
        meters().taken_in(source, 1);
        let body = serde_json::Value::Object(notice.body.clone()).to_string();
        let incoming = Incoming {
            source,
            exchange: &notice.exchange,
            routing_key: &notice.routing_key,
            message_id: None,
            content_type: None,
            content_encoding: None,
            body: body.as_bytes(),
            within: None,
            trace: None,
        };
        match self.decoder.decode(&incoming, &self.accounts, self.clock.now_ms()) {
            Ok(message) => self.pipeline.handle(message).await,
            Err(error) => self.pipeline.refuse(source, &error),
        }
    }
}
