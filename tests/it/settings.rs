//! Every way in which settings can be wrong, as the operator sees it: one sentence on stderr that says what, where and
//! what to do, and exit code 2. What is wrong with a single key in all detail stands with `host/src/settings`.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use hookbox_tests::{eventually::eventually, real_program::Place};
use insta::assert_snapshot;

/// Calls `hookbox serve` in the place, which must refuse to begin; what it says.
async fn refused(place: &Place, environment: &[(&str, &str)]) -> String {
    let said = place.call_with(&["serve", "--config", "hookbox.toml"], environment).await;
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
    said.stderr.trim_end().to_owned()
}

/// As [`refused`], of a settings file with these lines.
async fn refused_file(lines: &str) -> String {
    let place = Place::new();
    place.write("hookbox.toml", lines);
    refused(&place, &[]).await
}

/// As [`refused`], of sound settings with these lines more; logs are not shown.
async fn refused_with(lines: &str) -> String {
    let place = Place::new();
    place.write("hookbox.toml", format!("api.listen = \"127.0.0.1:0\"\ntelemetry.log = \"off\"\n{lines}"));
    place.write("empty.txt", "");
    refused(&place, &[]).await
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    assert_snapshot!(refused(&Place::new(), &[]).await, @"hookbox: hookbox.toml: cannot be read (No such file or directory (os error 2)); name a readable file with --config, or leave it out for the defaults");
    let place = Place::new();
    place.write("hookbox.toml/file", "");
    assert_snapshot!(refused(&place, &[]).await, @"hookbox: hookbox.toml: cannot be read (Is a directory (os error 21)); name a readable file with --config, or leave it out for the defaults");
}

#[tokio::test]
async fn a_file_that_is_not_toml_is_refused_with_its_line() {
    assert_snapshot!(refused_file("[api]\nlisten = \"127.0.0.1:0\"\n[amqp\n").await, @"hookbox: hookbox.toml: line 3 is not TOML (unclosed table, expected `]`); mend it, hookbox.example.toml shows the form");
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_the_nearest() {
    assert_snapshot!(refused_file("[firing]\nrequest_timeout = 5\n").await, @"hookbox: hookbox.toml: there is no setting firing.request_timeout; did you mean firing.request_timeout_ms?");
    assert_snapshot!(refused_file("[fireing]\n").await, @"hookbox: hookbox.toml: there is no section [fireing]; did you mean [firing]?");
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused_with_the_right_one() {
    assert_snapshot!(refused_file("[firing]\nrequest_timeout_ms = \"10s\"\n").await, @r#"hookbox: hookbox.toml: firing.request_timeout_ms is "10s"; use a whole number from 0"#);
    assert_snapshot!(refused_file("[amqp]\nqueue_type = \"stream\"\n").await, @r#"hookbox: hookbox.toml: amqp.queue_type is "stream"; use quorum or classic"#);
}

#[tokio::test]
async fn a_value_out_of_bounds_is_refused_with_the_bounds() {
    assert_snapshot!(refused_file("[firing]\nrequest_timeout_ms = 0\n").await, @"hookbox: hookbox.toml: firing.request_timeout_ms is 0; use 1 to 30000, or delete the line for 10000");
    assert_snapshot!(refused_file("[firing]\nlease_ms = 500\n").await, @"hookbox: hookbox.toml: firing.lease_ms is 500; use 2000 to 3600000, or delete the line for 30000");
}

#[tokio::test]
async fn all_that_is_out_of_bounds_is_said_at_once() {
    assert_snapshot!(refused_file("[modules]\nworkers = 1000\n[attempts]\nkeep_days = 0\n").await, @r"
    hookbox: hookbox.toml: modules.workers is 1000; use 0 to 256, or delete the line for 0
    hookbox.toml: attempts.keep_days is 0; use 1 to 3650, or delete the line for 30
    ");
}

#[tokio::test]
async fn a_variable_is_named_as_it_was_set() {
    let place = Place::new();
    place.write("hookbox.toml", "");
    let of = async |name, value| refused(&place, &[(name, value)]).await;
    assert_snapshot!(of("HOOKBOX_API__LISTN", "127.0.0.1:0").await, @"hookbox: environment: HOOKBOX_API__LISTN names no setting; did you mean HOOKBOX_API__LISTEN?");
    assert_snapshot!(of("HOOKBOX_AMQP__PREFETCH", "many").await, @r#"hookbox: environment: HOOKBOX_AMQP__PREFETCH is "many"; use a whole number from 0 to 65535"#);
    assert_snapshot!(of("HOOKBOX_AMQP__PREFETCH", "0").await, @"hookbox: environment: HOOKBOX_AMQP__PREFETCH is 0; use 1 to 65535, or unset it for 512");
}

#[tokio::test]
async fn what_is_secret_is_not_shown() {
    assert_snapshot!(refused_file("[amqp]\nurl = \"http://user:hunter2@broker/\"\n").await, @r#"hookbox: hookbox.toml: amqp.url is of the kind "http"; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…"#);
    assert_snapshot!(refused_file("[master]\napi_key = \"hunter2\"\n").await, @"hookbox: hookbox.toml: master.api_key is 7 characters long; use at least 32");
    assert_snapshot!(refused_file("[store]\nurl = \"mysql://user:hunter2@db/hooks\"\n").await, @r#"hookbox: hookbox.toml: store.url is of the kind "mysql"; use sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE, or delete the line for "sqlite:hookbox.db""#);
}

#[tokio::test]
async fn a_log_level_that_is_none_is_refused() {
    assert_snapshot!(refused_file("telemetry.log = \"hookbox=loud\"").await, @r#"hookbox: telemetry.log is "hookbox=loud": error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5; use error, warn, info, debug, trace or tracing's directives"#);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let shown = |text: String| text.replace(&address.port().to_string(), "PORT");
    assert_snapshot!(shown(refused_file(&format!("telemetry.log = \"off\"\napi.listen = \"{address}\"")).await), @"hookbox: api.listen 127.0.0.1:PORT: cannot listen; choose a free port, or 0 for any: Address already in use (os error 98)");
    assert_snapshot!(shown(refused_with(&format!("telemetry.listen = \"{address}\"")).await), @"hookbox: telemetry.listen 127.0.0.1:PORT: cannot listen; choose a free port, or 0 for any: Address already in use (os error 98)");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_named() {
    let key = "store.key_file = \"hookbox.key\"\n";
    assert_snapshot!(refused_with(&format!("{key}store.url = \"sqlite:missing/hookbox.db\"")).await, @"hookbox: store.url sqlite:missing/hookbox.db: cannot open the store; there is no folder missing; make it, or name another place");
    assert_snapshot!(refused_with(&format!("{key}store.url = \"sqlite:.\"")).await, @"hookbox: store.url sqlite:.: cannot open the store; . is a folder; name a file in it");
    let place = Place::new();
    place.write(
        "hookbox.toml",
        "api.listen = \"127.0.0.1:0\"\ntelemetry.log = \"off\"\nstore.url = \"sqlite:notes.txt\"",
    );
    place.write("notes.txt", "not a database ".repeat(1000));
    assert_snapshot!(refused(&place, &[]).await, @"hookbox: store.url sqlite:notes.txt: cannot open the store; notes.txt is not an SQLite database; move it away, or name another file: error returned from database: (code: 26) file is not a database");
    assert_eq!(fs::read_to_string(place.path("notes.txt")).unwrap(), "not a database ".repeat(1000), "and left alone");
}

#[tokio::test]
async fn a_key_file_that_is_of_no_use_is_named() {
    assert_snapshot!(refused_with("store.key_file = \"missing/hookbox.key\"").await, @"hookbox: missing/hookbox.key: the host's key cannot be made; make its folder and let this user write there, or name another file in store.key_file: No such file or directory (os error 2)");
    assert_snapshot!(refused_with("store.key_file = \".\"").await, @"hookbox: .: the host's key cannot be read; let this user read it, or name another file in store.key_file: Is a directory (os error 21)");
    let place = Place::new();
    place
        .write("hookbox.toml", "api.listen = \"127.0.0.1:0\"\ntelemetry.log = \"off\"\nstore.key_file = \"short.key\"");
    let key = place.write("short.key", "0123456789abcdef");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_snapshot!(refused(&place, &[]).await, @"hookbox: short.key: the host's key has to be 64 hex digits; restore the file from a copy (without it, hook secrets are lost)");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_snapshot!(refused(&place, &[]).await, @"hookbox: short.key: everybody can read the host's key (mode 0644); run `chmod 600 short.key`");
}

#[tokio::test]
async fn a_cache_folder_that_cannot_be_made_is_named() {
    assert_snapshot!(refused_with("modules.cache_dir = \"empty.txt\"").await, @"hookbox: modules.cache_dir empty.txt: cannot be made or written; name a folder that can: File exists (os error 17)");
}

#[tokio::test]
async fn a_modules_folder_that_is_not_there_is_said_and_waited_for() {
    let place = Place::with_settings("modules.dir = \"modules\"\nmodules.watch_ms = 50");
    let said = place.call(&["doctor", "--config", "hookbox.toml"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    let wrong: Vec<_> = said.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert_snapshot!(wrong.join("\n"), @"WRONG module: modules is not loaded: modules.dir cannot be read (No such file or directory (os error 2)); make the folder, let this user read it, or name another");

    let host = place.serve().await;
    let ready = async || {
        let answer = hookbox_tests::test_host::http().get(format!("{}/readyz", host.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ready().await.0, 503);
    fs::create_dir(place.path("modules")).unwrap();
    eventually("a ready host", async || match ready().await {
        (200, _) => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(host.stop().await, 0);
}

#[tokio::test]
async fn the_environment_lies_over_the_file() {
    let place = Place::with_settings("amqp.prefetch = 0");
    assert!(refused(&place, &[]).await.contains("hookbox.toml: amqp.prefetch is 0; use 1 to 65535"));
    let host = place.serve_with(&[("HOOKBOX_AMQP__PREFETCH", "10")]).await;
    assert_eq!(host.stop().await, 0);
}
