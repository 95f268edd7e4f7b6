//! Brings back stored calls when their modules have room: what was over its share, and what a process that died had under
//! its lease.
//!
//! Of each module it claims no more than can be made within half of the time that a call may wait, so that what comes in
//! finds a place too.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::task::TaskTracker;

use super::Pipeline;
use crate::{
    error_chain::chain,
    message::{AccountId, ModuleId, UnixMs},
    module::stored::StoredModules,
    settings::ModuleSettings,
    store::{
        StoreResult,
        stored_calls::{CallLine, StoredCall},
    },
};

/// Between two looks, however often it is rung: a busy module must not make it busy too.
const PAUSE: Duration = Duration::from_millis(10);
/// Of a module whose calls are short, fewer are not worth a claim of their own.
const CLAIM_MIN: usize = 16;
/// Calls of a module that is not there are given up in such parts.
const GIVE_UP_AT_ONCE: usize = 64;

/// Claims stored calls and has them made.
pub struct CallScheduler {
    pipeline: Arc<Pipeline>,
    stored_modules: Arc<StoredModules>,
    under_way: TaskTracker,
    /// `modules.stored_calls_at_once`.
    permits: Arc<Semaphore>,
    lease_ms: u64,
    poll: Duration,
    in_hand: Arc<InHand>,
}

/// The calls that this process has claimed and not finished.
#[derive(Default)]
struct InHand {
    of_line: Mutex<HashMap<(ModuleId, Option<AccountId>), usize>>,
    /// Rung when one is finished.
    finished: Notify,
}

/// One of them, until this is dropped.
struct Held {
    in_hand: Arc<InHand>,
    line: (ModuleId, Option<AccountId>),
    _permit: OwnedSemaphorePermit,
}

impl CallScheduler {
    /// Claims nothing yet. What it has made goes on under `under_way`.
    pub fn new(
        pipeline: Arc<Pipeline>,
        stored_modules: Arc<StoredModules>,
        under_way: TaskTracker,
        settings: &ModuleSettings,
    ) -> Self {
        let at_once = usize::try_from(settings.stored_calls_at_once).unwrap_or(usize::MAX);
        Self {
            pipeline,
            stored_modules,
            under_way,
            permits: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            lease_ms: settings.stored_call_lease_ms,
            poll: Duration::from_millis(settings.stored_call_poll_ms),
            in_hand: Arc::default(),
        }
    }

    /// Works for ever. When the store fails, it is asked again after `modules.stored_call_poll_ms`.
    pub async fn run(&self) -> Result<(), Infallible> {
        for turn in 0_usize.. {
            if let Err(error) = self.turn(turn).await {
                tracing::warn!(error = chain(&error), "stored calls cannot be claimed; trying on");
                sleep(self.poll).await;
            }
            sleep(PAUSE).await;
            tokio::select! {
                () = self.in_hand.finished.notified() => {}
                () = self.pipeline.calls.written.notified() => {}
                () = sleep(self.poll) => {}
            }
        }
        Ok(())
    }

    /// One look at all that waits. Who comes first changes from turn to turn, for when there is not room for all.
    async fn turn(&self, turn: usize) -> StoreResult<()> {
        let mut lines = self.pipeline.store.stored_call_lines().await?;
        let count = lines.len().max(1);
        lines.rotate_left(turn % count);
        for line in &lines {
            self.claim(line).await?;
        }
        Ok(())
    }

    async fn claim(&self, line: &CallLine) -> StoreResult<()> {
        let room = self.room(line).await?;
        let in_hand = self.in_hand.of(line);
        let waiting = usize::try_from(line.calls).unwrap_or(usize::MAX).saturating_sub(in_hand);
        let limit = room.min(waiting).min(self.permits.available_permits());
        if limit == 0 || (in_hand > 0 && limit < CLAIM_MIN.min(waiting)) {
            return Ok(());
        }
        let now_ms = self.pipeline.clock.now_ms();
        let rows = u32::try_from(limit).unwrap_or(u32::MAX);
        let claimed = self.pipeline.store.claim_stored_calls(line, now_ms, now_ms + self.lease_ms, rows).await?;
        for call in claimed {
            self.begin(call, now_ms).await?;
        }
        Ok(())
    }

    /// How many calls of the module can be made now.
    async fn room(&self, line: &CallLine) -> StoreResult<usize> {
        let modules = &self.pipeline.modules;
        let mut module = modules.get(&line.module);
        if module.is_none() && line.module.is_of_tenant() {
            // Another node may have activated it just now.
            self.stored_modules.catch_up().await?;
            module = modules.get(&line.module);
        }
        Ok(module.map_or(GIVE_UP_AT_ONCE, |module| match module.quarantine() {
            Some(_) => GIVE_UP_AT_ONCE,
            None => modules.room_for(&module, line.account.as_ref()),
        }))
    }

    async fn begin(&self, call: StoredCall, now_ms: UnixMs) -> StoreResult<()> {
        let pipeline = Arc::clone(&self.pipeline);
        // Another node may have a module in its folder that is yet to come to this one.
        let missing = !call.module.is_of_tenant() && pipeline.modules.get(&call.module).is_none();
        let known_until_ms = call.created_ms + self.lease_ms;
        if let Some(lease) = call.lease.clone().filter(|_| missing && now_ms < known_until_ms) {
            return pipeline.put_back(&call, lease, known_until_ms).await;
        }
        // There are as many permits as were asked for: nobody else takes any.
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return Ok(()) };
        let held = self.in_hand.hold(&call, permit);
        self.under_way.spawn(async move {
            let (id, module) = (call.id.clone(), call.module.clone());
            if let Err(error) = pipeline.make_stored_call(call).await {
                let error = chain(&error);
                tracing::error!(id, %module, error, "a stored call is made again when its lease ends");
            }
            drop(held);
        });
        Ok(())
    }
}

impl InHand {
    fn of(&self, line: &CallLine) -> usize {
        let of_line = self.of_line.lock().unwrap_or_else(PoisonError::into_inner);
        of_line.get(&(line.module.clone(), line.account.clone())).copied().unwrap_or(0)
    }

    fn hold(self: &Arc<Self>, call: &StoredCall, permit: OwnedSemaphorePermit) -> Held {
        let line = (call.module.clone(), call.account.clone());
        *self.of_line.lock().unwrap_or_else(PoisonError::into_inner).entry(line.clone()).or_default() += 1;
        Held { in_hand: Arc::clone(self), line, _permit: permit }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut of_line = self.in_hand.of_line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of_line.get_mut(&self.line) {
            *count -= 1;
            if *count == 0 {
                of_line.remove(&self.line);
            }
        }
        drop(of_line);
        self.in_hand.finished.notify_one();
    }
}
