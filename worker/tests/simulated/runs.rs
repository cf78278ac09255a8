//! Runs of whole listings: one that a process carries is let be however much else runs, and one whose process ended in
//! good order goes on where it stood.

use std::time::Duration;

use tandem_domain::{Clock as _, JobId, LeaseToken, RecordId, RunId, Side, Timestamp};
use tandem_runtime::Archived;
use tandem_store::{
    ClaimRequest, ClaimedJob, Hints, JobClass, JobFilter, JobKind, JobState, NewJob, NewRun, Run,
    RunFilter, RunKind, RunState, Trigger, Waiting,
};
use tandem_testkit::SeededEntropy;

use crate::RICH;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const PAGE: usize = 3;
const HOUR: Duration = Duration::from_secs(3_600);

/// More running jobs than one look at the storage shows.
const MANY: usize = 1_100;

async fn runs(world: &World) -> Vec<Run> {
    let filter = RunFilter {
        limit: 100,
        ..RunFilter::default()
    };
    let runs = world.store.runs(&filter).await;
    runs.expect("the storage answers")
}

/// Another process claims what is due, and works on it for an hour.
async fn claim(world: &World, entropy: &SeededEntropy, jobs: usize) -> Vec<ClaimedJob> {
    let now = world.clock.now();
    let tokens = (0..jobs).map(|_| LeaseToken::new(now, entropy)).collect();
    let request = ClaimRequest {
        tokens,
        lease_until: now.plus(HOUR),
        blocked_syncs: vec![],
        shares: [2, 1, 1],
        now,
    };
    let claimed = world.store.claim(request).await;
    claimed.expect("the storage answers")
}

fn job(entropy: &SeededEntropy, kind: JobKind, now: Timestamp) -> NewJob {
    NewJob {
        id: JobId::new(now, entropy),
        kind,
        class: JobClass::Interactive,
        trigger: Trigger::Webhook,
        run_at: now,
        hints: Hints::default(),
        traceparent: None,
    }
}

#[tokio::test]
async fn a_run_that_another_job_carries_is_not_taken_over_however_many_jobs_run_beside_it() {
    // A sweep may carry a poll, and has another lane.
    let world = World::new(1, policy(), RICH, RICH).await;
    let entropy = SeededEntropy::new(7);
    let (sync, side) = (world.sync.clone(), Side::A);
    world.enqueue(JobKind::Sweep { sync, side }).await;
    let carried = claim(&world, &entropy, 1).await.remove(0);
    let now = world.clock.now();
    let run = NewRun {
        id: RunId::new(now, &entropy),
        sync: world.sync.clone(),
        kind: RunKind::Poll,
        side: Some(Side::A),
        trigger: Trigger::Webhook,
        under: Some(carried.lease),
        instead_of: Vec::new(),
    };
    let run = world.store.begin_run(run, now).await.expect("it begins");
    world.clock.advance(Duration::from_secs(1));
    let now = world.clock.now();
    let others = (0..MANY).map(|number| {
        let kind = JobKind::Reconcile {
            sync: world.sync.clone(),
            side: Side::A,
            record: RecordId::new(format!("busy{number}")),
        };
        job(&entropy, kind, now)
    });
    let others = world.store.enqueue(others.collect(), now).await;
    assert_eq!(others.expect("the storage answers").len(), MANY);
    assert_eq!(claim(&world, &entropy, MANY).await.len(), MANY);
    world.clock.advance(Duration::from_secs(1));
    let (sync, side) = (world.sync.clone(), Side::A);
    world.enqueue(JobKind::Poll { sync, side }).await;
    assert!(world.turn().await, "the poll is due");
    let mut runs = runs(&world).await;
    runs.retain(|one| one.kind == RunKind::Poll);
    let states: Vec<(bool, RunState)> = runs
        .iter()
        .map(|one| (one.id == run.id, one.state))
        .collect();
    let both = [(false, RunState::Skipped), (true, RunState::Running)];
    assert_eq!(states, both, "{runs:?}");
}

/// Both sides list in pages of three: ten records each, of which six are the same.
async fn two_listings() -> World {
    let odd = || Oddities {
        page: PAGE,
        ..Oddities::default()
    };
    let world = World::odd(1, policy(), (RICH, odd()), (RICH, odd()), Archived::Gone).await;
    for (side, numbers) in [(Side::A, 0..10), (Side::B, 4..14)] {
        for number in numbers {
            let (name, email) = (
                format!("Name {number:02}"),
                format!("{number:02}@x.example"),
            );
            world
                .system(side)
                .user_creates(&[("name", &name), ("email", &email)]);
        }
    }
    world
}

#[tokio::test]
async fn a_first_sync_whose_process_is_stopped_in_good_order_goes_on_where_it_was() {
    for pages in 2..=4 {
        let world = two_listings().await;
        world.begin_first_sync().await;
        let asked = || world.a.pages_asked().len() == pages;
        world.turn_that_is_stopped_when(asked).await;
        assert_eq!(runs(&world).await[0].state, RunState::Running);
        let filter = JobFilter {
            state: Some(JobState::Available),
            limit: 10,
            ..JobFilter::default()
        };
        let waits = world.store.jobs(&filter).await.expect("it answers");
        assert_eq!(waits.len(), 1, "{waits:?}");
        let job = &waits[0];
        assert!(matches!(job.kind, JobKind::Backfill { .. }), "{job:?}");
        assert_eq!((job.attempt, job.crashes), (0, 0), "{job:?}");
        assert!(job.waits.reason.is_none_or(|why| why == Waiting::Stopping));
        assert!(job.run_at <= world.clock.now(), "nobody waits for it");
        world.rest().await;
        let asked = world.a.pages_asked();
        let times = |page: usize| asked.iter().filter(|row| **row == page).count();
        assert_eq!(times(0), 1, "{asked:?}");
        assert!(asked.len() <= 5, "one page is asked for again: {asked:?}");
        let runs = runs(&world).await;
        assert_eq!(runs.len(), 1, "the same run went on: {runs:?}");
        assert_eq!(runs[0].state, RunState::Succeeded);
        assert_eq!((runs[0].progress.listed, runs[0].progress.matched), (20, 6));
        assert_eq!(world.dead().await, []);
        world.assert_agreement(1);
    }
}
