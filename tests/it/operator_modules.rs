//! Modules from the command line: pushed, listed, shown, activated, rolled back, deleted.

use hookbox_tests::{
    bad_modules::{self, CRM, CRM_NEXT, WRONG_WORLD},
    bombs,
    operator::Operator,
    real_program::Place,
    test_host::{MASTER, MASTER_KEY},
};
use insta::assert_snapshot;
use serde_json::json;

#[tokio::test]
async fn a_module_is_pushed_activated_rolled_back_and_deleted() {
    let place = Place::with_settings("modules.tenant_bindings = [\"bad\"]");
    for (name, path) in [("crm", CRM), ("crm-next", CRM_NEXT), ("wrong", WRONG_WORLD)] {
        place.write(&format!("{name}.wasm"), bad_modules::bytes(path));
    }
    let host = place.serve().await;
    let operator = Operator::at(&place, &host, MASTER_KEY);

    assert_snapshot!(operator.does(&["module", "list"]).await, @"the account has no modules; `hookbox module push --help` says how to bring one");
    let pushed = operator.does(&["module", "push", "crm.wasm"]).await;
    assert!(pushed.starts_with("module, ") && pushed.contains("\npassed size, component, "), "{pushed}");
    assert!(pushed.contains("\nmay use wasi:cli/stdin@") && pushed.contains("\nasks for bad "), "{pushed}");
    assert!(pushed.ends_with("crm 1.0.0 is kept; `hookbox module activate` makes it active"), "{pushed}");
    let again = operator.does(&["module", "push", "crm.wasm"]).await;
    assert!(again.contains("the host has it already"), "{again}");
    assert_snapshot!(operator.does(&["module", "activate", "crm", "1.0.0"]).await, @"version 1.0.0 of crm is active");
    let next = operator.reads(&["module", "push", "crm-next.wasm", "--name", "crm", "--activate"]).await;
    assert_eq!((&next["version"], &next["active"]), (&json!("2.0.0"), &json!(true)));
    assert_snapshot!(operator.does(&["module", "list"]).await, @r"
    NAME  KIND    ACTIVE  STATE   OFFERED  OF            NOT CALLED BECAUSE
    crm   module  2.0.0   active  no       this account  -
    ");
    let shown = operator.does(&["module", "show", "crm"]).await;
    assert!(shown.contains("\nactive      2.0.0\n") && shown.contains("\nVERSION  DIGEST"), "{shown}");
    assert_eq!(operator.reads(&["module", "show", "crm"]).await["versions"].as_array().map(Vec::len), Some(2));
    assert_snapshot!(operator.does(&["module", "rollback", "crm"]).await, @"version 1.0.0 of crm is active");

    // What is refused.
    assert_snapshot!(operator.may_not(1, &["module", "rollback", "crm"]).await, @"hookbox: no version was active before this one; activate the one that you want (409)");
    assert_snapshot!(operator.may_not(1, &["module", "delete", "crm", "1.0.0"]).await, @"hookbox: the version is active; activate another one first, or delete the module (409)");
    let other_name = operator.may_not(1, &["module", "push", "crm.wasm", "--name", "other"]).await;
    assert_snapshot!(other_name, @r#"hookbox: the check refuses it at its step "metadata": its metadata says id crm, and the path other; they must be the same (422)"#);
    let wrong = operator.may_not(1, &["module", "push", "wrong.wasm"]).await;
    assert!(wrong.contains("at its step \"world\"") && wrong.contains("webhook-module"), "{wrong}");
    // In pieces, and refused in the end.
    place.write("large.wasm", bombs::padded_to(200_000));
    let watched = operator.may_not(1, &["module", "push", "large.wasm", "--progress"]).await;
    let size = std::fs::metadata(place.path("large.wasm")).unwrap().len();
    let (first, all) = (
        format!("\rsent 65536 of {size} bytes, 3"),
        format!("\rsent {size} of {size} bytes, 100 %, being checked …\n"),
    );
    assert!(watched.starts_with(&first) && watched.contains(&all) && watched.ends_with("(422)"), "{watched}");
    let missing = operator.may_not(2, &["module", "push", "missing.wasm"]).await;
    assert!(missing.starts_with("hookbox: missing.wasm: "), "{missing}");
    let nothing = operator.may_not(1, &["module", "show", "none"]).await;
    assert_eq!(
        nothing,
        format!(
            "hookbox: there is no none at /v2/accounts/{MASTER}/webhook_modules/none (404); check the id, and --account"
        )
    );

    assert_snapshot!(operator.does(&["module", "delete", "crm", "2.0.0"]).await, @"version 2.0.0 of crm is deleted");
    assert_snapshot!(operator.does(&["module", "delete", "crm"]).await, @"crm is deleted, with all its versions");
    assert_eq!(operator.reads(&["module", "list"]).await, json!([]));
}
