//! What is stored of a thing, read from a row of either backend: both call their columns the same.

use std::sync::Arc;

use super::{
    AttemptRow, DeadLetter, HookChange, ModuleRecord, Notice, ResendJob, StoreError, StoreResult, UndeliveredRow,
    columns::{Cells, Columns, account_named, parsed, small},
    module_costs::{CostLine, CostSums, Day},
    origins::{Origin, Thing},
    registered_modules::{ModuleChange, ModuleVersion, RegisteredModule},
    stored_calls::{CallLine, StoredCall},
    traffic::{AttemptPoint, FailingHook},
};
use crate::{
    account::{Account, AccountRecord, KeyRecord},
    hook::HookRecord,
    message::{AccountId, Firing, HookId, LeaseToken, ModuleId, Target},
    module::Kind,
};

const ACCOUNTS: &str = "read accounts";

pub(super) fn account(row: &impl Columns) -> StoreResult<Account> {
    let cells = Cells::of(row, ACCOUNTS);
    let id = cells.text("id")?;
    Ok(Account {
        tree: cells.json("account", &id, "tree")?,
        name: cells.text("name")?,
        reseller: cells.text_if_any("reseller")?.map(AccountId::from),
        id: id.into(),
    })
}

/// One that is deleted, by its id alone.
pub(super) fn account_change(row: &impl Columns, deleted: bool) -> StoreResult<Result<Account, AccountId>> {
    match deleted {
        true => Ok(Err(Cells::of(row, ACCOUNTS).text("id")?.into())),
        false => account(row).map(Ok),
    }
}

pub(super) fn account_record(row: &impl Columns) -> StoreResult<AccountRecord> {
    let cells = Cells::of(row, ACCOUNTS);
    let account = account(row)?;
    Ok(AccountRecord {
        document: cells.json("account", account.id.as_str(), "document")?,
        is_reseller: cells.flag("is_reseller")?,
        revision: cells.number("revision")?,
        created_ms: cells.count("created_ms")?,
        account,
    })
}

pub(super) fn key(row: &impl Columns) -> StoreResult<KeyRecord> {
    let cells = Cells::of(row, "read keys");
    Ok(KeyRecord {
        id: cells.text("id")?,
        hash: cells.text("hash")?,
        account: cells.text("account")?.into(),
        name: cells.text("name")?,
        created_ms: cells.count("created_ms")?,
        last_used_ms: cells.count_if_any("last_used_ms")?,
    })
}

pub(super) fn hook(row: &impl Columns) -> StoreResult<HookRecord> {
    let cells = Cells::of(row, "read hooks");
    let id = cells.text("id")?;
    Ok(HookRecord {
        account: cells.text("account")?.into(),
        document: cells.json("hook", &id, "document")?,
        disabled_message: cells.text_if_any("disabled_message")?,
        secrets: cells.json("hook", &id, "secrets")?,
        revision: cells.number("revision")?,
        created_ms: cells.count("created_ms")?,
        id: id.into(),
    })
}

pub(super) fn hook_change(row: &impl Columns, deleted: bool) -> StoreResult<HookChange> {
    let record = hook(row)?;
    Ok(match deleted {
        true => HookChange::Deleted(record.account, record.id),
        false => HookChange::Saved(record),
    })
}

/// A firing from a row with all that is kept of it.
pub(super) fn firing(row: &impl Columns) -> StoreResult<Firing> {
    let cells = Cells::of(row, "read firings");
    let id = cells.text("id")?;
    let target = match cells.json_if_any("firing", &id, "inline")? {
        Some(hook) => Target::Inline(Arc::new(hook)),
        None => Target::Stored(cells.text("account")?.into(), cells.text("hook")?.into()),
    };
    Ok(Firing {
        target,
        event: Arc::new(cells.json("firing", &id, "event")?),
        tries: small(cells.number("tries")?),
        created_ms: cells.count("created_ms")?,
        lease: cells.text_if_any("lease")?.map(LeaseToken),
        id: id.into(),
    })
}

pub(super) fn undelivered(row: &impl Columns) -> StoreResult<UndeliveredRow> {
    let cells = Cells::of(row, "read firings");
    let ended_ms = cells.count("due_ms")?;
    Ok(UndeliveredRow {
        cursor: (ended_ms, cells.number("seq")?),
        firing: Firing { lease: None, ..firing(row)? },
        reason: cells.text_if_any("reason")?.unwrap_or_default(),
        ended_ms,
    })
}

pub(super) fn attempt(row: &impl Columns) -> StoreResult<AttemptRow> {
    let cells = Cells::of(row, "read attempts");
    let id = cells.text("id")?;
    Ok(AttemptRow {
        cursor: cells.number("seq")?,
        document: cells.json("attempt", &id, "document")?,
        payload: cells.json_if_any("attempt", &id, "payload")?,
    })
}

pub(super) fn job(row: &impl Columns) -> StoreResult<ResendJob> {
    let cells = Cells::of(row, "read jobs");
    let id = cells.text("id")?;
    Ok(ResendJob {
        account: cells.text("account")?.into(),
        hook: cells.text_if_any("hook")?.map(HookId::from),
        from_ms: cells.count("from_ms")?,
        to_ms: cells.count("to_ms")?,
        outcome: parsed("job", &id, &format!("\"{}\"", cells.text("outcome")?))?,
        state: parsed("job", &id, &format!("\"{}\"", cells.text("state")?))?,
        progress: cells.text("progress")?,
        resent: cells.count("resent")?,
        skipped: cells.count("skipped")?,
        reason: cells.text_if_any("reason")?,
        created_ms: cells.count("created_ms")?,
        updated_ms: cells.count("updated_ms")?,
        id,
    })
}

pub(super) fn dead_letter(row: &impl Columns) -> StoreResult<DeadLetter> {
    let cells = Cells::of(row, "read dead letters");
    let id = cells.number("id")?;
    Ok(DeadLetter {
        id,
        at_ms: cells.count("at_ms")?,
        module: cells.text_if_any("module")?.map(ModuleId::from),
        module_version: cells.text("module_version")?,
        reason: cells.text("reason")?,
        owner: cells.text_if_any("owner")?.map(AccountId::from),
        message: cells.json("dead letter", &id.to_string(), "message")?,
    })
}

pub(super) fn notice(row: &impl Columns) -> StoreResult<Notice> {
    let cells = Cells::of(row, "read notices");
    let id = cells.number("id")?;
    Ok(Notice {
        id,
        exchange: cells.text("exchange")?,
        routing_key: cells.text("routing_key")?,
        body: cells.json("notice", &id.to_string(), "body")?,
    })
}

pub(super) fn module_metadata(row: &impl Columns) -> StoreResult<ModuleRecord> {
    let cells = Cells::of(row, "read modules");
    let id = cells.text("id")?;
    Ok(ModuleRecord {
        version: cells.text("version")?,
        digest: cells.text("digest")?,
        metadata: cells.json("module", &id, "metadata")?,
        id: id.into(),
    })
}

pub(super) fn origin(row: &impl Columns) -> StoreResult<Origin> {
    let cells = Cells::of(row, "read where things came from");
    let (kind, id) = (cells.text("kind")?, cells.text("id")?);
    let thing = Thing::of(&kind, id.clone()).ok_or_else(|| StoreError::Unreadable {
        what: "origin",
        id,
        reason: format!("there is no kind {kind:?}"),
    })?;
    Ok(Origin {
        thing,
        account: cells.text("account")?.into(),
        database: cells.text("database")?,
        document: cells.text("document")?,
        revision: cells.text("revision")?,
    })
}

pub(super) fn cost_line(row: &impl Columns) -> StoreResult<(CostLine, CostSums)> {
    let cells = Cells::of(row, "read what modules cost");
    let line = CostLine {
        day: Day::try_from(cells.count("day")?).unwrap_or(Day::MAX),
        account: account_named(cells.text("account")?),
        module: cells.text("module")?.into(),
    };
    let sums = CostSums {
        calls: cells.count("calls")?,
        fuel: cells.count("fuel")?,
        time_us: cells.count("time_us")?,
        faults: cells.count("faults")?,
        memory_bytes_max: cells.count("memory_bytes_max")?,
    };
    Ok((line, sums))
}

const TRAFFIC: &str = "read what went on of late";

pub(super) fn attempt_point(row: &impl Columns) -> StoreResult<AttemptPoint> {
    let cells = Cells::of(row, TRAFFIC);
    Ok(AttemptPoint {
        at_ms: cells.count("at_ms")?,
        success: cells.flag("success")?,
        duration_ms: cells.count_if_any("duration_ms")?.unwrap_or_default(),
    })
}

pub(super) fn failing_hook(row: &impl Columns) -> StoreResult<FailingHook> {
    let cells = Cells::of(row, TRAFFIC);
    Ok(FailingHook {
        account: cells.text("account")?.into(),
        hook: cells.text("hook")?.as_str().into(),
        count: small(cells.number("count")?),
    })
}

pub(super) fn stored_call(row: &impl Columns) -> StoreResult<StoredCall> {
    let cells = Cells::of(row, "read stored calls");
    let id = cells.text("id")?;
    Ok(StoredCall {
        module: cells.text("module")?.into(),
        account: account_named(cells.text("account")?),
        message: cells.json("stored call", &id, "message")?,
        created_ms: cells.count("created_ms")?,
        lease: cells.text_if_any("lease")?.map(LeaseToken),
        id,
    })
}

pub(super) fn call_line(row: &impl Columns) -> StoreResult<CallLine> {
    let cells = Cells::of(row, "count stored calls");
    Ok(CallLine {
        module: cells.text("module")?.into(),
        account: account_named(cells.text("account")?),
        calls: cells.count("calls")?,
    })
}

pub(super) fn registered_module(row: &impl Columns) -> StoreResult<RegisteredModule> {
    const WHAT: &str = "registered module";
    let cells = Cells::of(row, "read registered modules");
    let (account, name) = (cells.text("account")?, cells.text("name")?);
    let id = format!("{account}/{name}");
    Ok(RegisteredModule {
        kind: kind(WHAT, &id, &cells.text("kind")?)?,
        active: cells.text_if_any("active")?,
        before: cells.json(WHAT, &id, "before")?,
        settings: cells.json(WHAT, &id, "settings")?,
        limits: cells.json(WHAT, &id, "limits")?,
        offered: cells.flag("offered")?,
        quarantine: cells.json_if_any(WHAT, &id, "quarantine")?,
        revision: cells.number("revision")?,
        created_ms: cells.count("created_ms")?,
        account: account.into(),
        name,
    })
}

pub(super) fn module_change(row: &impl Columns, deleted: bool) -> StoreResult<ModuleChange> {
    let record = registered_module(row)?;
    Ok(match deleted {
        true => ModuleChange::Deleted(record.account, record.name),
        false => ModuleChange::Saved(Box::new(record)),
    })
}

pub(super) fn module_version(row: &impl Columns) -> StoreResult<ModuleVersion> {
    const WHAT: &str = "version of a module";
    let cells = Cells::of(row, "read registered modules");
    let digest = cells.text("digest")?;
    Ok(ModuleVersion {
        account: cells.text("account")?.into(),
        name: cells.text("name")?,
        version: cells.text("version")?,
        kind: kind(WHAT, &digest, &cells.text("kind")?)?,
        uploader: cells.text("uploader")?.into(),
        key_id: cells.text_if_any("key_id")?,
        uploaded_ms: cells.count("uploaded_ms")?,
        size_bytes: cells.count("size_bytes")?,
        imports: cells.json(WHAT, &digest, "imports")?,
        metadata: cells.json_if_any(WHAT, &digest, "metadata")?,
        bindings: cells.json(WHAT, &digest, "bindings")?,
        report: cells.json(WHAT, &digest, "report")?,
        digest,
    })
}

fn kind(what: &'static str, id: &str, word: &str) -> StoreResult<Kind> {
    let unreadable =
        || StoreError::Unreadable { what, id: id.to_owned(), reason: format!("there is no kind {word:?}") };
    Kind::of(word).ok_or_else(unreadable)
}
