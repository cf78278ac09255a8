//! People at work on both systems: single edits, bursts, the same record at once, new records.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tandem_simulator::{ControlError, Field, Fields, SimState, Simulator};

use super::{DemoArgs, World, bar};

/// Edits a second, for every 100 companies; never fewer than the minimum, never more than the maximum.
const RATE_PER_100: u64 = 4;
const RATE_MIN: u64 = 20;
const RATE_MAX: u64 = 100;
/// Fields that people edit; names and e-mails rarely change.
const FIELDS: [Field; 4] = [
    Field::Phone,
    Field::City,
    Field::Website,
    Field::CreditLimit,
];

/// What was done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Edits {
    /// Edits of one record on one side.
    pub single: u64,
    /// The same field of both records of a pair, to different values.
    pub same_field: u64,
    /// Different fields of both records of a pair.
    pub other_field: u64,
    /// New records.
    pub created: u64,
}

impl Edits {
    pub const fn total(&self) -> u64 {
        self.single + 2 * self.same_field + 2 * self.other_field + self.created
    }
}

/// Edits for as long as asked.
pub async fn live(world: &World, args: &DemoArgs, quiet: bool) -> anyhow::Result<Edits> {
    let mut people = People::new(world, args.seed);
    let rate = (RATE_PER_100 * args.records as u64 / 100).clamp(RATE_MIN, RATE_MAX);
    let total = rate * args.seconds;
    let progress = bar(total, quiet);
    progress.set_message("editing");
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
    for number in 0..total {
        ticks.tick().await;
        people.act(world, number)?;
        progress.inc(1);
    }
    progress.finish();
    Ok(people.edits)
}

struct People {
    rng: StdRng,
    pairs: Vec<(String, String)>,
    edits: Edits,
}

impl People {
    fn new(world: &World, seed: u64) -> Self {
        let (crm, finance) = world.states();
        Self {
            rng: StdRng::seed_from_u64(seed),
            pairs: pairs(&crm, &finance),
            edits: Edits::default(),
        }
    }

    fn act(&mut self, world: &World, number: u64) -> Result<(), ControlError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let (crm_id, finance_id) = self.pairs[self.rng.random_range(0..self.pairs.len())].clone();
        let (one, other) = (
            (&world.crm, crm_id.as_str()),
            (&world.finance, finance_id.as_str()),
        );
        match self.rng.random_range(0..100) {
            0..20 => {
                let field = self.field();
                self.edit(one, field, number, "crm")?;
                self.edit(other, field, number, "fin")?;
                self.edits.same_field += 1;
            }
            20..40 => {
                self.edit(one, Field::Phone, number, "crm")?;
                self.edit(other, Field::City, number, "fin")?;
                self.edits.other_field += 1;
            }
            40..45 => {
                self.create(world, number)?;
                self.edits.created += 1;
            }
            45..50 => {
                self.edit(one, Field::Name, number, "crm")?;
                self.edits.single += 1;
            }
            _ => {
                let field = self.field();
                let target = if self.rng.random_bool(0.5) {
                    one
                } else {
                    other
                };
                self.edit(target, field, number, "any")?;
                self.edits.single += 1;
            }
        }
        Ok(())
    }

    fn field(&mut self) -> Field {
        FIELDS[self.rng.random_range(0..FIELDS.len())]
    }

    fn edit(
        &mut self,
        (system, id): (&Simulator, &str),
        field: Field,
        number: u64,
        who: &str,
    ) -> Result<(), ControlError> {
        let value = match field {
            Field::Phone => format!("+32470{:06}", number * 7 + self.rng.random_range(0..7)),
            Field::CreditLimit => {
                format!("{}.{:02}", 1_000 + number, self.rng.random_range(0..100))
            }
            Field::Website => format!("https://{who}{number}.example"),
            Field::Name => format!("Renamed {who} {number} Ltd"),
            Field::City | Field::Email | Field::Country | Field::TaxNumber | Field::Active => {
                format!("City {who} {number}")
            }
        };
        system.edit(id, field, &value)
    }

    fn create(&mut self, world: &World, number: u64) -> Result<(), ControlError> {
        let mut fields = Fields::default();
        fields.set(Field::Name, format!("Newcomer {number} GmbH"));
        fields.set(Field::Email, format!("hello@newcomer{number}.example"));
        fields.set(Field::City, "Ghent");
        fields.set(Field::Active, "true");
        let system = if self.rng.random_bool(0.5) {
            &world.crm
        } else {
            &world.finance
        };
        system.create(fields).map(|_| ())
    }
}

/// The records that both systems have of the same company, by e-mail.
fn pairs(crm: &SimState, finance: &SimState) -> Vec<(String, String)> {
    let mut by_email: BTreeMap<String, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for record in crm.records.iter().filter(|record| !record.archived) {
        by_email
            .entry(key(record.fields.get(Field::Email)))
            .or_default()
            .0
            .push(&record.id);
    }
    for record in finance.records.iter().filter(|record| !record.archived) {
        by_email
            .entry(key(record.fields.get(Field::Email)))
            .or_default()
            .1
            .push(&record.id);
    }
    by_email
        .into_iter()
        .filter(|(email, (crm, finance))| !email.is_empty() && crm.len() == 1 && finance.len() == 1)
        .map(|(_, (crm, finance))| (crm[0].to_owned(), finance[0].to_owned()))
        .collect()
}

fn key(email: &str) -> String {
    email.trim().to_lowercase()
}
