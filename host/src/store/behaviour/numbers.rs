//! Phone numbers, and how a follower hears of them.

use super::*;

pub(crate) async fn keeps_numbers(store: SharedStore) {
    assert!(store.put_number("+1312", &"a1".into()).await.expect("written"));
    assert!(!store.put_number("+1312", &"a1".into()).await.expect("written"));
    assert!(store.put_number("+1312", &"a2".into()).await.expect("written"));
    assert_eq!(store.numbers().await.expect("read"), [("+1312".to_owned(), AccountId::from("a2"))]);
    assert_eq!(store.delete_numbers(&["+1312".into(), "+0".into()]).await.expect("taken"), 1);
    assert_eq!(store.delete_numbers(&["+1312".into()]).await.expect("taken"), 0);
    assert_eq!(store.numbers().await.expect("read"), []);
    assert!(store.put_number("+1312", &"a1".into()).await.expect("written"), "it can be given again");
}

pub(crate) async fn tells_of_numbers_that_change_hands(store: SharedStore) {
    store.put_account(&account("a2", &[]), NOW).await.expect("written");
    let [first, second] = [("+1".to_owned(), AccountId::from("a1")), ("+2".to_owned(), AccountId::from("a2"))];
    store.put_numbers(&[first.clone(), second]).await.expect("written");
    let page = store.numbers_since(0, 1).await.expect("read");
    assert_eq!(page.changes, [("+1".to_owned(), Some("a1".into()))]);
    let page = store.numbers_since(page.cursor, 10).await.expect("read");
    assert_eq!(page.changes, [("+2".to_owned(), Some("a2".into()))]);
    let last = store.numbers_since(page.cursor, 10).await.expect("read");
    assert_eq!((last.changes.len(), last.cursor), (0, page.cursor));
    store.put_number("+1", &"a2".into()).await.expect("written");
    assert!(!store.put_number("+2", &"a2".into()).await.expect("written"));
    let page = store.numbers_since(last.cursor, 10).await.expect("read");
    assert_eq!(page.changes, [("+1".to_owned(), Some("a2".into()))], "only what changed");
    store.delete_account(&"a2".into(), NOW).await.expect("deleted");
    let mut page = store.numbers_since(page.cursor, 10).await.expect("read");
    page.changes.sort();
    assert_eq!(page.changes, [("+1".to_owned(), None), ("+2".to_owned(), None)]);
    store.put_numbers(&[first]).await.expect("written");
    let page = store.numbers_since(page.cursor, 10).await.expect("read");
    assert_eq!(page.changes, [("+1".to_owned(), Some("a1".into()))]);
}
