//! What came from KAZOO's CouchDB.

use super::*;
use crate::store::origins::{Origin, Thing};

fn origin(thing: Thing, document: &str) -> Origin {
    let (database, document) = ("webhooks".to_owned(), document.to_owned());
    Origin { thing, account: "a1".into(), database, document, revision: "1-a".to_owned() }
}

pub(crate) async fn origins_are_noted_found_and_forgotten(store: SharedStore) {
    let (account, key) = (origin(Thing::Account("a1".into()), "a1"), origin(Thing::Key("k1".into()), "a1"));
    let (number, hook) = (origin(Thing::Number("+1".into()), "+1"), origin(Thing::Hook("h1".into()), "h1"));
    let round = store.new_round().await.expect("a number");
    let all = [account.clone(), key.clone(), number.clone(), hook.clone()];
    store.note_origins(&all, round).await.expect("written");
    store.note_origins(&[], round).await.expect("nothing to write");

    let mut found = store.came_of("webhooks", &["a1".to_owned(), "none".to_owned()]).await.expect("read");
    found.sort_by(|one, other| one.thing.cmp(&other.thing));
    assert_eq!(found, [account.clone(), key]);
    assert_eq!(store.came_of("accounts", &["a1".to_owned()]).await.expect("read"), [], "another database");

    // Seen again, with another revision in between that is an earlier round's.
    let next = store.new_round().await.expect("a number");
    assert!(next > round);
    store.note_origins(&[number, hook.clone()], next).await.expect("written");
    store.note_origins(&[Origin { revision: "2-b".to_owned(), ..hook }], round).await.expect("written");
    assert_eq!(store.came_of("webhooks", &["h1".to_owned()]).await.expect("read")[0].revision, "2-b");
    let unseen = store.unseen_since(next, 10).await.expect("read");
    assert_eq!(unseen, [("webhooks".to_owned(), "a1".to_owned())], "a document once, and no later round undone");

    store.forget_origin(&Thing::Hook("h1".into())).await.expect("forgotten");
    assert_eq!(store.came_of("webhooks", &["h1".to_owned()]).await.expect("read"), []);
    assert_eq!(store.came_of("webhooks", &["+1".to_owned()]).await.expect("read").len(), 1);
    store.forget_origin(&account.thing).await.expect("forgotten");
    assert_eq!(
        store.came_of("webhooks", &["a1".to_owned(), "+1".to_owned()]).await.expect("read"),
        [],
        "nor its number"
    );
}
