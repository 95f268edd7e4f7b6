//! What happens at this moment, as server-sent events: `/v2/accounts/{account_id}/live`. Read with a key in a header, as
//! every other call; browsers' `EventSource` cannot do that, `fetch` can.
//!
//! A caller gets what happens in its account and below, on the node that answers, from now on; nothing is kept for those
//! who come later. What callers may cost is bounded: how many listen (`api.live_clients_max`), how many of them with keys
//! of one account (`api.live_clients_per_account_max`), how far one may fall behind (`api.live_events_kept`), and how long one
//! call goes on (`api.live_s_max`), after which whoever still may, calls again: so a key that was revoked is not listened with
//! for longer than that.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Shared, auth::InAccount, described::Problems, problem::Problem};
use crate::{live::LiveEvent, message::AccountId, settings::ApiSettings};

/// A comment is sent so often, for those on the way who cut off what is silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// When to come again, seconds, for who finds no place.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(live))
}

/// What stands after `data:` of an `attempt`; `hook_disabled` has `account_id`, `hook_id`, `reason` and `timestamp`,
/// `module_quarantined` has `module`, `version`, `reason` and `timestamp`, `missed` and `again` have a `count` and nothing.
#[derive(ToSchema)]
pub struct LiveAttempt {
    /// Which; the whole attempt is under `…/attempts/{id}`.
    pub id: String,
    /// Whose hook.
    pub account_id: String,
    /// Which hook.
    pub hook_id: String,
    /// The event.
    pub hook_event: String,
    /// The `webhook-id`.
    pub event_id: String,
    /// When it began, seconds since year 0.
    pub timestamp: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// 1 for the first try.
    pub r#try: u32,
    /// With what verb.
    pub method: String,
    /// Where to.
    pub uri: String,
    /// `success` or `failure`.
    pub result: String,
    /// The status, as text.
    pub resp_status_code: Option<String>,
    /// Why there was no answer.
    pub client_error: Option<String>,
}

/// Listen to what happens in an account and below it: server-sent events named `attempt`, `hook_disabled` and
/// `module_quarantined`; `missed` says how many were lost because the caller reads too slowly, `again` that the call ends
/// and another one is to be made. Only what happens on this node.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/live", tag = "attempts",
    params(("account_id" = String, Path, description = "At the top of whose tree")),
    responses(
        (status = 200, description = "Events, until `api.live_s_max` has passed", body = LiveAttempt, content_type = "text/event-stream"),
        Problems,
    ),
)]
async fn live(State(api): State<Shared>, InAccount { account, caller }: InAccount) -> Result<Response, Problem> {
    let place = api.listeners.place(&caller.account).map_err(|message| Problem::come_again(&message, RETRY_AFTER))?;
    let listener = Listener {
        events: api.live.listen(),
        until: Instant::now() + Duration::from_secs(api.settings.live_s_max),
        of_operator: account == api.master,
        account,
        api,
        begun: false,
        ended: false,
        _place: place,
    };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let headers = [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))).into_response())
}

/// Who listens on this node: how many, by the accounts of the keys that they call with.
pub struct Listeners {
    clients_max: u64,
    per_account_max: u64,
    by_account: Arc<Mutex<HashMap<AccountId, u64>>>,
}

impl Listeners {
    /// Nobody yet.
    pub fn new(settings: &ApiSettings) -> Self {
        Self {
            clients_max: settings.live_clients_max,
            per_account_max: settings.live_clients_per_account_max,
            by_account: Arc::default(),
        }
    }

    /// A place for a caller with a key of this account, or why there is none.
    fn place(&self, account: &AccountId) -> Result<Place, String> {
        let mut by_account = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        if by_account.values().sum::<u64>() >= self.clients_max {
            let most = self.clients_max;
            return Err(format!("{most} callers listen already (api.live_clients_max); try again"));
        }
        let own = by_account.get(account).copied().unwrap_or_default();
        if own >= self.per_account_max {
            return Err(format!(
                "{own} callers with keys of your account listen already (api.live_clients_per_account_max); end one, or \
                 try again"
            ));
        }
        by_account.insert(account.clone(), own + 1);
        Ok(Place { account: account.clone(), by_account: Arc::clone(&self.by_account) })
    }
}

/// One caller's place, free again when it is dropped.
struct Place {
    account: AccountId,
    by_account: Arc<Mutex<HashMap<AccountId, u64>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_account = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        match by_account.get_mut(&self.account) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                by_account.remove(&self.account);
            }
        }
    }
}

/// One caller.
struct Listener {
    events: broadcast::Receiver<Arc<LiveEvent>>,
    until: Instant,
    /// Whether what is nobody's but the operator's is told too.
    of_operator: bool,
    account: AccountId,
    api: Shared,
    begun: bool,
    ended: bool,
    _place: Place,
}

impl Listener {
    /// What is to be sent next; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        if !self.begun {
            self.begun = true;
            return Some(event("listening", &json!({"account_id": self.account})));
        }
        loop {
            let heard = tokio::select! {
                heard = self.events.recv() => heard,
                () = sleep_until(self.until) => return Some(self.last()),
                // The host stops; it waits for no listener.
                () = self.api.stopping.cancelled() => return Some(self.last()),
            };
            match heard {
                Ok(happened) if self.may_hear(&happened) => return Some(event(happened.kind, &happened.data)),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    return Some(event("missed", &json!({"count": count})));
                }
                Err(broadcast::error::RecvError::Closed) => return Some(self.last()),
            }
        }
    }

    fn last(&mut self) -> Event {
        self.ended = true;
        event("again", &json!({}))
    }

    fn may_hear(&self, happened: &LiveEvent) -> bool {
        match &happened.account {
            Some(account) => self.of_operator || self.api.accounts.is_within(account, &self.account),
            None => self.of_operator,
        }
    }
}

fn event(kind: &str, data: &Value) -> Event {
    // JSON text has no line breaks, so it is one line of data.
    Event::default().event(kind).data(data.to_string())
}
