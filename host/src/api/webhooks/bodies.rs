//! A hook's document as `/openapi.json` describes it. Types for the description alone: hooks are stored and echoed as the
//! JSON that clients wrote, with fields of their own too.

use serde_json::Value;
use utoipa::ToSchema;

/// A hook, as it is sent.
#[derive(ToSchema)]
#[schema(example = json!({
    "name": "Calls to our CRM", "uri": "https://crm.example.com/calls", "hook": "channel_create", "http_verb": "post",
    "format": "json",
}))]
pub struct HookBody {
    /// For people.
    #[schema(min_length = 1, example = "Calls to our CRM")]
    pub name: String,
    /// An http or https address that is not private; at most 8192 bytes.
    #[schema(max_length = 8192, example = "https://crm.example.com/calls")]
    pub uri: String,
    /// The event: the id of a module in `/v2/webhooks`, or `all`.
    #[schema(example = "channel_create")]
    pub hook: String,
    /// With what verb it is fired: `get`, `post` or `put`, `post` when absent.
    #[schema(example = "post")]
    pub http_verb: Option<String>,
    /// How the body of post and put is written: `form-data` (the default) or `json`.
    #[schema(example = "json")]
    pub format: Option<String>,
    /// Tries after the first; 2 when absent.
    #[schema(minimum = 0, maximum = 4)]
    pub retries: Option<u8>,
    /// Texts that are merged into the payload; also chooses among a module's events (`type`, `action`), see its modifiers.
    #[schema(value_type = Option<Object>, example = json!({"tenant": "north"}))]
    pub custom_data: Option<Value>,
    /// Whether it fires; true when absent.
    pub enabled: Option<bool>,
    /// Whether legs inside the platform fire it; true when absent.
    pub include_internal_legs: Option<bool>,
    /// Whether events of the accounts below fire it too; false when absent.
    pub include_subaccounts: Option<bool>,
    /// Conditions on top-level keys of the payload, KAZOO's: a value, or a list of values.
    #[schema(value_type = Option<Object>)]
    pub modifiers: Option<Value>,
    /// Conditions on the payload; all must hold.
    pub filter: Option<Vec<ConditionBody>>,
    /// Extra request headers. Values are written only: they are shown as `(hidden)`, which keeps them when sent back.
    #[schema(value_type = Option<Object>, example = json!({"X-Api-Version": "2"}))]
    pub headers: Option<Value>,
    /// `whsec_` and the base64 of 24 to 64 bytes; made when a hook is made without. Shown once.
    pub secret: Option<String>,
    /// How requests are signed: `hmac` (the default) or `ed25519`.
    #[schema(example = "hmac")]
    pub signature: Option<String>,
    /// Pauses between tries, in seconds; overrides `retries`.
    #[schema(max_items = 20)]
    pub retry_schedule_s: Option<Vec<u32>>,
    /// Deadline of one try, ms.
    #[schema(minimum = 1)]
    pub timeout_ms: Option<u32>,
    /// Requests under way at once.
    #[schema(minimum = 1)]
    pub max_in_flight: Option<u32>,
    /// Requests begun in one second.
    #[schema(minimum = 1)]
    pub rate_limit_per_s: Option<u32>,
    /// Shown in lists; for clients.
    pub group: Option<Value>,
    /// A component of the account's own, or one that an account above offers, which may rewrite or drop each firing.
    pub transform: Option<TransformBody>,
}

/// The transform of a hook.
#[derive(ToSchema)]
pub struct TransformBody {
    /// The name that it is registered under.
    #[schema(example = "to_crm")]
    pub module: String,
    /// `active` (when absent: whichever is active at the time), a semantic version, or a digest.
    #[schema(example = "1.2.0")]
    pub version: Option<String>,
    /// What it is given besides the settings that it was registered with. Texts; anything else is given as JSON text.
    #[schema(value_type = Option<Object>, example = json!({"team": "north"}))]
    pub settings: Option<Value>,
}

/// One condition.
#[derive(ToSchema)]
pub struct ConditionBody {
    /// A JSON pointer into the payload.
    #[schema(example = "/caller_id_number")]
    pub pointer: String,
    /// `eq`, `ne`, `in`, `prefix`, `exists`, `lt` or `gt`.
    #[schema(example = "prefix")]
    pub op: String,
    /// What it is compared with.
    #[schema(value_type = Value, example = "+1312")]
    pub value: Value,
}

/// A hook, as it is answered: what was sent with the defaults filled in, and what clients added of their own.
#[derive(ToSchema)]
pub struct StoredHook {
    /// 32 hex digits when made here.
    pub id: String,
    /// For people. Hooks that came from KAZOO may have none.
    pub name: Option<String>,
    /// Where it is fired.
    pub uri: String,
    /// The event.
    pub hook: String,
    /// With what verb.
    pub http_verb: Option<String>,
    /// How bodies are written.
    pub format: Option<String>,
    /// Tries after the first.
    pub retries: Option<u8>,
    /// Whether it fires.
    pub enabled: Option<bool>,
    /// What may rewrite or drop its firings.
    pub transform: Option<TransformBody>,
    /// Why it was switched off, when the host did that.
    pub disable_reason: Option<String>,
    /// What its requests are signed with; answered once, when the hook is made.
    pub secret: Option<String>,
}

/// A hook in a list.
#[derive(ToSchema)]
pub struct HookSummary {
    /// Which.
    pub id: String,
    /// The event.
    pub hook: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Where it is fired.
    pub uri: Option<String>,
    /// Whether it fires.
    pub enabled: Option<bool>,
    /// For clients.
    #[schema(value_type = Option<Value>)]
    pub group: Option<Value>,
    /// Why it was switched off, when the host did that.
    pub disable_reason: Option<String>,
}
