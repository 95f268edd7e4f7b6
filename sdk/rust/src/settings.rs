//! What the operator or the tenant set for this module. Lists and objects are JSON text.

/// The value of a setting, or none when it is not set.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::hookbox::webhook::settings::get(key);
    #[cfg(not(target_family = "wasm"))]
    return crate::rehearsal::stage::setting(key);
}

/// All settings, in the order of their keys.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::hookbox::webhook::settings::all();
    #[cfg(not(target_family = "wasm"))]
    return crate::rehearsal::stage::settings();
}

/// Whether a setting is `true`. Anything else, and a setting that is not there, is not.
#[must_use]
pub fn is_true(key: &str) -> bool {
    get(key).as_deref() == Some("true")
}

/// A setting that is a list of texts. None when it is not set; a value that is no such list is none too, and says so in
/// the log.
#[must_use]
pub fn list(key: &str) -> Option<Vec<String>> {
    let value = get(key)?;
    let list = serde_json::from_str(&value).ok();
    if list.is_none() {
        crate::log::warn(&format!("setting {key} is not a JSON list of texts; the default applies"));
    }
    list
}
