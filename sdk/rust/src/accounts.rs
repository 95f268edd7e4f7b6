//! The tree of accounts. The operator's modules see all of it, a tenant's module the tenant's own subtree.

/// The nearest reseller above an account.
#[must_use]
pub fn reseller(account: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::hookbox::webhook::accounts::reseller(account);
    #[cfg(not(target_family = "wasm"))]
    return crate::rehearsal::stage::reseller(account);
}

/// The accounts above an account, from the root down to its parent; empty for a root and for an unknown account.
#[must_use]
pub fn ancestors(account: &str) -> Vec<String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::hookbox::webhook::accounts::ancestors(account);
    #[cfg(not(target_family = "wasm"))]
    return crate::rehearsal::stage::ancestors(account);
}

/// The account that a phone number (E.164, with `+`) is assigned to.
#[must_use]
pub fn account_of_number(number: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::hookbox::webhook::accounts::account_of_number(number);
    #[cfg(not(target_family = "wasm"))]
    return crate::rehearsal::stage::account_of_number(number);
}
