//! What a first start makes and later ones find: the master account, its key, the cluster's id.

use crate::{
    account::{Account, AccountRecord, KeyRecord, new_key},
    message::{AccountId, Object, UnixMs},
    settings::Settings,
    store::{SharedStore, StoreError},
};

/// `master.account_id`, or the one that was made on the first start. The account is written when it is missing.
pub async fn master_account(settings: &Settings, store: &SharedStore, now_ms: UnixMs) -> Result<AccountId, StoreError> {
    let id = match &settings.master.account_id {
        Some(id) => id.clone(),
        None => store.keep_value("master.account_id", &random_id()).await?,
    };
    let id = AccountId::from(id);
    if store.account(&id).await?.is_none() {
        let account = Account { id: id.clone(), name: "master".into(), tree: Vec::new(), reseller: None };
        // Whoever has no reseller nearer has this one.
        let master =
            AccountRecord { account, is_reseller: true, document: Object::new(), revision: 0, created_ms: now_ms };
        // A conflict: another process, started at the same time, was faster.
        store.save_account(&master, None, &[], now_ms).await?;
    }
    Ok(id)
}

/// Makes sure that the master account has a key: the one of the settings, or one that is made now, and given back, when
/// there has never been any.
pub(super) async fn master_key(
    settings: &Settings,
    store: &SharedStore,
    master: &AccountId,
    now_ms: UnixMs,
) -> Result<Option<String>, StoreError> {
    let (key, made) = match &settings.master.api_key {
        Some(key) => (key.clone(), false),
        None if store.kept_value("master.api_key_made").await?.is_some() => return Ok(None),
        None => (new_key(), true),
    };
    store.put_key(&KeyRecord::new(&key, master.clone(), "master", now_ms)).await?;
    if made {
        store.keep_value("master.api_key_made", "yes").await?;
    }
    Ok(made.then_some(key))
}

/// `kazoo.cluster_id`, or the one that was made on the first start.
pub(super) async fn cluster_id(settings: &Settings, store: &SharedStore) -> Result<String, StoreError> {
    match &settings.kazoo.cluster_id {
        Some(id) => Ok(id.clone()),
        None => store.keep_value("kazoo.cluster_id", &random_id()).await,
    }
}

fn random_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
