//! What goes wrong and when, drawn from a seed: the same seed gives the same schedule.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tandem_testkit::servers::StopMode;

use crate::site::Role;

/// Between two disturbances; a few meet the fleet before it has recovered from the one before.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 100..=3_000;
/// How long PostgreSQL is down.
const DOWN_MS: std::ops::RangeInclusive<u64> = 0..=2_000;

/// Something that happens in production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// `kill -9` of a process of this kind; `which` is taken modulo their number.
    Kill { role: Role, which: usize },
    /// `kill -9` of the scheduler that leads.
    KillLeader,
    /// `FLUSHALL`.
    FlushRedis,
    /// Redis is gone for a while, and comes back empty; meanwhile other things happen.
    StopRedis,
    /// PostgreSQL is stopped in this way, and started again after so long.
    RestartPostgres { mode: StopMode, down_ms: u64 },
    /// A worker stands still for longer than its leases, and goes on.
    FreezeWorker { which: usize },
    /// Every process, one by one, is asked to end, and started again.
    RollingRestart,
}

/// One step of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long nothing happens before it, in milliseconds.
    pub pause_ms: u64,
    pub what: Disturbance,
}

impl Step {
    pub const fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }
}

/// So many rounds, in each of which everything happens, in random order.
pub fn schedule(seed: u64, rounds: usize) -> Vec<Step> {
    let mut chance = StdRng::seed_from_u64(seed);
    (0..rounds).flat_map(|_| round(&mut chance)).collect()
}

fn round(chance: &mut StdRng) -> Vec<Step> {
    let kills = Role::ALL.map(|role| Disturbance::Kill {
        role,
        which: chance.random_range(0..100),
    });
    let restarts = [StopMode::Fast, StopMode::Immediate].map(|mode| Disturbance::RestartPostgres {
        mode,
        down_ms: chance.random_range(DOWN_MS),
    });
    let others = [
        Disturbance::KillLeader,
        Disturbance::FlushRedis,
        Disturbance::StopRedis,
        Disturbance::FreezeWorker {
            which: chance.random_range(0..100),
        },
        Disturbance::RollingRestart,
    ];
    let mut all: Vec<Disturbance> = kills.into_iter().chain(restarts).chain(others).collect();
    all.shuffle(chance);
    let step = |what| Step {
        pause_ms: chance.random_range(PAUSE_MS),
        what,
    };
    all.into_iter().map(step).collect()
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
    assert_eq!(schedule(7, 3), schedule(7, 3));
    assert_ne!(schedule(7, 3), schedule(8, 3));
}
