//! The hot path: one group of attempts and firing changes as one transaction, each kind of row in one statement.
//!
//! No two rows of a statement may be of one firing (PostgreSQL refuses to change a row twice in one statement), so a
//! group that has several changes of one kind for a firing takes several statements, in their order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use sqlx::{Postgres, Transaction};

use super::{PostgresStore, code_of, days::day, text::text};
use crate::{
    attempt::{Attempt, record},
    message::{LeaseToken, WebhookId},
    store::{
        Entry, Hint, StoreResult,
        columns::{failed, inline, json, signed},
        group_plan::{Kept, Plan, WAITING},
    },
};

const COMMIT: &str = "record attempts";
/// The day's partition is not there.
const NO_PARTITION: &str = "23514";

type Running = Transaction<'static, Postgres>;

impl PostgresStore {
    pub(super) async fn commit_group(&self, group: &[Entry]) -> StoreResult<()> {
        match self.commit_once(group).await {
            // Another node has dropped a day that this one knew: its clock is far ahead, or this is an old attempt.
            Err(error) if code_of(&error).as_deref() == Some(NO_PARTITION) => {
                self.days.forget();
                self.commit_once(group).await
            }
            done => done,
        }
    }

    async fn commit_once(&self, group: &[Entry]) -> StoreResult<()> {
        let plan = Plan::new(group);
        if !plan.attempts.is_empty() {
            let days: BTreeSet<i32> = plan.attempts.iter().map(|attempt| day(attempt.at_ms)).collect();
            self.make_days(&days).await?;
        }
        let mut waits = plan.new.iter().chain(plan.changed.iter().map(|(_, kept)| kept));
        // What is kept under a lease is of no use to others yet.
        let is_news =
            waits.any(|kept| kept.state == WAITING && kept.firing.lease.is_none()) || !plan.changed.is_empty();
        let mut transaction = self.begin(COMMIT).await?;
        insert_attempts(&mut transaction, &plan.attempts).await?;
        count_failures(&mut transaction, &plan.failures).await?;
        for round in rounds(plan.new, |kept| kept.firing.id.as_str()) {
            keep(&mut transaction, &round).await?;
        }
        for round in rounds(plan.changed, |(_, kept)| kept.firing.id.as_str()) {
            change(&mut transaction, &round).await?;
        }
        remove(&mut transaction, &plan.delivered).await?;
        transaction.commit().await.map_err(failed(COMMIT))?;
        if is_news {
            self.hints.tell(Hint::Firings);
        }
        Ok(())
    }
}

/// Splits rows so that no part has two of one key, and those of one key stay in their order.
fn rounds<T>(rows: Vec<T>, key: impl Fn(&T) -> &str) -> Vec<Vec<T>> {
    let mut rounds: Vec<Vec<T>> = Vec::new();
    let turns: Vec<usize> = {
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(rows.len());
        rows.iter()
            .map(|row| {
                let turn = seen.entry(key(row)).or_default();
                *turn += 1;
                *turn - 1
            })
            .collect()
    };
    for (row, turn) in rows.into_iter().zip(turns) {
        if rounds.len() <= turn {
            rounds.push(Vec::new());
        }
        rounds[turn].push(row);
    }
    rounds
}

async fn insert_attempts(transaction: &mut Running, attempts: &[&Attempt]) -> StoreResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempts (day, id, account, hook, at_ms, success, duration_ms, document, payload)
         SELECT * FROM UNNEST($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bool[], $7::bigint[],
           $8::text[], $9::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(attempts.iter().map(|attempt| day(attempt.at_ms)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| text(&attempt.id)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| text(attempt.account.as_str())).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| text(attempt.hook.as_str())).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| signed(attempt.at_ms)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.outcome.is_success()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| signed(attempt.duration_ms)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| record::document(attempt)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.payload.as_ref().map(|event| json(&event.payload))).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(COMMIT))
}

async fn count_failures(transaction: &mut Running, failures: &[&Attempt]) -> StoreResult<()> {
    if failures.is_empty() {
        return Ok(());
    }
    // In the order of their keys, so that two groups that count the same ones wait for each other and no more.
    let mut counts: BTreeMap<(&str, u64), (&str, i64)> = BTreeMap::new();
    for attempt in failures {
        let count = counts.entry((attempt.hook.as_str(), attempt.at_ms)).or_insert((attempt.account.as_str(), 0));
        count.1 += 1;
    }
    sqlx::query(
        "INSERT INTO failures (hook, at_ms, account, count)
         SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[])
         ON CONFLICT (hook, at_ms) DO UPDATE SET count = failures.count + excluded.count",
    )
    .bind(counts.keys().map(|(hook, _)| text(hook)).collect::<Vec<_>>())
    .bind(counts.keys().map(|(_, at_ms)| signed(*at_ms)).collect::<Vec<_>>())
    .bind(counts.values().map(|(account, _)| text(account)).collect::<Vec<_>>())
    .bind(counts.values().map(|(_, count)| *count).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(COMMIT))
}

/// A conflict is a message that came twice, or one that is kept under its lease twice.
async fn keep(transaction: &mut Running, new: &[Kept<'_>]) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO firings (id, account, hook, state, due_ms, free_ms, lease, tries, created_ms, reason, inline, event)
         SELECT id, account, hook, state, due_ms, due_ms, lease, tries, created_ms, reason, inline, event
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::text[], $7::bigint[],
           $8::bigint[], $9::text[], $10::text[], $11::text[])
           AS new (id, account, hook, state, due_ms, lease, tries, created_ms, reason, inline, event)
         ON CONFLICT (id) DO UPDATE SET free_ms = excluded.free_ms, tries = excluded.tries
         WHERE firings.state = 0 AND firings.lease = excluded.lease",
    )
    .bind(new.iter().map(|kept| text(kept.firing.id.as_str())).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| text(kept.firing.target.account().as_str())).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| text(kept.firing.target.hook_id().as_str())).collect::<Vec<_>>())
    .bind(new.iter().map(state).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| signed(kept.due_ms)).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| kept.firing.lease.as_ref().map(|lease| text(&lease.0))).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| i64::from(kept.firing.tries)).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| signed(kept.firing.created_ms)).collect::<Vec<_>>())
    .bind(new.iter().map(reason).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| inline(kept.firing)).collect::<Vec<_>>())
    .bind(new.iter().map(|kept| json(&*kept.firing.event)).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(COMMIT))
}

/// The lease ends with the change.
async fn change(transaction: &mut Running, changed: &[(&LeaseToken, Kept<'_>)]) -> StoreResult<()> {
    sqlx::query(
        "UPDATE firings SET state = new.state, due_ms = new.due_ms, free_ms = new.due_ms, tries = new.tries,
           reason = new.reason, lease = NULL
         FROM UNNEST($1::text[], $2::text[], $3::smallint[], $4::bigint[], $5::bigint[], $6::text[])
           AS new (id, lease, state, due_ms, tries, reason)
         WHERE firings.id = new.id AND firings.lease = new.lease AND firings.state = 0",
    )
    .bind(changed.iter().map(|(_, kept)| text(kept.firing.id.as_str())).collect::<Vec<_>>())
    .bind(changed.iter().map(|(lease, _)| text(&lease.0)).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, kept)| state(kept)).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, kept)| signed(kept.due_ms)).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, kept)| i64::from(kept.firing.tries)).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, kept)| reason(kept)).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(COMMIT))
}

async fn remove(transaction: &mut Running, delivered: &[(&WebhookId, &LeaseToken)]) -> StoreResult<()> {
    if delivered.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM firings USING UNNEST($1::text[], $2::text[]) AS ended (id, lease)
         WHERE firings.id = ended.id AND firings.lease = ended.lease",
    )
    .bind(delivered.iter().map(|(id, _)| text(id.as_str())).collect::<Vec<_>>())
    .bind(delivered.iter().map(|(_, lease)| text(&lease.0)).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(COMMIT))
}

fn state(kept: &Kept<'_>) -> i16 {
    i16::try_from(kept.state).unwrap_or(i16::MAX)
}

fn reason<'a>(kept: &Kept<'a>) -> Option<Cow<'a, str>> {
    kept.reason.map(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_key_come_one_after_the_other() {
        let split = rounds(vec!["a1", "b1", "a2", "c1", "a3", "b2"], |row| &row[..1]);
        assert_eq!(split, [vec!["a1", "b1", "c1"], vec!["a2", "b2"], vec!["a3"]]);
        assert_eq!(rounds(Vec::<&str>::new(), |row| row).len(), 0);
    }
}
