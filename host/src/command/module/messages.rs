//! A module on the stage: messages, and the events expected of each.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    matching::is_asked_for,
    on_stage::{Calls, OnStage, error_in_words},
    sample::{Sample, make_known},
    stage::{LOADED_AT_MS, Played, Stage, fault, play},
};
use crate::{
    account::AccountTree,
    hook::Hook,
    ingress::decode::{Decoder, Incoming},
    message::{Event, Message, Object, Source},
    module::{Handled, Made, Module, ModuleError, sandbox::Called},
};

/// A message as `hookbox publish` takes it, and whose it is.
#[derive(Deserialize)]
struct Bare {
    exchange: String,
    routing_key: String,
    body: Value,
    message_id: Option<String>,
    account_id: Option<String>,
}

/// `events` is a list, `error` one of `"not_mine"`, `{"malformed": …}`, `{"failed": …}`, `{"fault": …}`.
impl OnStage for Module {
    type Handed = Message;
    const HANDED: &'static str = "message";
    const EXPECTED: &'static [&'static str] = &["events", "error"];

    /// The account of a message that stands alone is found as the host finds it, and is known.
    fn handed(
        value: Value,
        accounts: Option<AccountTree>,
        stage: &Stage,
    ) -> Result<(Message, Arc<AccountTree>), String> {
        let mut bare: Bare = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if accounts.is_none() {
            let found = || decoder(stage).stranger(&bare.body.to_string()).map(|account| account.to_string());
            bare.account_id = bare.account_id.clone().or_else(found);
        }
        let accounts = accounts.unwrap_or_default();
        Ok((message(bare, stage, &accounts)?, Arc::new(accounts)))
    }

    fn expected(mut said: Object, _handed: &Message, stage: &Stage) -> Result<Option<Value>, String> {
        match (said.shift_remove("events"), said.shift_remove("error")) {
            (Some(Value::Array(events)), None) => {
                events.into_iter().map(|event| with_defaults(event, stage)).collect::<Result<Value, _>>().map(Some)
            }
            (Some(_), None) => Err("events is not a list".into()),
            (None, error) => Ok(error),
            (Some(_), Some(_)) => Err("give either events or error".into()),
        }
    }

    fn accepted(answer: &Value, _handed: &Message) -> (&'static str, Value) {
        match answer {
            Value::Array(events) => ("events", events.iter().map(without_defaults).collect()),
            error => ("error", error.clone()),
        }
    }

    fn in_words(answer: &Value, _handed: &Message) -> String {
        match answer {
            Value::Array(events) if events.len() == 1 => "1 event".into(),
            Value::Array(events) => format!("{} events", events.len()),
            error => error_in_words(error),
        }
    }

    fn shown(answer: &Value, _handed: &Message) -> Vec<Value> {
        answer.as_array().cloned().unwrap_or_default()
    }

    fn play_fresh(&self, sample: &Sample<Message>) -> Played {
        let module = self.in_surroundings(sample.surroundings.clone());
        play(|| module.handle(&sample.handed), answer)
    }

    fn play_used<'a>(
        &self,
        sample: &Sample<Message>,
        before: &[&'a Sample<Message>],
    ) -> Option<(Played, Vec<&'a str>)> {
        let module = self.in_surroundings(sample.surroundings.clone());
        let mut instance = module.instance_for(&sample.handed).ok()?;
        let mut had = Vec::new();
        for other in before {
            // What failed ends its instance, here as in a host.
            if instance.handle(&other.handed).result.is_err() {
                instance = module.instance_for(&sample.handed).ok()?;
                had.clear();
                continue;
            }
            had.push(other.name.as_str());
        }
        (!had.is_empty()).then(|| (play(|| instance.handle(&sample.handed), answer), had))
    }

    fn measured<R>(
        &self,
        sample: &Sample<Message>,
        measure: impl FnOnce(&mut Calls<'_>, Option<&mut Calls<'_>>) -> R,
    ) -> R {
        let module = self.in_surroundings(sample.surroundings.clone());
        let cost = |called: Called<Handled>| called.result.is_ok().then_some(called.cost);
        let mut fresh: Calls<'_> = Box::new(|| cost(module.handle(&sample.handed)));
        let mut instance = module.instance_for(&sample.handed).ok();
        let mut used = instance.as_mut().map(|instance| {
            let calls: Calls<'_> = Box::new(|| cost(instance.handle(&sample.handed)));
            calls
        });
        measure(&mut fresh, used.as_mut())
    }

    fn why_not_handed_over(&self, handed: &Message) -> Option<String> {
        let Message { exchange, routing_key, category, name, .. } = handed;
        (!is_asked_for(&self.bindings, handed)).then(|| {
            format!("no binding asks for {exchange} {routing_key} with category {category:?} and name {name:?}")
        })
    }
}

/// As ingress would make it, by the host's own rules.
fn message(bare: Bare, stage: &Stage, accounts: &AccountTree) -> Result<Message, String> {
    let body = bare.body.to_string();
    let incoming = Incoming {
        source: Source::Amqp,
        exchange: &bare.exchange,
        routing_key: &bare.routing_key,
        message_id: bare.message_id.as_deref(),
        content_type: None,
        content_encoding: None,
        body: body.as_bytes(),
        within: None,
        trace: None,
    };
    let mut message = decoder(stage).decode(&incoming, accounts, LOADED_AT_MS).map_err(|error| error.to_string())?;
    if let Some(account) = &bare.account_id {
        make_known(accounts, account);
    }
    message.account = bare.account_id.map(Into::into);
    Ok(message)
}

fn decoder(stage: &Stage) -> Decoder {
    Decoder {
        body_bytes_max: usize::try_from(stage.settings.ingress.body_bytes_max).unwrap_or(usize::MAX),
        account_pointers: stage.settings.amqp.account_pointers.clone(),
        send_passwords: stage.settings.kazoo.send_passwords,
    }
}

fn answer(result: Result<Handled, ModuleError>) -> Value {
    match result {
        Ok(Handled::Events(events)) => events.into_iter().map(event).collect(),
        Ok(Handled::NotMine) => json!("not_mine"),
        Ok(Handled::Malformed(reason)) => json!({"malformed": reason}),
        Err(error) => fault(&error),
    }
}

fn event((event, inline_hook): Made) -> Value {
    let Event { hook_event, account, payload, facets, internal_leg, .. } = event;
    let facets = facets.into_iter().map(|(key, value)| (key, Value::String(value)));
    json!({
        "hook_event": hook_event, "account_id": account, "payload": payload,
        "facets": facets.collect::<Object>(), "internal_leg": internal_leg,
        "inline_hook": inline_hook.and_then(|hook| serde_json::to_value(&*hook).ok()),
    })
}

/// An expected event with what may be left out written in, in the order in which answers have it.
fn with_defaults(event: Value, stage: &Stage) -> Result<Value, String> {
    let field = |name: &str, default: Value| event.get(name).cloned().unwrap_or(default);
    let inline_hook = match event.get("inline_hook") {
        Some(Value::Object(document)) => inline_hook(document, stage)?,
        _ => Value::Null,
    };
    Ok(json!({
        "hook_event": field("hook_event", Value::Null), "account_id": field("account_id", Value::Null),
        "payload": field("payload", Value::Null), "facets": field("facets", json!({})),
        "internal_leg": field("internal_leg", json!(false)), "inline_hook": inline_hook,
    }))
}

/// A hook that travels in an event is compared as the host understands it.
fn inline_hook(document: &Object, stage: &Stage) -> Result<Value, String> {
    let hook = Hook::inline(document, &stage.settings.firing).map_err(|problems| format!("inline_hook: {problems}"))?;
    serde_json::to_value(&hook).map_err(|error| error.to_string())
}

fn without_defaults(event: &Value) -> Value {
    let mut event = event.clone();
    if let Value::Object(fields) = &mut event {
        fields.retain(|name, value| match name.as_str() {
            "facets" => value.as_object().is_some_and(|facets| !facets.is_empty()),
            "internal_leg" => value == &json!(true),
            "inline_hook" => !value.is_null(),
            _ => true,
        });
    }
    event
}
