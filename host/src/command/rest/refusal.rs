//! Why a call was not done, in words for who made it: what, where, and what to do.

use std::process::ExitCode;

use reqwest::StatusCode;
use serde_json::Value;

use crate::command::COULD_NOT_BEGIN;

/// How the fields of what is sent are called on the command line: the field (up to its first dot) and the flag.
pub(in crate::command) type Flags = &'static [(&'static str, &'static str)];

/// Why a call was not done.
#[derive(Debug)]
pub(in crate::command) enum Refusal {
    /// Nobody says who asks.
    NoKey,
    /// Nobody answers.
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        cause: String,
    },
    /// Somebody was asked and no answer came: it may have been done or not.
    Unanswered {
        /// Where.
        url: String,
        /// Why.
        cause: String,
    },
    /// Somebody answers, but no Hookbox.
    NoHost {
        /// Where.
        url: String,
        /// With what.
        status: StatusCode,
    },
    /// The host said no.
    Refused {
        /// With what.
        status: StatusCode,
        /// To what call.
        path: String,
        /// The envelope's data: what is wrong.
        data: Value,
    },
    /// It cannot be begun as it was asked; what to do is in the words.
    Unable(String),
    /// It was begun, and not all of it was done; the words say what was not.
    NotAll(String),
}

impl Refusal {
    /// The exit code that goes with it: 1 when the host was asked and said no, or nothing; 2 when it was never asked.
    fn code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Unanswered { .. } | Self::NotAll(_) => 1,
            Self::NoKey | Self::Unreachable { .. } | Self::NoHost { .. } | Self::Unable(_) => COULD_NOT_BEGIN,
        }
    }

    /// Says it on stderr; the exit code.
    #[expect(clippy::print_stderr, reason = "this is where commands say why they were not done")]
    pub(super) fn said(&self, flags: Flags) -> ExitCode {
        for line in self.lines(flags) {
            eprintln!("hookbox: {line}");
        }
        ExitCode::from(self.code())
    }

    /// What the host has against one thing (there is none, its state forbids it, it fails again), so that others may be
    /// tried; `None` for what is in the way of all.
    pub(in crate::command) fn against_one(&self) -> Option<String> {
        match self {
            Self::Refused { status, path, data }
                if [StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY].contains(status) =>
            {
                Some(refused(*status, path, data, &[]).join("; "))
            }
            _ => None,
        }
    }

    fn lines(&self, flags: Flags) -> Vec<String> {
        match self {
            Self::NoKey => vec!["a key is needed: HOOKBOX_CLI_TOKEN in the environment, or --token".to_owned()],
            Self::Unreachable { url, cause } => {
                let what_to_do = "start it with `hookbox serve`, or say where it is with --url or HOOKBOX_CLI_URL";
                vec![format!("no host answers at {url}; {what_to_do} ({cause})")]
            }
            Self::Unanswered { url, cause } => {
                let what_to_do = "what was asked may have been done: look before you ask again";
                vec![format!("{url}: the host was asked, and its answer did not come; {what_to_do} ({cause})")]
            }
            Self::NoHost { url, status } => {
                vec![format!("{url}: what answers there is no Hookbox ({status}); say where it is with --url")]
            }
            Self::Refused { status, path, data } => refused(*status, path, data, flags),
            Self::Unable(words) | Self::NotAll(words) => vec![words.clone()],
        }
    }
}

fn refused(status: StatusCode, path: &str, data: &Value, flags: Flags) -> Vec<String> {
    // What is asked with may be in a query, and is nobody's business.
    let path = path.split('?').next().unwrap_or_default();
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
            let lines = invalid(data, flags);
            if lines.is_empty() { vec![format!("the host refused {path} ({status}): {data}")] } else { lines }
        }
        StatusCode::UNAUTHORIZED => vec![
            "the host does not know the key (401): it is mistyped or revoked; set HOOKBOX_CLI_TOKEN, or --token, to a key \
             that counts"
                .to_owned(),
        ],
        StatusCode::FORBIDDEN if is_operators(path) => {
            vec![format!("{path} is the operator's alone (403): use a key of the master account")]
        }
        StatusCode::FORBIDDEN if data["message"].as_str().is_some_and(|message| message != "forbidden") => {
            vec![format!("{} (403)", data["message"].as_str().unwrap_or_default())]
        }
        StatusCode::FORBIDDEN => vec![format!(
            "the key does not open {path} (403); it opens its own account and those below it: use a key of that account, or \
             of one above it"
        )],
        StatusCode::NOT_FOUND => {
            let id = data["cause"].as_str().or_else(|| data[0].as_str());
            vec![match (id, data["message"].as_str()) {
                (Some(id), _) => format!("there is no {id} at {path} (404); check the id, and --account"),
                (None, Some(message)) => format!("{path}: {message} (404)"),
                (None, None) => format!("{path}: there is nothing (404)"),
            }]
        }
        _ => match data["message"].as_str() {
            Some(message) if data["step"].is_string() => {
                vec![format!("the check refuses it at its step {}: {message} ({})", data["step"], status.as_u16())]
            }
            Some(message) => vec![format!("{message} ({})", status.as_u16())],
            None => vec![format!("the host refused {path} ({status})")],
        },
    }
}

/// Whether no key but the master account's opens it.
fn is_operators(path: &str) -> bool {
    let is_of_system = ["/v2/system_configs/", "/v2/dead_letters"].iter().any(|start| path.starts_with(start));
    is_of_system || path.ends_with("/move") || path.ends_with("/reseller")
}

/// One line a field that is wrong.
fn invalid(data: &Value, flags: Flags) -> Vec<String> {
    let fields = data.as_object().into_iter().flatten();
    let problems = fields.flat_map(|(field, codes)| {
        codes.as_object().into_iter().flatten().filter_map(move |(_, problem)| {
            let message = problem["message"].as_str()?;
            Some(format!("{}: {message}{}", called(field, flags), details(problem)))
        })
    });
    problems.collect()
}

/// How a field is called on the command line; by its own name when no flag says it.
fn called(field: &str, flags: Flags) -> String {
    let (first, rest) = field.split_once('.').unwrap_or((field, ""));
    let Some((_, flag)) = flags.iter().find(|(name, _)| *name == first) else { return field.to_owned() };
    let rest = rest.replace("%2E", ".");
    if rest.is_empty() { (*flag).to_owned() } else { format!("{flag} {rest}") }
}

/// What stands beside a message, as far as the message does not say it already.
fn details(problem: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let target = problem["target"].as_array().map(|words| words.iter().map(text).collect::<Vec<_>>().join(", "));
    let given = problem.get("cause").or_else(|| problem.get("value")).map(text);
    match (given, target.filter(|words| !words.is_empty())) {
        (Some(given), Some(words)) => format!(" ({given}; use one of {words})"),
        (Some(given), None) => format!(" ({given})"),
        (None, Some(words)) => format!(" (use one of {words})"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FLAGS: Flags = &[("uri", "--uri"), ("custom_data", "--custom-data"), ("http_verb", "--verb")];

    #[test]
    fn each_field_that_is_wrong_has_its_line_in_words_of_flags() {
        let data = json!({
            "uri": {"required": {"message": "Field is required but missing"}},
            "http_verb": {"enum": {"message": "Value not found", "target": ["get", "post"], "value": "push"}},
            "custom_data.type": {"required": {"message": "missing required modifier"}},
            "odd": {"type": {"message": "Value did not match type(s): string", "target": "string", "value": 1}},
        });
        assert_eq!(
            refused(StatusCode::BAD_REQUEST, "/v2/x", &data, FLAGS),
            [
                "--uri: Field is required but missing",
                "--verb: Value not found (push; use one of get, post)",
                "--custom-data type: missing required modifier",
                "odd: Value did not match type(s): string (1)",
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let gone = |data: Value| refused(StatusCode::NOT_FOUND, "/v2/accounts/a/webhooks/h?x=1", &data, FLAGS).join("");
        assert_eq!(
            gone(json!({"cause": "h", "message": "bad identifier"})),
            "there is no h at /v2/accounts/a/webhooks/h (404); check the id, and --account"
        );
        assert!(gone(json!(["a"])).starts_with("there is no a at "));
        assert!(gone(json!({"message": "there is no such path"})).ends_with("there is no such path (404)"));
    }

    #[test]
    fn what_is_against_one_thing_is_not_in_the_way_of_others() {
        let words =
            |status| Refusal::Refused { status, path: String::new(), data: json!({"message": "no"}) }.against_one();
        assert_eq!(words(StatusCode::UNPROCESSABLE_ENTITY).as_deref(), Some("no (422)"));
        assert!(words(StatusCode::NOT_FOUND).is_some() && words(StatusCode::CONFLICT).is_some());
        assert_eq!((words(StatusCode::FORBIDDEN), Refusal::NoKey.against_one()), (None, None));
    }

    #[test]
    fn whose_fault_it_is_is_in_the_exit_code() {
        let refused = Refusal::Refused { status: StatusCode::FORBIDDEN, path: String::new(), data: Value::Null };
        assert_eq!((refused.code(), Refusal::NoKey.code(), Refusal::Unable(String::new()).code()), (1, 2, 2));
    }
}
