use std::time::Duration;

use tandem_store::JobFilter;

use super::*;
use crate::passes::support::{Fixture, key};

fn pass_of(fixture: &Fixture, settings: &SchedulerSettings) -> DueSchedules {
    let entropy = fixture.entropy.clone();
    DueSchedules::new(
        fixture.store.shared(),
        fixture.bell.clone(),
        entropy,
        settings,
    )
}

async fn waiting(fixture: &Fixture) -> Vec<JobKind> {
    let filter = JobFilter {
        state: Some(JobState::Available),
        limit: 100,
        ..JobFilter::default()
    };
    let mut jobs = fixture.store.jobs(&filter).await.expect("asked");
    jobs.sort_by(|one, other| one.lane.cmp(&other.lane));
    jobs.into_iter().map(|job| job.kind).collect()
}

const EVERY_SCHEDULE: [(SchedulePurpose, &str, u64); 3] = [
    (SchedulePurpose::PollA, "every 5 minutes", 10),
    (SchedulePurpose::PollB, "every 5 minutes", 10),
    (SchedulePurpose::Full, "daily at 02:00 UTC", 20),
];

#[tokio::test]
async fn each_purpose_starts_its_job_when_due_and_only_once() {
    let fixture = Fixture::open().await;
    fixture.apply(&["customers"], &EVERY_SCHEDULE).await;
    let sweeping = BTreeSet::from([key("customers", SchedulePurpose::PollB)]);
    let pass = pass_of(
        &fixture,
        &SchedulerSettings {
            sweeping: sweeping.into(),
            ..SchedulerSettings::default()
        },
    );
    let early = pass.run(fixture.now()).await.expect("it runs");
    assert_eq!(
        early,
        PassReport {
            handled: 0,
            next: Some(fixture.make.after(10))
        }
    );
    let due = fixture.make.after(20);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 3);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 0);
    let sync: SyncName = "customers".parse().expect("a name");
    assert_eq!(
        waiting(&fixture).await,
        [
            JobKind::Backfill { sync: sync.clone() },
            JobKind::Poll {
                sync: sync.clone(),
                side: Side::A
            },
            JobKind::Sweep {
                sync,
                side: Side::B
            },
        ]
    );
    assert_eq!(fixture.bell.rung().len(), 3);
    let poll = fixture
        .schedule(&key("customers", SchedulePurpose::PollA))
        .await;
    assert_eq!(poll.next_at, Some(due.plus(Duration::from_secs(300))));
    assert_eq!(poll.last_at, Some(due));
    let full = fixture
        .schedule(&key("customers", SchedulePurpose::Full))
        .await;
    assert_eq!(
        full.next_at.expect("daily").to_string(),
        "2026-01-01T02:00:00Z"
    );
}

#[tokio::test]
async fn a_tick_while_the_run_before_it_is_under_way_is_skipped_and_says_so() {
    let fixture = Fixture::open().await;
    fixture.apply(&["customers"], &EVERY_SCHEDULE[..1]).await;
    let before = fixture.begin_run("customers", RunKind::Poll).await;
    let pass = pass_of(&fixture, &SchedulerSettings::default());
    let due = fixture.make.after(10);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 0);
    assert_eq!(waiting(&fixture).await, []);
    let runs = fixture
        .store
        .runs(&RunFilter {
            limit: 10,
            ..RunFilter::default()
        })
        .await;
    let runs = runs.expect("asked");
    let skipped = runs
        .iter()
        .find(|run| run.id != before.id)
        .expect("it is told");
    assert_eq!((skipped.state, runs.len()), (RunState::Skipped, 2));
    let poll = fixture
        .schedule(&key("customers", SchedulePurpose::PollA))
        .await;
    assert_eq!(poll.next_at, Some(due.plus(Duration::from_secs(300))));
}

#[tokio::test]
async fn more_runs_than_allowed_stay_due_until_there_is_room() {
    let fixture = Fixture::open().await;
    fixture
        .apply(&["one", "three", "two"], &EVERY_SCHEDULE[..1])
        .await;
    let pass = pass_of(
        &fixture,
        &SchedulerSettings {
            runs_max: 2,
            ..SchedulerSettings::default()
        },
    );
    let due = fixture.make.after(10);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 2);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 0);
    let late = fixture.schedule(&key("two", SchedulePurpose::PollA)).await;
    assert_eq!(late.next_at, Some(due));
    fixture.make.clock.set(due);
    let claimed = fixture.claim_one().await;
    let done = tandem_store::JobOutcome::Done {
        note: "nothing new".to_owned(),
    };
    let finished = fixture.store.finish(vec![(claimed.lease, done)], due).await;
    assert_eq!(finished.expect("finished"), [true]);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
    assert_eq!(waiting(&fixture).await.len(), 2);
}

#[tokio::test]
async fn what_is_paused_or_removed_is_not_due() {
    let fixture = Fixture::open().await;
    fixture.apply(&["gone"], &EVERY_SCHEDULE[..1]).await;
    fixture
        .apply(&["paused", "resting"], &EVERY_SCHEDULE[..1])
        .await;
    let (store, now) = (fixture.store.shared(), fixture.now());
    let paused = "paused".parse().expect("a name");
    assert!(
        store
            .pause_sync(&paused, Some("by hand"), now)
            .await
            .expect("paused")
    );
    let resting = key("resting", SchedulePurpose::PollA);
    let edited = store.edit_schedule(&resting, Some(true), None, now).await;
    assert!(edited.expect("paused"));
    let pass = pass_of(&fixture, &SchedulerSettings::default());
    let due = fixture.make.after(10);
    assert_eq!(pass.run(due).await.expect("it runs"), PassReport::default());
    assert!(store.pause_sync(&paused, None, now).await.expect("resumed"));
    assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
}

#[tokio::test]
async fn two_schedulers_start_one_job() {
    let fixture = Fixture::open().await;
    fixture.apply(&["customers"], &EVERY_SCHEDULE[..1]).await;
    let settings = SchedulerSettings::default();
    let (one, other) = (pass_of(&fixture, &settings), pass_of(&fixture, &settings));
    let due = fixture.make.after(10);
    let (first, second) = tokio::join!(one.run(due), other.run(due));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(waiting(&fixture).await.len(), 1);
}

#[tokio::test]
async fn a_manual_schedule_runs_once_when_a_person_makes_it_due() {
    let fixture = Fixture::open().await;
    fixture
        .apply(&["customers"], &[(SchedulePurpose::Full, "manual", 5)])
        .await;
    let pass = pass_of(&fixture, &SchedulerSettings::default());
    let due = fixture.make.after(5);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
    let full = fixture
        .schedule(&key("customers", SchedulePurpose::Full))
        .await;
    assert_eq!(full.next_at, None);
}

#[tokio::test]
async fn a_schedule_that_a_clock_ahead_has_set_is_brought_forward() {
    let fixture = Fixture::open().await;
    let day = 86_400;
    let set = [
        (SchedulePurpose::PollA, "every 5 minutes", day),
        (SchedulePurpose::PollB, "every 5 minutes", 330),
        (SchedulePurpose::Full, "daily at 02:00 UTC", 3 * day),
    ];
    fixture.apply(&["customers"], &set).await;
    let pass = pass_of(&fixture, &SchedulerSettings::default());
    let report = pass.run(fixture.now()).await.expect("it runs");
    assert_eq!(
        report,
        PassReport {
            handled: 0,
            next: Some(fixture.make.after(300))
        }
    );
    let schedules = fixture.store.schedules().await.expect("asked");
    let next = |purpose| {
        let mut of_purpose = schedules.iter().filter(|one| one.key.purpose == purpose);
        of_purpose.next().and_then(|one| one.next_at).expect("set")
    };
    assert_eq!(next(SchedulePurpose::PollA), fixture.make.after(300));
    assert_eq!(next(SchedulePurpose::PollB), fixture.make.after(330));
    assert!(next(SchedulePurpose::Full) <= fixture.make.after(day));
    let due = fixture.make.after(330);
    assert_eq!(pass.run(due).await.expect("it runs").handled, 2);
}
