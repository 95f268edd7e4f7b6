//! What was bound to the broker's queue: a broker does not tell over AMQP, and bindings of a durable queue outlive the
//! process that made them.
//!
//! Made and read by [`crate::ingress::amqp`] alone. Noted before something is bound and forgotten after it was released, so
//! that what is bound and not wanted is always known; what is known may be gone already.

use async_trait::async_trait;

use super::StoreResult;

/// A binding as the broker knows it: the exchange, and the routing key.
pub type Bound = (String, String);

/// What was bound, as a store keeps it.
#[async_trait]
pub trait BoundBindings {
    /// All that was bound to a queue.
    async fn bound_bindings(&self, queue: &str) -> StoreResult<Vec<Bound>>;
    /// Notes what is about to be bound.
    async fn note_bound(&self, queue: &str, bindings: &[Bound]) -> StoreResult<()>;
    /// Forgets what was released.
    async fn forget_bound(&self, queue: &str, bindings: &[Bound]) -> StoreResult<()>;
}
