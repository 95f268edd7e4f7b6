//! The disabler's opposite: enables again, for accounts, the hooks that were switched off for failing. Hooks that were
//! disabled by hand stay so. Asked for over REST, or by the platform over AMQP (`doc_type_update`).

use serde_json::json;

use crate::{
    hook::HookRecord,
    message::{AccountId, HookId},
    notice::{self, Change, Sender},
    store::{Saved, SharedStore, StoreResult},
};

/// Hooks read at once.
const PAGE_ROWS: u32 = 500;

/// Enables them and tells of each. One that somebody else saves meanwhile is left as they want it. Gives how many.
pub async fn switched_off_hooks(store: &SharedStore, accounts: &[AccountId], sender: &Sender<'_>) -> StoreResult<u64> {
    let mut enabled = 0;
    for account in accounts {
        let mut after: Option<HookId> = None;
        loop {
            let records = store.switched_off_hooks(account, after.as_ref(), PAGE_ROWS).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.id.clone());
            for record in records {
                let based_on = record.revision;
                let mut document = record.document.clone();
                document.insert("enabled".into(), json!(true));
                let record = HookRecord { document, disabled_message: None, ..record };
                let notice = notice::of_hook(&record, based_on + 1, Change::Edited, sender);
                let saved = store.save_hook(&record, Some(based_on), &[notice], sender.now_ms).await?;
                enabled += u64::from(saved != Saved::Conflict);
            }
        }
    }
    Ok(enabled)
}
