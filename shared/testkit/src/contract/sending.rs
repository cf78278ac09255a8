//! Journalled intents: sending them, and finding those that are left open.

use std::time::Duration;

use tandem_domain::{IntentId, RecordId, Side, Timestamp};
use tandem_store::{Intent, IntentState};

use super::journal::{ids_of, intents_of, journal, settle};
use super::{Subject, claim_this, claimed, done, finish};
use crate::Make;

/// An open create of an earlier job is seen by the next.
pub async fn an_open_create_of_an_earlier_job_is_seen_by_the_next(store: Subject) {
    let make = Make::default();
    let crashed = claimed(&store, &make, "a1").await;
    let create = make.create("a1", Some("email:x@y.z"));
    assert_eq!(
        journal(&store, &make, &crashed, None, &[&create]).await,
        Ok(())
    );
    store.release_all(make.now()).await.expect("release");
    let pair = store
        .pair(&Make::customers(), Side::A, &RecordId::new("a1"))
        .await
        .expect("pair");
    assert_eq!(pair.intents.len(), 1);
    assert_eq!(
        (pair.intents[0].id, pair.intents[0].state),
        (create.id, IntentState::Sent)
    );
    let other = store
        .pair(&Make::customers(), Side::B, &RecordId::new("a1"))
        .await
        .expect("pair");
    assert_eq!(other.intents, Vec::new());
    let next = claim_this(&store, &make, crashed.job.id).await;
    settle(&store, &make, &next, create.id, IntentState::Confirmed).await;
    let pair = store
        .pair(&Make::customers(), Side::A, &RecordId::new("a1"))
        .await
        .expect("pair");
    assert_eq!(pair.intents, Vec::new());
}

/// Marking as sent counts the send.
pub async fn marking_as_sent_counts_the_send(store: Subject) {
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
    settle(&store, &make, &running, first.id, IntentState::Unknown).await;
    make.clock.advance(Duration::from_secs(3));
    for intent in [first.id, second.id] {
        assert!(
            store
                .mark_sent(running.lease, intent, make.now())
                .await
                .expect("mark_sent")
        );
    }
    let stored = intents_of(&store, "a1").await;
    let sends: Vec<_> = stored
        .iter()
        .map(|one| (one.state, one.sends, one.sent_at))
        .collect();
    let now = Some(make.now());
    assert_eq!(
        sends,
        vec![(IntentState::Sent, 2, now), (IntentState::Sent, 1, now)]
    );
}

/// A worker that lost its lease must not send.
pub async fn a_worker_that_lost_its_lease_must_not_send(store: Subject) {
    let make = Make::default();
    let late = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    assert_eq!(
        journal(&store, &make, &late, None, &[&create]).await,
        Ok(())
    );
    store.release_all(make.now()).await.expect("release");
    let next = claim_this(&store, &make, late.job.id).await;
    assert!(
        !store
            .mark_sent(late.lease, create.id, make.now())
            .await
            .expect("mark_sent")
    );
    assert_eq!(intents_of(&store, "a1").await[0].sends, 1);
    assert!(
        store
            .mark_sent(next.lease, create.id, make.now())
            .await
            .expect("mark_sent")
    );
}

/// A settled intent is not sent again.
pub async fn a_settled_intent_is_not_sent_again(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    assert_eq!(
        journal(&store, &make, &running, None, &[&create]).await,
        Ok(())
    );
    settle(&store, &make, &running, create.id, IntentState::Confirmed).await;
    assert!(
        !store
            .mark_sent(running.lease, create.id, make.now())
            .await
            .expect("mark_sent")
    );
    let unknown = make.intent_id();
    assert!(
        !store
            .mark_sent(running.lease, unknown, make.now())
            .await
            .expect("mark_sent")
    );
}

/// Open creates are found by key, and without key.
pub async fn open_creates_are_found_by_key_and_without_key(store: Subject) {
    let make = Make::default();
    let creates = [
        ("a1", Some("k1")),
        ("a2", Some("k2")),
        ("a3", None),
        ("a4", Some("k1-closed")),
    ];
    let mut ids = Vec::new();
    for (record, key) in creates {
        let running = claimed(&store, &make, record).await;
        let create = make.create(record, key);
        ids.push(create.id);
        assert_eq!(
            journal(&store, &make, &running, None, &[&create]).await,
            Ok(())
        );
        if key == Some("k1-closed") {
            settle(&store, &make, &running, create.id, IntentState::Failed).await;
        }
        finish(&store, &make, &running, done("echo")).await;
    }
    let keys = ["k1".to_owned(), "k1-closed".to_owned(), "k9".to_owned()];
    let found = store
        .open_creates(&Make::customers(), Side::B, &keys)
        .await
        .expect("open_creates");
    let found: Vec<_> = found.iter().map(|intent| intent.id).collect();
    assert_eq!(found, vec![ids[0], ids[2]]);
    let none = store
        .open_creates(&Make::customers(), Side::A, &keys)
        .await
        .expect("open_creates");
    assert_eq!(none, Vec::new());
}

/// Intents of a record are found by source, target and link.
pub async fn intents_of_a_record_are_found_by_source_target_and_link(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let update = make.update(&link);
    let back = Intent {
        side: Side::A,
        source: None,
        target: None,
        ..make.update(&link)
    };
    let plan = Some((link.id, 1));
    assert_eq!(
        journal(&store, &make, &running, plan, &[&update, &back]).await,
        Ok(())
    );
    let other = claimed(&store, &make, "a2").await;
    let create = make.create("a2", None);
    assert_eq!(
        journal(&store, &make, &other, None, &[&create]).await,
        Ok(())
    );
    assert_eq!(ids_of(&store, "a1").await, vec![update.id, back.id]);
    assert_eq!(ids_of(&store, "b1").await, vec![update.id, back.id]);
    assert_eq!(ids_of(&store, "a2").await, vec![create.id]);
    assert_eq!(ids_of(&store, "a3").await, Vec::new());
}

/// Writes that may have had an effect are found, the newest of them, since an instant.
pub async fn the_writes_of_a_pair_are_found_by_their_time(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let mut ids = Vec::new();
    for state in [
        IntentState::Confirmed,
        IntentState::Failed,
        IntentState::Unknown,
        IntentState::Confirmed,
    ] {
        make.clock.advance(Duration::from_secs(1));
        let update = make.update(&link);
        let plan = Some((link.id, 1));
        let journalled = journal(&store, &make, &running, plan, &[&update]).await;
        assert_eq!(journalled, Ok(()));
        settle(&store, &make, &running, update.id, state).await;
        ids.push((update.id, make.now()));
    }
    let found = async |since: Timestamp, limit: usize| -> Vec<IntentId> {
        let found = store.writes_of(link.id, since, limit).await;
        let found = found.expect("writes_of");
        found.iter().map(|intent| intent.id).collect()
    };
    let [first, _, third, fourth] = [ids[0], ids[1], ids[2], ids[3]];
    assert_eq!(found(first.1, 9).await, [first.0, third.0, fourth.0]);
    assert_eq!(found(third.1, 9).await, [third.0, fourth.0]);
    assert_eq!(found(first.1, 1).await, [fourth.0]);
    let other = make.link("a2", "b2");
    let none = store.writes_of(other.id, first.1, 9).await;
    assert_eq!(none.expect("writes_of"), Vec::new());
}

/// One entry of the journal is found by its id.
pub async fn one_entry_of_the_journal_is_found_by_its_id(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let (create, other) = (make.create("a1", Some("email=x")), make.create("a2", None));
    let journalled = journal(&store, &make, &running, None, &[&create]).await;
    assert_eq!(journalled, Ok(()));
    let found = store.intent(create.id).await.expect("intent");
    let found = found.expect("it is there");
    assert_eq!((found.id, found.source), (create.id, create.source));
    assert_eq!(store.intent(other.id).await.expect("intent"), None);
}

/// Creates that made a record are counted: those of the same source, and those of another with the same key.
pub async fn creates_that_made_a_record_are_counted_by_source_and_by_key(store: Subject) {
    let make = Make::default();
    let began = make.now();
    for (source, key, state) in [
        ("a1", Some("email=x"), IntentState::Confirmed),
        ("a1", Some("email=x"), IntentState::Failed),
        ("a1", Some("email=y"), IntentState::Confirmed),
        ("a2", Some("email=x"), IntentState::Confirmed),
        ("a3", None, IntentState::Confirmed),
    ] {
        make.clock.advance(Duration::from_secs(1));
        let running = claimed(&store, &make, source).await;
        let create = make.create(source, key);
        let journalled = journal(&store, &make, &running, None, &[&create]).await;
        assert_eq!(journalled, Ok(()));
        settle(&store, &make, &running, create.id, state).await;
        assert!(finish(&store, &make, &running, done("made")).await);
    }
    let count = async |source: &str, key: Option<&str>, since: Timestamp| {
        let (sync, source) = (Make::customers(), RecordId::new(source));
        let counted = store.creates_of(&sync, Side::B, &source, key, since);
        counted.await.expect("creates_of")
    };
    assert_eq!(count("a1", Some("email=x"), began).await, 3);
    assert_eq!(count("a9", Some("email=x"), began).await, 2);
    assert_eq!(count("a3", None, began).await, 1);
    assert_eq!(count("a9", None, began).await, 0);
    assert_eq!(count("a1", Some("email=x"), make.now()).await, 0);
}

/// Old open intents are found.
pub async fn old_open_intents_are_found(store: Subject) {
    let make = Make::default();
    let mut ids = Vec::new();
    for record in ["a1", "a2", "a3"] {
        let running = claimed(&store, &make, record).await;
        let create = make.create(record, None);
        assert_eq!(
            journal(&store, &make, &running, None, &[&create]).await,
            Ok(())
        );
        if record == "a1" {
            settle(&store, &make, &running, create.id, IntentState::Confirmed).await;
        }
        ids.push(create.id);
        make.clock.advance(Duration::from_secs(10));
    }
    let stale = async |before, after, limit| -> Vec<(tandem_domain::Timestamp, IntentId)> {
        let stale = store
            .stale_intents(before, after, limit)
            .await
            .expect("stale_intents");
        let place = |intent: tandem_store::Intent| (intent.created_at, intent.id);
        stale.into_iter().map(place).collect()
    };
    let both = stale(make.now(), None, 9).await;
    assert_eq!((both[0].1, both[1].1, both.len()), (ids[1], ids[2], 2));
    let first = stale(make.now(), None, 1).await;
    assert_eq!(first, both[..1]);
    let next = stale(make.now(), first.last().copied(), 1).await;
    assert_eq!(next, both[1..]);
    assert_eq!(stale(make.now(), next.last().copied(), 1).await, []);
    let earlier = make.now().minus(Duration::from_secs(10));
    assert_eq!(stale(earlier, None, 9).await, both[..1]);
}
