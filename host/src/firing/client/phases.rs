//! What of a try took how long: reaching the receiver, waiting for its answer, reading it. Noted while it goes on, so that
//! a try which is cut off still tells how far it came.
//!
//! The HTTP client says nothing of connections, so [`TimeConnecting`] stands around its connector and notes the time with
//! the try that is being polled. A connection that the client opens behind a try's back (another one became free first)
//! is nobody's.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::attempt::Phases;

tokio::task_local! {
    static WATCH: Arc<Watch>;
}

/// The clock of one try.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    connected_us: OnceLock<u64>,
    head_us: OnceLock<u64>,
    ended_us: OnceLock<u64>,
}

impl Watch {
    /// Begins now.
    pub(super) fn start() -> Arc<Self> {
        let (connected_us, head_us, ended_us) = Default::default();
        Arc::new(Self { began: Instant::now(), connected_us, head_us, ended_us })
    }

    /// Runs what connects, so that it is this try's.
    pub(super) async fn during<T>(self: &Arc<Self>, connecting: impl Future<Output = T>) -> T {
        WATCH.scope(Arc::clone(self), connecting).await
    }

    /// A connection is open that was opened for this try.
    pub(super) fn connected(&self) {
        self.note(&self.connected_us);
    }

    /// The head of the answer has come.
    pub(super) fn answered(&self) {
        self.note(&self.head_us);
    }

    /// The body was read, to its end or its bound.
    pub(super) fn ended(&self) {
        self.note(&self.ended_us);
    }

    fn note(&self, moment: &OnceLock<u64>) {
        // The first counts: of several addresses one was dialled well.
        let _ = moment.set(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }

    /// How far it came.
    pub(super) fn phases(&self) -> Phases {
        let connect_us = self.connected_us.get().copied();
        let head_us = self.head_us.get().copied();
        Phases {
            connect_us,
            first_byte_us: head_us.map(|head| head.saturating_sub(connect_us.unwrap_or(0))),
            body_us: head_us.zip(self.ended_us.get()).map(|(head, ended)| ended.saturating_sub(head)),
        }
    }
}

/// Stands around the HTTP client's connector.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeConnecting;

impl<S> Layer<S> for TimeConnecting {
    type Service = TimedConnector<S>;

    fn layer(&self, connector: S) -> TimedConnector<S> {
        TimedConnector(connector)
    }
}

/// A connector that notes with a try when it has connected.
#[derive(Clone, Debug)]
pub(super) struct TimedConnector<S>(S);

impl<S, R> Service<R> for TimedConnector<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let connecting = self.0.call(to);
        async move {
            let connected = connecting.await;
            if connected.is_ok() {
                // None when the client goes on with it by itself.
                let _ = WATCH.try_with(|watch| watch.connected());
            }
            connected
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch on which these moments were noted, µs after the begin.
    fn phases(connected_us: Option<u64>, head_us: Option<u64>, ended_us: Option<u64>) -> Phases {
        let at = |us: Option<u64>| us.map_or_else(OnceLock::new, OnceLock::from);
        let (connected_us, head_us, ended_us) = (at(connected_us), at(head_us), at(ended_us));
        Watch { began: Instant::now(), connected_us, head_us, ended_us }.phases()
    }

    #[test]
    fn a_try_tells_how_far_it_came() {
        assert_eq!(phases(None, None, None), Phases::default());
        assert_eq!(phases(Some(300), None, None), Phases { connect_us: Some(300), ..Phases::default() });
        assert_eq!(
            phases(Some(300), Some(350), Some(357)),
            Phases { connect_us: Some(300), first_byte_us: Some(50), body_us: Some(7) }
        );
    }

    #[test]
    fn a_connection_that_was_there_takes_no_time() {
        assert_eq!(phases(None, Some(50), None), Phases { first_byte_us: Some(50), ..Phases::default() });
    }
}
