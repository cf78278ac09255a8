//! Links, changes, and the story of a record.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, header};
use serde::Deserialize;
use tandem_domain::{LinkId, RecordId, Side, SyncName};
use tandem_operator::views::{ChangeView, LinkView, Page, StandingView};
use tandem_operator::{ChangeQuery, Confirmed, LinkingView, Operator};
use tandem_store::LinkStanding;

use super::Answer;
use crate::http::extract::{ApiJson, ApiPath, ApiQuery, NoBody, NoQuery};
use crate::http::problem::Problem;

pub fn routes() -> Router<Operator> {
    Router::new()
        .route("/syncs/{name}/links", get(links))
        .route("/syncs/{name}/links", post(link_by_hand))
        .route("/syncs/{name}/links/preview", get(linking))
        .route("/syncs/{name}/record", get(look))
        .route("/syncs/{name}/explain", get(explain))
        .route("/links/{id}", get(link))
        .route("/links/{id}/unlink", post(unlink_by_hand))
        .route("/changes", get(changes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinksQuery {
    state: Option<LinkStanding>,
    cursor: Option<LinkId>,
    limit: Option<usize>,
}

async fn links(
    State(operator): State<Operator>,
    ApiPath(sync): ApiPath<SyncName>,
    ApiQuery(query): ApiQuery<LinksQuery>,
) -> Answer<Page<LinkView>> {
    let page = operator
        .links(&sync, query.state, query.cursor, query.limit)
        .await?;
    Ok(Json(page))
}

async fn link(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<LinkId>,
    _: NoQuery,
) -> Answer<LinkView> {
    Ok(Json(operator.link(id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    record: RecordId,
    side: Option<Side>,
}

/// As JSON, or as text for whoever prefers that (`Accept: text/plain`).
async fn explain(
    State(operator): State<Operator>,
    ApiPath(sync): ApiPath<SyncName>,
    ApiQuery(query): ApiQuery<ExplainQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let story = operator.explain(&sync, query.side, &query.record).await?;
    let as_text = headers
        .get(header::ACCEPT)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    Ok(if as_text {
        story.to_string().into_response()
    } else {
        Json(story).into_response()
    })
}

async fn changes(
    State(operator): State<Operator>,
    ApiQuery(query): ApiQuery<ChangeQuery>,
) -> Answer<Page<ChangeView>> {
    Ok(Json(operator.changes(query).await?))
}

/// Two records to link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    a: RecordId,
    b: RecordId,
    /// Whether values may be written over.
    #[serde(default)]
    confirm: bool,
}

/// `{"a": "<record>", "b": "<record>"}`, with `"confirm": true` where that writes over values.
async fn link_by_hand(
    State(operator): State<Operator>,
    ApiPath(sync): ApiPath<SyncName>,
    ApiJson(Pair { a, b, confirm }): ApiJson<Pair>,
) -> Answer<LinkView> {
    let linked = operator.link_by_hand(&sync, &a, &b, Confirmed(confirm));
    Ok(Json(linked.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairQuery {
    a: RecordId,
    b: RecordId,
}

/// What linking two records would do; changes nothing.
async fn linking(
    State(operator): State<Operator>,
    ApiPath(sync): ApiPath<SyncName>,
    ApiQuery(PairQuery { a, b }): ApiQuery<PairQuery>,
) -> Answer<LinkingView> {
    Ok(Json(operator.linking(&sync, &a, &b).await?))
}

async fn unlink_by_hand(
    State(operator): State<Operator>,
    ApiPath(id): ApiPath<LinkId>,
    _: NoBody,
) -> Answer<LinkView> {
    Ok(Json(operator.unlink_by_hand(id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookQuery {
    side: Side,
    record: RecordId,
}

/// The record as its system holds it now.
async fn look(
    State(operator): State<Operator>,
    ApiPath(sync): ApiPath<SyncName>,
    ApiQuery(query): ApiQuery<LookQuery>,
) -> Answer<StandingView> {
    Ok(Json(operator.look(&sync, query.side, &query.record).await?))
}
