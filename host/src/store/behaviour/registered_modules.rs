//! Modules and transforms that accounts have brought.

use std::collections::BTreeMap;

use super::*;
use crate::{
    module::Kind,
    store::{
        module_faults::{Component, Faults},
        registered_modules::{
            Kept, ModuleChange, ModuleVersion, Quarantine, RegisteredModule, VersionBounds, VersionDeleted,
        },
    },
};

const BOUNDS: VersionBounds = VersionBounds { modules_max: 2, versions_max: 2, bytes_max: 10 };

fn version(account: &str, name: &str, number: &str, component: &[u8]) -> ModuleVersion {
    ModuleVersion {
        account: account.into(),
        name: name.to_owned(),
        digest: format!("digest of {}", String::from_utf8_lossy(component)),
        version: number.to_owned(),
        kind: Kind::Transform,
        uploader: "a1".into(),
        key_id: Some("k1".to_owned()),
        uploaded_ms: NOW,
        size_bytes: component.len() as u64,
        imports: vec!["hookbox:webhook/log@1.0.0".to_owned()],
        metadata: None,
        bindings: Vec::new(),
        report: json!({"fuel": 7}),
    }
}

async fn with_accounts(store: &SharedStore) {
    for id in ["a1", "a2"] {
        store.put_account(&account(id, &[]), NOW).await.expect("written");
    }
}

async fn keep(store: &SharedStore, version: &ModuleVersion, component: &[u8]) -> Kept {
    store.keep_version(version, component, &BOUNDS, &[]).await.expect("answered")
}

async fn module(store: &SharedStore, name: &str) -> RegisteredModule {
    store.registered_module(&"a1".into(), name).await.expect("read").expect("it is there")
}

pub(crate) async fn versions_are_kept_within_bounds(store: SharedStore) {
    assert_eq!(keep(&store, &version("a1", "crm", "1.0.0", b"one"), b"one").await, Kept::NoAccount);
    with_accounts(&store).await;
    let one = version("a1", "crm", "1.0.0", b"one");
    assert_eq!(keep(&store, &one, b"one").await, Kept::New);
    assert_eq!(keep(&store, &one, b"one").await, Kept::There(Box::new(one.clone())), "as it was");
    let renamed = version("a1", "crm", "1.0.1", b"one");
    assert_eq!(keep(&store, &renamed, b"one").await, Kept::There(Box::new(one.clone())), "a component is one version");
    assert_eq!(keep(&store, &version("a1", "crm", "1.0.0", b"two"), b"two").await, Kept::VersionTaken);
    let other_kind = ModuleVersion { kind: Kind::Module, ..version("a1", "crm", "1.1.0", b"two") };
    assert_eq!(keep(&store, &other_kind, b"two").await, Kept::OtherKind(Kind::Transform));
    assert_eq!(keep(&store, &version("a1", "crm", "1.1.0", b"eight888"), b"eight888").await, Kept::TooManyBytes);
    assert_eq!(keep(&store, &version("a1", "crm", "1.1.0", b"two"), b"two").await, Kept::New);
    assert_eq!(keep(&store, &version("a1", "crm", "1.2.0", b"3"), b"3").await, Kept::TooManyVersions);
    assert_eq!(keep(&store, &version("a1", "b", "1.0.0", b"b"), b"b").await, Kept::New);
    assert_eq!(keep(&store, &version("a1", "c", "1.0.0", b"c"), b"c").await, Kept::TooManyModules);
    assert_eq!(keep(&store, &version("a2", "c", "1.0.0", b"c"), b"c").await, Kept::New, "the bounds are an account's");

    let names = |modules: Vec<RegisteredModule>| modules.into_iter().map(|module| module.name).collect::<Vec<_>>();
    assert_eq!(names(store.registered_modules_of(&"a1".into()).await.expect("read")), ["b", "crm"]);
    let versions = store.module_versions(&"a1".into(), "crm").await.expect("read");
    assert_eq!(versions.iter().map(|version| version.version.as_str()).collect::<Vec<_>>(), ["1.1.0", "1.0.0"]);
    for named in ["1.0.0", "digest of one"] {
        let found = store.module_version(&"a1".into(), "crm", named).await.expect("read");
        assert_eq!(found.as_ref(), Some(&one), "{named}");
    }
    assert_eq!(store.module_version(&"a2".into(), "crm", "1.0.0").await.expect("read"), None);
    assert_eq!(store.component("digest of one").await.expect("read").as_deref(), Some(&b"one"[..]));
}

pub(crate) async fn a_registered_module_is_saved_over_its_revision(store: SharedStore) {
    with_accounts(&store).await;
    keep(&store, &version("a1", "crm", "1.0.0", b"one"), b"one").await;
    let made = module(&store, "crm").await;
    assert_eq!((made.revision, made.active.clone(), made.created_ms), (1, None, NOW));
    let mut edited = RegisteredModule {
        active: Some("digest of one".to_owned()),
        settings: BTreeMap::from([("url".to_owned(), "x".to_owned())]),
        limits: object(json!({"fuel_max": 1})),
        offered: true,
        ..made
    };
    let notice = Notice { id: 0, exchange: "e".into(), routing_key: "k".into(), body: Object::new() };
    let saved = store.save_registered_module(&edited, 1, std::slice::from_ref(&notice)).await.expect("answered");
    assert_eq!(saved, Saved::Done(2));
    assert_eq!(store.notices(9).await.expect("read").len(), 1);
    edited.revision = 2;
    assert_eq!(module(&store, "crm").await, edited);
    let again = store.save_registered_module(&edited, 2, std::slice::from_ref(&notice)).await.expect("answered");
    assert_eq!(again, Saved::Done(2), "nothing changed");
    assert_eq!(store.notices(9).await.expect("read").len(), 1, "so nobody is told");
    let stale = RegisteredModule { offered: false, ..edited.clone() };
    assert_eq!(store.save_registered_module(&stale, 1, &[]).await.expect("answered"), Saved::Conflict);
    let nothing = RegisteredModule { active: Some("no such".to_owned()), ..edited };
    assert_eq!(store.save_registered_module(&nothing, 2, &[]).await.expect("answered"), Saved::Conflict);
}

fn quarantine() -> Quarantine {
    Quarantine {
        reason: "it trapped".to_owned(),
        digest: "digest of one".to_owned(),
        version: "1.0.0".to_owned(),
        since_ms: NOW,
        last_message: Some("m1".to_owned()),
    }
}

pub(crate) async fn only_the_active_version_goes_into_quarantine(store: SharedStore) {
    with_accounts(&store).await;
    keep(&store, &version("a1", "crm", "1.0.0", b"one"), b"one").await;
    let mut record = module(&store, "crm").await;
    let quarantine = quarantine();
    let put = async || store.set_quarantine(&"a1".into(), "crm", &quarantine, &[]).await.expect("answered");
    assert!(!put().await, "it is not active");
    record.active = Some("digest of one".to_owned());
    store.save_registered_module(&record, 1, &[]).await.expect("answered");
    assert!(put().await);
    assert!(!put().await, "once");
    let there = module(&store, "crm").await;
    assert_eq!((there.quarantine, there.revision), (Some(quarantine), 3));
}

pub(crate) async fn faults_are_forgotten_when_another_version_is_active_or_the_quarantine_is_lifted(
    store: SharedStore,
) {
    with_accounts(&store).await;
    for (number, component) in [("1.0.0", b"one"), ("1.1.0", b"two")] {
        assert_eq!(keep(&store, &version("a1", "crm", number, component), component).await, Kept::New);
    }
    let faults = ["digest of one", "digest of two"].map(|digest| Faults {
        of: Component { module: "a1/crm".into(), digest: digest.to_owned() },
        at_ms: NOW,
        count: 3,
    });
    let counts = async || {
        let [one, two] = &faults;
        let count = async |faults: &Faults| store.module_fault_count(&faults.of, 0).await.expect("counted");
        (count(one).await, count(two).await)
    };
    let save = async |change: &dyn Fn(&mut RegisteredModule)| {
        let mut record = module(&store, "crm").await;
        change(&mut record);
        let saved = store.save_registered_module(&record, record.revision, &[]).await.expect("answered");
        assert_eq!(saved, Saved::Done(record.revision + 1));
    };
    store.add_module_faults(&faults).await.expect("written");
    save(&|record| record.activate("digest of one", 10)).await;
    assert_eq!(counts().await, (0, 0));

    store.add_module_faults(&faults).await.expect("written");
    save(&|record| record.offered = true).await;
    assert_eq!(counts().await, (3, 3), "anything else lets them be");
    assert!(store.set_quarantine(&"a1".into(), "crm", &quarantine(), &[]).await.expect("answered"));
    assert_eq!(counts().await, (0, 3), "what led to it counts no more");
    save(&|record| record.quarantine = None).await;
    assert_eq!(counts().await, (0, 0));
}

pub(crate) async fn versions_and_modules_go_with_what_nobody_else_has(store: SharedStore) {
    with_accounts(&store).await;
    for (account, number, component) in [("a1", "1.0.0", b"one"), ("a1", "1.1.0", b"two"), ("a2", "1.0.0", b"one")] {
        assert_eq!(keep(&store, &version(account, "crm", number, component), component).await, Kept::New);
    }
    let mut record = module(&store, "crm").await;
    record.active = Some("digest of two".to_owned());
    record.before = vec!["digest of one".to_owned()];
    store.save_registered_module(&record, 1, &[]).await.expect("answered");
    let delete = async |digest: &str| store.delete_version(&"a1".into(), "crm", digest).await.expect("answered");
    assert_eq!(delete("digest of two").await, VersionDeleted::IsActive);
    assert_eq!(delete("digest of one").await, VersionDeleted::Done);
    assert_eq!(delete("digest of one").await, VersionDeleted::Missing);
    assert_eq!(module(&store, "crm").await.before, Vec::<String>::new(), "nothing is rolled back to what is gone");
    assert!(store.component("digest of one").await.expect("read").is_some(), "the other account has it");

    let cursor = store.registered_modules_since(0, 9).await.expect("read").cursor;
    assert!(store.delete_registered_module(&"a1".into(), "crm", &[]).await.expect("answered"));
    assert!(!store.delete_registered_module(&"a1".into(), "crm", &[]).await.expect("answered"));
    assert!(store.registered_module(&"a1".into(), "crm").await.expect("read").is_none());
    assert!(store.component("digest of two").await.expect("read").is_none());
    let changes = store.registered_modules_since(cursor, 9).await.expect("read").changes;
    assert!(
        matches!(&changes[..], [ModuleChange::Deleted(account, name)] if account.as_str() == "a1" && name == "crm")
    );

    // With its account, and so that it can come again.
    store.delete_account(&"a2".into(), NOW).await.expect("deleted");
    assert!(store.registered_modules_of(&"a2".into()).await.expect("read").is_empty());
    assert!(store.component("digest of one").await.expect("read").is_none());
    store.put_account(&account("a2", &[]), NOW).await.expect("written");
    assert_eq!(keep(&store, &version("a2", "crm", "1.0.0", b"one"), b"one").await, Kept::New);
    let again = store.registered_module(&"a2".into(), "crm").await.expect("read").expect("it is there");
    assert!(again.revision > 1, "no revision comes twice");
}

pub(crate) async fn followers_read_what_changed(store: SharedStore) {
    with_accounts(&store).await;
    for name in ["crm", "b"] {
        keep(&store, &version("a1", name, "1.0.0", name.as_bytes()), name.as_bytes()).await;
    }
    let page = store.registered_modules_since(0, 1).await.expect("read");
    assert!(matches!(&page.changes[..], [ModuleChange::Saved(module)] if module.name == "crm"));
    let rest = store.registered_modules_since(page.cursor, 9).await.expect("read");
    assert!(matches!(&rest.changes[..], [ModuleChange::Saved(module)] if module.name == "b"));
    let none = store.registered_modules_since(rest.cursor, 9).await.expect("read");
    assert!(none.changes.is_empty() && none.cursor == rest.cursor);
}
