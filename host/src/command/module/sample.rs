//! Messages in files: samples, with what is expected of them, and bare ones.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::{LOADED_AT_MS, Stage};
use crate::{
    account::{Account, AccountTree},
    hook::Hook,
    ingress::decode::{Decoder, Incoming},
    message::{Message, Object, Source},
    module::guest::Surroundings,
};

/// A message, what stands around the module meanwhile, and what is expected of it.
pub(super) struct Sample {
    /// Its file's name, and its place in the file when that holds several.
    pub(super) name: String,
    /// What is handed in.
    pub(super) message: Message,
    /// Settings and accounts that the module finds when it asks.
    pub(super) surroundings: Surroundings,
    /// In the form of [`super::stage::Played::answer`]; `None` for a bare message.
    pub(super) expected: Option<Value>,
}

/// A file of `samples/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    accounts: Accounts,
    message: Bare,
    events: Option<Vec<Value>>,
    error: Option<Value>,
}

/// A message as `hookbox publish` takes it, and whose it is.
#[derive(Deserialize)]
struct Bare {
    exchange: String,
    routing_key: String,
    body: Value,
    message_id: Option<String>,
    account_id: Option<String>,
}

/// What the `accounts` import is to answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accounts {
    /// Account → its nearest reseller.
    resellers: BTreeMap<String, String>,
    /// Account → those above it, from the root down.
    ancestors: BTreeMap<String, Vec<String>>,
    /// Phone number → the account that it is assigned to.
    numbers: BTreeMap<String, String>,
}

/// The samples of a folder (`*.json`), by name.
pub(super) fn in_folder(folder: &Path, stage: &Stage) -> Result<Vec<(PathBuf, Sample)>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let of = |path: PathBuf| {
        let value = parsed(&path)?;
        let sample =
            of_file(file_name(&path), value, stage).map_err(|reason| format!("{}: {reason}", path.display()))?;
        Ok((path, sample))
    };
    files.into_iter().map(of).collect()
}

/// The messages of one file: a sample, a message, an array of messages, or a message a line.
pub(super) fn in_file(path: &Path, stage: &Stage, given: &BTreeMap<String, String>) -> Result<Vec<Sample>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let values = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(values)) => values,
        Ok(value) => vec![value],
        Err(_) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let values: Result<_, _> = lines.map(serde_json::from_str).collect();
            values.map_err(|error| wrong(format!("it is neither JSON nor JSON lines: {error}")))?
        }
    };
    let several = values.len() > 1;
    let named = |at: usize| match several {
        true => format!("{}[{at}]", file_name(path)),
        false => file_name(path),
    };
    let of = |(at, value): (usize, Value)| {
        let mut sample = match value.get("message") {
            Some(_) => of_file(named(at), value, stage),
            None => bare(named(at), value, stage),
        }
        .map_err(wrong)?;
        if !given.is_empty() {
            let settings = sample.surroundings.settings.iter().chain(given);
            sample.surroundings.settings =
                Arc::new(settings.map(|(key, value)| (key.clone(), value.clone())).collect());
        }
        Ok(sample)
    };
    values.into_iter().enumerate().map(of).collect()
}

/// Writes down what the module answers as what is expected, and leaves the rest of the file as it is.
pub(super) fn accept(path: &Path, answer: &Value) -> Result<(), String> {
    let mut file = match parsed(path)? {
        Value::Object(file) => file,
        _ => return Err(format!("{}: it is not a JSON object", path.display())),
    };
    file.shift_remove("events");
    file.shift_remove("error");
    match answer {
        Value::Array(events) => {
            let events: Vec<_> = events.iter().map(without_defaults).collect();
            file.insert("events".into(), events.into());
        }
        error => drop(file.insert("error".into(), error.clone())),
    }
    let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

fn of_file(name: String, value: Value, stage: &Stage) -> Result<Sample, String> {
    let file: File = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let expected = match (file.events, file.error) {
        (Some(events), None) => {
            Some(events.into_iter().map(|event| with_defaults(event, stage)).collect::<Result<Value, _>>()?)
        }
        (None, error) => error,
        (Some(_), Some(_)) => return Err("give either events or error".into()),
    };
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let settings = file.settings.into_iter().map(|(key, value)| (key, text(value))).collect();
    let accounts = file.accounts.tree();
    let message = message(file.message, stage, &accounts)?;
    let surroundings = Surroundings { accounts: Arc::new(accounts), within: None, settings: Arc::new(settings) };
    Ok(Sample { name, message, surroundings, expected })
}

/// A message without a sample around it: its account is found as the host finds it, and is known.
fn bare(name: String, value: Value, stage: &Stage) -> Result<Sample, String> {
    let mut bare: Bare = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let found = || decoder(stage).stranger(&bare.body.to_string()).map(|account| account.to_string());
    bare.account_id = bare.account_id.clone().or_else(found);
    let accounts = AccountTree::default();
    let message = message(bare, stage, &accounts)?;
    let surroundings = Surroundings { accounts: Arc::new(accounts), within: None, settings: Arc::default() };
    Ok(Sample { name, message, surroundings, expected: None })
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
    };
    let mut message = decoder(stage).decode(&incoming, accounts, LOADED_AT_MS).map_err(|error| error.to_string())?;
    message.account = bare.account_id.map(Into::into);
    if let Some(account) = message.account.clone().filter(|account| !accounts.contains(account)) {
        accounts.replace(Account { id: account, name: String::new(), tree: Vec::new(), reseller: None });
    }
    Ok(message)
}

fn decoder(stage: &Stage) -> Decoder {
    Decoder {
        body_bytes_max: usize::try_from(stage.settings.ingress.body_bytes_max).unwrap_or(usize::MAX),
        account_pointers: stage.settings.amqp.account_pointers.clone(),
        send_passwords: stage.settings.kazoo.send_passwords,
    }
}

impl Accounts {
    fn tree(self) -> AccountTree {
        let ids = self.resellers.keys().chain(self.ancestors.keys());
        let account = |id: &String| Account {
            id: id.as_str().into(),
            name: String::new(),
            tree: self.ancestors.get(id).into_iter().flatten().map(|above| above.as_str().into()).collect(),
            reseller: self.resellers.get(id).map(|reseller| reseller.as_str().into()),
        };
        let accounts = ids.map(account).collect();
        AccountTree::new(accounts, self.numbers.into_iter().map(|(number, id)| (number, id.into())).collect())
    }
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

fn parsed(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
