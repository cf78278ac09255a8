//! Tandem is killed again and again while people edit both systems and requests go wrong.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::common::agreement::{States, agreement, states};
use crate::common::pair::Settings;
use crate::common::questions::answer_what_is_asked;
use crate::common::scale::told;
use crate::common::system::System;
use crate::site::Site;
use crate::tandem::Tandem;

/// How long Tandem lives before it is killed, in milliseconds: from before it has opened its database to
/// well into its work.
const LIFE_MS: std::ops::RangeInclusive<u64> = 20..=3_000;
/// Both sides agree this long after the last edit.
const AGREE_MAX: Duration = Duration::from_secs(60);
/// How hard Tandem is tried. `make kill-test` asks for more than these.
#[derive(Debug)]
struct Scale {
    records: usize,
    edits_per_second: f64,
    kills: u32,
    faults: f64,
    retries: u32,
    seed: u64,
}

impl Scale {
    fn from_environment() -> Self {
        Self {
            records: told("TANDEM_TEST_RECORDS", 120),
            edits_per_second: told("TANDEM_TEST_EDITS", 4.0),
            kills: told("TANDEM_TEST_KILLS", 6),
            faults: told("TANDEM_TEST_FAULTS", 0.05),
            retries: told("TANDEM_TEST_RETRIES", 8),
            seed: told("TANDEM_TEST_SEED", 1),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_tandem_is_killed_again_and_again() {
    let scale = Scale::from_environment();
    let site = site(&scale);
    let (crm, books) = (
        System::start(&site.pair.crm).await,
        System::start(&site.pair.books).await,
    );
    let initial = states(&crm, &books).await;

    kill_often(&site, &scale).await;
    let tandem = site.up().await;
    crm.quiet().await;
    books.quiet().await;
    replay_what_kills_ended(&site).await;
    let quiet_since = Instant::now();
    let status = async || tandem.status().await;
    let systems = (&crm, &books);
    let (mut verdict, mut settled) = agreement(systems, &initial, status, AGREE_MAX).await;
    if !settled {
        let asked = answer_what_is_asked(|| site.command()).await;
        println!("a person was asked, and answered: {asked:?}");
        if !asked.is_empty() {
            (verdict, settled) = agreement(systems, &initial, status, AGREE_MAX).await;
        }
    }

    let story = story(&scale, &tandem, &states(&crm, &books).await).await;
    let seconds = quiet_since.elapsed().as_secs_f64();
    println!(
        "{story}settled after {seconds:.1} s: {}, lost {}, doubled {}, differences {}",
        settled,
        verdict.lost,
        verdict.doubled,
        verdict.differences.len()
    );
    if !settled {
        let log = tandem.log();
        tandem.kill().await;
        let folder = site.keep();
        panic!(
            "{verdict:#?}\n{story}its folder is {}; the end of its log:\n{log}",
            folder.display()
        );
    }
}

fn site(scale: &Scale) -> Site {
    let settings = Settings {
        retries: scale.retries,
        ..Settings::default()
    };
    let mut site = Site::new(scale.records, scale.seed, &settings).with_webhooks();
    site.pair.unsettle(scale.edits_per_second, scale.faults);
    site
}

/// Starts and kills Tandem; how long it lives each time comes from the seed.
async fn kill_often(site: &Site, scale: &Scale) {
    let mut chance = StdRng::seed_from_u64(scale.seed);
    for _ in 0..scale.kills {
        let tandem = site.spawn();
        sleep(Duration::from_millis(chance.random_range(LIFE_MS))).await;
        tandem.kill().await;
    }
}

/// What ran three times in a row while Tandem was killed is a dead letter, whosever fault it was: a person replays it.
async fn replay_what_kills_ended(site: &Site) {
    let mut command = site.command();
    let command = command.args(["dlq", "replay", "--all", "--code", "internal", "--yes"]);
    let replayed = command.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success(), "{said}");
}

/// What there was to do, for a person.
async fn story(scale: &Scale, tandem: &Tandem, end: &States) -> String {
    let (crm, books) = (end.crm.counters, end.books.counters);
    let status = tandem.status().await.unwrap_or_default();
    format!(
        "{scale:?}\ncrm: {crm:?}\nbooks: {books:?}\nqueue: {}\ntotals: {}\n",
        status["queue"], status["totals"]
    )
}
