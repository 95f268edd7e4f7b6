//! A hook's fields as flags, and the document that they make: what `create` sends whole, and `edit` as changes.
//!
//! Only what was named is in the document: defaults and bounds are the host's, which knows its settings; the help tells of
//! them as they are unless an operator changed those. What is wrong with a value the host says, and [`FLAGS`] has it
//! named by its flag.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::rest::{Flags, Refusal};

/// How the fields of a hook, and of what is sent about hooks, are called on the command line.
pub(super) const FLAGS: Flags = &[
    ("name", "--name"),
    ("uri", "--uri"),
    ("hook", "--hook"),
    ("http_verb", "--verb"),
    ("format", "--format"),
    ("retries", "--retries"),
    ("custom_data", "--custom-data"),
    ("modifiers", "--modifier"),
    ("headers", "--header"),
    ("filter", "--filter"),
    ("include_subaccounts", "--include-subaccounts"),
    ("include_internal_legs", "--no-internal-legs"),
    ("secret", "--secret"),
    ("signature", "--signature"),
    ("timeout_ms", "--timeout-ms"),
    ("max_in_flight", "--max-in-flight"),
    ("rate_limit_per_s", "--rate-limit-per-s"),
    ("retry_schedule_s", "--retry-schedule"),
    ("group", "--group"),
    ("transform", "--transform"),
    ("enabled", "--disabled"),
    ("ids", "--id"),
    ("event", "--event"),
    ("sample", "--sample"),
    ("payload", "--payload"),
    ("hook_id", "--hook"),
    ("created_from", "--from"),
    ("created_to", "--to"),
    ("outcome", "--outcome"),
];

#[derive(Debug, Args)]
#[command(next_help_heading = "The hook")]
pub(super) struct Fields {
    /// What people call it. Every hook has one.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Where it is fired: http or https, at most 8192 bytes, no private address unless the host's
    /// firing.allow_addresses lists it. Every hook has one.
    #[arg(long)]
    uri: Option<String>,
    /// The event: channel_create, channel_answer, channel_bridge, channel_destroy, parking, sms, mms, notifications,
    /// object, that of a module of your own, or all. Every hook has one. `notifications` asks for --custom-data type=all, or
    /// one type such as inbound_fax; `object` for type=all or e.g. user, and action=all, doc_created, doc_edited or
    /// doc_deleted.
    #[arg(long, value_name = "EVENT")]
    hook: Option<String>,
    /// With what verb; default post.
    #[arg(long, ignore_case = true, value_parser = ["get", "post", "put"])]
    verb: Option<String>,
    /// How the body of post and put is written; default form-data.
    #[arg(long, ignore_case = true, value_parser = ["form-data", "json"])]
    format: Option<String>,
    /// Tries after the first, 0 to 4; default 2. The host's firing.retry_schedule_s says how far apart.
    #[arg(long, value_name = "NUMBER")]
    retries: Option<u64>,
    /// Pauses between tries, seconds: at most 20, of 0 to 86400 each. In the place of --retries.
    #[arg(long, value_name = "S,S,…", value_delimiter = ',')]
    retry_schedule: Option<Vec<u64>>,
    /// Deadline of one try, ms: 1 to the host's firing.request_timeout_ms_max (30000); default
    /// firing.request_timeout_ms (10000).
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Requests under way at once: 1 to the host's firing.max_in_flight_max (1000); default firing.max_in_flight
    /// (100).
    #[arg(long, value_name = "NUMBER")]
    max_in_flight: Option<u64>,
    /// Requests begun in one second: 1 to the host's firing.rate_limit_per_s_max (10000); default any number.
    #[arg(long, value_name = "NUMBER")]
    rate_limit_per_s: Option<u64>,
    /// A text that is merged into the payload, and chooses among the events of a module (type, action). Once a text.
    #[arg(long, value_name = "KEY=TEXT", value_parser = pair)]
    custom_data: Vec<(String, String)>,
    /// An extra request header; the value is never shown again. Once a header; the host takes firing.headers_max (20),
    /// firing.headers_bytes_max (4096) together.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A condition on the payload: a JSON pointer, one of eq, ne, in, prefix, exists, lt, gt, and a value (JSON when it
    /// reads as such, else text). Once a condition, at most 100; all must hold.
    #[arg(long, value_name = "POINTER OP VALUE", value_parser = condition)]
    filter: Vec<Value>,
    /// KAZOO's condition on a top-level key of the payload: a value, or a JSON list of values. Once a key.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    modifier: Vec<(String, String)>,
    /// Events of the accounts below fire it too; by default they do not.
    #[arg(long, value_name = "TRUE|FALSE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    include_subaccounts: Option<bool>,
    /// Legs inside the platform do not fire it; by default they do.
    #[arg(long)]
    no_internal_legs: bool,
    /// How requests are signed; default hmac.
    #[arg(long, ignore_case = true, value_parser = ["hmac", "ed25519"])]
    signature: Option<String>,
    /// What requests are signed with: whsec_ and the base64 of 24 to 64 random bytes; by default the host makes one.
    /// Other users of this machine can see a command line: better leave it out, or in a file.
    #[arg(long, value_name = "WHSEC")]
    secret: Option<String>,
    /// What may rewrite or drop its firings: the name of a transform, of the account or offered by one above it. A version
    /// behind it (1.2.0, or a digest) is kept to; by default it is the active one, whichever that is.
    #[arg(long, value_name = "NAME[@VERSION]")]
    transform: Option<String>,
    /// A setting for the transform, over those that it was registered with. Once a setting; the host takes firing.transform_settings_max (50), firing.transform_settings_bytes_max (4096) together.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "transform")]
    transform_setting: Vec<(String, String)>,
    /// Shown in lists; for you.
    #[arg(long, value_name = "TEXT")]
    group: Option<String>,
    /// It does not fire; by default it does. Later, `hooks enable` and `hooks disable`.
    #[arg(long)]
    disabled: bool,
    /// The hook as a JSON object, as `hooks show --json` prints it; `-` for standard input. Flags beside it count more.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

impl Fields {
    /// The document of what was named.
    pub(super) fn document(&self) -> Result<Map<String, Value>, Refusal> {
        let mut document = match &self.from_file {
            Some(file) => object_of_file(file)?,
            None => Map::new(),
        };
        let named = [
            ("name", self.name.as_ref().map(|text| json!(text))),
            ("uri", self.uri.as_ref().map(|text| json!(text))),
            ("hook", self.hook.as_ref().map(|text| json!(text))),
            ("http_verb", self.verb.as_ref().map(|text| json!(text))),
            ("format", self.format.as_ref().map(|text| json!(text))),
            ("retries", self.retries.map(|number| json!(number))),
            ("retry_schedule_s", self.retry_schedule.as_ref().map(|pauses| json!(pauses))),
            ("timeout_ms", self.timeout_ms.map(|number| json!(number))),
            ("max_in_flight", self.max_in_flight.map(|number| json!(number))),
            ("rate_limit_per_s", self.rate_limit_per_s.map(|number| json!(number))),
            ("custom_data", object(&self.custom_data, |text| json!(text))),
            ("headers", object(&self.header, |text| json!(text))),
            ("filter", (!self.filter.is_empty()).then(|| json!(self.filter))),
            ("modifiers", object(&self.modifier, json_or_text)),
            ("include_subaccounts", self.include_subaccounts.map(|is_so| json!(is_so))),
            ("include_internal_legs", self.no_internal_legs.then(|| json!(false))),
            ("signature", self.signature.as_ref().map(|text| json!(text))),
            ("secret", self.secret.as_ref().map(|text| json!(text))),
            ("group", self.group.as_ref().map(|text| json!(text))),
            ("transform", self.transform.as_ref().map(|named| self.transform(named))),
            ("enabled", self.disabled.then(|| json!(false))),
        ];
        document.extend(named.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
        Ok(document)
    }

    fn transform(&self, named: &str) -> Value {
        let (module, version) = match named.split_once('@') {
            Some((module, version)) => (module, Some(version)),
            None => (named, None),
        };
        let mut transform = Map::new();
        transform.insert("module".to_owned(), json!(module));
        transform.extend(version.map(|version| ("version".to_owned(), json!(version))));
        transform
            .extend(object(&self.transform_setting, |text| json!(text)).map(|pairs| ("settings".to_owned(), pairs)));
        Value::Object(transform)
    }
}

/// The field that is meant by its own name, or by that of its flag.
pub(super) fn field(named: &str) -> &str {
    let bare = named.trim_start_matches('-');
    let found = FLAGS.iter().find(|(_, flag)| flag.trim_start_matches('-') == bare);
    found.map_or(named, |(field, _)| field)
}

/// The JSON object in a file, or on standard input.
pub(super) fn object_of_file(file: &Path) -> Result<Map<String, Value>, Refusal> {
    let name = file.display();
    let text = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| Refusal::Unable(format!("{name}: cannot be read ({error})")))?;
    serde_json::from_str(&text).map_err(|error| Refusal::Unable(format!("{name}: is no JSON object ({error})")))
}

fn object(pairs: &[(String, String)], value: impl Fn(&str) -> Value) -> Option<Value> {
    (!pairs.is_empty()).then(|| pairs.iter().map(|(key, text)| (key.clone(), value(text))).collect())
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a key, = and its value".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write a name, : and the value".to_owned()),
    }
}

/// A condition from a pointer, an operator and the rest, which is the value. `prefix` compares texts, so its value is one
/// even when it reads as a number.
fn condition(text: &str) -> Result<Value, String> {
    let how = "write a JSON pointer, an operator and a value, e.g. '/caller_id_number prefix +1312'";
    let (pointer, rest) = text.trim().split_once(char::is_whitespace).ok_or(how)?;
    let (op, value) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim_start(), ""));
    let mut condition = json!({"pointer": pointer, "op": op});
    match (value.trim_start(), op) {
        ("", "exists") => {}
        ("", _) => return Err(how.to_owned()),
        (value, "prefix") => {
            let quoted = serde_json::from_str::<String>(value);
            condition["value"] = json!(quoted.unwrap_or_else(|_| value.to_owned()));
        }
        (value, _) => condition["value"] = json_or_text(value),
    }
    Ok(condition)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fields: Fields,
    }

    fn document(arguments: &[&str]) -> Value {
        let line = Line::try_parse_from([&["hookbox"], arguments].concat()).unwrap();
        Value::Object(line.fields.document().unwrap())
    }

    #[test]
    fn only_what_is_named_is_in_the_document() {
        assert_eq!(document(&[]), json!({}));
        assert_eq!(
            document(&[
                "--name",
                "n",
                "--verb",
                "PUT",
                "--retry-schedule",
                "2,10,60",
                "--include-subaccounts",
                "--disabled"
            ]),
            json!({"name": "n", "http_verb": "PUT", "retry_schedule_s": [2, 10, 60], "include_subaccounts": true, "enabled": false})
        );
        assert_eq!(document(&["--include-subaccounts=false"]), json!({"include_subaccounts": false}));
    }

    #[test]
    fn pairs_are_gathered() {
        assert_eq!(
            document(&[
                "--custom-data",
                "a=1=2",
                "--custom-data",
                "b=",
                "--header",
                "X-Key: a:b",
                "--modifier",
                "k=[1]"
            ]),
            json!({"custom_data": {"a": "1=2", "b": ""}, "headers": {"X-Key": "a:b"}, "modifiers": {"k": [1]}})
        );
        for bad in ["", "a", "=1"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_transform_is_named_with_its_version_and_settings() {
        assert_eq!(document(&["--transform", "to_crm"]), json!({"transform": {"module": "to_crm"}}));
        assert_eq!(
            document(&[
                "--transform",
                "to_crm@1.2.0",
                "--transform-setting",
                "team=north",
                "--transform-setting",
                "a=1=2"
            ]),
            json!({"transform": {"module": "to_crm", "version": "1.2.0", "settings": {"team": "north", "a": "1=2"}}})
        );
        assert!(Line::try_parse_from(["hookbox", "--transform-setting", "team=north"]).is_err());
    }

    #[test]
    fn values_of_conditions_are_json_when_they_read_as_such() {
        let check = |text: &str, value: Value| {
            let op = text.split_whitespace().nth(1);
            assert_eq!(condition(text), Ok(json!({"pointer": "/a", "op": op, "value": value})), "{text}");
        };
        check("/a eq 5", json!(5));
        check("/a eq  two words", json!("two words"));
        check("/a in [\"x\", 1]", json!(["x", 1]));
        check("/a prefix 1312", json!("1312"));
        check("/a prefix \"1 2\"", json!("1 2"));
        check("/a prefix +1312", json!("+1312"));
        assert_eq!(condition("/a exists"), Ok(json!({"pointer": "/a", "op": "exists"})));
        for bad in ["", "/a", "/a eq", "/a lt  "] {
            assert!(condition(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_is_known_by_its_flag_too() {
        assert_eq!(
            ["retry-schedule", "--header", "custom_data", "own"].map(field),
            ["retry_schedule_s", "headers", "custom_data", "own"]
        );
    }
}
