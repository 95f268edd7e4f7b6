//! Accounts as `/openapi.json` describes them. Types for the description alone: accounts are stored and echoed as the
//! JSON that clients wrote, with fields of their own too.

use utoipa::ToSchema;

/// An account, as it is sent.
#[derive(ToSchema)]
#[schema(example = json!({"name": "Acme", "timezone": "Europe/Berlin"}))]
pub struct AccountBody {
    /// For people; at most 128 bytes.
    #[schema(min_length = 1, max_length = 128, example = "Acme")]
    pub name: String,
    /// Its SIP domain: 1 to 253 of `a-z 0-9 . - _`, kept in lower case. No two accounts have the same.
    #[schema(min_length = 1, max_length = 253)]
    pub realm: Option<String>,
    /// What `api_auth` and `user_auth` answer as the caller's language.
    #[schema(example = "en-us")]
    pub language: Option<String>,
}

/// An account that is to be made.
#[derive(ToSchema)]
#[schema(example = json!({"name": "Acme", "timezone": "Europe/Berlin"}))]
pub struct NewAccount {
    /// For people; at most 128 bytes.
    #[schema(min_length = 1, max_length = 128, example = "Acme")]
    pub name: String,
    /// 32 hex digits, or 1 to 64 of `a-z 0-9 _ -`; made when absent.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]{1,64}$")]
    pub id: Option<String>,
    /// Its SIP domain: 1 to 253 of `a-z 0-9 . - _`, kept in lower case. No two accounts have the same.
    #[schema(min_length = 1, max_length = 253)]
    pub realm: Option<String>,
    /// What `api_auth` and `user_auth` answer as the caller's language.
    #[schema(example = "en-us")]
    pub language: Option<String>,
}

/// An account, as it is answered: what was sent, and what is worked out.
#[derive(ToSchema)]
pub struct StoredAccount {
    /// Which.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its SIP domain.
    pub realm: Option<String>,
    /// Whether it is a reseller.
    pub is_reseller: bool,
    /// The nearest reseller above it; absent for the master account.
    pub reseller_id: Option<String>,
}

/// An account that was just made.
#[derive(ToSchema)]
pub struct MadeAccount {
    /// Which.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its SIP domain.
    pub realm: Option<String>,
    /// Whether it is a reseller.
    pub is_reseller: bool,
    /// The nearest reseller above it.
    pub reseller_id: Option<String>,
    /// A key of the account. Shown once.
    pub api_key: String,
}

/// An account in a list.
#[derive(ToSchema)]
pub struct AccountSummary {
    /// Which.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its SIP domain.
    pub realm: Option<String>,
    /// Whether it is a reseller.
    pub is_reseller: bool,
    /// The accounts above it down to its parent, as far as the caller may see them.
    pub tree: Vec<String>,
}

/// Where an account is moved.
#[derive(ToSchema)]
pub struct Move {
    /// The account below which it is to stand.
    pub to: String,
}
