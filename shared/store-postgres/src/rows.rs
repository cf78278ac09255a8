//! Reading columns: every stored text becomes a type here, or an error that names the column.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};
use tandem_domain::{RecordId, Timestamp};
use tandem_store::StoreError;

use crate::sql::failed;

fn corrupt(column: &'static str, reason: impl Display) -> StoreError {
    StoreError::Corrupt {
        what: "row",
        reason: format!("column {column}: {reason}"),
    }
}

/// A column as it is.
pub(crate) fn get<'r, T>(row: &'r PgRow, column: &'static str) -> Result<T, StoreError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|error| failed(error).into())
}

/// An id or name.
pub(crate) fn parsed<T>(row: &PgRow, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    get::<&str>(row, column)?
        .parse()
        .map_err(|error| corrupt(column, error))
}

/// An id or name that may be missing.
pub(crate) fn parsed_opt<T>(row: &PgRow, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    get::<Option<&str>>(row, column)?
        .map(|text| text.parse().map_err(|error| corrupt(column, error)))
        .transpose()
}

/// A state or kind: the word that serde gives it.
pub(crate) fn word<T: DeserializeOwned>(
    row: &PgRow,
    column: &'static str,
) -> Result<T, StoreError> {
    read_word(get(row, column)?, column)
}

/// Where a list goes on when rows of this page are left out; `None` when it was the last. A page that came out shorter
/// would look like the end.
pub(crate) fn next_page<T: FromStr>(rows: &[PgRow], limit: usize) -> Option<T> {
    let last = rows.last().filter(|_| rows.len() >= limit)?;
    last.try_get::<&str, _>("id").ok()?.parse().ok()
}

/// The rows of a list that can be read. One that a newer version wrote, in words that this one does not know, is left out
/// with a warning; the others are not kept from whoever asks.
pub(crate) fn known<T>(
    what: &'static str,
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(one) => known.push(one),
            Err(StoreError::Corrupt { reason, .. }) => {
                let id: Option<&str> = row.try_get("id").ok();
                tracing::warn!(
                    what,
                    id,
                    reason,
                    "a row in the list of {what} cannot be read by this version of Tandem and is left out; it is kept as it is. Did a \
                     newer version write it? Run that one everywhere"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

/// A word that this version knows, or the word as it is.
pub(crate) fn word_or_text<T: DeserializeOwned>(
    row: &PgRow,
    column: &'static str,
) -> Result<(Option<T>, Option<String>), StoreError> {
    let Some(text) = get::<Option<String>>(row, column)? else {
        return Ok((None, None));
    };
    match read_word(&text, column) {
        Ok(word) => Ok((Some(word), None)),
        Err(_) => Ok((None, Some(text))),
    }
}

fn read_word<T: DeserializeOwned>(text: &str, column: &'static str) -> Result<T, StoreError> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| corrupt(column, error))
}

/// A JSON document.
pub(crate) fn document<T: DeserializeOwned>(
    row: &PgRow,
    column: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(get(row, column)?).map_err(|error| corrupt(column, error))
}

/// A JSON document that may be missing.
pub(crate) fn document_opt<T: DeserializeOwned>(
    row: &PgRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    get::<Option<&str>>(row, column)?
        .map(|text| serde_json::from_str(text).map_err(|error| corrupt(column, error)))
        .transpose()
}

/// Match keys as a record's row holds them.
pub(crate) fn parsed_keys(keys: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(keys).map_err(|error| corrupt("keys", error))
}

/// An instant.
pub(crate) fn instant(row: &PgRow, column: &'static str) -> Result<Timestamp, StoreError> {
    get(row, column).map(Timestamp::from_micros)
}

/// An instant that may be missing.
pub(crate) fn instant_opt(
    row: &PgRow,
    column: &'static str,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

/// The id of a record, that may be missing.
pub(crate) fn record_opt(
    row: &PgRow,
    column: &'static str,
) -> Result<Option<RecordId>, StoreError> {
    Ok(get::<Option<String>>(row, column)?.map(RecordId::new))
}

/// The id of a record.
pub(crate) fn record(row: &PgRow, column: &'static str) -> Result<RecordId, StoreError> {
    get::<String>(row, column).map(RecordId::new)
}

/// A count.
pub(crate) fn count(row: &PgRow, column: &'static str) -> Result<u64, StoreError> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| corrupt(column, "a count below zero"))
}

/// A small count.
pub(crate) fn small(row: &PgRow, column: &'static str) -> Result<u32, StoreError> {
    let value: i64 = get(row, column)?;
    u32::try_from(value).map_err(|_| corrupt(column, "out of range"))
}
