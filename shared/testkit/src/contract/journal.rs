//! The journal: what was about to be sent, for whoever comes after a crash.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{IntentId, LinkId, RecordId, Side};
use tandem_store::{
    Causes, ClaimedJob, Confirmation, Intent, IntentState, IntentVerdict, JobKind, JournalError,
    LinkSeen,
};

use super::{Subject, claim_this, claimed, enqueue};
use crate::Make;

pub(super) type Answer = Result<(), JournalError>;

pub(super) async fn journal(
    store: &Subject,
    make: &Make,
    claimed: &ClaimedJob,
    link: Option<(LinkId, i64)>,
    intents: &[&Intent],
) -> Answer {
    let intents = intents.iter().map(|intent| (*intent).clone()).collect();
    store
        .journal(claimed.lease, link.map(LinkSeen::from), intents, make.now())
        .await
        .expect("journal")
}

pub(super) async fn settle(
    store: &Subject,
    make: &Make,
    claimed: &ClaimedJob,
    intent: IntentId,
    state: IntentState,
) {
    let verdict = IntentVerdict {
        intent,
        state,
        target: None,
        error: None,
        sends: None,
    };
    let confirmation = Confirmation {
        verdicts: vec![verdict],
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), claimed.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
}

pub(super) async fn intents_of(store: &Subject, record: &str) -> Vec<Intent> {
    store
        .intents_of(&Make::customers(), &RecordId::new(record))
        .await
        .expect("intents_of")
}

pub(super) async fn ids_of(store: &Subject, record: &str) -> Vec<IntentId> {
    intents_of(store, record)
        .await
        .iter()
        .map(|intent| intent.id)
        .collect()
}

/// The first intent is sent and the others are planned.
pub async fn the_first_intent_is_sent_and_the_others_are_planned(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let (first, second) = (make.update(&link), make.update(&link));
    let plan = Some((link.id, 1));
    assert_eq!(
        journal(&store, &make, &running, plan, &[&first, &second]).await,
        Ok(())
    );
    let stored = intents_of(&store, "a1").await;
    let states: Vec<_> = stored
        .iter()
        .map(|one| (one.id, one.state, one.sends, one.sent_at))
        .collect();
    assert_eq!(
        states,
        vec![
            (first.id, IntentState::Sent, 1, Some(make.now())),
            (second.id, IntentState::Planned, 0, None),
        ]
    );
}

/// A cause that came after both sides were read stops a write, one that waited before does not.
pub async fn a_cause_that_came_after_the_reading_stops_a_write(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let look = async || {
        let pair = store
            .pair(&link.sync, Side::A, &RecordId::new("a1"))
            .await
            .expect("pair");
        let revision = pair.link.expect("linked").revision;
        LinkSeen {
            id: link.id,
            revision,
            causes: Causes::Only(pair.waiting),
        }
    };
    let write = async |seen: LinkSeen| {
        let intents = vec![make.update(&link)];
        store
            .journal(running.lease, Some(seen), intents, make.now())
            .await
            .expect("journal")
    };
    let before_anything = look().await;
    assert_eq!(before_anything.causes, Causes::Only(None));
    assert_eq!(write(before_anything).await, Ok(()));

    enqueue(&store, &make, make.job("a1")).await;
    let first = look().await;
    assert_eq!(write(before_anything).await, Err(JournalError::NewerCause));
    assert_eq!(write(first).await, Ok(()));

    let other = JobKind::Reconcile {
        sync: Make::customers(),
        side: Side::B,
        record: RecordId::new("b1"),
    };
    enqueue(&store, &make, make.job_of(other)).await;
    let merged = look().await;
    assert_eq!(write(first).await, Err(JournalError::NewerCause));
    assert_eq!(write(merged).await, Ok(()));
    let regardless = LinkSeen::from((link.id, merged.revision));
    assert_eq!(write(regardless).await, Ok(()));
}

/// A record of a link is not made again once a newer cause has come: nothing is journalled, neither the create nor what
/// goes with it, and the create is free to be journalled later.
pub async fn a_cause_that_came_after_the_reading_stops_a_record_from_being_made_again(
    store: Subject,
) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    let inserted = store.insert_links(vec![link.clone()], make.now()).await;
    inserted.expect("link");
    let running = claimed(&store, &make, "a1").await;
    let seen = |causes| LinkSeen {
        id: link.id,
        revision: 1,
        causes,
    };
    let again = || Intent {
        link: Some(link.id),
        ..make.create("a1", Some("email:x@y.z"))
    };
    let write = async |seen: LinkSeen, intents: Vec<Intent>| {
        let journalled = store.journal(running.lease, Some(seen), intents, make.now());
        journalled.await.expect("journal")
    };
    enqueue(&store, &make, make.job("a1")).await;
    let nothing_waited = seen(Causes::Only(None));
    let both = vec![make.update(&link), again()];
    for intents in [vec![again()], both] {
        let answer = write(nothing_waited, intents).await;
        assert_eq!(answer, Err(JournalError::NewerCause));
        assert_eq!(ids_of(&store, "a1").await, Vec::new());
    }
    let pair = store.pair(&link.sync, Side::A, &RecordId::new("a1")).await;
    let waiting = pair.expect("pair").waiting;
    let create = again();
    let id = create.id;
    let answer = write(seen(Causes::Only(waiting)), vec![create]).await;
    assert_eq!(answer, Ok(()));
    assert_eq!(ids_of(&store, "a1").await, vec![id]);
}

/// An intent comes back as it was journalled.
pub async fn an_intent_comes_back_as_it_was_journalled(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", Some("email:x@y.z"));
    assert_eq!(
        journal(&store, &make, &running, None, &[&create]).await,
        Ok(())
    );
    let expected = Intent {
        state: IntentState::Sent,
        sends: 1,
        sent_at: Some(make.now()),
        job: Some(running.job.id),
        ..create
    };
    assert_eq!(intents_of(&store, "a1").await, vec![expected]);
}

/// A worker that lost its lease journals nothing.
pub async fn a_worker_that_lost_its_lease_journals_nothing(store: Subject) {
    let make = Make::default();
    let late = claimed(&store, &make, "a1").await;
    store.release_all(make.now()).await.expect("release");
    claim_this(&store, &make, late.job.id).await;
    let create = make.create("a1", None);
    let answer = journal(&store, &make, &late, None, &[&create]).await;
    assert_eq!(answer, Err(JournalError::LeaseLost));
    assert_eq!(ids_of(&store, "a1").await, Vec::new());
}

/// A plan for another revision is superseded.
pub async fn a_plan_for_another_revision_is_superseded(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let update = make.update(&link);
    for plan in [(link.id, 2), (make.link_id(), 1)] {
        let answer = journal(&store, &make, &running, Some(plan), &[&update]).await;
        assert_eq!(answer, Err(JournalError::Superseded));
    }
    assert_eq!(ids_of(&store, "a1").await, Vec::new());
}

/// A plan without a link is superseded once there is one.
pub async fn a_plan_without_a_link_is_superseded_once_there_is_one(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let from_b = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b1"))).await;
    let from_b = claim_this(&store, &make, from_b).await;
    store
        .insert_links(vec![make.link("a1", "b1")], make.now())
        .await
        .expect("link");
    let create = make.create("a1", None);
    let answer = journal(&store, &make, &running, None, &[&create]).await;
    assert_eq!(answer, Err(JournalError::Superseded));
    let back = Intent {
        side: Side::A,
        ..make.create("b1", None)
    };
    let answer = journal(&store, &make, &from_b, None, &[&back]).await;
    assert_eq!(answer, Err(JournalError::Superseded));
    assert_eq!(ids_of(&store, "a1").await, Vec::new());
}

/// Two open creates never share a key.
pub async fn two_open_creates_never_share_a_key(store: Subject) {
    let make = Make::default();
    let (one, other) = (
        claimed(&store, &make, "a1").await,
        claimed(&store, &make, "a2").await,
    );
    let first = make.create("a1", Some("email:x@y.z"));
    let second = make.create("a2", Some("email:x@y.z"));
    assert_eq!(journal(&store, &make, &one, None, &[&first]).await, Ok(()));
    let answer = journal(&store, &make, &other, None, &[&second]).await;
    assert_eq!(answer, Err(JournalError::KeyBusy));
    assert_eq!(ids_of(&store, "a2").await, Vec::new());
    let without_key = make.create("a2", None);
    assert_eq!(
        journal(&store, &make, &other, None, &[&without_key]).await,
        Ok(())
    );
}

/// A settled create frees its key.
pub async fn a_settled_create_frees_its_key(store: Subject) {
    let make = Make::default();
    for (number, state) in [IntentState::Confirmed, IntentState::Failed]
        .into_iter()
        .enumerate()
    {
        let record = format!("a{number}");
        let running = claimed(&store, &make, &record).await;
        let create = make.create(&record, Some("email:x@y.z"));
        assert_eq!(
            journal(&store, &make, &running, None, &[&create]).await,
            Ok(())
        );
        settle(&store, &make, &running, create.id, state).await;
        assert_eq!(intents_of(&store, &record).await[0].state, state);
    }
    let running = claimed(&store, &make, "last").await;
    let create = make.create("last", Some("email:x@y.z"));
    assert_eq!(
        journal(&store, &make, &running, None, &[&create]).await,
        Ok(())
    );
    settle(&store, &make, &running, create.id, IntentState::Unknown).await;
    let next = claimed(&store, &make, "next").await;
    let create = make.create("next", Some("email:x@y.z"));
    let answer = journal(&store, &make, &next, None, &[&create]).await;
    assert_eq!(answer, Err(JournalError::KeyBusy));
}

/// The same key on another side or sync is free.
pub async fn the_same_key_on_another_side_or_sync_is_free(store: Subject) {
    let make = Make::default();
    let key = Some("email:x@y.z");
    let on_b = make.create("a1", key);
    let on_a = Intent {
        side: Side::A,
        ..make.create("b9", key)
    };
    let elsewhere = Intent {
        sync: Make::sync("invoices"),
        ..make.create("a1", key)
    };
    for (record, intent) in [("a1", on_b), ("a2", on_a), ("a3", elsewhere)] {
        let running = claimed(&store, &make, record).await;
        assert_eq!(
            journal(&store, &make, &running, None, &[&intent]).await,
            Ok(()),
            "{record}"
        );
    }
}

/// A second open create of one source is superseded.
pub async fn a_second_open_create_of_one_source_is_superseded(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let first = make.create("a1", Some("email:x@y.z"));
    assert_eq!(
        journal(&store, &make, &running, None, &[&first]).await,
        Ok(())
    );
    for key in [Some("email:x@y.z"), Some("email:other@y.z"), None] {
        let second = make.create("a1", key);
        let answer = journal(&store, &make, &running, None, &[&second]).await;
        assert_eq!(answer, Err(JournalError::Superseded));
    }
    assert_eq!(ids_of(&store, "a1").await, vec![first.id]);
}

/// Journalling the same intent again changes nothing.
pub async fn journalling_the_same_intent_again_changes_nothing(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", Some("email:x@y.z"));
    assert_eq!(
        journal(&store, &make, &running, None, &[&create]).await,
        Ok(())
    );
    let before = intents_of(&store, "a1").await;
    make.clock.advance(Duration::from_secs(5));
    assert_eq!(
        journal(&store, &make, &running, None, &[&create]).await,
        Ok(())
    );
    assert_eq!(intents_of(&store, "a1").await, before);
}

/// Two workers racing for one key give one intent.
pub async fn two_workers_racing_for_one_key_give_one_intent(store: Subject) {
    const WORKERS: usize = 16;
    let make = Arc::new(Make::default());
    let mut racing = Vec::new();
    for number in 0..WORKERS {
        let record = format!("a{number}");
        let running = claimed(&store, &make, &record).await;
        let (store, make) = (Arc::clone(&store), Arc::clone(&make));
        racing.push(tokio::spawn(async move {
            let create = make.create(&record, Some("email:x@y.z"));
            journal(&store, &make, &running, None, &[&create]).await
        }));
    }
    let mut answers = Vec::new();
    for racer in racing {
        answers.push(racer.await.expect("a racer does not panic"));
    }
    let busy = answers
        .iter()
        .filter(|answer| **answer == Err(JournalError::KeyBusy))
        .count();
    assert_eq!(
        (answers.iter().filter(|answer| answer.is_ok()).count(), busy),
        (1, WORKERS - 1)
    );
}
