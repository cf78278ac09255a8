//! Creating, changing, deleting.

use minijinja::value::Value as TemplateValue;
use serde_json::Value as Json;
use std::sync::Arc;
use tandem_domain::{RecordId, StreamName};

use super::RestConnector;
use super::errors::Operation;
use super::listing::shared;
use super::record;
use super::response::Answer;
use crate::connector::{ConnectorError, RemoteRecord, Write, Written};
use crate::json_view;
use crate::manifest::Stream;
use crate::path::Path;
use crate::value_form::id_text;

impl RestConnector {
    pub(super) async fn create_record(
        &self,
        name: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let create = stream
            .create
            .as_ref()
            .ok_or_else(|| self.cannot("create", name))?;
        let operation = Operation {
            verb: "create",
            subject: name.as_str(),
            writes: true,
            id: None,
            accept: None,
        };
        let mut encoded = record::encode(stream, write.fields, None)
            .map_err(|reason| self.exchange.misconfigured(reason))?;
        if let Some(reference) = stream
            .reference
            .as_ref()
            .filter(|reference| reference.is_settable())
        {
            reference.set(
                &mut encoded.record,
                None,
                Json::String(write.transaction.to_owned()),
            );
        }
        let scope = self
            .scope
            .clone()
            .with(
                "fields",
                json_view::view(Arc::new(Json::Object(encoded.fields))),
            )
            .with("record", json_view::view(Arc::new(encoded.record)))
            .with("transaction", write.transaction);
        let answer = self
            .exchange
            .send(&operation, &create.request, &scope)
            .await?;
        let id = answer
            .json()
            .and_then(|body| create.id.first(body))
            .and_then(id_text)
            .map(RecordId::new);
        let id = id.ok_or_else(|| {
            self.malformed(
                &operation,
                format!("the answer has no id at `{}`", create.id),
            )
        })?;
        Ok(Written {
            record: answered_record(stream, create.record.as_ref(), answer, &id),
            id,
        })
    }

    pub(super) async fn update_record(
        &self,
        name: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let update = stream
            .update
            .as_ref()
            .ok_or_else(|| self.cannot("change", name))?;
        let operation = Operation {
            verb: "update",
            subject: name.as_str(),
            writes: true,
            id: Some(id),
            accept: None,
        };
        let current = write.current.map_or(&Json::Null, |current| &current.raw);
        let encoded = record::encode(stream, write.fields, Some(current))
            .map_err(|reason| self.exchange.misconfigured(reason))?;
        let mut scope = self
            .scope
            .clone()
            .with("id", self.checked_id(stream, id)?)
            .with(
                "fields",
                json_view::view(Arc::new(Json::Object(encoded.fields))),
            )
            .with("record", json_view::view(Arc::new(encoded.record)))
            .with(
                "expected_version",
                write
                    .expected_version
                    .map_or(TemplateValue::from(()), TemplateValue::from),
            )
            .with("transaction", write.transaction);
        // The record as it is may be long; it is copied only for requests that look at it.
        if update.request.uses("current") {
            scope.add("current", shared(current));
        }
        let answer = self
            .exchange
            .send(&operation, &update.request, &scope)
            .await?;
        Ok(Written {
            record: answered_record(stream, update.record.as_ref(), answer, id),
            id: id.clone(),
        })
    }

    pub(super) async fn delete_record(
        &self,
        name: &StreamName,
        id: &RecordId,
        transaction: &str,
    ) -> Result<(), ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let delete = stream
            .delete
            .as_ref()
            .ok_or_else(|| self.cannot("delete", name))?;
        let operation = Operation {
            verb: "delete",
            subject: name.as_str(),
            writes: true,
            id: Some(id),
            accept: None,
        };
        let scope = self
            .scope
            .clone()
            .with("id", self.checked_id(stream, id)?)
            .with("transaction", transaction);
        match self
            .exchange
            .send(&operation, &delete.request, &scope)
            .await
        {
            Ok(_) | Err(ConnectorError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn cannot(&self, verb: &str, name: &StreamName) -> ConnectorError {
        self.exchange.misconfigured(format!(
            "its manifest has no way to {verb} records of `{name}`; make the mapping one-way"
        ))
    }
}

/// The record in a write's answer, if it is there, readable, and the one that was written.
fn answered_record(
    stream: &Stream,
    place: Option<&Path>,
    answer: Answer,
    id: &RecordId,
) -> Option<Box<RemoteRecord>> {
    let path = place?;
    let mut rows = Vec::new();
    path.take(&mut answer.into_json(), &mut rows);
    let record = record::decode(stream, rows.into_iter().next()?).ok()?;
    (record.id == *id).then(|| Box::new(record))
}
