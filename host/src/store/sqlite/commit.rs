//! The hot path: one group of attempts and firing changes as one transaction of a few large statements.
//!
//! Each statement costs a trip to SQLite's thread and back, so rows of a kind go together: 256, 64, 16, 4 or 1 of
//! them in a statement, five texts a kind, which stay prepared.
//!
//! The kinds run in this order: new firings, then changes of stored ones, then those that ended well. For one firing
//! that is also the order in which one process asks for them, so a group may hold several changes of it.

use std::sync::{Arc, LazyLock, atomic::Ordering};

use sqlx::{AssertSqlSafe, Sqlite, Transaction, query::Query, sqlite::SqliteArguments};

use super::SqliteStore;
use crate::{
    attempt::{Attempt, record},
    store::{
        Entry, StoreResult,
        columns::{failed, inline, json, signed},
        group_plan::Plan,
    },
};

const COMMIT: &str = "record attempts";
const INDEX: &str = "index attempts";
/// Attempts that are indexed at once. More cost less each, and make a longer tail to look through.
const INDEXED_AT_ONCE: usize = 4096;
/// Rows in one statement, largest first.
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// The texts of one kind of statement, for each of [`SIZES`].
pub(super) struct Statements([Arc<str>; SIZES.len()]);

impl Statements {
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        Self(SIZES.map(|size| format!("{head}{}{tail}", vec![row; size].join(",")).into()))
    }

    /// Runs the statement over all rows, in their order.
    pub(super) async fn run<T>(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        rows: Vec<T>,
        bind: impl for<'q> Fn(Bound<'q>, T) -> Bound<'q>,
    ) -> StoreResult<()> {
        let mut rows = rows.into_iter();
        for (size, sql) in SIZES.iter().zip(&self.0) {
            while rows.len() >= *size {
                let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
                let query = rows.by_ref().take(*size).fold(query, &bind);
                query.execute(&mut **transaction).await.map_err(failed(COMMIT))?;
            }
        }
        Ok(())
    }
}

/// A parameter, in the form that the driver takes over without copying it again.
pub(super) fn text(value: &str) -> Arc<str> {
    value.into()
}

pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

static INSERT_ATTEMPTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        "INSERT INTO attempts (id, account, hook, at_ms, document, payload) VALUES ",
        "(?,?,?,?,?,?)",
        " ON CONFLICT (id) DO NOTHING",
    )
});

static COUNT_FAILURES: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        "INSERT INTO failures (hook, at_ms, account, count) VALUES ",
        "(?,?,?,1)",
        " ON CONFLICT (hook, at_ms) DO UPDATE SET count = count + 1",
    )
});

// A conflict is a message that came twice, or one that is kept under its lease twice. `lease = NULL` is never true.
static KEEP: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        "INSERT INTO firings
           (id, account, hook, state, due_ms, free_ms, lease, tries, created_ms, reason, inline, event) VALUES ",
        "(?,?,?,?,?,?,?,?,?,?,?,?)",
        " ON CONFLICT (id) DO UPDATE SET free_ms = excluded.free_ms, tries = excluded.tries
          WHERE state = 0 AND lease = excluded.lease",
    )
});

// The lease ends with the change, so that whoever renews leases meanwhile does not put off the next try.
static CHANGE: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        "UPDATE firings SET state = v.column3, due_ms = v.column4, free_ms = v.column4, tries = v.column5,
           reason = v.column6, lease = NULL
         FROM (VALUES ",
        "(?,?,?,?,?,?)",
        ") AS v WHERE firings.id = v.column1 AND firings.lease = v.column2 AND firings.state = 0",
    )
});

static REMOVE: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        "DELETE FROM firings WHERE seq IN (SELECT f.seq FROM (VALUES ",
        "(?,?)",
        ") AS v CROSS JOIN firings AS f ON f.id = v.column1 WHERE f.lease = v.column2)",
    )
});

impl SqliteStore {
    pub(super) async fn commit_group(&self, group: &[Entry]) -> StoreResult<()> {
        let plan = Plan::new(group);
        let recorded = plan.attempts.len();
        let documents = plan.attempts.into_iter().map(|attempt| (attempt, record::document(attempt))).collect();
        let mut transaction = self.begin(COMMIT).await?;
        INSERT_ATTEMPTS
            .run(&mut transaction, documents, |query, (attempt, document): (&Attempt, String)| {
                query
                    .bind(text(&attempt.id))
                    .bind(text(attempt.account.as_str()))
                    .bind(text(attempt.hook.as_str()))
                    .bind(signed(attempt.at_ms))
                    .bind(document)
                    .bind(attempt.payload.as_ref().map(|event| json(&event.payload)))
            })
            .await?;
        COUNT_FAILURES
            .run(&mut transaction, plan.failures, |query, attempt| {
                query.bind(text(attempt.hook.as_str())).bind(signed(attempt.at_ms)).bind(text(attempt.account.as_str()))
            })
            .await?;
        KEEP.run(&mut transaction, plan.new, |query, kept| {
            let firing = kept.firing;
            query
                .bind(text(firing.id.as_str()))
                .bind(text(firing.target.account().as_str()))
                .bind(text(firing.target.hook_id().as_str()))
                .bind(kept.state)
                .bind(signed(kept.due_ms))
                .bind(signed(kept.due_ms))
                .bind(firing.lease.as_ref().map(|lease| text(&lease.0)))
                .bind(firing.tries)
                .bind(signed(firing.created_ms))
                .bind(kept.reason.map(text))
                .bind(inline(firing))
                .bind(json(&*firing.event))
        })
        .await?;
        CHANGE
            .run(&mut transaction, plan.changed, |query, (lease, kept)| {
                query
                    .bind(text(kept.firing.id.as_str()))
                    .bind(text(&lease.0))
                    .bind(kept.state)
                    .bind(signed(kept.due_ms))
                    .bind(kept.firing.tries)
                    .bind(kept.reason.map(text))
            })
            .await?;
        REMOVE
            .run(&mut transaction, plan.delivered, |query, (id, lease)| {
                query.bind(text(id.as_str())).bind(text(&lease.0))
            })
            .await?;
        let unindexed = self.unindexed.fetch_add(recorded, Ordering::Relaxed) + recorded;
        if unindexed >= INDEXED_AT_ONCE {
            index_attempts(&mut transaction).await?;
            self.unindexed.store(0, Ordering::Relaxed);
        }
        transaction.commit().await.map_err(failed(COMMIT))
    }
}

impl SqliteStore {
    /// Indexes what a process before this one has left.
    pub(super) async fn index_leftover_attempts(&self) -> StoreResult<()> {
        let mut transaction = self.begin(INDEX).await?;
        index_attempts(&mut transaction).await?;
        transaction.commit().await.map_err(failed(INDEX))
    }
}

/// Indexes what was recorded since the last time, sorted, so that a page of the index is written once for many.
async fn index_attempts(transaction: &mut Transaction<'_, Sqlite>) -> StoreResult<()> {
    for statement in [
        "INSERT INTO attempt_index (owner, seq)
         SELECT 'h' || hook, seq FROM attempts WHERE seq > (SELECT seq FROM attempts_indexed)
         UNION ALL SELECT 'a' || account, seq FROM attempts WHERE seq > (SELECT seq FROM attempts_indexed)
         ORDER BY 1, 2",
        "UPDATE attempts_indexed SET seq = max(seq, coalesce((SELECT max(seq) FROM attempts), 0))",
    ] {
        sqlx::query(statement).execute(&mut **transaction).await.map_err(failed(INDEX))?;
    }
    Ok(())
}
