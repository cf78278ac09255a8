//! Questions that only a person can answer.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tandem_domain::{ConflictId, RecordId, Side};
use tandem_operator::views::{ConflictView, Page};
use tandem_operator::{Confirmed, ConflictQuery, Operator, Resolved};
use tandem_store::Resolution;

use super::Answer;
use crate::http::extract::{ApiJson, ApiPath, ApiQuery, NoBody, NoQuery};

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/conflicts", get(list))
        .route("/conflicts/resolve", post(resolve_all))
        .route("/conflicts/{id}", get(show))
        .route("/conflicts/{id}/resolve", post(resolve))
        .route("/conflicts/{id}/reopen", post(reopen))
}

async fn list(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<ConflictQuery>,
) -> Answer<Page<ConflictView>> {
    Ok(Json(operator.conflicts(query).await?))
}

async fn show(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<ConflictId>,
    _: NoQuery,
) -> Answer<ConflictView> {
    Ok(Json(operator.conflict(id).await?))
}

/// A [`Resolution`] as it is sent: with nothing beside it. Its words have braces, because Serde lets anything stand
/// beside a word alone.
#[derive(Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
enum AnswerBody {
    Take {
        side: Side,
    },
    LinkTo {
        record: RecordId,
        /// Whether values of a record that is no candidate may be written over.
        #[serde(default)]
        confirm: bool,
    },
    CreateNew {},
    Ignore {},
    Approve {},
    Reject {},
    Dismiss {},
}

impl AnswerBody {
    const fn confirmed(&self) -> Confirmed {
        Confirmed(matches!(self, Self::LinkTo { confirm: true, .. }))
    }
}

impl From<AnswerBody> for Resolution {
    fn from(body: AnswerBody) -> Self {
        match body {
            AnswerBody::Take { side } => Self::Take { side },
            AnswerBody::LinkTo { record, .. } => Self::LinkTo { record },
            AnswerBody::CreateNew {} => Self::CreateNew,
            AnswerBody::Ignore {} => Self::Ignore,
            AnswerBody::Approve {} => Self::Approve,
            AnswerBody::Reject {} => Self::Reject,
            AnswerBody::Dismiss {} => Self::Dismiss,
        }
    }
}

/// `{"answer": "take", "side": "a"}`, `{"answer": "link_to", "record": "17"}` (with `"confirm": true` where
/// that writes over values of a record that is no candidate), `{"answer": "create_new"}`,
/// `{"answer": "ignore"}`, `{"answer": "approve"}`, `{"answer": "reject"}`, `{"answer": "dismiss"}`.
async fn resolve(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<ConflictId>,
    ApiJson(answer): ApiJson<AnswerBody>,
) -> Answer<ConflictView> {
    let confirmed = answer.confirmed();
    let answer = operator.resolve_when(id, answer.into(), confirmed).await?;
    Ok(Json(answer))
}

/// Takes `ignore` back.
async fn reopen(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<ConflictId>,
    _: NoBody,
) -> Answer<ConflictView> {
    Ok(Json(operator.reopen(id).await?))
}

/// Some questions by id, and one answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveAll {
    ids: Vec<ConflictId>,
    answer: AnswerBody,
}

/// `{"ids": […], "answer": {"answer": "take", "side": "a"}}`.
async fn resolve_all(
    State(operator): State<Operator>,
    ApiJson(body): ApiJson<ResolveAll>,
) -> Answer<Resolved> {
    let answer = body.answer.into();
    Ok(Json(operator.resolve_all(&body.ids, &answer).await?))
}
