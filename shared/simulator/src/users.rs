//! Simulated users, who keep editing.
//!
//! Which record is edited, in which field and to which value depends on the seed and on the number
//! of the edit alone, and every value is new. Each fifth edit is *contested*: both systems derive
//! it from the same stream, so that at about the same time both edit the same company, half of
//! the times in the same field.
//!
//! Two kinds of edit are held back, because no judge could say what should come of them:
//! - name and e-mail change only on records that an integration has written to. Before that, they
//!   are all that tells which record here is which record there.
//! - name and e-mail never change on companies that the CRM holds twice, as one changed copy would
//!   be a company of its own.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{MissedTickBehavior, interval};

use crate::book::Slot;
use crate::chance::{Purpose, rng_for};
use crate::config::SimKind;
use crate::fields::{Changes, Field};
use crate::sim::Sim;
use crate::world::{Actor, Patch, World};

/// Edits come in bursts this far apart when there are more of them.
const TICK_MIN_MS: f64 = 5.0;
/// Longest pause between two looks at whether an edit is due.
const TICK_MAX_MS: f64 = 60_000.0;
const CREATES_A_COMPANY: f64 = 0.03;
const CONTESTED_EVERY: u64 = 5;
const SAME_FIELD_EVERY: u64 = 2 * CONTESTED_EVERY;
/// Picks of another record when the one picked is archived.
const PICKS_MAX: usize = 20;

/// Fields by how often they are edited, in percent.
const FIELD_WEIGHTS: [(u32, Field); 6] = [
    (32, Field::Phone),
    (24, Field::City),
    (22, Field::CreditLimit),
    (12, Field::Website),
    (7, Field::Name),
    (3, Field::Email),
];

/// Edits until the system is quiet or stops.
pub(crate) async fn run(sim: Arc<Sim>) {
    let per_second = sim.config.edits_per_second;
    if !per_second.is_finite() || per_second <= 0.0 {
        return;
    }
    let tick_ms = (1_000.0 / per_second).clamp(TICK_MIN_MS, TICK_MAX_MS);
    let mut ticks = interval(Duration::from_secs_f64(tick_ms / 1_000.0));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut due, mut done) = (0.0, 0);
    loop {
        tokio::select! {
            () = sim.quiet.cancelled() => return,
            () = sim.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        due += per_second * tick_ms / 1_000.0;
        while due >= 1.0 {
            sim.change(|world, now_ms| edit(&sim, world, done, now_ms));
            done += 1;
            due -= 1.0;
        }
    }
}

/// The `number`th edit of this system's users.
fn edit(sim: &Sim, world: &mut World, number: u64, now_ms: i64) {
    let (kind, seed) = (sim.config.kind, sim.config.seed);
    let purpose = match kind {
        SimKind::Crm => Purpose::EditsOfCrm,
        SimKind::Finance => Purpose::EditsOfFinance,
    };
    let mut own = rng_for(seed, purpose, number);
    let stamp = Stamp { kind, seed, number };
    let contested = number
        .is_multiple_of(CONTESTED_EVERY)
        .then(|| rng_for(seed, Purpose::ContestedEdits, number));
    if contested.is_none() && own.random_bool(CREATES_A_COMPANY) {
        world.create(
            Patch {
                fields: stamp.new_company(),
                ..Patch::default()
            },
            Actor::User,
            now_ms,
        );
        return;
    }
    let Some((slot, wanted)) = pick(world, contested, &mut own, number) else {
        return;
    };
    let field = permitted(world, slot, wanted);
    let fields = Changes::from([(field, stamp.value(field))]);
    world.update(
        slot,
        Patch {
            fields,
            ..Patch::default()
        },
        Actor::User,
        now_ms,
    );
}

/// The record to edit and the field that the user has in mind.
fn pick(
    world: &World,
    contested: Option<StdRng>,
    own: &mut StdRng,
    number: u64,
) -> Option<(Slot, Field)> {
    if let Some(mut shared) = contested.filter(|_| !world.seeded.is_empty()) {
        let company = shared.random_range(0..world.seeded.len());
        let same_field = pick_field(&mut shared);
        let field = if number.is_multiple_of(SAME_FIELD_EVERY) {
            same_field
        } else {
            pick_field(own)
        };
        if let Some(slot) = world.seeded[company].filter(|slot| !world.book.get(*slot).archived) {
            return Some((slot, field));
        }
    }
    let field = pick_field(own);
    let records = world.book.len();
    let candidates = (0..PICKS_MAX)
        .filter(|_| records > 0)
        .map(|_| own.random_range(0..records));
    candidates
        .into_iter()
        .find(|slot| !world.book.get(*slot).archived)
        .map(|slot| (slot, field))
}

fn pick_field(rng: &mut StdRng) -> Field {
    let mut percentile = rng.random_range(0..100);
    for (weight, field) in FIELD_WEIGHTS {
        if percentile < weight {
            return field;
        }
        percentile -= weight;
    }
    Field::Phone
}

/// The wanted field, or the phone number where changing the wanted one would be undecidable.
fn permitted(world: &World, slot: Slot, wanted: Field) -> Field {
    let identity = matches!(wanted, Field::Name | Field::Email);
    let known = world.book.get(slot).touched_by_api && !world.is_duplicated(slot);
    if identity && !known {
        Field::Phone
    } else {
        wanted
    }
}

/// Makes values that no other edit makes.
struct Stamp {
    kind: SimKind,
    seed: u64,
    number: u64,
}

impl Stamp {
    fn value(&self, field: Field) -> String {
        let Stamp { seed, number, .. } = self;
        let side = self.side();
        let digit = match self.kind {
            SimKind::Crm => 1,
            SimKind::Finance => 2,
        };
        match field {
            Field::Name => format!("Renamed {} {seed}-{number} Ltd", side.to_uppercase()),
            Field::Email => format!("renamed-{side}-{seed}-{number}@edited.example"),
            Field::Phone => format!("+49 30 {digit}{number:07}"),
            Field::City => format!("Newtown {side}{number}"),
            Field::Country => "Germany".to_owned(),
            Field::TaxNumber => format!("DE{digit}{number:08}"),
            Field::Website => format!("https://{side}-{number}.edited.example"),
            Field::CreditLimit => format!("{}.{digit}5", 10_000 + number),
            Field::Active => "true".to_owned(),
        }
    }

    /// Both systems put their own name into it, so they never create the same company.
    fn new_company(&self) -> Changes {
        let Stamp { seed, number, .. } = self;
        let side = self.side();
        let mut fields: Changes = Field::ALL
            .into_iter()
            .map(|field| (field, self.value(field)))
            .collect();
        fields.insert(
            Field::Name,
            format!("Newcomer {} {seed}-{number} Ltd", side.to_uppercase()),
        );
        fields.insert(
            Field::Email,
            format!("hello@newcomer-{side}-{seed}-{number}.example"),
        );
        fields
    }

    fn side(&self) -> &'static str {
        self.kind.name()
    }
}
