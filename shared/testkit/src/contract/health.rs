//! What is known of each connection.

use std::time::Duration;

use tandem_domain::{ConnectionName, MeasuredOffset, Timestamp};
use tandem_store::{ClockNote, ConnectionHealth, ConnectionState, HeldUp, Refused};

use super::Subject;
use crate::Make;

fn crm() -> ConnectionName {
    "crm".parse().expect("a name")
}

async fn note(store: &Subject, make: &Make, state: ConnectionState, reason: &str) -> bool {
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    store
        .note_health(&crm(), state, reason, "worker-1", make.now())
        .await
        .expect("note_health")
}

async fn known(store: &Subject) -> Vec<ConnectionHealth> {
    store.health().await.expect("health")
}

/// A change of a connection's state is noted once, with its time.
pub async fn a_change_of_a_connections_state_is_noted_once_with_its_time(store: Subject) {
    let make = Make::default();
    assert_eq!(known(&store).await, Vec::new());
    assert!(
        note(
            &store,
            &make,
            ConnectionState::Unreachable,
            "connection refused"
        )
        .await
    );
    let since = make.now();
    make.clock.advance(Duration::from_secs(5));
    assert!(!note(&store, &make, ConnectionState::Unreachable, "timed out").await);
    let expected = ConnectionHealth {
        connection: crm(),
        state: ConnectionState::Unreachable,
        reason: Some("connection refused".to_owned()),
        since,
        seen_at: Some(make.now()),
        seen_by: Some("worker-1".to_owned()),
        held_up: None,
        clock: None,
        clock_offset: None,
        badly_signed: 0,
        badly_signed_from: None,
        badly_signed_at: None,
        rightly_signed_at: None,
    };
    assert_eq!(known(&store).await, vec![expected]);
    assert!(note(&store, &make, ConnectionState::Up, "").await);
    assert!(!note(&store, &make, ConnectionState::Up, "").await);
    let found = known(&store).await.remove(0);
    assert_eq!(
        (found.state, found.reason, found.since),
        (ConnectionState::Up, None, make.now())
    );
}

/// A look at a connection is noted with its time and the process, also when nothing has changed.
pub async fn a_look_at_a_connection_is_noted_also_when_nothing_has_changed(store: Subject) {
    let make = Make::default();
    let look = async |process: &str| {
        let noted = store
            .note_health(&crm(), ConnectionState::Up, None, process, make.now())
            .await;
        let is_new = noted.expect("note_health");
        let found = known(&store).await.remove(0);
        assert_eq!(
            (found.seen_at, found.seen_by),
            (Some(make.now()), Some(process.to_owned()))
        );
        (is_new, found.since)
    };
    let began = make.now();
    assert_eq!(look("worker-1").await, (true, began));
    make.clock.advance(Duration::from_secs(60));
    assert_eq!(look("worker-2").await, (false, began));
}

/// What holds a connection up is noted until the same process says that it is over, whatever was known before.
pub async fn what_holds_a_connection_up_is_noted_until_the_same_process_says_that_it_is_over(
    store: Subject,
) {
    let make = Make::default();
    let told = |process: &str, until: Option<u64>, since: Option<u64>| HeldUp {
        asked_until: until.map(|secs| make.now().plus(Duration::from_secs(secs))),
        unanswered_since: since.map(|_| make.now()),
        told_by: process.to_owned(),
        told_at: make.now(),
    };
    let note_held = async |held_up: HeldUp| {
        let noted = store.note_held_up(&crm(), held_up).await;
        noted.expect("note_held_up");
        known(&store).await.pop().and_then(|found| found.held_up)
    };
    assert_eq!(note_held(told("worker-1", None, None)).await, None);
    let asked = told("worker-1", Some(300), None);
    assert_eq!(note_held(asked.clone()).await, Some(asked.clone()));
    assert_eq!(known(&store).await[0].state, ConnectionState::Unknown);
    assert!(note(&store, &make, ConnectionState::Up, "").await);
    assert_eq!(note_held(told("worker-2", None, None)).await, Some(asked));
    let hanging = told("worker-2", None, Some(1));
    assert_eq!(note_held(hanging.clone()).await, Some(hanging.clone()));
    assert_eq!(note_held(told("worker-1", None, None)).await, Some(hanging));
    assert_eq!(note_held(told("worker-2", None, None)).await, None);
    assert_eq!(known(&store).await[0].state, ConnectionState::Up);
}

/// A doubt about a clock is noted until the same process says that it is over, whatever was known before.
pub async fn a_doubt_about_a_clock_is_noted_until_the_same_process_says_that_it_is_over(
    store: Subject,
) {
    let make = Make::default();
    let told = |process: &str, doubt: Option<&str>| ClockNote {
        doubt: doubt.map(ToOwned::to_owned),
        is_wrong: true,
        told_by: process.to_owned(),
        told_at: make.now(),
    };
    let note_clock = async |clock: ClockNote| {
        let noted = store.note_clock(&crm(), clock).await;
        noted.expect("note_clock");
        known(&store).await.pop().and_then(|found| found.clock)
    };
    assert_eq!(note_clock(told("worker-1", None)).await, None);
    let jumps = told("worker-1", Some("it jumps"));
    assert_eq!(note_clock(jumps.clone()).await, Some(jumps.clone()));
    assert_eq!(known(&store).await[0].state, ConnectionState::Unknown);
    assert!(note(&store, &make, ConnectionState::Up, "").await);
    assert_eq!(note_clock(told("worker-2", None)).await, Some(jumps));
    make.clock.advance(Duration::from_secs(60));
    let again = told("worker-1", Some("it is years ahead"));
    assert_eq!(note_clock(again.clone()).await, Some(again));
    assert_eq!(note_clock(told("worker-1", None)).await, None);
    assert_eq!(known(&store).await[0].state, ConnectionState::Up);
}

/// How far a clock is off is kept as it was told last, beside the state and a doubt.
pub async fn how_far_a_clock_is_off_is_kept_as_it_was_told_last_whatever_is_doubted(
    store: Subject,
) {
    let make = Make::default();
    let keep = async |micros: i64| {
        let at = make.now();
        let offset = MeasuredOffset { micros, at };
        let kept = store.keep_clock_offset(&crm(), offset).await;
        kept.expect("keep_clock_offset");
        let found = known(&store).await.remove(0);
        assert_eq!(found.clock_offset, Some(offset));
        found
    };
    assert_eq!(keep(-95_000_000).await.state, ConnectionState::Unknown);
    assert!(note(&store, &make, ConnectionState::Up, "").await);
    make.clock.advance(Duration::from_secs(600));
    assert_eq!(keep(i64::MAX).await.state, ConnectionState::Up);
    let jumps = ClockNote {
        doubt: Some("it jumps".to_owned()),
        is_wrong: true,
        told_by: "worker-1".to_owned(),
        told_at: make.now(),
    };
    let noted = store.note_clock(&crm(), jumps.clone()).await;
    noted.expect("note_clock");
    let found = keep(140_250_000).await;
    assert_eq!(
        (found.clock, found.state),
        (Some(jumps), ConnectionState::Up)
    );
}

/// Badly signed webhooks are noted beside the state, whatever was known before.
pub async fn badly_signed_webhooks_are_noted_beside_the_state(store: Subject) {
    let make = Make::default();
    let start = make.now();
    let secs = |secs| start.plus(Duration::from_secs(secs));
    let note_signed = async |count: u32, at: Timestamp| {
        let refused = Refused {
            count,
            first_at: at,
            last_at: at,
        };
        let anew = at.minus(Duration::from_secs(100));
        let noted = store.note_badly_signed(&crm(), refused, anew).await;
        noted.expect("note_badly_signed");
        let found = known(&store).await.remove(0);
        assert_eq!(found.badly_signed_at, Some(at));
        (found.badly_signed, found.badly_signed_from)
    };
    let right = async |at: Timestamp| {
        let noted = store.note_rightly_signed(&crm(), at).await;
        noted.expect("note_rightly_signed");
        let found = known(&store).await;
        found.first().and_then(|found| found.rightly_signed_at)
    };
    assert_eq!(right(secs(1)).await, None, "nothing is known of it");
    assert_eq!(note_signed(3, secs(10)).await, (3, Some(secs(10))));
    assert_eq!(known(&store).await[0].state, ConnectionState::Unknown);
    assert!(note(&store, &make, ConnectionState::Up, "").await);
    assert_eq!(right(secs(20)).await, Some(secs(20)));
    assert_eq!(right(secs(15)).await, Some(secs(20)), "the latest stays");
    assert_eq!(note_signed(2, secs(110)).await, (5, Some(secs(10))));
    assert!(note(&store, &make, ConnectionState::Unauthorized, "401").await);
    assert_eq!(
        note_signed(1, secs(211)).await,
        (1, Some(secs(211))),
        "anew"
    );
    let found = known(&store).await.remove(0);
    assert_eq!(found.state, ConnectionState::Unauthorized);
    assert_eq!(found.rightly_signed_at, Some(secs(20)));
}
