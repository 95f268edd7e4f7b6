//! Tests of what a transform may change.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    hook::fixtures::{an_event, hook_of},
    message::Target,
    settings::Settings,
};

const URI: &str = "https://user:pass@receiver.example.com/in?a=1";

fn hook(fields: Value) -> Hook {
    let mut all = json!({"uri": URI, "headers": {"X-Key": "secret"}, "format": "json"});
    all.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    hook_of(&all)
}

fn firing_of(hook: &Hook) -> Firing {
    let payload = json!({"from": "+1", "cluster_id": "module's"}).as_object().cloned().unwrap();
    Firing {
        id: "f1r1ng".into(),
        target: Target::Stored(hook.account.clone(), hook.id.clone()),
        event: Event { payload, ..an_event() }.into(),
        tries: 1,
        created_ms: 0,
        lease: None,
    }
}

fn given() -> wit::Firing {
    let hook = hook(json!({}));
    input(&hook, &firing_of(&hook))
}

fn bounds() -> Bounds {
    let settings = FiringSettings { headers_max: 3, headers_bytes_max: 40, ..Settings::default().firing };
    Bounds::new(&given(), &settings, 100)
}

fn check(given: wit::Firing) -> Result<Rewritten, String> {
    bounds().check(given)
}

fn refusal(given: wit::Firing) -> String {
    check(given).expect_err("it is refused")
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn it_sees_what_would_be_sent_but_for_secrets_and_cluster_id() {
    let hook = hook(json!({"custom_data": {"tenant": "north", "type": "all"}, "http_verb": "put"}));
    let wit::Firing { webhook_id, account_id, hook_id, hook_event, attempt, verb, uri, payload, headers, content_type } =
        input(&hook, &firing_of(&hook));
    assert_eq!((webhook_id.as_str(), account_id.as_str(), hook_id.as_str()), ("f1r1ng", "acc0unt", "h00k"));
    assert_eq!((hook_event.as_str(), attempt, verb.as_str(), uri.as_str()), ("object", 2, "put", URI));
    assert_eq!(payload, r#"{"from":"+1","tenant":"north"}"#);
    assert_eq!((headers, content_type.as_str()), (pairs(&[("X-Key", "secret")]), "application/json"));
}

#[test]
fn what_it_leaves_alone_stays() {
    let same = check(given()).unwrap();
    assert_eq!((same.uri.as_str(), same.headers), (URI, pairs(&[("X-Key", "secret")])));
    assert_eq!((Value::Object(same.payload), same.content_type.as_str()), (json!({"from": "+1"}), "application/json"));
}

#[test]
fn path_and_query_may_be_changed() {
    for (uri, sent) in [
        (
            "https://user:pass@receiver.example.com/other/ü?b=2#c",
            "https://user:pass@receiver.example.com/other/%C3%BC?b=2#c",
        ),
        ("https://user:pass@RECEIVER.example.com:443", "https://user:pass@receiver.example.com/"),
        // Read as browsers read it, which is how it is dialled.
        (
            "https://user:pass@receiver.example.com\\@evil.example",
            "https://user:pass@receiver.example.com/@evil.example",
        ),
        ("https://user:pass@receiver.example.com/../..//x", "https://user:pass@receiver.example.com//x"),
    ] {
        assert_eq!(check(wit::Firing { uri: uri.into(), ..given() }).unwrap().uri, sent);
    }
}

#[test]
fn another_origin_is_refused_however_it_is_written() {
    for uri in [
        "http://user:pass@receiver.example.com/in",
        "https://user:pass@receiver.example.com:8443/in",
        "https://user:pass@receiver.example.com.evil.example/in",
        "https://user:pass@evil.example/receiver.example.com",
        "https://user:pass@receiver.example.com@evil.example/in",
        "https://receiver.example.com/in",
        "https://user:other@receiver.example.com/in",
        "https://user:pass@127.0.0.1/in",
        "https:\\\\evil.example/in",
        "file:///etc/passwd",
    ] {
        assert!(refusal(wit::Firing { uri: uri.into(), ..given() }).contains("only path and query"), "{uri}");
    }
    for none in ["", "/in", "//receiver.example.com/in", "nonsense"] {
        assert!(refusal(wit::Firing { uri: none.into(), ..given() }).starts_with("the URI is none"), "{none}");
    }
}

#[test]
fn a_uri_is_bounded_as_it_is_sent() {
    let uri = |path: String| format!("https://user:pass@receiver.example.com/{path}");
    for long in [uri("x".repeat(URI_BYTES_MAX)), uri("ü".repeat(URI_BYTES_MAX / 4))] {
        assert!(refusal(wit::Firing { uri: long, ..given() }).contains("more than 8192 bytes"));
    }
}

#[test]
fn a_payload_is_a_bounded_object() {
    for (payload, words) in [
        ("[1]".to_owned(), "is not a JSON object"),
        ("{".to_owned(), "is not JSON"),
        (String::new(), "is not JSON"),
        ("[".repeat(100), "is not JSON"),
        (format!("{{\"a\":\"{}\"}}", "x".repeat(93)), "101 bytes of payload; 100 are allowed"),
    ] {
        assert!(refusal(wit::Firing { payload: payload.clone(), ..given() }).contains(words), "{payload}");
    }
}

#[test]
fn headers_are_held_to_the_rules_of_hooks() {
    for (headers, words) in [
        (pairs(&[("Host", "evil")]), "Host: is set by Hookbox"),
        (pairs(&[("webhook-signature", "v1,x")]), "webhook-signature: is set by Hookbox"),
        (pairs(&[("X-A", "a\r\nHost: b")]), "X-A: is not a header's value"),
        (pairs(&[("X A", "a")]), "X A: is not a header's name"),
        (pairs(&[("X-A", "1"), ("x-a", "2")]), "x-a: is there twice"),
        (pairs(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]), "4 headers; use at most 3"),
        (pairs(&[("a", &"x".repeat(40))]), "41 bytes of names and values; use at most 40"),
    ] {
        let refused = refusal(wit::Firing { headers, ..given() });
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_changed_content_type_counts_more_than_the_hooks_header() {
    let headers = pairs(&[("Content-Type", "text/x-hook")]);
    let same = check(wit::Firing { headers: headers.clone(), ..given() }).unwrap();
    assert_eq!(same.headers, headers);
    let changed =
        check(wit::Firing { headers, content_type: "application/cloudevents+json".into(), ..given() }).unwrap();
    assert_eq!((changed.headers, changed.content_type.as_str()), (Vec::new(), "application/cloudevents+json"));
    for bad in ["", "a\r\nb", " text/plain", &"x".repeat(256)] {
        assert!(refusal(wit::Firing { content_type: bad.into(), ..given() }).contains("content type"), "{bad:?}");
    }
}

proptest! {
    /// Whatever it gives for a URI, what is dialled is the hook's own scheme, host, port, user and password.
    #[test]
    fn never_another_origin(
        scheme in "(https?|HTTPS|ftp|file|)", slashes in "[:/\\\\]{0,4}", user in "(user|[a-z%@:]{0,3})", password in "(pass|[a-z%@:]{0,3})",
        host in "(receiver.example.com|RECEIVER.EXAMPLE.COM|receiver\u{ff0e}example.com|[0-9a-fx.]{1,8}|\\PC{0,6})",
        port in "(:443|:80|:[0-9]{0,5}|)", rest in "[/\\\\?#@:a-z\t\n]{0,6}",
    ) {
        let uri = format!("{scheme}{slashes}{user}:{password}@{host}{port}{rest}");
        if let Ok(rewritten) = check(wit::Firing { uri, ..given() }) {
            let (sent, own) = (Url::parse(&rewritten.uri).unwrap(), Url::parse(URI).unwrap());
            prop_assert!(has_same_origin(&own, &sent), "{}", rewritten.uri);
            prop_assert_eq!(sent.origin(), own.origin());
        }
    }

    /// Any text at all.
    #[test]
    fn any_text_is_refused_or_the_same_origin(uri: String) {
        if let Ok(rewritten) = check(wit::Firing { uri, ..given() }) {
            prop_assert_eq!(Url::parse(&rewritten.uri).unwrap().origin(), Url::parse(URI).unwrap().origin());
        }
    }

    /// No header that is let through is reserved or breaks a line, whatever it is.
    #[test]
    fn never_a_reserved_header(name in "(host|Webhook-.{0,3}|te|X-[a-z\r\n]{0,3}|.{0,5})", value in "[a-z\r\n\t ]{0,5}|.{0,5}") {
        if let Ok(rewritten) = check(wit::Firing { headers: vec![(name, value)], ..given() }) {
            for (name, value) in rewritten.headers {
                prop_assert!(headers::is_name(&name) && headers::is_value(&value) && !headers::is_reserved(&name));
            }
        }
    }
}
