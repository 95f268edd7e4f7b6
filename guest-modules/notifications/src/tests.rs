#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use hookbox_sdk::kazoo::{Kind, normalize};
use hookbox_sdk::log::Level;
use hookbox_sdk::rehearsal::{self, Outcome, Rehearsal, message};
use hookbox_sdk::{HandleError, Module};
use serde_json::{Map, Value, json};

use crate::Notifications;
use crate::notification::{NOTIFICATIONS, Notification};

#[test]
fn samples() {
    rehearsal::check::<Notifications>("samples");
}

fn handle(body: &Value) -> Outcome {
    let message = message("notifications", "notifications.any", &body.to_string());
    Rehearsal::new().handle::<Notifications>(message)
}

/// The smallest message of a kind: required headers, each of its type.
fn smallest(notification: &Notification) -> Value {
    let mut body = json!({
        "App-Name": "test", "App-Version": "1", "Event-Category": "notification",
        "Event-Name": notification.name, "Msg-ID": "1", "Account-ID": "a1",
    });
    for header in notification.definition.required {
        let kind = notification.definition.kinds.iter().find(|(name, _)| name == header);
        body[header] = match kind {
            Some((_, Kind::PositiveInteger)) => json!(1),
            Some((_, Kind::Objects)) => json!([{}]),
            Some((_, Kind::NonEmptyList)) => json!(["x"]),
            Some((_, Kind::Object)) => json!({"pvt_account_id": "a1"}),
            _ => json!("a1"),
        };
    }
    body
}

#[test]
fn every_notification_is_bound_offered_and_shown_once() {
    let metadata = Notifications::metadata();
    let names: BTreeSet<&str> = NOTIFICATIONS.iter().map(|notification| notification.name).collect();
    assert_eq!(names.len(), 41);

    let bindings = Notifications::bindings();
    let keys: BTreeSet<&String> = bindings[0].routing_keys.iter().collect();
    assert_eq!((keys.len(), bindings[0].routing_keys.len()), (41, 41));
    assert!(keys.contains(&"notifications.voicemail.deleted".to_owned()));
    assert!(NOTIFICATIONS.iter().all(|one| keys.contains(&format!("notifications.{}", one.key))));

    let shown: BTreeSet<&str> = metadata.samples.iter().map(|sample| &*sample.name).collect();
    assert_eq!((&shown, metadata.samples.len()), (&names, 41));

    let modifiers: Value = serde_json::from_str(&metadata.modifiers).unwrap();
    let offered = modifiers["type"]["items"].as_object().unwrap();
    assert_eq!(offered.len(), 42);
    assert!(names.iter().all(|name| offered.contains_key(*name)) && offered.contains_key("all"));
}

#[test]
fn sample_payloads_have_what_the_messages_must_have() {
    for sample in Notifications::metadata().samples {
        let payload: Map<String, Value> = serde_json::from_str(&sample.payload).unwrap();
        for header in crate::notification::find(&sample.name).unwrap().definition.required {
            let key = header.to_ascii_lowercase().replace('-', "_");
            assert!(payload.contains_key(&key), "{} lacks {key}", sample.name);
        }
    }
}

#[test]
fn the_smallest_message_of_each_kind_is_an_event_and_anything_less_is_malformed() {
    for notification in &NOTIFICATIONS {
        let body = smallest(notification);
        let events = handle(&body).result.unwrap();
        assert_eq!((events.len(), &*events[0].account_id), (1, "a1"), "{}", notification.name);
        if notification.name != "webhook" {
            assert_eq!(events[0].facets, [("type".to_owned(), notification.name.to_owned())]);
            assert_eq!(events[0].payload, normalize(&body.to_string()).unwrap());
        }
        for header in notification.definition.required.iter().chain(&["App-Name", "Msg-ID"]) {
            let mut less = body.clone();
            less.as_object_mut().unwrap().remove(*header);
            let malformed = HandleError::Malformed(format!("{header} is missing"));
            assert_eq!(handle(&less).result, Err(malformed), "{}", notification.name);
        }
        for (header, _) in notification.definition.kinds {
            let mut wrong = body.clone();
            wrong[header] = json!(false);
            assert!(matches!(handle(&wrong).result, Err(HandleError::Malformed(_))), "{header}");
        }
    }
}

#[test]
fn notifications_that_are_left_out_on_purpose_and_unknown_ones_are_not_mine() {
    for name in [json!("skel"), json!("notify_update"), json!(""), json!(7), Value::Null] {
        let outcome = handle(&json!({"Event-Category": "notification", "Event-Name": name}));
        assert_eq!(outcome.result, Err(HandleError::NotMine));
        assert_eq!(outcome.log[0].0, Level::Debug);
    }
}

#[test]
fn a_notification_without_an_account_is_not_mine() {
    let mut alert = smallest(crate::notification::find("system_alert").unwrap());
    alert.as_object_mut().unwrap().remove("Account-ID");
    assert_eq!(handle(&alert).result, Err(HandleError::NotMine));
    alert["Details"] = json!({"Custom-Channel-Vars": {"Account-ID": "a7"}});
    assert_eq!(handle(&alert).result.unwrap()[0].account_id, "a7");
    alert["Account-ID"] = json!(7);
    assert_eq!(handle(&alert).result, Err(HandleError::NotMine));
}

#[test]
fn a_callflows_hook_without_an_account_is_not_mine() {
    let mut webhook = smallest(crate::notification::find("webhook").unwrap());
    webhook["Hook"] = json!({"uri": "https://hooks.example.net/cf", "pvt_account_id": null});
    webhook["Hook"].as_object_mut().unwrap().remove("pvt_account_id");
    assert_eq!(handle(&webhook).result, Err(HandleError::NotMine));
}
