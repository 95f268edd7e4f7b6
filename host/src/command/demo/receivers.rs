//! The demo's receivers: a healthy one, one that always fails, one that takes its time. Real servers on loopback, which
//! print what lands.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
};
use tokio::{net::TcpListener, sync::watch, time::Instant};

/// How long the slow one takes.
const SLOWNESS: Duration = Duration::from_secs(2);
/// What of a body is read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The three.
pub(super) struct Receivers {
    healthy: SocketAddr,
    failing: SocketAddr,
    slow: SocketAddr,
    seen: watch::Receiver<Seen>,
}

/// What has landed.
#[derive(Clone, Debug, Default)]
struct Seen {
    kinds: BTreeSet<String>,
    requests: usize,
    signed: usize,
    slow: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Temper {
    Healthy,
    Failing,
    Slow,
}

type Shared = Arc<(Temper, watch::Sender<Seen>)>;

impl Receivers {
    pub(super) async fn start() -> std::io::Result<Self> {
        let (sender, seen) = watch::channel(Seen::default());
        let start = async |temper| {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let router = Router::new().fallback(receive).with_state(Arc::new((temper, sender.clone())));
            tokio::spawn(async move { axum::serve(listener, router).await });
            std::io::Result::Ok(address)
        };
        let (healthy, failing, slow) =
            (start(Temper::Healthy).await?, start(Temper::Failing).await?, start(Temper::Slow).await?);
        Ok(Self { healthy, failing, slow, seen })
    }

    pub(super) fn healthy(&self, path: &str) -> String {
        format!("http://{}{path}", self.healthy)
    }

    pub(super) fn failing(&self, path: &str) -> String {
        format!("http://{}{path}", self.failing)
    }

    pub(super) fn slow(&self, path: &str) -> String {
        format!("http://{}{path}", self.slow)
    }

    /// How many requests arrived.
    pub(super) fn count(&self) -> usize {
        self.seen.borrow().requests
    }

    /// How many of them were signed.
    pub(super) fn signed(&self) -> usize {
        self.seen.borrow().signed
    }

    /// Waits until the healthy receiver has seen every kind.
    pub(super) async fn wait_for_kinds(&self, kinds: &[&str], deadline: Instant) -> Result<(), String> {
        let all = |seen: &Seen| kinds.iter().all(|kind| seen.kinds.contains(*kind));
        self.wait(all, deadline).await.map_err(|seen| {
            let missing: Vec<_> = kinds.iter().filter(|kind| !seen.kinds.contains(**kind)).collect();
            format!("these kinds never arrived: {missing:?}")
        })
    }

    /// Waits until the slow receiver has answered.
    pub(super) async fn wait_for_slow(&self, deadline: Instant) -> Result<(), String> {
        self.wait(|seen| seen.slow > 0, deadline).await.map_err(|_| "the slow receiver was never reached".to_owned())
    }

    async fn wait(&self, done: impl Fn(&Seen) -> bool, deadline: Instant) -> Result<(), Seen> {
        let mut seen = self.seen.clone();
        match tokio::time::timeout_at(deadline, seen.wait_for(|seen| done(seen))).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.seen.borrow().clone()),
        }
    }
}

async fn receive(State(shared): State<Shared>, request: Request) -> StatusCode {
    let (temper, sender) = &*shared;
    let method = request.method().clone();
    let uri = request.uri().to_string();
    let signed = request.headers().contains_key("webhook-signature");
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.unwrap_or_default();
    let kind = kind(&uri, &String::from_utf8_lossy(&body));
    if *temper == Temper::Slow {
        tokio::time::sleep(SLOWNESS).await;
    }
    let (status, word) = match temper {
        Temper::Healthy => (StatusCode::OK, "healthy"),
        Temper::Failing => (StatusCode::INTERNAL_SERVER_ERROR, "failing"),
        Temper::Slow => (StatusCode::OK, "slow"),
    };
    let path = uri.split('?').next().unwrap_or_default();
    let signature = if signed { "signed" } else { "unsigned" };
    println!(
        "  {kind:<16} {method:<4} {path:<10} to the {word:<7} receiver, {signature}, answered {}",
        status.as_u16()
    );
    sender.send_modify(|seen| {
        seen.requests += 1;
        seen.signed += usize::from(signed);
        seen.slow += usize::from(*temper == Temper::Slow);
        if *temper == Temper::Healthy {
            seen.kinds.insert(kind);
        }
    });
    status
}

/// What kind of event a payload is of. Channel events name theirs; the others are known by their fields.
fn kind(uri: &str, body: &str) -> String {
    if let Ok(serde_json::Value::Object(payload)) = serde_json::from_str(body) {
        let text = |key: &str| payload.get(key).and_then(serde_json::Value::as_str);
        if let Some(event) = text("hook_event") {
            return event.to_owned();
        }
        return match (text("event_category"), text("event_name"), text("type")) {
            (Some("notification"), ..) => "notifications",
            (_, Some(name), _) if name.starts_with("PARK_") => "parking",
            (.., Some(kind @ ("sms" | "mms"))) => return kind.to_owned(),
            (.., Some(_)) => "object",
            _ => "skel",
        }
        .to_owned();
    }
    let form = if body.is_empty() { uri } else { body };
    ["channel_create", "channel_destroy", "notification", "sms"]
        .into_iter()
        .find(|kind| form.contains(&format!("={kind}")))
        .map_or_else(|| "?".to_owned(), |kind| kind.replace("notification", "notifications"))
}
