//! Modules and versions as they are shown, and as `/openapi.json` describes them.

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    api::messages::PostedMessage,
    clock::gregorian_s,
    store::registered_modules::{ModuleVersion, Quarantine, RegisteredModule},
};

/// What can be changed of a module.
#[derive(ToSchema)]
#[schema(example = json!({"settings": {"crm_region": "north"}, "offered": true}))]
pub struct ModuleBody {
    /// Texts that the component asks for by their names; at most `modules.settings_bytes_max`.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Value>,
    /// `time_limit_ms`, `fuel_max`, `memory_bytes_max`, `log_bytes_max`, `instances` (calls that run at once) and `reuse`
    /// (calls that one instance may serve; 1, the default: a fresh one for every call), each a number under the
    /// operator's own.
    #[schema(value_type = Option<Object>, example = json!({"time_limit_ms": 20, "reuse": 100}))]
    pub limits: Option<Value>,
    /// Whether the accounts below may use it too.
    pub offered: Option<bool>,
}

/// A module or transform.
#[derive(ToSchema)]
pub struct StoredModule {
    /// Its name.
    #[schema(example = "crm")]
    pub id: String,
    /// Whose it is.
    pub account_id: String,
    /// `module` or `transform`.
    #[schema(example = "module")]
    pub kind: String,
    /// Whether it is the account's own; otherwise an account above offers it.
    pub own: bool,
    /// Whether the accounts below its owner may use it.
    pub offered: bool,
    /// `active`: it is called; `quarantined` and `set_aside`: it is not, although a version is active; `inactive`: none is.
    #[schema(example = "active")]
    pub state: String,
    /// The version that is active; null when none is.
    #[schema(required = true)]
    pub active: Option<ActiveVersion>,
    /// Why it is not called, when it has failed too often.
    pub quarantine: Option<QuarantineBody>,
    /// Why it is not active although it was activated: its name or its bindings are not for a tenant any more, or it cannot be
    /// loaded.
    pub set_aside: Option<String>,
    /// What the component asks for; its owner's to see.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Value>,
    /// Its own limits; its owner's to see.
    #[schema(value_type = Option<Object>)]
    pub limits: Option<Value>,
    /// Calls that are stored, because the module was over its share of the workers, and made later; its owner's to see.
    pub stored_calls: Option<u64>,
    /// When it was made, in KAZOO's seconds (since the year 0).
    pub created: u64,
}

/// The version that is active.
#[derive(ToSchema)]
pub struct ActiveVersion {
    /// SHA-256 of the component.
    pub digest: String,
    /// Its semantic version.
    #[schema(example = "1.2.0")]
    pub version: Option<String>,
}

/// Why a module is not called.
#[derive(ToSchema)]
pub struct QuarantineBody {
    /// In words.
    pub reason: String,
    /// The component that failed.
    pub digest: String,
    /// Its semantic version.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// Since when, in KAZOO's seconds (since the year 0).
    pub since: u64,
    /// What it failed on last: the message's id, or `sha256:` and the digest of its body; for a transform the firing's
    /// `webhook-id`. Null when that is not known any more.
    #[schema(required = true)]
    pub last_message: Option<String>,
}

/// A version.
#[derive(ToSchema)]
pub struct StoredVersion {
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its semantic version.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// `module` or `transform`.
    #[schema(example = "module")]
    pub kind: String,
    /// Whether it is the active one.
    pub active: bool,
    /// When it was uploaded, in KAZOO's seconds (since the year 0).
    pub uploaded: u64,
    /// By whom.
    pub uploaded_by: Uploader,
    /// Of the component.
    pub size_bytes: u64,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it says about itself; null for a transform.
    #[schema(value_type = Option<Object>, required = true)]
    pub metadata: Option<Value>,
    /// What it binds and wants.
    #[schema(value_type = Vec<Object>)]
    pub bindings: Vec<Value>,
    /// What the check found.
    #[schema(value_type = Object)]
    pub report: Value,
}

/// Who uploaded a version.
#[derive(ToSchema)]
pub struct Uploader {
    /// The account of the key or the user.
    pub account_id: String,
    /// The key; null when it was a user.
    #[schema(required = true)]
    pub key_id: Option<String>,
}

/// The version to make active.
#[derive(ToSchema)]
pub struct ActivateBody {
    /// Its digest, or its semantic version.
    #[schema(min_length = 1, max_length = 64, example = "1.2.0")]
    pub version: String,
}

/// What to try out: a message for a module, a firing for a transform.
#[derive(ToSchema)]
pub struct RehearsalBody {
    /// The message, as in a post of messages.
    pub message: Option<PostedMessage>,
    /// The firing.
    pub firing: Option<FiringBody>,
    /// Digest or semantic version; the active one when absent.
    #[schema(max_length = 64)]
    pub version: Option<String>,
}

/// A firing as a transform is handed it. What is absent is made up: the first try of a post of JSON.
#[derive(ToSchema)]
#[schema(example = json!({"payload": {"caller_id_number": "+13125550111"}, "uri": "https://receiver.example.com/in"}))]
pub struct FiringBody {
    /// The event's payload.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Value>,
    /// Where it goes.
    pub uri: Option<String>,
    /// `get`, `post` or `put`.
    pub verb: Option<String>,
    /// The hook's own headers, name and value each.
    pub headers: Option<Vec<Vec<String>>>,
    /// `application/json` or `application/x-www-form-urlencoded`.
    pub content_type: Option<String>,
    /// The event.
    pub hook_event: Option<String>,
    /// The hook's id.
    pub hook_id: Option<String>,
    /// The firing's id.
    pub webhook_id: Option<String>,
    /// The how manieth try, from 1.
    pub attempt: Option<u32>,
}

/// What came of it.
#[derive(ToSchema)]
pub struct Rehearsal {
    /// Of a module `events`, `not_mine` or `malformed`; of a transform `to_send` or `dropped`; of either `failed`.
    #[schema(example = "events")]
    pub outcome: String,
    /// Why it was malformed, or how it failed.
    pub reason: Option<String>,
    /// Whether the module's bindings ask for such a message; otherwise it would not have been handed over.
    pub wanted: Option<bool>,
    /// What the module made.
    #[schema(value_type = Option<Vec<Object>>)]
    pub events: Option<Vec<Value>>,
    /// What would be sent of what the transform made: `uri`, `payload`, `headers`, `content_type`.
    #[schema(value_type = Option<Object>)]
    pub firing: Option<Value>,
    /// What it said, line by line.
    pub log: Vec<LogLineBody>,
    /// What it said beyond that, bytes.
    pub log_dropped_bytes: u64,
    /// About one unit an instruction.
    pub fuel: u64,
    /// How long the call took.
    pub time_us: u64,
    /// Memory at its largest.
    pub memory_bytes: u64,
    /// The version that was called.
    pub version: String,
}

/// A line of a log.
#[derive(ToSchema)]
pub struct LogLineBody {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The line.
    pub text: String,
}

/// A module as an account sees it; settings and limits are its owner's alone.
pub fn module_shown(
    record: &RegisteredModule,
    active: Option<&ModuleVersion>,
    set_aside: Option<&str>,
    is_own: bool,
) -> Value {
    let mut shown = json!({
        "id": record.name,
        "account_id": record.account,
        "kind": record.kind,
        "own": is_own,
        "offered": record.offered,
        "state": match (&record.active, &record.quarantine, set_aside) {
            (None, ..) => "inactive",
            (Some(_), Some(_), _) => "quarantined",
            (Some(_), None, Some(_)) => "set_aside",
            (Some(_), None, None) => "active",
        },
        "active": record.active.as_ref().map(|digest| json!({
            "digest": digest,
            "version": active.map(|version| &version.version),
        })),
        "created": gregorian_s(record.created_ms),
    });
    if let Some(quarantine) = &record.quarantine {
        shown["quarantine"] = quarantine_shown(quarantine);
    }
    if let Some(reason) = set_aside {
        shown["set_aside"] = json!(reason);
    }
    if is_own {
        shown["settings"] = json!(record.settings);
        shown["limits"] = json!(record.limits);
    }
    shown
}

/// Why a module is not called.
pub fn quarantine_shown(quarantine: &Quarantine) -> Value {
    json!({
        "reason": quarantine.reason,
        "digest": quarantine.digest,
        "version": quarantine.version,
        "since": gregorian_s(quarantine.since_ms),
        "last_message": quarantine.last_message,
    })
}

/// A version.
pub fn version_shown(version: &ModuleVersion, record: &RegisteredModule) -> Value {
    json!({
        "digest": version.digest,
        "version": version.version,
        "kind": version.kind,
        "active": record.active.as_ref() == Some(&version.digest),
        "uploaded": gregorian_s(version.uploaded_ms),
        "uploaded_by": {"account_id": version.uploader, "key_id": version.key_id},
        "size_bytes": version.size_bytes,
        "imports": version.imports,
        "metadata": version.metadata.as_ref().map(|metadata| metadata.document()),
        "bindings": version.bindings,
        "report": version.report,
    })
}
