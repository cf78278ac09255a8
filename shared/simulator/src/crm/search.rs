//! `POST /crm/v3/objects/companies/search`.
//!
//! Filters within a group must all hold, of the groups any one. Equality on name, e-mail and
//! `tandem_key`, and ranges of `hs_lastmodifieddate`, are answered from indexes; anything else is
//! a scan. As in the real API no search sees past its 10,000th result.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::bad_request;
use super::properties::Property;
use super::wire::{CompanyView, Page, Paging};
use crate::book::{Book, Record, Slot};
use crate::clock::parse_instant_ms;
use crate::fields::{Field, email_key};
use crate::server::json_answer;
use crate::sim::Sim;

const PAGE_DEFAULT: usize = 10;
const PAGE_MAX: usize = 200;
const RESULTS_MAX: usize = 10_000;
const GROUPS_MAX: usize = 5;
const FILTERS_IN_GROUP_MAX: usize = 6;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchBody {
    #[serde(default)]
    filter_groups: Vec<GroupBody>,
    #[serde(default)]
    sorts: Vec<SortBody>,
    limit: Option<usize>,
    after: Option<Value>,
    #[serde(default)]
    properties: Vec<String>,
}

#[derive(Deserialize)]
struct GroupBody {
    filters: Vec<FilterBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterBody {
    property_name: String,
    operator: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SortBody {
    property_name: String,
    #[serde(default)]
    direction: Option<String>,
}

struct Filter {
    property: Property,
    operator: Operator,
    value: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Gt,
    Gte,
    Lt,
    Lte,
}

struct Sort {
    property: Property,
    descending: bool,
}

struct Search {
    groups: Vec<Vec<Filter>>,
    sort: Sort,
    limit: usize,
    offset: usize,
    properties: Vec<Property>,
}

pub(super) async fn search(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    let body: SearchBody = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(problem) => return bad_request(&format!("Invalid input JSON: {problem}")),
    };
    let search = match parse(body) {
        Ok(search) => search,
        Err(problem) => return bad_request(&problem),
    };
    let world = sim.world();
    let found = run(&world.book, &search);
    let end = (search.offset + search.limit).min(found.len());
    let page = found.get(search.offset..end).unwrap_or_default();
    let view = |slot: &Slot| CompanyView {
        record: world.book.get(*slot),
        properties: &search.properties,
    };
    let paging = (end < found.len()).then(|| Paging::after(end.to_string()));
    let results = page.iter().map(view).collect();
    json_answer(
        StatusCode::OK,
        Page {
            total: Some(found.len()),
            results,
            paging,
        },
    )
}

fn parse(body: SearchBody) -> Result<Search, String> {
    let limit = body.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return Err(format!("limit must be between 1 and {PAGE_MAX}"));
    }
    let offset = parse_after(body.after)?;
    if offset + limit > RESULTS_MAX {
        return Err(format!(
            "a search gives at most {RESULTS_MAX} results; narrow the filters instead of paging on"
        ));
    }
    let too_many = |group: &GroupBody| group.filters.len() > FILTERS_IN_GROUP_MAX;
    if body.filter_groups.len() > GROUPS_MAX || body.filter_groups.iter().any(too_many) {
        return Err(format!(
            "at most {GROUPS_MAX} groups of {FILTERS_IN_GROUP_MAX} filters are allowed"
        ));
    }
    let parse_group = |group: GroupBody| group.filters.into_iter().map(parse_filter).collect();
    Ok(Search {
        groups: body
            .filter_groups
            .into_iter()
            .map(parse_group)
            .collect::<Result<_, String>>()?,
        sort: parse_sort(body.sorts)?,
        limit,
        offset,
        properties: Property::known(body.properties.iter().map(String::as_str)),
    })
}

/// `after` is an offset, given as text or as a number.
fn parse_after(after: Option<Value>) -> Result<usize, String> {
    let text = match after {
        None | Some(Value::Null) => return Ok(0),
        Some(Value::String(text)) if text.is_empty() => return Ok(0),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    let offset: usize = text
        .parse()
        .map_err(|_| format!("after={text:?} is not a paging token of this search"))?;
    Ok(offset.min(RESULTS_MAX))
}

fn parse_filter(body: FilterBody) -> Result<Filter, String> {
    let Some(property) = Property::parse(&body.property_name) else {
        return Err(format!(
            "there is no property {:?} to filter by",
            body.property_name
        ));
    };
    let operator = match body.operator.as_str() {
        "EQ" => Operator::Eq,
        "GT" => Operator::Gt,
        "GTE" => Operator::Gte,
        "LT" => Operator::Lt,
        "LTE" => Operator::Lte,
        other => {
            return Err(format!(
                "operator {other:?} is not one of EQ, GT, GTE, LT, LTE"
            ));
        }
    };
    let value = match body.value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    if ordinal(property, &value).is_none() && operator != Operator::Eq {
        return Err(format!(
            "{:?} is compared with {value:?}, which has no order there",
            property.name()
        ));
    }
    Ok(Filter {
        property,
        operator,
        value,
    })
}

/// The real API sorts by one property at most; without one, by id.
fn parse_sort(sorts: Vec<SortBody>) -> Result<Sort, String> {
    let Some(first) = sorts.into_iter().next() else {
        return Ok(Sort {
            property: Property::ObjectId,
            descending: false,
        });
    };
    let Some(property) = Property::parse(&first.property_name) else {
        return Err(format!(
            "there is no property {:?} to sort by",
            first.property_name
        ));
    };
    Ok(Sort {
        property,
        descending: first.direction.as_deref() == Some("DESCENDING"),
    })
}

/// Everything that matches, in order.
fn run(book: &Book, search: &Search) -> Vec<Slot> {
    let matches = |group: &[Filter], slot: Slot| {
        let record = book.get(slot);
        !record.archived && group.iter().all(|filter| filter.matches(record))
    };
    let find = |group: &[Filter]| -> Vec<Slot> {
        candidates(book, group)
            .into_iter()
            .filter(|slot| matches(group, *slot))
            .collect()
    };
    let mut found = match search.groups.as_slice() {
        [] => find(&[]),
        [only] => find(only),
        several => several
            .iter()
            .flat_map(|group| find(group))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    };
    order(book, &search.sort, &mut found);
    found
}

/// A superset of a group's matches, from the most telling index.
fn candidates(book: &Book, group: &[Filter]) -> Vec<Slot> {
    for filter in group
        .iter()
        .filter(|filter| filter.operator == Operator::Eq)
    {
        match filter.property {
            Property::Field(Field::Email) => return book.with_email(&filter.value),
            Property::Field(Field::Name) => return book.with_name(&filter.value),
            Property::TandemKey => return book.with_reference(&filter.value),
            Property::ObjectId => return book.slot_of(&filter.value).into_iter().collect(),
            Property::Field(_) | Property::LastModified | Property::Created => {}
        }
    }
    let lower_bound = group.iter().find(|filter| {
        filter.property == Property::LastModified
            && matches!(filter.operator, Operator::Gt | Operator::Gte)
    });
    match lower_bound.and_then(|filter| parse_ms(&filter.value)) {
        Some(ms) => book.updated_since(ms).collect(),
        None => (0..book.len()).collect(),
    }
}

fn order(book: &Book, sort: &Sort, found: &mut [Slot]) {
    match sort.property {
        // Slots are in order of id already in being numbered.
        Property::ObjectId => found.sort_unstable(),
        Property::LastModified => {
            found.sort_unstable_by_key(|slot| (book.get(*slot).updated_ms, *slot))
        }
        Property::Created => found.sort_unstable_by_key(|slot| (book.get(*slot).created_ms, *slot)),
        Property::Field(_) | Property::TandemKey => {
            found.sort_by(|a, b| {
                sort.property
                    .value(book.get(*a))
                    .cmp(&sort.property.value(book.get(*b)))
            });
        }
    }
    if sort.descending {
        found.reverse();
    }
}

impl Filter {
    fn matches(&self, record: &Record) -> bool {
        match self.operator {
            Operator::Eq => self.equals(record),
            Operator::Gt => self.compare(record).is_some_and(|order| order.is_gt()),
            Operator::Gte => self.compare(record).is_some_and(|order| order.is_ge()),
            Operator::Lt => self.compare(record).is_some_and(|order| order.is_lt()),
            Operator::Lte => self.compare(record).is_some_and(|order| order.is_le()),
        }
    }

    fn equals(&self, record: &Record) -> bool {
        match self.property {
            Property::Field(Field::Email) => {
                email_key(record.fields.get(Field::Email)) == email_key(&self.value)
            }
            Property::LastModified | Property::Created => {
                self.compare(record).is_some_and(|order| order.is_eq())
            }
            Property::Field(_) | Property::TandemKey | Property::ObjectId => {
                self.property.value(record) == Cow::Borrowed(self.value.as_str())
            }
        }
    }

    fn compare(&self, record: &Record) -> Option<std::cmp::Ordering> {
        let have = match self.property {
            Property::LastModified => record.updated_ms.into(),
            Property::Created => record.created_ms.into(),
            Property::Field(_) | Property::TandemKey | Property::ObjectId => {
                ordinal(self.property, &self.property.value(record))?
            }
        };
        Some(have.cmp(&ordinal(self.property, &self.value)?))
    }
}

/// The number that a value is ordered by, where the property has an order.
fn ordinal(property: Property, value: &str) -> Option<rust_decimal::Decimal> {
    match property {
        Property::LastModified | Property::Created => parse_ms(value).map(Into::into),
        Property::ObjectId | Property::Field(Field::CreditLimit) => crate::fields::decimal(value),
        Property::TandemKey | Property::Field(_) => None,
    }
}

/// Milliseconds since 1970 as text, or an ISO instant.
fn parse_ms(value: &str) -> Option<i64> {
    value
        .trim()
        .parse()
        .ok()
        .or_else(|| parse_instant_ms(value))
}
