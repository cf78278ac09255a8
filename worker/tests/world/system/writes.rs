//! What becomes of the writes that arrive.

use std::time::Duration;

use tandem_connectors::ConnectorError;
use tandem_domain::{Fields, RecordId, Timestamp};

use super::faults::{Arrival, Effect, Landing};
use super::rows::{Row, State};
use super::{FakeSystem, thing};
use crate::world::ledger::Overwritten;

impl FakeSystem {
    pub(super) fn carry_out(&self, effect: Effect) -> Result<RecordId, ConnectorError> {
        let mut state = self.state();
        state.writes += 1;
        self.apply(&mut state, effect, Arrival::InTime)
    }

    /// What was made only for the answer is not there any more.
    pub(super) fn forgets_what_it_made(&self, id: &RecordId) {
        let mut state = self.state();
        if state.unmade.remove(id) {
            self.note(format!("keeps nothing of {id}, which it says it has made"));
            state.put(id, None, self.real_now());
        }
    }

    pub(super) fn lands_later(&self, effect: Effect, by: Duration) {
        let sent = self.real_now();
        let at = sent.plus(by);
        self.state().landing.push(Landing { sent, at, effect });
    }

    pub(super) fn apply(
        &self,
        state: &mut State,
        effect: Effect,
        arrival: Arrival,
    ) -> Result<RecordId, ConnectorError> {
        match effect {
            Effect::Create {
                transaction,
                fields,
            } => match self.joined(state, &fields) {
                Some(id) => self.update_row(state, id, &fields, (None, arrival)),
                None => Ok(self.create_row(state, transaction, &fields, self.time_of(arrival))),
            },
            Effect::Update {
                id,
                fields,
                expected,
            } => self.update_row(state, id, &fields, (expected.as_deref(), arrival)),
            Effect::Delete { id, expected } => {
                self.delete_row(state, id, (expected.as_deref(), arrival))
            }
        }
    }

    /// When a write takes effect. Nothing looks at the system between that and its being carried out.
    fn time_of(&self, arrival: Arrival) -> Timestamp {
        match arrival {
            Arrival::InTime => self.real_now(),
            Arrival::Late(at) => at,
        }
    }

    /// The record that a create goes over, where the system joins what is alike.
    fn joined(&self, state: &State, fields: &Fields) -> Option<RecordId> {
        let field = self.oddities.joins_by?;
        let value = fields.get(field)?;
        let mut rows = state.rows.iter();
        let alike = rows.find(|(_, row)| row.fields.get(field) == Some(value));
        alike.map(|(id, _)| id.clone())
    }

    fn create_row(
        &self,
        state: &mut State,
        transaction: String,
        fields: &Fields,
        at: Timestamp,
    ) -> RecordId {
        let known = state.keys.get(&transaction);
        if let (Some(id), true) = (known, self.talents.idempotent_create) {
            return id.clone();
        }
        let id = self.next_id(state);
        let reference = self.talents.external_reference.then(|| transaction.clone());
        let mut row = self.blank(reference, at);
        self.ledger.carried(self.side, &thing(fields), fields);
        for (field, sent) in fields {
            let kept = self.oddities.kept(field, sent, None);
            row.fields.insert(field.clone(), kept);
        }
        state.put(&id, Some(row), at);
        state.keys.insert(transaction, id.clone());
        id
    }

    fn update_row(
        &self,
        state: &mut State,
        id: RecordId,
        fields: &Fields,
        (expected, arrival): (Option<&str>, Arrival),
    ) -> Result<RecordId, ConnectorError> {
        let id = state.merged.get(&id).cloned().unwrap_or(id);
        let Some(mut row) = state.rows.get(&id).cloned() else {
            let system = self.name().into();
            return Err(ConnectorError::NotFound { system, id });
        };
        self.checked(&row, expected)?;
        self.ledger.carried(self.side, &thing(&row.fields), fields);
        for (field, sent) in fields {
            let kept = self.oddities.kept(field, sent, row.fields.get(field));
            if row.fields.get(field) == Some(&kept) {
                continue;
            }
            if let Some(entry) = row.typed.remove(field) {
                self.overwrites(entry, sent.to_string(), arrival);
            }
            row.fields.insert(field.clone(), kept);
        }
        for (named, other, value) in &self.oddities.side_effects {
            if fields.contains_key(*named) {
                row.fields.insert((*other).to_owned(), value.clone());
            }
        }
        let at = self.time_of(arrival);
        self.touch(&mut row, at);
        state.put(&id, Some(row), at);
        Ok(id)
    }

    fn delete_row(
        &self,
        state: &mut State,
        id: RecordId,
        (expected, arrival): (Option<&str>, Arrival),
    ) -> Result<RecordId, ConnectorError> {
        if let Some(row) = state.rows.get(&id).cloned() {
            self.checked(&row, expected)?;
            for entry in row.typed.values() {
                self.overwrites(*entry, "deleted".to_owned(), arrival);
            }
            state.bin.insert(id.clone(), row);
            state.put(&id, None, self.time_of(arrival));
        }
        Ok(id)
    }

    fn checked(&self, row: &Row, expected: Option<&str>) -> Result<(), ConnectorError> {
        match expected {
            Some(version) if version != row.version.to_string() => {
                Err(self.changed_meanwhile("it has another version"))
            }
            _ => Ok(()),
        }
    }

    fn overwrites(&self, entry: usize, by: String, arrival: Arrival) {
        let at = self.time_of(arrival);
        let late = arrival != Arrival::InTime;
        self.ledger.overwritten(entry, Overwritten { at, by, late });
    }
}
