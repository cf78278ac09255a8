//! Workers that were given up, and those who took over.

use std::time::Duration;

use sqlx::Connection as _;
use tandem_domain::{RecordId, Side};
use tandem_store::{
    ChangeFilter, Confirmation, Intent, IntentState, IntentVerdict, JobState, JournalError,
};
use tandem_testkit::Make;

use super::{ROUNDS, Two, confirm, journal, linking, race};

#[tokio::test]
async fn a_confirmation_after_a_rescue_changes_nothing() {
    let two = Two::open().await;
    let late = two.claimed(Side::A, "a1").await;
    let create = two.make.create("a1", None);
    let journalled = journal(
        two.one.clone(),
        two.make.clone(),
        late.clone(),
        create.clone(),
    );
    assert_eq!(journalled.await, Ok(()));
    two.make.clock.advance(Duration::from_secs(2 * 60));
    let rescued = two.other.rescue_expired(two.make.now(), 9).await;
    assert_eq!(rescued.expect("rescue"), vec![late.job.id]);
    let current = two.other.claim(two.make.claim(9)).await.expect("claim");
    let confirmation = Confirmation {
        verdicts: vec![verdict(&create)],
        changes: vec![two.make.change("a1", "b1")],
        seen: vec![(Side::B, Make::seen("b1", "sum", &["k1"]))],
        ..linking(two.make.link("a1", "b1"))
    };
    let answer = confirm(two.one.clone(), two.make.clone(), late, confirmation);
    assert_eq!(answer.await, Err(JournalError::LeaseLost));
    assert_eq!(two.intents_of("a1").await[0].state, IntentState::Sent);
    assert_eq!(two.linked(Side::A, "a1").await, None);
    let all = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    assert_eq!(two.one.changes(&all).await.expect("changes"), Vec::new());
    let known = two
        .one
        .records_by_keys(&Make::customers(), Side::B, &["k1".to_owned()])
        .await;
    assert_eq!(known.expect("records"), Vec::new());
    let job = two.one.job(current[0].job.id).await.expect("job");
    assert_eq!(job, Some(current[0].job.clone()));
}

fn verdict(create: &Intent) -> IntentVerdict {
    IntentVerdict {
        intent: create.id,
        state: IntentState::Confirmed,
        target: Some(RecordId::new("b1")),
        error: None,
        sends: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_confirmation_and_a_rescue_exactly_one_ends_the_attempt() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let a = format!("a{round}");
        let running = two.claimed(Side::A, &a).await;
        two.make.clock.advance(Duration::from_secs(2 * 60));
        let link = linking(two.make.link(&a, &format!("b{round}")));
        let (store, now, id) = (two.other.clone(), two.make.now(), running.job.id);
        let (confirmed, rescued) = race(
            round,
            confirm(two.one.clone(), two.make.clone(), running, link),
            async move {
                // Those that earlier rounds have rescued were claimed again, and are rescued again.
                let rescued = store.rescue_expired(now, 2 * ROUNDS).await.expect("rescue");
                if rescued.contains(&id) {
                    Ok(())
                } else {
                    Err(JournalError::LeaseLost)
                }
            },
        )
        .await;
        let answers = [confirmed, rescued];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::LeaseLost)),
            "round {round}: {answers:?}"
        );
        let job = two.one.job(id).await.expect("job");
        let state = if answers[0].is_ok() {
            JobState::Done
        } else {
            JobState::Available
        };
        assert_eq!(job.map(|job| job.state), Some(state), "round {round}");
        assert_eq!(
            two.linked(Side::A, &a).await.is_some(),
            answers[0].is_ok(),
            "round {round}"
        );
    }
}

/// The old worker has looked at its lease and is about to mark the intent when another connection, which
/// holds the intent, makes it wait. The job must not change hands meanwhile: the new worker would read
/// that the intent is not sent, send it, and the old one would do so too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_does_not_change_hands_while_its_worker_marks_an_intent_as_sent() {
    let two = Two::open().await;
    let running = two.claimed(Side::A, "a1").await;
    let intents = vec![two.make.create("a0", None), two.make.create("a1", None)];
    let planned = intents[1].id;
    let journalled = two
        .one
        .journal(running.lease, None, intents, two.make.now())
        .await;
    assert_eq!(journalled.expect("journal"), Ok(()));

    let holder = two.hold("SELECT id FROM intents FOR UPDATE").await;
    let (one, other, now) = (two.one.clone(), two.other.clone(), two.make.now());
    let marking = tokio::spawn(async move { one.mark_sent(running.lease, planned, now).await });
    two.wait_for_waiting(1, || marking.is_finished()).await;
    let releasing = tokio::spawn(async move { other.release_all(now).await });
    two.wait_for_waiting(2, || releasing.is_finished()).await;
    assert!(!releasing.is_finished());

    holder.close().await.expect("the connection can be closed");
    let marked = marking.await.expect("no panic").expect("mark_sent");
    let released = releasing.await.expect("no panic").expect("release_all");
    assert_eq!((marked, released), (true, 1));
    assert_eq!(two.intents_of("a1").await[0].state, IntentState::Sent);
}
