//! Links and the index.

use std::sync::Arc;

use sqlx::Connection as _;
use tandem_domain::Side;
use tandem_store::{ChangeFilter, JournalError, LinkStanding, NewLink, Store};
use tandem_testkit::Make;

use super::{ROUNDS, Two, confirm, insert_link, race, update};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_confirmations_of_one_revision_one_is_superseded() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let link = two.make.link(&format!("a{round}"), &format!("b{round}"));
        two.insert(&link).await;
        let (here, there) = (
            two.claimed(Side::A, &format!("x{round}")).await,
            two.claimed(Side::A, &format!("y{round}")).await,
        );
        let (one, other) = race(
            round,
            confirm(
                two.one.clone(),
                two.make.clone(),
                here,
                update(&link, &two.make),
            ),
            confirm(
                two.other.clone(),
                two.make.clone(),
                there,
                update(&link, &two.make),
            ),
        )
        .await;
        let answers = [one, other];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::Superseded)),
            "round {round}: {answers:?}"
        );
        let stored = two.one.link(link.id).await.expect("link");
        assert_eq!(stored.map(|link| link.revision), Some(2));
    }
    let all = ChangeFilter {
        limit: 2 * ROUNDS,
        ..ChangeFilter::default()
    };
    assert_eq!(two.one.changes(&all).await.expect("changes").len(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_moved_and_a_new_link_to_one_record_exactly_one_wins() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let link = two.make.link(&format!("a{round}"), &format!("gone{round}"));
        two.insert(&link).await;
        let running = two.claimed(Side::A, &format!("x{round}")).await;
        let b = format!("b{round}");
        let moved = NewLink {
            b: Make::side(&b, "sum"),
            ..link
        };
        let rival = two.make.link(&format!("rival{round}"), &b);
        let (one, other) = race(
            round,
            confirm(
                two.one.clone(),
                two.make.clone(),
                running,
                update(&moved, &two.make),
            ),
            insert_link(two.other.clone(), two.make.clone(), rival.clone()),
        )
        .await;
        let winner = if one.is_ok() { moved.id } else { rival.id };
        assert_ne!(one, other, "round {round}");
        assert!(one.is_ok() || other.is_ok(), "round {round}");
        assert_eq!(two.linked(Side::B, &b).await, Some(winner));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_seen_twice_at_once_is_found_by_the_keys_that_it_has() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        // In turn the record is new, and known.
        let record = format!("a{}", round / 2);
        let keys = [format!("one{round}"), format!("other{round}")];
        let see = |store: &Arc<dyn Store>, key: &str| {
            let (store, now) = (store.clone(), two.make.now());
            let seen = vec![Make::seen(&record, "sum", &["both", key])];
            async move {
                store
                    .index_records(&Make::customers(), Side::A, seen, Vec::new(), 1, now)
                    .await
                    .expect("index_records")
                    .len()
            }
        };
        race(round, see(&two.one, &keys[0]), see(&two.other, &keys[1])).await;
        let found = two
            .one
            .records_by_keys(&Make::customers(), Side::A, &keys)
            .await
            .expect("records_by_keys");
        assert_eq!(found.len(), 1, "round {round}");
        let mut finding = Vec::new();
        for key in keys {
            let by_key = two
                .one
                .records_by_keys(&Make::customers(), Side::A, std::slice::from_ref(&key))
                .await
                .expect("records_by_keys");
            if !by_key.is_empty() {
                finding.push(key);
            }
        }
        assert_eq!(found[0].keys[1..], finding, "round {round}");
    }
}

/// The first changes the keys, the second does not: but it must not judge by what it saw before it waited
/// for the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_waited_for_another_compares_with_what_that_stored() {
    let two = Two::open().await;
    let see = |store: &Arc<dyn Store>, key: &str| {
        let (store, now) = (store.clone(), two.make.now());
        let seen = vec![Make::seen("a1", "sum", &[key])];
        async move {
            store
                .index_records(&Make::customers(), Side::A, seen, Vec::new(), 1, now)
                .await
                .expect("index_records")
        }
    };
    see(&two.one, "k1").await;
    let holder = two.hold("SELECT id FROM records FOR UPDATE").await;
    let changing = tokio::spawn(see(&two.one, "k2"));
    two.wait_for_waiting(1, || changing.is_finished()).await;
    let keeping = tokio::spawn(see(&two.other, "k1"));
    two.wait_for_waiting(2, || keeping.is_finished()).await;
    holder.close().await.expect("the connection can be closed");
    changing.await.expect("no panic");
    keeping.await.expect("no panic");

    for (key, expected) in [("k1", 1), ("k2", 0)] {
        let keys = [key.to_owned()];
        let found = two
            .one
            .records_by_keys(&Make::customers(), Side::A, &keys)
            .await;
        assert_eq!(found.expect("records").len(), expected, "{key}");
    }
}

#[tokio::test]
async fn a_link_whose_memory_an_older_worker_wrote_is_not_taken_for_filtered_by_its_column() {
    let two = Two::open().await;
    let link = two.make.link("a1", "b1");
    two.insert(&link).await;
    // It let the pair go on, and knew nothing of the column.
    let left = sqlx::query("UPDATE links SET filtered = true");
    let left = left.execute(&mut two.connection().await).await;
    left.expect("it is written");
    let standing = async |standing| {
        let found = two.one.links_standing(&link.sync, standing, None, 9).await;
        found.expect("links_standing").len()
    };
    assert_eq!(standing(LinkStanding::Filtered).await, 0);
    assert_eq!(standing(LinkStanding::Active).await, 1);
}
