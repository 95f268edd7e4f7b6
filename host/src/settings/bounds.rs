//! Bounds of the settings, as `hookbox.example.toml` names them, and what must fit together. One sentence a problem:
//! what, where, what to do.

use std::{ops::RangeInclusive, sync::LazyLock};

use super::{AmqpSettings, AmqpUrls, EXAMPLE, Settings, known::variable_of};
use crate::{message::AccountId, store::postgres};

/// AMQP's short string; there are also `<queue>.dead` and `<queue>.requests`.
const QUEUE_BYTES_MAX: usize = 255 - ".requests".len();

/// Brokers that are tried in turn.
const AMQP_URLS_MAX: usize = 16;

const API_KEY_CHARS_MIN: usize = 32;

/// Bounds of `webhooks.attempt_failure_count`, wherever it is set.
pub const ATTEMPT_FAILURE_COUNT: RangeInclusive<u64> = 1..=1_000_000;
/// Bounds of `webhooks.attempt_failure_expiry_ms`, ms, wherever it is set.
pub const ATTEMPT_FAILURE_EXPIRY_MS: RangeInclusive<u64> = 1000..=86_400_000;

/// What is out of bounds. `place` is where the settings came from, as the message shall name it; `variables` are the
/// keys that came from the environment instead.
pub(super) fn problems(settings: &Settings, place: &str, variables: &[String]) -> Vec<String> {
    let mut check = Check { place, variables, problems: Vec::new() };
    numbers(settings, &mut check);
    firing(settings, &mut check);
    texts(settings, &mut check);
    check.problems
}

/// Every number with a bound of its own.
fn numbers(settings: &Settings, check: &mut Check<'_>) {
    let Settings { api, store, amqp, ingress, modules, messages, firing, attempts, dead_letters, .. } = settings;
    let Settings { webhooks, kazoo, telemetry, supervisor, shutdown, .. } = settings;
    for (key, value, bounds) in [
        ("api.body_bytes_max", api.body_bytes_max, 1..=8_000_000),
        ("api.request_timeout_ms", api.request_timeout_ms, 100..=600_000),
        ("api.requests_max", api.requests_max, 1..=100_000),
        ("api.auth_failures_per_min", u64::from(api.auth_failures_per_min), 1..=100_000),
        ("api.page_rows", api.page_rows, 1..=10_000),
        ("api.list_rows_max", api.list_rows_max, 1..=1_000_000),
        ("api.token_minutes", api.token_minutes, 1..=43_200),
        ("api.header_bytes_max", api.header_bytes_max, 8192..=1_048_576),
        ("api.headers_max", api.headers_max, 8..=1000),
        ("api.header_timeout_ms", api.header_timeout_ms, 100..=600_000),
        ("api.connections_max", api.connections_max, 1..=1_000_000),
        ("api.attempts_range_s_max", api.attempts_range_s_max, 60..=315_360_000),
        ("api.list_bytes_max", api.list_bytes_max, 1_048_576..=1_073_741_824),
        ("api.list_looks_max", api.list_looks_max, 10..=10_000_000),
        ("api.resend_ids_max", api.resend_ids_max, 1..=100_000),
        ("api.account_bytes_max", api.account_bytes_max, 1024..=8_000_000),
        ("api.tree_depth_max", api.tree_depth_max, 2..=100),
        ("api.keys_per_account_max", api.keys_per_account_max, 1..=10_000),
        ("api.hooks_per_account_max", api.hooks_per_account_max, 1..=1_000_000),
        ("store.connections_max", store.connections_max, 2..=1000),
        ("store.connect_timeout_ms", store.connect_timeout_ms, 100..=600_000),
        ("store.acquire_timeout_ms", store.acquire_timeout_ms, 100..=600_000),
        ("store.statement_timeout_ms", store.statement_timeout_ms, 1000..=3_600_000),
        ("api.live_clients_max", api.live_clients_max, 0..=10_000),
        ("api.live_clients_per_account_max", api.live_clients_per_account_max, 1..=10_000),
        ("api.live_events_kept", api.live_events_kept, 1..=65_536),
        ("api.live_s_max", api.live_s_max, 1..=86_400),
        ("api.overview_attempts_max", api.overview_attempts_max, 100..=100_000),
        ("store.group_wait_ms", store.group_wait_ms, 0..=1000),
        ("store.group_rows_max", store.group_rows_max, 1..=10_000),
        ("store.poll_ms", store.poll_ms, 100..=3_600_000),
        ("amqp.delivery_limit", amqp.delivery_limit, 10..=1_000_000),
        ("amqp.prefetch", u64::from(amqp.prefetch), 1..=65_535),
        ("amqp.requeue_pause_ms", amqp.requeue_pause_ms, 0..=60_000),
        ("amqp.requeue_pause_ms_max", amqp.requeue_pause_ms_max, 0..=600_000),
        ("amqp.reconnect_pause_ms_max", amqp.reconnect_pause_ms_max, 100..=600_000),
        ("amqp.unbind_after_ms", amqp.unbind_after_ms, 0..=600_000),
        ("amqp.rebind_ms", amqp.rebind_ms, 100..=3_600_000),
        ("amqp.heartbeat_s", u64::from(amqp.heartbeat_s), 1..=600),
        ("amqp.connect_timeout_ms", amqp.connect_timeout_ms, 100..=120_000),
        ("amqp.confirm_timeout_ms", amqp.confirm_timeout_ms, 100..=600_000),
        ("ingress.body_bytes_max", ingress.body_bytes_max, 1..=16_777_216),
        ("ingress.in_flight_max", ingress.in_flight_max, 1..=100_000),
        ("modules.watch_ms", modules.watch_ms, 50..=3_600_000),
        ("modules.workers", modules.workers, 0..=256),
        ("modules.queue_max", modules.queue_max, 1..=100_000),
        ("modules.wait_ms_max", modules.wait_ms_max, 10..=60_000),
        ("modules.long_call_ms", modules.long_call_ms, 1..=10_000),
        ("modules.share_percent", modules.share_percent, 1..=100),
        ("modules.instances_per_account_max", modules.instances_per_account_max, 1..=1000),
        ("modules.instances_per_module_max", modules.instances_per_module_max, 1..=1000),
        ("modules.stored_calls_per_account_max", modules.stored_calls_per_account_max, 0..=100_000_000),
        ("modules.stored_call_bytes_per_account_max", modules.stored_call_bytes_per_account_max, 0..=1_099_511_627_776),
        ("modules.stored_call_lease_ms", modules.stored_call_lease_ms, 2000..=3_600_000),
        ("modules.stored_call_poll_ms", modules.stored_call_poll_ms, 10..=60_000),
        ("modules.stored_calls_at_once", modules.stored_calls_at_once, 1..=10_000),
        ("modules.reuse_max", modules.reuse_max, 1..=1_000_000),
        ("modules.dir_reuse", modules.dir_reuse, 1..=1_000_000),
        ("modules.idle_instances_max", modules.idle_instances_max, 0..=1000),
        ("modules.idle_instance_ms", modules.idle_instance_ms, 10..=3_600_000),
        ("modules.time_limit_ms", modules.time_limit_ms, 1..=10_000),
        ("modules.fuel_max", modules.fuel_max, 100_000..=100_000_000_000),
        ("modules.memory_bytes_max", modules.memory_bytes_max, 1_048_576..=67_108_864),
        ("modules.keep_resident_bytes", modules.keep_resident_bytes, 0..=16_777_216),
        ("modules.instances_max", modules.instances_max, 8..=1000),
        ("modules.events_max", modules.events_max, 1..=10_000),
        ("modules.output_bytes_max", modules.output_bytes_max, 1024..=16_777_216),
        ("modules.log_bytes_max", modules.log_bytes_max, 0..=1_048_576),
        ("modules.hostcall_bytes_max", modules.hostcall_bytes_max, 65_536..=67_108_864),
        ("modules.handles_max", modules.handles_max, 16..=100_000),
        ("modules.random_bytes_max", modules.random_bytes_max, 64..=16_777_216),
        ("modules.stack_bytes", modules.stack_bytes, 65_536..=1_048_576),
        ("modules.bindings_max", modules.bindings_max, 1..=10_000),
        ("modules.component_bytes_max", modules.component_bytes_max, 1024..=67_108_864),
        ("modules.fault_count", modules.fault_count, 1..=10_000),
        ("modules.fault_window_ms", modules.fault_window_ms, 1000..=3_600_000),
        ("modules.fault_write_ms", modules.fault_write_ms, 1..=10_000),
        ("modules.faulty_versions_max", modules.faulty_versions_max, 1..=1_000_000),
        ("modules.check_time_ms_max", modules.check_time_ms_max, 100..=120_000),
        ("modules.report_calls_max", modules.report_calls_max, 0..=10_000),
        ("modules.compile_memory_bytes_max", modules.compile_memory_bytes_max, 268_435_456..=17_179_869_184),
        ("modules.compile_cpu_s", modules.compile_cpu_s, 1..=600),
        ("modules.compile_wall_s", modules.compile_wall_s, 1..=3600),
        ("modules.compiles_max", modules.compiles_max, 1..=64),
        ("modules.compiled_bytes_max", modules.compiled_bytes_max, 1_048_576..=1_073_741_824),
        ("modules.nesting_max", modules.nesting_max, 1..=100),
        ("modules.nested_max", modules.nested_max, 1..=1000),
        ("modules.code_bytes_max", modules.code_bytes_max, 65_536..=67_108_864),
        ("modules.declared_bytes_max", modules.declared_bytes_max, 65_536..=67_108_864),
        ("modules.functions_max", modules.functions_max, 1..=1_000_000),
        ("modules.function_bytes_max", modules.function_bytes_max, 1024..=7_654_321),
        ("modules.locals_max", modules.locals_max, 1..=50_000),
        ("modules.function_weight_max", modules.function_weight_max, 1..=1_000_000_000_000),
        ("modules.branch_targets_max", modules.branch_targets_max, 1..=7_654_321),
        ("modules.types_max", modules.types_max, 1..=1_000_000),
        ("modules.type_depth_max", modules.type_depth_max, 1..=100),
        ("modules.ports_max", modules.ports_max, 1..=1_000_000),
        ("modules.memories_max", modules.memories_max, 1..=100),
        ("modules.tables_max", modules.tables_max, 1..=1000),
        ("modules.cost_write_ms", modules.cost_write_ms, 100..=3_600_000),
        ("modules.cost_lines_max", modules.cost_lines_max, 100..=10_000_000),
        ("modules.cost_keep_days", modules.cost_keep_days, 1..=3650),
        ("modules.log_lines_per_s", modules.log_lines_per_s, 0..=100_000),
        ("modules.log_lines_kept", modules.log_lines_kept, 0..=100_000),
        ("modules.log_bytes_kept", modules.log_bytes_kept, 0..=16_777_216),
        ("modules.uploads_max", modules.uploads_max, 1..=64),
        ("modules.upload_timeout_ms", modules.upload_timeout_ms, 1000..=3_600_000),
        ("modules.modules_per_account_max", modules.modules_per_account_max, 0..=10_000),
        ("modules.versions_per_module_max", modules.versions_per_module_max, 1..=1000),
        ("modules.upload_bytes_per_account_max", modules.upload_bytes_per_account_max, 0..=1_099_511_627_776),
        ("modules.settings_bytes_max", modules.settings_bytes_max, 0..=1_048_576),
        ("messages.keep_per_account", messages.keep_per_account, 0..=10_000),
        ("messages.keep_bytes_max", messages.keep_bytes_max, 0..=17_179_869_184),
        ("firing.connect_timeout_ms", firing.connect_timeout_ms, 1..=60_000),
        ("firing.request_timeout_ms_max", firing.request_timeout_ms_max, 1..=120_000),
        ("firing.response_bytes_max", firing.response_bytes_max, 0..=1_048_576),
        ("firing.response_headers_bytes_max", firing.response_headers_bytes_max, 0..=1_048_576),
        ("firing.idle_connections_max", firing.idle_connections_max, 0..=65_536),
        ("firing.idle_connection_ms", firing.idle_connection_ms, 0..=3_600_000),
        ("firing.park_after_ms", firing.park_after_ms, 10..=60_000),
        ("firing.lease_ms", firing.lease_ms, 2000..=3_600_000),
        ("firing.retry_jitter_percent", firing.retry_jitter_percent, 0..=100),
        ("firing.retry_after_max_s", firing.retry_after_max_s, 0..=604_800),
        ("firing.max_in_flight_max", firing.max_in_flight_max, 1..=100_000),
        ("firing.rate_limit_per_s_max", firing.rate_limit_per_s_max, 1..=1_000_000),
        ("firing.in_flight_max", firing.in_flight_max, 1..=1_000_000),
        ("firing.retry_share_percent", firing.retry_share_percent, 1..=99),
        ("firing.share_window_ms", firing.share_window_ms, 100..=600_000),
        ("firing.claim_rows_max", firing.claim_rows_max, 1..=10_000),
        ("firing.claim_poll_ms", firing.claim_poll_ms, 50..=60_000),
        ("firing.claim_pause_ms", firing.claim_pause_ms, 1..=1000),
        ("firing.full_pause_ms", firing.full_pause_ms, 1..=60_000),
        ("firing.waiting_per_account_max", firing.waiting_per_account_max, 1..=1_000_000_000),
        ("firing.waiting_read_ms", firing.waiting_read_ms, 50..=60_000),
        ("firing.headers_max", firing.headers_max, 0..=100),
        ("firing.headers_bytes_max", firing.headers_bytes_max, 0..=65_536),
        ("firing.hook_bytes_max", firing.hook_bytes_max, 1024..=8_000_000),
        ("firing.old_secret_hours", firing.old_secret_hours, 0..=168),
        ("firing.test_payload_bytes_max", firing.test_payload_bytes_max, 1024..=8_000_000),
        ("firing.resend_waiting_max", firing.resend_waiting_max, 1..=1_000_000),
        ("firing.resend_page_rows", firing.resend_page_rows, 1..=10_000),
        ("firing.resend_jobs_max", firing.resend_jobs_max, 1..=1000),
        ("firing.resend_lease_ms", firing.resend_lease_ms, 1000..=600_000),
        ("firing.resend_delivered_max", firing.resend_delivered_max, 1..=10_000_000),
        ("firing.body_bytes_max", firing.body_bytes_max, 65_536..=67_108_864),
        ("firing.transform_settings_max", firing.transform_settings_max, 0..=1000),
        ("firing.transform_settings_bytes_max", firing.transform_settings_bytes_max, 0..=65_536),
        ("attempts.keep_days", attempts.keep_days, 1..=3650),
        ("dead_letters.keep_days", dead_letters.keep_days, 1..=3650),
        ("dead_letters.rows_max", dead_letters.rows_max, 1..=100_000_000),
        ("dead_letters.rows_per_module_max", dead_letters.rows_per_module_max, 1..=100_000_000),
        ("dead_letters.bulk_rows_max", dead_letters.bulk_rows_max, 1..=10_000),
        ("kazoo.couchdb_timeout_ms", kazoo.couchdb_timeout_ms, 100..=120_000),
        ("kazoo.couchdb_page_rows", kazoo.couchdb_page_rows, 1..=10_000),
        ("kazoo.couchdb_body_bytes_max", kazoo.couchdb_body_bytes_max, 1024..=1_073_741_824),
        ("kazoo.couchdb_requests_max", kazoo.couchdb_requests_max, 1..=1000),
        ("kazoo.couchdb_retry_pause_ms_max", kazoo.couchdb_retry_pause_ms_max, 100..=600_000),
        ("kazoo.couchdb_reread_s", kazoo.couchdb_reread_s, 1..=604_800),
        ("kazoo.couchdb_notices_max", kazoo.couchdb_notices_max, 1..=1_000_000),
        ("kazoo.couchdb_user_pages_max", kazoo.couchdb_user_pages_max, 1..=100_000),
        ("kazoo.unknown_account_wait_ms", kazoo.unknown_account_wait_ms, 0..=60_000),
        ("kazoo.unknown_accounts_waiting_max", kazoo.unknown_accounts_waiting_max, 0..=65_535),
        ("kazoo.unknown_account_remembered_ms", kazoo.unknown_account_remembered_ms, 0..=86_400_000),
        ("kazoo.unknown_accounts_remembered_max", kazoo.unknown_accounts_remembered_max, 1..=1_000_000),
        ("webhooks.attempt_failure_count", u64::from(webhooks.attempt_failure_count), ATTEMPT_FAILURE_COUNT),
        ("webhooks.attempt_failure_expiry_ms", webhooks.attempt_failure_expiry_ms, ATTEMPT_FAILURE_EXPIRY_MS),
        ("telemetry.log_body_bytes_max", telemetry.log_body_bytes_max, 0..=1_048_576),
        ("telemetry.module_labels_max", telemetry.module_labels_max, 0..=1000),
        ("telemetry.sample_ms", telemetry.sample_ms, 100..=60_000),
        ("telemetry.otlp_queue_max", telemetry.otlp_queue_max, 1..=1_000_000),
        ("telemetry.otlp_text_bytes_max", telemetry.otlp_text_bytes_max, 16..=65_536),
        ("telemetry.otlp_batch_max", telemetry.otlp_batch_max, 1..=10_000),
        ("telemetry.otlp_wait_ms", telemetry.otlp_wait_ms, 1..=60_000),
        ("telemetry.otlp_timeout_ms", telemetry.otlp_timeout_ms, 100..=60_000),
        ("telemetry.otlp_flush_ms", telemetry.otlp_flush_ms, 0..=10_000),
        ("supervisor.pause_ms", supervisor.pause_ms, 1..=60_000),
        ("supervisor.pause_ms_max", supervisor.pause_ms_max, 1..=600_000),
        ("supervisor.restarts_max", supervisor.restarts_max, 1..=1000),
        ("supervisor.restarts_window_s", supervisor.restarts_window_s, 1..=3600),
        ("shutdown.unready_ms", shutdown.unready_ms, 0..=600_000),
        ("shutdown.grace_ms", shutdown.grace_ms, 0..=600_000),
        ("shutdown.record_ms", shutdown.record_ms, 100..=60_000),
    ] {
        check.number(key, value, bounds);
    }
    check.at_least(
        "amqp.requeue_pause_ms_max",
        amqp.requeue_pause_ms_max,
        "amqp.requeue_pause_ms",
        amqp.requeue_pause_ms,
    );
    let (hostcall, output) = (modules.hostcall_bytes_max, modules.output_bytes_max);
    check.at_least("modules.hostcall_bytes_max", hostcall, "modules.output_bytes_max", output);
    check.at_least("supervisor.pause_ms_max", supervisor.pause_ms_max, "supervisor.pause_ms", supervisor.pause_ms);
}

/// The firing section, where numbers bound each other.
fn firing(settings: &Settings, check: &mut Check<'_>) {
    let firing = &settings.firing;
    // When a ceiling is out of bounds itself, that is said once, above.
    check.number(
        "firing.request_timeout_ms",
        firing.request_timeout_ms,
        1..=firing.request_timeout_ms_max.clamp(1, 120_000),
    );
    check.number("firing.max_in_flight", firing.max_in_flight, 1..=firing.max_in_flight_max.clamp(1, 10_000));
    let pauses = &firing.retry_schedule_s;
    if !(1..=20).contains(&pauses.len()) {
        check.wrong("firing.retry_schedule_s", format!("a list of {}", pauses.len()), "use 1 to 20 pauses");
    }
    for pause in pauses.iter().filter(|pause| **pause > 86_400) {
        check.wrong("firing.retry_schedule_s", format!("a list with {pause}"), "use 0 to 86400 for each pause");
    }
    for word in firing.retry_on.iter().filter(|word| !is_retry_word(word)) {
        let use_ = "use connection, timeout, a status from 300 to 599, 3xx, 4xx or 5xx";
        check.wrong("firing.retry_on", format!("a list with {word:?}"), use_);
    }
}

fn is_retry_word(word: &str) -> bool {
    matches!(word, "connection" | "timeout" | "3xx" | "4xx" | "5xx")
        || (word.len() == 3 && word.parse::<u16>().is_ok_and(|status| (300..=599).contains(&status)))
}

/// What may be there holds a password, so no more than its scheme is shown.
fn store_url(settings: &Settings, check: &mut Check<'_>) {
    let url = &settings.store.url;
    let scheme = url.split(':').next().filter(|scheme| scheme.len() < url.len()).unwrap_or_default();
    match scheme {
        "sqlite" if url.len() > "sqlite:".len() => {}
        "postgres" | "postgresql" => {
            if let Some(problem) = postgres::problem_of_url(url) {
                check.wrong("store.url", problem, "use postgres://USER:PASSWORD@HOST:PORT/DATABASE");
            }
            let why = "because a PostgreSQL store lies in no folder of this machine; or delete the line of store.url";
            if settings.store.key_file.is_none() {
                check.wrong("store.key_file", "unset", &format!("name a file, the same on each node, {why}"));
            }
            if settings.modules.cache_dir.is_none() {
                check.wrong("modules.cache_dir", "unset", &format!("name a folder of this node's own, {why}"));
            }
        }
        scheme => {
            let use_ = "use sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE";
            check.wrong("store.url", format!("of the kind {scheme:?}"), use_);
        }
    }
}

/// Names, URLs and keys.
fn texts(settings: &Settings, check: &mut Check<'_>) {
    let Settings { amqp, modules, master, kazoo, telemetry, .. } = settings;
    store_url(settings, check);
    amqp_connection(amqp, check);
    if let Some(url) = kazoo.couchdb_url.as_ref().filter(|url| !is_couchdb_url(url.as_str())) {
        // What is there may hold a password, so only its scheme is shown.
        let scheme = url.as_str().split("://").next().filter(|scheme| scheme.len() < url.as_str().len());
        check.wrong(
            "kazoo.couchdb_url",
            format!("of the kind {:?}, or has no host, or more than a host and a port", scheme.unwrap_or_default()),
            "use http://USER:PASSWORD@HOST:PORT or https://…",
        );
    }
    if amqp.queue.is_empty() || amqp.queue.len() > QUEUE_BYTES_MAX {
        check.wrong(
            "amqp.queue",
            format!("{} bytes long", amqp.queue.len()),
            &format!("use 1 to {QUEUE_BYTES_MAX} bytes"),
        );
    } else if amqp.queue.starts_with("amq.") {
        check.wrong(
            "amqp.queue",
            format!("{:?}", amqp.queue),
            "use a name that does not begin with amq., which brokers keep for themselves",
        );
    }
    for entry in modules.tenant_bindings.iter().filter(|entry| entry.split('/').next().is_none_or(str::is_empty)) {
        check.wrong(
            "modules.tenant_bindings",
            format!("a list with {entry:?}"),
            "write an exchange, or EXCHANGE/ROUTING.KEY",
        );
    }
    for pointer in amqp.account_pointers.iter().filter(|pointer| !pointer.starts_with('/')) {
        check.wrong("amqp.account_pointers", format!("a list with {pointer:?}"), "begin each JSON pointer with /");
    }
    if let Some(id) = master.account_id.as_deref().filter(|id| !AccountId::is_valid(id)) {
        check.wrong("master.account_id", format!("{id:?}"), "use 32 hex digits, or 1 to 64 of a-z 0-9 _ -");
    }
    if let Some(key) = &master.api_key {
        let chars = key.chars().count();
        if chars < API_KEY_CHARS_MIN {
            check.wrong(
                "master.api_key",
                format!("{chars} characters long"),
                &format!("use at least {API_KEY_CHARS_MIN}"),
            );
        }
    }
    if telemetry.log.trim().is_empty() {
        check.wrong("telemetry.log", "empty", "use error, warn, info, debug or trace");
    }
    if !(0.0..=1.0).contains(&telemetry.trace_ratio) {
        check.wrong("telemetry.trace_ratio", telemetry.trace_ratio, "use 0.0 to 1.0");
    }
    if let Some(url) = telemetry.otlp_url.as_deref().filter(|url| !is_collector_url(url)) {
        // What is there may hold a password, so only its scheme is shown.
        let scheme = url.split("://").next().filter(|scheme| scheme.len() < url.len());
        check.wrong(
            "telemetry.otlp_url",
            format!("of the kind {:?}, or has no host, or a user or password", scheme.unwrap_or_default()),
            "use http://HOST:PORT/v1/traces or https://…; secrets go into OTEL_EXPORTER_OTLP_HEADERS",
        );
    }
}

/// Where the broker is, and who we are there.
fn amqp_connection(amqp: &AmqpSettings, check: &mut Check<'_>) {
    const USE: &str = "use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…";
    let urls = amqp.url.iter().flat_map(AmqpUrls::iter);
    for url in urls {
        // What is there may hold a password, so only its scheme is shown.
        let scheme = url.split("://").next().filter(|scheme| scheme.len() < url.len()).unwrap_or_default();
        if !matches!(scheme, "amqp" | "amqps") {
            check.wrong("amqp.url", format!("of the kind {scheme:?}"), USE);
        } else if url::Url::parse(url).map_or(true, |url| url.host_str().is_none_or(str::is_empty))
            || url.parse::<lapin::uri::AMQPUri>().is_err()
        {
            check.wrong("amqp.url", "no URL with a host", USE);
        }
    }
    if let Some(urls) = amqp.url.as_ref().filter(|urls| !(1..=AMQP_URLS_MAX).contains(&urls.len())) {
        let found = format!("a list of {}", urls.len());
        check.wrong("amqp.url", found, &format!("use 1 to {AMQP_URLS_MAX} of amqp://USER:PASSWORD@HOST:PORT/VHOST"));
    }
    for (key, set, other) in [
        ("amqp.client_cert_file", &amqp.client_cert_file, &amqp.client_key_file),
        ("amqp.client_key_file", &amqp.client_key_file, &amqp.client_cert_file),
    ] {
        if let (Some(file), None) = (set, other) {
            check.wrong(key, file.display(), "set both amqp.client_cert_file and amqp.client_key_file, or neither");
        }
    }
}

/// `http(s)://[user:password@]host[:port]`.
fn is_couchdb_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// `http(s)://host[:port][/path]`.
fn is_collector_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
    })
}

/// Collects what is wrong.
struct Check<'a> {
    place: &'a str,
    variables: &'a [String],
    problems: Vec<String>,
}

impl Check<'_> {
    fn number(&mut self, key: &str, value: u64, bounds: RangeInclusive<u64>) {
        if !bounds.contains(&value) {
            self.wrong(key, value, &format!("use {} to {}", bounds.start(), bounds.end()));
        }
    }

    fn at_least(&mut self, key: &str, value: u64, other: &str, least: u64) {
        if value < least {
            self.wrong(key, value, &format!("use at least {other}, which is {least}"));
        }
    }

    fn wrong(&mut self, key: &str, value: impl std::fmt::Display, remedy: &str) {
        let (place, name, undo) = match self.variables.iter().any(|variable| variable == key) {
            true => ("environment", variable_of(key), "unset it"),
            false => (self.place, key.to_owned(), "delete the line"),
        };
        let or = default_of(key).map_or_else(String::new, |default| format!(", or {undo} for {default}"));
        self.problems.push(format!("{place}: {name} is {value}; {remedy}{or}"));
    }
}

/// The default as the example has it; `None` for what is unset there.
fn default_of(key: &str) -> Option<String> {
    static DEFAULTS: LazyLock<toml::Table> = LazyLock::new(|| EXAMPLE.parse().unwrap_or_default());
    let (section, key) = key.split_once('.')?;
    DEFAULTS.get(section)?.get(key).map(|default| match default {
        toml::Value::Array(_) => "the default".to_owned(),
        other => other.to_string(),
    })
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
