//! Who logs in: users are in their account's own database and are never kept here, so CouchDB is asked each time.

use std::sync::Arc;

use serde_json::Value;

use super::{
    applying::{id, is_gone},
    couchdb::{CouchDb, CouchDbError, Next, Page},
    import::text,
};
use crate::{
    account::same_hash,
    message::{AccountId, Object},
};

/// Of what kind a login's digest is: of `user:password`, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 32 digits.
    Md5,
    /// 40 digits.
    Sha1,
}

impl Method {
    fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
        }
    }

    /// The view of an account's database.
    fn view(self) -> (&'static str, &'static str) {
        match self {
            Self::Md5 => ("users", "creds_by_md5"),
            Self::Sha1 => ("users", "creds_by_sha"),
        }
    }

    /// The field of a user's document.
    fn field(self) -> &'static str {
        match self {
            Self::Md5 => "pvt_md5_auth",
            Self::Sha1 => "pvt_sha1_auth",
        }
    }
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The document's `_id`; KAZOO's `owner_id`.
    pub id: String,
    /// Whose user it is.
    pub account: AccountId,
    /// Whether it is an administrator of the account (`priv_level`).
    pub is_admin: bool,
}

/// Finds users.
#[derive(Clone, Debug)]
pub struct KazooUsers {
    /// Where they are.
    pub couchdb: Arc<CouchDb>,
    /// `kazoo.couchdb_user_pages_max`.
    pub pages_max: u64,
}

impl KazooUsers {
    /// The user of the account with this digest, that is neither deleted nor disabled. An `Err` says that CouchDB could
    /// not be asked, never that the digest is wrong.
    pub async fn find(&self, account: &AccountId, method: Method, hash: &str) -> Result<Option<User>, CouchDbError> {
        let hash = hash.to_ascii_lowercase();
        let is_digest = hash.len() == method.digits() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(database) = database_of(account).filter(|_| is_digest) else { return Ok(None) };
        let mut next: Option<Next> = None;
        for _ in 0..self.pages_max {
            let page = match self.page(&database, method, &hash, next.as_ref()).await {
                // An account without a database has no users.
                Err(CouchDbError::NoDatabase { .. }) => return Ok(None),
                page => page?,
            };
            if let Some(found) = page.documents.iter().find(|document| may_log_in(document, method, &hash)) {
                let is_admin = text(found, "priv_level") == Some("admin");
                return Ok(Some(User { id: id(found).to_owned(), account: account.clone(), is_admin }));
            }
            match page.next {
                Some(from) => next = Some(from),
                None => return Ok(None),
            }
        }
        Err(CouchDbError::TooMany { what: "looking for a user", pages: self.pages_max })
    }

    /// What the view finds; without the view, all documents.
    async fn page(
        &self,
        database: &str,
        method: Method,
        hash: &str,
        from: Option<&Next>,
    ) -> Result<Page, CouchDbError> {
        match self.couchdb.found_by(database, method.view(), hash, from).await? {
            Some(page) => Ok(page),
            None => self.couchdb.documents(database, from).await,
        }
    }
}

fn may_log_in(document: &Object, method: Method, hash: &str) -> bool {
    let is_user = text(document, "pvt_type") == Some("user") && !is_gone(document);
    let is_enabled = document.get("enabled") != Some(&Value::Bool(false));
    let is_same = text(document, method.field()).is_some_and(|own| same_hash(&own.to_ascii_lowercase(), hash));
    is_user && is_enabled && is_same
}

/// The name of an account's database; `None` for an id that KAZOO does not make.
fn database_of(account: &AccountId) -> Option<String> {
    let id = account.as_str();
    let is_kazoos = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (first, rest) = id.split_at_checked(2).filter(|_| is_kazoos)?;
    let (second, rest) = rest.split_at_checked(2)?;
    Some(format!("account/{first}/{second}/{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_database_is_named_after_it() {
        let name = database_of(&"aaaabbbbccccddddeeeeffff00001111".into());
        assert_eq!(name.as_deref(), Some("account/aa/aa/bbbbccccddddeeeeffff00001111"));
        assert_eq!(database_of(&"acme".into()), None);
    }
}
