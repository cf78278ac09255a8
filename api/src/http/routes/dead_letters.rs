//! Dead letters.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer};
use tandem_operator::views::Page;
use tandem_operator::{
    DeadLetter, DeadLetterDetail, DeadLetterGroups, DeadLetterId, DeadLetterQuery, Discarded,
    Operator, Replayed, Selection,
};

use tandem_store::Edits;

use super::Answer;
use crate::http::extract::{ApiJson, ApiPath, ApiQuery, NoQuery};
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
    _: NoQuery,
) -> Answer<DeadLetterDetail> {
    Ok(Json(operator.dead_letter(id).await?))
}

/// `{"ids": […]}`, `{"matching": {"sync"?, "code"?, "cause"?, …}}` or `{"all": true}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    #[serde(default, deserialize_with = "given")]
    ids: Option<Vec<DeadLetterId>>,
    #[serde(default, deserialize_with = "given")]
    matching: Option<DeadLetterQuery>,
    #[serde(default)]
    all: bool,
}

/// The same with `"reason": "…"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    #[serde(default, deserialize_with = "given")]
    ids: Option<Vec<DeadLetterId>>,
    #[serde(default, deserialize_with = "given")]
    matching: Option<DeadLetterQuery>,
    #[serde(default)]
    all: bool,
    reason: String,
}

/// What is there is meant: null is not the same as leaving it out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

async fn replay_many(
    State(operator): State<Operator>,
    ApiJson(body): ApiJson<ReplayBody>,
) -> Answer<Replayed> {
    let selection = Selection::of(body.ids, body.matching, body.all)?;
    Ok(Json(operator.replay_selected(&selection).await?))
}

async fn discard_many(
    State(operator): State<Operator>,
    ApiJson(body): ApiJson<DiscardBody>,
) -> Answer<Discarded> {
    let selection = Selection::of(body.ids, body.matching, body.all)?;
    let outcome = operator.discard_selected(&selection, &body.reason).await?;
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
        ..Replayed::default()
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
