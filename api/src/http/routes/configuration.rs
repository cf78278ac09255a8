//! Status, connections, syncs, schedules.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, JobId, Side, SyncName};
use tandem_operator::views::{ConnectionView, ScheduleView, SyncView};
use tandem_operator::{Operator, Start, Status, SyncStatus};
use tandem_store::{ScheduleKey, SchedulePurpose};

use super::{Answer, SwitchWord};
use crate::http::extract::{ApiJson, ApiPath, ApiQuery, NoBody, NoQuery};
use crate::http::problem::Problem;

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/status", get(status))
        .route("/connections", get(connections))
        .route("/connections/{name}", get(connection))
        .route("/connections/{name}/reset", post(reset_connection))
        .route("/connections/{name}/{switch}", post(switch_connection))
        .route("/syncs", get(syncs))
        .route("/syncs/{name}", get(sync))
        .route("/syncs/{name}/start", post(start))
        .route("/syncs/{name}/{switch}", post(switch_sync))
        .route("/schedules", get(schedules))
        .route("/schedules/{sync}/{purpose}/trigger", post(trigger))
        .route(
            "/schedules/{sync}/{purpose}/{switch}",
            post(switch_schedule),
        )
}

/// A list that is never long.
#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
}

async fn status(State(operator): State<Operator>, _: NoQuery) -> Answer<Status> {
    Ok(Json(operator.status().await?))
}

async fn connections(
    State(operator): State<Operator>,
    _: NoQuery,
) -> Answer<Items<ConnectionView>> {
    let items = operator.connections().await?;
    Ok(Json(Items { items }))
}

async fn connection(
    State(operator): State<Operator>,
    ApiPath(name): ApiPath<ConnectionName>,
    _: NoQuery,
) -> Answer<ConnectionView> {
    Ok(Json(operator.connection(&name).await?))
}

/// `{"because": "their audit"}`: why something is paused. May be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SwitchBody {
    because: Option<String>,
}

async fn switch_connection(
    State(operator): State<Operator>,
    ApiPath((name, switch)): ApiPath<(ConnectionName, SwitchWord)>,
    body: Option<ApiJson<SwitchBody>>,
) -> Answer<ConnectionView> {
    let because = body.and_then(|ApiJson(body)| body.because);
    let view = operator
        .switch_connection(&name, switch.into(), because.as_deref())
        .await?;
    Ok(Json(view))
}

async fn reset_connection(
    State(operator): State<Operator>,
    ApiPath(name): ApiPath<ConnectionName>,
    _: NoBody,
) -> Answer<ConnectionView> {
    Ok(Json(operator.reset_connection(&name).await?))
}

async fn syncs(State(operator): State<Operator>, _: NoQuery) -> Answer<Items<SyncView>> {
    let items = operator.syncs().await?;
    Ok(Json(Items { items }))
}

async fn sync(
    State(operator): State<Operator>,
    ApiPath(name): ApiPath<SyncName>,
    _: NoQuery,
) -> Answer<SyncStatus> {
    Ok(Json(operator.sync_status(&name).await?))
}

async fn switch_sync(
    State(operator): State<Operator>,
    ApiPath((name, switch)): ApiPath<(SyncName, SwitchWord)>,
    body: Option<ApiJson<SwitchBody>>,
) -> Answer<SyncView> {
    let because = body.and_then(|ApiJson(body)| body.because);
    let view = operator
        .switch_sync(&name, switch.into(), because.as_deref())
        .await?;
    Ok(Json(view))
}

/// `{"what": "backfill"}`, `{"what": "poll", "side": "a"}`, `{"what": "sweep", "side": "b"}`.
#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
enum StartBody {
    // With braces, because Serde lets anything stand beside a word alone.
    Backfill {},
    Poll { side: Side },
    Sweep { side: Side },
}

/// What was started.
#[derive(Serialize)]
struct Started {
    job: JobId,
}

async fn start(
    State(operator): State<Operator>,
    ApiPath(name): ApiPath<SyncName>,
    ApiJson(body): ApiJson<StartBody>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let start = match body {
        StartBody::Backfill {} => Start::Backfill,
        StartBody::Poll { side } => Start::Poll(side),
        StartBody::Sweep { side } => Start::Sweep(side),
    };
    let job = operator.start(&name, start).await?;
    Ok((StatusCode::ACCEPTED, Json(Started { job })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleQuery {
    sync: Option<SyncName>,
}

async fn schedules(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<ScheduleQuery>,
) -> Answer<Items<ScheduleView>> {
    let items = operator.schedules(query.sync.as_ref()).await?;
    Ok(Json(Items { items }))
}

async fn switch_schedule(
    State(operator): State<Operator>,
    ApiPath((sync, purpose, switch)): ApiPath<(SyncName, SchedulePurpose, SwitchWord)>,
    _: NoBody,
) -> Answer<ScheduleView> {
    let key = ScheduleKey { sync, purpose };
    Ok(Json(operator.switch_schedule(&key, switch.into()).await?))
}

async fn trigger(
    State(operator): State<Operator>,
    ApiPath((sync, purpose)): ApiPath<(SyncName, SchedulePurpose)>,
    _: NoBody,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let job = operator
        .trigger_schedule(&ScheduleKey { sync, purpose })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(Started { job })))
}
