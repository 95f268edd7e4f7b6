//! Tests of what is said about keys and values that are written wrongly.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use crate::settings::{Settings, SettingsError};

use super::*;

fn refused(file: &str, environment: &[(&str, &str)]) -> String {
    let mut written = tempfile::NamedTempFile::new().unwrap();
    written.write_all(file.as_bytes()).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match Settings::from_parts(Some(written.path()), environment) {
        Ok(_) => "accepted".to_owned(),
        Err(SettingsError::Invalid(problems)) => {
            let mut problems = problems;
            problems.sort();
            problems.join("\n").replace(&written.path().display().to_string(), "hookbox.toml")
        }
        Err(other) => other.to_string(),
    }
}

#[test]
fn unset_keys_are_known_and_prose_is_not() {
    for key in ["amqp.url", "store.key_file", "master.account_id", "master.api_key", "modules.dir", "modules.cache_dir",
        "kazoo.cluster_id", "telemetry.listen", "api.listen", "amqp.account_pointers", "shutdown.grace_ms"] {
        assert!(KNOWN.has(key), "{key}");
    }
    let serialized = toml::Table::try_from(Settings::default()).unwrap();
    for (section, keys) in &serialized {
        for key in keys.as_table().unwrap().keys() {
            assert!(KNOWN.has(&format!("{section}.{key}")), "{section}.{key} is missing in the example");
        }
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout = 5\n[fireing]\n[amqp]\nquue = 'x'\n[zzz]\n[master]\nzzzzzzzzzzzzzzzzzzzzzzzzz = 1", &[]), @"");
    insta::assert_snapshot!(refused("amqp = 3", &[]), @"");
    insta::assert_snapshot!(refused("[api]\npark_after_ms = 5", &[]), @"");
}

#[test]
fn unknown_variables_are_refused_with_the_nearest() {
    insta::assert_snapshot!(refused("", &[("HOOKBOX_FIRING__REQUEST_TIMEOUT", "1"), ("HOOKBOX_ZZZZZZZZZZZZZZZ__Q", "1")]), @"");
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    insta::assert_snapshot!(refused("[api]\nlisten = \n", &[]), @"");
}

#[test]
fn wrong_types_are_refused_with_key_place_and_expectation() {
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout_ms = 'soon'", &[]), @"");
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout_ms = -1", &[]), @"");
    insta::assert_snapshot!(refused("[api]\nlisten = 'nowhere'", &[]), @"");
    insta::assert_snapshot!(refused("[amqp]\nqueue_type = 'stream'", &[]), @"");
    insta::assert_snapshot!(refused("[firing]\nallow_addresses = ['10.0.0.0/99']", &[]), @"");
    insta::assert_snapshot!(refused("[master]\napi_key = 123456", &[]), @"");
    insta::assert_snapshot!(refused("", &[("HOOKBOX_FIRING__REQUEST_TIMEOUT_MS", "soon")]), @"");
    insta::assert_snapshot!(refused("", &[("HOOKBOX_AMQP__PREFETCH", "70000")]), @"");
}

#[test]
fn bounds_are_judged_after_that() {
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout_ms = 0", &[]), @"hookbox.toml: firing.request_timeout_ms is 0; use 1 to 30000, or delete the line for 10000");
}

#[test]
fn variables_are_written_as_in_toml_or_as_text() {
    let settings = Settings::from_parts(
        None,
        [
            ("HOOKBOX_API__LISTEN", "0.0.0.0:8000"),
            ("HOOKBOX_FIRING__ALLOW_ADDRESSES", r#"["10.0.0.0/8", "127.0.0.0/8"]"#),
            ("HOOKBOX_FIRING__REQUEST_TIMEOUT_MS", "77"),
            ("HOOKBOX_WEBHOOKS__DISABLE_DISABLER", "true"),
            ("HOOKBOX_AMQP__QUEUE", "two words # and a hash"),
            ("HOOKBOX_AMQP__URL", "amqp://guest:guest@127.0.0.1:5672/%2f"),
            ("HOOKBOX_TELEMETRY__LOG", "\"debug\""),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
    .unwrap();
    assert_eq!(settings.api.listen.to_string(), "0.0.0.0:8000");
    assert_eq!(settings.firing.allow_addresses.len(), 2);
    assert_eq!(settings.firing.request_timeout_ms, 77);
    assert!(settings.webhooks.disable_disabler);
    assert_eq!(settings.amqp.queue, "two words # and a hash");
    assert_eq!(settings.amqp.url.as_deref(), Some("amqp://guest:guest@127.0.0.1:5672/%2f"));
    assert_eq!(settings.telemetry.log, "debug");
}
