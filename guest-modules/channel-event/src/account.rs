//! Whose event it is.

use std::borrow::Cow;

use hookbox_sdk::{accounts, settings};

use crate::ChannelEvent;

/// The account that the channel variables name; else the one that the dialled number is assigned to.
pub(crate) fn find(event: &ChannelEvent<'_>) -> Option<String> {
    match event.channel_vars.netext("Account-ID") {
        Some(account) => Some(account.into_owned()),
        None => accounts::account_of_number(&dialled_number(event)?),
    }
}

/// The number that was dialled. Which header is looked at first is a setting of the platform, and so is whether numbers
/// come without their `+`.
fn dialled_number(event: &ChannelEvent<'_>) -> Option<String> {
    let headers = match settings::get("inbound_user_field").as_deref() {
        Some("To") => ["To", "Request"],
        _ => ["Request", "To"],
    };
    let number = headers
        .iter()
        .find_map(|header| user(event.body.netext(header)?))
        .or_else(|| event.body.netext("To-DID").map(Cow::into_owned))?;
    if settings::is_true("assume_inbound_e164") && !number.starts_with('+') {
        return Some(format!("+{number}"));
    }
    Some(number)
}

/// The user part of `user@realm`; the whole when there is no realm. `nouser` is how the switch says that there is none.
fn user(address: Cow<'_, str>) -> Option<String> {
    let user = address.split_once('@').map_or(&*address, |(user, _)| user);
    (!matches!(user, "" | "nouser")).then(|| user.to_owned())
}
