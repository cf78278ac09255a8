//! A stream of edits whose every value is known: companies that are created and changed on one side, by
//! nobody else in these fields. So at the end it can be said of each whether its last value stands on
//! both sides, which agreement alone does not tell: two sides can agree on an old value.
//!
//! The simulated users edit the same companies meanwhile, in other fields.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tandem_simulator::{Field, SimRecord, SimState};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::agreement::States;
use crate::common::pair::Pair;
use crate::common::system::command;

/// The share of edits that create a company.
const CREATES: f64 = 0.3;

/// Where a company was created, and is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Crm,
    Books,
}

/// A company of the stream, with what it was last given.
#[derive(Clone, Debug)]
pub struct Known {
    pub home: Home,
    pub id: String,
    pub tax_number: String,
}

/// Edits until it is told to finish.
pub struct Editor {
    stop: CancellationToken,
    task: JoinHandle<Vec<Known>>,
}

impl Editor {
    /// Begins with so many edits a second; which ones comes from the seed.
    pub fn start(pair: &Pair, seed: u64, per_second: f64) -> Self {
        let stop = CancellationToken::new();
        let (crm, books) = (pair.crm.base_url(), pair.books.base_url());
        let stream = Stream {
            chance: StdRng::seed_from_u64(seed),
            seed,
            urls: move |home| match home {
                Home::Crm => crm.clone(),
                Home::Books => books.clone(),
            },
            known: Vec::new(),
        };
        let pause = Duration::from_secs_f64(1.0 / per_second);
        Self {
            task: tokio::spawn(stream.run(pause, stop.clone())),
            stop,
        }
    }

    /// Ends the stream, and tells what should stand on both sides.
    pub async fn finish(self) -> Vec<Known> {
        self.stop.cancel();
        self.task.await.expect("no edit fails")
    }
}

struct Stream<U> {
    chance: StdRng,
    seed: u64,
    urls: U,
    known: Vec<Known>,
}

impl<U: Fn(Home) -> String> Stream<U> {
    async fn run(mut self, pause: Duration, stop: CancellationToken) -> Vec<Known> {
        let mut ticks = tokio::time::interval(pause);
        let mut number = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            number += 1;
            self.edit(number).await;
        }
        self.known
    }

    async fn edit(&mut self, number: u64) {
        let tax_number = format!("TT{}-{number:06}", self.seed);
        if self.known.is_empty() || self.chance.random_bool(CREATES) {
            let home = match self.chance.random_bool(0.5) {
                true => Home::Crm,
                false => Home::Books,
            };
            let id = create(&(self.urls)(home), number, &tax_number).await;
            self.known.push(Known {
                home,
                id,
                tax_number,
            });
            return;
        }
        let place = self.chance.random_range(0..self.known.len());
        let known = &mut self.known[place];
        let fields = json!({ "tax_number": tax_number });
        let url = (self.urls)(known.home);
        command(&url, &json!({ "id": known.id, "fields": fields })).await;
        known.tax_number = tax_number;
    }
}

/// A user creates a company in a simulated system; gives its id.
pub async fn create(base_url: &str, number: u64, tax_number: &str) -> String {
    let fields = json!({
        "name": format!("Known company {number}"),
        "email": format!("office@known-{number}.example"),
        "tax_number": tax_number,
    });
    let answer = command(base_url, &json!({ "create": fields })).await;
    let id = answer["id"].as_str();
    id.expect("a created record has an id").to_owned()
}

/// What is not as it should be: a company whose last value does not stand exactly once on each side.
pub fn astray(known: &[Known], states: &States) -> Vec<String> {
    let of = |one: &Known| {
        let (here, there) = match one.home {
            Home::Crm => (&states.crm, &states.books),
            Home::Books => (&states.books, &states.crm),
        };
        let kept = holding(here, &one.tax_number).any(|record| record.id == one.id);
        let counts = [here, there].map(|side| holding(side, &one.tax_number).count());
        (!kept || counts != [1, 1]).then(|| {
            format!("{one:?}: kept at home: {kept}, records with its last value here and there: {counts:?}")
        })
    };
    known.iter().filter_map(of).collect()
}

fn holding<'a>(side: &'a SimState, tax_number: &'a str) -> impl Iterator<Item = &'a SimRecord> {
    let live = side.records.iter().filter(|record| !record.archived);
    live.filter(move |record| record.fields.get(Field::TaxNumber) == tax_number)
}
