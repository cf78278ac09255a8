//! A record has one dead letter, which ends when the record has synced or a person lets it be.

use std::time::Duration;

use tandem_domain::{ErrorCode, JobId, LinkId, RecordId, Side, Timestamp};
use tandem_store::{
    ATTEMPTS_KEPT, ClaimedJob, Confirmation, ConflictState, Edits, HeldAs, IndexedRecord,
    JobOutcome, JobState, Lane, NewJob, NewLink, Trigger,
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

/// What a poll shows of a record, with a job for it. Returns whether that is enqueued.
async fn polls(
    store: &Subject,
    make: &Make,
    trigger: Trigger,
    (side, record, checksum, updated_at): (Side, &str, &str, Option<Timestamp>),
) -> bool {
    let seen = IndexedRecord {
        updated_at,
        ..Make::seen(record, checksum, &[])
    };
    let job = NewJob {
        trigger,
        ..polled(make, side, record)
    };
    let sync = Make::customers();
    let known = store.index_records(&sync, side, vec![seen], vec![job], 2, make.now());
    known.await.expect("index").remove(0).job.is_some()
}

/// A pair of which both records differ from what was agreed on, and for which something was refused.
async fn refused_pair(store: &Subject, make: &Make) -> JobId {
    link(store, make, make.link("a1", "b1")).await;
    list(store, make, Side::A, "a1", "sum-1").await;
    list(store, make, Side::B, "b1", "sum-2").await;
    die(store, make, make.job("a1"), "the period is closed").await
}

async fn let_be(store: &Subject, side: Side, record: &str) -> bool {
    let ids = [RecordId::new(record)];
    let known = store.let_be(&Make::customers(), side, &ids).await;
    !known.expect("asked").is_empty()
}

/// It was looked at, and a person is asked. What it shows else, and the end of the question, have it looked at again.
pub async fn a_pair_that_waits_for_an_open_question_gets_no_job_from_a_listing_that_shows_the_same(
    store: Subject,
) {
    let make = Make::default();
    let mut pair = make.link("a1", "b1");
    let question = make.conflict(Some(pair.id), "a1", Make::field_conflict("name"));
    let held = |shown: &str| {
        Some(HeldAs {
            question: question.id,
            state: Make::seen("it", shown, &[]).state(),
        })
    };
    (pair.a.memory.held, pair.b.memory.held) = (held("old-a"), held("old-b"));
    link(&store, &make, pair).await;
    let shown = [
        (Side::A, "a1", "old-a", None),
        (Side::B, "b1", "old-b", None),
    ];
    assert!(
        polls(&store, &make, Trigger::Poll, shown[0]).await,
        "nobody asks"
    );
    super::conflicts::open(&store, &make, &[&question]).await;
    for shown in shown {
        assert!(!polls(&store, &make, Trigger::Poll, shown).await);
    }
    let edited = (Side::A, "a1", "edited", None);
    assert!(polls(&store, &make, Trigger::Poll, edited).await);
    let touched = (Side::B, "b1", "old-b", Some(make.now()));
    assert!(polls(&store, &make, Trigger::Poll, touched).await);
    let closed = store.close_question(question.id, ConflictState::Open, None, make.now());
    assert!(closed.await.expect("close_question"));
    for shown in shown {
        assert!(polls(&store, &make, Trigger::Poll, shown).await, "it ended");
    }
}

/// Nothing says that what was refused a moment ago is taken now. A person, who has the dead letter before them, does.
pub async fn what_was_refused_gets_no_job_from_a_listing_while_its_dead_letter_waits_and_nothing_has_changed(
    store: Subject,
) {
    let make = Make::default();
    refused_pair(&store, &make).await;
    let (a1, b1) = (
        (Side::A, "a1", "sum-1", None),
        (Side::B, "b1", "sum-2", None),
    );
    for shown in [a1, b1] {
        assert!(!polls(&store, &make, Trigger::Poll, shown).await);
        assert!(let_be(&store, shown.0, shown.1).await, "for comparisons");
    }
    assert!(
        !let_be(&store, Side::B, "a1").await,
        "that is another record"
    );
    // The same for a record without a partner.
    list(&store, &make, Side::A, "a2", "sum-3").await;
    die(&store, &make, make.job("a2"), "no").await;
    assert!(let_be(&store, Side::A, "a2").await);
    assert!(
        polls(&store, &make, Trigger::Manual, a1).await,
        "a person asks"
    );
    assert_eq!(dead_letters(&store, &make).await, 2);
}

/// Somebody who sets a value back has edited the record as well.
pub async fn what_was_refused_is_tried_again_once_its_record_was_changed_be_it_back_to_what_it_was(
    store: Subject,
) {
    let make = Make::default();
    let letter = refused_pair(&store, &make).await;
    let other = (Side::B, "b1", "sum-9", None);
    assert!(
        polls(&store, &make, Trigger::Poll, other).await,
        "its partner"
    );
    let later = (Side::A, "a1", "sum-1", Some(make.now()));
    assert!(!let_be(&store, Side::B, "b1").await);
    let changed = die(&store, &make, polled(&make, Side::B, "b1"), "no still").await;
    assert_eq!(job(&store, changed).await.state, JobState::Done, "merged");
    assert!(polls(&store, &make, Trigger::Poll, later).await, "set back");
    assert!(!let_be(&store, Side::A, "a1").await);
    die(&store, &make, polled(&make, Side::A, "a1"), "no still").await;
    assert!(
        !polls(&store, &make, Trigger::Poll, later).await,
        "as it is now"
    );
    assert!(!polls(&store, &make, Trigger::Poll, other).await);
    assert_eq!(job(&store, letter).await.state, JobState::Dead);
}

/// It was replayed, or its record has synced: whatever comes after that is another matter.
pub async fn what_was_refused_is_tried_again_once_its_dead_letter_waits_no_more(store: Subject) {
    let make = Make::default();
    let letter = refused_pair(&store, &make).await;
    let shown = (Side::A, "a1", "sum-1", None);
    let replayed = store.replay_jobs(&[letter], make.now()).await;
    assert_eq!(replayed.expect("replay"), [letter]);
    assert!(!let_be(&store, Side::A, "a1").await);
    assert!(polls(&store, &make, Trigger::Poll, shown).await, "replayed");
    let again = claim_this(&store, &make, letter).await;
    assert!(finish(&store, &make, &again, refused("no")).await);
    assert!(let_be(&store, Side::A, "a1").await);
    end(&store, &make, make.job("a1"), "wrote b").await;
    assert!(!let_be(&store, Side::A, "a1").await);
    assert!(polls(&store, &make, Trigger::Poll, shown).await, "healed");
}

/// A system that did not answer may answer now.
pub async fn what_failed_for_another_reason_than_a_refusal_is_tried_again_by_listings(
    store: Subject,
) {
    let make = Make::default();
    refused_pair(&store, &make).await;
    let shown = (Side::A, "a1", "sum-1", None);
    let claimed = run(&store, &make, make.job("a1")).await;
    let lost = JobOutcome::Dead {
        failure: Make::failure(ErrorCode::ResponseLost, "no answer"),
    };
    assert!(finish(&store, &make, &claimed, lost).await);
    assert!(!let_be(&store, Side::A, "a1").await);
    assert!(polls(&store, &make, Trigger::Poll, shown).await);
    assert_eq!(dead_letters(&store, &make).await, 1);
}
