//! Every notification that hooks can be told of: its routing key, what it must have, and what people read about it.

use hookbox_sdk::kazoo::{Definition, Kind};

/// One kind of notification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    /// Its `Event-Name`, which is what hooks choose by.
    pub(crate) name: &'static str,
    /// Its routing key, after `notifications.`.
    pub(crate) key: &'static str,
    /// For people.
    pub(crate) friendly_name: &'static str,
    /// For people: when it happens.
    pub(crate) description: &'static str,
    /// What a message of this kind must have.
    pub(crate) definition: Definition<'static>,
}

/// The kind of notification with this `Event-Name`.
pub(crate) fn find(name: &str) -> Option<&'static Notification> {
    NOTIFICATIONS.iter().find(|notification| notification.name == name)
}

/// In the order in which hooks are offered them.
pub(crate) const NOTIFICATIONS: [Notification; 41] = [
    Notification {
        name: "account_zone_change",
        key: "account.zone_change",
        friendly_name: "Account Zone Change",
        description: "A user asked to move the account to another home zone",
        definition: Definition { required: &["Account-ID", "Zones"], kinds: &[] },
    },
    Notification {
        name: "bill_reminder",
        key: "account.reminder",
        friendly_name: "Bill Reminder",
        description: "A few days before month end: estimated charges of the service plan",
        definition: Definition {
            required: &["Account-ID", "Due-Date", "Items", "Timestamp"],
            kinds: &[
                ("Due-Date", Kind::PositiveInteger),
                ("Timestamp", Kind::PositiveInteger),
                ("Items", Kind::Objects),
                ("Payment-Token", Kind::Object),
                ("Account-ID", Kind::NonEmptyText),
            ],
        },
    },
    Notification {
        name: "low_balance",
        key: "account.low_balance",
        friendly_name: "Account Low Balance",
        description: "Account balance fell under its warning limit",
        definition: Definition { required: &["Account-ID", "Current-Balance"], kinds: &[] },
    },
    Notification {
        name: "new_account",
        key: "account.new",
        friendly_name: "New Account",
        description: "An account was made",
        definition: Definition { required: &["Account-ID"], kinds: &[] },
    },
    Notification {
        name: "service_added",
        key: "account.service_added",
        friendly_name: "Service Added",
        description: "Billable quantities of the account changed",
        definition: Definition {
            required: &["Account-ID", "Audit-Log", "Items", "Timestamp"],
            kinds: &[("Items", Kind::Objects)],
        },
    },
    Notification {
        name: "topup",
        key: "account.topup",
        friendly_name: "Automatic Account Top-up",
        description: "An automatic top-up was tried",
        definition: Definition { required: &["Account-ID", "Amount", "Response", "Success", "Timestamp"], kinds: &[] },
    },
    Notification {
        name: "transaction",
        key: "account.transaction",
        friendly_name: "Transaction Completed",
        description: "A payment transaction was tried",
        definition: Definition { required: &["Account-ID", "Amount", "Response", "Success", "Timestamp"], kinds: &[] },
    },
    Notification {
        name: "inbound_fax",
        key: "fax.inbound",
        friendly_name: "Successful Fax Reception",
        description: "Fax received",
        definition: Definition {
            required: &["Account-ID", "Fax-ID", "From-Realm", "From-User", "To-Realm", "To-User"],
            kinds: &[],
        },
    },
    Notification {
        name: "inbound_fax_error",
        key: "fax.inbound_error",
        friendly_name: "Fax Reception Error",
        description: "Receiving a fax went wrong",
        definition: Definition {
            required: &["Account-ID", "From-Realm", "From-User", "To-Realm", "To-User"],
            kinds: &[],
        },
    },
    Notification {
        name: "outbound_fax",
        key: "fax.outbound",
        friendly_name: "Successful Fax Transmission",
        description: "Fax sent",
        definition: Definition {
            required: &["Account-ID", "Callee-ID-Number", "Caller-ID-Number", "Fax-ID", "Fax-JobId"],
            kinds: &[],
        },
    },
    Notification {
        name: "outbound_fax_error",
        key: "fax.outbound_error",
        friendly_name: "Fax Transmission Error",
        description: "Sending a fax went wrong",
        definition: Definition { required: &["Fax-ID", "Fax-JobId"], kinds: &[] },
    },
    Notification {
        name: "outbound_smtp_fax_error",
        key: "fax.outbound_smtp_error",
        friendly_name: "Invalid Email-to-Fax Email",
        description: "An email meant to become a fax was not valid",
        definition: Definition {
            required: &["Account-ID", "Fax-From-Email", "Errors", "Timestamp"],
            kinds: &[("Errors", Kind::NonEmptyList)],
        },
    },
    Notification {
        name: "cnam_request",
        key: "number.cnam_request",
        friendly_name: "CNAM Update",
        description: "A user asked for another caller name on a number",
        definition: Definition { required: &["Account-ID", "Number", "Cnam"], kinds: &[] },
    },
    Notification {
        name: "port_cancel",
        key: "number.port_cancel",
        friendly_name: "Port Cancel",
        description: "Port request cancelled",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "port_comment",
        key: "number.port_comment",
        friendly_name: "Port Comment",
        description: "Comment added to a port request",
        definition: Definition {
            required: &["Account-ID", "Comment", "Port-Request-ID"],
            kinds: &[("Reason", Kind::Object)],
        },
    },
    Notification {
        name: "port_pending",
        key: "number.port_pending",
        friendly_name: "Port Pending",
        description: "Port request accepted and passed to a carrier",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "port_rejected",
        key: "number.port_rejected",
        friendly_name: "Port Rejected",
        description: "Port request rejected",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "port_request",
        key: "number.port_request",
        friendly_name: "Port Request",
        description: "Port request handed in",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "port_scheduled",
        key: "number.port_scheduled",
        friendly_name: "Port Scheduled",
        description: "Carrier accepted the port and gave a date",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "port_unconfirmed",
        key: "number.port_unconfirmed",
        friendly_name: "Port Unconfirmed",
        description: "Port request made, not handed in yet",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "ported",
        key: "number.ported",
        friendly_name: "Ported",
        description: "Number port finished",
        definition: Definition { required: &["Account-ID", "Port-Request-ID"], kinds: &[("Reason", Kind::Object)] },
    },
    Notification {
        name: "denied_emergency_bridge",
        key: "registration.denied_emergency_bridge",
        friendly_name: "Emergency Call Failed",
        description: "An emergency call could not be placed",
        definition: Definition { required: &["Account-ID", "Call-ID"], kinds: &[] },
    },
    Notification {
        name: "emergency_bridge",
        key: "registration.emergency_bridge",
        friendly_name: "Emergency Call Placed",
        description: "An emergency call was placed",
        definition: Definition { required: &["Account-ID", "Call-ID"], kinds: &[] },
    },
    Notification {
        name: "deregister",
        key: "sip.deregister",
        friendly_name: "De-Registration",
        description: "A device registration ran out",
        definition: Definition { required: &["Account-ID", "Realm", "Username"], kinds: &[] },
    },
    Notification {
        name: "first_occurrence",
        key: "sip.first_occurrence",
        friendly_name: "Account First Occurrence",
        description: "First registration or first call of the account",
        definition: Definition { required: &["Account-ID", "Occurrence"], kinds: &[] },
    },
    Notification {
        name: "missed_call",
        key: "sip.missed_call",
        friendly_name: "Missed Call",
        description: "The missed-call step of a callflow ran",
        definition: Definition { required: &["Account-ID", "Call-Bridged", "Call-ID", "Message-Left"], kinds: &[] },
    },
    Notification {
        name: "register",
        key: "sip.register",
        friendly_name: "Registration",
        description: "A device that was not registered has registered",
        definition: Definition { required: &["Account-ID", "Realm", "Username"], kinds: &[] },
    },
    Notification {
        name: "system_alert",
        key: "system.alert",
        friendly_name: "System Alert",
        description: "Alert for the operators",
        definition: Definition { required: &["Message", "Subject"], kinds: &[] },
    },
    Notification {
        name: "customer_update",
        key: "user.customer_update",
        friendly_name: "Customer Update",
        description: "A message was sent through the customer update API",
        definition: Definition { required: &["Account-ID"], kinds: &[] },
    },
    Notification {
        name: "new_user",
        key: "user.new",
        friendly_name: "New User",
        description: "A user was made",
        definition: Definition { required: &["Account-ID", "User-ID"], kinds: &[] },
    },
    Notification {
        name: "password_recovery",
        key: "user.password_recovery",
        friendly_name: "Password Recovery",
        description: "A user asked for a password link",
        definition: Definition { required: &["Account-ID", "Email", "Password-Reset-Link"], kinds: &[] },
    },
    Notification {
        name: "voicemail_full",
        key: "voicemail.full",
        friendly_name: "Voicemail Box Full",
        description: "A caller could not leave a message because the box is full",
        definition: Definition {
            required: &["Account-ID", "Max-Message-Count", "Message-Count", "Voicemail-Box"],
            kinds: &[],
        },
    },
    Notification {
        name: "voicemail_new",
        key: "voicemail.new",
        friendly_name: "New Voicemail Message",
        description: "A message was left",
        definition: Definition {
            required: &[
                "Account-ID",
                "From-Realm",
                "From-User",
                "To-Realm",
                "To-User",
                "Voicemail-Box",
                "Voicemail-ID",
                "Voicemail-Timestamp",
            ],
            kinds: &[],
        },
    },
    Notification {
        name: "voicemail_saved",
        key: "voicemail.saved",
        friendly_name: "Voicemail Message Saved",
        description: "A message was stored among the new ones",
        definition: Definition {
            required: &[
                "Account-ID",
                "From-Realm",
                "From-User",
                "To-Realm",
                "To-User",
                "Voicemail-Box",
                "Voicemail-ID",
                "Voicemail-Timestamp",
            ],
            kinds: &[],
        },
    },
    Notification {
        name: "webhook",
        key: "webhook.callflow",
        friendly_name: "Callflow Webhook Triggered",
        description: "The webhook step of a callflow ran",
        definition: Definition {
            required: &["Data", "Hook"],
            kinds: &[("Data", Kind::Object), ("Hook", Kind::Object)],
        },
    },
    Notification {
        name: "webhook_disabled",
        key: "webhook.disabled",
        friendly_name: "Webhook Disabled",
        description: "A webhook was switched off automatically",
        definition: Definition { required: &["Account-ID", "Hook-ID"], kinds: &[] },
    },
    Notification {
        name: "webhook_failing",
        key: "webhook.failing",
        friendly_name: "Webhook Failing",
        description: "A webhook keeps failing, and will be switched off if it goes on",
        definition: Definition {
            required: &["Account-ID", "Hook-ID", "Failure-Count", "Failure-Threshold", "Window-MS"],
            kinds: &[
                ("Failure-Count", Kind::PositiveInteger),
                ("Failure-Threshold", Kind::PositiveInteger),
                ("Window-MS", Kind::PositiveInteger),
            ],
        },
    },
    Notification {
        name: "webhook_module_quarantined",
        key: "webhook.module_quarantined",
        friendly_name: "Webhook Module Quarantined",
        description: "A webhook module or transform failed too often, and is not called any more",
        definition: Definition { required: &["Account-ID", "Module-ID", "Module-Version", "Reason"], kinds: &[] },
    },
    Notification {
        name: "cf_notification",
        key: "account.cf_notification",
        friendly_name: "Customer defined notification",
        description: "A customer-defined notification, for example from a callflow",
        definition: Definition { required: &["Account-ID", "Template-ID"], kinds: &[] },
    },
    Notification {
        name: "number_feature_manual_action",
        key: "account.number_feature_manual_action",
        friendly_name: "Number Feature Manual Action Required",
        description: "A number feature changed in a way that needs someone to act",
        definition: Definition {
            required: &["Account-ID", "Number", "Feature"],
            kinds: &[("Account-ID", Kind::NonEmptyText), ("Number", Kind::NonEmptyText), ("Feature", Kind::Object)],
        },
    },
    Notification {
        name: "voicemail_deleted",
        key: "voicemail.deleted",
        friendly_name: "Voicemail Message Deleted",
        description: "A voicemail message was deleted",
        definition: Definition {
            required: &[
                "Account-ID",
                "From-Realm",
                "From-User",
                "To-Realm",
                "To-User",
                "Voicemail-Box",
                "Voicemail-ID",
                "Voicemail-Timestamp",
                "Reason",
            ],
            kinds: &[],
        },
    },
];
