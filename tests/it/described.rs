//! `/openapi.json` says what the host really answers: every path is called by schemathesis, with what the description
//! allows and with what it does not, and no answer may be a server error, or one that is not described.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use hookbox_tests::{
    bad_modules,
    receiver::Receiver,
    samples::{ACCOUNT, bad, sms_received},
    test_host::{MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost},
    transforms,
};
use serde_json::{Value, json};

/// How long schemathesis may try things, seconds; what it has not tried by then it leaves out.
const TIME_S: u32 = 45;
/// Components are sent as other bytes are.
const HOOKS: &str =
    "import schemathesis\nschemathesis.serializer.alias('application/wasm', 'application/octet-stream')\n";
/// For the whole program, with its start and its report, seconds.
const PATIENCE_S: u32 = 240;

fn schemathesis() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(3).unwrap().join("python/bin/schemathesis");
    assert!(program.is_file(), "{} is not there; `make python-tools` brings it", program.display());
    program
}

/// A host with something of everything, and the ids of it, by the names of path parameters.
async fn a_host_with_everything(receiver: &Receiver) -> (TestHost, Value) {
    let host = TestHost::builder()
        .without_broker()
        .module("trap", bad_modules::bytes(bad_modules::TRAP))
        .setting("api.auth_failures_per_min", 100_000)
        .setting("api.keys_per_account_max", 10_000)
        // Its letters are replayed again and again, and a module in quarantine makes /readyz answer 503.
        .setting("modules.fault_count", 10_000)
        .setting("modules.tenant_bindings", json!(["bad"]))
        .start()
        .await;
    let account = format!("/v2/accounts/{ACCOUNT}");
    let call = async |method: &str, path: &str, data: Value| {
        let called = host.call(method, &format!("{account}/{path}"), TENANT_KEY, Some(json!({"data": data}))).await;
        assert!(called.status < 300, "{path}: {:#}", called.envelope);
        called.data().clone()
    };
    let mut hooks = Vec::new();
    for number in 0..8 {
        let hook = json!({"name": format!("hook {number}"), "uri": receiver.url("/"), "hook": "sms", "format": "json"});
        hooks.push(call("PUT", "webhooks", hook).await["id"].clone());
    }
    let transform = transforms::register(&host, ACCOUNT).await;
    let told = json!({"module": transforms::NAME, "version": transform.version, "settings": {"log": "hello"}});
    let transformed =
        json!({"name": "t", "uri": receiver.url("/"), "hook": "sms", "format": "json", "transform": told});
    hooks.push(call("PUT", "webhooks", transformed).await["id"].clone());
    let mut keys = Vec::new();
    for number in 0..8 {
        keys.push(call("PUT", "keys", json!({"name": format!("key {number}")})).await["id"].clone());
    }
    let job = call("PUT", "webhooks/resend_jobs", json!({"outcome": "all"})).await["id"].clone();
    host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    for component in [bad_modules::CRM, bad_modules::CRM_NEXT] {
        let component = bad_modules::bytes(component);
        host.upload(ACCOUNT, "crm", "?activate=true", TENANT_KEY, component).await.expect(201);
    }
    let ids =
        |list: Value| -> Vec<Value> { list.as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect() };
    let get = async |path: &str| host.call("GET", &format!("{account}/{path}"), TENANT_KEY, None).await.expect(200);
    let attempts = ids(get("webhooks/attempts").await.data().clone());
    let letters = ids(get("dead_letters").await.data().clone());
    assert!(!attempts.is_empty() && !letters.is_empty(), "{attempts:?} {letters:?}");
    let known = json!({
        "account_id": [ACCOUNT, ACCOUNT, ACCOUNT, SIBLING, RESELLER], "hook_id": hooks, "key_id": keys,
        "attempt_id": attempts, "job_id": [job], "letter_id": letters, "sample_id": ["webhooks_sms"],
        "module_name": ["crm", "crm", "crm", "other", transforms::NAME], "version": ["1.0.0", "2.0.0"],
    });
    (host, known)
}

/// Lets schemathesis loose on the paths that match, with a key; what it found, when it found anything.
async fn found(host: &TestHost, known: &Value, key: &str, paths: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::from("[output.sanitization]\nenabled = false\n");
    for (name, values) in known.as_object().unwrap() {
        config += &format!("[dictionaries.{name}]\nvalues = {values}\n");
        config += &format!("[parameters.\"path.{name}\"]\ndictionary = \"{name}\"\nprobability = 0.8\n");
    }
    std::fs::write(folder.path().join("schemathesis.toml"), config).unwrap();
    std::fs::write(folder.path().join("hooks.py"), HOOKS).unwrap();
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let mut program = Command::new("timeout");
    program
        .arg(PATIENCE_S.to_string())
        .arg(schemathesis())
        .current_dir(folder.path())
        .args(["--no-color", "run", "--checks", checks, "--phases", "examples,coverage,fuzzing", "--workers", "2"])
        .args(["--max-time", &TIME_S.to_string(), "--max-failures", "15", "--continue-on-failure"])
        .args(["--request-timeout", "20", "--include-path-regex", paths])
        .args(["--header", &format!("X-Auth-Token: {key}")])
        .arg(format!("http://{}/openapi.json", host.running.api_address))
        .env("NO_PROXY", "*")
        .env("SCHEMATHESIS_HOOKS", "hooks.py")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
        line.and_then(|line| line.trim().split('/').next()?.parse::<u32>().ok())
    };
    assert!(figure("Tested:") >= Some(1) && figure("Tested:") == figure("Selected:"), "paths were left out:\n{said}");
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{said}\n{}", String::from_utf8_lossy(&output.stderr))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_a_tenant_is_as_described() {
    let receiver = Receiver::start().await;
    let (host, known) = a_host_with_everything(&receiver).await;
    // All but the paths of one key (schemathesis would revoke the key that it calls with), and the one whose answer goes on
    // and on.
    if let Err(report) = found(&host, &known, TENANT_KEY, r"^/(?!.*/(keys/\{key_id\}|live)$)").await {
        panic!("{report}");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_the_operator_is_as_described() {
    let receiver = Receiver::start().await;
    let (host, known) = a_host_with_everything(&receiver).await;
    if let Err(report) =
        found(&host, &known, MASTER_KEY, r"^/v2/(dead_letters|system_configs)|/move$|/reseller$|/keys/\{key_id\}$")
            .await
    {
        panic!("{report}");
    }
    host.finish().await;
}
