//! Listing, reading and writing companies.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::properties::{Property, parse_write};
use super::wire::{CompanyView, Page, Paging};
use super::{bad_request, error, not_found};
use crate::book::Slot;
use crate::server::json_answer;
use crate::sim::Sim;
use crate::world::{Actor, Patch, World};

const PAGE_DEFAULT: usize = 10;
const PAGE_MAX: usize = 100;
const BATCH_MAX: usize = 100;

/// The CRM knows no idempotency keys.
const BY_API: Actor<'static> = Actor::Api {
    idempotency_key: None,
};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    limit: Option<usize>,
    after: Option<String>,
    properties: Option<String>,
    #[serde(default)]
    archived: bool,
}

#[derive(Deserialize)]
pub(super) struct ReadQuery {
    properties: Option<String>,
    #[serde(default)]
    archived: bool,
}

#[derive(Deserialize)]
struct WriteBody {
    properties: Map<String, Value>,
}

#[derive(Deserialize)]
struct BatchReadBody {
    #[serde(default)]
    properties: Vec<String>,
    inputs: Vec<BatchReadInput>,
}

#[derive(Deserialize)]
struct BatchReadInput {
    id: String,
}

/// Companies in order of id; `after` is the last id of the page before.
pub(super) async fn list(State(sim): State<Arc<Sim>>, Query(query): Query<ListQuery>) -> Response {
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return bad_request(&format!("limit must be between 1 and {PAGE_MAX}"));
    }
    let world = sim.world();
    let start = match query.after.as_deref().filter(|after| !after.is_empty()) {
        None => 0,
        Some(after) => match world.book.slot_of(after) {
            Some(slot) => slot + 1,
            None => {
                return bad_request(&format!(
                    "after={after:?} is not a paging token of this list"
                ));
            }
        },
    };
    let properties = asked_for(query.properties.as_deref());
    let rest = world.book.all()[start..]
        .iter()
        .filter(|record| record.archived == query.archived);
    let mut records: Vec<_> = rest.take(limit + 1).collect();
    let more = records.len() > limit;
    records.truncate(limit);
    let last = records.last().filter(|_| more);
    let paging = last.map(|record| Paging::after(record.id.to_string()));
    let results = records
        .iter()
        .map(|record| CompanyView {
            record,
            properties: &properties,
        })
        .collect();
    json_answer(
        StatusCode::OK,
        Page {
            total: None,
            results,
            paging,
        },
    )
}

pub(super) async fn read(
    State(sim): State<Arc<Sim>>,
    Path(id): Path<String>,
    Query(query): Query<ReadQuery>,
) -> Response {
    let world = sim.world();
    let slot = world
        .book
        .slot_of(&id)
        .filter(|slot| world.book.get(*slot).archived == query.archived);
    match slot {
        None => not_found(&id),
        Some(slot) => company(
            &world,
            slot,
            StatusCode::OK,
            &asked_for(query.properties.as_deref()),
        ),
    }
}

pub(super) async fn batch_read(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    let batch: BatchReadBody = match serde_json::from_slice(&body) {
        Ok(batch) => batch,
        Err(problem) => return bad_request(&format!("Invalid input JSON: {problem}")),
    };
    if batch.inputs.len() > BATCH_MAX {
        return bad_request(&format!("at most {BATCH_MAX} inputs are read at once"));
    }
    let properties = Property::known(batch.properties.iter().map(String::as_str));
    let world = sim.world();
    let mut results = Vec::with_capacity(batch.inputs.len());
    let mut missing = Vec::new();
    for BatchReadInput { id } in batch.inputs {
        match live(&world, &id) {
            Some(slot) => results.push(CompanyView {
                record: world.book.get(slot),
                properties: &properties,
            }),
            None => missing.push(id),
        }
    }
    if missing.is_empty() {
        return json_answer(
            StatusCode::OK,
            json!({ "status": "COMPLETE", "results": results }),
        );
    }
    let message = "Could not get some COMPANY objects, they may be deleted or not exist. Check that ids are valid.";
    let problem = json!({
        "status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": { "ids": missing },
    });
    let body =
        json!({ "status": "COMPLETE", "results": results, "numErrors": 1, "errors": [problem] });
    json_answer(StatusCode::MULTI_STATUS, body)
}

pub(super) async fn create(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    let patch = match parse_body(&body) {
        Ok(patch) => patch,
        Err(refusal) => return *refusal,
    };
    sim.change(|world, now_ms| {
        let slot = world.create(patch, BY_API, now_ms);
        company(world, slot, StatusCode::CREATED, &Property::all())
    })
}

pub(super) async fn update(
    State(sim): State<Arc<Sim>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let patch = match parse_body(&body) {
        Ok(patch) => patch,
        Err(refusal) => return *refusal,
    };
    sim.change(|world, now_ms| match live(world, &id) {
        None => not_found(&id),
        Some(slot) => {
            world.update(slot, patch, BY_API, now_ms);
            company(world, slot, StatusCode::OK, &Property::all())
        }
    })
}

/// Archiving what is archived, or was never there, is no error, as in the real API.
pub(super) async fn archive(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Response {
    sim.change(|world, now_ms| {
        if let Some(slot) = live(world, &id) {
            world.archive(slot, BY_API, now_ms);
        }
    });
    StatusCode::NO_CONTENT.into_response()
}

fn parse_body(body: &[u8]) -> Result<Patch, Box<Response>> {
    let body: WriteBody = serde_json::from_slice(body)
        .map_err(|problem| Box::new(bad_request(&format!("Invalid input JSON: {problem}"))))?;
    parse_write(body.properties).map_err(|errors| {
        let message = "Property values were not valid";
        Box::new(error(
            StatusCode::BAD_REQUEST,
            "VALIDATION_ERROR",
            message,
            errors,
        ))
    })
}

fn asked_for(names: Option<&str>) -> Vec<Property> {
    Property::known(names.unwrap_or_default().split(','))
}

fn live(world: &World, id: &str) -> Option<Slot> {
    world
        .book
        .slot_of(id)
        .filter(|slot| !world.book.get(*slot).archived)
}

fn company(world: &World, slot: Slot, status: StatusCode, properties: &[Property]) -> Response {
    json_answer(
        status,
        CompanyView {
            record: world.book.get(slot),
            properties,
        },
    )
}
