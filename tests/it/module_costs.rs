//! What modules and transforms cost and say: added up for whoever is charged, kept for whoever owns them, and shown to
//! nobody else.

use hookbox::{
    host,
    store::module_costs::{CostQuery, Day},
};
use hookbox_tests::{
    bad_modules::{self, TRAP},
    eventually::eventually,
    operator::Operator,
    real_program::Place,
    receiver::Receiver,
    rest::Called,
    samples::{ACCOUNT, bad, channel_created},
    test_host::{MASTER, MASTER_KEY, RESELLER, TENANT_KEY, TestHost, a_hook},
    transforms::{self, loaded, registered},
};
use serde_json::{Value, json};

fn path(account: &str, name: &str, rest: &str) -> String {
    format!("/v2/accounts/{account}/webhook_modules/{name}/{rest}")
}

async fn get(host: &TestHost, key: &str, path: &str) -> Called {
    host.call("GET", path, key, None).await
}

async fn post(host: &TestHost) {
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
}

/// The lines of a module's cost, when so many calls are written.
async fn costs(host: &TestHost, key: &str, path: &str, calls: u64) -> Vec<Value> {
    eventually(&format!("{calls} calls to be written"), async || {
        let called = get(host, key, path).await;
        let lines = called.data().as_array().cloned().unwrap_or_default();
        let written: u64 = lines.iter().filter_map(|line| line["calls"].as_u64()).sum();
        if written == calls { Ok(lines) } else { Err(called.envelope) }
    })
    .await
}

#[tokio::test]
async fn calls_are_added_up_for_who_is_charged_and_shown_to_nobody_else() {
    let receiver = Receiver::start().await;
    let told = |settings: Value| {
        let transform = json!({"module": transforms::NAME, "settings": settings});
        a_hook("channel_create").to(&receiver).with("transform", transform).with("retry_schedule_s", json!([]))
    };
    let host = TestHost::builder()
        .without_broker()
        .setting("modules.cost_write_ms", 100)
        .hook(told(json!({})))
        .hook(told(json!({"do": "trap"})))
        .start()
        .await;
    // The reseller's, offered: the customer whose hooks use it is charged.
    let transform = loaded(&host, RESELLER, "1.0.0").await;
    let mut offered = registered(&[&transform], &[]);
    offered.offered = true;
    host.running.modules.transforms.put(RESELLER.into(), transforms::NAME, offered);
    for _ in 0..3 {
        post(&host).await;
    }
    receiver.expect_requests(3).await;

    let cost = path(ACCOUNT, transforms::NAME, "cost");
    let lines = costs(&host, TENANT_KEY, &cost, 6).await;
    assert_eq!(lines.len(), 1, "one line a day: {lines:?}");
    let line = &lines[0];
    assert_eq!((&line["module"], &line["account_id"]), (&json!(format!("{RESELLER}/as_told")), &json!(ACCOUNT)));
    assert_eq!(line["faults"], 3);
    for (figure, least) in [("fuel", 1000), ("time_us", 1), ("memory_bytes_max", 1000)] {
        assert!(line[figure].as_u64().unwrap() >= least, "{figure} in {line}");
    }
    assert_eq!(line["day"].as_str().map(str::len), Some("2026-01-31".len()));

    // Days.
    let day = line["day"].as_str().unwrap();
    let of_the_day = get(&host, TENANT_KEY, &format!("{cost}?from={day}&to={day}")).await.expect(200);
    assert_eq!(of_the_day.data()[0]["calls"], 6);
    let long_ago = get(&host, TENANT_KEY, &format!("{cost}?from=2001-01-01&to=2001-12-31")).await.expect(200);
    assert_eq!(long_ago.data(), &json!([]));
    for (query, field) in [("from=soon", "from"), ("to=2026-13-01", "to"), ("from=2026-02-01&to=2026-01-01", "from")] {
        let refused = get(&host, TENANT_KEY, &format!("{cost}?{query}")).await.expect(400);
        assert!(refused.data().get(field).is_some(), "{query}: {}", refused.envelope);
    }

    // Who sees what.
    assert_eq!(get(&host, MASTER_KEY, &cost).await.expect(200).data()[0]["calls"], 6);
    let owners = get(&host, MASTER_KEY, &path(RESELLER, transforms::NAME, "cost")).await.expect(200);
    assert_eq!(owners.data(), &json!([]), "nothing is charged to the owner");
    for (account, name, status) in [
        (RESELLER, transforms::NAME, 403),
        (ACCOUNT, "nothing", 404),
        // The operator's.
        (ACCOUNT, "channel_create", 404),
        (MASTER, "channel_create", 403),
    ] {
        get(&host, TENANT_KEY, &path(account, name, "cost")).await.expect(status);
    }
    let lines = costs(&host, MASTER_KEY, &path(MASTER, "channel_create", "cost"), 3).await;
    assert_eq!((&lines[0]["module"], lines[0].get("account_id")), (&json!("channel_create"), None));
    host.finish().await;
}

#[tokio::test]
async fn what_is_not_written_yet_is_written_at_the_stop() {
    let host = TestHost::builder().without_broker().setting("modules.cost_write_ms", 3_600_000).start().await;
    post(&host).await;
    let TestHost { running, settings, folder, .. } = host;
    assert!(running.stop().await, "it stops in time");
    let store = host::open_store(&settings).await.unwrap();
    let all = CostQuery {
        modules: vec!["channel_create".into()],
        account: None,
        from: 0,
        to: Day::MAX,
        after: None,
        limit: 10,
    };
    let costs = store.module_costs(&all).await.unwrap();
    assert_eq!(costs.iter().map(|(_, sums)| sums.calls).collect::<Vec<_>>(), [1]);
    store.close().await;
    drop(folder);
}

#[tokio::test]
async fn what_a_transform_says_is_kept_for_its_owner() {
    let receiver = Receiver::start().await;
    let transform = json!({"module": transforms::NAME, "settings": {"log": "hello\nsecond line"}});
    let hook = a_hook("channel_create").to(&receiver).with("transform", transform);
    let host = TestHost::builder().without_broker().setting("modules.log_lines_per_s", 4).hook(hook).start().await;
    let logs = path(ACCOUNT, transforms::NAME, "logs");
    get(&host, TENANT_KEY, &logs).await.expect(404);
    transforms::register(&host, ACCOUNT).await;
    assert_eq!(get(&host, TENANT_KEY, &logs).await.expect(200).data(), &json!([]));

    post(&host).await;
    receiver.expect_requests(1).await;
    let read = async |query: &str| get(&host, TENANT_KEY, &format!("{logs}{query}")).await.expect(200).data().clone();
    let lines = read("").await;
    let said: Vec<_> = lines.as_array().unwrap().iter().map(|line| (&line["level"], &line["text"])).collect();
    let [begins, hello, second] = ["it begins", "hello", "second line"].map(|text| json!(text));
    let [debug, info] = ["debug", "info"].map(|level| json!(level));
    assert_eq!(said, [(&debug, &begins), (&info, &hello), (&info, &second)]);
    assert_eq!((&lines[0]["version"], lines[0]["timestamp"].is_u64()), (&json!("1.0.0"), true));
    assert_eq!(read("?level=info").await.as_array().map(Vec::len), Some(2));
    assert_eq!(read(&format!("?after={}", lines[1]["id"])).await, json!([lines[2]]));
    for (query, field) in [("after=x", "after"), ("level=loud", "level")] {
        let refused = get(&host, TENANT_KEY, &format!("{logs}?{query}")).await.expect(400);
        assert!(refused.data().get(field).is_some(), "{query}: {}", refused.envelope);
    }
    get(&host, TENANT_KEY, &path(RESELLER, transforms::NAME, "logs")).await.expect(403);
    get(&host, TENANT_KEY, &path(ACCOUNT, "channel_create", "logs")).await.expect(404);
    get(&host, MASTER_KEY, &path(MASTER, "channel_create", "logs")).await.expect(200);

    // Over the bound of a second, lines go nowhere; that is told with the next.
    for _ in 0..6 {
        post(&host).await;
    }
    eventually("it to be told that lines were dropped", async || {
        post(&host).await;
        let said = read("?level=warn").await;
        if said.to_string().contains("lines were dropped: more than modules.log_lines_per_s") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn costs_and_lines_are_read_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("trap.wasm"), bad_modules::bytes(TRAP)).unwrap();
    let place = Place::with_settings(&format!("modules.dir = {:?}\nmodules.cost_write_ms = 100", dir.path()));
    let host = place.serve().await;
    let master = Operator::at(&place, &host, MASTER_KEY);
    let (status, envelope) = host.post(MASTER, &bad(MASTER).to_json()).await;
    assert_eq!(status, 202, "{envelope}");

    let cost = eventually("the call to be written", async || {
        let cost = master.reads(&["module", "cost", "trap"]).await;
        if cost[0]["calls"] == 1 { Ok(cost) } else { Err(cost) }
    })
    .await;
    assert_eq!((&cost[0]["faults"], &cost[0]["module"]), (&json!(1), &json!("trap")));
    let table = master.does(&["module", "cost", "trap", "--from", "2020-01-01"]).await;
    assert!(table.starts_with("DAY") && table.contains("trap"), "{table}");
    let logs = master.does(&["module", "logs", "trap", "--level", "warn"]).await;
    assert!(logs.contains("WARN") && logs.contains("1.0.0") && logs.contains("this module always traps"), "{logs}");
    let refused = master.may_not(1, &["module", "cost", "trap", "--from", "soon"]).await;
    assert_eq!(refused, "hookbox: --from: is no day; write 2026-01-31 (soon)");
    let unknown = master.may_not(1, &["module", "logs", "nothing"]).await;
    assert!(unknown.contains("there is no nothing"), "{unknown}");
    assert_eq!(host.stop().await, 0);
}
