//! What an operator does with accounts, keys and settings from the command line.

use hookbox_tests::{
    operator::Operator,
    real_program::Place,
    test_host::{MASTER, MASTER_KEY},
};
use insta::assert_snapshot;
use serde_json::json;

/// The key in what a command printed that makes one.
fn key_of(said: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix("key ")).unwrap().to_owned()
}

#[tokio::test]
async fn accounts_are_made_shown_changed_moved_and_deleted() {
    let place = Place::with_settings("");
    let host = place.serve().await;
    let master = Operator::at(&place, &host, MASTER_KEY);

    let made = master.does(&["accounts", "create", "Acme", "--id", "acme", "--realm", "acme.example"]).await;
    let acme = Operator::at(&place, &host, &key_of(&made));
    assert!(made.starts_with("id           acme\nname         Acme\nrealm        acme.example\n"), "{made}");
    assert!(made.ends_with("It is shown only now: keep it."), "{made}");
    acme.does(&["accounts", "create", "North", "--id", "acme-north"]).await;
    let south = ["accounts", "create", "South", "--id", "acme-south", "--account", "acme", "--set", "vip=true"];
    assert_eq!(master.reads(&south).await["vip"], true);
    assert_snapshot!(acme.does(&["accounts", "list"]).await, @r"
    NAME     ID          REALM         RESELLER
    Acme     acme        acme.example  -
      North  acme-north  -             -
      South  acme-south  -             -
    ");
    let whole = master.does(&["accounts", "list"]).await;
    assert!(whole.contains(MASTER) && whole.contains("\n    North  acme-north"), "{whole}");

    assert_eq!(master.reads(&["accounts", "promote", "acme"]).await["is_reseller"], true);
    let moved = master.reads(&["accounts", "move", "acme-south", "acme-north"]).await;
    assert_eq!(moved["reseller_id"], "acme");
    let edited = ["accounts", "edit", "acme-south", "--name", "Far south", "--set", "vip=null", "--set", "floor=3"];
    assert_snapshot!(acme.does(&edited).await, @r"
    id           acme-south
    name         Far south
    is_reseller  false
    reseller_id  acme
    floor        3
    ");
    assert_snapshot!(acme.does(&["accounts", "list"]).await, @r"
    NAME           ID          REALM         RESELLER
    Acme           acme        acme.example  yes
      North        acme-north  -             -
        Far south  acme-south  -             -
    ");
    assert_eq!(master.reads(&["accounts", "demote", "acme"]).await["is_reseller"], false);
    let listed = acme.reads(&["accounts", "list", "acme-north"]).await;
    assert_eq!(
        (&listed[0]["id"], &listed[1]["id"], &listed[2]),
        (&json!("acme-north"), &json!("acme-south"), &json!(null))
    );

    // What is refused.
    assert_snapshot!(acme.may_not(1, &["accounts", "show", MASTER]).await, @"hookbox: the key does not open /v2/accounts/ffffffffffffffffffffffffffffffff (403); it opens its own account and those below it: use a key of that account, or of one above it");
    assert_snapshot!(acme.may_not(1, &["accounts", "move", "acme-south", "acme"]).await, @"hookbox: /v2/accounts/acme-south/move is the operator's alone (403): use a key of the master account");
    assert_snapshot!(master.may_not(1, &["accounts", "show", "nowhere"]).await, @"hookbox: there is no nowhere at /v2/accounts/nowhere (404); check the id, and --account");
    assert_snapshot!(master.may_not(1, &["accounts", "move", "acme", "acme-south"]).await, @"hookbox: TO: an account cannot be moved below itself (acme-south)");
    assert_snapshot!(master.may_not(1, &["accounts", "create", "x", "--id", "No Id", "--realm", "acme.example"]).await, @"hookbox: --id: Field is not in the correct format; use 32 hex digits, or 1 to 64 of a-z 0-9 _ - (No Id)");
    assert_snapshot!(master.may_not(1, &["accounts", "edit", "acme-south", "--realm", "acme.example"]).await, @"hookbox: --realm: Account realm already in use (acme.example)");
    assert_snapshot!(acme.may_not(2, &["accounts", "edit", "acme-south"]).await, @"hookbox: nothing is to be changed: use --name, --realm, --language or --set KEY=VALUE");
    assert_snapshot!(acme.may_not(2, &["accounts", "delete", "acme-north"]).await, @"hookbox: accounts that would be deleted with acme-north, being below it: 1; if so, add --yes");
    assert!(acme.may_not(2, &["accounts", "edit", "acme-south", "--set", "vip"]).await.contains("use KEY=VALUE"));

    assert_eq!(acme.does(&["accounts", "delete", "acme-south"]).await, "account acme-south (Far south) is deleted");
    acme.does(&["accounts", "create", "East", "--account", "acme-north"]).await;
    assert_eq!(acme.reads(&["accounts", "delete", "acme-north", "--yes"]).await["id"], "acme-north");
    assert_eq!(acme.reads(&["accounts", "list"]).await.as_array().unwrap().len(), 1);
    assert_eq!(host.stop().await, 0);
}

#[tokio::test]
async fn keys_are_made_and_revoked_and_settings_are_set_and_unset() {
    let place = Place::with_settings("");
    let host = place.serve().await;
    let master = Operator::at(&place, &host, MASTER_KEY);
    let acme = master.does(&["accounts", "create", "Acme", "--id", "acme"]).await;
    let acme = Operator::at(&place, &host, &key_of(&acme));

    let made = acme.does(&["keys", "create", "CRM"]).await;
    assert!(made.contains("name     CRM") && made.ends_with("It is shown only now: keep it."), "{made}");
    let crm = Operator::at(&place, &host, &key_of(&made));
    let keys = crm.reads(&["keys", "list"]).await;
    assert_eq!((&keys[0]["name"], &keys[1]["name"], keys[1].get("api_key")), (&json!("first"), &json!("CRM"), None));
    let id = keys[1]["id"].as_str().unwrap();
    let listed = crm.does(&["keys", "list"]).await;
    assert!(listed.starts_with("ID ") && listed.lines().count() == 3 && listed.contains(id), "{listed}");
    assert!(listed.lines().all(|line| line.starts_with("ID ") || line.contains("Z  ")), "{listed}");
    let shown = acme.does(&["keys", "show", id]).await;
    assert!(shown.starts_with(&format!("id         {id}\nname       CRM\ncreated    20")), "{shown}");
    assert!(acme.reads(&["keys", "create"]).await["api_key"].is_string());
    assert_eq!(acme.does(&["keys", "revoke", id]).await, format!("key {id} (CRM) is revoked"));

    assert_snapshot!(crm.may_not(1, &["keys", "list", "--account", "acme"]).await, @"hookbox: the host does not know the key (401): it is mistyped or revoked; set HOOKBOX_CLI_TOKEN, or --token, to a key that counts");
    assert_snapshot!(acme.may_not(1, &["keys", "show", "nowhere"]).await, @"hookbox: there is no nowhere at /v2/accounts/acme/keys/nowhere (404); check the id, and --account");
    assert_snapshot!(acme.may_not(1, &["keys", "list", "--account", "ffff"]).await, @"hookbox: the key does not open /v2/accounts/ffff/keys (403); it opens its own account and those below it: use a key of that account, or of one above it");
    assert!(acme.may_not(1, &["keys", "create", &"x".repeat(129)]).await.starts_with("hookbox: NAME: "));

    assert_snapshot!(acme.does(&["settings", "get"]).await, @r"
    SETTING                    SET HERE  COUNTS
    attempt_failure_count      -         6
    attempt_failure_expiry_ms  -         60000
    disable_disabler           -         false
    ");
    let set = acme.does(&["settings", "set", "attempt_failure_expiry_ms", "90000"]).await;
    assert_snapshot!(set, @r"
    SETTING                    SET HERE  COUNTS
    attempt_failure_expiry_ms  90000     90000
    ");
    master.does(&["settings", "set", "--system", "disable_disabler", "true"]).await;
    master.does(&["settings", "set", "attempt_failure_count", "9", "--system"]).await;
    let own = acme.reads(&["settings", "get"]).await;
    let effective = json!({"attempt_failure_count": 9, "attempt_failure_expiry_ms": 90_000, "disable_disabler": true});
    assert_eq!(own["_read_only"]["effective"], effective);
    assert_snapshot!(acme.does(&["settings", "unset", "attempt_failure_expiry_ms"]).await, @r"
    SETTING                    SET HERE  COUNTS
    attempt_failure_expiry_ms  -         60000
    ");
    let limit = ["settings", "set", "--modules", "--account", "acme", "fuel_max", "5000000"];
    assert_snapshot!(master.does(&limit).await, @r"
    LIMIT     SET HERE  COUNTS   SET FOR
    fuel_max  5000000   5000000  acme
    ");
    assert_snapshot!(acme.does(&["settings", "get", "--modules", "time_limit_ms"]).await, @r"
    LIMIT          SET HERE  COUNTS  SET FOR
    time_limit_ms  -         50      the operator's
    ");
    assert_snapshot!(acme.may_not(1, &["settings", "unset", "--modules", "fuel_max"]).await, @"hookbox: limits of account acme bind it: only an account above it can change them (403)");
    let of_system = master.reads(&["settings", "unset", "disable_disabler", "--system"]).await;
    assert_eq!((of_system.get("disable_disabler"), &of_system["attempt_failure_count"]), (None, &json!(9)));

    assert_snapshot!(acme.may_not(1, &["settings", "set", "attempt_failure_expiry_ms", "5"]).await, @"hookbox: attempt_failure_expiry_ms: Value must be at least 1000 (5)");
    assert_snapshot!(acme.may_not(1, &["settings", "set", "attempt_failure_count", "many"]).await, @"hookbox: attempt_failure_count: Value did not match type(s): integer (many)");
    assert_snapshot!(acme.may_not(1, &["settings", "set", "disable_disabler", "true"]).await, @"hookbox: disable_disabler: is no setting that can be set here; those are attempt_failure_count, attempt_failure_expiry_ms (use one of attempt_failure_count, attempt_failure_expiry_ms)");
    assert_snapshot!(acme.may_not(2, &["settings", "get", "no_such"]).await, @"hookbox: there is no setting no_such; use one of attempt_failure_count, attempt_failure_expiry_ms, disable_disabler");
    assert_snapshot!(acme.may_not(1, &["settings", "get", "--system"]).await, @"hookbox: /v2/system_configs/webhooks is the operator's alone (403): use a key of the master account");
    assert_snapshot!(master.may_not(2, &["settings", "get", "--system", "--account", "acme"]).await, @"hookbox: --system is for everybody, --account for one account: use one of them");
    assert_eq!(host.stop().await, 0);
}
