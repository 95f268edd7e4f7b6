//! Where users are looked for, and what becomes of a directory that fails.

use async_trait::async_trait;
use serde_json::Value;

use super::*;
use crate::{
    account::{Account, AccountRecord},
    store::{SharedStore, sqlite::SqliteStore},
};

/// One user, of the account `two`.
struct OneUser;

#[async_trait]
impl UserDirectory for OneUser {
    async fn find(&self, account: &AccountId, method: HashMethod, hash: &str) -> Result<Option<User>, String> {
        let is_it = (account.as_str(), method, hash) == ("two", HashMethod::Sha, "abcd");
        Ok(is_it.then(|| User { id: "u1".into(), is_admin: true }))
    }
}

/// One that cannot be reached.
struct Away;

#[async_trait]
impl UserDirectory for Away {
    async fn find(&self, _: &AccountId, _: HashMethod, _: &str) -> Result<Option<User>, String> {
        Err("refused".into())
    }
}

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

/// Two accounts of one name; the second has a realm and a number.
async fn accounts() -> (tempfile::TempDir, SharedStore, AccountTree) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
    let store: SharedStore = std::sync::Arc::new(SqliteStore::open(&url).await.expect("a store"));
    for (id, document) in
        [("one", json!({"name": "Acme, Ltd."})), ("two", json!({"name": "ACME ltd", "realm": "two.example"}))]
    {
        let name = document["name"].as_str().unwrap_or_default().to_owned();
        let account = Account { id: id.into(), name, tree: Vec::new(), reseller: None };
        let record =
            AccountRecord { account, is_reseller: false, document: object(document), revision: 0, created_ms: 0 };
        store.save_account(&record, None, &[], 0).await.expect("it is written");
    }
    store.put_number("+13125550111", &"two".into()).await.expect("it is written");
    let tree = AccountTree::load(store.as_ref()).await.expect("a tree");
    (folder, store, tree)
}

#[tokio::test]
async fn a_user_is_found_by_name_realm_and_number() {
    let (_folder, store, tree) = accounts().await;
    for (field, text, is_found) in [
        ("account_name", "acmeLTD", true),
        ("account_name", "acme", false),
        ("account_realm", "TWO.example", true),
        ("account_realm", "one.example", false),
        ("phone_number", "+13125550111", true),
        ("phone_number", "+13125550112", false),
    ] {
        let data = object(json!({"credentials": "abcd", "method": "sha", field: text}));
        let login = Login::read(&data).expect("it can be read");
        let found = login.look_up(store.as_ref(), &tree, &OneUser).await.expect("the directory answers");
        let expected = is_found.then(|| ("two".into(), User { id: "u1".into(), is_admin: true }));
        assert_eq!(found, expected, "{field} {text}");
    }
}

#[tokio::test]
async fn the_digest_must_be_of_its_kind() {
    let (_folder, store, tree) = accounts().await;
    for wrong in [json!({"credentials": "abcd"}), json!({"credentials": "abce", "method": "sha"})] {
        let mut data = object(wrong);
        data.insert("account_realm".into(), json!("two.example"));
        let login = Login::read(&data).expect("it can be read");
        assert_eq!(login.look_up(store.as_ref(), &tree, &OneUser).await.expect("the directory answers"), None);
    }
}

#[tokio::test]
async fn a_directory_that_fails_is_no_wrong_password() {
    let (_folder, store, tree) = accounts().await;
    let data = object(json!({"credentials": "abcd", "account_realm": "two.example"}));
    let login = Login::read(&data).expect("it can be read");
    let problem = login.look_up(store.as_ref(), &tree, &Away).await.expect_err("it fails");
    assert_eq!(problem.status.as_u16(), 503);
}

#[test]
fn a_login_must_say_who_and_where() {
    for (data, field) in [
        (json!({"account_name": "x"}), "credentials"),
        (json!({"credentials": "", "account_name": "x"}), "credentials"),
        (json!({"credentials": "abcd"}), "account_name"),
        (json!({"credentials": "abcd", "account_name": 7}), "account_name"),
        (json!({"credentials": "abcd", "account_name": "x", "method": "plain"}), "method"),
    ] {
        let data = object(data);
        let problem = Login::read(&data).expect_err("it is refused");
        assert!(problem.data.get(field).is_some(), "{}", problem.data);
    }
    let data = object(json!({"credentials": "abcd", "account_name": "x", "account_realm": "y", "phone_number": "z"}));
    assert_eq!(Login::read(&data).expect("it can be read").place, Place::Number("z"));
}
