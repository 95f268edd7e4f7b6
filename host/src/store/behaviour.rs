//! What every backend of the store has to do: one function a behaviour, given an empty store. Each backend's tests run
//! them all ([`every_behaviour`]).

pub(crate) mod accounts;
pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod bound_bindings;
pub(crate) mod dead_letters;
pub(crate) mod firings;
pub(crate) mod hooks;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod numbers;
pub(crate) mod module_costs;
pub(crate) mod module_faults;
pub(crate) mod module_limits;
pub(crate) mod origins;
pub(crate) mod registered_modules;
pub(crate) mod stored_calls;
pub(crate) mod turns;
pub(crate) mod traffic;
pub(crate) mod undelivered;
pub(crate) mod upkeep;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    attempt::{Attempt, Fault, Outcome, SentRequest},
    hook::SealedSecret,
    message::{Event, Target},
};

/// Runs each behaviour, named with the thing that it is of, as a test on a store of its own.
macro_rules! behaves {
    ($open:path: $($thing:ident::$name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (store, _guard) = $open().await;
                $crate::store::behaviour::$thing::$name(store).await;
            }
        )*
    };
}
pub(crate) use behaves;

/// The whole suite, as tests of a backend: each opens a store of its own with the function, which gives what has to be
/// kept meanwhile too.
macro_rules! every_behaviour {
    ($open:path) => {
        $crate::store::behaviour::behaves! {
            $open:
            accounts::keeps_accounts_and_tells_what_changed,
            accounts::a_deleted_account_takes_what_is_its_own,
            accounts::an_imported_account_has_a_document,
            accounts::an_account_is_saved_over_its_revision,
            accounts::a_deleted_account_can_be_made_again,
            accounts::a_new_account_needs_its_parent,
            accounts::lists_accounts_below_in_pages,
            accounts::finds_accounts_by_a_field,
            accounts::accounts_move_together_or_not_at_all,
            accounts::accounts_are_deleted_in_one_step,
            accounts::keeps_what_documents_say_of_accounts,
            numbers::keeps_numbers,
            numbers::tells_of_numbers_that_change_hands,
            origins::origins_are_noted_found_and_forgotten,
            module_costs::costs_are_added_up_by_account_module_and_day,
            module_faults::faults_of_a_version_are_counted_over_a_window,
            module_faults::an_operators_component_goes_into_quarantine_once_and_comes_out_by_hand,
            traffic::figures_are_of_one_account_or_of_all,
            module_limits::limits_of_accounts_are_kept_and_followed,
            module_limits::the_limits_of_deleted_accounts_go,
            registered_modules::versions_are_kept_within_bounds,
            registered_modules::a_registered_module_is_saved_over_its_revision,
            registered_modules::only_the_active_version_goes_into_quarantine,
            registered_modules::faults_are_forgotten_when_another_version_is_active_or_the_quarantine_is_lifted,
            registered_modules::versions_and_modules_go_with_what_nobody_else_has,
            registered_modules::followers_read_what_changed,
            stored_calls::a_stored_call_is_given_back_whole,
            stored_calls::a_call_is_stored_once,
            stored_calls::claims_are_held_until_their_leases_end,
            stored_calls::claims_of_many_never_take_the_same_call,
            stored_calls::a_stale_lease_changes_no_call,
            stored_calls::a_call_that_is_given_up_leaves_its_dead_letter,
            stored_calls::what_waits_is_bounded_by_account,
            stored_calls::the_stored_calls_of_a_deleted_account_go,
            bound_bindings::what_is_bound_is_noted_and_forgotten,
            keys::keeps_keys,
            keys::notes_when_a_key_was_used,
            hooks::keeps_hooks_and_tells_what_changed,
            hooks::disables_a_hook_in_one_step,
            hooks::a_deleted_hook_lets_nothing_wait,
            hooks::a_hook_that_is_saved_disabled_lets_nothing_wait,
            hooks::a_hook_is_saved_over_its_revision,
            hooks::a_deleted_hook_can_be_made_again,
            hooks::lists_hooks_of_an_account_in_pages,
            firings::gives_back_what_was_stored,
            firings::a_claim_is_held_until_its_lease_ends,
            firings::claims_of_many_never_overlap,
            firings::a_stale_lease_changes_nothing,
            firings::the_holder_may_do_all,
            firings::one_group_may_change_a_firing_twice,
            firings::a_message_that_came_twice_is_stored_once,
            firings::a_try_under_way_may_end_well_after_disabling,
            leases::a_lease_lasts_as_long_as_it_is_renewed,
            leases::only_the_holder_renews_a_lease,
            leases::renewing_does_not_put_off_what_was_given_back,
            leases::a_lease_that_is_given_back_is_free_at_once,
            leases::one_that_slept_through_its_lease_undoes_nothing,
            turns::a_hook_with_a_backlog_hides_no_other,
            turns::lists_due_hooks_in_pages,
            turns::takes_the_longest_due_of_each_hook,
            turns::hooks_of_one_name_have_turns_of_their_own,
            turns::looks_past_what_is_due,
            turns::counts_what_waits_by_account,
            undelivered::what_was_not_delivered_can_be_sent_again,
            undelivered::lists_undelivered_firings_in_pages,
            undelivered::firings_can_be_stored_to_be_sent_again,
            audit::outlines_tell_what_became_of_attempts,
            audit::outlines_tell_how_hooks_of_firings_stand,
            audit::tells_which_firings_are_stored_or_ended_well,
            attempts::records_attempts_with_their_firings,
            attempts::an_empty_group_is_fine,
            attempts::prunes_what_is_old,
            attempts::lists_attempts_in_pages,
            attempts::lists_attempts_of_a_time_and_of_a_kind,
            attempts::finds_an_attempt_with_its_payload,
            jobs::keeps_jobs,
            jobs::a_job_is_claimed_by_one_at_a_time,
            jobs::a_job_comes_on_with_what_it_sends,
            jobs::a_job_ends_with_its_last_page,
            dead_letters::keeps_dead_letters,
            dead_letters::lists_dead_letters_in_pages,
            dead_letters::prunes_dead_letters_by_age_and_number,
            dead_letters::trims_the_dead_letters_of_each_module_and_owner,
            upkeep::counts_failures_exactly,
            upkeep::lists_failing_hooks_of_an_account_in_pages,
            upkeep::warns_of_a_hook_once_a_spell,
            upkeep::keeps_modules_values_and_settings,
            upkeep::keeps_texts_of_every_kind,
        }
    };
}
pub(crate) use every_behaviour;

const NOW: UnixMs = 1_714_100_000_000;

pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => unreachable!("{other} is no object"),
    }
}

pub(crate) fn account(id: &str, tree: &[&str]) -> Account {
    Account {
        id: id.into(),
        name: format!("Account {id}"),
        tree: tree.iter().map(|id| AccountId::from(*id)).collect(),
        reseller: tree.last().map(|id| AccountId::from(*id)),
    }
}

pub(crate) fn hook(id: &str, account: &str) -> HookRecord {
    HookRecord {
        id: id.into(),
        account: account.into(),
        document: object(json!({"name": "n", "uri": "https://h.example/", "hook": "object", "enabled": true})),
        disabled_message: None,
        secrets: vec![SealedSecret { sealed: "c2VhbGVk".into(), until_ms: None }],
        revision: 1,
        created_ms: NOW,
    }
}

pub(crate) fn attempt(id: u64, hook: &str, at_ms: UnixMs) -> Attempt {
    Attempt {
        id: format!("{at_ms:012x}{id:020x}"),
        webhook_id: format!("{id:064x}").into(),
        account: "a1".into(),
        hook: hook.into(),
        hook_event: "object".into(),
        module: "object".into(),
        at_ms,
        try_number: 1,
        uri: "https://h.example/".into(),
        request: SentRequest { method: "POST", headers: vec![], body: "{}".into() },
        outcome: Outcome::Failed { fault: Fault::Connection, detail: "refused".into() },
        duration_ms: 3,
        phases: crate::attempt::Phases::default(),
        trace: None,
        next_try_ms: None,
        retries_left: 0,
        payload: None,
        transform: None,
    }
}

pub(crate) fn firing(id: u64, hook: &str, lease: Option<&str>) -> Box<Firing> {
    let event = Event {
        module: "object".into(),
        hook_event: "object".into(),
        account: "a1".into(),
        payload: object(json!({"id": "d1", "n": 1})),
        facets: vec![("type".into(), "user".into())],
        selectors: Arc::from(vec!["type".to_owned()]),
        internal_leg: false,
        within: None,
        hooks_of: None,
        trace: None,
    };
    Box::new(Firing {
        id: format!("{id:064x}").into(),
        target: Target::Stored("a1".into(), hook.into()),
        event: Arc::new(event),
        tries: 1,
        created_ms: NOW,
        lease: lease.map(|token| LeaseToken(token.into())),
    })
}

pub(crate) fn record(id: &str, tree: &[&str]) -> AccountRecord {
    let account = Account { reseller: None, ..account(id, tree) };
    let document = object(json!({"name": account.name, "realm": format!("{id}.example")}));
    AccountRecord { account, is_reseller: false, document, revision: 0, created_ms: NOW }
}

fn notice(key: &str) -> Notice {
    Notice { id: 0, exchange: "configuration".into(), routing_key: key.into(), body: object(json!({"a": 1})) }
}

/// The routing keys of the notices that are kept.
async fn notices(store: &SharedStore) -> Vec<String> {
    let kept = store.notices(100).await.expect("they are read");
    kept.into_iter().map(|notice| notice.routing_key).collect()
}

fn given_up(firing: Box<Firing>, at_ms: UnixMs) -> [Entry; 1] {
    change(FiringChange::Undelivered { firing, reason: "404".into(), at_ms })
}

fn change(change: FiringChange) -> [Entry; 1] {
    [Entry { attempt: None, counts_as_failure: false, change }]
}

fn wait(firing: Box<Firing>, due_ms: UnixMs) -> [Entry; 1] {
    change(FiringChange::Wait { firing, due_ms })
}

fn failure(attempt: Attempt) -> Entry {
    Entry { attempt: Some(attempt), counts_as_failure: true, change: FiringChange::None }
}

async fn counts(store: &SharedStore) -> (u64, u64) {
    let FiringCounts { waiting, undelivered } = store.firing_counts(None).await.expect("they are counted");
    (waiting, undelivered)
}

async fn undelivered(store: &SharedStore, hook: &str, limit: u32) -> Vec<UndeliveredRow> {
    let query = UndeliveredQuery::newest("a1".into(), Some(hook.into()), limit);
    store.undelivered(&query).await.expect("they are read")
}

/// Claims all that is due, for a second.
async fn claim(store: &SharedStore, now_ms: UnixMs) -> Vec<Firing> {
    let due = store.due_hooks(now_ms, None, 100).await.expect("they are listed");
    let claims: Vec<Claim> = due.into_iter().map(|due| claim_of(&due, 100)).collect();
    store.claim_due(&claims, now_ms, now_ms + 1000).await.expect("they are claimed")
}

fn claim_of(due: &DueHook, rows_max: u32) -> Claim {
    Claim { account: due.account.clone(), hook: due.hook.clone(), rows_max }
}

/// When the next firing of all is due or free.
async fn next_due(store: &SharedStore) -> Option<UnixMs> {
    store.next_due_ms(0).await.expect("asked")
}
