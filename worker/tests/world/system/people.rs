//! What people do in the system, and its vendor.

use std::time::Duration;

use tandem_domain::{RecordId, Value};

use super::connector::text_fields;
use super::rows::{Backup, Row};
use super::{FakeSystem, thing};

impl FakeSystem {
    /// A person makes a record.
    pub fn user_creates(&self, fields: &[(&str, &str)]) -> RecordId {
        let mut state = self.state();
        let id = self.next_id(&mut state);
        let mut row = self.blank(None, self.real_now());
        for (field, value) in text_fields(fields) {
            let value = self.oddities.typed(&field, &value);
            row.fields.insert(field, value);
        }
        let typed = row.fields.clone().into_iter();
        for (field, value) in typed.filter(|(_, value)| !is_empty(value)) {
            self.typed(&id, &mut row, &field, &value);
        }
        self.note(format!("gets {id} of a person: {fields:?}"));
        state.put(&id, Some(row), self.real_now());
        id
    }

    /// A person copies a record, with all that it holds, a reference of ours too.
    pub fn user_copies(&self, id: &RecordId) -> RecordId {
        let mut state = self.state();
        let copy = self.next_id(&mut state);
        let row = state.rows.get(id).cloned().expect("it is there");
        self.note(format!("gets {copy}: a person copies {id}"));
        state.put(&copy, Some(row), self.real_now());
        copy
    }

    /// The system notes that somebody has looked at a record, as a change of it.
    pub fn is_looked_at(&self, id: &RecordId) {
        let mut state = self.state();
        let Some(mut row) = state.rows.get(id).cloned() else {
            return;
        };
        self.touch(&mut row, self.real_now());
        state.put(id, Some(row), self.real_now());
    }

    /// A person edits a field.
    pub fn user_edits(&self, id: &RecordId, field: &str, value: &str) {
        let mut state = self.state();
        let Some(mut row) = state.rows.get(id).cloned() else {
            return;
        };
        let typed = Value::Text(value.to_owned());
        let value = self.oddities.typed(field, &typed);
        let before = row.fields.insert(field.to_owned(), value.clone());
        // Who saves what stands there already has edited nothing.
        let before = before.unwrap_or_default();
        if before == value || (is_empty(&before) && is_empty(&value)) {
            return;
        }
        self.touch(&mut row, self.real_now());
        self.note(format!("gets an edit of {id}: {field} is `{value}`"));
        self.typed(id, &mut row, field, &value);
        state.put(id, Some(row), self.real_now());
    }

    fn typed(&self, id: &RecordId, row: &mut Row, field: &str, value: &Value) {
        let thing = thing(&row.fields);
        let entry = self.ledger.typed(
            self.side,
            id,
            (&thing, field),
            value.to_string(),
            self.real_now(),
        );
        row.typed.insert(field.to_owned(), entry);
    }

    /// A person deletes a record. It can be restored.
    pub fn user_deletes(&self, id: &RecordId) {
        let mut state = self.state();
        if let Some(row) = state.rows.get(id).cloned() {
            self.note(format!("loses {id}: a person deletes it"));
            state.bin.insert(id.clone(), row);
            state.put(id, None, self.real_now());
        }
    }

    /// A person takes a record out of the bin again: the same id, the same values.
    pub fn user_restores(&self, id: &RecordId) {
        let mut state = self.state();
        if let Some(mut row) = state.bin.remove(id) {
            self.touch(&mut row, self.real_now());
            state.put(id, Some(row), self.real_now());
        }
    }

    /// A person merges a record into another: its id gives the other from now on.
    pub fn user_merges(&self, id: &RecordId, into: &RecordId) {
        let mut state = self.state();
        state.merged.insert(id.clone(), into.clone());
        state.put(id, None, self.real_now());
        if let Some(mut row) = state.rows.get(into).cloned() {
            self.touch(&mut row, self.real_now());
            state.put(into, Some(row), self.real_now());
        }
    }

    /// The record bears a time so far ahead, as imports and wrong clocks leave it.
    pub fn dates_ahead(&self, id: &RecordId, by: Duration) {
        let mut state = self.state();
        if let Some(mut row) = state.rows.get(id).cloned() {
            self.touch(&mut row, self.real_now());
            row.updated_at = row.updated_at.plus(by);
            state.put(id, Some(row), self.real_now());
        }
    }

    /// Reads by id and searches do not find the record for so long, though listings show it.
    pub fn hides(&self, id: &RecordId, how_long: Duration) {
        let until = self.real_now().plus(how_long);
        self.note(format!("hides {id} until {until}"));
        self.state().hidden.insert(id.clone(), until);
    }

    /// Nobody can make sense of the record until somebody sets it right.
    pub fn garbles(&self, id: &RecordId) {
        self.state().garbled.insert(id.clone());
    }

    pub fn sets_right(&self, id: &RecordId) {
        self.state().garbled.remove(id);
    }

    pub fn backup(&self) -> Backup {
        self.state().backup()
    }

    /// The vendor restores a backup: what was made since is gone, and its ids are given anew.
    pub fn restores(&self, backup: &Backup) {
        self.state().restore(backup);
    }
}

/// Saving an empty form field is no different from having no value.
fn is_empty(value: &Value) -> bool {
    value.to_string().is_empty()
}
