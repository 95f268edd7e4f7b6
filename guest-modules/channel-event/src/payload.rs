//! The payload that all channel events share. The order of its fields is the order in which forms are sent.

use std::borrow::Cow;

use hookbox_sdk::{JsonObject, accounts, settings};

use crate::ChannelEvent;

/// Channel variables that receivers do not see unless the setting `reserved_ccv_keys` says otherwise: they are the
/// platform's own.
const RESERVED_CHANNEL_VARS: [&str; 24] = [
    "Account-ID",
    "Account-Name",
    "Account-Realm",
    "Authorizing-ID",
    "Authorizing-Type",
    "Auto-Answer",
    "Call-Forward",
    "Call-Waiting-Disabled",
    "Confirm-Cancel-Timeout",
    "Confirm-File",
    "Confirm-Key",
    "Fax-Enabled",
    "Loopback-Bowout",
    "Media-Encryption-Enforce-Security",
    "Media-Webrtc",
    "Owner-ID",
    "Presence-ID",
    "RTCP-MUX",
    "Realm",
    "Require-Ignore-Early-Media",
    "Retain-CID",
    "SIP-Invite-Domain",
    "Simplify-Loopback",
    "Username",
];

/// Writes the fields that every channel event has, `hook_event` last.
pub(crate) fn write(hook_event: &str, account: &str, event: &ChannelEvent<'_>) -> JsonObject {
    let ChannelEvent { body, channel_vars, .. } = event;
    let global_resource = channel_vars.is_true("Global-Resource");
    JsonObject::with_capacity(1024)
        .put("account_id", account)
        .put_some("authorizing_id", channel_vars.netext("Authorizing-ID"))
        .put_some("authorizing_type", channel_vars.netext("Authorizing-Type"))
        .put_some("call_direction", body.netext("Call-Direction"))
        .put_some("call_forwarded", channel_vars.has("Call-Forward").then(|| channel_vars.is_true("Call-Forward")))
        .put_some("call_id", body.netext("Call-ID"))
        .put_some("callee_id_name", body.netext("Callee-ID-Name"))
        .put_some("callee_id_number", body.netext("Callee-ID-Number"))
        .put_some("caller_id_name", body.netext("Caller-ID-Name"))
        .put_some("caller_id_number", body.netext("Caller-ID-Number"))
        .put_some("custom_channel_vars", shown_channel_vars(event))
        .put_some("custom_application_vars", body.raw_object("Custom-Application-Vars"))
        .put("emergency_resource_used", channel_vars.is_true("Emergency-Resource"))
        .put_some("from", body.raw("From"))
        .put_some("inception", body.raw("Inception"))
        .put_some("local_resource_id", channel_vars.netext("Resource-ID").filter(|_| !global_resource))
        .put("local_resource_used", !global_resource)
        .put("is_internal_leg", body.is_true("Channel-Is-Loopback"))
        .put_some("other_leg_call_id", body.netext("Other-Leg-Call-ID"))
        .put_some("owner_id", channel_vars.netext("Owner-ID"))
        .put_some("request", body.netext("Request"))
        .put_some("reseller_id", accounts::reseller(account))
        .put_some("timestamp", body.int("Timestamp"))
        .put_some("to", body.raw("To"))
        .put("hook_event", hook_event)
}

/// The channel variables without the reserved ones; none when the message has no channel variables.
fn shown_channel_vars(event: &ChannelEvent<'_>) -> Option<JsonObject> {
    if !event.has_channel_vars {
        return None;
    }
    let reserved = settings::list("reserved_ccv_keys").map_or_else(
        || RESERVED_CHANNEL_VARS.map(Cow::Borrowed).to_vec(),
        |keys| keys.into_iter().map(Cow::Owned).collect(),
    );
    let mut shown = JsonObject::new();
    for (key, value) in event.channel_vars.iter().filter(|(key, _)| !reserved.iter().any(|reserved| reserved == key)) {
        shown = shown.put_json(key, value.get());
    }
    Some(shown)
}
