//! The change log and the totals.

use std::time::Duration;

use tandem_domain::{ErrorCode, RecordId, Side, Value};
use tandem_store::{
    Change, ChangeFilter, Confirmation, FieldChange, IntentState, IntentVerdict, JobOutcome,
    JournalError, Operation, Outcome, SyncTotals,
};

use super::{Subject, claim_this, claimed, done, enqueue, finish};
use crate::Make;

/// Logs changes under a job of its own.
async fn log(store: &Subject, make: &Make, changes: Vec<Change>) {
    let running = claimed(store, make, "logged").await;
    let confirmation = Confirmation {
        changes,
        outcome: Some(done("written_b")),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
}

fn field(name: &str, lost: Option<&str>) -> FieldChange {
    FieldChange {
        field: name.to_owned(),
        a: Value::Text("new".to_owned()),
        b: Value::Text("other".to_owned()),
        base: Some((Value::Text("old".to_owned()), Value::Null)),
        chosen: Value::Text("new".to_owned()),
        from: Some(Side::A),
        lost: lost.map(|value| Value::Text(value.to_owned())),
        a_until: None,
        b_until: None,
        reason: "only crm changed".to_owned(),
    }
}

async fn list(store: &Subject, filter: ChangeFilter) -> Vec<Change> {
    store.changes(&filter).await.expect("changes")
}

/// A change comes back as it was logged.
pub async fn a_change_comes_back_as_it_was_logged(store: Subject) {
    let make = Make::default();
    let full = Change {
        link: Some(make.link_id()),
        intent: Some(make.intent_id()),
        job: Some(make.job_id()),
        run: Some(make.run(tandem_store::RunKind::Poll, None).id),
        fields: vec![field("name", Some("other")), field("email", None)],
        outcome: Outcome::Failed,
        error: Some("refused: no such field".to_owned()),
        ..make.change("a1", "b1")
    };
    let bare = Change {
        a: None,
        written: None,
        operation: Operation::Unlink,
        ..make.change("", "b2")
    };
    log(&store, &make, vec![full.clone(), bare.clone()]).await;
    let all = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    assert_eq!(list(&store, all).await, vec![bare, full]);
}

/// Changes are found by the record of either side, by link and sync.
pub async fn changes_are_found_by_the_record_of_either_side_by_link_and_sync(store: Subject) {
    let make = Make::default();
    let one = Change {
        link: Some(make.link_id()),
        ..make.change("a1", "x")
    };
    let two = make.change("x", "b2");
    let three = Change {
        sync: Make::sync("invoices"),
        ..make.change("a3", "b3")
    };
    log(&store, &make, vec![one.clone(), two.clone(), three.clone()]).await;
    let all = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    let record = ChangeFilter {
        record: Some(RecordId::new("x")),
        ..all.clone()
    };
    assert_eq!(list(&store, record).await, vec![two.clone(), one.clone()]);
    let link = ChangeFilter {
        link: one.link,
        ..all.clone()
    };
    assert_eq!(list(&store, link).await, vec![one.clone()]);
    let sync = ChangeFilter {
        sync: Some(Make::sync("invoices")),
        ..all.clone()
    };
    assert_eq!(list(&store, sync).await, vec![three]);
    let updates = ChangeFilter {
        operation: Some(Operation::Update),
        ..all.clone()
    };
    assert_eq!(list(&store, updates).await.len(), 3);
    let deletes = ChangeFilter {
        operation: Some(Operation::Delete),
        ..all.clone()
    };
    assert_eq!(list(&store, deletes).await, Vec::new());
    let nothing = ChangeFilter {
        record: Some(RecordId::new("y")),
        ..all
    };
    assert_eq!(list(&store, nothing).await, Vec::new());
}

/// The newest end of each pair is found.
pub async fn the_newest_end_of_each_pair_is_found(store: Subject) {
    let make = Make::default();
    let (one, two, held) = (make.link_id(), make.link_id(), make.link_id());
    let ended = |link, why: &str| Change {
        link: Some(link),
        written: None,
        operation: Operation::Unlink,
        error: Some(why.to_owned()),
        ..make.change("a1", "b1")
    };
    let first = ended(one, "b1 is gone");
    let again = ended(one, "a1 is gone");
    let other = ended(two, "a person took the pair apart");
    let update = Change {
        link: Some(held),
        ..make.change("a2", "b2")
    };
    let all = vec![first, again.clone(), other.clone(), update];
    log(&store, &make, all).await;
    let mut ends = store.ends_of(&[two, held, one]).await.expect("ends");
    ends.sort_by_key(|end| end.id);
    assert_eq!(ends, vec![again, other]);
    assert_eq!(store.ends_of(&[held]).await.expect("ends"), Vec::new());
    assert_eq!(store.ends_of(&[]).await.expect("ends"), Vec::new());
}

/// Changes are listed newest first by page.
pub async fn changes_are_listed_newest_first_by_page(store: Subject) {
    let make = Make::default();
    let changes: Vec<Change> = (0..5).map(|_| make.change("a1", "b1")).collect();
    log(&store, &make, changes.clone()).await;
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = list(
            &store,
            ChangeFilter {
                before,
                limit: 2,
                ..ChangeFilter::default()
            },
        )
        .await;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        listed.extend(page);
    }
    listed.reverse();
    assert_eq!(listed, changes);
}

/// Pruning removes old changes only.
pub async fn pruning_removes_old_changes_only(store: Subject) {
    let make = Make::default();
    log(
        &store,
        &make,
        (0..3).map(|_| make.change("a1", "b1")).collect(),
    )
    .await;
    make.clock.advance(Duration::from_secs(9));
    log(&store, &make, vec![make.change("a1", "b1")]).await;
    assert_eq!(store.prune_changes(make.now(), 2).await.expect("prune"), 2);
    assert_eq!(store.prune_changes(make.now(), 2).await.expect("prune"), 1);
    assert_eq!(store.prune_changes(make.now(), 2).await.expect("prune"), 0);
    let all = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    assert_eq!(list(&store, all).await.len(), 1);
}

/// Totals count events, merges and duplicates.
pub async fn totals_count_events_merges_and_duplicates(store: Subject) {
    let make = Make::default();
    let two_syncs = tandem_store::NewEvent {
        targets: vec![
            make.target(Make::customers()),
            make.target(Make::sync("invoices")),
        ],
        ..make.event("k1", "a1")
    };
    let events = vec![
        two_syncs,
        make.event("k2", "a1"),
        make.event("k2", "a1"),
        make.unreadable_event("k3"),
    ];
    store
        .record_deliveries(vec![make.delivery(events)], make.now())
        .await
        .expect("record");
    enqueue(&store, &make, make.job("a1")).await;
    let customers = store
        .totals(Some(&Make::customers()))
        .await
        .expect("totals");
    let expected = SyncTotals {
        events: 2,
        coalesced: 2,
        ..SyncTotals::default()
    };
    assert_eq!(customers, expected);
    let all = store.totals(None).await.expect("totals");
    assert_eq!(
        all,
        SyncTotals {
            events: 3,
            coalesced: 2,
            ..SyncTotals::default()
        }
    );
    assert_eq!(store.duplicate_events().await.expect("duplicates"), 1);
}

/// Totals count jobs, echoes, retries and dead letters.
pub async fn totals_count_jobs_echoes_retries_and_dead_letters(store: Subject) {
    let make = Make::default();
    for note in ["written_b", "echo", "agreed", "nothing to do"] {
        let running = claimed(&store, &make, "a1").await;
        assert!(finish(&store, &make, &running, done(note)).await);
    }
    let id = enqueue(&store, &make, make.job("a2")).await;
    let failure = Make::failure(ErrorCode::Unreachable, "no route");
    for outcome in [
        JobOutcome::Retry {
            run_at: make.now(),
            failure: failure.clone(),
        },
        JobOutcome::Snooze {
            run_at: make.now(),
            failure: Some(failure.clone()),
            reason: tandem_store::Waiting::Progress,
        },
        JobOutcome::Dead { failure },
    ] {
        let running = claim_this(&store, &make, id).await;
        assert!(finish(&store, &make, &running, outcome).await);
    }
    store.replay_jobs(&[id], make.now()).await.expect("replay");
    let totals = store
        .totals(Some(&Make::customers()))
        .await
        .expect("totals");
    let expected = SyncTotals {
        jobs_done: 4,
        echoes: 3,
        retries: 1,
        dead: 1,
        ..SyncTotals::default()
    };
    assert_eq!(totals, expected);
}

/// Totals count writes and conflicts.
pub async fn totals_count_writes_and_conflicts(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let on_b = make.create("a1", None);
    let on_a = tandem_store::Intent {
        side: Side::A,
        ..make.create("b7", None)
    };
    let failed = make.create("a8", None);
    let intents = vec![on_b.clone(), on_a.clone(), failed.clone()];
    let journalled = store
        .journal(running.lease, None, intents, make.now())
        .await;
    assert_eq!(journalled.expect("journal"), Ok(()));
    let verdict = |intent: &tandem_store::Intent, state| IntentVerdict {
        intent: intent.id,
        state,
        target: None,
        error: None,
        sends: None,
    };
    let settled = Change {
        fields: vec![field("name", Some("other")), field("email", None)],
        ..make.change("a1", "b1")
    };
    let asked = Change {
        operation: Operation::Conflict,
        fields: vec![field("phone", None)],
        ..make.change("a1", "b1")
    };
    let confirmation = Confirmation {
        verdicts: vec![
            verdict(&on_b, IntentState::Confirmed),
            verdict(&on_a, IntentState::Confirmed),
            verdict(&failed, IntentState::Failed),
        ],
        changes: vec![settled, asked],
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    let totals = store.totals(None).await.expect("totals");
    let expected = SyncTotals {
        writes_a: 1,
        writes_b: 1,
        conflicts: 2,
        ..SyncTotals::default()
    };
    assert_eq!(totals, expected);
}

/// Totals survive pruning.
pub async fn totals_survive_pruning(store: Subject) {
    let make = Make::default();
    log(&store, &make, vec![make.change("a1", "b1")]).await;
    let before = store.totals(None).await.expect("totals");
    make.clock.advance(Duration::from_secs(9));
    assert_eq!(store.prune_jobs(make.now(), 9).await.expect("prune"), 1);
    assert_eq!(store.prune_changes(make.now(), 9).await.expect("prune"), 1);
    assert_eq!(store.totals(None).await.expect("totals"), before);
    assert_eq!(before.jobs_done, 1);
}

/// A refused confirmation counts nothing.
pub async fn a_refused_confirmation_counts_nothing(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    store
        .insert_links(vec![make.link("a1", "b1")], make.now())
        .await
        .expect("link");
    let confirmation = Confirmation {
        link: Some(tandem_store::LinkUpdate::Insert(make.link("a1", "b2"))),
        changes: vec![Change {
            fields: vec![field("name", Some("x"))],
            ..make.change("a1", "b2")
        }],
        outcome: Some(done("echo")),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Err(JournalError::Superseded));
    assert_eq!(
        store.totals(None).await.expect("totals"),
        SyncTotals::default()
    );
}
