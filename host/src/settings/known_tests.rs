//! Tests of what is said about keys and values that are written wrongly.

use std::io::Write;

use crate::settings::{AmqpUrls, Settings, SettingsError};

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
    for key in [
        "amqp.url",
        "store.key_file",
        "master.account_id",
        "master.api_key",
        "modules.dir",
        "modules.cache_dir",
        "kazoo.cluster_id",
        "telemetry.listen",
        "api.listen",
        "amqp.account_pointers",
        "shutdown.grace_ms",
    ] {
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
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout = 5\n[fireing]\n[amqp]\nquue = 'x'\n[zzz]\n[master]\nzzzzzzzzzzzzzzzzzzzzzzzzz = 1", &[]), @r"
    hookbox.toml: there is no section [fireing]; did you mean [firing]?
    hookbox.toml: there is no section [zzz]; hookbox.example.toml lists all
    hookbox.toml: there is no setting amqp.quue; did you mean amqp.queue?
    hookbox.toml: there is no setting firing.request_timeout; did you mean firing.request_timeout_ms?
    hookbox.toml: there is no setting master.zzzzzzzzzzzzzzzzzzzzzzzzz; hookbox.example.toml lists all
    ");
    insta::assert_snapshot!(refused("amqp = 3", &[]), @"hookbox.toml: amqp is a section, not a value; write [amqp] and its keys below");
    insta::assert_snapshot!(refused("[api]\npark_after_ms = 5", &[]), @"hookbox.toml: there is no setting api.park_after_ms; did you mean firing.park_after_ms?");
}

#[test]
fn unknown_variables_are_refused_with_the_nearest() {
    insta::assert_snapshot!(refused("", &[("HOOKBOX_FIRING__REQUEST_TIMEOUT", "1"), ("HOOKBOX_ZZZZZZZZZZZZZZZ__Q", "1")]), @r"
    environment: HOOKBOX_FIRING__REQUEST_TIMEOUT names no setting; did you mean HOOKBOX_FIRING__REQUEST_TIMEOUT_MS?
    environment: HOOKBOX_ZZZZZZZZZZZZZZZ__Q names no setting; hookbox.example.toml lists all settings
    ");
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    insta::assert_snapshot!(refused("[api]\nlisten = \n", &[]), @"hookbox.toml: line 2 is not TOML (string values must be quoted, expected literal string); mend it, hookbox.example.toml shows the form");
}

#[test]
fn wrong_types_are_refused_with_key_place_and_expectation() {
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout_ms = 'soon'", &[]), @r#"hookbox.toml: firing.request_timeout_ms is "soon"; use a whole number from 0"#);
    insta::assert_snapshot!(refused("[firing]\nrequest_timeout_ms = -1", &[]), @"hookbox.toml: firing.request_timeout_ms is -1; use a whole number from 0");
    insta::assert_snapshot!(refused("[api]\nlisten = 'nowhere'", &[]), @"hookbox.toml: api.listen cannot be read (invalid socket address syntax); hookbox.example.toml shows the form");
    insta::assert_snapshot!(refused("[amqp]\nqueue_type = 'stream'", &[]), @r#"hookbox.toml: amqp.queue_type is "stream"; use quorum or classic"#);
    insta::assert_snapshot!(refused("[firing]\nallow_addresses = ['10.0.0.0/99']", &[]), @"hookbox.toml: firing.allow_addresses.0 cannot be read (invalid IP address syntax); hookbox.example.toml shows the form");
    insta::assert_snapshot!(refused("[master]\napi_key = 123456", &[]), @"hookbox.toml: master.api_key is something else; use a text");
    insta::assert_snapshot!(refused("", &[("HOOKBOX_FIRING__REQUEST_TIMEOUT_MS", "soon")]), @r#"environment: HOOKBOX_FIRING__REQUEST_TIMEOUT_MS is "soon"; use a whole number from 0"#);
    insta::assert_snapshot!(refused("", &[("HOOKBOX_AMQP__PREFETCH", "70000")]), @"environment: HOOKBOX_AMQP__PREFETCH is 70000; use a whole number from 0 to 65535");
    insta::assert_snapshot!(refused("", &[("HOOKBOX_MASTER__API_KEY", "123456"), ("HOOKBOX_AMQP__QUEUE", "7")]), @"environment: HOOKBOX_AMQP__QUEUE is 7; use a text, in quotes since it reads as something else");
    insta::assert_snapshot!(refused("[webhooks]\ndisable_disabler = 'yes'\nobject_types = 'all'", &[]), @r#"hookbox.toml: webhooks.disable_disabler is "yes"; use true or false"#);
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
    let urls: Vec<_> = settings.amqp.url.iter().flat_map(AmqpUrls::iter).collect();
    assert_eq!(urls, ["amqp://guest:guest@127.0.0.1:5672/%2f"]);
    assert_eq!(settings.telemetry.log, "debug");
}
