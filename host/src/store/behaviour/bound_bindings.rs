//! What was bound to the broker's queue.

use super::*;

pub(crate) async fn what_is_bound_is_noted_and_forgotten(store: SharedStore) {
    let (one, other) = (("e".to_owned(), "a.#".to_owned()), ("e".to_owned(), "b.#".to_owned()));
    store.note_bound("q", &[one.clone(), other.clone()]).await.expect("written");
    store.note_bound("q", std::slice::from_ref(&one)).await.expect("written again");
    assert_eq!(store.bound_bindings("q").await.expect("read"), [one.clone(), other.clone()]);
    assert_eq!(store.bound_bindings("another").await.expect("read"), []);
    store.forget_bound("q", std::slice::from_ref(&one)).await.expect("forgotten");
    store.forget_bound("q", &[one]).await.expect("nothing to forget");
    assert_eq!(store.bound_bindings("q").await.expect("read"), [other]);
}
