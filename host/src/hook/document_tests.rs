//! Tests of the reading of hook documents.

use proptest::prelude::*;

use super::*;
use crate::{hook::SealedSecret, settings::Settings};

fn settings() -> FiringSettings {
    Settings::default().firing
}

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

/// A good document with some fields over it.
fn document(fields: Value) -> Object {
    let mut document = object(json!({"name": "n", "uri": "https://example.com/in", "hook": "sms"}));
    document.extend(object(fields));
    document
}

fn problems(document: &Object, origin: Origin) -> String {
    complete(document, origin, &settings()).map_or_else(|problems| problems.to_string(), |_| String::new())
}

fn record(fields: Value) -> HookRecord {
    HookRecord {
        id: "1".into(),
        account: "a".into(),
        document: document(fields),
        disabled_message: None,
        secrets: vec![SealedSecret { sealed: "x".repeat(104), until_ms: None }],
        revision: 1,
        created_ms: 0,
    }
}

fn hook(fields: Value) -> Hook {
    Hook::from_record(&record(fields), &settings()).unwrap()
}

#[test]
fn defaults_are_filled_in() {
    let completed = complete(&document(json!({"group": "g", "format": null})), Origin::Api, &settings()).unwrap();
    insta::assert_snapshot!(
        Value::Object(completed.document),
        @r#"{"name":"n","uri":"https://example.com/in","hook":"sms","group":"g","http_verb":"post","format":"form-data","retries":2,"enabled":true,"include_internal_legs":true}"#
    );
    let hook = hook(json!({}));
    assert_eq!((hook.verb, hook.format, hook.retries), (Verb::Post, Format::FormData, 2));
    assert!(hook.enabled && hook.include_internal_legs && !hook.include_subaccounts);
    assert_eq!(hook.rare, None);
    assert_eq!(hook.secrets.len(), 1);
}

#[test]
fn kazoos_ways_of_writing_are_read() {
    let hook = hook(json!({
        "http_verb": "GET", "retries": "3", "enabled": "true", "include_subaccounts": "true", "include_internal_legs": false,
        "hook": "SMS", "custom_data": {}, "modifiers": {}, "timeout_ms": "500",
    }));
    assert_eq!((hook.verb, hook.retries, &*hook.event), (Verb::Get, 3, "sms"));
    assert!(hook.enabled && hook.include_subaccounts && !hook.include_internal_legs);
    let rare = hook.rare.unwrap();
    assert_eq!(rare.timeout_ms, Some(500));
    assert!(rare.custom_data.is_empty() && rare.modifiers.is_empty());
}

#[test]
fn converted_values_are_what_is_stored() {
    let fields = json!({"http_verb": "Put", "retries": "0", "enabled": "false", "include_subaccounts": "true", "timeout_ms": "9"});
    let stored = complete(&document(fields), Origin::Api, &settings()).unwrap().document;
    assert_eq!(stored["http_verb"], "put");
    assert_eq!(stored["retries"], 0);
    assert_eq!(stored["enabled"], false);
    assert_eq!(stored["include_subaccounts"], true);
    assert_eq!(stored["timeout_ms"], 9);
}

#[test]
fn a_transform_is_read() {
    assert_eq!(hook(json!({"transform": null})).rare, None);
    let transform = |value: Value| hook(json!({ "transform": value })).rare.unwrap().transform.unwrap();
    let read = transform(json!({"module": "mask"}));
    assert_eq!((read.module.as_str(), read.version.as_str(), read.settings.len()), ("mask", "active", 0));
    assert!(read.follows_active());
    let digest = "5a".repeat(32);
    for version in ["1.2.0", "1.0.0-rc.1+build", &digest] {
        assert!(!transform(json!({"module": "mask", "version": version})).follows_active());
    }
    let settings = json!({"text": "t", "number": 5, "list": [1, "a"], "yes": true, "none": null});
    let read = transform(json!({"module": "mask", "settings": settings}));
    let pairs = [("list", "[1,\"a\"]"), ("number", "5"), ("text", "t"), ("yes", "true")];
    assert_eq!(read.settings, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let completed = complete(&document(json!({"transform": {"module": "mask"}})), Origin::Api, &self::settings());
    assert_eq!(
        completed.unwrap().document["transform"],
        json!({"module": "mask", "version": "active", "settings": {}})
    );
}

#[test]
fn what_is_wrong_with_a_transform_is_said() {
    let said = |transform: Value| problems(&document(json!({ "transform": transform })), Origin::Api);
    assert!(said(json!("mask")).contains("transform: Value did not match type(s): object"));
    for without in [json!({}), json!({"version": "1.0.0"})] {
        assert!(said(without).contains("transform.module: Field is required"));
    }
    for name in ["Mask", "acme/mask", "a b", &"x".repeat(65)] {
        assert!(said(json!({"module": name})).contains("is not the name of a transform"), "{name}");
    }
    for version in ["latest", "1.0", "", &"5A".repeat(32)] {
        assert!(said(json!({"module": "m", "version": version})).contains("is no version"), "{version}");
    }
    let many: Object = (0..51).map(|n| (n.to_string(), json!(""))).collect();
    assert!(said(json!({"module": "m", "settings": many})).contains("51 settings; use at most 50"));
    let long = json!({"key": "x".repeat(4094)});
    assert!(said(json!({"module": "m", "settings": long})).contains("4097 bytes of keys and values; use at most 4096"));
    // It was within the bound when it was saved.
    let stored = record(json!({"transform": {"module": "m", "version": "active", "settings": long}}));
    assert!(Hook::from_record(&stored, &settings()).is_ok());
}

#[test]
fn all_problems_are_reported_together() {
    let bad = object(json!({
        "uri": "ftp://example.com/", "http_verb": "patch", "format": "xml", "retries": 5, "enabled": "perhaps",
        "custom_data": {"a.b": 1}, "headers": {"Host": "x"}, "retry_schedule_s": [1, "soon", 90000], "timeout_ms": 0,
        "max_in_flight": 1001, "rate_limit_per_s": 1.5, "signature": "rsa", "transform": {"module": "m/n", "version": "1", "settings": 5}, "secret": "s3cret",
        "filter": [{"pointer": "a", "op": "eq"}, {"pointer": "/a", "op": "in", "value": 1}, {"op": "eq"}, {"pointer": "/a", "op": "like"}],
    }));
    let problems = complete(&bad, Origin::Api, &settings()).unwrap_err();
    insta::assert_snapshot!(problems.0.iter().map(|problem| format!("{} {}", problem.field, problem.code)).collect::<Vec<_>>().join("\n"), @r"
    name required
    uri error
    hook required
    http_verb enum
    format enum
    retries maximum
    enabled type
    custom_data.a%2Eb type
    headers.Host error
    signature enum
    retry_schedule_s.1 type
    retry_schedule_s.2 maximum
    timeout_ms minimum
    max_in_flight maximum
    rate_limit_per_s type
    filter.0.pointer wrong_format
    filter.1.value wrong_format
    filter.2 wrong_format
    filter.3 wrong_format
    transform.module wrong_format
    transform.version wrong_format
    transform.settings type
    secret wrong_format
    ");
    insta::assert_snapshot!(problems.to_string().replace("; ", ";\n"), @r#"
    name: Field is required but missing;
    uri: invalid client URL (the scheme must be http or https);
    hook: Field is required but missing;
    http_verb: Value not found in enumerated list of values (get, post, put);
    format: Value not found in enumerated list of values (form-data, json);
    retries: Value must be at most 4;
    enabled: Value did not match type(s): boolean;
    custom_data.a%2Eb: Value did not match type(s): string;
    headers.Host: is set by Hookbox or by the connection;
    leave it out;
    signature: Value not found in enumerated list of values (hmac, ed25519);
    retry_schedule_s.1: Value did not match type(s): integer;
    retry_schedule_s.2: Value must be at most 86400;
    timeout_ms: Value must be at least 1;
    max_in_flight: Value must be at most 1000;
    rate_limit_per_s: Value did not match type(s): integer;
    filter.0.pointer: is no JSON pointer;
    begin it with /;
    filter.1.value: `in` compares with a list;
    write one;
    filter.2: is not a condition (missing field `pointer`);
    write {"pointer": "/caller_id_number", "op": "eq", "value": …};
    filter.3: is not a condition (unknown variant `like`, expected one of `eq`, `ne`, `in`, `prefix`, `exists`, `lt`, `gt`);
    write {"pointer": "/caller_id_number", "op": "eq", "value": …};
    transform.module: is not the name of a transform;
    use 1 to 64 of a-z 0-9 _;
    transform.version: is no version;
    use `active`, a semantic version such as 1.2.0, or the 64 hex digits of a digest;
    transform.settings: Value did not match type(s): object;
    secret: is no secret;
    write whsec_ and the base64 of 24 to 64 random bytes, or leave it out to have one made
    "#);
}

#[test]
fn problems_have_kazoos_shape() {
    let problems = complete(
        &object(json!({"hook": "sms", "name": "n", "uri": "http://127.0.0.1/", "retries": 9})),
        Origin::Api,
        &settings(),
    );
    insta::assert_snapshot!(Value::Object(problems.unwrap_err().to_json()), @r#"{"uri":{"error":{"message":"invalid client URL","value":"http://127.0.0.1/","cause":"127.0.0.1 is a loopback address; use a public address, or have the operator add it to firing.allow_addresses"}},"retries":{"maximum":{"message":"Value must be at most 4","target":4,"value":9}}}"#);
    let problems = complete(&Object::new(), Origin::Api, &settings());
    insta::assert_snapshot!(Value::Object(problems.unwrap_err().to_json()), @r#"{"name":{"required":{"message":"Field is required but missing","value":"name"}},"uri":{"required":{"message":"Field is required but missing","value":"uri"}},"hook":{"required":{"message":"Field is required but missing","value":"hook"}}}"#);
}

#[test]
fn uris_are_judged_when_they_are_saved() {
    for (uri, code) in [
        ("http://example.com", None),
        ("https://user:pass@example.com:8443/a?b=c#d", None),
        ("HTTPS://EXAMPLE.COM/", None),
        ("http://1.1.1.1/", None),
        ("", Some("minLength")),
        ("example.com/in", Some("wrong_format")),
        ("http://", Some("wrong_format")),
        ("https://username@password:localhost:345/webhook", Some("wrong_format")),
        ("http://exa mple.com/", Some("wrong_format")),
        ("file:///etc/passwd", Some("error")),
        ("http://0/", Some("error")),
        ("http://0x7f.1/", Some("error")),
        ("http://2130706433/", Some("error")),
        ("http://[::ffff:127.0.0.1]/", Some("error")),
        ("http://localhost:80/", Some("error")),
        ("https://169.254.169.254/latest/meta-data", Some("error")),
    ] {
        let document = document(json!({"uri": uri}));
        for origin in [Origin::Api, Origin::Kazoo] {
            let found = complete(&document, origin, &settings()).err().map(|problems| problems.0[0].code);
            assert_eq!(found, code, "{uri}");
        }
    }
    let long = format!("https://example.com/{}", "x".repeat(URI_BYTES_MAX));
    assert_eq!(complete(&document(json!({"uri": long})), Origin::Api, &settings()).unwrap_err().0[0].code, "maxLength");
}

#[test]
fn an_allowed_network_may_be_named() {
    let allowing = FiringSettings { allow_addresses: vec!["127.0.0.0/8".parse().unwrap()], ..settings() };
    assert!(complete(&document(json!({"uri": "http://127.0.0.1:9/"})), Origin::Api, &allowing).is_ok());
    assert!(complete(&document(json!({"uri": "http://localhost:9/"})), Origin::Api, &allowing).is_ok());
    assert!(complete(&document(json!({"uri": "http://10.0.0.1:9/"})), Origin::Api, &allowing).is_err());
}

#[test]
fn a_stored_hook_is_not_lost_when_ceilings_fall() {
    let fields = json!({"uri": "http://10.0.0.1/", "timeout_ms": 20000, "max_in_flight": 900, "retries": 9, "rate_limit_per_s": 0});
    let lower = FiringSettings { request_timeout_ms_max: 5000, max_in_flight_max: 10, ..settings() };
    let hook = Hook::from_record(&record(fields.clone()), &lower).unwrap();
    let rare = hook.rare.unwrap();
    assert_eq!((rare.timeout_ms, rare.max_in_flight, rare.rate_limit_per_s), (Some(5000), Some(10), Some(1)));
    assert_eq!(hook.retries, 4);
    assert_eq!(
        problems(&document(fields), Origin::Api),
        "uri: invalid client URL (10.0.0.1 is a private address; use a public address, or have the operator add it to \
         firing.allow_addresses); retries: Value must be at most 4; rate_limit_per_s: Value must be at least 1"
    );
}

#[test]
fn custom_data_over_rest_is_text() {
    assert_eq!(problems(&document(json!({"custom_data": {"a": "x", "b": null}})), Origin::Api), "");
    assert_eq!(problems(&document(json!({"custom_data": {"a": {"b": 1}}})), Origin::Kazoo), "");
    assert_eq!(
        problems(&document(json!({"custom_data": {"a": {"b": 1}}})), Origin::Api),
        "custom_data.a: Value did not match type(s): string"
    );
    assert_eq!(
        problems(&document(json!({"custom_data": "x"})), Origin::Kazoo),
        "custom_data: Value did not match type(s): object"
    );
}

#[test]
fn a_secret_is_checked_and_kept_apart() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let completed = complete(&document(json!({"secret": secret})), Origin::Api, &settings()).unwrap();
    assert_eq!(completed.secret.as_deref(), Some(secret));
    assert!(!completed.document.contains_key("secret"));
}

#[test]
fn an_inline_hook_needs_an_id_and_an_account() {
    let inline = object(json!({
        "_id": "63881319201", "uri": "https://hooks.example.net/cf", "hook": "notifications", "http_verb": "post",
        "retries": 2, "pvt_account_id": "aaaabbbbccccddddeeeeffff00001111", "custom_data": {"k": "v"},
    }));
    let hook = Hook::inline(&inline, &settings()).unwrap();
    assert_eq!((hook.id.as_str(), hook.account.as_str()), ("63881319201", "aaaabbbbccccddddeeeeffff00001111"));
    assert_eq!(hook.format, Format::FormData);
    assert!(hook.secrets.is_empty());

    let mut lacking = inline.clone();
    lacking.remove("_id");
    lacking.insert("pvt_account_id".to_owned(), json!("../x"));
    insta::assert_snapshot!(Hook::inline(&lacking, &settings()).unwrap_err(), @"_id: Field is required but missing; pvt_account_id: is not the id of an account; use 1 to 64 of a-z 0-9 _ -");
}

#[test]
fn a_plain_hook_is_small() {
    let record = record(json!({"name": "n", "uri": "https://receiver.example.com/hooks/in"}));
    let hook = Hook::from_record(&record, &settings()).unwrap();
    // Arc's two counts; the id's own text; what is shared between hooks of an account counts a tenth. Sizes are rounded
    // as mimalloc does.
    let arc = 16;
    let rounded = |bytes: usize| bytes.next_multiple_of(if bytes <= 64 { 8 } else { 16 });
    let id_text = rounded(arc + 32);
    let secret = rounded(size_of::<SealedSecret>()) + rounded(hook.secrets[0].sealed.capacity());
    let whole = rounded(arc + size_of::<Hook>()) + rounded(hook.uri.len()) + id_text + secret + (arc + 32) / 10;
    // The table's two entries, at most a quarter more.
    let in_table = (8 + 16) * 5 / 4;
    assert!(whole + in_table <= 400, "{whole} bytes, {in_table} more in the table");
}

proptest! {
    /// Whatever is stored reads back, and storing it again changes nothing.
    #[test]
    fn what_completes_reads_back(
        verb in "[gG][eE][tT]|[pP][oO][sS][tT]|[pP]ut", retries in 0..=4_u8, as_text: bool, enabled: bool, timeout in 1..=30_000_u32,
        custom in prop::collection::btree_map("[a-z.]{0,5}", ".{0,5}", 0..4),
    ) {
        let retries_value = if as_text { json!(retries.to_string()) } else { json!(retries) };
        let given = document(json!({
            "http_verb": verb, "retries": retries_value, "enabled": enabled, "timeout_ms": timeout, "custom_data": custom,
        }));
        let once = complete(&given, Origin::Api, &settings()).unwrap().document;
        let twice = complete(&once, Origin::Api, &settings()).unwrap().document;
        prop_assert_eq!(&once, &twice);
        let mut record = record(json!({}));
        record.document = once;
        let hook = Hook::from_record(&record, &settings()).unwrap();
        prop_assert_eq!(hook.retries, retries);
        prop_assert_eq!(hook.enabled, enabled);
        let rare = hook.rare.unwrap();
        prop_assert_eq!(rare.custom_data.len(), custom.len());
        prop_assert_eq!(rare.timeout_ms, Some(timeout));
    }

    /// No document makes the reader fall over.
    #[test]
    fn anything_is_read_or_refused(field in "(uri|hook|retries|filter|headers|custom_data|retry_schedule_s|signature|secret)", text in ".{0,20}", number: f64) {
        for value in [json!(text), json!(number), json!([text]), json!({(text.as_str()): text}), json!([{"pointer": text, "op": "eq"}])] {
            for origin in [Origin::Api, Origin::Kazoo, Origin::Store] {
                let _ = complete(&document(json!({(field.as_str()): value})), origin, &settings());
            }
        }
    }
}
