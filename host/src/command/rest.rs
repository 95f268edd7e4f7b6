//! How commands talk to a host's REST.

use std::time::Duration;

/// Longer than the host itself takes over a request (`api.request_timeout_ms`).
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client for the host's own API: unlike the one that fires, it may go to any address.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}
