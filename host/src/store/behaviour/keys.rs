//! API keys.

use super::*;

pub(crate) async fn keeps_keys(store: SharedStore) {
    let key = KeyRecord::new("f00d", "a1".into(), "k", NOW);
    assert!(store.put_key(&key).await.expect("written"));
    let same = KeyRecord::new("f00d", "a1".into(), "k", NOW + 1);
    assert!(!store.put_key(&same).await.expect("written"), "what names it and when it was made are no news");
    assert!(store.put_key(&KeyRecord { name: "laptop".into(), ..same }).await.expect("written"));
    let key = KeyRecord { name: "laptop".into(), ..key };
    assert_eq!(store.key(&key.hash).await.expect("read"), Some(key.clone()));
    assert_eq!(store.key_by_id(&key.id).await.expect("read"), Some(key.clone()));
    let newer = KeyRecord::new("beef", "a1".into(), "k", NOW + 5);
    let older = KeyRecord::new("cafe", "a1".into(), "k", NOW - 5);
    for key in [&newer, &older, &KeyRecord::new("bead", "a2".into(), "k", NOW)] {
        assert!(store.put_key(key).await.expect("written"));
    }
    assert_eq!(store.keys(&"a1".into()).await.expect("read"), [older, key.clone(), newer], "the oldest first");
    assert!(!store.delete_key(&"a2".into(), &key.id).await.expect("asked"), "it is another account's");
    assert!(store.delete_key(&"a1".into(), &key.id).await.expect("revoked"));
    assert!(!store.delete_key(&"a1".into(), &key.id).await.expect("asked"));
    assert_eq!(store.key(&key.hash).await.expect("read"), None);
    assert_eq!(store.key_by_id(&key.id).await.expect("read"), None);
}

pub(crate) async fn notes_when_a_key_was_used(store: SharedStore) {
    let key = KeyRecord::new("f00d", "a1".into(), "k", NOW);
    store.put_key(&key).await.expect("written");
    // A use within a minute of the one before is not worth a write; and time does not go back.
    for (used_ms, noted_ms) in [(0, 0), (59_999, 0), (60_000, 60_000), (30_000, 60_000), (600_000, 600_000)] {
        store.touch_key(&key.id, NOW + used_ms).await.expect("noted");
        let kept = store.key(&key.hash).await.expect("read").expect("it is there");
        assert_eq!(kept, KeyRecord { last_used_ms: Some(NOW + noted_ms), ..key.clone() }, "{used_ms}");
    }
    store.put_key(&KeyRecord { name: "new".into(), ..key.clone() }).await.expect("written");
    let kept = store.key(&key.hash).await.expect("read").expect("it is there");
    assert_eq!(kept.last_used_ms, Some(NOW + 600_000));
    store.touch_key("nobody", NOW).await.expect("nothing to do");
}
