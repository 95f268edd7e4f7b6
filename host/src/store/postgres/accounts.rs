//! Accounts: what is listed, and how one is found. Writing them has a file of its own.

use serde_json::Value;

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    account::{Account, AccountRecord},
    message::{AccountId, Object},
    store::{
        Changes, StoreResult,
        columns::{changes, each, failed, json},
        rows::{account, account_change, account_record},
    },
};

const READ: &str = "read accounts";
/// Accounts of one name that are given: whoever asks wants one, or to know that there are several.
const NAMESAKES: usize = 10;

impl PostgresStore {
    pub(super) async fn list_accounts(&self) -> StoreResult<Vec<Account>> {
        let rows = sqlx::query("SELECT id, name, tree, reseller FROM accounts WHERE NOT deleted")
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        each(rows, account)
    }

    pub(super) async fn account_changes(
        &self,
        cursor: i64,
        limit: u32,
    ) -> StoreResult<Changes<Result<Account, AccountId>>> {
        const DOING: &str = "read changed accounts";
        let rows = sqlx::query(
            "SELECT id, name, tree, reseller, deleted, change FROM accounts WHERE change > $1 ORDER BY change LIMIT $2",
        )
        .bind(cursor)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(DOING))?;
        changes(&rows, cursor, DOING, account_change)
    }

    pub(super) async fn find_account(&self, id: &AccountId) -> StoreResult<Option<AccountRecord>> {
        let row = sqlx::query(
            "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms FROM accounts
             WHERE id = $1 AND NOT deleted",
        )
        .bind(text(id.as_str()))
        .fetch_optional(&self.pool)
        .await
        .map_err(failed(READ))?;
        row.as_ref().map(account_record).transpose()
    }

    pub(super) async fn list_accounts_below(
        &self,
        root: &AccountId,
        children_only: bool,
        after: Option<&AccountId>,
        limit: u32,
    ) -> StoreResult<Vec<AccountRecord>> {
        let listing = if children_only {
            "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms FROM accounts
             WHERE parent = $1 AND NOT deleted AND id > $2 ORDER BY id LIMIT $3"
        } else {
            "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms
             FROM account_ancestors JOIN accounts ON id = account
             WHERE ancestor = $1 AND NOT deleted AND account > $2 ORDER BY account LIMIT $3"
        };
        let rows = sqlx::query(listing)
            .bind(text(root.as_str()))
            .bind(text(after.map_or("", AccountId::as_str)))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        each(rows, account_record)
    }

    pub(super) async fn find_accounts_named(&self, field: &str, wanted: &str) -> StoreResult<Vec<AccountId>> {
        // The two that everybody asks for have indexes.
        let query = match field {
            "name" => {
                sqlx::query_as("SELECT id, document FROM accounts WHERE name = $1 AND NOT deleted ORDER BY id LIMIT 10")
                    .bind(text(wanted).into_owned())
            }
            "realm" => sqlx::query_as(
                "SELECT id, document FROM accounts WHERE realm = $1 AND NOT deleted ORDER BY id LIMIT 10",
            )
            .bind(text(wanted).into_owned()),
            // As it stands in a document; where in the document is looked at below.
            field => sqlx::query_as(
                "SELECT id, document FROM accounts WHERE NOT deleted AND strpos(document, $1) > 0 ORDER BY id",
            )
            .bind(format!("{}:{}", json(&field), json(&wanted))),
        };
        let found: Vec<(String, String)> = query.fetch_all(&self.pool).await.map_err(failed(READ))?;
        let has = |document: &str| {
            let document: Object = serde_json::from_str(document).unwrap_or_default();
            document.get(field).and_then(Value::as_str) == Some(wanted)
        };
        Ok(found
            .into_iter()
            .filter(|(_, document)| has(document))
            .map(|(id, _)| AccountId::from(read(id)))
            .take(NAMESAKES)
            .collect())
    }
}
