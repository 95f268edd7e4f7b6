//! What is small: failures, modules, kept values and settings.

use super::*;

pub(crate) async fn counts_failures_exactly(store: SharedStore) {
    let (first, second) = (HookId::from("h1"), HookId::from("h2"));
    let group: Vec<Entry> = (0..5).map(|n| failure(attempt(n, "h1", NOW))).collect();
    store.commit(&group).await.expect("committed");
    store.commit(&[failure(attempt(9, "h1", NOW + 100)), failure(attempt(10, "h2", NOW + 50))]).await.expect("done");
    assert_eq!(store.failure_count(&first, NOW - 1).await.expect("counted"), 6, "five in one millisecond are five");
    assert_eq!(store.failure_count(&first, NOW).await.expect("counted"), 1);
    let mut failing = store.sweep_failures(NOW).await.expect("swept");
    failing.sort();
    assert_eq!(failing, [("a1".into(), first.clone(), 1), ("a1".into(), second.clone(), 1)]);
    assert_eq!(store.failure_count(&first, 0).await.expect("counted"), 1, "older ones are gone");
    store.clear_failures(&first).await.expect("cleared");
    assert_eq!(store.failure_count(&first, 0).await.expect("counted"), 0);
    store.put_hook(&hook("h2", "a1"), NOW).await.expect("written");
    assert_eq!(store.failure_count(&second, 0).await.expect("counted"), 0, "an edit clears them");
}

pub(crate) async fn lists_failing_hooks_of_an_account_in_pages(store: SharedStore) {
    let of_another = Attempt { account: "a2".into(), ..attempt(4, "h4", NOW) };
    store
        .commit(&[
            failure(attempt(1, "h3", NOW)),
            failure(attempt(2, "h1", NOW)),
            failure(attempt(3, "h1", NOW + 1)),
            failure(attempt(5, "h2", NOW - 1)),
            failure(of_another),
        ])
        .await
        .expect("committed");
    let account = AccountId::from("a1");
    let listed = async |after_ms, after: Option<&str>, limit| {
        let after = after.map(HookId::from);
        let hooks = store.failing_hooks(&account, after_ms, after.as_ref(), limit).await.expect("listed");
        hooks.into_iter().map(|(hook, count)| format!("{hook} {count}")).collect::<Vec<_>>()
    };
    assert_eq!(listed(0, None, 10).await, ["h1 2", "h2 1", "h3 1"]);
    assert_eq!(listed(NOW - 1, None, 10).await, ["h1 2", "h3 1"], "failures at the time itself are too old");
    assert_eq!(listed(NOW, None, 10).await, ["h1 1"]);
    assert_eq!(listed(0, None, 2).await, ["h1 2", "h2 1"]);
    assert_eq!(listed(0, Some("h2"), 2).await, ["h3 1"]);
    assert_eq!(listed(0, Some("h3"), 2).await, [""; 0]);
}

pub(crate) async fn keeps_modules_values_and_settings(store: SharedStore) {
    let module = ModuleRecord {
        id: "m1".into(),
        version: "1.0.0".into(),
        digest: "d1".into(),
        metadata: object(json!({"name": "M"})),
    };
    assert!(store.put_module(&module).await.expect("written"));
    assert!(!store.put_module(&module).await.expect("written"));
    let newer = ModuleRecord { version: "1.1.0".into(), ..module };
    assert!(store.put_module(&newer).await.expect("written"));
    assert_eq!(store.modules().await.expect("read"), [newer]);

    assert_eq!(store.kept_value("k").await.expect("read"), None);
    assert_eq!(store.keep_value("k", "first").await.expect("kept"), "first");
    assert_eq!(store.keep_value("k", "second").await.expect("kept"), "first");
    assert_eq!(store.kept_value("k").await.expect("read").as_deref(), Some("first"));

    let (account, set) = (AccountId::from("a1"), object(json!({"attempt_failure_count": 3})));
    assert_eq!(store.webhook_settings(None).await.expect("read"), Object::new());
    store.put_webhook_settings(None, &set).await.expect("written");
    store.put_webhook_settings(Some(&account), &set).await.expect("written");
    assert_eq!(store.webhook_settings(Some(&account)).await.expect("read"), set);
    let all = [(None, set.clone()), (Some(account.clone()), set)];
    assert_eq!(store.all_webhook_settings().await.expect("read"), all);
    store.put_webhook_settings(Some(&account), &Object::new()).await.expect("written");
    assert_eq!(store.all_webhook_settings().await.expect("read").len(), 1);
}

pub(crate) async fn warns_of_a_hook_once_a_spell(store: SharedStore) {
    let id = HookId::from("h1");
    let notice = Notice { id: 0, exchange: "notifications".into(), routing_key: "k".into(), body: Object::new() };
    let warned = async || store.warn_of_hook(&id, &notice).await.expect("told");
    let fails = async |n| store.commit(&[failure(attempt(n, "h1", NOW + n))]).await.expect("committed");
    assert!(!warned().await, "there is no such hook");
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    assert!(!warned().await, "it has not failed");
    fails(1).await;
    assert_eq!((warned().await, warned().await), (true, false));
    fails(2).await;
    store.sweep_failures(NOW + 1).await.expect("swept");
    assert!(!warned().await, "it has a failure still");
    store.sweep_failures(NOW + 2).await.expect("swept");
    fails(3).await;
    assert!(warned().await, "it had none in between");
    store.clear_failures(&id).await.expect("cleared");
    fails(4).await;
    assert!(warned().await, "they were forgotten in between");
    store
        .put_hook(&HookRecord { document: object(json!({"name": "b"})), ..hook("h1", "a1") }, NOW)
        .await
        .expect("done");
    fails(5).await;
    assert!(warned().await, "it was edited in between");
    assert_eq!(store.notices(10).await.expect("read").len(), 4);
    assert!(store.disable_hook(&id, "why", &[], NOW).await.expect("disabled"));
    fails(6).await;
    assert!(!warned().await, "it is disabled");
    assert_eq!(store.notices(10).await.expect("read").len(), 4);
}

/// Ids, names and reasons come from messages and receivers, who write what they like.
pub(crate) async fn keeps_texts_of_every_kind(store: SharedStore) {
    let strange = |text: &str| format!("{text}\0\u{FFFF}0'\";--\\☎");
    let id = strange("a1");
    let (account_id, hook_id) = (AccountId::from(id.as_str()), HookId::from(strange("h1")));
    let named = Account { name: strange("n"), ..account(&id, &[&strange("root")]) };
    let root = account(&strange("root"), &[]);
    store.put_accounts(&[root.clone(), named.clone()], NOW).await.expect("written");
    assert_eq!(store.account(&account_id).await.expect("read").expect("it is there").account, named);
    let below = store.accounts_below(&root.id, false, None, 10).await.expect("read");
    assert_eq!(below.iter().map(|record| &record.account.id).collect::<Vec<_>>(), [&account_id]);
    assert_eq!(store.accounts_named("name", &named.name).await.expect("read"), std::slice::from_ref(&account_id));
    let with = |key: &str, value: &str| object(json!({"name": named.name, key: value}));
    for key in ["realm", "other"] {
        let document = with(key, &id);
        let fields = AccountFields { id: account_id.clone(), document, is_reseller: false };
        store.put_account_fields(&[fields]).await.expect("written");
        assert_eq!(store.accounts_named(key, &id).await.expect("read"), std::slice::from_ref(&account_id), "{key}");
        assert_eq!(store.accounts_named(key, "a1").await.expect("read"), [], "{key}");
    }

    let record = HookRecord { id: hook_id.clone(), disabled_message: Some(strange("m")), ..hook("", &id) };
    let record = HookRecord { document: object(json!({"uri": strange("u"), "z": 1, "a": strange("")})), ..record };
    store.put_hook(&record, NOW).await.expect("written");
    let read = store.hook(&hook_id).await.expect("read").expect("it is there");
    let written = |record: &HookRecord| serde_json::to_string(&record.document).expect("it is JSON");
    assert_eq!((written(&read), read), (written(&record), record.clone()), "the fields in their order, too");
    store.put_number(&strange("+1"), &account_id).await.expect("written");
    assert_eq!(store.numbers().await.expect("read"), [(strange("+1"), account_id.clone())]);

    let mut kept = firing(1, hook_id.as_str(), None);
    kept.target = Target::Stored(account_id.clone(), hook_id.clone());
    let tried = Attempt {
        account: account_id.clone(),
        outcome: Outcome::Failed { fault: Fault::Connection, detail: strange("refused") },
        ..attempt(1, hook_id.as_str(), NOW)
    };
    let given_up = FiringChange::Undelivered { firing: kept, reason: strange("r"), at_ms: NOW };
    store
        .commit(&[Entry { attempt: Some(tried), counts_as_failure: true, change: given_up }])
        .await
        .expect("committed");
    let of = Some(hook_id.clone());
    assert_eq!(store.attempts(&AttemptQuery::newest(account_id.clone(), of.clone(), 9)).await.expect("read").len(), 1);
    let listed = store.undelivered(&UndeliveredQuery::newest(account_id.clone(), of, 9)).await.expect("read");
    assert_eq!((listed.len(), &listed[0].reason), (1, &strange("r")));
    assert_eq!(store.failing_hooks(&account_id, 0, None, 9).await.expect("read"), [(hook_id.clone(), 1)]);
    assert_eq!(store.keep_value("key", &id).await.expect("kept"), id);
    assert_eq!(store.kept_value("key").await.expect("read"), Some(id.clone()));
    assert!(store.disable_hook(&hook_id, &strange("off"), &[], NOW).await.expect("disabled"));
    assert!(store.delete_account(&account_id, NOW).await.expect("deleted"));
    assert_eq!(store.numbers().await.expect("read"), []);
    assert_eq!(counts(&store).await, (0, 1));
}
