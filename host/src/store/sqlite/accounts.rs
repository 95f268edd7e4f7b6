//! Accounts: what is listed, and how one is found. Writing them has a file of its own.

use super::SqliteStore;
use crate::{
    account::{Account, AccountRecord},
    message::AccountId,
    store::{
        Changes, StoreResult,
        columns::{changes, each, failed},
        rows::{account, account_change, account_record},
    },
};

const READ: &str = "read accounts";
/// Accounts of one name that are given: whoever asks wants one, or to know that there are several.
const NAMESAKES: u32 = 10;

impl SqliteStore {
    pub(super) async fn list_accounts(&self) -> StoreResult<Vec<Account>> {
        let rows = sqlx::query("SELECT id, name, tree, reseller FROM accounts WHERE deleted = 0")
            .fetch_all(&self.readers)
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
            "SELECT id, name, tree, reseller, deleted, change FROM accounts WHERE change > ? ORDER BY change LIMIT ?",
        )
        .bind(cursor)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(DOING))?;
        changes(&rows, cursor, DOING, account_change)
    }

    pub(super) async fn find_account(&self, id: &AccountId) -> StoreResult<Option<AccountRecord>> {
        let row = sqlx::query(
            "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms FROM accounts
             WHERE id = ? AND deleted = 0",
        )
        .bind(id.as_str())
        .fetch_optional(&self.readers)
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
        let text = if children_only {
            "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms FROM accounts
             WHERE json_extract(tree, '$[#-1]') = ? AND deleted = 0 AND id > ? ORDER BY id LIMIT ?"
        } else {
            "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms
             FROM account_ancestors AS above CROSS JOIN accounts ON id = account
             WHERE ancestor = ? AND deleted = 0 AND account > ? ORDER BY account LIMIT ?"
        };
        let rows = sqlx::query(text)
            .bind(root.as_str())
            .bind(after.map_or("", AccountId::as_str))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed(READ))?;
        each(rows, account_record)
    }

    pub(super) async fn find_accounts_named(&self, field: &str, text: &str) -> StoreResult<Vec<AccountId>> {
        // The two that everybody asks for have indexes.
        let query = match field {
            "name" => sqlx::query_scalar("SELECT id FROM accounts WHERE name = ? AND deleted = 0 ORDER BY id LIMIT ?"),
            "realm" => sqlx::query_scalar(
                "SELECT id FROM accounts WHERE json_extract(document, '$.realm') = ? AND deleted = 0 ORDER BY id LIMIT ?",
            ),
            field => sqlx::query_scalar(
                "SELECT id FROM accounts WHERE deleted = 0 AND EXISTS
                   (SELECT 1 FROM json_each(document) WHERE key = ? AND type = 'text' AND value = ?)
                 ORDER BY id LIMIT ?",
            )
            .bind(field.to_owned()),
        };
        let ids: Vec<String> = query.bind(text).bind(NAMESAKES).fetch_all(&self.readers).await.map_err(failed(READ))?;
        Ok(ids.into_iter().map(AccountId::from).collect())
    }
}
