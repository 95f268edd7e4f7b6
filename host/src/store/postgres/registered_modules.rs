//! Modules and transforms of accounts, and their components.

use async_trait::async_trait;
use sqlx::{Postgres, Transaction};

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    message::AccountId,
    store::{
        Changes, Notice, Saved, StoreResult,
        columns::{changes, each, failed, json, signed, unsigned},
        registered_modules::{
            Kept, ModuleChange, ModuleVersion, Quarantine, RegisteredModule, RegisteredModules, VersionBounds,
            VersionDeleted,
        },
        rows::{module_change, module_version, registered_module},
    },
};

const READ: &str = "read registered modules";
const WRITE: &str = "write a registered module";
const DELETE: &str = "delete a registered module";
const KEEP: &str = "keep a version of a module";

#[async_trait]
impl RegisteredModules for PostgresStore {
    async fn registered_modules_of(&self, account: &AccountId) -> StoreResult<Vec<RegisteredModule>> {
        let rows = sqlx::query("SELECT * FROM registered_modules WHERE account = $1 AND NOT deleted ORDER BY name")
            .bind(text(account.as_str()))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        each(rows, registered_module)
    }

    async fn registered_module(&self, account: &AccountId, name: &str) -> StoreResult<Option<RegisteredModule>> {
        let row = sqlx::query("SELECT * FROM registered_modules WHERE account = $1 AND name = $2 AND NOT deleted")
            .bind(text(account.as_str()))
            .bind(text(name))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(registered_module).transpose()
    }

    async fn registered_modules_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<ModuleChange>> {
        const DOING: &str = "read changed modules";
        let rows = sqlx::query("SELECT * FROM registered_modules WHERE change > $1 ORDER BY change LIMIT $2")
            .bind(cursor)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(DOING))?;
        changes(&rows, cursor, DOING, module_change)
    }

    async fn module_versions(&self, account: &AccountId, name: &str) -> StoreResult<Vec<ModuleVersion>> {
        let rows = sqlx::query(
            "SELECT * FROM module_versions WHERE account = $1 AND name = $2 ORDER BY uploaded_ms DESC, seq DESC",
        )
        .bind(text(account.as_str()))
        .bind(text(name))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        each(rows, module_version)
    }

    async fn module_version(&self, account: &AccountId, name: &str, named: &str) -> StoreResult<Option<ModuleVersion>> {
        let row = sqlx::query(
            "SELECT * FROM module_versions WHERE account = $1 AND name = $2 AND (digest = $3 OR version = $4) LIMIT 1",
        )
        .bind(text(account.as_str()))
        .bind(text(name))
        .bind(text(named))
        .bind(text(named))
        .fetch_optional(&self.pool)
        .await
        .map_err(failed(READ))?;
        row.as_ref().map(module_version).transpose()
    }

    async fn component(&self, digest: &str) -> StoreResult<Option<Vec<u8>>> {
        sqlx::query_scalar("SELECT bytes FROM components WHERE digest = $1")
            .bind(text(digest))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a component"))
    }

    async fn keep_version(
        &self,
        new: &ModuleVersion,
        component: &[u8],
        bounds: &VersionBounds,
        notices: &[Notice],
    ) -> StoreResult<Kept> {
        let doing = failed(KEEP);
        let mut transaction = self.begin_change(KEEP).await?;
        if !Self::account_is_there(&mut transaction, &new.account).await? {
            return Ok(Kept::NoAccount);
        }
        let there = stored(&mut transaction, &new.account, &new.name).await?;
        match &there {
            Some(there) if there.kind != new.kind => return Ok(Kept::OtherKind(there.kind)),
            Some(_) => {
                let rows = sqlx::query(
                    "SELECT * FROM module_versions WHERE account = $1 AND name = $2 AND (digest = $3 OR version = $4)
                     ORDER BY digest <> $5",
                )
                .bind(text(new.account.as_str()))
                .bind(text(&new.name))
                .bind(text(&new.digest))
                .bind(text(&new.version))
                .bind(text(&new.digest))
                .fetch_all(&mut *transaction)
                .await
                .map_err(&doing)?;
                match rows.first().map(module_version).transpose()? {
                    Some(same) if same.digest == new.digest => return Ok(Kept::There(Box::new(same))),
                    Some(_) => return Ok(Kept::VersionTaken),
                    None => {}
                }
                let versions: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM module_versions WHERE account = $1 AND name = $2")
                        .bind(text(new.account.as_str()))
                        .bind(text(&new.name))
                        .fetch_one(&mut *transaction)
                        .await
                        .map_err(&doing)?;
                if unsigned(versions) >= bounds.versions_max {
                    return Ok(Kept::TooManyVersions);
                }
            }
            None => {
                let modules: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM registered_modules WHERE account = $1 AND NOT deleted")
                        .bind(text(new.account.as_str()))
                        .fetch_one(&mut *transaction)
                        .await
                        .map_err(&doing)?;
                if unsigned(modules) >= bounds.modules_max {
                    return Ok(Kept::TooManyModules);
                }
            }
        }
        let bytes: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(size_bytes), 0)::bigint FROM module_versions WHERE account = $1")
                .bind(text(new.account.as_str()))
                .fetch_one(&mut *transaction)
                .await
                .map_err(&doing)?;
        if unsigned(bytes).saturating_add(new.size_bytes) > bounds.bytes_max {
            return Ok(Kept::TooManyBytes);
        }
        sqlx::query("INSERT INTO components (digest, bytes) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
            .bind(text(&new.digest))
            .bind(component)
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
        insert_version(&mut transaction, new).await?;
        if there.is_none() {
            make(&mut transaction, new).await?;
            Self::insert_notices(&mut transaction, notices).await?;
        } else {
            changed(&mut transaction, &new.account, &new.name, KEEP).await?;
        }
        self.finish_change(transaction, KEEP).await?;
        Ok(Kept::New)
    }

    async fn save_registered_module(
        &self,
        record: &RegisteredModule,
        based_on: i64,
        notices: &[Notice],
    ) -> StoreResult<Saved> {
        let mut transaction = self.begin_change(WRITE).await?;
        let Some(there) = stored(&mut transaction, &record.account, &record.name).await? else {
            return Ok(Saved::Conflict);
        };
        if there.revision != based_on {
            return Ok(Saved::Conflict);
        }
        if let Some(digest) = &record.active {
            let found: Option<i64> = sqlx::query_scalar(
                "SELECT 1::bigint FROM module_versions WHERE account = $1 AND name = $2 AND digest = $3",
            )
            .bind(text(record.account.as_str()))
            .bind(text(&record.name))
            .bind(text(digest))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
            if found.is_none() {
                return Ok(Saved::Conflict);
            }
        }
        if (RegisteredModule { revision: based_on, ..record.clone() }) == there {
            return Ok(Saved::Done(based_on));
        }
        update(&mut transaction, record).await?;
        if record.active != there.active || (there.quarantine.is_some() && record.quarantine.is_none()) {
            Self::forget_faults_of(&mut transaction, &record.id(), None).await?;
        }
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, WRITE).await?;
        Ok(Saved::Done(based_on + 1))
    }

    async fn set_quarantine(
        &self,
        account: &AccountId,
        name: &str,
        quarantine: &Quarantine,
        notices: &[Notice],
    ) -> StoreResult<bool> {
        let mut transaction = self.begin_change(WRITE).await?;
        let Some(mut there) = stored(&mut transaction, account, name).await? else { return Ok(false) };
        if there.quarantine.is_some() || there.active.as_ref() != Some(&quarantine.digest) {
            return Ok(false);
        }
        there.quarantine = Some(quarantine.clone());
        update(&mut transaction, &there).await?;
        Self::forget_faults_of(&mut transaction, &there.id(), Some(&quarantine.digest)).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, WRITE).await?;
        Ok(true)
    }

    async fn delete_version(&self, account: &AccountId, name: &str, digest: &str) -> StoreResult<VersionDeleted> {
        let mut transaction = self.begin_change(DELETE).await?;
        let Some(mut there) = stored(&mut transaction, account, name).await? else {
            return Ok(VersionDeleted::Missing);
        };
        if there.active.as_deref() == Some(digest) {
            return Ok(VersionDeleted::IsActive);
        }
        let done = sqlx::query("DELETE FROM module_versions WHERE account = $1 AND name = $2 AND digest = $3")
            .bind(text(account.as_str()))
            .bind(text(name))
            .bind(text(digest))
            .execute(&mut *transaction)
            .await
            .map_err(failed(DELETE))?;
        if done.rows_affected() == 0 {
            return Ok(VersionDeleted::Missing);
        }
        if there.before.iter().any(|before| before == digest) {
            there.before.retain(|before| before != digest);
            update(&mut transaction, &there).await?;
        } else {
            changed(&mut transaction, account, name, DELETE).await?;
        }
        forget_component(&mut transaction, digest).await?;
        self.finish_change(transaction, DELETE).await?;
        Ok(VersionDeleted::Done)
    }

    async fn delete_registered_module(&self, account: &AccountId, name: &str, notices: &[Notice]) -> StoreResult<bool> {
        let mut transaction = self.begin_change(DELETE).await?;
        if !Self::mark_module_deleted(&mut transaction, account, name).await? {
            return Ok(false);
        }
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, DELETE).await?;
        Ok(true)
    }
}

impl PostgresStore {
    /// Deletes what accounts have registered; their ids as they are stored.
    pub(super) async fn take_modules_of(
        transaction: &mut Transaction<'static, Postgres>,
        accounts: &[String],
    ) -> StoreResult<()> {
        let gone: Vec<(String, String)> =
            sqlx::query_as("SELECT account, name FROM registered_modules WHERE account = ANY($1) AND NOT deleted")
                .bind(accounts)
                .fetch_all(&mut **transaction)
                .await
                .map_err(failed(DELETE))?;
        for (account, name) in gone {
            Self::mark_module_deleted(transaction, &read(account).into(), &read(name)).await?;
        }
        Ok(())
    }

    /// The row stays as a mark for others to read; its versions, and components that nobody else has, go.
    async fn mark_module_deleted(
        transaction: &mut Transaction<'static, Postgres>,
        account: &AccountId,
        name: &str,
    ) -> StoreResult<bool> {
        let doing = failed(DELETE);
        let done = sqlx::query(
            "UPDATE registered_modules SET deleted = TRUE, active = NULL, before = '[]', settings = '{}', limits = '{}',
               offered = FALSE, quarantine = NULL, revision = revision + 1,
               change = nextval('changes')
             WHERE account = $1 AND name = $2 AND NOT deleted",
        )
        .bind(text(account.as_str()))
        .bind(text(name))
        .execute(&mut **transaction)
        .await
        .map_err(&doing)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let digests: Vec<String> =
            sqlx::query_scalar("DELETE FROM module_versions WHERE account = $1 AND name = $2 RETURNING digest")
                .bind(text(account.as_str()))
                .bind(text(name))
                .fetch_all(&mut **transaction)
                .await
                .map_err(&doing)?;
        for digest in digests {
            forget_component(transaction, &digest).await?;
        }
        Ok(true)
    }
}

async fn stored(
    transaction: &mut Transaction<'static, Postgres>,
    account: &AccountId,
    name: &str,
) -> StoreResult<Option<RegisteredModule>> {
    let row = sqlx::query("SELECT * FROM registered_modules WHERE account = $1 AND name = $2 AND NOT deleted")
        .bind(text(account.as_str()))
        .bind(text(name))
        .fetch_optional(&mut **transaction)
        .await
        .map_err(failed(WRITE))?;
    row.as_ref().map(registered_module).transpose()
}

/// A module of this version's name, with nothing active. One that was deleted comes back with a higher revision.
async fn make(transaction: &mut Transaction<'static, Postgres>, version: &ModuleVersion) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO registered_modules (account, name, kind, active, before, settings, limits, offered, quarantine,
           revision, created_ms, change)
         VALUES ($1, $2, $3, NULL, '[]', '{}', '{}', FALSE, NULL, 1, $4,
           nextval('changes'))
         ON CONFLICT (account, name) DO UPDATE SET kind = excluded.kind, revision = registered_modules.revision + 1,
           created_ms = excluded.created_ms, deleted = FALSE, change = excluded.change",
    )
    .bind(text(version.account.as_str()))
    .bind(text(&version.name))
    .bind(text(version.kind.as_str()))
    .bind(signed(version.uploaded_ms))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(KEEP))
}

async fn insert_version(transaction: &mut Transaction<'static, Postgres>, version: &ModuleVersion) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO module_versions (account, name, digest, version, kind, uploader, key_id, uploaded_ms, size_bytes,
           imports, metadata, bindings, report)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(text(version.account.as_str()))
    .bind(text(&version.name))
    .bind(text(&version.digest))
    .bind(text(&version.version))
    .bind(text(version.kind.as_str()))
    .bind(text(version.uploader.as_str()))
    .bind(version.key_id.as_deref().map(text))
    .bind(signed(version.uploaded_ms))
    .bind(signed(version.size_bytes))
    .bind(json(&version.imports))
    .bind(version.metadata.as_ref().map(json))
    .bind(json(&version.bindings))
    .bind(json(&version.report))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(KEEP))
}

async fn update(transaction: &mut Transaction<'static, Postgres>, record: &RegisteredModule) -> StoreResult<()> {
    sqlx::query(
        "UPDATE registered_modules SET active = $1, before = $2, settings = $3, limits = $4, offered = $5, quarantine = $6,
           revision = revision + 1, change = nextval('changes')
         WHERE account = $7 AND name = $8",
    )
    .bind(record.active.as_deref().map(text))
    .bind(json(&record.before))
    .bind(json(&record.settings))
    .bind(json(&record.limits))
    .bind(record.offered)
    .bind(record.quarantine.as_ref().map(json))
    .bind(text(record.account.as_str()))
    .bind(text(&record.name))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(WRITE))
}

/// Removes a component that no version refers to any more.
async fn forget_component(transaction: &mut Transaction<'static, Postgres>, digest: &str) -> StoreResult<()> {
    sqlx::query(
        "DELETE FROM components WHERE digest = $1 AND NOT EXISTS (SELECT 1 FROM module_versions WHERE digest = $2)",
    )
    .bind(text(digest))
    .bind(text(digest))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(DELETE))
}

/// Has followers look at a module whose versions are others now; the record itself, and its revision, stay.
async fn changed(
    transaction: &mut Transaction<'static, Postgres>,
    account: &AccountId,
    name: &str,
    doing: &'static str,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE registered_modules SET change = nextval('changes')
         WHERE account = $1 AND name = $2",
    )
    .bind(text(account.as_str()))
    .bind(text(name))
    .execute(&mut **transaction)
    .await
    .map_err(failed(doing))?;
    Ok(())
}
