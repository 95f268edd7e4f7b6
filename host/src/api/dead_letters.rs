//! Messages that modules failed on, and those that the broker gave up: `/v2/dead_letters` for the operator, an account's
//! own (what it posted, or what its own module failed on) under `/v2/accounts/{account_id}/dead_letters`. Listed, handed in
//! again ([`crate::pipeline::Pipeline::replay`]), dropped; one, or those of a module.

use std::time::{Duration, Instant};

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::{Caller, InAccount},
    described::{AnyObject, Failure, Pages, Problems, Success},
    long_entries::LongEntries,
    paging::Paging,
    problem::Problem,
    query::Query,
};
use crate::{
    clock::gregorian_s,
    message::{AccountId, ModuleId, Object},
    pipeline::Replay,
    store::{DeadLetter, DeadLetterQuery},
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, delete_many))
        .routes(routes!(replay_many))
        .routes(routes!(show, delete))
        .routes(routes!(replay))
        .routes(routes!(list_own))
        .routes(routes!(show_own, delete_own))
        .routes(routes!(replay_own))
}

/// A message that is kept.
#[derive(ToSchema)]
pub struct DeadLetterBody {
    /// A number, as text.
    #[schema(example = "118")]
    pub id: String,
    /// When it was kept, seconds since year 0.
    pub timestamp: u64,
    /// The module that failed on it; none when the broker gave it up.
    pub module: Option<String>,
    /// That module's version then.
    pub module_version: Option<String>,
    /// What went wrong.
    pub reason: String,
    /// The account that sees it besides the operator.
    pub account_id: Option<String>,
    /// The message, whole.
    pub message: DeadMessage,
}

/// The message of a dead letter.
#[derive(ToSchema)]
pub struct DeadMessage {
    /// `amqp` or `http`.
    pub source: String,
    /// As it was published.
    pub exchange: String,
    /// As it was published.
    pub routing_key: String,
    /// AMQP's `message-id`, else the body's `Msg-ID`.
    pub message_id: Option<String>,
    /// When it was taken in, seconds since year 0.
    pub received: u64,
    /// What it says, without what is taken out at ingress.
    pub body: AnyObject,
}

/// What came of handing it in again.
#[derive(ToSchema)]
pub struct Replayed {
    /// Events that were made.
    pub events: u64,
    /// Hooks that were fired.
    pub firings: u64,
}

/// What came of replaying many.
#[derive(ToSchema)]
pub struct ReplayedMany {
    /// Those that worked, and are gone.
    pub replayed: u64,
    /// Those that did not, and are kept.
    pub failed: Vec<FailedAgain>,
    /// How many of the module are left, the failed ones included.
    pub left: u64,
}

/// One that failed again.
#[derive(ToSchema)]
pub struct FailedAgain {
    /// Which.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What came of deleting many.
#[derive(ToSchema)]
pub struct DeletedMany {
    /// Those that are gone.
    pub deleted: u64,
    /// How many of the module are left.
    pub left: u64,
}

/// Of which module.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfModule {
    /// Those that this module failed on only.
    pub module: Option<String>,
}

/// Of which module; must be said.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfOneModule {
    /// Those that this module failed on.
    pub module: String,
}

/// List dead letters, newest first. For the operator.
#[utoipa::path(
    get, path = "/v2/dead_letters", tag = "messages", params(OfModule, Pages),
    responses((status = 200, description = "A page of dead letters", body = Success<Vec<DeadLetterBody>>), Problems),
)]
async fn list(State(api): State<Shared>, caller: Caller, paging: Paging, query: Query) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    page(&api, None, &paging, &query).await
}

/// List an account's own dead letters, newest first.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/dead_letters", tag = "messages",
    params(("account_id" = String, Path, description = "Whose posts, or whose module's"), OfModule, Pages),
    responses((status = 200, description = "A page of dead letters", body = Success<Vec<DeadLetterBody>>), Problems),
)]
async fn list_own(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    page(&api, Some(account), &paging, &query).await
}

async fn page(api: &Api, owner: Option<AccountId>, paging: &Paging, query: &Query) -> Result<Answer, Problem> {
    let mut entries = LongEntries::new(paging, api);
    let limit = entries.rows_to_fetch();
    let mut query = DeadLetterQuery { owner, module: module_of(query), before: paging.after()?, limit };
    loop {
        let letters = api.store.dead_letters(&query).await?;
        query.before = letters.last().map(|letter| letter.id);
        let is_last = letters.len() < limit as usize;
        for letter in &letters {
            entries.push(letter.id, shown(letter));
        }
        if is_last || entries.is_full() {
            return entries.answer();
        }
    }
}

fn module_of(query: &Query) -> Option<ModuleId> {
    query.get("module").filter(|module| !module.is_empty()).map(ModuleId::from)
}

/// Fetch a dead letter. For the operator.
#[utoipa::path(
    get, path = "/v2/dead_letters/{letter_id}", tag = "messages",
    params(("letter_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The dead letter", body = Success<DeadLetterBody>), Problems),
)]
async fn show(State(api): State<Shared>, caller: Caller, Path(id): Path<String>) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    Ok(Answer::of(shown(&api.letter(None, &id).await?)))
}

/// Fetch one of an account's own dead letters.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/dead_letters/{letter_id}", tag = "messages",
    params(("account_id" = String, Path, description = "Whose"), ("letter_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The dead letter", body = Success<DeadLetterBody>), Problems),
)]
async fn show_own(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    Ok(Answer::of(shown(&api.letter(Some(&account), &id).await?)))
}

/// Hand a dead letter's message in again: to the module that failed on it, or to all that want it when it never reached
/// one. When that works the letter is gone, else it is kept. For the operator.
#[utoipa::path(
    post, path = "/v2/dead_letters/{letter_id}/replay", tag = "messages",
    params(("letter_id" = String, Path, description = "Which")),
    responses(
        (status = 200, description = "It worked; the dead letter is gone", body = Success<Replayed>),
        (status = 422, description = "The module failed again", body = Failure),
        Problems,
    ),
)]
async fn replay(State(api): State<Shared>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    caller.must_be_super()?;
    Ok(api.replayed(&api.letter(None, &id).await?).await)
}

/// Hand one of an account's own dead letters in again, as the operator's call does.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/dead_letters/{letter_id}/replay", tag = "messages",
    params(("account_id" = String, Path, description = "Whose"), ("letter_id" = String, Path, description = "Which")),
    responses(
        (status = 200, description = "It worked; the dead letter is gone", body = Success<Replayed>),
        (status = 422, description = "The module failed again", body = Failure),
        Problems,
    ),
)]
async fn replay_own(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    Ok(api.replayed(&api.letter(Some(&account), &id).await?).await)
}

/// Delete a dead letter: its message is lost. For the operator.
#[utoipa::path(
    delete, path = "/v2/dead_letters/{letter_id}", tag = "messages",
    params(("letter_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The dead letter as it was", body = Success<DeadLetterBody>), Problems),
)]
async fn delete(State(api): State<Shared>, caller: Caller, Path(id): Path<String>) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    api.deleted(&api.letter(None, &id).await?).await
}

/// Delete one of an account's own dead letters: its message is lost.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/dead_letters/{letter_id}", tag = "messages",
    params(("account_id" = String, Path, description = "Whose"), ("letter_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The dead letter as it was", body = Success<DeadLetterBody>), Problems),
)]
async fn delete_own(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    api.deleted(&api.letter(Some(&account), &id).await?).await
}

/// Hand in again what a module failed on, newest first: at most `dead_letters.bulk_rows_max` a call, and as many as fit
/// into a request's time. `next_start_key` leads to those after them; the failed ones are kept. For the operator.
#[utoipa::path(
    post, path = "/v2/dead_letters/replay", tag = "messages", params(OfOneModule, Pages),
    responses((status = 200, description = "What came of it", body = Success<ReplayedMany>), Problems),
)]
async fn replay_many(
    State(api): State<Shared>,
    caller: Caller,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    let module = required_module(&query)?;
    let began = Instant::now();
    let enough = Duration::from_millis(api.settings.request_timeout_ms / 2);
    let (mut replayed, mut failed, mut before) = (0_u64, Vec::new(), paging.after::<i64>()?);
    let (mut left_to_do, mut is_more) = (api.bulk_rows(&paging), true);
    // One at a time is read and replayed: each holds a whole message, and may take as long as its module.
    while left_to_do > 0 && began.elapsed() < enough {
        let query = DeadLetterQuery { owner: None, module: Some(module.clone()), before, limit: 1 };
        let Some(letter) = api.store.dead_letters(&query).await?.into_iter().next() else {
            is_more = false;
            break;
        };
        match api.pipeline.replay(&letter).await {
            Replay::Done { .. } => replayed += 1,
            Replay::Failed(reason) | Replay::NotTried(reason) | Replay::NotNow(reason) => {
                failed.push(json!({"id": letter.id.to_string(), "reason": reason}));
            }
        }
        before = Some(letter.id);
        left_to_do -= 1;
    }
    let left = api.store.dead_letter_count(&module).await?;
    let looked_at = usize::try_from(replayed).unwrap_or(usize::MAX) + failed.len();
    let data = json!({"replayed": replayed, "failed": failed, "left": left});
    Ok(Answer { page: Some(paging.ended_after(looked_at, before.filter(|_| is_more).as_ref())), ..Answer::of(data) })
}

/// Delete what a module failed on, newest first: at most `dead_letters.bulk_rows_max` a call. For the operator.
#[utoipa::path(
    delete, path = "/v2/dead_letters", tag = "messages", params(OfOneModule),
    responses((status = 200, description = "How many are gone, and how many are left", body = Success<DeletedMany>), Problems),
)]
async fn delete_many(State(api): State<Shared>, caller: Caller, query: Query) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    let module = required_module(&query)?;
    let mut deleted = 0_u64;
    for _ in 0..api.dead_letters.bulk_rows_max {
        let query = DeadLetterQuery { module: Some(module.clone()), ..DeadLetterQuery::newest(1) };
        let Some(letter) = api.store.dead_letters(&query).await?.into_iter().next() else { break };
        deleted += u64::from(api.store.delete_dead_letter(letter.id).await?);
    }
    let left = api.store.dead_letter_count(&module).await?;
    Ok(Answer::of(json!({"deleted": deleted, "left": left})))
}

/// Without it, one call would be for the letters of all modules.
fn required_module(query: &Query) -> Result<ModuleId, Problem> {
    module_of(query).ok_or_else(|| Problem::invalid("module", "required", "Field is required but missing"))
}

fn shown(letter: &DeadLetter) -> Object {
    let message = &letter.message;
    let mut shown = Object::new();
    let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    set("id", json!(letter.id.to_string()));
    set("timestamp", json!(gregorian_s(letter.at_ms)));
    if let Some(module) = &letter.module {
        set("module", json!(module));
        set("module_version", json!(letter.module_version));
    }
    set("reason", json!(letter.reason));
    if let Some(owner) = &letter.owner {
        set("account_id", json!(owner));
    }
    let mut of_message = json!({
        "source": message.source,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "received": gregorian_s(message.received_ms),
        // Ingress has made sure that it is an object.
        "body": serde_json::from_str::<Object>(&message.body).unwrap_or_default(),
    });
    if let Some(id) = &message.message_id {
        of_message["message_id"] = json!(id);
    }
    set("message", of_message);
    shown
}

impl Api {
    /// The letter, when the owner (or anybody, for the operator) may see it.
    async fn letter(&self, owner: Option<&AccountId>, id: &str) -> Result<DeadLetter, Problem> {
        let found = match id.parse() {
            Ok(number) => self.store.dead_letter(number).await?,
            Err(_) => None,
        };
        let found = found.filter(|letter| owner.is_none() || letter.owner.as_ref() == owner);
        found.ok_or_else(|| Problem::bad_identifier(id))
    }

    async fn replayed(&self, letter: &DeadLetter) -> Response {
        match self.pipeline.replay(letter).await {
            Replay::Done { events, firings } => {
                Answer::of(json!({"events": events, "firings": firings})).into_response()
            }
            Replay::Failed(reason) => Problem::unusable(&reason).into_response(),
            Replay::NotTried(reason) => Problem::in_the_way(&reason).into_response(),
            Replay::NotNow(reason) => {
                tracing::error!(dead_letter = letter.id, reason, "a dead letter could not be replayed");
                Problem::unavailable().into_response()
            }
        }
    }

    async fn deleted(&self, letter: &DeadLetter) -> Result<Answer, Problem> {
        match self.store.delete_dead_letter(letter.id).await? {
            true => Ok(Answer::of(shown(letter))),
            false => Err(Problem::bad_identifier(&letter.id.to_string())),
        }
    }

    /// How many letters one call works on.
    fn bulk_rows(&self, paging: &Paging) -> u64 {
        self.dead_letters.bulk_rows_max.min(paging.page_size as u64)
    }
}
