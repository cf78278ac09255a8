//! A system in memory that goes wrong on command: refuses, loses answers, or takes the process with it; and that
//! may be odd: keep another form of what it is told, show late what it keeps, give ids anew.

mod connector;
pub mod faults;
pub mod oddities;
pub mod pages;
mod people;
mod requests;
pub mod rows;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tandem_connectors::{Capabilities, FieldInfo, StreamInfo};
use tandem_domain::{Clock, FieldType, Fields, RecordId, Side, Timestamp, Value};
use tandem_testkit::TestClock;
use tokio::sync::Notify;

use super::ledger::Ledger;
use super::turns::Turns;
use faults::{Arrival, Deed, Effect, Landing, Moment};
use oddities::Oddities;
use rows::{Row, State};

pub use faults::Fault;

/// What a system can do.
#[derive(Clone, Copy, Debug)]
pub struct Talents {
    pub external_reference: bool,
    pub idempotent_create: bool,
    pub answers_with_record: bool,
    pub changed_since: bool,
}

/// The system.
pub struct FakeSystem {
    side: Side,
    info: StreamInfo,
    talents: Talents,
    oddities: Oddities,
    skew_micros: i64,
    clock: Arc<TestClock>,
    ledger: Arc<Ledger>,
    turns: Arc<Turns>,
    state: Mutex<State>,
    faults: Mutex<Vec<Fault>>,
    deeds: Mutex<Vec<(Moment, RecordId, Deed)>>,
    pages: pages::Pages,
    /// Fields that it shows nobody, by no answer.
    hidden: Mutex<BTreeSet<&'static str>>,
    /// Whether answers hold nothing in the place of what is hidden, rather than leave it out.
    hides_as_null: AtomicBool,
    reads: AtomicUsize,
    /// Reads by id wait while a test holds this.
    pub slow_reads: tokio::sync::RwLock<()>,
    /// Tells the driver that the process has died.
    pub crashed: Notify,
}

pub const FIELDS: [&str; 4] = ["name", "email", "city", "note"];

impl FakeSystem {
    pub fn new(
        side: Side,
        (talents, oddities): (Talents, Oddities),
        skew_secs: i64,
        (clock, ledger, turns): (Arc<TestClock>, Arc<Ledger>, Arc<Turns>),
    ) -> Arc<Self> {
        let skew_secs = skew_secs + oddities.clock_ahead_secs;
        Arc::new(Self {
            side,
            info: info(talents, oddities.compares_versions),
            talents,
            oddities,
            skew_micros: skew_secs * 1_000_000,
            clock,
            ledger,
            turns,
            state: Mutex::default(),
            faults: Mutex::default(),
            deeds: Mutex::default(),
            pages: pages::Pages::default(),
            hidden: Mutex::default(),
            hides_as_null: AtomicBool::default(),
            reads: AtomicUsize::new(0),
            slow_reads: tokio::sync::RwLock::default(),
            crashed: Notify::new(),
        })
    }

    /// What it holds, once the writes have landed that were under way.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = locked(&self.state);
        let now = self.real_now();
        let mut late = std::mem::take(&mut state.landing);
        late.sort_by_key(|landing| landing.at);
        late.retain(|landing| {
            if landing.at <= now {
                self.note(format!("sees a late write land: {:?}", landing.effect));
                let effect = landing.effect.clone();
                let refused = self.apply(&mut state, effect, Arrival::Late(landing.at));
                if let (Err(_), Some(id)) = (refused, landing.effect.target()) {
                    state.ignored.insert(id.clone());
                }
                state.landed.push(landing.clone());
            }
            landing.at > now
        });
        state.landing.extend(late);
        state
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        locked(&self.faults)
    }

    fn deeds(&self) -> MutexGuard<'_, Vec<(Moment, RecordId, Deed)>> {
        locked(&self.deeds)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// From now on no answer shows these fields.
    pub fn hides_fields(&self, fields: &[&'static str]) {
        *locked(&self.hidden) = fields.iter().copied().collect();
    }

    /// Whether answers hold nothing in the place of such fields, rather than leave them out.
    pub fn hides_as_null(&self, as_null: bool) {
        self.hides_as_null.store(as_null, Ordering::Relaxed);
    }

    fn hidden(&self) -> BTreeSet<&'static str> {
        locked(&self.hidden).clone()
    }

    /// How many records were read by id so far.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn count_reads(&self, records: usize) {
        self.reads.fetch_add(records, Ordering::Relaxed);
    }

    const fn info(&self) -> &StreamInfo {
        &self.info
    }

    const fn talents(&self) -> Talents {
        self.talents
    }

    pub const fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    pub const fn skew_micros(&self) -> i64 {
        self.skew_micros
    }

    fn name(&self) -> &'static str {
        self.side.as_str()
    }

    fn real_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the system's clock shows then.
    const fn shows(&self, at: Timestamp) -> Timestamp {
        at.shifted(self.skew_micros)
    }

    pub fn ids(&self) -> Vec<RecordId> {
        self.state().rows.keys().cloned().collect()
    }

    /// How many writes were sent that have not landed yet.
    pub fn under_way(&self) -> usize {
        self.state().landing.len()
    }

    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// The texts that a record shows, but empty ones.
    pub fn texts(&self, id: &RecordId) -> Option<BTreeMap<String, String>> {
        let state = self.state();
        state.rows.get(id).map(|row| self.texts_of(row))
    }

    /// What a field of a record holds, whatever is shown where it holds nothing.
    pub fn kept(&self, id: &RecordId, field: &str) -> String {
        let state = self.state();
        let row = state.rows.get(id);
        let value = row.and_then(|row| row.fields.get(field));
        value.map(ToString::to_string).unwrap_or_default()
    }

    /// The texts of all records, in order.
    pub fn contents(&self) -> Vec<BTreeMap<String, String>> {
        let state = self.state();
        let mut contents: Vec<_> = state.rows.values().map(|row| self.texts_of(row)).collect();
        contents.sort();
        contents
    }

    fn texts_of(&self, row: &Row) -> BTreeMap<String, String> {
        let shown = self.oddities.shown(&row.fields).into_iter();
        shown
            .map(|(name, value)| (name, value.to_string()))
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }

    /// The records about a thing.
    pub fn about(&self, wanted: &str) -> Vec<RecordId> {
        let state = self.state();
        let rows = state.rows.iter();
        rows.filter(|(_, row)| thing(&row.fields) == wanted)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Whether somebody deleted a record about the thing, and it was made again.
    pub fn has_had_several(&self, wanted: &str) -> bool {
        let state = self.state();
        let about = state.ever().filter(|(_, row)| thing(&row.fields) == wanted);
        let ids: std::collections::BTreeSet<&RecordId> = about.map(|(id, _)| id).collect();
        ids.len() > 1
    }

    /// The writes to a record that landed late.
    pub fn landed_late(&self, id: &RecordId) -> Vec<Landing> {
        let state = self.state();
        let landed = state.landed.iter();
        let of_it = landed.filter(|landing| landing.effect.target() == Some(id));
        of_it.cloned().collect()
    }

    /// The create that landed late and made a record.
    pub fn made_late(&self, id: &RecordId) -> Option<Landing> {
        let state = self.state();
        let mut landed = state.landed.iter();
        let made = landed.find(|landing| match &landing.effect {
            Effect::Create { transaction, .. } => state.keys.get(transaction) == Some(id),
            Effect::Update { .. } | Effect::Delete { .. } => false,
        });
        made.cloned()
    }

    /// Whether a write to a record was answered and never carried out.
    pub fn has_ignored(&self, id: &RecordId) -> bool {
        self.state().ignored.contains(id)
    }

    /// Whether a field of a record is still as a person typed it.
    pub fn stands(&self, id: &RecordId, field: &str) -> bool {
        let state = self.state();
        let row = state.rows.get(id);
        row.is_some_and(|row| row.typed.contains_key(field))
    }

    /// What this system would make of a value that is written to it.
    pub fn form_of(&self, field: &str, value: &str) -> String {
        let sent = Value::Text(value.to_owned());
        let kept = self.oddities.kept(field, &sent, None);
        let shown = self
            .oddities
            .shown(&Fields::from([(field.to_owned(), kept)]));
        shown[field].to_string()
    }

    /// Whether it drops what is written to the field.
    pub fn drops(&self, field: &str) -> bool {
        let forms = &self.oddities.forms;
        forms
            .iter()
            .any(|(name, form)| *name == field && *form == oddities::Form::Dropped)
    }

    /// Whether an edit can go by unseen before a write: reads are behind, and no versions are compared.
    pub fn is_blind(&self) -> bool {
        !self.oddities.compares_versions && !self.oddities.lag.by.is_zero()
    }

    fn next_id(&self, state: &mut State) -> RecordId {
        state.next += 1;
        RecordId::new(format!("{}{:04}", self.name(), state.next))
    }

    fn blank(&self, reference: Option<String>, at: Timestamp) -> Row {
        Row {
            fields: Fields::new(),
            created_at: self.shows(at),
            updated_at: self.shows(at),
            version: 1,
            reference,
            typed: BTreeMap::new(),
        }
    }

    fn touch(&self, row: &mut Row, at: Timestamp) {
        row.updated_at = self.shows(at);
        row.version += 1;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no test panics while it holds the lock")
}

/// What a record is about, on whichever side.
fn thing(fields: &Fields) -> String {
    fields
        .get("email")
        .map(|email| email.to_string().to_lowercase())
        .unwrap_or_default()
}

fn info(talents: Talents, compares_versions: bool) -> StreamInfo {
    let field = FieldInfo {
        field_type: FieldType::Text,
        writable: true,
        required: false,
    };
    let fields = FIELDS
        .iter()
        .map(|name| ((*name).to_owned(), field.clone()));
    StreamInfo {
        name: "things".parse().expect("a name"),
        fields: fields.collect(),
        record_bytes_max: usize::MAX,
        capabilities: Capabilities {
            changed_since: talents.changed_since,
            create: true,
            update: true,
            delete: true,
            idempotent_create: talents.idempotent_create,
            external_reference: talents.external_reference,
            expected_version: compares_versions,
            guarded_delete: compares_versions,
            read_batch: 1,
        },
    }
}
