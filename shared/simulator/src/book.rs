//! The records of one system in memory, with the indexes that its API is asked by.
//!
//! Records are never removed, only archived, so a slot stays valid for the life of the book.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::fields::{Field, Fields, email_key, name_key};
use crate::state::{Origin, SimRecord};

/// Position of a record in its book, in order of creation.
pub(crate) type Slot = usize;

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub id: Arc<str>,
    pub fields: Fields,
    pub reference: String,
    pub archived: bool,
    pub archived_by: Option<Origin>,
    pub origin: Origin,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// Some integration has written to it, so some integration knows it.
    pub touched_by_api: bool,
}

impl Record {
    pub(crate) fn to_state(&self) -> SimRecord {
        SimRecord {
            id: self.id.to_string(),
            fields: self.fields.clone(),
            reference: Some(self.reference.clone()).filter(|text| !text.is_empty()),
            archived: self.archived,
            archived_by: self.archived_by.filter(|_| self.archived),
            origin: self.origin,
            updated_at: self.updated_ms,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    records: Vec<Record>,
    by_id: HashMap<Arc<str>, Slot>,
    by_email: HashMap<String, BTreeSet<Slot>>,
    by_name: HashMap<String, BTreeSet<Slot>>,
    by_reference: HashMap<String, BTreeSet<Slot>>,
    by_updated: BTreeSet<(i64, Arc<str>, Slot)>,
}

impl Book {
    pub(crate) fn insert(&mut self, record: Record) -> Slot {
        let slot = self.records.len();
        self.by_id.insert(Arc::clone(&record.id), slot);
        self.records.push(record);
        self.index(slot);
        slot
    }

    /// Changes a record in place and keeps the indexes true.
    pub(crate) fn modify(&mut self, slot: Slot, change: impl FnOnce(&mut Record)) {
        self.unindex(slot);
        change(&mut self.records[slot]);
        self.index(slot);
    }

    pub(crate) fn get(&self, slot: Slot) -> &Record {
        &self.records[slot]
    }

    pub(crate) fn slot_of(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// All records, oldest first.
    pub(crate) fn all(&self) -> &[Record] {
        &self.records
    }

    /// Slots whose e-mail is this one, whatever its case and surrounding spaces.
    pub(crate) fn with_email(&self, email: &str) -> Vec<Slot> {
        slots(self.by_email.get(&email_key(email)))
    }

    /// Slots whose name is this one, whatever its case and spacing.
    pub(crate) fn with_name(&self, name: &str) -> Vec<Slot> {
        slots(self.by_name.get(&name_key(name)))
    }

    pub(crate) fn with_reference(&self, reference: &str) -> Vec<Slot> {
        slots(self.by_reference.get(reference))
    }

    /// Slots updated at or after an instant, in order of update and then of id.
    pub(crate) fn updated_since(&self, ms: i64) -> impl Iterator<Item = Slot> + '_ {
        let from = Bound::Included((ms, Arc::from(""), 0));
        self.by_updated
            .range((from, Bound::Unbounded))
            .map(|(_, _, slot)| *slot)
    }

    fn index(&mut self, slot: Slot) {
        let record = &self.records[slot];
        let email = email_key(record.fields.get(Field::Email));
        let name = name_key(record.fields.get(Field::Name));
        self.by_updated
            .insert((record.updated_ms, Arc::clone(&record.id), slot));
        self.by_email.entry(email).or_default().insert(slot);
        self.by_name.entry(name).or_default().insert(slot);
        self.by_reference
            .entry(record.reference.clone())
            .or_default()
            .insert(slot);
    }

    fn unindex(&mut self, slot: Slot) {
        let record = &self.records[slot];
        let email = email_key(record.fields.get(Field::Email));
        let name = name_key(record.fields.get(Field::Name));
        self.by_updated
            .remove(&(record.updated_ms, Arc::clone(&record.id), slot));
        remove(&mut self.by_email, &email, slot);
        remove(&mut self.by_name, &name, slot);
        remove(&mut self.by_reference, &record.reference, slot);
    }
}

fn slots(found: Option<&BTreeSet<Slot>>) -> Vec<Slot> {
    found.into_iter().flatten().copied().collect()
}

fn remove(index: &mut HashMap<String, BTreeSet<Slot>>, key: &str, slot: Slot) {
    if let Some(slots) = index.get_mut(key) {
        slots.remove(&slot);
        if slots.is_empty() {
            index.remove(key);
        }
    }
}
