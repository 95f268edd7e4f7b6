//! A transform that does what its settings tell it, good and bad.
//!
//! `uri`, `content_type` and `payload` take the place of what there is; `append` is added to the URI; `mark` is put into
//! the payload; `header` (`Name=value`) among the headers; `report` makes a payload of what it was handed; `log` is logged. `do` is one of
//! `drop`, `fail`, `trap`, `loop`, `huge`.
#![allow(clippy::panic)]

use hookbox_bad_modules::transform::{
    Guest, export_transform,
    log::{self, Level},
    settings,
    types::Firing,
};

/// More than `modules.output_bytes_max` allows.
const HUGE_BYTES: usize = 2 * 1024 * 1024;

struct AsTold;

impl Guest for AsTold {
    fn transform(mut firing: Firing) -> Result<Option<Firing>, String> {
        if let Some(text) = settings::get("log") {
            log::log(Level::Debug, "it begins");
            log::log(Level::Info, &text);
        }
        if settings::get("report").is_some() {
            firing.payload = report(&firing);
        }
        if let Some(uri) = settings::get("uri") {
            firing.uri = uri;
        }
        if let Some(more) = settings::get("append") {
            firing.uri.push_str(&more);
        }
        if let Some(content_type) = settings::get("content_type") {
            firing.content_type = content_type;
        }
        if let Some(payload) = settings::get("payload") {
            firing.payload = payload;
        }
        if let Some(mark) = settings::get("mark") {
            firing.payload = firing.payload.replacen('{', &format!("{{\"mark\":{mark:?},"), 1);
        }
        if let Some((name, value)) = settings::get("header").as_deref().and_then(|header| header.split_once('=')) {
            firing.headers.push((name.to_owned(), value.to_owned()));
        }
        match settings::get("do").as_deref() {
            Some("drop") => Ok(None),
            Some("fail") => Err("it was told to fail".to_owned()),
            Some("trap") => panic!("it was told to trap"),
            Some("loop") => loop {
                std::hint::black_box(());
            },
            Some("huge") => {
                firing.payload = format!("{{\"huge\":\"{}\"}}", "x".repeat(HUGE_BYTES));
                Ok(Some(firing))
            }
            _ => Ok(Some(firing)),
        }
    }
}

/// What was handed over, as a payload. Nothing in tests needs more than Rust's way of quoting.
fn report(firing: &Firing) -> String {
    let Firing { webhook_id, account_id, hook_id, hook_event, attempt, verb, uri, payload, headers, content_type } =
        firing;
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
    format!(
        "{{\"webhook_id\":{webhook_id:?},\"account_id\":{account_id:?},\"hook_id\":{hook_id:?},\"hook_event\":{hook_event:?},\
          \"attempt\":{attempt},\"verb\":{verb:?},\"uri\":{uri:?},\"payload\":{payload},\"headers\":{{{}}},\
          \"content_type\":{content_type:?}}}",
        headers.join(",")
    )
}

export_transform!(AsTold with_types_in hookbox_bad_modules::transform);
