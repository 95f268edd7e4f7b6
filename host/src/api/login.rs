//! Logging in: `api_auth` gives a token for a key, `user_auth` one for a user of KAZOO's. Who fails is told nothing but
//! that, whatever was wrong, and is slowed down by address.

use axum::{extract::State, http::request::Parts};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    data::{Data, Fields},
    described::{Envelope, Problems, Success},
    problem::Problem,
    token::{Holder, Token},
    user_directory::{HashMethod, User, UserDirectory},
};
use crate::{
    account::{AccountTree, hash_key},
    message::{AccountId, Object},
    store::Store,
};

/// The longest text of a login that is looked at, bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Accounts of one name whose users are asked for.
const NAMESAKES_MAX: usize = 10;
/// For accounts whose document names none; KAZOO's own.
const LANGUAGE: &str = "en-us";
const MINUTE_MS: u64 = 60_000;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(api_auth)).routes(routes!(user_auth))
}

/// A key.
#[derive(ToSchema)]
pub struct KeyLogin {
    /// The key.
    #[schema(min_length = 1, max_length = 512)]
    pub api_key: String,
}

/// A user, and where to look for it: by one of the account's name, realm or phone number.
#[derive(ToSchema)]
#[schema(example = json!({"credentials": "82a2dc91686ec828a67152d45a5c5ef7", "account_realm": "acme.example.com"}))]
pub struct UserLogin {
    /// The digest of `user:password`, in hex.
    #[schema(min_length = 1, max_length = 512)]
    pub credentials: String,
    /// Of what kind the digest is: `md5` (the default) or `sha`, which is SHA-1.
    #[schema(example = "md5")]
    pub method: Option<String>,
    /// The account's name; only letters and digits count, and no case.
    pub account_name: Option<String>,
    /// The account's realm.
    pub account_realm: Option<String>,
    /// A phone number of the account's.
    pub phone_number: Option<String>,
}

/// Who was let in. The token is the envelope's `auth_token`, and the header `x-auth-token`.
#[derive(ToSchema)]
pub struct LoggedInAs {
    /// What the token opens, with all accounts below.
    pub account_id: String,
    /// The user; absent for a key.
    pub owner_id: Option<String>,
    /// Whether the account is a reseller.
    pub is_reseller: bool,
    /// The nearest reseller above the account; absent for the master account.
    pub reseller_id: Option<String>,
    /// The account's, else `en-us`.
    #[schema(example = "en-us")]
    pub language: String,
    /// Empty.
    pub apps: Vec<String>,
}

/// Log in with a key: a token for `api.token_minutes`, which ends with the key.
#[utoipa::path(
    put, path = "/v2/api_auth", tag = "accounts", security(()),
    request_body = Envelope<KeyLogin>,
    responses((status = 201, description = "A token", body = Success<LoggedInAs>), Problems),
)]
async fn api_auth(State(api): State<Shared>, parts: Parts, Data(data): Data) -> Result<Answer, Problem> {
    let now_ms = api.clock.now_ms();
    api.guesses.may_go_on(&parts, now_ms)?;
    let mut fields = Fields::of(&data);
    let key = fields.required_text("api_key", TEXT_BYTES_MAX);
    fields.finish()?;
    // Looked up by hash: how long it takes tells nothing about keys.
    let Some(key) = api.store.key(&hash_key(key)).await? else {
        api.guesses.count(&parts, now_ms);
        return Err(Problem::no_credentials());
    };
    let_in(&api, key.account, Holder::Key(key.id)).await
}

/// Log in as a user of KAZOO's: a token for `api.token_minutes`. Needs `kazoo.couchdb_url`; without it nobody is let in.
#[utoipa::path(
    put, path = "/v2/user_auth", tag = "accounts", security(()),
    request_body = Envelope<UserLogin>,
    responses((status = 201, description = "A token", body = Success<LoggedInAs>), Problems),
)]
async fn user_auth(State(api): State<Shared>, parts: Parts, Data(data): Data) -> Result<Answer, Problem> {
    let now_ms = api.clock.now_ms();
    api.guesses.may_go_on(&parts, now_ms)?;
    let login = Login::read(&data)?;
    let found = match &api.users {
        Some(users) => login.look_up(api.store.as_ref(), &api.accounts, users.as_ref()).await?,
        None => None,
    };
    let Some((account, user)) = found else {
        api.guesses.count(&parts, now_ms);
        return Err(Problem::no_credentials());
    };
    let_in(&api, account, Holder::User { id: user.id, is_admin: user.is_admin }).await
}

async fn let_in(api: &Api, account: AccountId, holder: Holder) -> Result<Answer, Problem> {
    // Gone between the two looks.
    let Some(record) = api.store.account(&account).await? else { return Err(Problem::no_credentials()) };
    let language = record.document.get("language").and_then(|language| language.as_str());
    let mut data = json!({
        "account_id": account,
        "is_reseller": record.is_reseller,
        "language": language.unwrap_or(LANGUAGE),
        "apps": [],
    });
    if let Some(reseller) = &record.account.reseller {
        data["reseller_id"] = json!(reseller);
    }
    if let Holder::User { id, .. } = &holder {
        data["owner_id"] = json!(id);
    }
    let until_ms = api.clock.now_ms() + api.settings.token_minutes * MINUTE_MS;
    let token = api.tokens.sign(&Token { account: account.clone(), holder, until_ms });
    Ok(Answer { auth_token: Some(token), ..Answer::of(data).created(account.as_str()) })
}

/// What somebody shows to log in as a user.
#[derive(Debug, PartialEq, Eq)]
struct Login<'a> {
    credentials: &'a str,
    method: HashMethod,
    place: Place<'a>,
}

/// Where the user is looked for.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Number(&'a str),
    Realm(&'a str),
    Name(&'a str),
}

impl<'a> Login<'a> {
    /// KAZOO's order: the number before the realm before the name.
    fn read(data: &'a Object) -> Result<Self, Problem> {
        let mut fields = Fields::of(data);
        let credentials = fields.required_text("credentials", TEXT_BYTES_MAX);
        let method = match fields.word("method", &["md5", "sha"]) {
            Some("sha") => HashMethod::Sha,
            _ => HashMethod::Md5,
        };
        let number = fields.text("phone_number").map(Place::Number);
        let realm = fields.text("account_realm").map(Place::Realm);
        let name = fields.text("account_name").map(Place::Name);
        let place = number.or(realm).or(name);
        if place.is_none() {
            let message = "Field is required but missing; or name account_realm or phone_number";
            fields.wrong("account_name", "required", message, json!({}));
        }
        fields.finish()?;
        Ok(Self { credentials, method, place: place.unwrap_or(Place::Name("")) })
    }

    /// The user, and of which account. Of several accounts of the name, the first that has such a user.
    async fn look_up(
        &self,
        store: &dyn Store,
        tree: &AccountTree,
        users: &dyn UserDirectory,
    ) -> Result<Option<(AccountId, User)>, Problem> {
        let accounts = match self.place {
            Place::Number(number) => tree.account_of_number(number).into_iter().collect(),
            Place::Realm(realm) => store.accounts_named("realm", &realm.to_ascii_lowercase()).await?,
            Place::Name(name) => tree.named(name, NAMESAKES_MAX),
        };
        for account in accounts {
            let found = users.find(&account, self.method, self.credentials).await.map_err(|error| {
                tracing::error!(error, %account, "a user could not be looked for");
                Problem::no_directory()
            })?;
            if let Some(user) = found {
                return Ok(Some((account, user)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
