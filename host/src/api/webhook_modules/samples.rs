//! Messages to try a module out with: those that a built-in module is tested on, and the last ones that a module would have
//! been handed, for whoever may see those.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::test::Found;
use crate::{
    api::{
        Api, Shared,
        answer::Answer,
        auth::InAccount,
        described::{Problems, Success},
        messages::PostedMessage,
        problem::Problem,
    },
    message::{AccountId, Message},
    module::{built_in::SAMPLES, description::Binding},
};

/// The account whose messages the samples of the built-in modules are.
const SAMPLE_ACCOUNT: &str = "aaaabbbbccccddddeeeeffff00001111";

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A message to try a module out with.
#[derive(ToSchema)]
pub struct SampleMessage {
    /// What it is called, or `recent`, or `made up`.
    #[schema(example = "inbound")]
    pub name: String,
    /// For people.
    pub about: String,
    /// The message, as in a post of messages.
    pub message: PostedMessage,
}

/// List messages to try a module out with: samples, with the account in the place of the samples' own; then the last messages
/// on this node that it would have been handed, when the module is the account's own; and one that is made up from its bindings
/// when there is nothing else.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/messages", tag = "modules",
    params(("account_id" = String, Path, description = "Who tries"), ("module_name" = String, Path, description = "Which")),
    responses((status = 200, description = "Messages", body = Success<Vec<SampleMessage>>), Problems),
)]
async fn list(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let (bindings, is_own) = api.bindings_seen(&account, &name).await?;
    let mut messages: Vec<_> = SAMPLES
        .iter()
        .filter(|(module, ..)| *module == name)
        .filter_map(|(_, sample, text)| sample_shown(sample, &belonging(text, account.as_str())))
        .collect();
    if is_own {
        let recent = api.pipeline.recent.wanted_by(&account, &bindings, &api.accounts);
        messages.extend(recent.iter().map(|message| recent_shown(message)));
    }
    if messages.is_empty() {
        messages.extend(bindings.first().map(|binding| made_up(binding, &account)));
    }
    Ok(Answer::list(messages))
}

impl Api {
    /// What a module binds that the account may try out, and whether that is its own: an operator's, when it has none of
    /// that name and is offered none.
    async fn bindings_seen(&self, account: &AccountId, name: &str) -> Result<(Vec<Binding>, bool), Problem> {
        match Found::of(self, account, name).await? {
            Found::Registered(record) => {
                let newest = match &record.active {
                    Some(digest) => self.store.module_version(&record.account, &record.name, digest).await?,
                    None => self.store.module_versions(&record.account, &record.name).await?.into_iter().next(),
                };
                let bindings = newest.map(|version| version.bindings).unwrap_or_default();
                Ok((bindings, record.account == *account))
            }
            Found::Operators(module) => Ok((module.bindings.clone(), *account == self.master)),
        }
    }
}

/// The sample with an account in the place of its own: the id, and the names of the account's database, in which it is cut
/// in three (`account/aa/aa/bbbb…`, as it is or percent-encoded).
fn belonging(text: &str, account: &str) -> String {
    let cut = |id: &str, slash: &str| match (id.get(..2), id.get(2..4), id.get(4..)) {
        (Some(first), Some(second), Some(rest)) => [first, second, rest].join(slash),
        _ => id.to_owned(),
    };
    let text = text.replace(SAMPLE_ACCOUNT, account);
    let with = |text: String, slash: &str| text.replace(&cut(SAMPLE_ACCOUNT, slash), &cut(account, slash));
    with(with(text, "/"), "%2F")
}

fn sample_shown(name: &str, text: &str) -> Option<Value> {
    let mut sample: Value = serde_json::from_str(text).ok()?;
    let about = sample["about"].as_str().unwrap_or_default().to_owned();
    Some(json!({"name": name, "about": about, "message": sample["message"].take()}))
}

fn recent_shown(message: &Message) -> Value {
    let body: Value = serde_json::from_str(&message.body).unwrap_or_default();
    json!({
        "name": "recent",
        "about": format!("{} that came in", message.name),
        "message": {"exchange": message.exchange, "routing_key": message.routing_key, "body": body},
    })
}

fn made_up(binding: &Binding, account: &AccountId) -> Value {
    let name = binding.names.first().filter(|name| *name != "*").map_or("something", String::as_str);
    let key = binding.routing_keys.first().map_or("", String::as_str);
    json!({
        "name": "made up",
        "about": "The least that it would be handed; fill in the rest",
        "message": {
            "exchange": binding.exchange,
            "routing_key": key.replace(['#', '*'], "x"),
            "body": {"Event-Category": binding.category, "Event-Name": name, "Account-ID": account},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_made_the_accounts_wherever_it_names_one() {
        let text = r#"["aaaabbbbccccddddeeeeffff00001111", "account/aa/aa/bbbbccccddddeeeeffff00001111-202609", "account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111"]"#;
        let id = "99990000999900009999000099990000";
        let of = r#"["99990000999900009999000099990000", "account/99/99/0000999900009999000099990000-202609", "account%2F99%2F99%2F0000999900009999000099990000"]"#;
        assert_eq!(belonging(text, id), of);
        assert!(belonging(text, "me").contains("account/me-202609"));
    }

    #[test]
    fn every_built_in_module_has_samples_that_can_be_shown() {
        for (name, _) in crate::module::built_in::BUILT_IN {
            let of: Vec<_> = SAMPLES.iter().filter(|(module, ..)| module == name).collect();
            assert!(!of.is_empty(), "{name}");
            for (_, sample, text) in of {
                let shown = sample_shown(sample, text).expect("it is JSON");
                assert!(shown["message"]["body"].is_object(), "{name}/{sample}");
                assert!(!shown["about"].as_str().unwrap_or_default().is_empty(), "{name}/{sample}");
            }
        }
    }
}
