//! What one system knows and the three things that can happen to a record in it.
//!
//! A change made by a user and one made through the API take the same path: both are normalised as
//! the vendor would, both move `updated_ms`, both are announced by webhook. That is what makes
//! echoes. Everything here is plain data behind one lock; no I/O, no clock.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use rust_decimal::RoundingStrategy;

use crate::book::{Book, Record, Slot};
use crate::chance::{Purpose, rng_for};
use crate::config::SimKind;
use crate::crm::TANDEM_KEY;
use crate::fields::{Changes, Field, Fields, decimal, email_key, name_key};
use crate::population::{membership, seed_records};
use crate::state::{Origin, SimWrite, WriteOp};

/// Newest API writes kept for `/_sim/state`.
const WRITES_KEPT_MAX: usize = 200_000;
/// Notices waiting to be sent as webhooks; past this the newest are dropped, as a vendor would.
const NOTICES_WAITING_MAX: usize = 200_000;
/// Ids of CRM companies count up from here, so they all have the same number of digits.
const FIRST_CRM_ID: u64 = 100_000_000_001;
/// Records of the start were last changed over the hour before it.
const SEEDED_WITHIN_MS: i64 = 3_600_000;

/// Who is behind a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor<'a> {
    User,
    Api { idempotency_key: Option<&'a str> },
}

impl Actor<'_> {
    pub(crate) fn origin(self) -> Origin {
        match self {
            Actor::User => Origin::User,
            Actor::Api { .. } => Origin::Api,
        }
    }
}

/// New values for some parts of a record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    pub fields: Changes,
    pub reference: Option<String>,
    pub archived: Option<bool>,
}

/// Something to be announced by webhook.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub at_ms: i64,
    pub id: Arc<str>,
    pub by: Origin,
    pub what: Happening,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Created,
    /// One property has a new value; the CRM announces each one separately.
    PropertyChanged {
        property: &'static str,
        value: String,
    },
    /// Something changed; the finance system does not say what.
    Updated,
    Archived,
}

#[derive(Debug, Default)]
pub(crate) struct WriteCounters {
    pub user_edits: u64,
    pub api_creates: u64,
    pub api_updates: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    kind: SimKind,
    pub(crate) book: Book,
    /// The first copy of each company of the population, where this system has one.
    pub(crate) seeded: Vec<Option<Slot>>,
    /// Name and e-mail keys of companies that the CRM holds twice.
    duplicated_keys: HashSet<String>,
    writes: VecDeque<SimWrite>,
    notices: VecDeque<Notice>,
    pub(crate) counters: WriteCounters,
    ids: StdRng,
    next_crm_id: u64,
}

impl World {
    pub(crate) fn seeded(kind: SimKind, seed: u64, companies: usize, now_ms: i64) -> World {
        let mut world = World {
            kind,
            book: Book::default(),
            seeded: vec![None; companies],
            duplicated_keys: HashSet::new(),
            writes: VecDeque::new(),
            notices: VecDeque::new(),
            counters: WriteCounters::default(),
            ids: rng_for(seed, Purpose::Ids, 0),
            next_crm_id: FIRST_CRM_ID,
        };
        for record in seed_records(kind, seed, companies) {
            let age = world.ids.random_range(0..SEEDED_WITHIN_MS);
            if membership(seed, record.company).duplicated {
                world
                    .duplicated_keys
                    .insert(email_key(record.fields.get(Field::Email)));
                world
                    .duplicated_keys
                    .insert(name_key(record.fields.get(Field::Name)));
            }
            let slot = world.insert(record.fields, String::new(), Origin::Seed, now_ms - age);
            if !record.second_copy {
                world.seeded[record.company] = Some(slot);
            }
        }
        world.protect_duplicates_of_the_other_side(seed);
        world
    }

    /// Companies that the CRM alone has may be copied here later; they are protected as well.
    fn protect_duplicates_of_the_other_side(&mut self, seed: u64) {
        if self.kind == SimKind::Crm {
            return;
        }
        for record in seed_records(SimKind::Crm, seed, self.seeded.len())
            .iter()
            .filter(|record| record.second_copy)
        {
            self.duplicated_keys
                .insert(email_key(record.fields.get(Field::Email)));
            self.duplicated_keys
                .insert(name_key(record.fields.get(Field::Name)));
        }
    }

    /// Whether the CRM holds two copies of this record's company.
    pub(crate) fn is_duplicated(&self, slot: Slot) -> bool {
        let fields = &self.book.get(slot).fields;
        self.duplicated_keys
            .contains(&email_key(fields.get(Field::Email)))
            || self
                .duplicated_keys
                .contains(&name_key(fields.get(Field::Name)))
    }

    pub(crate) fn create(&mut self, patch: Patch, by: Actor<'_>, now_ms: i64) -> Slot {
        let changes = self.normalised(patch.fields);
        let mut fields = Fields::from(changes.clone());
        if fields.get(Field::Active).is_empty() {
            fields.set(Field::Active, "true");
        }
        let slot = self.insert(
            fields,
            patch.reference.unwrap_or_default(),
            by.origin(),
            now_ms,
        );
        let archived_at_once = self.kind == SimKind::Finance
            && self.book.get(slot).fields.get(Field::Active) == "false";
        self.book.modify(slot, |record| {
            record.archived = archived_at_once;
            record.archived_by = archived_at_once.then_some(by.origin());
        });
        self.account(slot, WriteOp::Create, changes, by, now_ms);
        self.announce(slot, Happening::Created, by, now_ms);
        slot
    }

    /// Changes a record. The CRM takes no notice of values that are already there; the finance
    /// system counts every write as an update.
    pub(crate) fn update(&mut self, slot: Slot, patch: Patch, by: Actor<'_>, now_ms: i64) {
        let archives = patch.archived == Some(true);
        let changes = self.with_status(self.normalised(patch.fields), patch.archived);
        let happenings =
            self.happenings(slot, &changes, patch.reference.as_deref(), patch.archived);
        let moves_time = !happenings.is_empty();
        let archived = self.archived_after(&changes, patch.archived);
        self.book.modify(slot, |record| {
            for (field, value) in &changes {
                record.fields.set(*field, value);
            }
            if let Some(reference) = patch.reference {
                record.reference = reference;
            }
            if let Some(archived) = archived.filter(|archived| *archived != record.archived) {
                record.archived = archived;
                record.archived_by = archived.then_some(by.origin());
            }
            record.touched_by_api |= matches!(by, Actor::Api { .. });
            record.updated_ms = if moves_time {
                now_ms.max(record.updated_ms)
            } else {
                record.updated_ms
            };
        });
        let op = if archives {
            WriteOp::Archive
        } else {
            WriteOp::Update
        };
        self.account(slot, op, changes, by, now_ms);
        for happening in happenings {
            self.announce(slot, happening, by, now_ms);
        }
    }

    pub(crate) fn archive(&mut self, slot: Slot, by: Actor<'_>, now_ms: i64) {
        self.update(
            slot,
            Patch {
                archived: Some(true),
                ..Patch::default()
            },
            by,
            now_ms,
        );
    }

    pub(crate) fn writes(&self) -> Vec<SimWrite> {
        self.writes.iter().cloned().collect()
    }

    /// Takes up to `max` notices, oldest first.
    pub(crate) fn take_notices(&mut self, max: usize) -> Vec<Notice> {
        let count = self.notices.len().min(max);
        self.notices.drain(..count).collect()
    }

    fn insert(&mut self, fields: Fields, reference: String, origin: Origin, now_ms: i64) -> Slot {
        let id = self.mint_id();
        self.book.insert(Record {
            id,
            fields,
            reference,
            archived: false,
            archived_by: None,
            origin,
            created_ms: now_ms,
            updated_ms: now_ms,
            touched_by_api: origin == Origin::Api,
        })
    }

    fn mint_id(&mut self) -> Arc<str> {
        match self.kind {
            SimKind::Crm => {
                let id = self.next_crm_id;
                self.next_crm_id += 1;
                Arc::from(id.to_string())
            }
            SimKind::Finance => {
                let mut bytes = [0; 16];
                self.ids.fill_bytes(&mut bytes);
                Arc::from(
                    uuid::Builder::from_random_bytes(bytes)
                        .into_uuid()
                        .to_string(),
                )
            }
        }
    }

    /// What the vendor makes of values before storing them.
    fn normalised(&self, changes: Changes) -> Changes {
        changes
            .into_iter()
            .map(|(field, value)| (field, normalise(self.kind, field, value)))
            .collect()
    }

    /// In the finance system `active` and the archived status are one and the same.
    fn with_status(&self, mut changes: Changes, archived: Option<bool>) -> Changes {
        if let (SimKind::Finance, Some(archived)) = (self.kind, archived) {
            changes.insert(
                Field::Active,
                if archived { "false" } else { "true" }.to_owned(),
            );
        }
        changes
    }

    fn archived_after(&self, changes: &Changes, asked: Option<bool>) -> Option<bool> {
        match self.kind {
            SimKind::Crm => asked,
            SimKind::Finance => changes.get(&Field::Active).map(|active| active == "false"),
        }
    }

    fn happenings(
        &self,
        slot: Slot,
        changes: &Changes,
        reference: Option<&str>,
        archived: Option<bool>,
    ) -> Vec<Happening> {
        if self.kind == SimKind::Finance {
            return vec![Happening::Updated];
        }
        if archived == Some(true) {
            return vec![Happening::Archived];
        }
        let record = self.book.get(slot);
        let fields = changes
            .iter()
            .filter(|(field, value)| record.fields.get(**field) != value.as_str());
        let mut happenings: Vec<_> = fields
            .map(|(field, value)| property_changed(field.name(), value))
            .collect();
        if let Some(reference) = reference.filter(|reference| *reference != record.reference) {
            happenings.push(property_changed(TANDEM_KEY, reference));
        }
        happenings
    }

    /// Counts a change and, when it came through the API, logs it.
    fn account(&mut self, slot: Slot, op: WriteOp, fields: Changes, by: Actor<'_>, now_ms: i64) {
        let Actor::Api { idempotency_key } = by else {
            self.counters.user_edits += 1;
            return;
        };
        match op {
            WriteOp::Create => self.counters.api_creates += 1,
            WriteOp::Update | WriteOp::Archive => self.counters.api_updates += 1,
        }
        if self.writes.len() == WRITES_KEPT_MAX {
            self.writes.pop_front();
        }
        let id = self.book.get(slot).id.to_string();
        let idempotency_key = idempotency_key.map(str::to_owned);
        self.writes.push_back(SimWrite {
            at: now_ms,
            op,
            id,
            idempotency_key,
            fields,
        });
    }

    fn announce(&mut self, slot: Slot, what: Happening, by: Actor<'_>, now_ms: i64) {
        if self.notices.len() < NOTICES_WAITING_MAX {
            let id = Arc::clone(&self.book.get(slot).id);
            self.notices.push_back(Notice {
                at_ms: now_ms,
                id,
                by: by.origin(),
                what,
            });
        }
    }
}

fn property_changed(property: &'static str, value: &str) -> Happening {
    Happening::PropertyChanged {
        property,
        value: value.to_owned(),
    }
}

/// The CRM lower-cases and trims e-mail addresses and trims names; the finance system keeps text
/// as it comes and rounds amounts to cents.
fn normalise(kind: SimKind, field: Field, value: String) -> String {
    match (kind, field) {
        (SimKind::Crm, Field::Email) => email_key(&value),
        (SimKind::Crm, Field::Name) => value.trim().to_owned(),
        (SimKind::Finance, Field::CreditLimit) => match decimal(&value) {
            Some(amount) => format!(
                "{:.2}",
                amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
            ),
            None => value,
        },
        (SimKind::Crm | SimKind::Finance, _) => value,
    }
}
