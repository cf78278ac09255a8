//! Jobs and runs.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use tandem_domain::{JobId, RunId};
use tandem_operator::views::{JobDetail, JobView, Page, RunView};
use tandem_operator::{JobQuery, Operator, RunQuery};

use super::Answer;
use crate::http::extract::{ApiPath, ApiQuery, NoQuery};

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/jobs", get(jobs))
        .route("/jobs/{id}", get(job))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
}

async fn jobs(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<JobQuery>,
) -> Answer<Page<JobView>> {
    Ok(Json(operator.jobs(query).await?))
}

async fn job(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<JobId>,
    _: NoQuery,
) -> Answer<JobDetail> {
    Ok(Json(operator.job(id).await?))
}

async fn runs(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<RunQuery>,
) -> Answer<Page<RunView>> {
    Ok(Json(operator.runs(query).await?))
}

async fn run(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<RunId>,
    _: NoQuery,
) -> Answer<RunView> {
    Ok(Json(operator.run(id).await?))
}
