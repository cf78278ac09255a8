//! `GET /Contacts`: pages, changed-since, by id, and `where` with one comparison.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use http::HeaderMap;
use http::header::IF_MODIFIED_SINCE;
use serde::Deserialize;
use serde_json::json;

use super::wire::{ContactList, ContactView};
use crate::book::{Book, Slot};
use crate::clock::parse_instant_ms;
use crate::server::json_answer;
use crate::sim::Sim;

const PAGE_SIZE_DEFAULT: usize = 100;
const PAGE_SIZE_MAX: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    page: Option<usize>,
    #[serde(rename = "pageSize")]
    page_size: Option<usize>,
    #[serde(rename = "IDs")]
    ids: Option<String>,
    #[serde(rename = "where")]
    condition: Option<String>,
    order: Option<String>,
    #[serde(default, rename = "includeArchived")]
    include_archived: bool,
}

/// Contacts in order of update and then of id, unless `order=ContactID` is asked for.
///
/// In the first order an edit moves a contact to the end and all after its old place one forward, so whoever
/// reads page after page meanwhile misses one, as with the real system.
pub(super) async fn list(
    State(sim): State<Arc<Sim>>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Response {
    let size = query.page_size.unwrap_or(PAGE_SIZE_DEFAULT);
    let page = query.page.unwrap_or(1);
    if page == 0 || size == 0 || size > PAGE_SIZE_MAX {
        return query_error(&format!(
            "page counts from 1, pageSize from 1 to {PAGE_SIZE_MAX}"
        ));
    }
    let since_ms = match modified_since(&headers) {
        Ok(since_ms) => since_ms,
        Err(problem) => return query_error(&problem),
    };
    let world = sim.world();
    let book = &world.book;
    let candidates: Box<dyn Iterator<Item = Slot> + '_> = match (&query.ids, &query.condition) {
        (Some(ids), _) => Box::new(by_ids(book, ids).into_iter()),
        (None, Some(condition)) => match by_condition(book, condition) {
            Ok(slots) => Box::new(slots.into_iter()),
            Err(problem) => return query_error(&problem),
        },
        (None, None) => Box::new(book.updated_since(since_ms)),
    };
    let candidates = match query.order.as_deref() {
        None => candidates,
        Some("ContactID") => by_id(book, candidates),
        Some(other) => return query_error(&format!("contacts are not ordered by {other:?} here")),
    };
    let wanted = candidates.map(|slot| book.get(slot)).filter(|record| {
        record.updated_ms >= since_ms && (query.include_archived || !record.archived)
    });
    let contacts = wanted
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(ContactView::from)
        .collect();
    json_answer(StatusCode::OK, ContactList { contacts })
}

fn by_id<'a>(
    book: &Book,
    slots: Box<dyn Iterator<Item = Slot> + 'a>,
) -> Box<dyn Iterator<Item = Slot> + 'a> {
    let mut slots: Vec<Slot> = slots.collect();
    slots.sort_unstable_by_key(|slot| Arc::clone(&book.get(*slot).id));
    Box::new(slots.into_iter())
}

fn modified_since(headers: &HeaderMap) -> Result<i64, String> {
    let Some(value) = headers.get(IF_MODIFIED_SINCE) else {
        return Ok(i64::MIN);
    };
    let instant = value.to_str().ok().and_then(parse_instant_ms);
    instant.ok_or_else(|| format!("If-Modified-Since {value:?} is not like 2026-01-31T09:30:00"))
}

fn by_ids(book: &Book, ids: &str) -> Vec<Slot> {
    in_order(
        book,
        ids.split(',')
            .filter_map(|id| book.slot_of(id.trim()))
            .collect(),
    )
}

/// One comparison: `EmailAddress=="x"`, `Name=="x"` (both whatever case and spacing) or
/// `AccountNumber=="x"` (exactly).
fn by_condition(book: &Book, condition: &str) -> Result<Vec<Slot>, String> {
    let problem =
        || format!("where={condition:?} is not one comparison like EmailAddress==\"a@b.example\"");
    let (field, value) = condition.split_once("==").ok_or_else(problem)?;
    let quoted = value
        .trim()
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .ok_or_else(problem)?;
    let value = unescape(quoted).ok_or_else(problem)?;
    let found = match field.trim() {
        "EmailAddress" => book.with_email(&value),
        "Name" => book.with_name(&value),
        "AccountNumber" => book.with_reference(&value),
        other => {
            return Err(format!(
                "contacts cannot be found by {other:?}, only by EmailAddress, Name, AccountNumber"
            ));
        }
    };
    Ok(in_order(book, found))
}

/// Undoes `\"` and `\\`; a bare quote inside means that this is more than one comparison.
fn unescape(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(letters.next()?),
            '"' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

fn in_order(book: &Book, mut slots: Vec<Slot>) -> Vec<Slot> {
    slots
        .sort_unstable_by_key(|slot| (book.get(*slot).updated_ms, Arc::clone(&book.get(*slot).id)));
    slots.dedup();
    slots
}

fn query_error(message: &str) -> Response {
    let body = json!({ "ErrorNumber": 16, "Type": "QueryParseException", "Message": message });
    json_answer(StatusCode::BAD_REQUEST, body)
}
