//! What the system answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tandem_connectors::{
    CheckReport, ClockState, Connector, ConnectorError, Delete, Listing, Lookup, Page, PageToken,
    ReadOutcome, RemoteRecord, StreamInfo, UnreadableRow, Write, Written,
};
use tandem_domain::{Fields, RecordId, StreamName, Timestamp, Value};

use super::faults::{Effect, Moment};
use super::oddities::{Lag, Meanwhile};
use super::requests::{ids as named, values};
use super::rows::Row;
use super::{FIELDS, FakeSystem};

impl FakeSystem {
    /// Refuses a write that holds a value which it does not take.
    fn refuse(&self, write: &Write<'_>) -> Result<(), ConnectorError> {
        let is_refused = |(field, value): &&(&str, &str)| {
            write.fields.get(*field) == Some(&Value::Text((*value).to_owned()))
        };
        match self.oddities().refuses.iter().find(is_refused) {
            None => Ok(()),
            Some((field, value)) => Err(ConnectorError::Refused {
                system: self.name().to_owned(),
                operation: "write".to_owned(),
                message: format!("there is no {field} `{value}`"),
                field: Some((*field).to_owned()),
            }),
        }
    }

    /// The record as a reader sees it who is so far behind; what it shows counts as seen by Tandem.
    fn seen(&self, id: &RecordId, lag: Lag) -> Option<RemoteRecord> {
        self.looked_at(id, lag, false)
    }

    fn looked_at(&self, id: &RecordId, lag: Lag, is_read: bool) -> Option<RemoteRecord> {
        let now = self.real_now();
        let state = self.state();
        let (row, touched_since) = state.as_of(id, now, lag.by);
        let row = row.filter(|_| !touched_since || lag.shows == Meanwhile::Before)?;
        self.ledger().shown(row.typed.values());
        if is_read {
            self.ledger().read(row.typed.values());
        }
        Some(self.remote(id, row))
    }

    fn remote(&self, id: &RecordId, row: &Row) -> RemoteRecord {
        let mut fields = self.oddities().shown(&row.fields);
        let left_out = self.left_out(&fields);
        for field in &left_out {
            fields.insert(field.clone(), Value::Null);
        }
        let left_out = if self.hides_as_null.load(Ordering::Relaxed) {
            BTreeSet::new()
        } else {
            left_out
        };
        let (updated_at, updated_again) = self.oddities().tells(row.updated_at);
        RemoteRecord {
            id: id.clone(),
            fields,
            unreadable: BTreeMap::new(),
            left_out,
            in_part: false,
            version: Some(row.version.to_string()).filter(|_| !self.oddities().hides_versions),
            updated_at: Some(updated_at).filter(|_| !self.oddities().hides_times),
            updated_again,
            created_at: Some(row.created_at).filter(|_| !self.oddities().hides_birth),
            archived: row.fields.get("active") == Some(&Value::Text("false".to_owned())),
            reference: row.reference.clone(),
            raw: tandem_connectors::RawRecord::default(),
        }
    }

    /// The fields of which no answer says anything.
    fn left_out(&self, fields: &Fields) -> BTreeSet<String> {
        let is_empty = |field: &str| match fields.get(field) {
            Some(Value::Text(text)) => text.is_empty(),
            value => value.is_none_or(Value::is_null),
        };
        let hidden = self.hidden();
        let omits = |field: &str| self.oddities().omits_empty && is_empty(field);
        let left_out = FIELDS
            .iter()
            .filter(|field| hidden.contains(*field) || omits(field));
        left_out.map(|field| (*field).to_owned()).collect()
    }

    /// As a listing or a search shows a record.
    fn summed_up(&self, mut record: RemoteRecord) -> RemoteRecord {
        for field in &self.oddities().listings_leave_out {
            record.fields.insert((*field).to_owned(), Value::Null);
            record.left_out.insert((*field).to_owned());
        }
        record
    }

    /// A read by id: it follows merges, and does not find what is hidden for now.
    fn read_one(&self, id: &RecordId) -> ReadOutcome {
        self.comes(Moment::BeforeRead, id);
        let (target, hidden, garbled) = {
            let state = self.state();
            let hidden = state.is_hidden(id, self.real_now());
            let target = state.merged.get(id).unwrap_or(id).clone();
            (target, hidden, state.garbled.contains(id))
        };
        if garbled {
            return ReadOutcome::Unreadable("half a character".into());
        }
        let record = (!hidden)
            .then(|| self.looked_at(&target, self.oddities().lag, true))
            .flatten();
        let outcome = record.map_or(ReadOutcome::Missing, |one| {
            ReadOutcome::Found(Box::new(one))
        });
        self.comes(Moment::AfterRead, id);
        outcome
    }

    fn listed(&self, since: Timestamp) -> (Vec<RemoteRecord>, Vec<UnreadableRow>) {
        let since = self.oddities().asked_from(since);
        let lag = self.oddities().listing_lag;
        let (ids, garbled) = {
            let state = self.state();
            (state.known_ids(), state.garbled.clone())
        };
        let unreadable = |id: &RecordId| UnreadableRow {
            id: Some(id.clone()),
            reason: "half a character".into(),
        };
        let bad = ids.iter().filter(|id| garbled.contains(*id));
        let good = ids.iter().filter(|id| !garbled.contains(*id));
        let is_listed = |record: &RemoteRecord| {
            let only = self.oddities().lists_only;
            only.is_none_or(|(field, value)| {
                let found = record.fields.get(field).map(ToString::to_string);
                found.as_deref() == Some(value)
            })
        };
        let records = good
            .filter_map(|id| self.seen(id, lag))
            .filter(is_listed)
            .filter(|record| record.updated_at.is_none_or(|at| at >= since))
            .map(|record| self.summed_up(record));
        (records.collect(), bad.map(unreadable).collect())
    }

    /// The record as an answer to a write holds it, if such answers hold one.
    fn answered(
        &self,
        id: &RecordId,
        write: &Write<'_>,
        id_alone: bool,
    ) -> Option<Box<RemoteRecord>> {
        if id_alone || !self.talents().answers_with_record {
            return None;
        }
        let mut record = self.seen(id, Lag::default())?;
        if self.oddities().echoes {
            record.fields.extend(write.fields.clone());
            let (now, again) = self.oddities().tells(self.shows(self.real_now()));
            let now = Some(now).filter(|_| !self.oddities().hides_times);
            (record.updated_at, record.updated_again) = (now, again);
        }
        Some(Box::new(record))
    }

    async fn page(&self, listing: &Listing, from: usize) -> Result<Page, ConnectorError> {
        if self.next_fault(false).is_some() {
            return Err(self.unreachable());
        }
        self.comes_to_page(from).await?;
        let since = match listing {
            Listing::All => Timestamp::from_micros(0),
            Listing::Since(since) => *since,
        };
        let (mut records, unreadable) = self.listed(since);
        let size = self.oddities().page;
        if size == 0 {
            return Ok(Page {
                records,
                next: None,
                unreadable,
            });
        }
        let more = records.len() > from + size;
        let page = records.drain(from.min(records.len())..).take(size);
        Ok(Page {
            records: page.collect(),
            next: more.then(|| PageToken((from + size).into())),
            unreadable: if from == 0 { unreadable } else { vec![] },
        })
    }

    async fn read_each(&self, ids: &[RecordId]) -> Result<Vec<ReadOutcome>, ConnectorError> {
        self.count_reads(ids.len());
        // A test that holds reads back may have to let other jobs go on before it lets go.
        while self.slow_reads.try_read().is_err() {
            self.turns.others().await;
        }
        if self.next_fault(false).is_some() {
            return Err(self.unreachable());
        }
        let refused = &self.oddities().refuses_reads_of;
        if let Some(id) = ids.iter().find(|id| refused.contains(&id.as_str())) {
            return Err(ConnectorError::Refused {
                system: self.name().to_owned(),
                operation: "read".to_owned(),
                message: format!("{id} is not for you"),
                field: None,
            });
        }
        Ok(ids.iter().map(|id| self.read_one(id)).collect())
    }

    fn found(&self, lookup: &Lookup<'_>) -> Option<Vec<RemoteRecord>> {
        let lag = self.oddities().search_lag;
        let mut ids = self.ids();
        let finds_all = self.oddities().finds_what_it_hides;
        ids.retain(|id| finds_all || !self.state().is_hidden(id, self.real_now()));
        let records = ids.iter().filter_map(|id| self.seen(id, lag));
        match lookup {
            Lookup::Reference(_) if !self.talents().external_reference => None,
            Lookup::Reference(reference) => Some(
                records
                    .filter(|one| one.reference.as_deref() == Some(reference))
                    .collect(),
            ),
            Lookup::Field { name, value } => Some(
                records
                    .filter(|one| one.fields.get(*name) == Some(value))
                    .collect(),
            ),
        }
    }

    async fn made(&self, write: &Write<'_>) -> Result<Written, ConnectorError> {
        self.refuse(write)?;
        let effect = Effect::Create {
            transaction: write.transaction.to_owned(),
            fields: write.fields.clone(),
        };
        let id = self.write(effect).await?;
        let record = self.answered(&id, write, self.oddities().creates_answer_id_alone);
        self.forgets_what_it_made(&id);
        self.comes(Moment::AfterWrite, &id);
        Ok(Written { id, record })
    }

    async fn changed(&self, id: &RecordId, write: &Write<'_>) -> Result<Written, ConnectorError> {
        self.refuse(write)?;
        let effect = Effect::Update {
            id: id.clone(),
            fields: write.fields.clone(),
            expected: self.guards(write.expected_version),
        };
        let id = self.write(effect).await?;
        let record = self.answered(&id, write, self.oddities().updates_answer_nothing);
        self.comes(Moment::AfterWrite, &id);
        Ok(Written { id, record })
    }

    /// The version that a write must find, where the system compares versions.
    fn guards(&self, expected: Option<&str>) -> Option<String> {
        let guarded = self.oddities().compares_versions;
        expected.filter(|_| guarded).map(ToOwned::to_owned)
    }
}

pub fn text_fields(fields: &[(&str, &str)]) -> Fields {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned())))
        .collect()
}

#[async_trait]
impl Connector for FakeSystem {
    fn stream(&self, _stream: &StreamName) -> Option<&StreamInfo> {
        Some(self.info())
    }

    fn streams(&self) -> Vec<StreamName> {
        vec![self.info().name.clone()]
    }

    fn clock_offset_micros(&self) -> i64 {
        match self.oddities().clock_doubt {
            None => self.skew_micros(),
            Some(_) => 0,
        }
    }

    fn clock_state(&self) -> ClockState {
        let doubt = self.oddities().clock_doubt;
        doubt.map_or(ClockState::Measured, ClockState::Doubted)
    }

    fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs(2)
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        Ok(CheckReport {
            latency_ms: 0,
            clock_offset_ms: None,
            clock_doubt: None,
            streams: BTreeMap::new(),
        })
    }

    async fn list(
        &self,
        _stream: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        let from = token.and_then(|token| token.0.as_u64()).unwrap_or(0);
        let from = usize::try_from(from).expect("a small number");
        let what = format!("list {listing:?} from {from}");
        self.asked(what, self.page(listing, from)).await
    }

    async fn read(
        &self,
        _stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let what = format!("read {}", named(ids));
        self.asked(what, self.read_each(ids)).await
    }

    async fn find(
        &self,
        _stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        let what = format!("find {lookup:?}");
        let found = async {
            let found = self.found(lookup);
            Ok(found.map(|found| found.into_iter().map(|one| self.summed_up(one)).collect()))
        };
        self.asked(what, found).await
    }

    async fn create(
        &self,
        _stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let what = format!("create {} {{{}}}", write.transaction, values(write.fields));
        self.asked(what, self.made(write)).await
    }

    async fn update(
        &self,
        _stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let what = format!("update {id} {{{}}}", values(write.fields));
        self.asked(what, self.changed(id, write)).await
    }

    async fn delete(
        &self,
        _stream: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        let effect = Effect::Delete {
            id: id.clone(),
            expected: self.guards(delete.expected_version),
        };
        let gone = async { self.write(effect).await.map(|_| ()) };
        self.asked(format!("delete {id}"), gone).await
    }
}
