//! A table that somebody else holds: whoever needs it is told so, and does not wait for ever.

use tandem_store::StoreError;

use crate::Two;

#[tokio::test]
async fn who_needs_a_table_that_is_locked_is_told_that_after_some_seconds() {
    let two = Two::open().await;
    let holder = two.hold("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE").await;
    let refused = two.one.next_due().await.expect_err("it is locked");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    let told = refused.to_string();
    for part in [
        "the database is locked: `next_due` has waited 5 s",
        "pg_blocking_pids",
        "pg_terminate_backend",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    drop(holder);
    two.one.next_due().await.expect("it is free again");
}
