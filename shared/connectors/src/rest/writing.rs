//! Creating, changing, deleting.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Serde, Value as TemplateValue};
use serde_json::{Map, Value as Json};
use tandem_domain::{RecordId, StreamName};

use super::RestConnector;
use super::errors::Operation;
use super::listing::Keep;
use super::listing::shared;
use super::record::{self, Unwritable};
use super::response::Answer;
use crate::connector::{ConnectorError, Delete, RemoteRecord, Write, Written};
use crate::json_view;
use crate::manifest::{Step, Stream};
use crate::path::Path;
use crate::template::{Node, Scope, TemplateError};
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
            past_end: None,
        };
        let mut encoded = record::encode(stream, write.fields, None)
            .map_err(|wrong| self.unwritable(&operation, wrong))?;
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
        let mut scope = self
            .scope
            .clone()
            .with(
                "fields",
                json_view::view(Arc::new(Json::Object(encoded.fields))),
            )
            .with("record", json_view::view(Arc::new(encoded.record)))
            .with("transaction", write.transaction);
        self.make_ready(&operation, &create.values, &create.before, &mut scope)
            .await?;
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
            record: self.answered_record(stream, create.record.as_ref(), answer, &id),
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
            past_end: None,
        };
        let current = write.current.map(|current| current.raw.json());
        let current = current.unwrap_or_default();
        let encoded = record::encode(stream, write.fields, Some(&current))
            .map_err(|wrong| self.unwritable(&operation, wrong))?;
        let mut scope = self
            .scope
            .clone()
            .with("id", self.checked_id(stream, id)?)
            .with(
                "fields",
                json_view::view(Arc::new(Json::Object(encoded.fields))),
            )
            .with("record", json_view::view(Arc::new(encoded.record)))
            .with("expected_version", version(write.expected_version))
            .with("transaction", write.transaction);
        // The record as it is may be long; it is copied only for requests that look at it.
        if update.uses("current") {
            scope.add("current", shared(&current));
        }
        self.make_ready(&operation, &update.values, &update.before, &mut scope)
            .await?;
        let answer = self
            .exchange
            .send(&operation, &update.request, &scope)
            .await?;
        Ok(Written {
            record: self.answered_record(stream, update.record.as_ref(), answer, id),
            id: id.clone(),
        })
    }

    pub(super) async fn delete_record(
        &self,
        name: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let how = stream
            .delete
            .as_ref()
            .ok_or_else(|| self.cannot("delete", name))?;
        let operation = Operation {
            verb: "delete",
            subject: name.as_str(),
            writes: true,
            id: Some(id),
            accept: None,
            past_end: None,
        };
        let mut scope = self
            .scope
            .clone()
            .with("id", self.checked_id(stream, id)?)
            .with("expected_version", version(delete.expected_version))
            .with("transaction", delete.transaction);
        if how.request.uses("current") {
            let current = delete.current.map(|current| current.raw.json());
            scope.add("current", shared(&current.unwrap_or_default()));
        }
        match self.exchange.send(&operation, &how.request, &scope).await {
            Ok(_) | Err(ConnectorError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Evaluates `let` and carries out the steps that go before a write.
    async fn make_ready(
        &self,
        operation: &Operation<'_>,
        values: &BTreeMap<String, Node>,
        before: &[Step],
        scope: &mut Scope,
    ) -> Result<(), ConnectorError> {
        if !values.is_empty() {
            let seen = scope.value();
            let mut evaluated = Map::new();
            for (name, node) in values {
                let value = node
                    .json(&seen)
                    .map_err(|error| self.exchange.misconfigured(error.to_string()))?;
                evaluated.insert(name.clone(), value.unwrap_or(Json::Null));
            }
            scope.add("let", json_view::view(Arc::new(Json::Object(evaluated))));
        }
        let mut kept = Map::new();
        for step in before {
            self.step(operation, step, scope, &mut kept).await?;
            scope.add("kept", TemplateValue::from(Serde(&kept)));
        }
        Ok(())
    }

    async fn step(
        &self,
        operation: &Operation<'_>,
        step: &Step,
        scope: &Scope,
        kept: &mut Map<String, Json>,
    ) -> Result<(), ConnectorError> {
        let wrong = |error: TemplateError| self.exchange.misconfigured(error.to_string());
        if let Some(when) = &step.when
            && !when
                .json(&scope.value())
                .map_err(wrong)?
                .is_some_and(|value| is_true(&value))
        {
            return Ok(());
        }
        let operation = Operation {
            writes: step.writes,
            ..*operation
        };
        let answer = self.exchange.send(&operation, &step.request, scope).await?;
        for (name, path) in &step.keep {
            let found = answer
                .json()
                .and_then(|body| path.first(body))
                .filter(|value| !value.is_null());
            match (found, &step.refuse) {
                (Some(value), _) => _ = kept.insert(name.clone(), value.clone()),
                (None, Some(message)) => {
                    let message = message
                        .plain(&scope.value())
                        .map_err(wrong)?
                        .unwrap_or_default();
                    return Err(ConnectorError::Refused {
                        system: self.exchange.system.clone(),
                        operation: operation.to_string(),
                        message,
                        field: None,
                    });
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// A value without a form concerns this record's field, a wrong mapping all records.
    fn unwritable(&self, operation: &Operation<'_>, wrong: Unwritable) -> ConnectorError {
        match wrong {
            Unwritable::Mapping(reason) => self.exchange.misconfigured(reason),
            Unwritable::Value { field, reason } => ConnectorError::Refused {
                system: self.exchange.system.clone(),
                operation: format!("{operation} (nothing was sent)"),
                message: reason,
                field: Some(field),
            },
        }
    }

    /// The record in a write's answer, if it is there, readable, and the one that was written.
    fn answered_record(
        &self,
        stream: &Stream,
        place: Option<&Path>,
        answer: Answer,
        id: &RecordId,
    ) -> Option<Box<RemoteRecord>> {
        let path = place?;
        let mut rows = Vec::new();
        let mut whole = answer.into_whole();
        path.take(&mut whole.json, &mut rows);
        let mut record = record::decode(
            stream,
            rows.into_iter().next()?,
            Keep::of(&whole),
            self.value_bytes_max(),
        )
        .ok()?;
        self.mask(std::slice::from_mut(&mut record), &mut []);
        (record.id == *id).then(|| Box::new(record))
    }

    fn cannot(&self, verb: &str, name: &StreamName) -> ConnectorError {
        self.exchange.misconfigured(format!(
            "its manifest has no way to {verb} records of `{name}`; make the mapping one-way"
        ))
    }
}

/// The version that a write expects; null when it expects none.
fn version(expected: Option<&str>) -> TemplateValue {
    expected.map_or(TemplateValue::from(()), TemplateValue::from)
}

/// Whether a condition holds: neither null, false, zero, nor empty.
fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(truth) => *truth,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(elements) => !elements.is_empty(),
        Json::Object(members) => !members.is_empty(),
    }
}
