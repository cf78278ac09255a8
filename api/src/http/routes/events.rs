//! The inbox.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::{EventId, JobId};
use tandem_operator::views::{EventDetail, EventView, Page};
use tandem_operator::{EventQuery, Operator};

use super::Answer;
use crate::http::extract::{ApiJson, ApiPath, ApiQuery, NoBody, NoQuery};
use crate::http::problem::Problem;

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/events", get(list))
        .route("/events/{id}", get(show))
        .route("/events/{id}/replay", post(replay))
        .route("/events/{id}/discard", post(discard))
}

async fn list(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<EventQuery>,
) -> Answer<Page<EventView>> {
    Ok(Json(operator.events(query).await?))
}

async fn show(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<EventId>,
    _: NoQuery,
) -> Answer<EventDetail> {
    Ok(Json(operator.event(id).await?))
}

/// The jobs that a replay caused.
#[derive(Serialize)]
struct Jobs {
    jobs: Vec<JobId>,
}

async fn replay(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<EventId>,
    _: NoBody,
) -> Answer<Jobs> {
    let jobs = operator.replay_event(id).await?;
    Ok(Json(Jobs { jobs }))
}

/// Nothing, or `{"reason": "…"}`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: Option<String>,
}

async fn discard(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<EventId>,
    body: Option<ApiJson<Reason>>,
) -> Answer<EventDetail> {
    let said = body.map(|ApiJson(body)| body).unwrap_or_default();
    let because = said.reason.as_deref();
    if operator.discard_events(&[id], because).await? == 0 {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("the event {id} is not in quarantine; only such events can be discarded"),
        ));
    }
    Ok(Json(operator.event(id).await?))
}
