//! The count behind the delete brake.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{LinkId, Side};

use super::Subject;
use crate::Make;

const WINDOW: Duration = Duration::from_secs(3_600);

async fn admits(store: &Subject, make: &Make, sync: &str, link: LinkId, limit: u64) -> bool {
    let now = make.now();
    store
        .admit_delete(&Make::sync(sync), link, limit, now.minus(WINDOW), now)
        .await
        .expect("the storage answers")
}

/// No more deletes pass than the limit, until the time is over; each sync has its own.
pub async fn no_more_deletes_pass_than_the_limit_until_the_time_is_over(store: Subject) {
    let make = Make::default();
    for admitted in [true, true, false, false] {
        assert_eq!(
            admits(&store, &make, "customers", make.link_id(), 2).await,
            admitted
        );
    }
    assert!(admits(&store, &make, "invoices", make.link_id(), 2).await);
    assert!(
        admits(&store, &make, "customers", make.link_id(), 3).await,
        "the limit rose"
    );
    make.clock.advance(WINDOW + Duration::from_secs(1));
    assert!(admits(&store, &make, "customers", make.link_id(), 1).await);
    assert!(!admits(&store, &make, "customers", make.link_id(), 1).await);
}

/// A delete that was let pass may be tried again, and counts once.
pub async fn a_delete_that_was_let_pass_may_be_tried_again(store: Subject) {
    let make = Make::default();
    let link = make.link_id();
    for _ in 0..3 {
        assert!(admits(&store, &make, "customers", link, 2).await);
    }
    assert!(admits(&store, &make, "customers", make.link_id(), 2).await);
    assert!(admits(&store, &make, "customers", link, 2).await);
    assert!(!admits(&store, &make, "customers", make.link_id(), 2).await);
}

/// Of many deletes at once no more pass than the limit.
pub async fn of_many_deletes_at_once_no_more_pass_than_the_limit(store: Subject) {
    let make = Arc::new(Make::default());
    let asking: Vec<_> = (0..24)
        .map(|_| {
            let (store, make, link) = (Arc::clone(&store), Arc::clone(&make), make.link_id());
            tokio::spawn(async move { admits(&store, &make, "customers", link, 5).await })
        })
        .collect();
    let mut admitted = 0;
    for asked in asking {
        admitted += usize::from(asked.await.expect("it does not panic"));
    }
    assert_eq!(admitted, 5);
}

/// Records that lose a field are counted once each, by sync, side and field, until the time is over.
pub async fn records_that_lose_a_field_are_counted_until_the_time_is_over(store: Subject) {
    let make = Make::default();
    let count = async |sync: &str, side: Side, field: &str, link: LinkId| {
        let (sync, now) = (Make::sync(sync), make.now());
        let counted = store.count_emptied(&sync, (side, field), link, 3, now.minus(WINDOW), now);
        counted.await.expect("the storage answers")
    };
    let first = make.link_id();
    assert_eq!(count("customers", Side::A, "note", first).await, 1);
    assert_eq!(
        count("customers", Side::A, "note", first).await,
        1,
        "the same again"
    );
    assert_eq!(count("customers", Side::A, "note", make.link_id()).await, 2);
    for expected in [3, 3, 3] {
        let counted = count("customers", Side::A, "note", make.link_id()).await;
        assert_eq!(counted, expected, "no more than the limit");
    }
    assert_eq!(count("customers", Side::A, "note", first).await, 3);
    assert_eq!(count("customers", Side::B, "note", first).await, 1);
    assert_eq!(count("customers", Side::A, "city", first).await, 1);
    assert_eq!(count("invoices", Side::A, "note", first).await, 1);
    let long = "x".repeat(10_000);
    assert_eq!(count("customers", Side::A, &long, first).await, 1);
    assert!(
        admits(&store, &make, "customers", first, 1).await,
        "deletes are counted apart"
    );
    make.clock.advance(WINDOW + Duration::from_secs(1));
    assert_eq!(count("customers", Side::A, "note", make.link_id()).await, 1);
}
