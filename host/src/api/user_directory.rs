//! Where the users are who log in by `user_auth`: KAZOO's, asked for each time and never kept here. Without a directory
//! nobody logs in so.

use async_trait::async_trait;

use crate::message::AccountId;

/// Of what kind a login's digest is: of `user:password`, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashMethod {
    /// MD5, 32 digits.
    Md5,
    /// SHA-1, 40 digits.
    Sha,
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// KAZOO's `owner_id`.
    pub id: String,
    /// Whether it is an administrator of its account; others look at things and change nothing.
    pub is_admin: bool,
}

/// Knows the users.
#[async_trait]
pub trait UserDirectory: Send + Sync + 'static {
    /// The user of the account with this digest. `Err` says why the directory could not be asked, for the log; never
    /// that the digest is wrong.
    async fn find(&self, account: &AccountId, method: HashMethod, hash: &str) -> Result<Option<User>, String>;
}
