//! Whose notification it is.

use hookbox_sdk::kazoo::Fields;

/// Where the account may stand, in the order in which it is looked for.
const PLACES: [&[&str]; 10] = [
    &["account_id"],
    &["account", "_id"],
    &["pvt_account_id"],
    &["_id"],
    &["id"],
    &["Account-ID"],
    &["details", "account_id"],
    &["Details", "Account-ID"],
    &["details", "custom_channel_vars", "account_id"],
    &["Details", "Custom-Channel-Vars", "Account-ID"],
];

/// What stands at the first place that is there. When that is no text, there is no account: later places do not count.
pub(crate) fn of(body: &Fields<'_>) -> Option<String> {
    let account = PLACES.iter().find_map(|place| at(body, place))?;
    serde_json::from_str(&account).ok().filter(|account: &String| !account.is_empty())
}

/// The JSON of the value at a place.
fn at(fields: &Fields<'_>, place: &[&str]) -> Option<String> {
    match place {
        [key] => fields.json(key).map(str::to_owned),
        [key, rest @ ..] => at(&fields.object(key)?, rest),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hookbox_sdk::kazoo::Fields;

    fn of(body: &str) -> Option<String> {
        super::of(&Fields::parse(body).unwrap())
    }

    #[test]
    fn the_account_may_stand_in_ten_places() {
        for body in [
            r#"{"account_id": "a1"}"#,
            r#"{"account": {"_id": "a1"}}"#,
            r#"{"pvt_account_id": "a1"}"#,
            r#"{"_id": "a1"}"#,
            r#"{"id": "a1"}"#,
            r#"{"Account-ID": "a1"}"#,
            r#"{"details": {"account_id": "a1"}}"#,
            r#"{"Details": {"Account-ID": "a1"}}"#,
            r#"{"details": {"custom_channel_vars": {"account_id": "a1"}}}"#,
            r#"{"Details": {"Custom-Channel-Vars": {"Account-ID": "a1"}}}"#,
        ] {
            assert_eq!(of(body).as_deref(), Some("a1"), "{body}");
        }
    }

    #[test]
    fn the_first_place_that_is_there_decides() {
        assert_eq!(of(r#"{"Account-ID": "a2", "account_id": "a1"}"#).as_deref(), Some("a1"));
        assert_eq!(of(r#"{"id": 7, "Account-ID": "a2"}"#), None);
        assert_eq!(of(r#"{"account_id": null, "Account-ID": "a2"}"#), None);
        assert_eq!(of(r#"{"account": {}, "Account-ID": "a2"}"#).as_deref(), Some("a2"));
        assert_eq!(of(r#"{"Account-ID": ""}"#), None);
        assert_eq!(of("{}"), None);
    }
}
