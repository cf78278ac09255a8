//! Jobs and runs.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tandem_domain::{ErrorCode, JobId, RecordId, RunId, SyncName};
use tandem_operator::views::{JobDetail, JobView, Page, RunView};
use tandem_operator::{JobQuery, Operator, RunQuery};
use tandem_store::{JobState, RunKind, RunState};

use super::Answer;
use crate::http::extract::{ApiPath, ApiQuery};

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/jobs", get(jobs))
        .route("/jobs/{id}", get(job))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    state: Option<JobState>,
    sync: Option<SyncName>,
    code: Option<ErrorCode>,
    record: Option<RecordId>,
    cursor: Option<JobId>,
    limit: Option<usize>,
}

async fn jobs(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<JobsQuery>,
) -> Answer<Page<JobView>> {
    let query = JobQuery {
        state: query.state,
        sync: query.sync,
        code: query.code,
        record: query.record,
        cursor: query.cursor,
        limit: query.limit,
    };
    Ok(Json(operator.jobs(query).await?))
}

async fn job(State(operator): State<Operator>, ApiPath(id): ApiPath<JobId>) -> Answer<JobDetail> {
    Ok(Json(operator.job(id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunsQuery {
    sync: Option<SyncName>,
    kind: Option<RunKind>,
    state: Option<RunState>,
    cursor: Option<RunId>,
    limit: Option<usize>,
}

async fn runs(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<RunsQuery>,
) -> Answer<Page<RunView>> {
    let query = RunQuery {
        sync: query.sync,
        kind: query.kind,
        state: query.state,
        cursor: query.cursor,
        limit: query.limit,
    };
    Ok(Json(operator.runs(query).await?))
}

async fn run(State(operator): State<Operator>, ApiPath(id): ApiPath<RunId>) -> Answer<RunView> {
    Ok(Json(operator.run(id).await?))
}
