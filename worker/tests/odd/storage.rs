//! Our own storage answers that its schema does not fit, or that what was named is not there: as when another version is
//! being put in its place. Jobs wait for that, ever longer, and end as dead letters when it lasts.

use tandem_domain::{Clock as _, ErrorCode, RecordId, Side};
use tandem_store::{Job, JobFilter, JobState, StoreError, Waiting};

use super::pairs::{TALENTS, just_linked, text};
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

/// What the storage says.
type Says = fn() -> StoreError;

/// What it says, and the words of that which a person is to see.
fn errors() -> [(Says, &'static str); 2] {
    [
        (
            || StoreError::Schema("it has step 9, and this program needs 10".to_owned()),
            "it has step 9, and this program needs 10",
        ),
        (
            || StoreError::NotFound {
                what: "sync",
                id: "pairs".to_owned(),
            },
            "there is no sync `pairs`",
        ),
    ]
}

/// An edit of side a is on its way, and the storage answers so to this many of the calls that begin its job.
async fn storage_fails(error: Says, times: usize) -> (World, RecordId, RecordId) {
    let plain = || (TALENTS, Oddities::default());
    let (world, a, b) = just_linked(policy(), plain(), plain()).await;
    world.a.user_edits(&a, "city", "Lyon");
    world
        .turns
        .fail("pair", std::iter::repeat_with(error).take(times));
    world.hear(Side::A, &a).await;
    (world, a, b)
}

/// The one job that waits.
async fn waiting(world: &World) -> Job {
    let filter = JobFilter {
        state: Some(JobState::Available),
        limit: 10,
        ..JobFilter::default()
    };
    let mut jobs = world.store.jobs(&filter).await.expect("it answers");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

#[tokio::test]
async fn a_job_waits_ever_longer_for_a_storage_that_does_not_fit_and_spends_no_attempt() {
    for (error, words) in errors() {
        let (world, _, b) = storage_fails(error, 5).await;
        let mut pauses = Vec::new();
        for times in 1..=5 {
            let now = world.clock.now();
            assert!(world.turn().await, "it is due");
            let job = waiting(&world).await;
            assert_eq!(job.waits.reason, Some(Waiting::Storage));
            assert_eq!((job.waits.count, job.attempt), (times, 0));
            let failure = job.failure.expect("it says why");
            assert_eq!(failure.code, ErrorCode::Storage);
            assert!(failure.chain.concat().contains(words), "{failure:?}");
            pauses.push(job.run_at.since(now).as_secs());
            world.clock.set(job.run_at);
        }
        assert!(pauses.is_sorted() && pauses[0] >= 1, "{pauses:?}");
        assert!(pauses[4] >= 4 * pauses[0], "{pauses:?}");
        world.rest().await;
        assert_eq!(text(&world, Side::B, &b, "city"), "Lyon", "it goes on");
        assert_eq!(world.dead().await, []);
    }
}

#[tokio::test]
async fn where_the_storage_does_not_fit_for_an_hour_the_job_is_a_dead_letter_that_says_so() {
    for (error, words) in errors() {
        let (world, _, b) = storage_fails(error, 1_000).await;
        let began = world.clock.now();
        world.rest().await;
        let dead = world.dead().await;
        assert_eq!(dead.len(), 1);
        let failure = dead[0].failure.clone().expect("it says why");
        assert_eq!(failure.code, ErrorCode::Storage);
        let chain = failure.chain.join(" / ");
        assert!(chain.contains(words), "{chain}");
        assert!(chain.contains("Tandem's own database"), "{chain}");
        let looks = 1_000 - world.turns.failures_left();
        assert!((10..60).contains(&looks), "it was looked at {looks} times");
        let waited = world.clock.now().since(began).as_secs();
        assert!((3_600..2 * 3_600).contains(&waited), "{waited} s");
        // The storage fits again, and a person replays it.
        while world.turns.failure_of("pair").is_some() {}
        let letter = [dead[0].id];
        let replayed = world.store.replay_jobs(&letter, world.clock.now()).await;
        assert_eq!(replayed.expect("it answers").len(), 1);
        world.rest().await;
        assert_eq!(text(&world, Side::B, &b, "city"), "Lyon");
        assert_eq!(world.dead().await, []);
    }
}
