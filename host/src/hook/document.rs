//! From a hook's document to a [`Hook`]: KAZOO's schema `webhooks` with the fields that Hookbox adds.
//!
//! One reader for all comers; [`Origin`] says how strict it is. Text that reads as a number or as a truth value is
//! converted, as KAZOO does; null is as if absent. All problems of a document are reported together.
//!
//! Not judged here, because it needs to know what modules there are: whether `hook` is the name of a known event, whether
//! `custom_data` has what the event's modifiers ask for, and whether there is such a transform.

mod reader;

use std::collections::BTreeMap;

use semver::Version;
use serde_json::{Value, json};
use url::Url;

use self::reader::{Reader, type_problem};
use super::{
    ACTIVE_VERSION, Condition, Format, Hook, HookProblem, HookProblems, HookRecord, Operator, RareFields,
    SignatureKind, TransformUse, Verb, headers, problems::path,
};
use crate::{
    firing::address_policy,
    message::{AccountId, HookId, Object},
    settings::FiringSettings,
};

/// The longest URI, bytes.
pub const URI_BYTES_MAX: usize = 8192;
/// The most conditions of a `filter`, values of one `in`, and pauses of a `retry_schedule_s`.
pub const LIST_LENGTH_MAX: usize = 100;
/// The most tries after the first that `retries` can ask for (KAZOO's schema).
pub const RETRIES_MAX: u64 = 4;
/// `retries` of a document without it (KAZOO's schema).
pub const RETRIES_DEFAULT: u64 = 2;

const RETRY_PAUSES_MAX: usize = 20;
const RETRY_PAUSE_S_MAX: u64 = 86_400;

/// Who wrote the document, which says how strictly it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A caller of the REST interface: everything is checked.
    Api,
    /// KAZOO: a document of its database, or a hook in a message. Numbers out of range are moved to the bound, a name
    /// is not asked for, and `custom_data` may hold any JSON.
    Kazoo,
    /// Our own store: checked when it was saved. As `Kazoo`, and literal addresses are left to the client, which
    /// records a refusal as an attempt; so a hook is not lost when the operator lowers a ceiling or closes a network.
    Store,
}

/// What a caller's document gives: what to store, apart from the secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The public fields, defaults filled in, numbers and truth values converted, without `secret`.
    pub document: Object,
    /// The secret that the document named, checked.
    pub secret: Option<String>,
}

/// Checks the public fields of a document and fills in the defaults, as KAZOO does on create and edit.
pub fn complete(document: &Object, origin: Origin, settings: &FiringSettings) -> Result<Completed, HookProblems> {
    let mut reader = Reader::new(document, origin, settings);
    let fields = reader.fields();
    let secret = reader.text("secret").map(str::to_owned);
    if let Some(Err(problem)) = secret.as_deref().map(crate::firing::signature::Secret::parse) {
        reader.problem(HookProblem::new("secret", "wrong_format", problem.to_string()));
    }
    let problems = reader.finish();
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let mut document: Object = document.clone();
    document.retain(|name, value| !value.is_null() && name != "secret");
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    set("hook", json!(fields.event));
    set("http_verb", json!(fields.verb));
    set("format", json!(fields.format));
    set("retries", json!(fields.retries));
    set("enabled", json!(fields.enabled));
    set("include_internal_legs", json!(fields.include_internal_legs));
    if document.contains_key("include_subaccounts") {
        document.insert("include_subaccounts".to_owned(), json!(fields.include_subaccounts));
    }
    for (name, number) in [
        ("timeout_ms", fields.rare.timeout_ms),
        ("max_in_flight", fields.rare.max_in_flight),
        ("rate_limit_per_s", fields.rare.rate_limit_per_s),
    ] {
        if let Some(number) = number {
            document.insert(name.to_owned(), json!(number));
        }
    }
    if let Some(transform) = fields.rare.transform {
        document.insert("transform".to_owned(), json!(transform));
    }
    Ok(Completed { document, secret })
}

impl Hook {
    /// The hook of a stored record. Read leniently ([`Origin::Store`]); a record that [`complete`] made always reads.
    pub fn from_record(record: &HookRecord, settings: &FiringSettings) -> Result<Self, HookProblems> {
        let mut reader = Reader::new(&record.document, Origin::Store, settings);
        let fields = reader.fields();
        reader.done(fields, record.id.clone(), record.account.clone()).map(|mut hook| {
            hook.secrets = record.secrets.clone().into();
            hook
        })
    }

    /// The hook that travelled in a message (KAZOO's callflow notification): its document with `_id` and
    /// `pvt_account_id`. It has no secret, so its requests go unsigned.
    pub fn inline(document: &Object, settings: &FiringSettings) -> Result<Self, HookProblems> {
        let mut reader = Reader::new(document, Origin::Kazoo, settings);
        let fields = reader.fields();
        let id = HookId::from(reader.required("_id"));
        let account = reader.required("pvt_account_id");
        if !account.is_empty() && !AccountId::is_valid(account) {
            let message = "is not the id of an account; use 1 to 64 of a-z 0-9 _ -";
            reader.problem(HookProblem::new("pvt_account_id", "wrong_format", message));
        }
        reader.done(fields, id, AccountId::from(account))
    }
}

/// The fields of a document, checked.
struct Fields {
    event: String,
    uri: String,
    verb: Verb,
    format: Format,
    retries: u8,
    enabled: bool,
    include_internal_legs: bool,
    include_subaccounts: bool,
    rare: RareFields,
}

impl Reader<'_> {
    fn fields(&mut self) -> Fields {
        if self.origin == Origin::Api {
            self.required("name");
        }
        let uri = self.required("uri").to_owned();
        self.judge_uri(&uri);
        let event = self.required("hook").to_ascii_lowercase();
        let verb = match self.word("http_verb", &["get", "post", "put"]) {
            Some("get") => Verb::Get,
            Some("put") => Verb::Put,
            _ => Verb::Post,
        };
        let format = match self.word("format", &["form-data", "json"]) {
            Some("json") => Format::Json,
            _ => Format::FormData,
        };
        let retries = self.integer("retries", 0..=RETRIES_MAX).unwrap_or(RETRIES_DEFAULT);
        Fields {
            event,
            uri,
            verb,
            format,
            retries: u8::try_from(retries).unwrap_or(u8::MAX),
            enabled: self.boolean("enabled").unwrap_or(true),
            include_internal_legs: self.boolean("include_internal_legs").unwrap_or(true),
            include_subaccounts: self.boolean("include_subaccounts").unwrap_or(false),
            rare: self.rare_fields(),
        }
    }

    fn rare_fields(&mut self) -> RareFields {
        let custom_data = self.object("custom_data");
        if self.origin == Origin::Api {
            let wrong = |(name, value): (&String, &Value)| {
                (!value.is_string() && !value.is_null())
                    .then(|| type_problem(path(&["custom_data", name]), "string", value))
            };
            self.problems.extend(custom_data.iter().flat_map(|data| data.iter()).filter_map(wrong));
        }
        let settings = self.settings;
        let headers = self.object("headers").map_or_else(Vec::new, |names| {
            headers::read(names, settings.headers_max, settings.headers_bytes_max, &mut self.problems)
        });
        let signature = match self.word("signature", &["hmac", "ed25519"]) {
            Some("ed25519") => SignatureKind::Ed25519,
            _ => SignatureKind::Hmac,
        };
        RareFields {
            custom_data: custom_data.cloned().unwrap_or_default(),
            modifiers: self.object("modifiers").cloned().unwrap_or_default(),
            headers,
            retry_schedule_s: self.retry_schedule(),
            timeout_ms: self.small_integer("timeout_ms", settings.request_timeout_ms_max),
            max_in_flight: self.small_integer("max_in_flight", settings.max_in_flight_max),
            rate_limit_per_s: self.small_integer("rate_limit_per_s", settings.rate_limit_per_s_max),
            signature,
            filter: self.filter(),
            transform: self.transform(),
        }
    }

    fn done(&mut self, fields: Fields, id: HookId, account: AccountId) -> Result<Hook, HookProblems> {
        let problems = self.finish();
        if !problems.0.is_empty() {
            return Err(problems);
        }
        let rare = (fields.rare != RareFields::default()).then(|| Box::new(fields.rare));
        Ok(Hook {
            id,
            account,
            event: fields.event.into(),
            uri: fields.uri.into(),
            verb: fields.verb,
            format: fields.format,
            retries: fields.retries,
            enabled: fields.enabled,
            include_internal_legs: fields.include_internal_legs,
            include_subaccounts: fields.include_subaccounts,
            rare,
            secrets: Box::default(),
        })
    }

    fn retry_schedule(&mut self) -> Option<Vec<u32>> {
        let pauses = self.list("retry_schedule_s", RETRY_PAUSES_MAX)?;
        let read = pauses.iter().enumerate().filter_map(|(index, pause)| {
            let field = path(&["retry_schedule_s", &index.to_string()]);
            self.bounded(field, pause, 0..=RETRY_PAUSE_S_MAX).and_then(|pause| u32::try_from(pause).ok())
        });
        Some(read.collect())
    }

    fn filter(&mut self) -> Vec<Condition> {
        let conditions = self.list("filter", LIST_LENGTH_MAX).unwrap_or_default();
        let read = conditions.iter().enumerate().filter_map(|(index, value)| {
            let field = path(&["filter", &index.to_string()]);
            match serde_json::from_value::<Condition>(value.clone()) {
                Err(error) => {
                    let message = format!(
                        "is not a condition ({error}); write {{\"pointer\": \"/caller_id_number\", \"op\": \"eq\", \"value\": …}}"
                    );
                    self.problem(HookProblem::new(field, "wrong_format", message));
                    None
                }
                Ok(condition) => match fault_of(&condition) {
                    Some((part, message)) => {
                        self.problem(HookProblem::new(format!("{field}.{part}"), "wrong_format", message));
                        None
                    }
                    None => Some(condition),
                },
            }
        });
        read.collect()
    }

    fn transform(&mut self) -> Option<Box<TransformUse>> {
        let value = self.value("transform")?;
        let Some(fields) = value.as_object() else {
            self.problem(type_problem("transform".to_owned(), "object", value));
            return None;
        };
        let mut reader = Reader::new(fields, self.origin, self.settings);
        let module = reader.required("module").to_owned();
        if !module.is_empty() && !is_name(&module) {
            let message = "is not the name of a transform; use 1 to 64 of a-z 0-9 _";
            reader.problem(HookProblem::new("module", "wrong_format", message));
        }
        let version = reader.text("version").unwrap_or(ACTIVE_VERSION).to_owned();
        if version != ACTIVE_VERSION && !is_digest(&version) && Version::parse(&version).is_err() {
            let message =
                "is no version; use `active`, a semantic version such as 1.2.0, or the 64 hex digits of a digest";
            reader.problem(HookProblem::new("version", "wrong_format", message).with("value", version.as_str()));
        }
        let settings = reader.transform_settings();
        let within = |mut problem: HookProblem| {
            problem.field = format!("transform.{}", problem.field);
            problem
        };
        self.problems.extend(reader.problems.into_iter().map(within));
        Some(Box::new(TransformUse { module, version, settings }))
    }

    /// Texts, and anything else as the JSON text that the component gets.
    fn transform_settings(&mut self) -> BTreeMap<String, String> {
        let pairs = self.object("settings").into_iter().flatten().filter(|(_, value)| !value.is_null());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let settings: BTreeMap<_, _> = pairs.map(|(key, value)| (key.clone(), text(value))).collect();
        let (count_max, bytes_max) = (self.settings.transform_settings_max, self.settings.transform_settings_bytes_max);
        let count = settings.len() as u64;
        let bytes: u64 = settings.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        // What was within its bounds when it was saved stays.
        if self.origin != Origin::Store && count > count_max {
            let message = format!("{count} settings; use at most {count_max}");
            self.problem(HookProblem::new("settings", "maxItems", message).with("target", count_max));
        }
        if self.origin != Origin::Store && bytes > bytes_max {
            let message = format!("{bytes} bytes of keys and values; use at most {bytes_max}");
            self.problem(HookProblem::new("settings", "maxSize", message).with("target", bytes_max));
        }
        settings
    }

    /// KAZOO's address check: a URI with `http` or `https` whose host is not an address that may not be dialled.
    fn judge_uri(&mut self, uri: &str) {
        if uri.is_empty() {
            return;
        }
        if uri.len() > URI_BYTES_MAX {
            let message = format!("String must not be more than {URI_BYTES_MAX} bytes");
            self.problem(HookProblem::new("uri", "maxLength", message).with("target", URI_BYTES_MAX));
            return;
        }
        let refusal = match Url::parse(uri) {
            Err(error) => {
                let message = "Field is not in the correct format";
                let problem = HookProblem::new("uri", "wrong_format", message).with("value", uri).with("format", "uri");
                return self.problem(problem.with("cause", error.to_string()));
            }
            Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
                Some("the scheme must be http or https".to_owned())
            }
            Ok(_) if self.origin == Origin::Store => None,
            Ok(parsed) => address_policy::judge_literal(&parsed, &self.settings.allow_addresses)
                .err()
                .map(|refused| refused.to_string()),
        };
        if let Some(cause) = refusal {
            self.problem(
                HookProblem::new("uri", "error", "invalid client URL").with("value", uri).with("cause", cause),
            );
        }
    }
}

/// Whether the text can be the name of a module or a transform.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether the text can be the digest of a component.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9'))
}

/// What is wrong with a condition: which part, and what to do.
fn fault_of(condition: &Condition) -> Option<(&'static str, String)> {
    if !condition.pointer.starts_with('/') {
        return Some(("pointer", "is no JSON pointer; begin it with /".to_owned()));
    }
    let value = &condition.value;
    match condition.op {
        Operator::In => match value.as_array() {
            None => Some(("value", "`in` compares with a list; write one".to_owned())),
            Some(list) if list.len() > LIST_LENGTH_MAX => {
                Some(("value", format!("{} entries; use at most {LIST_LENGTH_MAX}", list.len())))
            }
            Some(_) => None,
        },
        Operator::Prefix => {
            (!value.is_string()).then(|| ("value", "`prefix` compares with a text; write one".to_owned()))
        }
        Operator::Exists => (!value.is_boolean() && !value.is_null())
            .then(|| ("value", "`exists` takes true, false or no value".to_owned())),
        Operator::Lt | Operator::Gt => (!value.is_number() && !value.is_string())
            .then(|| ("value", "`lt` and `gt` compare with a number or a text; write one".to_owned())),
        Operator::Eq | Operator::Ne => None,
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
