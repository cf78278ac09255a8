//! A record is unreadable for a sync only if a field that the sync uses is.
//!
//! The connector reads every field that the manifest names, and keeps beside the record what is wrong with
//! those that it could not read. Which of them matter is known to the sync: this wrapper sets a record aside
//! whose used fields are among them, so that no value is ever taken for empty because it was unreadable. What
//! nobody uses does not matter. Nor is a record used whose used values are too long together.
//!
//! Nor is a value taken for empty because an answer leaves it out: what a search finds and shows in part is read by
//! its id, and marked if there is none under it; and an answer to a write that shows less than was written counts as one without the record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{MeasuredOffset, RecordId, StreamName};

use crate::clock_state::ClockState;
use crate::connector::{
    CheckReport, Connector, ConnectorError, Delete, Listing, Lookup, Page, PageToken, ReadOutcome,
    RemoteRecord, StreamInfo, UnreadableRow, Write, Written,
};
use crate::pulse::{HoldUp, Pulse};
use crate::rest::value_bytes::too_long_together;

/// A connector as one side of a sync uses it.
pub struct NeededFields {
    inner: Arc<dyn Connector>,
    system: String,
    needed: BTreeSet<String>,
}

impl NeededFields {
    /// The connector of `system`, of whose records these fields are used.
    #[must_use]
    pub fn new(inner: Arc<dyn Connector>, system: &str, needed: BTreeSet<String>) -> Self {
        Self {
            inner,
            system: system.to_owned(),
            needed,
        }
    }

    /// Why a record cannot be used, if it cannot.
    fn wrong(&self, stream: &StreamName, record: &RemoteRecord) -> Option<String> {
        let mut wrong = record
            .unreadable
            .iter()
            .filter(|(name, _)| self.needed.contains(*name))
            .map(|(_, reason)| reason.as_str());
        match wrong.next() {
            None => self.too_long(stream, record),
            Some(first) => {
                Some(wrong.fold(first.to_owned(), |all, reason| format!("{all}; {reason}")))
            }
        }
    }

    /// Whether the used values of a record are too long together, and how long they are.
    fn too_long(&self, stream: &StreamName, record: &RemoteRecord) -> Option<String> {
        let bytes_max = self.inner.stream(stream)?.record_bytes_max;
        let used = record.fields.iter();
        let used = used.filter(|(name, _)| self.needed.contains(*name));
        let bytes = used.map(|(_, value)| value.bytes()).sum();
        (bytes > bytes_max).then(|| too_long_together(bytes, bytes_max))
    }
}

#[async_trait]
impl Connector for NeededFields {
    fn stream(&self, stream: &StreamName) -> Option<&StreamInfo> {
        self.inner.stream(stream)
    }

    fn streams(&self) -> Vec<StreamName> {
        self.inner.streams()
    }

    fn clock_offset_micros(&self) -> i64 {
        self.inner.clock_offset_micros()
    }

    fn clock_state(&self) -> ClockState {
        self.inner.clock_state()
    }

    fn clock_measured(&self) -> Option<MeasuredOffset> {
        self.inner.clock_measured()
    }

    async fn settle_clock(&self) {
        self.inner.settle_clock().await;
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn pulse(&self) -> Option<Pulse> {
        self.inner.pulse()
    }

    fn hold_up(&self) -> HoldUp {
        self.inner.hold_up()
    }

    fn masked(&self, text: &str) -> String {
        self.inner.masked(text)
    }

    async fn try_again(&self) {
        self.inner.try_again().await;
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        self.inner.check().await
    }

    async fn list(
        &self,
        stream: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        let mut page = self.inner.list(stream, listing, token).await?;
        let unreadable = &mut page.unreadable;
        page.records
            .retain(|record| match self.wrong(stream, record) {
                Some(reason) => {
                    unreadable.push(UnreadableRow {
                        id: Some(record.id.clone()),
                        reason: format!("record {}: {reason}", record.id),
                    });
                    false
                }
                None => true,
            });
        Ok(page)
    }

    async fn read(
        &self,
        stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let mut outcomes = self.inner.read(stream, ids).await?;
        for outcome in &mut outcomes {
            if let ReadOutcome::Found(record) = outcome
                && let Some(reason) = self.wrong(stream, record)
            {
                *outcome = ReadOutcome::Unreadable(reason);
            }
        }
        Ok(outcomes)
    }

    async fn find(
        &self,
        stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        let Some(found) = self.inner.find(stream, lookup).await? else {
            return Ok(None);
        };
        let mut whole = Vec::with_capacity(found.len());
        for record in found {
            whole.push(self.whole(stream, record).await?);
        }
        for record in whole.iter().filter(|record| !record.in_part) {
            if let Some(reason) = self.wrong(stream, record) {
                return Err(self.unreadable(record.id.clone(), reason));
            }
        }
        Ok(Some(whole))
    }

    async fn create(
        &self,
        stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let written = self.inner.create(stream, write).await?;
        Ok(self.checked(stream, write, written))
    }

    async fn update(
        &self,
        stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let written = self.inner.update(stream, id, write).await?;
        Ok(self.checked(stream, write, written))
    }

    async fn delete(
        &self,
        stream: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        self.inner.delete(stream, id, delete).await
    }
}

impl NeededFields {
    /// An answer with an unreadable record says as much as one without: the record is read back. So does one that
    /// leaves out what the record must hold now.
    fn checked(&self, stream: &StreamName, write: &Write<'_>, written: Written) -> Written {
        let holds = |name: &String| {
            let before = write.current.and_then(|current| current.fields.get(name));
            let now = write.fields.get(name).or(before);
            now.is_some_and(|value| !value.is_null())
        };
        let record = written.record.filter(|record| {
            self.wrong(stream, record).is_none() && !self.left_out(record).any(holds)
        });
        Written { record, ..written }
    }

    /// The used fields of which a record says nothing.
    fn left_out<'r>(&'r self, record: &'r RemoteRecord) -> impl Iterator<Item = &'r String> {
        record.left_out.intersection(&self.needed)
    }

    /// A record that was found: one that is shown in part is read by its id. One that is not there is marked: it is not
    /// known, and it does not count as gone either, for it was just found.
    async fn whole(
        &self,
        stream: &StreamName,
        record: RemoteRecord,
    ) -> Result<RemoteRecord, ConnectorError> {
        if self.left_out(&record).next().is_none() {
            return Ok(record);
        }
        let id = std::slice::from_ref(&record.id);
        let mut outcomes = self.inner.read(stream, id).await?;
        match outcomes.pop() {
            Some(ReadOutcome::Found(record)) => Ok(*record),
            Some(ReadOutcome::Unreadable(reason)) => Err(self.unreadable(record.id, reason)),
            Some(ReadOutcome::Missing) | None => Ok(RemoteRecord {
                in_part: true,
                ..record
            }),
        }
    }

    fn unreadable(&self, record: RecordId, reason: String) -> ConnectorError {
        ConnectorError::Unreadable {
            system: self.system.clone(),
            record,
            reason,
        }
    }
}
