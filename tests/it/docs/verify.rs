//! What a receiver checks signatures with, in six languages: each file of `docs/verify` stands in the page as it is, and
//! accepts and refuses requests that a real host has signed. A language that is not on the machine is left out, and that is
//! said; Python and JavaScript have to be there.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use hookbox::clock::Clock;
use hookbox_tests::{
    real_program::Place,
    receiver::{Receiver, Request},
    samples::ACCOUNT,
    test_host::{TENANT_KEY, TestHost, now_ms},
};
use serde_json::{Value, json};

use super::markdown::{page, root};

/// Twice what a receiver lets pass.
const TEN_MINUTES_MS: u64 = 600_000;

/// How a language is run: a program of `tests/it/docs/runners` asks the file of `docs/verify`.
struct Language {
    /// As a block of code names it.
    name: &'static str,
    /// The file of `docs/verify`.
    file: &'static str,
    /// Where it is put, beside the runner.
    at: &'static str,
    runner: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
    /// What the language's own library has.
    knows_ed25519: bool,
    /// Whether a machine without it fails the test.
    is_needed: bool,
}

const LANGUAGES: [Language; 6] = [
    Language {
        name: "python",
        file: "verify.py",
        at: "verify.py",
        runner: "run.py",
        build: &[],
        run: &["python3", "run.py"],
        knows_ed25519: false,
        is_needed: true,
    },
    Language {
        name: "js",
        file: "verify.mjs",
        at: "verify.mjs",
        runner: "run.mjs",
        build: &[],
        run: &["node", "run.mjs"],
        knows_ed25519: true,
        is_needed: true,
    },
    Language {
        name: "java",
        file: "HookboxSignature.java",
        at: "HookboxSignature.java",
        runner: "Run.java",
        build: &["javac", "Run.java", "HookboxSignature.java"],
        run: &["java", "-cp", ".", "Run"],
        knows_ed25519: true,
        is_needed: false,
    },
    Language {
        name: "go",
        file: "verify.go",
        at: "hookbox/verify.go",
        runner: "main.go",
        build: &["go", "build", "-o", "run", "."],
        run: &["./run"],
        knows_ed25519: true,
        is_needed: false,
    },
    Language {
        name: "php",
        file: "verify.php",
        at: "verify.php",
        runner: "run.php",
        build: &[],
        run: &["php", "run.php"],
        knows_ed25519: true,
        is_needed: false,
    },
    Language {
        name: "ruby",
        file: "verify.rb",
        at: "verify.rb",
        runner: "run.rb",
        build: &[],
        run: &["ruby", "run.rb"],
        knows_ed25519: true,
        is_needed: false,
    },
];

/// What go asks of a folder before it builds it.
const GO_MODULE: &str = "module example.org/run\n\ngo 1.18\n";

impl Language {
    fn text(&self) -> String {
        let file = root().join("docs/verify").join(self.file);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// The program that is called first.
    fn program(&self) -> &'static str {
        self.build.first().unwrap_or(&self.run[0])
    }

    fn is_here(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program()).is_file())
    }

    /// A folder with everything, built.
    fn place(&self) -> Place {
        let place = Place::new();
        place.write(self.at, self.text());
        let runner = root().join("tests/it/docs/runners").join(self.runner);
        place.write(self.runner, fs::read(&runner).unwrap());
        place.write("go.mod", GO_MODULE);
        if !self.build.is_empty() {
            let built = self.call(self.build, &place.path(""), &[]).output().unwrap();
            assert!(built.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&built.stderr));
        }
        place
    }

    fn call(&self, words: &[&str], folder: &Path, arguments: &[&str]) -> Command {
        // What was built is in the folder, what else is called on the PATH.
        let mut call = match words[0].strip_prefix("./") {
            Some(built) => Command::new(folder.join(built)),
            None => Command::new(words[0]),
        };
        call.args(&words[1..]).args(arguments).current_dir(folder);
        // Nothing is fetched, and nothing is kept outside of the folder.
        call.env("GOFLAGS", "-mod=mod").env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
        call.env("GOCACHE", folder.join("cache")).env("PYTHONDONTWRITEBYTECODE", "1");
        call.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        call
    }

    /// What it says of a request: `accepted` or `refused`; what else it says is a failure of its own.
    fn says(&self, place: &Place, case: &Case) -> String {
        let arguments = [&case.key, &case.id, &case.timestamp, &case.signature].map(String::as_str);
        let mut running = self.call(self.run, &place.path(""), &arguments).spawn().unwrap();
        // One that ends without reading all has its own words for it.
        let _ = running.stdin.take().unwrap().write_all(&case.body);
        let said = running.wait_with_output().unwrap();
        let (words, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        format!("{}{errors}", words.trim())
    }
}

/// A request as it reaches a receiver, and what is to become of it.
#[derive(Clone, Debug)]
struct Case {
    what: &'static str,
    key: String,
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
    is_good: bool,
}

impl Case {
    /// The request as it came; of a GET, its query string.
    fn of(what: &'static str, key: &str, request: &Request) -> Self {
        let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("{request} has no {name}")).to_owned();
        Self {
            what,
            key: key.to_owned(),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: request.query().map_or_else(|| request.body.clone(), |query| query.as_bytes().to_vec()),
            is_good: true,
        }
    }

    /// The same, which has to be refused, with this changed.
    fn but(&self, what: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self { what, is_good: false, ..self.clone() };
        change(&mut case);
        case
    }

    fn is_ed25519(&self) -> bool {
        self.key.starts_with("whpk_")
    }
}

/// A host that a tenant has hooks at, and the server that they lead to.
struct Sender {
    host: TestHost,
    clock: Clock,
    receiver: Receiver,
}

impl Sender {
    async fn start() -> Self {
        let (clock, receiver) = (Clock::manual(now_ms() - TEN_MINUTES_MS), Receiver::start().await);
        let host = TestHost::builder().without_broker().clock(clock.clone()).start().await;
        Self { host, clock, receiver }
    }

    async fn call(&self, method: &str, rest: &str, data: Value) -> Value {
        let path = format!("/v2/accounts/{ACCOUNT}/webhooks{rest}");
        let body = (method != "GET").then(|| json!({"data": data}));
        let called = self.host.call(method, &path, TENANT_KEY, body).await;
        assert!(called.status < 300, "{path}: {:#}", called.envelope);
        called.data().clone()
    }

    /// A new hook: its id and its secret.
    async fn hook(&self, fields: Value) -> (String, String) {
        let mut document = json!({"name": "h", "uri": self.receiver.url("/in"), "hook": "channel_destroy"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = self.call("PUT", "", document).await;
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }

    /// What the hook sends now.
    async fn fired(&self, hook: &str) -> Request {
        let before = self.receiver.requests().len();
        self.call("POST", &format!("/{hook}/test"), json!({})).await;
        self.receiver.expect_requests(before + 1).await.remove(before)
    }

    async fn rotated(&self, hook: &str) -> String {
        let rotated = self.call("POST", &format!("/{hook}/secret"), json!({})).await;
        rotated["secret"].as_str().unwrap().to_owned()
    }

    async fn public_key(&self, hook: &str) -> String {
        let key = self.call("GET", &format!("/{hook}/public_key"), Value::Null).await;
        key["public_key"].as_str().unwrap().to_owned()
    }
}

async fn cases() -> Vec<Case> {
    let sender = Sender::start().await;
    let (json_hook, secret) = sender.hook(json!({"format": "json"})).await;
    let (form_hook, form_secret) = sender.hook(json!({"format": "form-data"})).await;
    let (get_hook, get_secret) = sender.hook(json!({"http_verb": "get"})).await;
    let (key_hook, key_secret) = sender.hook(json!({"format": "json", "signature": "ed25519"})).await;
    let public_key = sender.public_key(&key_hook).await;
    let old = Case::of("ten minutes old", &secret, &sender.fired(&json_hook).await).but("ten minutes old", |_| ());
    let old_key = Case::of("", &public_key, &sender.fired(&key_hook).await).but("ten minutes old, ed25519", |_| ());
    sender.clock.advance(TEN_MINUTES_MS);

    let good = Case::of("as JSON", &secret, &sender.fired(&json_hook).await);
    let keyed = Case::of("ed25519", &public_key, &sender.fired(&key_hook).await);
    let mut cases = vec![
        Case::of("as a form", &form_secret, &sender.fired(&form_hook).await),
        Case::of("by GET", &get_secret, &sender.fired(&get_hook).await),
        old.but("old, under a new time", |case| case.timestamp = good.timestamp.clone()),
        good.but("a changed body", |case| case.body.push(b' ')),
        good.but("a cut body", |case| case.body.truncate(10)),
        good.but("another hook's secret", |case| case.key = form_secret.clone()),
        good.but("another id", |case| case.id.push('0')),
        good.but("no signature", |case| case.signature.clear()),
        good.but("no time", |case| case.timestamp.clear()),
        good.but("a time that is none", |case| case.timestamp = "soon".to_owned()),
        good.but("a time beyond all numbers", |case| case.timestamp = "9".repeat(400)),
        good.but("signatures that are none", |case| case.signature = "v1,!! v1, v1a,AA== , é x".to_owned()),
        good.but("a cut signature", |case| case.signature.truncate(30)),
        good.but("another kind of signature", |case| case.signature = case.signature.replace("v1,", "v1a,")),
        keyed.but("a changed body, ed25519", |case| case.body.push(b' ')),
        keyed.but("signatures that are none, ed25519", |case| case.signature = "v1a,!! v1a, v1a,AA== v1,x".to_owned()),
        keyed.but("a signature of nothing, ed25519", |case| case.signature = format!("v1a,{}w==", "/".repeat(85))),
        keyed.but("an ed25519 signature where a secret counts", |case| case.key = key_secret.clone()),
    ];

    let new_secret = sender.rotated(&json_hook).await;
    let both = Case::of("rotated, by the new secret", &new_secret, &sender.fired(&json_hook).await);
    assert_eq!(both.signature.split(' ').count(), 2, "{both:?}");
    let mut turned = Case { what: "rotated, signatures the other way round", ..both.clone() };
    turned.signature = both.signature.split(' ').rev().collect::<Vec<_>>().join(" ");
    cases.push(Case { what: "rotated, by the old secret", key: secret, ..both.clone() });
    cases.push(both.but("rotated, by another secret", |case| case.key = form_secret.clone()));
    sender.rotated(&key_hook).await;
    let rotated_key = Case::of("rotated, ed25519, by the old key", &public_key, &sender.fired(&key_hook).await);
    assert_eq!(rotated_key.signature.split(' ').count(), 2, "{rotated_key:?}");
    let other_key = sender.public_key(&key_hook).await;
    cases.push(keyed.but("another public key", |case| case.key = other_key.clone()));
    sender.clock.advance(TEN_MINUTES_MS);
    cases.push(Case::of("", &new_secret, &sender.fired(&json_hook).await).but("from the future", |_| ()));
    cases.extend([old, old_key, good, keyed, both, turned, rotated_key]);
    sender.host.finish().await;
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_host_are_accepted_and_others_refused() {
    let cases = cases().await;
    let mut wrong = Vec::new();
    for language in &LANGUAGES {
        if !language.is_here() {
            assert!(!language.is_needed, "{} is not there; `make kit-tools` brings it", language.program());
            // Not by `eprintln`, which is shown of failing tests alone.
            let missing = format!("docs/verify/{}: left out, {} is not here\n", language.file, language.program());
            std::io::stderr().write_all(missing.as_bytes()).unwrap();
            continue;
        }
        let place = language.place();
        for case in cases.iter().filter(|case| language.knows_ed25519 || !case.is_ed25519()) {
            let expected = if case.is_good { "accepted" } else { "refused" };
            let said = language.says(&place, case);
            if said != expected {
                wrong.push(format!("{}: {} is not {expected}: {said}", language.file, case.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_shows_the_files_as_they_are() {
    let page = page("docs/tenants.md");
    let blocks = page.blocks();
    for language in &LANGUAGES {
        let text = language.text();
        let is_shown = blocks.iter().any(|block| block.language == language.name && block.text == text);
        assert!(is_shown, "{} does not show docs/verify/{} as it is", page.name, language.file);
    }
    let files = fs::read_dir(root().join("docs/verify")).unwrap().count();
    assert_eq!(files, LANGUAGES.len(), "each file of docs/verify is a language here");
}
