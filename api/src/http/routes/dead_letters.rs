//! Dead letters.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Deserialize;
use tandem_operator::views::Page;
use tandem_operator::{
    DeadLetter, DeadLetterDetail, DeadLetterGroups, DeadLetterId, DeadLetterQuery, Discarded,
    Operator, Replayed,
};

use tandem_store::Edits;

use super::Answer;
use crate::http::extract::{ApiJson, ApiPath, ApiQuery};
use crate::http::problem::Problem;

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/groups", get(groups))
        .route("/dead-letters/export", get(export))
        .route("/dead-letters/replay", post(replay_many))
        .route("/dead-letters/discard", post(discard_many))
        .route("/dead-letters/{id}", get(show))
        .route("/dead-letters/{id}/replay", post(replay))
        .route("/dead-letters/{id}/discard", post(discard))
}

async fn list(
    State(operator): State<Operator>,
    ApiQuery(filter): ApiQuery<DeadLetterQuery>,
) -> Answer<Page<DeadLetter>> {
    Ok(Json(operator.dead_letters(filter).await?))
}

/// All that match, as comma-separated values.
async fn export(
    State(operator): State<Operator>,
    ApiQuery(filter): ApiQuery<DeadLetterQuery>,
) -> Result<impl IntoResponse, Problem> {
    let table = operator.dead_letters_csv(&filter).await?;
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present",
        ),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"dead-letters.csv\"",
        ),
    ];
    Ok((headers, table))
}

async fn groups(
    State(operator): State<Operator>,
    ApiQuery(filter): ApiQuery<DeadLetterQuery>,
) -> Answer<DeadLetterGroups> {
    Ok(Json(operator.dead_letter_groups(filter).await?))
}

async fn show(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<DeadLetterId>,
) -> Answer<DeadLetterDetail> {
    Ok(Json(operator.dead_letter(id).await?))
}

/// `{"ids": […]}` or `{"matching": {"sync"?, "code"?, "cause"?, …}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    ids: Option<Vec<DeadLetterId>>,
    matching: Option<DeadLetterQuery>,
}

/// The same with `"reason": "…"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    ids: Option<Vec<DeadLetterId>>,
    matching: Option<DeadLetterQuery>,
    reason: String,
}

/// Some by id, or all that match.
enum Selection {
    Ids(Vec<DeadLetterId>),
    Matching(DeadLetterQuery),
}

/// Both at once could mean either of them and both, so nothing is done then.
fn selection(
    ids: Option<Vec<DeadLetterId>>,
    matching: Option<DeadLetterQuery>,
) -> Result<Selection, Problem> {
    match (ids, matching) {
        (Some(ids), None) => Ok(Selection::Ids(ids)),
        (None, Some(query)) => Ok(Selection::Matching(query)),
        (Some(_), Some(_)) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the body has both `ids` and `matching`, and nothing was done; give one of them",
        )),
        (None, None) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the body says of which dead letters, with `ids` or with `matching`; nothing was done",
        )),
    }
}

async fn replay_many(
    State(operator): State<Operator>,
    ApiJson(body): ApiJson<ReplayBody>,
) -> Answer<Replayed> {
    let outcome = match selection(body.ids, body.matching)? {
        Selection::Ids(ids) => operator.replay(&ids).await?,
        Selection::Matching(query) => operator.replay_matching(&query).await?,
    };
    Ok(Json(outcome))
}

async fn discard_many(
    State(operator): State<Operator>,
    ApiJson(body): ApiJson<DiscardBody>,
) -> Answer<Discarded> {
    let outcome = match selection(body.ids, body.matching)? {
        Selection::Ids(ids) => operator.discard(&ids, &body.reason).await?,
        Selection::Matching(query) => operator.discard_matching(&query, &body.reason).await?,
    };
    Ok(Json(outcome))
}

/// Nothing, or `{"set": {"<field>": "<text>", …}}`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditBody {
    #[serde(default)]
    set: Edits,
}

async fn replay(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<DeadLetterId>,
    body: Option<ApiJson<EditBody>>,
) -> Answer<Replayed> {
    let edits = body.map(|ApiJson(body)| body.set).unwrap_or_default();
    if !edits.is_empty() {
        return replay_edited(&operator, id, &edits).await;
    }
    let outcome = operator.replay(&[id]).await?;
    match outcome.skipped.first() {
        Some(skipped) => Err(left_alone(id, &skipped.reason)),
        None => Ok(Json(outcome)),
    }
}

async fn replay_edited(operator: &Operator, id: DeadLetterId, edits: &Edits) -> Answer<Replayed> {
    let DeadLetterId::Job(job) = id else {
        return Err(left_alone(
            id,
            "an event has no fields to set; replay it without",
        ));
    };
    operator.replay_edited(job, edits).await?;
    Ok(Json(Replayed {
        replayed: vec![id],
        skipped: Vec::new(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn discard(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<DeadLetterId>,
    ApiJson(body): ApiJson<Reason>,
) -> Answer<Discarded> {
    let outcome = operator.discard(&[id], &body.reason).await?;
    match outcome.skipped.first() {
        Some(skipped) => Err(left_alone(id, &skipped.reason)),
        None => Ok(Json(outcome)),
    }
}

fn left_alone(id: DeadLetterId, reason: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        format!("{id} was left as it is: {reason}"),
    )
}
