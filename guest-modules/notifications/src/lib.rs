//! The event `notifications`: whatever the platform notifies people of, from a missed call to a ported number. Hooks
//! choose by `type`, which is the notification's `Event-Name`; the payload is the whole message.
//!
//! One kind is different: a callflow's `webhook` step sends along the hook that is to be fired.

mod account;
mod declaration;
mod notification;

use hookbox_sdk::kazoo::{self, Fields};
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module, log};

struct Notifications;

impl Module for Notifications {
    fn metadata() -> Metadata {
        declaration::metadata()
    }

    fn bindings() -> Vec<Binding> {
        declaration::bindings()
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        let Some(notification) = notification::find(&message.name) else {
            log::debug(&format!("notifications: {} is not among those told of", message.name));
            return Err(HandleError::NotMine);
        };
        let body = Fields::parse(&message.body).map_err(malformed)?;
        notification.definition.check(&body)?;
        if notification.name == "webhook" {
            return callflow_webhook(&body);
        }
        let Some(account) = account::of(&body) else {
            log::debug(&format!("notifications: {} has no account", message.name));
            return Err(HandleError::NotMine);
        };
        let payload = kazoo::normalize(&message.body).map_err(malformed)?;
        Ok(vec![Event::new("notifications", account, payload).facet("type", notification.name)])
    }
}

/// Fires at the hook that travels in the message, for the account that the hook names.
fn callflow_webhook(body: &Fields<'_>) -> Result<Vec<Event>, HandleError> {
    let (hook, data) = (body.json("Hook").unwrap_or("{}"), body.json("Data").unwrap_or("{}"));
    let fields = Fields::parse(hook).map_err(malformed)?;
    let Some(account) = fields.netext("pvt_account_id") else {
        log::debug("notifications: the hook of a callflow names no account");
        return Err(HandleError::NotMine);
    };
    let payload = kazoo::normalize(data).map_err(malformed)?;
    Ok(vec![Event::new("notifications", account, payload).inline_hook(hook)])
}

fn malformed(error: serde_json::Error) -> HandleError {
    HandleError::Malformed(error.to_string())
}

hookbox_sdk::module!(Notifications);

#[cfg(test)]
mod tests;
