//! Reading by id, searching. Listings are in `pages.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::try_join_all;
use minijinja::value::{Serde, Value as TemplateValue};
use serde_json::Value as Json;
use tandem_domain::{RecordId, StreamName, Value, canonical};

use super::RestConnector;
use super::errors::Operation;
use super::record;
use super::response::Whole;
use crate::connector::{ConnectorError, Lookup, ReadOutcome, RemoteRecord, UnreadableRow};
use crate::manifest::{Finder, Paths, Stream};

/// The rows of an answer, and how many the longest array had.
pub(super) struct Rows {
    pub(super) rows: Vec<Json>,
    pub(super) longest: u64,
    /// Whether any of the places was there at all.
    pub(super) found: bool,
}

pub(super) fn take_rows(paths: &Paths, body: &mut Json) -> Rows {
    let mut taken = Rows {
        rows: Vec::new(),
        longest: 0,
        found: false,
    };
    for path in &paths.0 {
        let before = taken.rows.len();
        taken.found |= path.take(body, &mut taken.rows);
        taken.longest = taken.longest.max((taken.rows.len() - before) as u64);
    }
    taken
}

/// What stands where rows should be, if it can be none: neither a list nor a record.
pub(super) fn no_list(paths: &Paths, body: &Json) -> Option<String> {
    paths.0.iter().find_map(|path| {
        let found = match path.first(body)? {
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
            Json::Bool(value) => format!("`{value}`"),
            Json::Number(number) => format!("the number {number}"),
            Json::String(_) => "a text".to_owned(),
        };
        Some(format!(
            "at `{path}` there is {found}, not a list of records; correct `records` in the manifest"
        ))
    })
}

/// The one place for rows, where an object stands there: a system may give a single record so.
pub(super) fn object_for_list(paths: &Paths, body: &Json) -> Option<String> {
    let [path] = &paths.0[..] else {
        return None;
    };
    let place = path.to_string();
    let names_many = place.contains(['*', '[']);
    (!names_many && matches!(path.first(body), Some(Json::Object(_)))).then_some(place)
}

impl RestConnector {
    pub(super) async fn read_records(
        &self,
        name: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let batch = stream.read.max.max(1) as usize;
        let batches = try_join_all(
            ids.chunks(batch)
                .map(|ids| self.read_batch(name, stream, ids)),
        )
        .await?;
        Ok(batches.into_iter().flatten().collect())
    }

    /// Reads what can be asked for. An id that cannot be sent is the failure of its record, not of those beside it.
    async fn read_batch(
        &self,
        name: &StreamName,
        stream: &Stream,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let values: Vec<Result<TemplateValue, String>> =
            ids.iter().map(|id| record::id_value(stream, id)).collect();
        let (mut asked, mut sent) = (Vec::with_capacity(ids.len()), Vec::new());
        for (id, value) in ids.iter().zip(&values) {
            if let Ok(value) = value {
                asked.push(id.clone());
                sent.push(value.clone());
            }
        }
        let read = match asked.as_slice() {
            [] => Vec::new(),
            asked => self.read_asked(name, stream, asked, sent).await?,
        };
        let mut read = read.into_iter();
        let outcomes = values.into_iter().filter_map(|value| match value {
            // One for each that was asked for.
            Ok(_) => read.next(),
            Err(reason) => Some(ReadOutcome::Unreadable(reason)),
        });
        Ok(outcomes.collect())
    }

    async fn read_asked(
        &self,
        name: &StreamName,
        stream: &Stream,
        ids: &[RecordId],
        values: Vec<TemplateValue>,
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let read = &stream.read;
        let single = read.max <= 1;
        let operation = Operation {
            verb: "read",
            subject: name.as_str(),
            writes: false,
            id: ids.first().filter(|_| single),
            accept: read.missing.as_ref().filter(|_| single),
            past_end: None,
        };
        let scope = match values.first() {
            Some(id) if single => self.scope.clone().with("id", id.clone()),
            _ => self.scope.clone().with("ids", TemplateValue::from(values)),
        };
        let answer = self
            .exchange
            .send(&operation, &read.request, &scope)
            .await?;
        if answer.accepted {
            return Ok(ids.iter().map(|_| ReadOutcome::Missing).collect());
        }
        let complete = read
            .complete
            .as_ref()
            .is_none_or(|complete| complete.holds(&answer.scope()));
        let mut whole = answer.into_whole();
        let taken = take_rows(&read.records, &mut whole.json);
        if !taken.found {
            return Err(self.malformed(
                &operation,
                format!("there is nothing at {}", places(&read.records)),
            ));
        }
        let (records, unreadable) = self.decode_all(stream, taken.rows, Keep::of(&whole));
        self.in_order(&operation, ids, records, &unreadable, complete && !single)
    }

    /// The answers in the order asked for. An absent one is missing if the answer is known to be complete.
    /// A row without a readable id may be any of those that are absent, so none of them is known to be missing.
    fn in_order(
        &self,
        operation: &Operation<'_>,
        ids: &[RecordId],
        records: Vec<RemoteRecord>,
        unreadable: &[UnreadableRow],
        absent_is_missing: bool,
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let mut found: HashMap<RecordId, RemoteRecord> = records
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        let mut outcomes = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let outcome = match found.remove(id) {
                Some(record) => ReadOutcome::Found(Box::new(record)),
                // An id asked for twice is answered twice.
                None if let Some(earlier) =
                    ids[..index].iter().position(|earlier| earlier == id) =>
                {
                    let again: &ReadOutcome = &outcomes[earlier];
                    again.clone()
                }
                // Many systems answer for a record that was merged away with the one that is left.
                None if ids.len() == 1
                    && !absent_is_missing
                    && unreadable.is_empty()
                    && found.len() == 1 =>
                {
                    let other = found.drain().next().map(|(_, other)| Box::new(other));
                    other.map_or(ReadOutcome::Missing, ReadOutcome::Found)
                }
                None => {
                    let row = unreadable
                        .iter()
                        .find(|row| row.id.is_none() || row.id.as_ref() == Some(id));
                    match row {
                        Some(row) => ReadOutcome::Unreadable(row.reason.clone()),
                        None if absent_is_missing => ReadOutcome::Missing,
                        None => {
                            let other = found.keys().min().filter(|_| ids.len() == 1);
                            let instead = other.map_or_else(String::new, |other| {
                                format!(", but record {other} instead")
                            });
                            return Err(self.malformed(
                                operation,
                                format!("the answer does not hold record {id}{instead}"),
                            ));
                        }
                    }
                }
            };
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    pub(super) fn decode_all(
        &self,
        stream: &Stream,
        rows: Vec<Json>,
        keep: Keep,
    ) -> (Vec<RemoteRecord>, Vec<UnreadableRow>) {
        let mut records = Vec::with_capacity(rows.len());
        let mut unreadable = Vec::new();
        for row in rows {
            match record::decode(stream, row, keep, self.value_bytes_max()) {
                Ok(record) => records.push(record),
                Err(row) => unreadable.push(row),
            }
        }
        self.mask(&mut records, &mut unreadable);
        (records, unreadable)
    }

    /// Takes secrets out of what is said of rows and fields that cannot be read: it shows what the system sent there.
    pub(super) fn mask(&self, records: &mut [RemoteRecord], rows: &mut [UnreadableRow]) {
        let of_fields = records
            .iter_mut()
            .flat_map(|record| record.unreadable.values_mut());
        let of_rows = rows.iter_mut().map(|row| &mut row.reason);
        let mut reasons = of_fields.chain(of_rows).peekable();
        if reasons.peek().is_some() {
            let redactor = self.exchange.redactor();
            reasons.for_each(|reason| *reason = redactor.clean_beginning(reason));
        }
    }

    pub(super) async fn find_records(
        &self,
        name: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let wanted = match lookup {
            Lookup::Reference(_) => "reference",
            Lookup::Field { name, .. } => name,
        };
        let Some(finder) = stream
            .find
            .iter()
            .find(|finder| finder.by.iter().any(|name| name.value == wanted))
        else {
            return Ok(None);
        };
        let value = match lookup {
            Lookup::Reference(reference) => Json::String((*reference).to_owned()),
            Lookup::Field { value, .. } if value.is_null() => return Ok(Some(Vec::new())),
            Lookup::Field { name: field, value } => {
                let spec = stream.fields.get(*field);
                let spec = spec.ok_or_else(|| {
                    self.exchange
                        .misconfigured(format!("`{name}` has no field `{field}`"))
                })?;
                // What the system has no form for, it does not hold.
                let Ok(value) = record::encode_for_search(spec, value) else {
                    return Ok(Some(Vec::new()));
                };
                value
            }
        };
        let scope = self
            .scope
            .clone()
            .with("name", wanted)
            .with("value", TemplateValue::from(Serde(&value)));
        let records = self.search(name, stream, finder, &scope).await?;
        Ok(Some(
            records
                .into_iter()
                .filter(|record| fits(record, lookup, finder))
                .collect(),
        ))
    }

    async fn search(
        &self,
        name: &StreamName,
        stream: &Stream,
        finder: &Finder,
        scope: &crate::template::Scope,
    ) -> Result<Vec<RemoteRecord>, ConnectorError> {
        let operation = Operation {
            verb: "search",
            subject: name.as_str(),
            writes: false,
            id: None,
            accept: None,
            past_end: None,
        };
        let answer = self
            .exchange
            .send(&operation, &finder.request, scope)
            .await?;
        let mut whole = answer.into_whole();
        let taken = take_rows(&finder.records, &mut whole.json);
        if !taken.found {
            return Err(self.malformed(
                &operation,
                format!("there is nothing at {}", places(&finder.records)),
            ));
        }
        let (records, unreadable) = self.decode_all(stream, taken.rows, Keep::of(&whole));
        match unreadable.first() {
            // A row that cannot be read may be the one looked for, so the search has not failed to find it.
            Some(UnreadableRow {
                id: Some(id),
                reason,
            }) => Err(ConnectorError::Unreadable {
                system: self.exchange.system.clone(),
                record: id.clone(),
                reason: reason.clone(),
            }),
            Some(UnreadableRow { id: None, reason }) => {
                Err(self.malformed(&operation, reason.clone()))
            }
            None => Ok(records),
        }
    }
}

/// A reference must be exactly ours. A field is compared again only where the system searches fuzzily.
fn fits(record: &RemoteRecord, lookup: &Lookup<'_>, finder: &Finder) -> bool {
    match lookup {
        Lookup::Reference(reference) => record.reference.as_deref() == Some(*reference),
        Lookup::Field { .. } if !finder.fuzzy => true,
        Lookup::Field { name, value } => record
            .fields
            .get(*name)
            .is_some_and(|found| alike(found, value)),
    }
}

/// Equal but for the case of letters, blanks around them, and the Unicode form.
fn alike(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Text(found), Value::Text(wanted)) => {
            let plain = |text: &str| canonical(&text.trim().to_lowercase()).into_owned();
            plain(found) == plain(wanted)
        }
        (found, wanted) => found == wanted,
    }
}

/// What is kept of a row besides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The row as it is.
    Row,
    /// The row, as text if it is long.
    LongRow,
    /// The row as text. What a listing gave is hardly ever written from.
    Text,
}

impl Keep {
    pub(super) const fn of(whole: &Whole) -> Self {
        if whole.is_long {
            Self::LongRow
        } else {
            Self::Row
        }
    }

    pub(super) const fn of_listing(is_long: bool) -> Self {
        if is_long { Self::Text } else { Self::Row }
    }
}

pub(super) fn places(paths: &Paths) -> String {
    paths
        .0
        .iter()
        .map(|path| format!("`{path}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

/// A document that several template values share.
pub(super) fn shared(json: &Json) -> TemplateValue {
    crate::json_view::view(Arc::new(json.clone()))
}
