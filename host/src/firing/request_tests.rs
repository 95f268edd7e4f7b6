//! Tests of the request.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::hook::fixtures::{an_event, hook_of};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW_MS: UnixMs = 1_614_265_330_999;

fn prepared(hook: &Value, payload: &Value) -> (PreparedRequest, SentRequest) {
    let secrets = [Secret::parse(SECRET).unwrap()];
    let event = Event { payload: payload.as_object().cloned().unwrap(), ..an_event() };
    prepare(&hook_of(hook), &event, firing(&secrets)).unwrap()
}

fn firing(secrets: &[Secret]) -> Firing<'_> {
    static ID: LazyLock<WebhookId> = LazyLock::new(|| "f1r1ng".into());
    Firing { id: &ID, cluster_id: "c1", now_ms: NOW_MS, secrets, rewritten: None, body_bytes_max: 100_000, trace: None }
}

/// The payload that a transform would get, with what is written last.
fn merged(hook: &Value, event: &Event) -> Value {
    let mut payload: Value = serde_json::from_str(&merged_payload(&hook_of(hook), event)).unwrap();
    payload["cluster_id"] = json!("c1");
    payload
}

fn body(hook: &Value, payload: &Value) -> String {
    prepared(hook, payload).0.body
}

fn form(payload: &Value) -> String {
    body(&json!({}), payload)
}

#[test]
fn a_form() {
    let payload = json!({
        "call_id": "b19@203.0.113.7", "caller id": "Dana Ö", "n": 5, "f": 0.5, "yes": true, "gone": null,
        "ccvs": {"a b": "1", "deep": {"x&y": 2, "list": [1, null]}}, "list": ["a", {"k": [1, "é"]}, [2], null],
        "empty_list": [], "empty_object": {}, "text": "-_.~*'()+ %",
    });
    insta::assert_snapshot!(form(&payload).replace('&', "\n"), @r"
    call_id=b19%40203.0.113.7
    caller+id=Dana+%C3%96
    n=5
    f=0.5
    yes=true
    ccvs%5Ba+b%5D=1
    ccvs%5Bdeep%5D%5Bx%26y%5D=2
    ccvs%5Bdeep%5D%5Blist%5D%5B%5D=1
    list%5B%5D=a
    list%5B%5D=%7B%22k%22%3A%5B1%2C%22%C3%A9%22%5D%7D
    list%5B%5D=%5B2%5D
    text=-_.~%2A%27%28%29%2B+%25
    cluster_id=c1
    ");
}

#[test]
fn nothing_but_empty_things_leaves_no_stray_ampersand() {
    assert_eq!(form(&json!({"a": null, "b": [], "c": {}, "d": {"e": []}, "f": [null]})), "cluster_id=c1");
}

#[test]
fn only_a_json_body_shows_the_payload() {
    for (verb, format, shown) in
        [("post", "json", true), ("put", "json", true), ("get", "json", false), ("post", "form-data", false)]
    {
        let fields = json!({"http_verb": verb, "format": format});
        let sent = prepared(&fields, &json!({"a": 1})).1;
        assert_eq!(shows_payload(&hook_of(&fields), &sent), shown, "{verb} {format}");
        // The request could not be made.
        assert!(!shows_payload(&hook_of(&fields), &SentRequest::default()), "{verb} {format}");
    }
}

#[test]
fn json_is_printed_prettily() {
    let payload = json!({"call_id": "x", "nested": {"a": [1, 2], "none": null}, "empty": []});
    insta::assert_snapshot!(body(&json!({"format": "json"}), &payload), @r#"
    {
      "call_id": "x",
      "nested": {
        "a": [
          1,
          2
        ],
        "none": null
      },
      "empty": [],
      "cluster_id": "c1"
    }
    "#);
}

#[test]
fn custom_data_is_merged_and_cluster_id_comes_last() {
    let payload = json!({"type": "user", "kept": 1, "replaced": {"a": 1}, "removed": 2, "cluster_id": "module's"});
    let custom_data = json!({
        "type": "all", "action": "all", "replaced": {"b": 2}, "removed": null, "added": "x", "absent": null, "cluster_id": "mine",
    });
    let hook = json!({"format": "json", "custom_data": custom_data});
    let sent: Value = serde_json::from_str(&body(&hook, &payload)).unwrap();
    assert_eq!(sent.to_string(), r#"{"type":"user","kept":1,"replaced":{"b":2},"added":"x","cluster_id":"c1"}"#);
    let event = Event { payload: payload.as_object().cloned().unwrap(), ..an_event() };
    assert_eq!(merged(&hook, &event), sent);
}

#[test]
fn the_query_string_joins_what_is_there() {
    for (uri, expected) in [
        ("https://example.com", "https://example.com/?a=1&cluster_id=c1"),
        ("https://example.com/in?", "https://example.com/in?a=1&cluster_id=c1"),
        ("https://example.com/in?k=v", "https://example.com/in?k=v&a=1&cluster_id=c1"),
        ("https://example.com/in?k=v&", "https://example.com/in?k=v&a=1&cluster_id=c1"),
        ("https://example.com/in#part", "https://example.com/in?a=1&cluster_id=c1#part"),
        ("https://example.com/in?k=v#p?q", "https://example.com/in?k=v&a=1&cluster_id=c1#p?q"),
        ("https://example.com/in?k=ü'", "https://example.com/in?k=%C3%BC%27&a=1&cluster_id=c1"),
        ("no uri", "no uri"),
    ] {
        let mut hook = hook_of(&json!({"http_verb": "get", "format": "json"}));
        hook.uri = uri.into();
        let event = Event { payload: json!({"a": 1}).as_object().cloned().unwrap(), ..an_event() };
        let (request, sent) = prepare(&hook, &event, firing(&[])).unwrap();
        assert_eq!(request.uri, expected);
        assert_eq!((request.body.as_str(), sent.body.as_str(), sent.method), ("", "", "GET"));
        assert!(!request.headers.iter().any(|(name, _)| name == "content-type"));
    }
}

#[test]
fn headers_are_complete_and_the_logs_copy_hides_the_hooks_own() {
    let (request, sent) = prepared(
        &json!({"http_verb": "PUT", "format": "json", "headers": {"Authorization": "Bearer s3cret", "X-Team": "red"}}),
        &json!({}),
    );
    let lines = |headers: &[(String, String)]| {
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect::<Vec<_>>()
            .join("\n")
            .replace(USER_AGENT, "Hookbox/…")
    };
    insta::assert_snapshot!(lines(&request.headers), @r"
    X-Hook-ID: h00k
    X-Account-ID: acc0unt
    webhook-id: f1r1ng
    webhook-timestamp: 1614265330
    webhook-signature: v1,zedo9TLy8Wasiw7INI6Jm2gu1ZcCafmv7G4hRFmKVcM=
    content-type: application/json
    user-agent: Hookbox/…
    Authorization: Bearer s3cret
    X-Team: red
    ");
    assert_eq!(
        lines(&sent.headers),
        lines(&request.headers).replace("Bearer s3cret", MASK).replace("X-Team: red", "X-Team: (hidden)")
    );
    assert_eq!((sent.method, &sent.body), ("PUT", &request.body));
}

#[test]
fn a_hook_may_bring_its_own_content_type_and_user_agent() {
    let headers = json!({"Content-Type": "application/vnd.x+json", "USER-AGENT": "x"});
    let (request, _) = prepared(&json!({"format": "json", "headers": headers}), &json!({}));
    let count = |wanted: &str| request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count();
    assert_eq!((count("content-type"), count("user-agent")), (1, 1));
}

fn header<'a>(request: &'a PreparedRequest, wanted: &str) -> Option<&'a str> {
    request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

#[test]
fn receivers_are_told_of_a_trace_when_there_is_one_and_the_hook_says_nothing_of_its_own() {
    let trace: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let sent = |fields: Value, trace| {
        let (request, shown) = prepare(&hook_of(&fields), &an_event(), Firing { trace, ..firing(&[]) }).unwrap();
        let told = header(&request, "traceparent").map(str::to_owned);
        assert_eq!(shown.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("traceparent")), told.is_some());
        told
    };
    assert_eq!(sent(json!({}), None), None);
    assert_eq!(sent(json!({}), Some(trace)), Some(trace.to_string()));
    let own = json!({"headers": {"traceparent": "own"}});
    assert_eq!(sent(own, Some(trace)).as_deref(), Some("own"));
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let theirs = standardwebhooks::Webhook::new(SECRET).unwrap();
    let timestamp = i64::try_from(NOW_MS / 1000).unwrap();
    for format in ["json", "form-data"] {
        let (request, _) = prepared(&json!({"format": format}), &json!({"a": "ü b"}));
        let expected = theirs.sign("f1r1ng", timestamp, request.body.as_bytes()).unwrap();
        assert_eq!(header(&request, "webhook-signature"), Some(expected.as_str()));
    }
    let (request, _) =
        prepared(&json!({"http_verb": "get", "uri": "https://example.com/?k=ü#f"}), &json!({"a": "ü b"}));
    let query = Url::parse(&request.uri).unwrap().query().unwrap().to_owned();
    assert!(request.uri.contains(&query));
    let expected = theirs.sign("f1r1ng", timestamp, query.as_bytes()).unwrap();
    assert_eq!(header(&request, "webhook-signature"), Some(expected.as_str()));
    let (request, _) = prepared(&json!({"signature": "ed25519"}), &json!({}));
    assert!(header(&request, "webhook-signature").unwrap().starts_with("v1a,"));
}

#[test]
fn an_inline_hook_goes_unsigned() {
    let (request, _) = prepare(&hook_of(&json!({})), &an_event(), firing(&[])).unwrap();
    assert_eq!(header(&request, "webhook-signature"), None);
    assert_eq!(header(&request, "webhook-id"), Some("f1r1ng"));
    assert_eq!(header(&request, "webhook-timestamp"), Some("1614265330"));
}

#[test]
fn what_a_transform_gave_is_sent_in_the_place_of_what_the_hook_says() {
    let rewritten = |content_type: &str| Rewritten {
        uri: "https://receiver.example.com/other?q=1".into(),
        payload: json!({"a": 1, "cluster_id": "the transform's"}).as_object().cloned().unwrap(),
        headers: vec![("X-Other".into(), "s3cret".into())],
        content_type: content_type.into(),
    };
    let send = |verb: &str, content_type: &str| {
        let hook = hook_of(&json!({"http_verb": verb, "headers": {"X-Own": "1"}, "custom_data": {"k": "v"}}));
        let event = Event { payload: json!({"gone": 1}).as_object().cloned().unwrap(), ..an_event() };
        prepare(&hook, &event, Firing { rewritten: Some(&rewritten(content_type)), ..firing(&[]) }).unwrap()
    };
    let header = |headers: &[(String, String)], wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", "a=1&cluster_id=c1"),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "a=1&cluster_id=c1"),
        ("application/json", "{\n  \"a\": 1,\n  \"cluster_id\": \"c1\"\n}"),
        ("text/x-anything", "{\n  \"a\": 1,\n  \"cluster_id\": \"c1\"\n}"),
    ] {
        let (request, sent) = send("post", content_type);
        assert_eq!((request.uri.as_str(), request.body.as_str()), ("https://receiver.example.com/other?q=1", body));
        assert_eq!(header(&request.headers, "content-type").as_deref(), Some(content_type));
        assert_eq!(header(&request.headers, "X-Other").as_deref(), Some("s3cret"));
        assert_eq!(header(&sent.headers, "X-Other").as_deref(), Some(MASK));
        assert_eq!(header(&request.headers, "X-Own"), None);
    }
    let (request, _) = send("get", "text/plain");
    assert_eq!(request.uri, "https://receiver.example.com/other?q=1&a=1&cluster_id=c1");
    assert_eq!((request.body.as_str(), header(&request.headers, "content-type")), ("", None));
}

#[test]
fn a_payload_that_would_make_much_of_little_is_not_sent() {
    let deep = (0..100).fold(json!(vec![json!([]); 100]), |inner, _| json!({ "a": inner }));
    let leaves: Object = (0..2000).map(|n| (n.to_string(), json!(n))).collect();
    let long_names = json!({ "x".repeat(5000): leaves });
    for (fields, payload) in [
        (json!({"format": "json"}), json!({"a": deep, "b": deep, "c": deep, "d": deep})),
        (json!({}), long_names.clone()),
        (json!({"http_verb": "get"}), long_names),
    ] {
        let event = Event { payload: payload.as_object().cloned().unwrap(), ..an_event() };
        let refused = prepare(&hook_of(&fields), &event, Firing { body_bytes_max: 50_000, ..firing(&[]) });
        assert_eq!(refused.err(), Some(BodyTooLong { bytes_max: 50_000 }), "{fields}");
    }
}

proptest! {
    /// A form decoder gives back the names and values of a flat payload, whatever is in them.
    #[test]
    fn forms_decode_alike(payload: BTreeMap<String, String>) {
        let sent = form(&json!(payload));
        let mut decoded: BTreeMap<String, String> = url::form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
        let mut expected = payload;
        expected.insert("cluster_id".to_owned(), "c1".to_owned());
        prop_assert_eq!(decoded.remove("cluster_id"), expected.remove("cluster_id"));
        prop_assert_eq!(decoded, expected);
    }

    /// Nested names decode to `name[key]`, and nothing but what may stand in a query is sent.
    #[test]
    fn nested_names_decode_alike(outer in ".{1,6}", inner: String, value: String) {
        prop_assume!(outer != "cluster_id");
        let sent = form(&json!({(outer.as_str()): {(inner.as_str()): [value.as_str()]}}));
        let decoded: Vec<(String, String)> = url::form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
        prop_assert_eq!(&decoded[0], &(format!("{outer}[{inner}][]"), value));
        prop_assert!(sent.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~+%=&".contains(&b)));
    }

    /// What is sent as JSON reads back as the merged payload.
    #[test]
    fn json_reads_back(payload: BTreeMap<String, Option<i64>>, custom: BTreeMap<String, Option<String>>) {
        let hook = json!({"format": "json", "custom_data": custom});
        let event = Event { payload: json!(payload).as_object().cloned().unwrap(), ..an_event() };
        let sent: Value = serde_json::from_str(&body(&hook, &Value::Object(event.payload.clone()))).unwrap();
        prop_assert_eq!(sent, merged(&hook, &event));
    }
}
