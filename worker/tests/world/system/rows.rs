//! What a system holds, now and in the past, and what people typed of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_domain::{Fields, RecordId, Timestamp};

use super::faults::Landing;

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub fields: Fields,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: u64,
    pub reference: Option<String>,
    /// By field, the entry of the ledger for what a person typed and what still stands there.
    pub typed: BTreeMap<String, usize>,
}

/// A copy of everything, as a vendor restores it.
#[derive(Clone, Debug, Default)]
pub struct Backup {
    rows: BTreeMap<RecordId, Row>,
    next: u64,
}

impl Backup {
    /// The record was not there yet.
    pub fn forgets(&mut self, id: &RecordId) {
        self.rows.remove(id);
    }

    /// It comes back by an import, which dates all that it writes.
    pub fn is_imported(&mut self, at: Timestamp) {
        for row in self.rows.values_mut() {
            row.updated_at = at;
            row.version += 100;
        }
    }

    /// The record was as it is in another one.
    pub fn takes(&mut self, other: &Self, id: &RecordId) {
        if let Some(row) = other.rows.get(id) {
            self.rows.insert(id.clone(), row.clone());
        }
    }
}

#[derive(Default)]
pub struct State {
    pub rows: BTreeMap<RecordId, Row>,
    /// How each record came to be as it is; nothing where it was deleted.
    past: BTreeMap<RecordId, Vec<(Timestamp, Option<Row>)>>,
    /// Deleted records, which can be restored.
    pub bin: BTreeMap<RecordId, Row>,
    /// Records that became part of others.
    pub merged: BTreeMap<RecordId, RecordId>,
    /// Records of which a write was answered and never carried out.
    pub ignored: BTreeSet<RecordId>,
    /// Records that are there for the answer to their create alone.
    pub unmade: BTreeSet<RecordId>,
    /// Records that reads by id and searches do not find before this instant.
    pub hidden: BTreeMap<RecordId, Timestamp>,
    /// Records that listings and reads cannot make sense of.
    pub garbled: std::collections::BTreeSet<RecordId>,
    /// Creates by transaction id.
    pub keys: BTreeMap<String, RecordId>,
    /// Writes that have not landed yet.
    pub landing: Vec<Landing>,
    /// And those that have.
    pub landed: Vec<Landing>,
    pub next: u64,
    pub writes: usize,
}

impl State {
    /// The one way by which a record comes, changes or goes.
    pub fn put(&mut self, id: &RecordId, row: Option<Row>, now: Timestamp) {
        self.past
            .entry(id.clone())
            .or_default()
            .push((now, row.clone()));
        match row {
            Some(row) => self.rows.insert(id.clone(), row),
            None => self.rows.remove(id),
        };
    }

    /// The record as it was so long ago, and whether it has been touched since.
    pub fn as_of(&self, id: &RecordId, now: Timestamp, ago: Duration) -> (Option<&Row>, bool) {
        let past = self.past.get(id).map_or(&[][..], Vec::as_slice);
        let then = past.iter().rposition(|(at, _)| at.plus(ago) <= now);
        let row = then.and_then(|number| past[number].1.as_ref());
        (row, then.map_or(0, |number| number + 1) < past.len())
    }

    /// Whether reads by id, and searches, do not find the record for now.
    pub fn is_hidden(&self, id: &RecordId, now: Timestamp) -> bool {
        self.hidden.get(id).is_some_and(|until| *until > now)
    }

    /// Every record that there ever was, as it was at some time.
    pub fn ever(&self) -> impl Iterator<Item = (&RecordId, &Row)> {
        let past = self.past.iter();
        past.flat_map(|(id, past)| {
            past.iter()
                .filter_map(move |(_, row)| Some((id, row.as_ref()?)))
        })
    }

    /// Every id that a listing could show, whether the record is still there or not.
    pub fn known_ids(&self) -> Vec<RecordId> {
        self.past.keys().cloned().collect()
    }

    pub fn backup(&self) -> Backup {
        Backup {
            rows: self.rows.clone(),
            next: self.next,
        }
    }

    /// Everything is as it was: ids are given anew, versions and times go back.
    pub fn restore(&mut self, backup: &Backup) {
        *self = Self {
            rows: backup.rows.clone(),
            next: backup.next,
            writes: self.writes,
            ..Self::default()
        };
        for (id, row) in &backup.rows {
            let past = vec![(Timestamp::from_micros(0), Some(row.clone()))];
            self.past.insert(id.clone(), past);
        }
    }
}
