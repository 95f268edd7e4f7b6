//! What holds for every channel event, shown on one that is made up.
#![allow(clippy::unwrap_used)]

use hookbox_sdk::log::Level;
use hookbox_sdk::rehearsal::{Outcome, Rehearsal, message};
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};
use serde_json::{Value, json};

use crate::{Declaration, bindings, handle};

const ACCOUNT: &str = "aaaabbbbccccddddeeeeffff00001111";
const NUMBER: &str = "+13125550199";

struct ChannelHold;

impl Module for ChannelHold {
    fn metadata() -> Metadata {
        Declaration { id: "channel_hold", name: "Channel Hold", description: "", version: "1.0.0", more: &[] }
            .metadata()
    }

    fn bindings() -> Vec<Binding> {
        bindings("CHANNEL_HOLD")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        handle("channel_hold", &message, |_, payload| payload.put("held", true))
    }
}

fn rehearse(host: &Rehearsal, body: &Value) -> Outcome {
    host.handle::<ChannelHold>(message("callevt", "call.CHANNEL_HOLD.1", &body.to_string()))
}

fn event(host: &Rehearsal, body: &Value) -> Event {
    rehearse(host, body).result.unwrap().remove(0)
}

fn payload(host: &Rehearsal, body: &Value) -> Value {
    serde_json::from_str(&event(host, body).payload).unwrap()
}

#[test]
fn the_smallest_event_has_what_is_always_there_and_the_modules_own_fields_last() {
    let body = json!({"Custom-Channel-Vars": {"Account-ID": ACCOUNT}});
    assert_eq!(
        event(&Rehearsal::new(), &body).payload,
        format!(
            r#"{{"account_id":"{ACCOUNT}","custom_channel_vars":{{}},"emergency_resource_used":false,"local_resource_used":true,"is_internal_leg":false,"hook_event":"channel_hold","held":true}}"#
        )
    );
}

#[test]
fn values_of_unexpected_types_are_read_as_far_as_they_go() {
    let body = json!({
        "Call-ID": 17, "Callee-ID-Name": "", "Callee-ID-Number": null, "Caller-ID-Name": ["A", "b"],
        "Caller-ID-Number": true, "From": null, "Inception": {"a": 1}, "To": ["x"], "Timestamp": "63881319200",
        "Request": {"user": "4000"}, "Custom-Application-Vars": "none", "Channel-Is-Loopback": "true",
        "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Owner-ID": 5, "Call-Forward": "yes", "Resource-ID": "r1"},
    });
    let payload = payload(&Rehearsal::new(), &body);
    let expected = json!({
        "account_id": ACCOUNT, "call_forwarded": false, "call_id": "17", "callee_id_number": "null",
        "caller_id_name": "Ab", "caller_id_number": "true", "custom_channel_vars": {"Resource-ID": "r1"},
        "emergency_resource_used": false, "from": null, "inception": {"a": 1}, "local_resource_id": "r1",
        "local_resource_used": true, "is_internal_leg": true, "owner_id": "5", "request": "{\"user\":\"4000\"}",
        "timestamp": 63_881_319_200_u64, "to": ["x"], "hook_event": "channel_hold", "held": true,
    });
    assert_eq!(payload, expected);
}

#[test]
fn a_carrier_of_the_platform_is_not_named() {
    let body = json!({"Custom-Channel-Vars": {
        "Account-ID": ACCOUNT, "Resource-ID": "r1", "Global-Resource": "true", "Emergency-Resource": true,
    }});
    let payload = payload(&Rehearsal::new(), &body);
    assert_eq!(payload.get("local_resource_id"), None);
    assert_eq!(payload["local_resource_used"], false);
    assert_eq!(payload["emergency_resource_used"], true);
}

#[test]
fn the_reseller_is_asked_of_the_host() {
    let host = Rehearsal::new().reseller(ACCOUNT, "reseller1");
    let body = json!({"Custom-Channel-Vars": {"Account-ID": ACCOUNT}});
    assert_eq!(payload(&host, &body)["reseller_id"], "reseller1");
}

#[test]
fn the_operator_says_which_channel_variables_are_reserved() {
    let vars =
        json!({"Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Realm": "r", "Secret": "s", "Open": {"A-B": null}}});
    let shown = |host: &Rehearsal| payload(host, &vars)["custom_channel_vars"].clone();
    assert_eq!(shown(&Rehearsal::new()), json!({"Secret": "s", "Open": {"A-B": null}}));
    let host = Rehearsal::new().setting("reserved_ccv_keys", r#"["Secret", "Open"]"#);
    assert_eq!(shown(&host), json!({"Account-ID": ACCOUNT, "Realm": "r"}));
    assert_eq!(shown(&Rehearsal::new().setting("reserved_ccv_keys", "[]")), vars["Custom-Channel-Vars"]);
    let host = Rehearsal::new().setting("reserved_ccv_keys", "Secret");
    assert_eq!(shown(&host), json!({"Secret": "s", "Open": {"A-B": null}}));
    assert_eq!(rehearse(&host, &vars).log[0].0, Level::Warn);
}

#[test]
fn legs_inside_the_platform_are_told_by_flag_or_by_name() {
    let internal = |body: Value| event(&Rehearsal::new().number("1", ACCOUNT), &body).internal_leg;
    assert!(internal(json!({"To-DID": "1", "Channel-Is-Loopback": "true"})));
    assert!(internal(json!({"To-DID": "1", "Channel-Name": "loopback/4000-a"})));
    assert!(!internal(json!({"To-DID": "1", "Channel-Is-Loopback": "yes", "Channel-Name": "sofia/loopback/1"})));
    assert!(!internal(json!({"To-DID": "1"})));
}

#[test]
fn without_an_account_variable_the_dialled_number_finds_the_account() {
    let host = Rehearsal::new().number(NUMBER, ACCOUNT);
    let found = |body: Value| rehearse(&host, &body).result.map(|events| events[0].account_id.clone());
    let address = format!("{NUMBER}@sip.example.net");
    let account = Ok(ACCOUNT.to_owned());
    assert_eq!(found(json!({"Request": address, "To": "other@x"})), account);
    assert_eq!(found(json!({"Request": "nouser@x", "To": address})), account);
    assert_eq!(found(json!({"Request": "nouser", "To": address})), account);
    assert_eq!(found(json!({"Request": "", "To": "nouser@x", "To-DID": NUMBER})), account);
    assert_eq!(found(json!({"Request": NUMBER})), account, "a value without @ is the user");
    assert_eq!(found(json!({"Request": address, "Custom-Channel-Vars": null})), account);
    assert_eq!(found(json!({"Request": address, "Custom-Channel-Vars": {"Account-ID": ""}})), account);
    assert_eq!(found(json!({"Request": "other@x", "To": address})), Err(HandleError::NotMine), "only the first counts");
    assert_eq!(found(json!({"Request": "@"})), Err(HandleError::NotMine));
}

#[test]
fn the_operator_says_which_address_is_dialled_and_how_numbers_are_written() {
    let host = Rehearsal::new().number(NUMBER, ACCOUNT).setting("inbound_user_field", "To");
    let body = json!({"Request": "+1@x", "To": format!("{NUMBER}@x")});
    assert_eq!(event(&host, &body).account_id, ACCOUNT);

    let bare = json!({"Request": "13125550199@x"});
    assert_eq!(rehearse(&host, &bare).result, Err(HandleError::NotMine));
    let host = host.setting("assume_inbound_e164", "true");
    assert_eq!(event(&host, &bare).account_id, ACCOUNT);
}

#[test]
fn an_account_found_by_number_is_put_among_the_channel_variables() {
    let host = Rehearsal::new().number(NUMBER, ACCOUNT).setting("reserved_ccv_keys", "[]");
    let body = json!({"To-DID": NUMBER, "Custom-Channel-Vars": {"A": 1}});
    assert_eq!(payload(&host, &body)["custom_channel_vars"], json!({"A": 1, "Account-ID": ACCOUNT}));
    let body = json!({"To-DID": NUMBER});
    assert_eq!(payload(&host, &body)["custom_channel_vars"], json!({"Account-ID": ACCOUNT}));
}

#[test]
fn the_hosts_guess_at_the_account_is_not_enough() {
    let mut message = message("callevt", "call.CHANNEL_HOLD.1", r#"{"Call-ID": "1", "Account-ID": "a"}"#);
    message.account_id = Some("a".to_owned());
    let outcome = Rehearsal::new().handle::<ChannelHold>(message);
    assert_eq!(outcome.result, Err(HandleError::NotMine));
    assert_eq!(outcome.log, [(Level::Debug, "channel_hold: no account for call 1".to_owned())]);
}
