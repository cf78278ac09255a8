//! Every value that a person ever typed, with when and where, and what became of it. It is kept by the systems, not
//! by Tandem: so it can say what Tandem lost.

use std::sync::Mutex;

use tandem_domain::{Fields, RecordId, Side, Timestamp};

/// One value that a person typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    pub side: Side,
    pub record: RecordId,
    /// The e-mail of the record: what it is about, on whichever side.
    pub thing: String,
    pub field: String,
    /// As the system kept it.
    pub value: String,
    /// By the true clock, not by the system's.
    pub at: Timestamp,
    /// Whether Tandem was ever shown it.
    pub shown: bool,
    /// How often that was in the answer to a reading of the record, and not only in a listing, of which no values are kept.
    pub read: u32,
    /// Whether Tandem ever sent it to the other side.
    pub carried: bool,
    /// Tandem wrote something else over it.
    pub overwritten: Option<Overwritten>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Overwritten {
    pub at: Timestamp,
    pub by: String,
    /// The write had been sent long before, and nobody heard of it until then.
    pub late: bool,
}

#[derive(Default)]
pub struct Ledger {
    entries: Mutex<Vec<Typed>>,
    events: Mutex<Vec<String>>,
}

impl Ledger {
    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Typed>> {
        self.entries
            .lock()
            .expect("no test panics while it holds the lock")
    }

    fn events(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.events
            .lock()
            .expect("no test panics while it holds the lock")
    }

    /// Notes what happens, in order: for whoever reads the story of a life.
    pub fn happens(&self, at: Timestamp, side: Side, what: &str) {
        self.events().push(format!("{at} {side} {what}"));
    }

    /// What happened.
    pub fn story(&self) -> String {
        self.events().join("\n")
    }

    /// Notes a value; gives its number.
    pub fn typed(
        &self,
        side: Side,
        record: &RecordId,
        (thing, field): (&str, &str),
        value: String,
        at: Timestamp,
    ) -> usize {
        let mut entries = self.entries();
        entries.push(Typed {
            side,
            record: record.clone(),
            thing: thing.to_owned(),
            field: field.to_owned(),
            value,
            at,
            shown: false,
            read: 0,
            carried: false,
            overwritten: None,
        });
        entries.len() - 1
    }

    /// Tandem was shown these.
    pub fn shown<'e>(&self, numbers: impl IntoIterator<Item = &'e usize>) {
        let mut entries = self.entries();
        for number in numbers {
            entries[*number].shown = true;
        }
    }

    /// Tandem read these.
    pub fn read<'e>(&self, numbers: impl IntoIterator<Item = &'e usize>) {
        let mut entries = self.entries();
        for number in numbers {
            entries[*number].read += 1;
        }
    }

    /// Tandem writes these values to a side: what was typed so on the other has been carried over.
    pub fn carried(&self, to: Side, thing: &str, fields: &Fields) {
        for entry in self.entries().iter_mut() {
            let sent = fields.get(&entry.field).map(ToString::to_string);
            entry.carried |=
                entry.side != to && entry.thing == thing && sent.as_ref() == Some(&entry.value);
        }
    }

    /// Tandem wrote something else over a value.
    pub fn overwritten(&self, number: usize, by: Overwritten) {
        self.entries()[number].overwritten = Some(by);
    }

    pub fn all(&self) -> Vec<Typed> {
        self.entries().clone()
    }
}
