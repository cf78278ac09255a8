//! Roles that one process has at a time.

use std::sync::Arc;
use std::time::Duration;

use super::Subject;
use crate::Make;

const TERM: Duration = Duration::from_secs(10);

async fn holds(store: &Subject, make: &Make, holder: &str) -> bool {
    let now = make.now();
    store
        .hold_role("scheduler", holder, now.plus(TERM), now)
        .await
        .expect("the storage answers")
}

/// A role has one holder at a time, who keeps it by asking again.
pub async fn a_role_has_one_holder_who_keeps_it_by_asking_again(store: Subject) {
    let make = Make::default();
    for _ in 0..3 {
        assert!(holds(&store, &make, "first").await);
        assert!(!holds(&store, &make, "second").await);
        make.clock.advance(TERM / 2);
    }
}

/// A role whose time is over goes to whoever asks.
pub async fn a_role_whose_time_is_over_goes_to_whoever_asks(store: Subject) {
    let make = Make::default();
    assert!(holds(&store, &make, "first").await);
    make.clock.advance(TERM);
    assert!(holds(&store, &make, "second").await);
    assert!(!holds(&store, &make, "first").await);
}

/// A role that its holder gives up is free at once; nobody else can give it up.
pub async fn only_its_holder_gives_a_role_up(store: Subject) {
    let make = Make::default();
    assert!(holds(&store, &make, "first").await);
    for (holder, free) in [("second", false), ("first", true)] {
        store
            .give_up_role("scheduler", holder)
            .await
            .expect("the storage answers");
        assert_eq!(holds(&store, &make, "second").await, free);
    }
}

/// Of many who ask at once one gets the role.
pub async fn of_many_who_ask_at_once_one_gets_the_role(store: Subject) {
    let make = Arc::new(Make::default());
    let asking = (0..16).map(|number| {
        let (store, make) = (Arc::clone(&store), Arc::clone(&make));
        tokio::spawn(async move { holds(&store, &make, &format!("process {number}")).await })
    });
    let mut holders = 0;
    for asked in asking.collect::<Vec<_>>() {
        holders += usize::from(asked.await.expect("it does not panic"));
    }
    assert_eq!(holders, 1);
}

/// A holder whose clock was ahead does not keep a role until the time that was wrong.
pub async fn a_role_that_is_held_far_too_long_goes_to_whoever_asks(store: Subject) {
    let make = Make::default();
    let now = make.now();
    let day = std::time::Duration::from_secs(86_400);
    make.clock.advance(day);
    assert!(holds(&store, &make, "ahead").await);
    make.clock.set(now.plus(day - TERM * 6));
    assert!(!holds(&store, &make, "second").await);
    make.clock.set(now);
    assert!(holds(&store, &make, "second").await);
}
