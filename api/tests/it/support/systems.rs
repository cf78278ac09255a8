//! Connected systems that have every record, but those whose id says otherwise.

use async_trait::async_trait;
use tandem_domain::{FieldType, Fields, RecordId, Side, Stays, SyncName, Value};
use tandem_operator::{OperatorError, Standing, Systems};

/// A record `bob-…` has a name. One `gone-…` is not there, and whoever asks for `away-…` finds its system away.
pub struct Shelves;

fn names(record: &RecordId) -> Fields {
    let id = record.as_str();
    let name = id
        .split_once('-')
        .filter(|(name, _)| matches!(*name, "ann" | "bob"));
    let value = name.map(|(name, _)| Value::Text(name.to_owned()));
    value
        .map(|value| ("name".to_owned(), value))
        .into_iter()
        .collect()
}

#[async_trait]
impl Systems for Shelves {
    async fn read(
        &self,
        _sync: &SyncName,
        _side: Side,
        record: &RecordId,
    ) -> Result<Option<Standing>, OperatorError> {
        if record.as_str().starts_with("away") {
            return Err(OperatorError::NotChecked {
                problem: "books is away".to_owned(),
                advice: "ask again later",
            });
        }
        let is_there = !record.as_str().starts_with("gone");
        Ok(is_there.then(|| Standing {
            id: record.clone(),
            out_of_use: false,
            fields: names(record),
            left_out: None,
        }))
    }

    fn field_type(&self, _sync: &SyncName, _field: &str) -> Option<FieldType> {
        None
    }

    fn same(&self, _sync: &SyncName, _field: &str, one: &Value, other: &Value) -> bool {
        one == other
    }

    fn stays(&self, _sync: &SyncName, field: &str) -> Stays {
        match field {
            "limit" => Stays::Authority(Side::B),
            _ => Stays::Later,
        }
    }

    fn name(&self, _sync: &SyncName, side: Side) -> String {
        match side {
            Side::A => "crm".to_owned(),
            Side::B => "books".to_owned(),
        }
    }

    fn creates(&self, _sync: &SyncName, _side: Side) -> Option<bool> {
        None
    }
}
