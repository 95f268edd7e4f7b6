//! Tests of the bounds.

use super::*;

/// The settings with some lines over the defaults, past all checks.
fn settings(lines: &str) -> Settings {
    let mut table: toml::Table = EXAMPLE.parse().unwrap();
    for (section, keys) in lines.parse::<toml::Table>().unwrap() {
        let own = table.get_mut(&section).unwrap().as_table_mut().unwrap();
        own.extend(keys.as_table().unwrap().clone());
    }
    table.try_into().unwrap()
}

fn found(lines: &str) -> String {
    problems(&settings(lines), "hookbox.toml", &[]).join("\n")
}

#[test]
fn the_example_is_within_its_bounds() {
    assert_eq!(problems(&settings(""), "example", &[]), Vec::<String>::new());
    let _ = Settings::default();
}

#[test]
fn a_number_out_of_bounds_is_named_with_its_bounds_and_default() {
    insta::assert_snapshot!(found("firing.request_timeout_ms = 0"), @"hookbox.toml: firing.request_timeout_ms is 0; use 1 to 30000, or delete the line for 10000");
    insta::assert_snapshot!(found("modules.time_limit_ms = 10001"), @"hookbox.toml: modules.time_limit_ms is 10001; use 1 to 10000, or delete the line for 50");
    insta::assert_snapshot!(found("amqp.prefetch = 0\nfiring.headers_max = 101"), @r"
    hookbox.toml: amqp.prefetch is 0; use 1 to 65535, or delete the line for 512
    hookbox.toml: firing.headers_max is 101; use 0 to 100, or delete the line for 20
    ");
}

#[test]
fn a_couchdb_is_named_by_host_and_port_and_its_password_is_not_shown() {
    for url in ["http://127.0.0.1:5984", "https://kazoo:p%40ss@db.example.net/", "http://[::1]:5984"] {
        assert_eq!(found(&format!("kazoo.couchdb_url = \"{url}\"")), "");
    }
    for url in ["ftp://u:hunter2@h/", "http://u:hunter2@h/accounts", "http://u:hunter2@h/?q=1", "u:hunter2@h:5984", ""]
    {
        let said = found(&format!("kazoo.couchdb_url = \"{url}\""));
        assert!(said.contains("kazoo.couchdb_url is of the kind") && !said.contains("hunter2"), "{url}: {said}");
    }
    insta::assert_snapshot!(found("kazoo.couchdb_page_rows = 0"), @"hookbox.toml: kazoo.couchdb_page_rows is 0; use 1 to 10000, or delete the line for 500");
    let shown = format!("{:?}", settings("kazoo.couchdb_url = \"http://u:hunter2@h:5984\"").kazoo);
    assert!(shown.contains("h:5984") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_does_not_fit_together_is_named() {
    insta::assert_snapshot!(found("firing.request_timeout_ms = 40000"), @"hookbox.toml: firing.request_timeout_ms is 40000; use 1 to 30000, or delete the line for 10000");
    insta::assert_snapshot!(found("firing.max_in_flight_max = 50"), @"hookbox.toml: firing.max_in_flight is 100; use 1 to 50, or delete the line for 100");
    insta::assert_snapshot!(found("supervisor.pause_ms = 6000"), @"hookbox.toml: supervisor.pause_ms_max is 5000; use at least supervisor.pause_ms, which is 6000, or delete the line for 5000");
    insta::assert_snapshot!(found("amqp.requeue_pause_ms_max = 10"), @"hookbox.toml: amqp.requeue_pause_ms_max is 10; use at least amqp.requeue_pause_ms, which is 200, or delete the line for 30000");
}

#[test]
fn lists_are_judged_entry_by_entry() {
    insta::assert_snapshot!(found("firing.retry_schedule_s = []"), @"hookbox.toml: firing.retry_schedule_s is a list of 0; use 1 to 20 pauses, or delete the line for the default");
    insta::assert_snapshot!(found("firing.retry_schedule_s = [1, 86401]"), @"hookbox.toml: firing.retry_schedule_s is a list with 86401; use 0 to 86400 for each pause, or delete the line for the default");
    insta::assert_snapshot!(found("firing.retry_on = ['5xx', 'always', '200', '+40']"), @r#"
    hookbox.toml: firing.retry_on is a list with "always"; use connection, timeout, a status from 300 to 599, 3xx, 4xx or 5xx, or delete the line for the default
    hookbox.toml: firing.retry_on is a list with "200"; use connection, timeout, a status from 300 to 599, 3xx, 4xx or 5xx, or delete the line for the default
    hookbox.toml: firing.retry_on is a list with "+40"; use connection, timeout, a status from 300 to 599, 3xx, 4xx or 5xx, or delete the line for the default
    "#);
    insta::assert_snapshot!(found("amqp.account_pointers = ['Account-ID']"), @r#"hookbox.toml: amqp.account_pointers is a list with "Account-ID"; begin each JSON pointer with /, or delete the line for the default"#);
    assert_eq!(found("firing.retry_on = []"), "");
}

#[test]
fn urls_names_and_keys_are_judged_and_no_secret_is_shown() {
    insta::assert_snapshot!(found("store.url = 'mysql://root:s3cret@db/x'"), @r#"hookbox.toml: store.url is of the kind "mysql"; use sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE, or delete the line for "sqlite:hookbox.db""#);
    insta::assert_snapshot!(found("store.url = 'sqlite:'"), @r#"hookbox.toml: store.url is of the kind "sqlite"; use sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE, or delete the line for "sqlite:hookbox.db""#);
    insta::assert_snapshot!(found("amqp.url = 'http://u:s3cret@h'"), @r#"hookbox.toml: amqp.url is of the kind "http"; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…"#);
    insta::assert_snapshot!(found("amqp.url = 'localhost'"), @r#"hookbox.toml: amqp.url is of the kind ""; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…"#);
    insta::assert_snapshot!(found("amqp.url = 'amqp://'"), @"hookbox.toml: amqp.url is no URL with a host; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…");
    insta::assert_snapshot!(found("amqp.url = ['amqp://a', 'http://u:s3cret@h']"), @r#"hookbox.toml: amqp.url is of the kind "http"; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…"#);
    insta::assert_snapshot!(found("amqp.url = []"), @"hookbox.toml: amqp.url is a list of 0; use 1 to 16 of amqp://USER:PASSWORD@HOST:PORT/VHOST");
    insta::assert_snapshot!(found("amqp.client_cert_file = '/c.pem'"), @"hookbox.toml: amqp.client_cert_file is /c.pem; set both amqp.client_cert_file and amqp.client_key_file, or neither");
    insta::assert_snapshot!(found("amqp.queue = ''"), @r#"hookbox.toml: amqp.queue is 0 bytes long; use 1 to 246 bytes, or delete the line for "hookbox""#);
    insta::assert_snapshot!(found("amqp.queue = 'amq.x'"), @r#"hookbox.toml: amqp.queue is "amq.x"; use a name that does not begin with amq., which brokers keep for themselves, or delete the line for "hookbox""#);
    insta::assert_snapshot!(found("master.account_id = 'No Good'"), @r#"hookbox.toml: master.account_id is "No Good"; use 32 hex digits, or 1 to 64 of a-z 0-9 _ -"#);
    insta::assert_snapshot!(found("master.api_key = 's3cret'"), @"hookbox.toml: master.api_key is 6 characters long; use at least 32");
    insta::assert_snapshot!(found("telemetry.log = ' '"), @r#"hookbox.toml: telemetry.log is empty; use error, warn, info, debug or trace, or delete the line for "info""#);
    for good in [
        "amqp.url = 'amqp://guest:guest@127.0.0.1:5672/%2f'",
        "amqp.url = 'amqps://broker'",
        "amqp.url = ['amqp://a', 'amqps://[::1]:5671/v']",
        "store.url = 'sqlite:///var/x.db'",
    ] {
        assert_eq!(found(good), "", "{good}");
    }
}

#[test]
fn a_postgres_store_needs_a_database_and_names_for_what_lies_beside_sqlite() {
    let with = |url: &str| {
        found(&format!("store.url = '{url}'\nstore.key_file = '/k'\nmodules.cache_dir = '/c'"))
            .replace("s3cret", "SHOWN")
    };
    for good in
        ["postgres://u:s3cret@db/hookbox", "postgresql://u@[::1]:5433/hookbox?sslmode=verify-full&sslrootcert=/ca.pem"]
    {
        assert_eq!(with(good), "", "{good}");
    }
    for (bad, said) in [
        ("postgres://u:s3cret@db", "store.url is without a database;"),
        ("postgres:///hookbox", "store.url is without a host;"),
        ("postgres://u:s3cret@db/x?pool=3", "store.url is with the option pool;"),
        ("postgres://u:s3cret@db/x?sslmode=s3cret", "store.url is with an option that has no such value;"),
        ("postgres", "store.url is of the kind"),
    ] {
        let found = with(bad);
        assert!(found.contains(said) && !found.contains("SHOWN"), "{bad}: {found}");
    }
    insta::assert_snapshot!(found("store.url = 'postgres://u:s3cret@db/x'"), @r"
    hookbox.toml: store.key_file is unset; name a file, the same on each node, because a PostgreSQL store lies in no folder of this machine; or delete the line of store.url
    hookbox.toml: modules.cache_dir is unset; name a folder of this node's own, because a PostgreSQL store lies in no folder of this machine; or delete the line of store.url
    ");
    let shown = format!("{:?}", settings("store.url = 'postgres://u:s3cret@db/x'"));
    assert!(shown.contains("postgres://db/x") && !shown.contains("s3cret"), "{shown}");
}

/// What the example's comments say of each number ("…; 1 to 120000") is what is checked.
#[test]
fn the_bounds_are_those_of_the_example() {
    let (mut section, mut comment, mut checked) = (String::new(), String::new(), 0);
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
            continue;
        } else if let Some((key, value)) = line.split_once(" = ")
            && let (Ok(_), Some((least, most))) = (value.parse::<u64>(), bounds_of(&comment))
        {
            let key = format!("{section}.{key}");
            let named = |value: u64| {
                let lines = format!("{key} = {value}");
                let Ok(settings) = std::panic::catch_unwind(|| settings(&lines)) else { return true };
                problems(&settings, "x", &[])
                    .iter()
                    .any(|problem| problem.starts_with(&format!("x: {key} is {value};")))
            };
            // Two numbers have a ceiling among the other settings.
            let most = match key.as_str() {
                "firing.request_timeout_ms" => 30_000,
                "firing.max_in_flight" => 1000,
                _ => most,
            };
            assert!(named(most + 1), "{key} = {} passes", most + 1);
            assert!(least == 0 || named(least - 1), "{key} = {} passes", least - 1);
            let tied = ["amqp.requeue_pause_ms_max", "supervisor.pause_ms_max", "modules.hostcall_bytes_max"]
                .contains(&key.as_str());
            assert!(tied || !named(least), "{key} = {least} is refused");
            assert!(!named(most), "{key} = {most} is refused");
            checked += 1;
        }
        comment.clear();
    }
    assert!(checked > 50, "{checked} found in the example");
}

/// The first "N to M" of a comment; "at most M" counts from 0.
fn bounds_of(comment: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = comment.split_whitespace().map(|word| word.trim_end_matches(['.', ',', ';', '…'])).collect();
    let range = words.windows(3).find_map(|three| match three {
        [least, "to", most] => Some((least.parse().ok()?, most.parse().ok()?)),
        _ => None,
    });
    range.or_else(|| {
        words.windows(3).find_map(|three| match three {
            ["at", "most", most] => most.parse().ok().map(|most| (0, most)),
            _ => None,
        })
    })
}

#[test]
fn a_collector_is_named_by_a_url_without_secrets_and_a_ratio_is_a_part_of_one() {
    for url in ["http://127.0.0.1:4318/v1/traces", "https://otlp.example.net/v1/traces?team=a", "http://[::1]:4318"] {
        assert_eq!(found(&format!("telemetry.otlp_url = \"{url}\"")), "");
    }
    for url in ["grpc://u:hunter2@h:4317", "http://u:hunter2@h/v1/traces", "hunter2", ""] {
        let said = found(&format!("telemetry.otlp_url = \"{url}\""));
        assert!(said.contains("telemetry.otlp_url is of the kind") && !said.contains("hunter2"), "{url}: {said}");
    }
    for ratio in ["0.0", "0.5", "1.0"] {
        assert_eq!(found(&format!("telemetry.trace_ratio = {ratio}")), "");
    }
    insta::assert_snapshot!(found("telemetry.trace_ratio = 1.5"), @"hookbox.toml: telemetry.trace_ratio is 1.5; use 0.0 to 1.0, or delete the line for 0.01");
    assert!(found("telemetry.trace_ratio = nan").contains("telemetry.trace_ratio is NaN"));
}
