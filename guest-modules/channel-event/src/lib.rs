//! What the four channel modules share. Each of them is one KAZOO event of a call's life (`CHANNEL_CREATE`, …) turned
//! into a payload that differs in its last fields only.
//!
//! [`handle`] does the work: `account` finds whose event it is, `payload` writes it. KAZOO does not validate channel
//! events, so neither do we: whatever can be read is read, and what cannot is left out.

mod account;
mod declaration;
mod payload;

use hookbox_sdk::kazoo::Fields;
use hookbox_sdk::{Event, HandleError, JsonObject, Message, log};

pub use declaration::{Declaration, Property, bindings};

/// A channel event that is being read.
#[derive(Debug)]
pub struct ChannelEvent<'m> {
    /// The message's body.
    pub body: &'m Fields<'m>,
    /// The body's `Custom-Channel-Vars`, with the account's id among them. Empty when the message has none.
    pub channel_vars: Fields<'m>,
    /// Whether `Custom-Channel-Vars` is to be shown: it was there, or the account's id was put into it.
    has_channel_vars: bool,
}

/// Turns a channel event into the event `hook_event` of its account; `more` writes the fields that only this module has.
///
/// # Errors
///
/// [`HandleError::NotMine`] when no account can be found; [`HandleError::Malformed`] when the body is no JSON object.
pub fn handle(
    hook_event: &str,
    message: &Message,
    more: impl FnOnce(&ChannelEvent<'_>, JsonObject) -> JsonObject,
) -> Result<Vec<Event>, HandleError> {
    let body = Fields::parse(&message.body).map_err(|error| HandleError::Malformed(error.to_string()))?;
    let channel_vars = body.object("Custom-Channel-Vars");
    let mut event = ChannelEvent {
        body: &body,
        has_channel_vars: channel_vars.is_some(),
        channel_vars: channel_vars.unwrap_or_default(),
    };
    let Some(account) = account::find(&event) else {
        let call = body.text("Call-ID").unwrap_or_default();
        log::debug(&format!("{hook_event}: no account for call {call}"));
        return Err(HandleError::NotMine);
    };
    event.name_account(&account);
    let payload = more(&event, payload::write(hook_event, &account, &event));
    Ok(vec![Event::new(hook_event, account, payload).internal_leg(event.is_internal_leg())])
}

impl ChannelEvent<'_> {
    /// Writes the account that was found into the channel variables, as KAZOO does before it makes the payload.
    fn name_account(&mut self, account: &str) {
        if self.channel_vars.netext("Account-ID").is_none() {
            self.channel_vars.set("Account-ID", account);
            self.has_channel_vars = true;
        }
    }

    /// Whether the channel is one end of a leg inside the platform.
    fn is_internal_leg(&self) -> bool {
        self.body.is_true("Channel-Is-Loopback")
            || self.body.netext("Channel-Name").is_some_and(|name| name.starts_with("loopback/"))
    }
}

#[cfg(test)]
mod tests;
