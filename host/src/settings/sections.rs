//! One struct a section. What each key is, its unit and its bounds stand in `hookbox.example.toml`.
#![expect(missing_docs, reason = "each key is documented once, in hookbox.example.toml")]

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{AmqpUrls, ProxyUrl};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    pub listen: SocketAddr,
    pub body_bytes_max: u64,
    pub request_timeout_ms: u64,
    pub requests_max: u64,
    pub auth_failures_per_min: u32,
    pub page_rows: u64,
    pub list_rows_max: u64,
    pub token_minutes: u64,
    pub header_bytes_max: u64,
    pub headers_max: u64,
    pub header_timeout_ms: u64,
    pub connections_max: u64,
    pub attempts_range_s_max: u64,
    pub list_bytes_max: u64,
    pub list_looks_max: u64,
    pub resend_ids_max: u64,
    pub account_bytes_max: u64,
    pub tree_depth_max: u64,
    pub keys_per_account_max: u64,
    pub hooks_per_account_max: u64,
    pub live_clients_max: u64,
    pub live_clients_per_account_max: u64,
    pub live_events_kept: u64,
    pub live_s_max: u64,
    pub overview_attempts_max: u64,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    pub url: String,
    pub connections_max: u64,
    pub connect_timeout_ms: u64,
    pub acquire_timeout_ms: u64,
    pub statement_timeout_ms: u64,
    pub key_file: Option<PathBuf>,
    pub group_wait_ms: u64,
    pub group_rows_max: u64,
    pub poll_ms: u64,
}

impl std::fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = crate::store::shown_url(&self.url);
        f.debug_struct("StoreSettings").field("url", &url).field("key_file", &self.key_file).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    Quorum,
    Classic,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AmqpSettings {
    pub url: Option<AmqpUrls>,
    pub ca_files: Vec<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub heartbeat_s: u16,
    pub connect_timeout_ms: u64,
    pub confirm_timeout_ms: u64,
    pub queue: String,
    pub queue_type: QueueType,
    pub delivery_limit: u64,
    pub prefetch: u16,
    pub requeue_pause_ms: u64,
    pub requeue_pause_ms_max: u64,
    pub reconnect_pause_ms_max: u64,
    pub account_pointers: Vec<String>,
    pub unbind_after_ms: u64,
    pub rebind_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSettings {
    pub body_bytes_max: u64,
    pub in_flight_max: u64,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MasterSettings {
    pub account_id: Option<String>,
    pub api_key: Option<String>,
}

impl std::fmt::Debug for MasterSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let api_key = self.api_key.as_ref().map(|_| "(hidden)");
        f.debug_struct("MasterSettings").field("account_id", &self.account_id).field("api_key", &api_key).finish()
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleSettings {
    pub dir: Option<PathBuf>,
    pub cache_dir: Option<PathBuf>,
    pub watch_ms: u64,
    pub workers: u64,
    pub queue_max: u64,
    pub wait_ms_max: u64,
    pub long_call_ms: u64,
    pub share_percent: u64,
    pub instances_per_account_max: u64,
    pub instances_per_module_max: u64,
    pub stored_calls_per_account_max: u64,
    pub stored_call_bytes_per_account_max: u64,
    pub stored_call_lease_ms: u64,
    pub stored_call_poll_ms: u64,
    pub stored_calls_at_once: u64,
    pub reuse_max: u64,
    pub dir_reuse: u64,
    pub idle_instances_max: u64,
    pub idle_instance_ms: u64,
    pub time_limit_ms: u64,
    pub fuel_max: u64,
    pub memory_bytes_max: u64,
    pub keep_resident_bytes: u64,
    pub instances_max: u64,
    pub events_max: u64,
    pub output_bytes_max: u64,
    pub log_bytes_max: u64,
    pub hostcall_bytes_max: u64,
    pub handles_max: u64,
    pub random_bytes_max: u64,
    pub stack_bytes: u64,
    pub bindings_max: u64,
    pub component_bytes_max: u64,
    pub fault_count: u64,
    pub fault_window_ms: u64,
    pub fault_write_ms: u64,
    pub faulty_versions_max: u64,
    pub check_time_ms_max: u64,
    pub report_calls_max: u64,
    pub compile_memory_bytes_max: u64,
    pub compile_cpu_s: u64,
    pub compile_wall_s: u64,
    pub compiles_max: u64,
    pub compiled_bytes_max: u64,
    pub nesting_max: u64,
    pub nested_max: u64,
    pub code_bytes_max: u64,
    pub declared_bytes_max: u64,
    pub functions_max: u64,
    pub function_bytes_max: u64,
    pub locals_max: u64,
    pub function_weight_max: u64,
    pub branch_targets_max: u64,
    pub types_max: u64,
    pub type_depth_max: u64,
    pub ports_max: u64,
    pub memories_max: u64,
    pub tables_max: u64,
    pub cost_write_ms: u64,
    pub cost_lines_max: u64,
    pub cost_keep_days: u64,
    pub log_lines_per_s: u64,
    pub log_lines_kept: u64,
    pub log_bytes_kept: u64,
    pub tenant_bindings: Vec<String>,
    pub uploads_max: u64,
    pub upload_timeout_ms: u64,
    pub modules_per_account_max: u64,
    pub versions_per_module_max: u64,
    pub upload_bytes_per_account_max: u64,
    pub settings_bytes_max: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MessageSettings {
    pub keep_per_account: u64,
    pub keep_bytes_max: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FiringSettings {
    pub allow_addresses: Vec<IpNet>,
    pub ca_files: Vec<PathBuf>,
    pub proxy_url: Option<ProxyUrl>,
    pub connect_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub request_timeout_ms_max: u64,
    pub response_bytes_max: u64,
    pub response_headers_bytes_max: u64,
    pub idle_connections_max: u64,
    pub idle_connection_ms: u64,
    pub park_after_ms: u64,
    pub lease_ms: u64,
    pub retry_schedule_s: Vec<u64>,
    pub retry_jitter_percent: u64,
    pub retry_after_max_s: u64,
    pub retry_on: Vec<String>,
    pub max_in_flight: u64,
    pub max_in_flight_max: u64,
    pub rate_limit_per_s_max: u64,
    pub in_flight_max: u64,
    pub retry_share_percent: u64,
    pub share_window_ms: u64,
    pub claim_rows_max: u64,
    pub claim_poll_ms: u64,
    pub claim_pause_ms: u64,
    pub full_pause_ms: u64,
    pub waiting_per_account_max: u64,
    pub waiting_read_ms: u64,
    pub headers_max: u64,
    pub headers_bytes_max: u64,
    pub hook_bytes_max: u64,
    pub old_secret_hours: u64,
    pub test_payload_bytes_max: u64,
    pub resend_waiting_max: u64,
    pub resend_page_rows: u64,
    pub resend_jobs_max: u64,
    pub resend_lease_ms: u64,
    pub resend_delivered_max: u64,
    pub body_bytes_max: u64,
    pub transform_settings_max: u64,
    pub transform_settings_bytes_max: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptSettings {
    pub keep_days: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterSettings {
    pub keep_days: u64,
    pub rows_max: u64,
    pub rows_per_module_max: u64,
    pub bulk_rows_max: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    pub attempt_failure_count: u32,
    pub attempt_failure_expiry_ms: u64,
    pub disable_disabler: bool,
    pub log_successful_attempts: bool,
    pub object_types: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum InboundUserField {
    Request,
    To,
}

/// A URL that may hold a password, which is not shown.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.0.rsplit('@').next().and_then(|rest| rest.rsplit("//").next());
        f.write_str(host.unwrap_or_default())
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KazooSettings {
    pub couchdb_url: Option<SecretUrl>,
    pub couchdb_timeout_ms: u64,
    pub couchdb_page_rows: u64,
    pub couchdb_body_bytes_max: u64,
    pub couchdb_requests_max: u64,
    pub couchdb_retry_pause_ms_max: u64,
    pub couchdb_reread_s: u64,
    pub couchdb_notices_max: u64,
    pub couchdb_user_pages_max: u64,
    pub unknown_account_wait_ms: u64,
    pub unknown_accounts_waiting_max: u64,
    pub unknown_account_remembered_ms: u64,
    pub unknown_accounts_remembered_max: u64,
    pub cluster_id: Option<String>,
    pub reserved_ccv_keys: Vec<String>,
    pub inbound_user_field: InboundUserField,
    pub assume_inbound_e164: bool,
    pub send_passwords: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    pub log: String,
    pub log_format: LogFormat,
    pub log_body_bytes_max: u64,
    pub listen: Option<SocketAddr>,
    pub metrics: bool,
    pub module_labels_max: u64,
    pub sample_ms: u64,
    pub otlp_url: Option<String>,
    pub trace_ratio: f64,
    pub otlp_queue_max: u64,
    pub otlp_text_bytes_max: u64,
    pub otlp_batch_max: u64,
    pub otlp_wait_ms: u64,
    pub otlp_timeout_ms: u64,
    pub otlp_flush_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorSettings {
    pub pause_ms: u64,
    pub pause_ms_max: u64,
    pub restarts_max: u64,
    pub restarts_window_s: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSettings {
    pub unready_ms: u64,
    pub grace_ms: u64,
    pub record_ms: u64,
}
