//! An account's API keys: `/v2/accounts/{account_id}/keys`. A key is answered once, when it is made; what is kept is its
//! hash, which no answer shows either. A key that is revoked opens nothing from that moment, nor does a token of it.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::InAccount,
    data::{Data, Fields},
    described::{Envelope, Problems, Success},
    problem::Problem,
};
use crate::{
    account::{KeyRecord, new_key},
    clock::gregorian_s,
    message::AccountId,
};

/// The longest name of a key, bytes.
const NAME_BYTES_MAX: usize = 128;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, revoke))
}

/// What a key is called.
#[derive(ToSchema)]
pub struct KeyBody {
    /// For people; at most 128 bytes, empty when absent.
    #[schema(max_length = 128, example = "CRM")]
    pub name: Option<String>,
}

/// A key, as it is shown: never the key itself.
#[derive(ToSchema)]
pub struct StoredKey {
    /// Which.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was made, in KAZOO's seconds (since the year 0).
    pub created: u64,
    /// When it last opened something, to a minute, in KAZOO's seconds; null when it never did.
    #[schema(required = true)]
    pub last_used: Option<u64>,
}

/// A key that was just made.
#[derive(ToSchema)]
pub struct MadeKey {
    /// Which.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was made, in KAZOO's seconds (since the year 0).
    pub created: u64,
    /// Null: it has opened nothing yet.
    #[schema(required = true)]
    pub last_used: Option<u64>,
    /// The key. Shown once.
    pub api_key: String,
}

/// List an account's keys, the oldest first.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/keys", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose keys")),
    responses((status = 200, description = "All of them", body = Success<Vec<StoredKey>>), Problems),
)]
async fn list(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    let keys = api.store.keys(&account).await?;
    Ok(Answer::list(keys.iter().map(shown).collect()))
}

/// Make a key. It is answered here, and never again.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}/keys", tag = "accounts",
    params(("account_id" = String, Path, description = "What it will open, with all accounts below")),
    request_body = Envelope<KeyBody>,
    responses((status = 201, description = "It is made, and opens", body = Success<MadeKey>), Problems),
)]
async fn create(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let mut fields = Fields::of(&data);
    let name = fields.text("name").unwrap_or_default();
    if name.len() > NAME_BYTES_MAX {
        let message = format!("String must not be more than {NAME_BYTES_MAX} bytes");
        fields.wrong("name", "maxLength", &message, json!({"target": NAME_BYTES_MAX}));
    }
    fields.finish()?;
    let (key, record) = api.make_key(&account, name).await?;
    let mut made = shown(&record);
    made["api_key"] = json!(key);
    Ok(Answer::of(made).created(&record.id))
}

/// Fetch what is known of a key.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/keys/{key_id}", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose key"), ("key_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The key, without itself", body = Success<StoredKey>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    Ok(Answer::of(shown(&api.key_of(&account, &id).await?)))
}

/// Revoke a key: it opens nothing any more, nor do tokens that were given for it.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/keys/{key_id}", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose key"), ("key_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The key as it was last", body = Success<StoredKey>), Problems),
)]
async fn revoke(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let _turn = api.tree_changes.lock().await;
    let key = api.key_of(&account, &id).await?;
    if account == api.master && api.store.keys(&account).await?.len() == 1 {
        return Err(Problem::in_the_way("it is the master account's last key; make another first"));
    }
    if !api.store.delete_key(&account, &id).await? {
        return Err(Problem::bad_identifier(&id));
    }
    let mut shown = shown(&key);
    shown["_read_only"] = json!({"deleted": true});
    Ok(Answer::of(shown))
}

fn shown(key: &KeyRecord) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "created": gregorian_s(key.created_ms),
        "last_used": key.last_used_ms.map(gregorian_s),
    })
}

impl Api {
    /// The key, when it is the account's.
    async fn key_of(&self, account: &AccountId, id: &str) -> Result<KeyRecord, Problem> {
        let found = self.store.key_by_id(id).await?;
        found.filter(|key| key.account == *account).ok_or_else(|| Problem::bad_identifier(id))
    }

    /// Makes a key of an account, and gives it: the only time.
    pub(super) async fn make_key(&self, account: &AccountId, name: &str) -> Result<(String, KeyRecord), Problem> {
        let _turn = self.tree_changes.lock().await;
        let most = self.settings.keys_per_account_max;
        if self.store.keys(account).await?.len() as u64 >= most {
            let message = format!("the account has {most} keys (api.keys_per_account_max); revoke one first");
            return Err(Problem::in_the_way(&message));
        }
        let key = new_key();
        let record = KeyRecord::new(&key, account.clone(), name, self.clock.now_ms());
        self.store.put_key(&record).await?;
        // An account that another node has deleted meanwhile took its keys along, all but this.
        if self.store.account(account).await?.is_none() {
            self.store.delete_key(account, &record.id).await?;
            return Err(Problem::unknown(account.as_str()));
        }
        Ok((key, record))
    }
}
