//! The real program's calls: what they print, what they leave, how they end.

use hookbox::{
    firing::signature::{Secret, sign},
    hook::SignatureKind,
    store::{AttemptQuery, secrets::HostKey},
};
use hookbox_tests::{
    amqp::Amqp,
    broker::Broker,
    eventually::eventually,
    real_program::{Place, Said},
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, Message, channel_created, missed_call},
    test_host::{MASTER_KEY, RESELLER, TENANT_KEY, a_hook, now_ms, shared_folder},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

const CONFIG: [&str; 2] = ["--config", "hookbox.toml"];

fn accounts() -> Vec<Value> {
    vec![
        json!({"_id": RESELLER, "pvt_type": "account", "name": "reseller", "pvt_tree": []}),
        json!({"_id": ACCOUNT, "pvt_type": "account", "name": "customer", "pvt_tree": [RESELLER], "pvt_api_key": TENANT_KEY}),
    ]
}

async fn import(place: &Place, documents: &[Value]) -> Said {
    place.write("kazoo.json", Value::Array(documents.to_vec()).to_string());
    place.call(&[&["import", "kazoo", "kazoo.json"], CONFIG.as_slice()].concat()).await
}

/// A place with the usual accounts and these documents.
async fn filled(settings: &str, documents: &[Value]) -> Place {
    let place = Place::with_settings(settings);
    let said = import(&place, &[accounts().as_slice(), documents].concat()).await;
    assert_eq!(said.code, 0, "{said:?}");
    place
}

async fn health(url: &str, path: &str) -> Option<(u16, String)> {
    let answer = hookbox_tests::test_host::http().get(format!("{url}{path}")).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

#[tokio::test]
async fn import_loads_the_good_documents_and_lists_the_others() {
    let place = Place::with_settings("");
    let mut documents = accounts();
    documents.extend([
        json!({"_id": "h1", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "good", "hook": "channel_create", "uri": "https://hooks.example.net/"}),
        json!({"_id": "h2", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "fax", "hook": "inbound_fax", "uri": "https://hooks.example.net/"}),
        json!({"_id": "h3", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "no scheme", "hook": "object", "uri": "hooks.example.net"}),
        json!({"_id": "h4", "pvt_type": "webhook", "pvt_account_id": "stranger", "name": "whose", "hook": "object", "uri": "https://hooks.example.net/"}),
        json!({"_id": "h5", "pvt_type": "webhook", "name": "nobody's", "hook": "object", "uri": "https://hooks.example.net/"}),
        json!({"_id": "h6", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "pvt_deleted": true}),
        json!({"_id": "+13125550199", "pvt_type": "number", "pvt_assigned_to": ACCOUNT}),
        json!({"_id": "+13125550100", "pvt_type": "number"}),
        json!({"_id": "No Account", "pvt_type": "account", "name": "odd", "pvt_tree": []}),
        json!({"_id": "orphan", "pvt_type": "account", "name": "orphan", "pvt_tree": ["missing"]}),
        json!({"pvt_type": "webhook", "pvt_account_id": ACCOUNT}),
        json!({"_id": "d1", "pvt_type": "device"}),
        json!(42),
    ]);

    let said = import(&place, &documents).await;

    assert_eq!((said.code, said.stderr.as_str()), (1, ""), "{said:?}");
    assert_snapshot!(said.stdout, @r"
    accounts: 2 loaded, 0 unchanged
    keys: 1 loaded, 0 unchanged
    numbers: 1 loaded, 0 unchanged
    webhooks: 3 loaded, 0 unchanged
    deleted documents: 1 skipped
    device documents: 1 passed over
    migrated h2: inbound_fax is now notifications with custom_data.type; a0abbf403b71d8935c7fa198fedd3eaa is its hook for errors
    refused document 15: it is a number, not an object
    refused No Account: _id cannot be an account's; it has to be 1 to 64 of a-z 0-9 _ -
    refused orphan: account missing of its pvt_tree is not known; put it into the file too
    refused +13125550100: pvt_assigned_to is missing: the number belongs to nobody
    refused h3: uri: Field is not in the correct format (relative URL without a base)
    refused h4: account stranger (pvt_account_id) is not known; put it into the file too
    refused h5: pvt_account_id is missing: the hook has no owner
    refused (webhook without _id): _id is missing
    ");
}

#[tokio::test]
async fn importing_twice_changes_nothing() {
    let place = Place::with_settings("");
    let mut documents = accounts();
    documents.extend([
        json!({"_id": "h1", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "good", "hook": "channel_create", "uri": "https://hooks.example.net/"}),
        json!({"_id": "h2", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "fax", "hook": "inbound_fax", "uri": "https://hooks.example.net/"}),
        json!({"_id": "+13125550199", "pvt_type": "number", "pvt_assigned_to": ACCOUNT}),
    ]);
    let hooks = async || {
        let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
        let page = store.hooks_since(0, 100).await.unwrap();
        store.close().await;
        format!("{page:?}")
    };
    let first = import(&place, &documents).await;
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stdout.contains("accounts: 2 loaded, 0 unchanged\nkeys: 1 loaded"), "{}", first.stdout);
    let stored = hooks().await;

    let second = import(&place, &documents).await;

    assert_eq!(second.code, 0, "{second:?}");
    let counts: Vec<_> = second.stdout.lines().take(4).collect();
    assert_eq!(
        counts,
        [
            "accounts: 0 loaded, 2 unchanged",
            "keys: 0 loaded, 1 unchanged",
            "numbers: 0 loaded, 1 unchanged",
            "webhooks: 0 loaded, 3 unchanged",
        ]
    );
    assert_eq!(hooks().await, stored, "secrets and revisions are what they were");
}

#[tokio::test]
async fn import_says_what_is_wrong_with_a_file() {
    let place = Place::with_settings("");
    let of = async |text: &str| {
        place.write("dump.json", text);
        let said = place.call(&[&["import", "kazoo", "dump.json"], CONFIG.as_slice()].concat()).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
        said.stderr.trim_end().to_owned()
    };
    assert_snapshot!(of("[{]").await, @"hookbox: dump.json: it is not JSON; save a JSON array of documents, or CouchDB's answer to _all_docs?include_docs=true: key must be a string at line 1 column 3");
    assert_snapshot!(of("{\"docs\": []}").await, @r#"hookbox: dump.json: it has no documents; save a JSON array of documents, or CouchDB's answer to _all_docs?include_docs=true ({"rows": [{"doc": …}]})"#);
    let said = place.call(&[&["import", "kazoo", "missing.json"], CONFIG.as_slice()].concat()).await;
    assert_eq!(said.code, 2);
    assert_snapshot!(said.stderr.trim_end(), @"hookbox: missing.json: cannot be read (No such file or directory (os error 2))");
}

fn lines(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("{}\n", message.to_json())).collect()
}

#[tokio::test]
async fn publish_posts_an_object_an_array_or_lines_to_a_host() {
    let receiver = Receiver::start().await;
    let place = filled("", &[a_hook("channel_create").to(&receiver).document()]).await;
    let host = place.serve().await;
    place.write("object.json", channel_created(ACCOUNT).to_json().to_string());
    place.write(
        "array.json",
        json!([channel_created(ACCOUNT).to_json(), channel_created(ACCOUNT).to_json()]).to_string(),
    );
    place.write("lines.json", lines(&[channel_created(ACCOUNT), channel_created(ACCOUNT), channel_created(ACCOUNT)]));
    let publish = async |file: &str, key: &str| {
        place.call(&["publish", file, "--url", &host.url, "--account", ACCOUNT, "--token", key]).await
    };

    for (file, said) in [("object.json", "1 of 1"), ("array.json", "2 of 2"), ("lines.json", "3 of 3")] {
        let published = publish(file, TENANT_KEY).await;
        assert_eq!((published.code, published.stdout), (0, format!("{said} messages taken\n")));
    }
    receiver.expect_requests(6).await;

    place.write("mixed.json", lines(&[channel_created(ACCOUNT), channel_created(ACCOUNT).raw("[1]")]));
    let mixed = publish("mixed.json", TENANT_KEY).await;
    assert_eq!(mixed.code, 1, "{mixed:?}");
    assert!(mixed.stdout.ends_with("1 of 2 messages taken\n"), "{mixed:?}");

    let wrong_key = publish("object.json", "not-a-key-of-anybody-0123456789abcdef").await;
    assert_eq!(wrong_key.code, 2, "{wrong_key:?}");
    assert!(wrong_key.stderr.contains("the host answered 401"), "{wrong_key:?}");
    assert!(!wrong_key.stderr.contains("not-a-key-of-anybody"), "{wrong_key:?}");
    assert_eq!(host.stop().await, 0);
}

#[tokio::test]
async fn publish_says_what_is_wrong() {
    let place = Place::new();
    place.write("misspelt.json", r#"{"exchange": "callevt", "routing_kee": "k", "body": {}}"#);
    place.write("good.json", channel_created(ACCOUNT).to_json().to_string());
    let of = async |arguments: &[&str]| {
        let said = place.call(&[&["publish"], arguments].concat()).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
        said.stderr.trim_end().to_owned()
    };
    assert_snapshot!(of(&["missing.json", "--account", "a"]).await, @"hookbox: missing.json: cannot be read (No such file or directory (os error 2))");
    assert_snapshot!(of(&["misspelt.json", "--account", "a"]).await, @"hookbox: misspelt.json: unknown field `routing_kee`, expected one of `exchange`, `routing_key`, `body`, `message_id`, `headers`, `content_type`, `content_encoding` at line 1 column 37");
    assert_snapshot!(of(&["good.json", "--account", "a"]).await, @"hookbox: a key is needed: --token, or HOOKBOX_CLI_TOKEN in the environment");
    let nobody = of(&["good.json", "--account", "a", "--token", "secret-token", "--url", "http://127.0.0.1:1"]).await;
    assert!(nobody.contains("http://127.0.0.1:1/v2/accounts/a/messages: "), "{nobody}");
    assert!(nobody.contains("Connection refused") && !nobody.contains("secret-token"), "{nobody}");
}

#[tokio::test]
async fn publish_hands_messages_to_a_broker_and_counts_those_that_nobody_wants() {
    let vhost = Broker::shared().await.vhost().await;
    let amqp = Amqp::connect(&vhost).await;
    let inbox = amqp.listen("notifications", "notifications.#").await;
    let place = Place::new();
    let unwanted = Message::new("notifications", "elsewhere", &json!({"Event-Category": "none"}));
    let mut wanted = missed_call(ACCOUNT).to_json();
    wanted["message_id"] = json!("m-1");
    wanted["content_encoding"] = json!("gzip");
    wanted["headers"] = json!({"x-from": "a test"});
    place.write("messages.json", Value::Array(vec![wanted.clone(), unwanted.to_json()]).to_string());

    let said = place.call(&["publish", "messages.json", "--amqp", &vhost.url()]).await;

    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.stdout, "notifications elsewhere: no queue is bound for it\n1 of 2 messages taken\n");
    let heard = inbox.next().await;
    assert_eq!(heard.routing_key, wanted["routing_key"].as_str().unwrap());
    let properties = &heard.properties;
    assert_eq!(properties.message_id().as_ref().map(|id| id.as_str()), Some("m-1"));
    assert_eq!(properties.content_encoding().as_ref().map(|encoding| encoding.as_str()), Some("gzip"));
    assert!(properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key("x-from")));

    place.write("one.json", missed_call(ACCOUNT).to_json().to_string());
    let said = place.call(&["publish", "one.json", "--amqp", &vhost.url()]).await;
    assert_eq!((said.code, said.stdout.as_str()), (0, "1 of 1 messages taken\n"));
    let said = place.call(&["publish", "one.json", "--amqp", "amqp://u:hunter2@127.0.0.1:1/"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.starts_with("hookbox: the broker: ") && !said.stderr.contains("hunter2"), "{said:?}");
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_where_nothing_is() {
    let vhost = Broker::shared().await.vhost().await;
    let place = filled(&format!("amqp.url = \"{}\"", vhost.url()), &[]).await;
    let said = place.call(&[&["doctor"], CONFIG.as_slice()].concat()).await;
    assert_eq!(said.code, 0, "{said:?}");
    let shown: Vec<_> = said.stdout.lines().map(|line| line.split(" 0.").next().unwrap()).collect();
    assert_snapshot!(shown.join("\n"), @r"
    ok    settings: hookbox.toml
    ok    clock: set
    ok    broker: reached
    ok    queue: hookbox is made when the host starts
    ok    certificates: the system's
    ok    store: sqlite:hookbox.db
    ok    firings: 0 waiting, 0 undelivered
    ok    module: channel_answer
    ok    module: channel_bridge
    ok    module: channel_create
    ok    module: channel_destroy
    ok    module: mms
    ok    module: notifications
    ok    module: object
    ok    module: parking
    ok    module: sms
    ");
}

#[tokio::test]
async fn doctor_before_the_first_start_leaves_the_master_key_to_be_shown() {
    let place = Place::with_settings("");
    let settings = std::fs::read_to_string(place.path("hookbox.toml")).unwrap();
    let without_master: Vec<_> = settings.lines().filter(|line| !line.starts_with("master.")).collect();
    place.write("hookbox.toml", without_master.join("\n"));
    assert_eq!(place.call(&[&["doctor"], CONFIG.as_slice()].concat()).await.code, 0);
    let serving = place.serve().await;
    assert!(serving.stdout().contains("\nmaster key "), "{}", serving.stdout());
    assert_eq!(serving.stop().await, 0);
}

#[tokio::test]
async fn doctor_finds_a_broker_that_is_away_and_a_store_that_is_none() {
    let place = Place::with_settings("amqp.url = \"amqp://u:hunter2@127.0.0.1:1/\"");
    place.write("hookbox.db", "not a database ".repeat(1000));
    let said = place.call(&[&["doctor"], CONFIG.as_slice()].concat()).await;
    assert_eq!(said.code, 1, "{said:?}");
    let wrong: Vec<_> = said.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert_eq!(wrong.len(), 2, "{}", said.stdout);
    assert!(wrong[0].contains("broker: ") && wrong[0].contains("check amqp.url and that the broker runs"), "{wrong:?}");
    assert!(wrong[1].contains("hookbox.db is not an SQLite database; move it away, or name another file"), "{wrong:?}");
    assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
}

#[tokio::test]
async fn demo_shows_every_kind_of_delivery_and_ends_by_itself() {
    let said = Place::new().call(&["demo"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let kinds = ["channel_answer", "channel_bridge", "channel_create", "channel_destroy", "parking"];
    for kind in kinds.into_iter().chain(["notifications", "object", "sms", "mms", "skel"]) {
        assert!(said.stdout.contains(kind), "{kind} is not in\n{}", said.stdout);
    }
    assert!(said.stdout.contains("the failing hook is switched off: too many failed attempts"), "{}", said.stdout);
}

#[tokio::test]
async fn serve_says_where_it_listens_and_when_it_is_ready_and_stops_when_told() {
    let vhost = Broker::shared().await.vhost().await;
    let place = filled(&format!("amqp.url = \"{}\"", vhost.url()), &[]).await;
    let mut host = place.serve().await;
    let said = host.stdout();
    assert_eq!(said, format!("api {}\nready\n", host.url));
    assert_eq!(health(&host.url, "/readyz").await.map(|(status, _)| status), Some(200));
    assert_eq!(health(&host.url, "/healthz").await.map(|(status, _)| status), Some(200));
    host.signal("TERM");
    assert_eq!(host.ended().await, 0, "{}", host.stderr());
    assert_eq!(health(&host.url, "/healthz").await, None);
}

#[tokio::test]
async fn serve_makes_a_key_once_and_shows_it_once() {
    let place = Place::new();
    place.write("hookbox.toml", "api.listen = \"127.0.0.1:0\"");
    let host = place.serve().await;
    let said = host.stdout();
    let key =
        said.lines().find_map(|line| line.strip_prefix("master key ")).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(key.len(), 64, "{said}");
    assert!(!host.stderr().contains(&key), "the key is not logged");
    let master = said.lines().find_map(|line| line.strip_prefix("master account ")).unwrap().to_owned();
    place.write("one.json", channel_created(&master).to_json().to_string());
    let publish = ["publish", "one.json", "--url", &host.url, "--account", &master];
    let said = place.call_with(&publish, &[("HOOKBOX_CLI_TOKEN", &key)]).await;
    assert_eq!((said.code, said.stdout.as_str()), (0, "1 of 1 messages taken\n"), "{said:?}");
    assert_eq!(host.stop().await, 0);

    let again = place.serve().await;
    assert!(!again.stdout().contains("master"), "{}", again.stdout());
    assert_eq!(again.stop().await, 0);
    for entry in std::fs::read_dir(place.path("")).unwrap() {
        let path = entry.unwrap().path();
        let kept = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!kept.windows(key.len()).any(|bytes| bytes == key.as_bytes()), "{} holds the key", path.display());
    }
}

#[tokio::test]
async fn serve_finishes_what_is_under_way_within_its_grace() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(std::time::Duration::from_secs(1)));
    let place = filled("firing.park_after_ms = 10", &[a_hook("channel_create").to(&receiver).document()]).await;
    let mut host = place.serve().await;
    assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    receiver.expect_requests(1).await;
    host.signal("TERM");
    assert_eq!(host.ended().await, 0, "{}", host.stderr());
    let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
    let attempts = store.attempts(&AttemptQuery::newest(ACCOUNT.into(), None, 10)).await.unwrap();
    assert_eq!((attempts.len(), &attempts[0].document["result"]), (1, &json!("success")));
    assert_eq!(store.firing_counts(None).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn serve_stores_what_outlasts_its_grace() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let settings = "firing.park_after_ms = 10\nshutdown.grace_ms = 200";
    let place = filled(settings, &[a_hook("channel_create").to(&receiver).document()]).await;
    let mut host = place.serve().await;
    assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    receiver.expect_requests(1).await;
    host.signal("INT");
    assert_eq!(host.ended().await, 0, "{}", host.stderr());
    assert!(host.stderr().contains("shutdown.grace_ms is over"), "{}", host.stderr());
    let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
    assert_eq!(store.firing_counts(None).await.unwrap().waiting, 1);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let settings = "firing.park_after_ms = 10\nshutdown.grace_ms = 600000\nfiring.request_timeout_ms = 30000";
    let place = filled(settings, &[a_hook("channel_create").to(&receiver).document()]).await;
    let mut host = place.serve().await;
    assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    receiver.expect_requests(1).await;
    host.signal("TERM");
    eventually("the stop to begin", async || match host.stderr() {
        stderr if stderr.contains("stopping: what is under way ends or is stored") => Ok(()),
        stderr => Err(stderr),
    })
    .await;
    host.signal("TERM");
    assert_eq!(host.ended().await, 130, "{}", host.stderr());
    let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
    assert_eq!(store.firing_counts(None).await.unwrap().waiting, 1, "what was under way is stored");
}

/// Gives the hook of this id a secret that the test knows; a dump never brings one along.
async fn give_secret(place: &Place, hook: &str, secret: &[u8]) {
    let key = HostKey::load(&shared_folder().join("host.key")).unwrap();
    let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
    let mut record = store.hook(&hook.into()).await.unwrap().unwrap();
    record.secrets = vec![key.seal(&record.id, secret).unwrap()];
    store.put_hook(&record, now_ms()).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn secrets_are_in_no_log() {
    const HEADER: &str = "header-value-5d41402abc4b";
    const SECRET: &str = "secret-of-the-hook-0123456789";
    const SECRET_BASE64: &str = "c2VjcmV0LW9mLXRoZS1ob29rLTAxMjM0NTY3ODk=";
    let vhost = Broker::shared().await.vhost().await;
    let receiver = Receiver::start().await.answering([500, 200]);
    let hook = a_hook("channel_create").to_uri(&receiver.url("/path-token-7d793037?query-token-a0762264"));
    let hook = hook.with("headers", json!({"X-Api-Key": HEADER}));
    let place = filled(&format!("amqp.url = \"{}\"\ntelemetry.log = \"debug\"", vhost.url()), &[hook.document()]).await;
    give_secret(&place, &hook.id(), SECRET.as_bytes()).await;
    let host = place.serve().await;

    assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    let request = &receiver.expect_requests(2).await[0];
    assert_eq!(request.header("x-api-key"), Some(HEADER), "it is sent");
    let header = |name: &str| request.header(name).unwrap();
    let (id, timestamp, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let secret = [Secret::from(SECRET.as_bytes().to_vec())];
    let expected = sign(SignatureKind::Hmac, &secret, id, timestamp.parse().unwrap(), request.text());
    assert_eq!(expected.as_deref(), Some(signature), "it is signed with");
    place.write("one.json", channel_created(ACCOUNT).to_json().to_string());
    let publish = ["publish", "one.json", "--url", &host.url, "--account", ACCOUNT, "--token", TENANT_KEY];
    assert_eq!(place.call(&publish).await.code, 0);
    receiver.expect_requests(3).await;

    let (stdout, stderr) = (host.stdout(), host.stderr());
    assert!(stderr.contains(" DEBUG ") && stderr.contains("attempt"), "{stderr}");
    let broker = vhost.url();
    let password = broker.split(['/', '@']).nth(2).and_then(|user| user.split_once(':')).unwrap().1;
    let login = format!(":{password}@");
    let secrets =
        [MASTER_KEY, TENANT_KEY, HEADER, SECRET, SECRET_BASE64, signature, &login, "path-token", "query-token"];
    for secret in secrets {
        let line = stderr.lines().chain(stdout.lines()).find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in a log");
    }
    assert_eq!(host.stop().await, 0);
}
