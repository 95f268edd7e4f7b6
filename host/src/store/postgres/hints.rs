//! What nodes tell each other over LISTEN and NOTIFY: that it is worth looking now.
//!
//! Hints only: they may be lost and may come for nothing, and all that is told of is found by the periodic looks too.
//! They are not sent in the transactions that they are of, because a server lets those that notify commit only one after
//! the other; but soon after, and many at once as one.

use std::{sync::Arc, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::Hint;

const CHANNEL: &str = "hookbox";
/// Between two notifications of one kind: under load a node tells the others twenty times a second, not for each group.
const PAUSE: Duration = Duration::from_millis(50);
/// After the server could not be listened to.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Tells the other nodes, and hears from them.
#[derive(Debug)]
pub(super) struct Hints {
    to_tell: Arc<Kinds>,
    heard: Arc<Kinds>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

/// A bell for each kind.
#[derive(Debug, Default)]
struct Kinds {
    firings: Notify,
    changes: Notify,
}

impl Kinds {
    fn ring(&self, hint: Hint) {
        match hint {
            Hint::Firings => self.firings.notify_one(),
            Hint::Changes => self.changes.notify_one(),
        }
    }

    async fn rung(&self) -> Hint {
        tokio::select! {
            () = self.firings.notified() => Hint::Firings,
            () = self.changes.notified() => Hint::Changes,
        }
    }
}

fn word(hint: Hint) -> &'static str {
    match hint {
        Hint::Firings => "firings",
        Hint::Changes => "changes",
    }
}

impl Hints {
    /// Begins to tell, over the pool, and to listen, over a connection of its own.
    pub(super) fn start(pool: PgPool, listening: PgConnectOptions, timeout: Duration) -> Self {
        let hints = Self {
            to_tell: Arc::default(),
            heard: Arc::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        // What this node says itself it does not hear.
        let node = hex::encode(rand::random::<[u8; 8]>());
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(timeout).connect_lazy_with(listening);
        let (to_tell, heard) = (Arc::clone(&hints.to_tell), Arc::clone(&hints.heard));
        let speaker = node.clone();
        hints.spawn(async move { tell(&pool, &to_tell, &speaker).await });
        hints.spawn(async move { listen(&own, &heard, &node).await });
        hints.tasks.close();
        hints
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Has the other nodes look, soon.
    pub(super) fn tell(&self, hint: Hint) {
        self.to_tell.ring(hint);
    }

    /// Waits for what another node tells.
    pub(super) async fn heard(&self) -> Hint {
        self.heard.rung().await
    }

    /// Ends both.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn tell(pool: &PgPool, to_tell: &Kinds, node: &str) {
    loop {
        let hint = to_tell.rung().await;
        let told = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(format!("{} {node}", word(hint)));
        if let Err(error) = told.execute(pool).await {
            tracing::debug!(%error, "the other nodes were not told; they look by themselves");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(pool: &PgPool, heard: &Kinds, node: &str) {
    loop {
        if let Err(error) = listen_on(pool, heard, node).await {
            tracing::debug!(%error, "nothing is heard from the other nodes; trying again");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Listens until the connection is lost.
async fn listen_on(pool: &PgPool, heard: &Kinds, node: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    // What was told while nobody listened.
    heard.ring(Hint::Firings);
    heard.ring(Hint::Changes);
    while let Some(notification) = listener.try_recv().await? {
        match notification.payload().split_once(' ') {
            Some((_, by)) if by == node => {}
            Some((kind, _)) if kind == word(Hint::Firings) => heard.ring(Hint::Firings),
            _ => heard.ring(Hint::Changes),
        }
    }
    Ok(())
}
