//! The end of a step: everything that was learned, or nothing.

use tandem_domain::{ErrorCode, RecordId, Side};
use tandem_store::{
    ChangeFilter, ClaimedJob, Confirmation, ConflictFilter, Intent, IntentOp, IntentState,
    IntentVerdict, JobOutcome, JobState, JournalError, LinkState, LinkUpdate, NewLink, SideState,
};

use super::{Subject, claim_this, claimed, done, finish, job};
use crate::Make;

type Answer = Result<(), JournalError>;

async fn confirm(
    store: &Subject,
    make: &Make,
    claimed: &ClaimedJob,
    confirmation: Confirmation,
) -> Answer {
    store
        .confirm(&Make::customers(), claimed.lease, confirmation, make.now())
        .await
        .expect("confirm")
}

async fn journal(store: &Subject, make: &Make, claimed: &ClaimedJob, intent: &Intent) {
    let answer = store
        .journal(claimed.lease, None, vec![intent.clone()], make.now())
        .await;
    assert_eq!(answer.expect("journal"), Ok(()));
}

async fn intents_of(store: &Subject, record: &str) -> Vec<Intent> {
    store
        .intents_of(&Make::customers(), &RecordId::new(record))
        .await
        .expect("intents_of")
}

fn verdict(intent: &Intent, state: IntentState, target: &str) -> IntentVerdict {
    IntentVerdict {
        intent: intent.id,
        state,
        target: Some(RecordId::new(target)),
        error: None,
        sends: None,
    }
}

fn update(link: &NewLink, expected_revision: i64, state: LinkState) -> LinkUpdate {
    LinkUpdate::Update {
        id: link.id,
        expected_revision,
        a: link.a.clone(),
        b: link.b.clone(),
        base: link.base.clone(),
        state,
    }
}

/// All that a create has to say at its end.
fn all_of_a_create(make: &Make, create: &Intent, link: &NewLink) -> Confirmation {
    Confirmation {
        verdicts: vec![verdict(create, IntentState::Confirmed, "b1")],
        link: Some(LinkUpdate::Insert(link.clone())),
        seen: vec![(Side::B, Make::seen("b1", "sum-b", &["email:x@y.z"]))],
        changes: vec![make.change("a1", "b1")],
        conflicts: vec![make.conflict(Some(link.id), "a1", Make::field_conflict("name"))],
        outcome: Some(done("created_b")),
        ..Confirmation::default()
    }
}

async fn links_changes_conflicts(store: &Subject) -> (u64, usize, usize) {
    let changes = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    let conflicts = ConflictFilter {
        limit: 9,
        ..ConflictFilter::default()
    };
    (
        store.link_count(&Make::customers()).await.expect("links"),
        store.changes(&changes).await.expect("changes").len(),
        store.conflicts(&conflicts).await.expect("conflicts").len(),
    )
}

/// Confirming settles, links, logs and ends the job at once.
pub async fn confirming_settles_links_logs_and_ends_the_job_at_once(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let (create, link) = (
        make.create("a1", Some("email:x@y.z")),
        make.link("a1", "b1"),
    );
    journal(&store, &make, &running, &create).await;
    let all = all_of_a_create(&make, &create, &link);
    assert_eq!(confirm(&store, &make, &running, all).await, Ok(()));
    let settled = intents_of(&store, "a1").await;
    assert_eq!(
        (settled[0].state, settled[0].target.clone()),
        (IntentState::Confirmed, Some(RecordId::new("b1")))
    );
    assert_eq!(links_changes_conflicts(&store).await, (1, 1, 1));
    let known = store
        .records_by_keys(&link.sync, Side::B, &["email:x@y.z".to_owned()])
        .await;
    assert_eq!(known.expect("records")[0].link, Some(link.id));
    let ended = job(&store, running.job.id).await;
    assert_eq!(
        (ended.state, ended.note.as_deref()),
        (JobState::Done, Some("created_b"))
    );
}

/// A confirmation without the lease changes nothing.
pub async fn a_confirmation_without_the_lease_changes_nothing(store: Subject) {
    let make = Make::default();
    let late = claimed(&store, &make, "a1").await;
    let (create, link) = (make.create("a1", None), make.link("a1", "b1"));
    journal(&store, &make, &late, &create).await;
    store.release_all(make.now()).await.expect("release");
    let current = claim_this(&store, &make, late.job.id).await;
    let all = all_of_a_create(&make, &create, &link);
    assert_eq!(
        confirm(&store, &make, &late, all).await,
        Err(JournalError::LeaseLost)
    );
    assert_eq!(links_changes_conflicts(&store).await, (0, 0, 0));
    assert_eq!(intents_of(&store, "a1").await[0].state, IntentState::Sent);
    assert_eq!(job(&store, late.job.id).await, current.job);
}

/// A confirmation of another revision changes nothing.
pub async fn a_confirmation_of_another_revision_changes_nothing(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let confirmation = Confirmation {
        link: Some(update(&link, 2, LinkState::Active)),
        changes: vec![make.change("a1", "b1")],
        outcome: Some(done("written_b")),
        ..Confirmation::default()
    };
    let answer = confirm(&store, &make, &running, confirmation).await;
    assert_eq!(answer, Err(JournalError::Superseded));
    assert_eq!(links_changes_conflicts(&store).await, (1, 0, 0));
    assert_eq!(job(&store, running.job.id).await.state, JobState::Running);
}

/// A link for a record linked elsewhere is superseded and changes nothing.
pub async fn a_link_for_a_record_linked_elsewhere_is_superseded_and_changes_nothing(
    store: Subject,
) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    journal(&store, &make, &running, &create).await;
    store
        .insert_links(vec![make.link("a9", "b1")], make.now())
        .await
        .expect("link");
    let all = all_of_a_create(&make, &create, &make.link("a1", "b1"));
    assert_eq!(
        confirm(&store, &make, &running, all).await,
        Err(JournalError::Superseded)
    );
    assert_eq!(links_changes_conflicts(&store).await, (1, 0, 0));
    assert_eq!(intents_of(&store, "a1").await[0].state, IntentState::Sent);
    assert_eq!(job(&store, running.job.id).await.state, JobState::Running);
}

/// A step without an outcome keeps the lease.
pub async fn a_step_without_an_outcome_keeps_the_lease(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let step = Confirmation {
        changes: vec![make.change("a1", "b1")],
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, step).await, Ok(()));
    assert_eq!(
        confirm(&store, &make, &running, Confirmation::default()).await,
        Ok(())
    );
    assert_eq!(job(&store, running.job.id).await.state, JobState::Running);
    assert!(finish(&store, &make, &running, done("written_b")).await);
}

/// An unknown write stays open.
pub async fn an_unknown_write_stays_open(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    journal(&store, &make, &running, &create).await;
    let lost = IntentVerdict {
        intent: create.id,
        state: IntentState::Unknown,
        target: None,
        error: Some("no answer".to_owned()),
        sends: None,
    };
    let confirmation = Confirmation {
        verdicts: vec![lost],
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    let pair = store
        .pair(&Make::customers(), Side::A, &RecordId::new("a1"))
        .await
        .expect("pair");
    assert_eq!(pair.intents[0].state, IntentState::Unknown);
    assert_eq!(pair.intents[0].error.as_deref(), Some("no answer"));
}

/// Whoever did not send a write gives it up only as it was when they looked: one that was sent again since is under way.
pub async fn a_write_that_was_sent_again_meanwhile_is_not_given_up(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    journal(&store, &make, &running, &create).await;
    let looked_at = intents_of(&store, "a1").await.remove(0);
    let sent = store.mark_sent(running.lease, create.id, make.now()).await;
    assert!(sent.expect("mark_sent"));
    let other = claimed(&store, &make, "a2").await;
    let give_up = |sends: u32| Confirmation {
        verdicts: vec![IntentVerdict {
            intent: create.id,
            state: IntentState::Failed,
            target: None,
            error: None,
            sends: Some(sends),
        }],
        ..Confirmation::default()
    };
    let before = give_up(looked_at.sends);
    assert_eq!(confirm(&store, &make, &other, before).await, Ok(()));
    let under_way = intents_of(&store, "a1").await.remove(0);
    assert_eq!(under_way.state, IntentState::Sent);
    let as_it_is = give_up(under_way.sends);
    assert_eq!(confirm(&store, &make, &other, as_it_is).await, Ok(()));
    let ended = intents_of(&store, "a1").await.remove(0);
    assert_eq!(ended.state, IntentState::Failed);
}

/// A settled intent is not settled twice.
pub async fn a_settled_intent_is_not_settled_twice(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    journal(&store, &make, &running, &create).await;
    for state in [
        IntentState::Confirmed,
        IntentState::Failed,
        IntentState::Confirmed,
    ] {
        let confirmation = Confirmation {
            verdicts: vec![verdict(&create, state, "b1")],
            ..Confirmation::default()
        };
        assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    }
    assert_eq!(
        intents_of(&store, "a1").await[0].state,
        IntentState::Confirmed
    );
    let totals = store.totals(None).await.expect("totals");
    assert_eq!((totals.writes_a, totals.writes_b), (0, 1));
}

/// What was seen is in the index.
pub async fn what_was_seen_is_in_the_index(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let confirmation = Confirmation {
        seen: vec![
            (Side::A, Make::seen("a1", "s1", &["k1"])),
            (Side::B, Make::seen("b1", "s2", &["k1", "k2"])),
        ],
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    for (side, record) in [(Side::A, "a1"), (Side::B, "b1")] {
        let found = store
            .records_by_keys(&Make::customers(), side, &["k1".to_owned()])
            .await;
        assert_eq!(found.expect("records")[0].id, RecordId::new(record));
    }
}

/// A record that is gone leaves the index.
pub async fn a_record_that_is_gone_leaves_the_index(store: Subject) {
    let make = Make::default();
    let (sync, keys) = (Make::customers(), ["k1".to_owned()]);
    let seen = vec![
        Make::seen("b1", "s", &["k1"]),
        Make::seen("b2", "s", &["k1"]),
    ];
    store
        .index_records(&sync, Side::B, seen, Vec::new(), 1, make.now())
        .await
        .expect("index");
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let delete = Intent {
        op: IntentOp::Delete,
        link: None,
        source: None,
        target: Some(RecordId::new("b2")),
        ..make.update(&link)
    };
    journal(&store, &make, &running, &delete).await;
    let gone = NewLink {
        b: SideState::default(),
        ..link
    };
    let confirmation = Confirmation {
        verdicts: vec![verdict(&delete, IntentState::Confirmed, "b2")],
        link: Some(update(&gone, 1, LinkState::Retired)),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    assert_eq!(
        store
            .records_by_keys(&sync, Side::B, &keys)
            .await
            .expect("records"),
        Vec::new()
    );
}

/// A job that retries after a step logs its failure.
pub async fn a_job_that_retries_after_a_step_logs_its_failure(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let failure = Make::failure(ErrorCode::ResponseLost, "no answer");
    let outcome = JobOutcome::Retry {
        run_at: make.after(5),
        failure: failure.clone(),
    };
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Insert(make.link("a1", "b1"))),
        outcome: Some(outcome),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    let back = job(&store, running.job.id).await;
    assert_eq!(
        (back.state, back.failure),
        (JobState::Available, Some(failure))
    );
    assert_eq!(store.attempts(back.id).await.expect("attempts").len(), 1);
}
