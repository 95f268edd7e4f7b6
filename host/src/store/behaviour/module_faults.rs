//! What modules do wrong, and which of the operator's are in quarantine for it.

use super::*;
use crate::store::{
    module_faults::{Component, Faults, KEPT_PER_MODULE},
    registered_modules::Quarantine,
};

fn of(module: &str, digest: &str) -> Component {
    Component { module: module.into(), digest: digest.to_owned() }
}

async fn fails(store: &SharedStore, faults: &[(&str, &str, UnixMs, u64)]) {
    let faults = faults.iter().map(|(module, digest, at_ms, count)| Faults {
        of: of(module, digest),
        at_ms: *at_ms,
        count: *count,
    });
    store.add_module_faults(&faults.collect::<Vec<_>>()).await.expect("written");
}

async fn count(store: &SharedStore, module: &str, digest: &str, after_ms: UnixMs) -> u64 {
    store.module_fault_count(&of(module, digest), after_ms).await.expect("counted")
}

fn quarantine(digest: &str, since_ms: UnixMs) -> Quarantine {
    Quarantine {
        reason: "failed 20 times".to_owned(),
        digest: digest.to_owned(),
        version: "1.0.0".to_owned(),
        since_ms,
        last_message: Some("m7".to_owned()),
    }
}

pub(crate) async fn faults_of_a_version_are_counted_over_a_window(store: SharedStore) {
    fails(&store, &[]).await;
    fails(&store, &[("a1/crm", "d1", NOW, 2), ("a1/crm", "d1", NOW + 5, 1), ("a1/crm", "d2", NOW, 7)]).await;
    fails(&store, &[("a1/crm", "d1", NOW, 3), ("sms", "d1", NOW, 1)]).await;
    assert_eq!(count(&store, "a1/crm", "d1", NOW - 1).await, 6, "those of one time are added up");
    assert_eq!(count(&store, "a1/crm", "d1", NOW).await, 1, "faults at the time itself are too old");
    assert_eq!(count(&store, "a1/crm", "d2", 0).await, 7, "each version has its own");
    assert_eq!(count(&store, "sms", "d1", 0).await, 1);
    assert_eq!(count(&store, "sms", "d2", 0).await, 0);

    let swept = store.sweep_module_faults(0, 6).await.expect("swept");
    assert_eq!(swept, [(of("a1/crm", "d1"), 6), (of("a1/crm", "d2"), 7)], "none that has fewer");
    assert_eq!(store.sweep_module_faults(NOW, 1).await.expect("swept"), [(of("a1/crm", "d1"), 1)]);
    assert_eq!(count(&store, "a1/crm", "d2", 0).await, 0, "what is old is gone");

    fails(&store, &[("a1/crm", "d2", NOW + 6, 1), ("a1/other", "d2", NOW + 6, 1)]).await;
    store.clear_module_faults(&"a1/crm".into()).await.expect("forgotten");
    assert_eq!((count(&store, "a1/crm", "d1", 0).await, count(&store, "a1/crm", "d2", 0).await), (0, 0));
    assert_eq!(count(&store, "a1/other", "d2", 0).await, 1);
}

pub(crate) async fn an_operators_component_goes_into_quarantine_once_and_comes_out_by_hand(store: SharedStore) {
    fails(&store, &[("sms", "d1", NOW, 20), ("sms", "d2", NOW, 3), ("mms", "d1", NOW, 4)]).await;
    let put = async |module: &str, digest: &str, since_ms: UnixMs, key: &str| {
        let (module, quarantine, notice) = (module.into(), quarantine(digest, since_ms), notice(key));
        store.quarantine_operators_module(&module, &quarantine, &[notice]).await.expect("answered")
    };
    assert!(put("sms", "d1", NOW, "first").await);
    assert!(!put("sms", "d1", NOW + 1, "again").await, "it is in quarantine already");
    assert_eq!(notices(&store).await, ["first"], "and told of once");
    assert_eq!(count(&store, "sms", "d1", 0).await, 0, "what led to it counts no more");
    assert_eq!((count(&store, "sms", "d2", 0).await, count(&store, "mms", "d1", 0).await), (3, 4));
    assert!(put("sms", "d2", NOW + 2, "other component").await);
    assert!(put("mms", "d1", NOW + 3, "other module").await);
    let listed = async || store.quarantined_operators_modules().await.expect("read");
    let [mms, first, second] = &listed().await[..] else { unreachable!("there are three") };
    assert_eq!((mms.0.as_str(), &mms.1), ("mms", &quarantine("d1", NOW + 3)));
    assert_eq!((first.0.as_str(), &first.1), ("sms", &quarantine("d1", NOW)), "as it was first");
    assert_eq!((second.0.as_str(), &second.1), ("sms", &quarantine("d2", NOW + 2)));

    fails(&store, &[("sms", "d1", NOW, 1)]).await;
    assert!(store.lift_operators_quarantine(&"sms".into()).await.expect("answered"));
    assert!(!store.lift_operators_quarantine(&"sms".into()).await.expect("answered"));
    assert_eq!(count(&store, "sms", "d1", 0).await, 0);
    assert_eq!(listed().await.len(), 1);
    assert!(put("sms", "d1", NOW, "once more").await);

    for n in 0..u64::from(KEPT_PER_MODULE) {
        assert!(put("mms", &format!("next{n}"), NOW + 100 + n, "n").await);
    }
    let mms = listed().await.into_iter().filter(|(module, _)| module.as_str() == "mms");
    let digests: Vec<_> = mms.map(|(_, quarantine)| quarantine.digest).collect();
    assert_eq!((digests.len(), digests[0].as_str()), (KEPT_PER_MODULE as usize, "next0"), "the oldest has gone");
}
