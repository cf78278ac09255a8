//! A record has one dead letter, which ends when the record has synced or a person lets it be.

use std::time::Duration;

use tandem_domain::{ErrorCode, JobId, LinkId, RecordId, Side};
use tandem_store::{
    ATTEMPTS_KEPT, ClaimedJob, Confirmation, Edits, JobOutcome, JobState, Lane, NewJob, NewLink,
    Trigger,
};

use super::{Subject, claim_this, done, enqueue, finish, job};
use crate::Make;

fn refused(message: &str) -> JobOutcome {
    JobOutcome::Dead {
        failure: Make::failure(ErrorCode::Refused, message),
    }
}

async fn run(store: &Subject, make: &Make, new: NewJob) -> ClaimedJob {
    let id = enqueue(store, make, new).await;
    claim_this(store, make, id).await
}

/// Runs a job, which is refused.
async fn die(store: &Subject, make: &Make, new: NewJob, message: &str) -> JobId {
    let claimed = run(store, make, new).await;
    assert!(finish(store, make, &claimed, refused(message)).await);
    claimed.job.id
}

async fn end(store: &Subject, make: &Make, new: NewJob, note: &str) -> JobId {
    let claimed = run(store, make, new).await;
    assert!(finish(store, make, &claimed, done(note)).await);
    claimed.job.id
}

fn polled(make: &Make, side: Side, record: &str) -> NewJob {
    NewJob {
        trigger: Trigger::Poll,
        ..make.job_of(Make::reconcile(side, record))
    }
}

async fn link(store: &Subject, make: &Make, link: NewLink) -> LinkId {
    let id = link.id;
    let inserted = store.insert_links(vec![link], make.now()).await;
    assert_eq!(inserted.expect("link"), 1);
    id
}

/// What a listing shows of a record.
async fn list(store: &Subject, make: &Make, side: Side, record: &str, checksum: &str) {
    let seen = vec![Make::seen(record, checksum, &[])];
    store
        .index_records(&Make::customers(), side, seen, Vec::new(), 1, make.now())
        .await
        .expect("index");
}

/// A person discards the dead letter of a record that a listing has shown.
async fn discard_a1(store: &Subject, make: &Make) {
    list(store, make, Side::A, "a1", "sum-1").await;
    let dead = die(store, make, make.job("a1"), "no").await;
    let discarded = store.discard_jobs(&[dead], "we know", make.now()).await;
    assert_eq!(discarded.expect("discard"), 1);
}

async fn dead_letters(store: &Subject, make: &Make) -> u64 {
    let counts = store.job_counts(None, make.now()).await;
    counts.expect("counts").dead
}

/// A newer try that dies updates the dead letter of its record: the one that was listed is still the one to
/// replay, and it knows of both.
pub async fn a_newer_try_that_dies_updates_the_dead_letter_of_its_record(store: Subject) {
    let make = Make::default();
    let other = die(&store, &make, make.job("b1"), "no").await;
    let first = die(&store, &make, make.job("a1"), "no such city").await;
    make.clock.advance(Duration::from_secs(60));
    let second = die(&store, &make, make.job("a1"), "no such country").await;

    let stands = job(&store, first).await;
    assert_eq!((stands.state, stands.merged), (JobState::Dead, 1));
    assert_eq!(stands.ended_at, Some(make.now()));
    let newest = Make::failure(ErrorCode::Refused, "no such country");
    assert_eq!(stands.failure, Some(newest));
    let attempts = store.attempts(first).await.expect("attempts");
    let messages: Vec<&str> = attempts
        .iter()
        .map(|attempt| attempt.failure.chain[0].as_str())
        .collect();
    assert_eq!(messages, ["no such city", "no such country"]);

    let merged = job(&store, second).await;
    assert_eq!(merged.state, JobState::Done);
    assert_eq!(merged.note, Some(format!("merged into {first}")));
    assert_eq!(job(&store, other).await.state, JobState::Dead);
    assert_eq!(store.totals(None).await.expect("totals").dead, 2);
    let replayed = store.replay_jobs(&[first], make.now()).await;
    assert_eq!(replayed.expect("replay"), [first]);
}

/// A dead letter that is older than its link is found from either record of it.
pub async fn a_dead_letter_older_than_its_link_is_found_from_either_record(store: Subject) {
    let make = Make::default();
    let first = die(&store, &make, make.job("a1"), "no").await;
    let linked = link(&store, &make, make.link("a1", "b1")).await;
    let other_side = make.job_of(Make::reconcile(Side::B, "b1"));
    let second = die(&store, &make, other_side, "no still").await;
    let stands = job(&store, first).await;
    assert_eq!(stands.state, JobState::Dead);
    assert_eq!(stands.lane, Lane::of_link(linked));
    assert_eq!(job(&store, second).await.state, JobState::Done);
    assert_eq!(dead_letters(&store, &make).await, 1);
}

/// A dead letter that is tried for months keeps the newest of its tries.
pub async fn a_dead_letter_keeps_the_newest_of_many_tries(store: Subject) {
    let make = Make::default();
    let kept = usize::try_from(ATTEMPTS_KEPT).expect("it is small");
    let first = die(&store, &make, make.job("a1"), "try 0").await;
    for number in 1..=kept + 3 {
        die(&store, &make, make.job("a1"), &format!("try {number}")).await;
    }
    let attempts = store.attempts(first).await.expect("attempts");
    assert_eq!(attempts.len(), kept);
    assert_eq!(attempts[0].failure.chain, ["try 4"]);
}

/// A dead letter closes by itself when its record has synced since, from whichever side.
pub async fn a_dead_letter_closes_by_itself_when_its_record_has_synced_since(store: Subject) {
    let make = Make::default();
    let before_the_link = die(&store, &make, make.job("a1"), "no").await;
    let without_a_link = die(&store, &make, make.job("a2"), "no").await;
    let untouched = die(&store, &make, make.job("a3"), "no").await;
    link(&store, &make, make.link("a1", "b1")).await;
    let side_b = make.job_of(Make::reconcile(Side::B, "b1"));
    let healer = end(&store, &make, side_b, "wrote a").await;
    end(&store, &make, make.job("a2"), "created b").await;

    let healed = job(&store, before_the_link).await;
    assert_eq!(healed.state, JobState::Done);
    let note = format!("healed: its record has synced since, by {healer}");
    assert_eq!(healed.note, Some(note));
    assert_eq!(job(&store, without_a_link).await.state, JobState::Done);
    assert_eq!(job(&store, untouched).await.state, JobState::Dead);
    let totals = store.totals(None).await.expect("totals");
    assert_eq!((totals.healed, totals.dead, totals.jobs_done), (2, 3, 2));
    let counts = store.job_counts(None, make.now()).await.expect("counts");
    assert_eq!((counts.dead, counts.done), (1, 4));
}

/// The same when the job ends in the transaction that stores what it did.
pub async fn a_dead_letter_heals_when_the_confirmation_of_its_pair_ends_the_job(store: Subject) {
    let make = Make::default();
    let dead = die(&store, &make, make.job("a1"), "no").await;
    let claimed = run(&store, &make, make.job("a1")).await;
    let confirmation = Confirmation {
        outcome: Some(done("echo: nothing to do")),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), claimed.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    assert_eq!(job(&store, dead).await.state, JobState::Done);
    assert_eq!(store.totals(None).await.expect("totals").healed, 1);
}

/// What was held, put off or dropped heals nothing.
pub async fn what_was_held_or_put_off_heals_nothing(store: Subject) {
    let make = Make::default();
    let dead = die(&store, &make, make.job("a1"), "no").await;
    for note in [
        "held: an operator must say what this record matches",
        "waits for an operator",
        "dropped: refused",
    ] {
        end(&store, &make, make.job("a1"), note).await;
        assert_eq!(job(&store, dead).await.state, JobState::Dead, "{note}");
    }
}

/// Values that an operator gave are not healed away: nothing has written them.
pub async fn values_that_an_operator_gave_are_not_healed_away(store: Subject) {
    let make = Make::default();
    let dead = die(&store, &make, make.job("a1"), "no").await;
    let edits = Edits::from([("city".to_owned(), "Ghent".to_owned())]);
    let replayed = store.replay_edited(dead, &edits, make.now()).await;
    assert_eq!(replayed.expect("replay"), Some(dead));
    let again = claim_this(&store, &make, dead).await;
    assert!(finish(&store, &make, &again, refused("no")).await);
    end(&store, &make, make.job("a1"), "echo: nothing to do").await;
    assert_eq!(job(&store, dead).await.state, JobState::Dead);
}

/// A dead letter that a person discarded is not made anew by a poll that finds the record as it was, and is
/// when the record has changed.
pub async fn a_discarded_dead_letter_is_not_made_anew_by_a_poll_that_finds_the_record_unchanged(
    store: Subject,
) {
    let make = Make::default();
    discard_a1(&store, &make).await;

    list(&store, &make, Side::A, "a1", "sum-1").await;
    let again = die(&store, &make, polled(&make, Side::A, "a1"), "no").await;
    let again = job(&store, again).await;
    assert_eq!(again.state, JobState::Discarded);
    assert!(again.note.expect("why").contains("has not changed since"));

    list(&store, &make, Side::A, "a1", "sum-2").await;
    let changed = die(&store, &make, polled(&make, Side::A, "a1"), "no").await;
    assert_eq!(job(&store, changed).await.state, JobState::Dead);
    assert_eq!(store.totals(None).await.expect("totals").dead, 2);
}

/// It is not tried again either, as long as listings show the same: what a person does not want may be taken by now.
pub async fn what_a_person_discarded_gets_no_job_from_a_listing_that_shows_the_same(
    store: Subject,
) {
    let make = Make::default();
    discard_a1(&store, &make).await;
    link(&store, &make, make.link("a1", "b1")).await;

    let listed = async |checksum: &str, trigger: Trigger| {
        let seen = vec![Make::seen("a1", checksum, &[])];
        let jobs = vec![NewJob {
            trigger,
            ..polled(&make, Side::A, "a1")
        }];
        let sync = Make::customers();
        let known = store.index_records(&sync, Side::A, seen, jobs, 2, make.now());
        known.await.expect("index").remove(0).job.is_some()
    };
    assert!(!listed("sum-1", Trigger::Poll).await, "it has not changed");
    assert!(listed("sum-1", Trigger::Manual).await, "a person asks");
    assert!(listed("sum-2", Trigger::Poll).await, "it has changed");
}

/// Whoever compares both sides whole asks which records are let be: those that are as they were.
pub async fn what_a_person_discarded_is_known_as_let_be_until_the_record_changes(store: Subject) {
    let make = Make::default();
    discard_a1(&store, &make).await;
    list(&store, &make, Side::A, "a2", "sum-1").await;
    list(&store, &make, Side::B, "a1", "sum-1").await;
    let let_be = async |side: Side| {
        let ids = ["a1", "a2", "a3"].map(RecordId::new);
        let known = store.let_be(&Make::customers(), side, &ids).await;
        known.expect("asked")
    };
    assert_eq!(let_be(Side::A).await, [RecordId::new("a1")]);
    assert_eq!(let_be(Side::B).await, []);
    list(&store, &make, Side::A, "a1", "sum-2").await;
    assert_eq!(let_be(Side::A).await, [], "it has changed");
    list(&store, &make, Side::A, "a1", "sum-1").await;
    assert_eq!(let_be(Side::A).await.len(), 1, "it is as it was");
}

/// It holds for both records of a link.
pub async fn a_discarded_dead_letter_holds_for_both_records_of_a_link(store: Subject) {
    let make = Make::default();
    link(&store, &make, make.link("a1", "b1")).await;
    list(&store, &make, Side::A, "a1", "sum-1").await;
    list(&store, &make, Side::B, "b1", "sum-2").await;
    let dead = die(&store, &make, make.job("a1"), "no").await;
    let discarded = store.discard_jobs(&[dead], "we know", make.now()).await;
    assert_eq!(discarded.expect("discard"), 1);
    for (side, record) in [(Side::A, "a1"), (Side::B, "b1")] {
        let again = die(&store, &make, polled(&make, side, record), "no").await;
        assert_eq!(job(&store, again).await.state, JobState::Discarded);
    }
    assert_eq!(dead_letters(&store, &make).await, 0);
}

/// An event is a reason to ask again.
pub async fn an_event_about_a_discarded_record_may_make_a_dead_letter_again(store: Subject) {
    let make = Make::default();
    discard_a1(&store, &make).await;
    die(&store, &make, make.job("a1"), "no").await;
    assert_eq!(dead_letters(&store, &make).await, 1);
}
