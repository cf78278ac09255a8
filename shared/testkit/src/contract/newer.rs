//! Rows that a newer version wrote. In a rolling upgrade an older process reads them: what it does not know it keeps as
//! it is, shows as it is, or leaves to the newer one, and goes on with everything else.

use std::time::Duration;

use tandem_domain::ErrorCode;
use tandem_store::{ConflictFilter, JobFilter, JobOutcome, Waiting};

use super::conflicts::open;
use super::{Subject, claim, enqueue, finish, job};
use crate::Make;

/// Words that no version knows stop neither the claim nor a list. `run` runs a statement beside the storage.
///
/// # Panics
/// When they do.
pub async fn words_of_a_newer_version_stop_nothing(store: Subject, run: impl AsyncFn(String)) {
    let make = Make::default();
    let mut ids = Vec::new();
    for record in ["a1", "a2", "a3", "a4", "a5"] {
        ids.push(enqueue(&store, &make, make.job(record)).await);
    }
    let words = [
        "waits_for = 'blue_moon', waits = 1",
        "kind = 'repaint'",
        "cause = 'comet'",
        "failure_code = 'moonstruck', failure_chain = '[\"it was full\"]'",
    ];
    for (id, words) in ids.iter().zip(words) {
        run(format!("UPDATE jobs SET {words} WHERE id = '{id}'")).await;
    }

    let all_jobs = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    let mut listed = Vec::new();
    for shown in store.jobs(&all_jobs).await.expect("jobs") {
        listed.push(shown.id);
    }
    assert!(
        listed.contains(&ids[0]) && listed.contains(&ids[4]),
        "the others are shown"
    );
    assert!(!listed.contains(&ids[1]), "what it is nobody here knows");
    let mut in_pages = Vec::new();
    loop {
        let page = JobFilter {
            limit: 1,
            before: in_pages.last().copied(),
            ..JobFilter::default()
        };
        match store.jobs(&page).await.expect("jobs").as_slice() {
            [one] => in_pages.push(one.id),
            _ => break,
        }
    }
    assert_eq!(in_pages, listed, "a row that is left out ends no list");
    let waits = job(&store, ids[0]).await;
    assert_eq!(waits.waits_for_newer.as_deref(), Some("blue_moon"));
    let failed = job(&store, ids[3]).await.failure.expect("it failed");
    assert_eq!(failed.code, ErrorCode::Internal);
    assert!(failed.chain[0].contains("`moonstruck`") && failed.chain[1] == "it was full");

    // Another cause comes to what waits for something unknown: the word stays.
    let merged = enqueue(&store, &make, make.job("a1")).await;
    assert_eq!(merged, ids[0]);
    let waits = job(&store, ids[0]).await;
    assert_eq!(waits.waits_for_newer.as_deref(), Some("blue_moon"));

    let claimed = claim(&store, &make, 64).await;
    let mut found: Vec<_> = claimed.iter().map(|one| one.job.id).collect();
    found.sort_unstable();
    let mut known = vec![ids[0], ids[3], ids[4]];
    known.sort_unstable();
    assert_eq!(found, known, "what only a newer one can do is left to it");
    assert_eq!(
        store.next_due().await.expect("next_due"),
        None,
        "nor is it waited for"
    );
    let again = |reason| JobOutcome::Snooze {
        run_at: make.now().plus(Duration::from_secs(1)),
        failure: None,
        reason,
    };
    let first = claimed
        .iter()
        .find(|one| one.job.id == ids[0])
        .expect("claimed");
    assert!(finish(&store, &make, first, again(Waiting::Missing)).await);
    assert_eq!(
        job(&store, ids[0]).await.waits.reason,
        Some(Waiting::Missing)
    );

    // The newer one finds its job as it left it.
    run(format!(
        "UPDATE jobs SET kind = 'reconcile' WHERE id = '{}'",
        ids[1]
    ))
    .await;
    assert_eq!(claim(&store, &make, 64).await[0].job.id, ids[1]);
    questions(&store, &make, &run).await;
}

async fn questions(store: &Subject, make: &Make, run: &impl AsyncFn(String)) {
    let one = make.conflict(None, "a7", Make::field_conflict("city"));
    let other = make.conflict(None, "a8", Make::field_conflict("city"));
    assert_eq!(open(store, make, &[&one, &other]).await, 2);
    let kind = r#"{"kind":"eclipse","of":"the moon"}"#;
    run(format!(
        "UPDATE conflicts SET kind = '{kind}' WHERE id = '{}'",
        one.id
    ))
    .await;
    let all = ConflictFilter {
        limit: 100,
        ..ConflictFilter::default()
    };
    let listed = store.conflicts(&all).await;
    let listed: Vec<_> = listed
        .expect("conflicts")
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(listed, [other.id]);
}
