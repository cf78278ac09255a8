//! Records as read, in the words of the engine and of the store.

use std::collections::{BTreeMap, BTreeSet};

use tandem_connectors::{ConnectorError, ReadOutcome, RemoteRecord};
use tandem_domain::{Fields, IntentId, RecordId, Side, Timestamp, Value, checksum};
use tandem_engine::{FilteredBy, Gone, Part, Presence, Snapshot, key_texts, mapped, part, same};
use tandem_runtime::{Archived, SyncDefinition};
use tandem_store::{
    FILTERED_MARK, Hints, IndexedRecord, LeftOut, ShownRecord, SideMemory, SideState,
};

use crate::patience::{self, RECORD_TRIES};

/// One record as just read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// As the connector gave it.
    pub record: RemoteRecord,
    /// Its mapped fields.
    pub fields: Fields,
    /// The mapped fields of which the answer says nothing, wholly or in part. In a listing they may hold anything.
    pub left_out: BTreeSet<String>,
    /// Those that a reading by its id left out, and that count as empty for who only compares.
    pub counted_empty: BTreeSet<String>,
    /// Those of them whose value stands all the same, because nobody believes yet, or at all, that it was emptied. In
    /// `fields` it is as both last agreed.
    pub kept: BTreeMap<String, LeftOut>,
    /// When it was edited, by our clock.
    pub edited_at: Option<Timestamp>,
    /// Whether it is out of use in a way that counts as gone for the sync.
    pub counts_as_gone: bool,
    /// Whether the sync's filters let it take part.
    part: Part,
}

impl Reading {
    /// Puts a record into mapped fields.
    pub fn new(
        sync: &SyncDefinition,
        side: Side,
        record: RemoteRecord,
        hint: Option<Timestamp>,
    ) -> Self {
        let connector = &sync.end(side).connector;
        let offset = connector.clock_offset_micros();
        // A local time that comes twice does not say when it was.
        let told = record.updated_at.filter(|_| record.updated_again.is_none());
        // The events of a system whose clock is wrong are no better than its records.
        let edited_at = match connector.clock_state().has_usable_times() {
            true => told.map(|time| time.shifted(-offset)).or(hint),
            false => None,
        };
        Self {
            fields: mapped(&sync.policy, side, &record.fields),
            left_out: left_out(sync, side, &record),
            part: part(&sync.policy, side, &record.fields, &record.left_out),
            kept: BTreeMap::new(),
            counted_empty: BTreeSet::new(),
            counts_as_gone: record.archived && sync.archived == Archived::Gone,
            record,
            edited_at,
        }
    }

    /// Its entry in the index, as a listing shows it.
    pub fn listed(&self, sync: &SyncDefinition) -> IndexedRecord {
        IndexedRecord {
            in_part: !self.left_out.is_empty(),
            ..self.indexed(sync)
        }
    }

    /// Its entry in the index, as it was read by its id.
    pub fn indexed(&self, sync: &SyncDefinition) -> IndexedRecord {
        let mut keys = key_texts(&sync.policy, &self.fields);
        keys.extend(self.made_by().map(reference_key));
        IndexedRecord {
            id: self.record.id.clone(),
            keys,
            checksum: self.shown_checksum(),
            updated_at: self.record.updated_at,
            in_part: false,
            filtered: !self.may_take_part(),
            sight: tandem_store::Sight::Shown,
        }
    }

    /// The write of ours whose reference it bears.
    pub fn made_by(&self) -> Option<IntentId> {
        self.record.reference.as_deref()?.parse().ok()
    }

    /// As a reading by its id, of which a field that is left out counts as empty.
    pub fn whole(mut self) -> Self {
        self.counted_empty = std::mem::take(&mut self.left_out);
        self.part = self.part.of_whole();
        self
    }

    /// Its mapped fields but those of which the listing says nothing.
    pub fn shown_fields(&self) -> Fields {
        let shown = self.fields.iter();
        let shown = shown.filter(|(name, _)| !self.left_out.contains(*name));
        shown
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Whether it is not known from this listing what the record matches, or whether it takes part at all.
    pub fn is_unclear(&self, sync: &SyncDefinition) -> bool {
        let mut keys = sync.policy.match_keys.iter().flatten();
        keys.any(|name| self.left_out.contains(name)) || self.part.is_unclear
    }

    /// Whether the sync's filters look at a field of which this answer says nothing.
    pub const fn hides_filtered(&self) -> bool {
        self.part.is_unclear
    }

    /// Whether the record takes part as far as a listing says. One that hides what the filters look at may take part:
    /// it must be read by its id.
    pub const fn may_take_part(&self) -> bool {
        self.part.may_take()
    }

    /// Whether the sync's filters let it take part, as of a reading by its id.
    pub const fn takes_part(&self) -> bool {
        self.part.takes()
    }

    /// The filter that leaves it out, as of a reading by its id.
    pub const fn filtered(&self) -> Option<&FilteredBy> {
        self.part.filtered.as_ref()
    }

    /// What stands in a mapped field.
    pub fn value(&self, field: &str) -> Value {
        self.fields.get(field).cloned().unwrap_or_default()
    }

    /// As a question shows it.
    pub fn shown(&self, side: Side) -> ShownRecord {
        ShownRecord {
            side,
            id: self.record.id.clone(),
            fields: self.fields.clone(),
        }
    }

    /// Its checksum in the index: one that is taken out of use, or into use again, has changed, though its
    /// fields have not. So has one that the filters leave out, or let in again, by a field that is not mapped.
    pub fn shown_checksum(&self) -> String {
        let gone = if self.counts_as_gone { "gone:" } else { "" };
        let filtered = if self.may_take_part() {
            ""
        } else {
            FILTERED_MARK
        };
        format!("{gone}{filtered}{}", self.checksum())
    }

    /// What a link remembers of it, when `known` is what it is known to hold.
    pub fn side_state(&self, known: &Fields) -> SideState {
        SideState {
            id: Some(self.record.id.clone()),
            version: self.record.version.clone(),
            checksum: Some(self.checksum_as_shown(known)),
            updated_at: self.record.updated_at,
            // Without it another record under this id, after a restore, could not be told from it.
            memory: SideMemory {
                made_at: self.record.created_at,
                ..SideMemory::default()
            },
        }
    }

    /// Without what only writes and filters need: what is kept of it where many are held.
    pub fn compact(mut self) -> Self {
        self.record.raw = tandem_connectors::RawRecord::default();
        self.record.fields = Fields::new();
        self
    }

    /// The checksum of its mapped fields.
    pub fn checksum(&self) -> String {
        self.checksum_as_shown(&self.fields)
    }

    /// A value that a person said stands although the system leaves it out is empty in the checksum, as it is in
    /// the listings: otherwise each would find the record changed.
    fn checksum_as_shown(&self, fields: &Fields) -> String {
        let is_settled = |name: &&String| self.kept[*name].settled;
        let hidden: Vec<&String> = self.kept.keys().filter(is_settled).collect();
        if hidden.is_empty() {
            return checksum(fields);
        }
        let mut shown = fields.clone();
        for name in hidden {
            shown.insert(name.clone(), Value::Null);
        }
        checksum(&shown)
    }

    /// Lets a value stand of which the answer says nothing.
    pub fn keep(&mut self, name: &str, value: Value, known: LeftOut) {
        self.fields.insert(name.to_owned(), value);
        self.kept.insert(name.to_owned(), known);
    }

    /// Lets those values stand that do in an earlier reading of the record. Of what was written since nothing says that the
    /// system has kept it, unless a person has said that it keeps what it does not show.
    pub fn keep_as(&mut self, earlier: &Self, sent: Option<&Fields>) {
        for (name, known) in &earlier.kept {
            let written = sent.and_then(|sent| sent.get(name));
            let stood = match written {
                Some(written) => known.settled.then_some(written),
                None => earlier.fields.get(name),
            };
            if let Some(value) = stood.filter(|_| self.left_out.contains(name)) {
                self.keep(name, value.clone(), known.clone());
            }
        }
    }

    /// Keeps the form that an earlier reading has of what was not `sent` and has not changed: answers to writes may show another
    /// form of it than readings do, and what is known of the record is what readings show.
    pub fn keep_forms(&mut self, sync: &SyncDefinition, earlier: &Self, sent: &Fields) {
        let rules = sync.policy.fields.iter();
        for rule in rules.filter(|rule| !sent.contains_key(&rule.name)) {
            let (Some(stood), Some(now)) = (
                earlier.fields.get(&rule.name),
                self.fields.get_mut(&rule.name),
            ) else {
                continue;
            };
            if same(rule.equality, stood, now) {
                now.clone_from(stood);
            }
        }
    }

    /// As the engine looks at it.
    pub fn presence(&self) -> Presence {
        if self.counts_as_gone {
            return Presence::Gone(Gone::Archived);
        }
        Presence::Here(Snapshot {
            fields: self.fields.clone(),
            edited_at: self.edited_at,
            seen_at: BTreeMap::new(),
            unseen_at: BTreeMap::new(),
            covered: BTreeMap::new(),
        })
    }
}

/// How the index keeps, beside its match keys, which create of ours made a record: a search may be behind what a listing has
/// shown long ago. No match key begins so, because this sign is written otherwise in the names of fields.
pub fn reference_key(create: IntentId) -> String {
    format!("%reference:{create}")
}

fn left_out(sync: &SyncDefinition, side: Side, record: &RemoteRecord) -> BTreeSet<String> {
    if record.left_out.is_empty() {
        return BTreeSet::new();
    }
    let rules = sync.policy.fields.iter();
    rules
        .filter(|rule| record.left_out.contains(rule.stream_field(side)))
        .map(|rule| rule.name.clone())
        .collect()
}

/// The hint for one side.
pub fn hint(hints: Hints, side: Side) -> Option<Timestamp> {
    match side {
        Side::A => hints.edited_a,
        Side::B => hints.edited_b,
    }
}

/// Hints with one side's time.
pub fn hints_of(side: Side, edited_at: Option<Timestamp>) -> Hints {
    match side {
        Side::A => Hints {
            edited_a: edited_at,
            edited_b: None,
        },
        Side::B => Hints {
            edited_a: None,
            edited_b: edited_at,
        },
    }
}

/// What a system has under an id.
#[derive(Debug)]
pub enum Answer {
    /// The record.
    Here(Box<Reading>),
    /// Another record, as it is now: the one that was asked for was merged into it. What it holds is not the word of the
    /// one that was asked for, and nothing that is meant for that one may be written to it.
    Merged {
        /// The other one.
        into: Box<Reading>,
    },
    /// Nothing, for certain.
    Missing,
}

/// Reads one record; `None` when the system says for certain that it is gone, or that it was merged into another.
///
/// # Errors
/// When the system does not answer, or the record cannot be read.
pub async fn read(
    sync: &SyncDefinition,
    side: Side,
    id: &RecordId,
    hints: Hints,
) -> Result<Option<Reading>, ConnectorError> {
    Ok(match ask(sync, side, id, hints).await? {
        Answer::Here(reading) => Some(*reading),
        Answer::Merged { into } => {
            tracing::info!(sync = %sync.name, %side, record = %id, into = %into.record.id, "the record is not there: it was merged into another");
            None
        }
        Answer::Missing => None,
    })
}

/// Reads one record, for who knows what to do with one that was merged into another.
///
/// # Errors
/// When the system does not answer, or the record cannot be read.
pub async fn ask(
    sync: &SyncDefinition,
    side: Side,
    id: &RecordId,
    hints: Hints,
) -> Result<Answer, ConnectorError> {
    let mut outcomes = read_outcomes(sync, side, std::slice::from_ref(id)).await?;
    Ok(match outcomes.pop() {
        Some(ReadOutcome::Found(record)) => {
            let is_it = record.id == *id;
            let hint = hint(hints, side).filter(|_| is_it);
            let reading = Box::new(Reading::new(sync, side, *record, hint));
            if is_it {
                Answer::Here(reading)
            } else {
                Answer::Merged { into: reading }
            }
        }
        Some(ReadOutcome::Unreadable(reason)) => return Err(unreadable(sync, side, id, reason)),
        Some(ReadOutcome::Missing) | None => Answer::Missing,
    })
}

/// One record that cannot be read, as the failure of whoever needs it.
fn unreadable(
    sync: &SyncDefinition,
    side: Side,
    record: &RecordId,
    reason: String,
) -> ConnectorError {
    ConnectorError::Unreadable {
        system: sync.end(side).connection.to_string(),
        record: record.clone(),
        reason,
    }
}

/// Reads records; those that are gone, or that answer with another one because they were merged into it, are left out.
pub async fn read_all(
    sync: &SyncDefinition,
    side: Side,
    ids: &[RecordId],
) -> Result<Vec<Reading>, ConnectorError> {
    let mut readings = Vec::with_capacity(ids.len());
    for (id, outcome) in ids.iter().zip(read_each(sync, side, ids).await?) {
        match outcome {
            ReadOutcome::Found(record) if record.id != *id => {}
            ReadOutcome::Found(record) => {
                readings.push(Reading::new(sync, side, *record, None));
            }
            ReadOutcome::Unreadable(reason) => return Err(unreadable(sync, side, id, reason)),
            ReadOutcome::Missing => {}
        }
    }
    Ok(readings)
}

/// Reads any number of records, as many at once as the system reads; the answers are in the order of `ids`.
async fn read_each(
    sync: &SyncDefinition,
    side: Side,
    ids: &[RecordId],
) -> Result<Vec<ReadOutcome>, ConnectorError> {
    let mut outcomes = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(read_batch(sync, side)) {
        outcomes.extend(read_outcomes(sync, side, chunk).await?);
    }
    Ok(outcomes)
}

/// How many records the system reads at once.
pub fn read_batch(sync: &SyncDefinition, side: Side) -> usize {
    let end = sync.end(side);
    let stream = end.connector.stream(&end.stream);
    stream
        .map_or(1, |stream| stream.capabilities.read_batch)
        .max(1)
}

/// Reads records; the answers are in the order of `ids`.
pub async fn read_outcomes(
    sync: &SyncDefinition,
    side: Side,
    ids: &[RecordId],
) -> Result<Vec<ReadOutcome>, ConnectorError> {
    let end = sync.end(side);
    let outcomes = patience::ask(RECORD_TRIES, || end.connector.read(&end.stream, ids)).await?;
    if outcomes.len() == ids.len() {
        return Ok(outcomes);
    }
    Err(ConnectorError::Malformed {
        system: end.connection.to_string(),
        operation: format!("read {} records", ids.len()),
        reason: format!("{} answers came", outcomes.len()),
    })
}

/// Fields by record, for listings.
pub type ById = BTreeMap<RecordId, Reading>;
