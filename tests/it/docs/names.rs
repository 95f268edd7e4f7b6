//! Settings and paths of REST that the pages name: they exist.

use std::{collections::BTreeSet, iter, sync::LazyLock};

use hookbox::settings::Settings;
use hookbox_tests::{
    real_program::Place,
    test_host::{MASTER_KEY, TestHost},
};
use serde_json::Value;

use super::{
    markdown::{Page, pages},
    shell,
};

/// What makes of `name.word` the name of a file.
const ENDINGS: [&str; 9] = ["toml", "db", "key", "service", "rs", "md", "js", "py", "json"];
/// Of a path of REST, what it may begin with.
const BEGINNINGS: [&str; 6] = ["/v2/", "/healthz", "/readyz", "/metrics", "/openapi.json", "…/"];

/// Every setting, as JSON, by section.
static SETTINGS: LazyLock<Value> = LazyLock::new(|| {
    let defaults = Settings::from_parts(None, iter::empty()).unwrap();
    serde_json::to_value(&defaults).unwrap()
});

/// What is wrong with a word, when it looks like a setting and is none.
fn unknown_setting(word: &str) -> Option<String> {
    let (section, key) = word.trim_end_matches('.').split_once('.')?;
    let keys = SETTINGS.get(section)?.as_object()?;
    let is_one = key.is_empty() || ENDINGS.contains(&key) || keys.contains_key(key);
    (!is_one).then(|| format!("there is no setting {word}"))
}

/// The settings that a text names by words of this kind, each checked.
fn check_settings(name: &str, text: &str, wrong: &mut Vec<String>) -> usize {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"._".contains(letter));
    let mut count = 0;
    for word in words {
        count += usize::from(word.split_once('.').is_some_and(|(section, _)| SETTINGS.get(section).is_some()));
        wrong.extend(unknown_setting(word).map(|problem| format!("{name}: {problem}")));
        let variable = word.strip_prefix("HOOKBOX_").and_then(|rest| rest.split_once("__"));
        if let Some((section, key)) = variable {
            let setting = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            let is_section = SETTINGS.get(section.to_lowercase()).is_some();
            if !is_section || unknown_setting(&setting).is_some() {
                wrong.push(format!("{name}: there is no setting {setting} for {word}"));
            }
        }
    }
    count
}

#[test]
fn every_setting_exists() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let in_blocks = page.shell_blocks().into_iter().map(|block| block.text);
        for text in page.words_in_code().into_iter().chain(in_blocks) {
            count += check_settings(&page.name, &text, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} settings were found");
    let mut none = Vec::new();
    check_settings("", "firing.made_up HOOKBOX_AMQP__MADE_UP modules.dir", &mut none);
    assert_eq!(none.len(), 2, "{none:?}");
}

#[test]
fn every_block_of_settings_can_be_started_with() {
    let place = Place::new();
    let mut count = 0;
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| block.language == "toml") {
            let file = place.write("hookbox.toml", &block.text);
            let read = Settings::from_parts(Some(&file), iter::empty());
            read.unwrap_or_else(|error| panic!("{}: {error}\n{}", page.name, block.text));
            count += 1;
        }
    }
    assert!(count > 0, "no settings were found");
}

/// A call of REST as a page names it: its method, when it has one, and its path.
#[derive(Debug)]
struct Call {
    method: Option<String>,
    path: String,
}

impl Call {
    /// `GET /v2/…`, or the path alone.
    fn in_prose(word: &str) -> Option<Self> {
        let (method, path) = match word.split_once(' ') {
            Some((method, path)) if method.chars().all(|letter| letter.is_ascii_uppercase()) => (Some(method), path),
            Some(_) => return None,
            None => (None, word),
        };
        let is_path = BEGINNINGS.iter().any(|beginning| path.starts_with(beginning));
        is_path.then(|| Self { method: method.map(str::to_owned), path: path.to_owned() })
    }

    /// A call of curl at a host here.
    fn of_curl(words: &[String]) -> Option<Self> {
        let url = words.iter().find_map(|word| word.strip_prefix("http://127.0.0.1:8000"))?;
        let named = words.iter().position(|word| word == "-X").and_then(|place| words.get(place + 1));
        Some(Self { method: Some(named.map_or("GET", String::as_str).to_owned()), path: url.to_owned() })
    }

    /// Whether the description has it. `{…}` there stands for any part.
    fn is_in(&self, description: &Value) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let (is_end, path) = path.strip_prefix('…').map_or((false, path), |end| (true, end));
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let paths = description["paths"].as_object().unwrap();
        paths.iter().any(|(known, item)| {
            let mut known: Vec<_> = known.trim_matches('/').split('/').collect();
            if is_end && known.len() > parts.len() {
                known.drain(..known.len() - parts.len());
            }
            let is_same = known.len() == parts.len()
                && known.iter().zip(&parts).all(|(known, part)| known.starts_with('{') || known == part);
            let method = self.method.as_ref().map(|method| method.to_lowercase());
            is_same && method.is_none_or(|method| item.get(&method).is_some())
        })
    }
}

fn calls_of(page: &Page) -> Vec<Call> {
    let blocks = page.shell_blocks();
    let in_blocks = blocks.iter().flat_map(|block| shell::calls(&block.text)).filter(|words| words[0] == "curl");
    let mut calls: Vec<_> = in_blocks.filter_map(|words| Call::of_curl(&words)).collect();
    calls.extend(page.words_in_code().iter().filter_map(|word| Call::in_prose(word)));
    calls
}

#[tokio::test]
async fn every_path_of_rest_is_described() {
    let host = TestHost::builder().without_broker().start().await;
    let mut description = host.call("GET", "/openapi.json", MASTER_KEY, None).await.expect(200).envelope;
    description["paths"]["/openapi.json"] = serde_json::json!({"get": {}});
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for page in pages() {
        for call in calls_of(&page) {
            if !call.is_in(&description) {
                wrong.push(format!("{}: {call:?}", page.name));
            }
            seen.insert(call.path);
        }
    }
    assert!(wrong.is_empty(), "not described:\n{}", wrong.join("\n"));
    assert!(seen.len() > 10, "only {seen:?} were found");
    for made_up in ["/v2/made_up", "DELETE /readyz", "…/webhooks/{id}/made_up"] {
        assert!(!Call::in_prose(made_up).unwrap().is_in(&description), "{made_up}");
    }
    host.finish().await;
}
