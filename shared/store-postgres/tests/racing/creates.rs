//! Creates, against what else may happen to their source and their match key.

use tandem_domain::Side;
use tandem_store::{Intent, JobState, JournalError};

use super::{ROUNDS, Two, confirm, insert_link, journal, linking, race};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_create_and_a_link_for_one_record_exactly_one_wins() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        // In turn the record is the one on side a, and the one on side b.
        let (side, source) = if round % 4 < 2 {
            (Side::A, &a)
        } else {
            (Side::B, &b)
        };
        let create = Intent {
            side: side.other(),
            ..two.make.create(source, None)
        };
        let running = two.claimed(side, source).await;
        let (created, linked) = race(
            round,
            journal(two.one.clone(), two.make.clone(), running, create),
            insert_link(two.other.clone(), two.make.clone(), two.make.link(&a, &b)),
        )
        .await;
        let answers = [created, linked];
        let superseded = Err(JournalError::Superseded);
        assert!(
            answers.contains(&Ok(())) && answers.contains(&superseded),
            "round {round}: {answers:?}"
        );
        assert_eq!(
            (answers[0].is_ok(), answers[1].is_ok()),
            (
                !two.intents_of(source).await.is_empty(),
                two.linked(side, source).await.is_some()
            ),
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_create_and_a_job_that_links_the_record_exactly_one_wins() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let creating = two.claimed(Side::A, &a).await;
        let matching = two.claimed(Side::B, &b).await;
        let create = two.make.create(&a, Some(&a));
        let link = linking(two.make.link(&a, &b));
        let (created, linked) = race(
            round,
            journal(two.one.clone(), two.make.clone(), creating, create),
            confirm(two.other.clone(), two.make.clone(), matching.clone(), link),
        )
        .await;
        assert_ne!(created, linked, "round {round}");
        assert!(created.is_ok() || linked.is_ok(), "round {round}");
        let job = two.one.job(matching.job.id).await.expect("job");
        let state = if linked.is_ok() {
            JobState::Done
        } else {
            JobState::Running
        };
        assert_eq!(job.map(|job| job.state), Some(state), "round {round}");
        assert_eq!(
            two.linked(Side::A, &a).await.is_some(),
            linked.is_ok(),
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_creates_of_one_match_key_one_finds_it_busy() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let (first, second) = (format!("a{round}-1"), format!("a{round}-2"));
        let (here, there) = (
            two.claimed(Side::A, &first).await,
            two.claimed(Side::A, &second).await,
        );
        let key = format!("email:{round}@y.z");
        let (one, other) = race(
            round,
            journal(
                two.one.clone(),
                two.make.clone(),
                here,
                two.make.create(&first, Some(&key)),
            ),
            journal(
                two.other.clone(),
                two.make.clone(),
                there,
                two.make.create(&second, Some(&key)),
            ),
        )
        .await;
        let answers = [one, other];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::KeyBusy)),
            "round {round}: {answers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_creates_of_one_record_one_is_superseded() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let source = format!("a{round}");
        let (here, there) = (
            two.claimed(Side::A, &source).await,
            two.claimed(Side::A, &format!("{source}-other")).await,
        );
        let (one, other) = race(
            round,
            journal(
                two.one.clone(),
                two.make.clone(),
                here,
                two.make.create(&source, Some(&source)),
            ),
            journal(
                two.other.clone(),
                two.make.clone(),
                there,
                two.make.create(&source, None),
            ),
        )
        .await;
        let answers = [one, other];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::Superseded)),
            "round {round}: {answers:?}"
        );
        assert_eq!(two.intents_of(&source).await.len(), 1);
    }
}
