//! Every module's samples, through the real sandbox of a running host.

use std::sync::Arc;

use hookbox::{
    account::Account,
    hook::Hook,
    ingress::decode::{Decoder, Incoming},
    message::{Message, Source},
    module::Handled,
};
use hookbox_tests::{
    samples::{self, Sample},
    test_host::{TestHost, now_ms},
};
use serde_json::{Value, json};

const BUILT_IN: [&str; 9] = [
    "channel_answer",
    "channel_bridge",
    "channel_create",
    "channel_destroy",
    "mms",
    "notifications",
    "object",
    "parking",
    "sms",
];

#[tokio::test]
async fn the_nine_built_in_modules_are_there_and_skel_is_not() {
    let host = TestHost::builder().without_broker().start().await;
    let mut ids: Vec<_> = host.running.modules.active().iter().map(|module| module.id().to_string()).collect();
    ids.sort();
    assert_eq!(ids, BUILT_IN);
    assert!(host.running.modules.refused().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn every_sample_of_every_module_gives_exactly_its_events() {
    let host = TestHost::builder().without_broker().with_skel().start().await;
    let samples = samples::all();
    let mut modules: Vec<_> = samples.iter().map(|sample| sample.module.clone()).collect();
    modules.dedup();
    assert_eq!(modules.len(), BUILT_IN.len() + 1, "a module is without samples: {modules:?}");

    let mut problems = Vec::new();
    for sample in &samples {
        let (expected, given) = (expected(&host, sample), given(&host, sample).await);
        // Compared as texts, so that the order of keys counts: forms are sent in it.
        if format!("{expected:#}") != format!("{given:#}") {
            problems.push(format!("{} {}: expected {expected:#}, got {given:#}", sample.module, sample.name));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    host.finish().await;
}

/// What the sample's module makes of its message, in the form of the sample files.
async fn given(host: &TestHost, sample: &Sample) -> Value {
    let id = sample.module.replace('-', "_");
    set_accounts(host, &sample.accounts);
    let message = Arc::new(decoded(host, sample));
    let modules = &host.running.modules;
    let wanting = modules.wanting(&message);
    let Some(module) = wanting.iter().find(|module| module.id().as_str() == id) else {
        return json!("the module is not handed the message");
    };
    match modules.call(module, &message).await {
        Ok(Handled::Events(events)) => {
            let event = |(event, inline): (hookbox::message::Event, Option<Arc<Hook>>)| {
                let facets: Vec<_> = event.facets.iter().map(|(key, value)| json!([key, value])).collect();
                json!({
                    "hook_event": event.hook_event, "account_id": event.account, "payload": event.payload,
                    "facets": facets, "internal_leg": event.internal_leg, "inline_hook": hook_json(inline.as_deref()),
                })
            };
            events.into_iter().map(event).collect()
        }
        Ok(Handled::NotMine) => json!("not_mine"),
        Ok(Handled::Malformed(reason)) => json!({"malformed": reason}),
        Err(error) => json!({"failed": error.to_string()}),
    }
}

/// What the sample's file says, in the same form.
fn expected(host: &TestHost, sample: &Sample) -> Value {
    if !sample.error.is_null() {
        return sample.error.clone();
    }
    let event = |event: &Value| {
        let facets = event["facets"].as_object().into_iter().flatten();
        let inline = event["inline_hook"].as_object().map(|document| Hook::inline(document, &host.settings.firing));
        json!({
            "hook_event": event["hook_event"], "account_id": event["account_id"], "payload": event["payload"],
            "facets": facets.map(|(key, value)| json!([key, value])).collect::<Vec<_>>(),
            "internal_leg": event["internal_leg"] == json!(true),
            "inline_hook": hook_json(inline.map(Result::unwrap).as_ref()),
        })
    };
    sample.events.iter().map(event).collect()
}

fn hook_json(hook: Option<&Hook>) -> Value {
    hook.map_or(Value::Null, |hook| serde_json::to_value(hook).unwrap())
}

/// As the broker would hand it in, but for the password that ingress takes out: the samples are what modules make of what
/// they are handed.
fn decoded(host: &TestHost, sample: &Sample) -> Message {
    let decoder = Decoder {
        body_bytes_max: usize::MAX,
        account_pointers: host.settings.amqp.account_pointers.clone(),
        send_passwords: true,
    };
    let incoming = Incoming {
        source: Source::Amqp,
        exchange: &sample.message.exchange,
        routing_key: &sample.message.routing_key,
        message_id: None,
        content_type: Some("application/json"),
        content_encoding: None,
        body: &sample.message.body,
        within: None,
        trace: None,
    };
    decoder.decode(&incoming, &host.running.pipeline.accounts, now_ms()).unwrap()
}

/// The tree as the sample wants it: its resellers and numbers, and none of those that the sample before had.
fn set_accounts(host: &TestHost, facts: &Value) {
    let tree = &host.running.pipeline.accounts;
    let accounts = [samples::ACCOUNT].into_iter().chain(keys(&facts["resellers"])).chain(keys(&facts["ancestors"]));
    for id in accounts {
        let ancestors = facts["ancestors"][id].as_array().into_iter().flatten();
        tree.remove(&id.into());
        tree.replace(Account {
            id: id.into(),
            name: String::new(),
            tree: ancestors.filter_map(|ancestor| Some(ancestor.as_str()?.into())).collect(),
            reseller: facts["resellers"][id].as_str().map(Into::into),
        });
    }
    for (number, account) in facts["numbers"].as_object().into_iter().flatten() {
        tree.assign_number(number.clone(), account.as_str().unwrap().into());
    }
}

fn keys(object: &Value) -> impl Iterator<Item = &str> {
    object.as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}
