//! What a confirmation does to links, and to the jobs of their records.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::Side;
use tandem_store::{
    ChangeFilter, ClaimedJob, Confirmation, ConflictFilter, Intent, IntentState, IntentVerdict,
    JobState, JournalError, Lane, LinkState, LinkUpdate, NewLink, SideState,
};

use super::journal::{intents_of, journal, settle};
use super::{Subject, claim_this, claimed, done, enqueue, finish, job};
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

/// Moving a link onto a linked record is superseded.
pub async fn moving_a_link_onto_a_linked_record_is_superseded(store: Subject) {
    let make = Make::default();
    let (one, other) = (make.link("a1", "b1"), make.link("a2", "b2"));
    store
        .insert_links(vec![one.clone(), other], make.now())
        .await
        .expect("links");
    let running = claimed(&store, &make, "a1").await;
    let moved = NewLink {
        b: Make::side("b2", "sum"),
        ..one.clone()
    };
    let confirmation = Confirmation {
        link: Some(update(&moved, 1, LinkState::Active)),
        changes: vec![make.change("a1", "b2")],
        ..Confirmation::default()
    };
    let answer = confirm(&store, &make, &running, confirmation).await;
    assert_eq!(answer, Err(JournalError::Superseded));
    let link = store
        .link(one.id)
        .await
        .expect("link")
        .expect("it is there");
    assert_eq!((link.b, link.revision), (one.b, 1));
    assert_eq!(links_changes_conflicts(&store).await, (2, 0, 0));
}

/// Two jobs linking one record at once give one link.
pub async fn two_jobs_linking_one_record_at_once_give_one_link(store: Subject) {
    let make = Arc::new(Make::default());
    let from_a = claimed(&store, &make, "a1").await;
    let from_b = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b1"))).await;
    let from_b = claim_this(&store, &make, from_b).await;
    let racing = [from_a, from_b].map(|running| {
        let (store, make) = (Arc::clone(&store), Arc::clone(&make));
        tokio::spawn(async move {
            let link = make.link("a1", "b1");
            let confirmation = Confirmation {
                link: Some(LinkUpdate::Insert(link)),
                outcome: Some(done("linked")),
                ..Confirmation::default()
            };
            confirm(&store, &make, &running, confirmation).await
        })
    });
    let mut answers = Vec::new();
    for racer in racing {
        answers.push(racer.await.expect("a racer does not panic"));
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.contains(&Err(JournalError::Superseded)));
    assert_eq!(
        store.link_count(&Make::customers()).await.expect("links"),
        1
    );
}

/// A record whose create is open is not linked.
pub async fn a_record_whose_create_is_open_is_not_linked(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let (sent, planned) = (make.create("a1", None), make.create("a2", None));
    let into_a = Intent {
        side: Side::A,
        ..make.create("b3", None)
    };
    let intents = [&sent, &planned, &into_a];
    assert_eq!(
        journal(&store, &make, &running, None, &intents).await,
        Ok(())
    );
    let insert = async |links: Vec<NewLink>| -> usize {
        let inserted = store.insert_links(links, make.now()).await;
        inserted.expect("insert_links")
    };
    let to_sources = || ["b1", "b2"].map(|b| make.link(&b.replace('b', "a"), b));
    let left_out = to_sources().into_iter().chain([make.link("a3", "b3")]);
    // Records of the same names on the other sides, or in another sync, are not those sources.
    let elsewhere = NewLink {
        sync: Make::sync("invoices"),
        ..make.link("a1", "b1")
    };
    let others = [make.link("b3", "a1"), elsewhere];
    assert_eq!(insert(left_out.chain(others).collect()).await, 2);
    settle(&store, &make, &running, sent.id, IntentState::Unknown).await;
    assert_eq!(insert(to_sources().into()).await, 0);
    settle(&store, &make, &running, sent.id, IntentState::Failed).await;
    assert_eq!(insert(to_sources().into()).await, 1);
}

/// Linking a record whose create is open is superseded.
pub async fn linking_a_record_whose_create_is_open_is_superseded(store: Subject) {
    let make = Make::default();
    let creating = claimed(&store, &make, "a1").await;
    let create = make.create("a1", Some("email:x@y.z"));
    assert_eq!(
        journal(&store, &make, &creating, None, &[&create]).await,
        Ok(())
    );
    let from_b = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b9"))).await;
    let from_b = claim_this(&store, &make, from_b).await;
    let lost = IntentVerdict {
        intent: create.id,
        state: IntentState::Unknown,
        target: None,
        error: None,
        sends: None,
    };
    for verdicts in [Vec::new(), vec![lost]] {
        let confirmation = Confirmation {
            verdicts,
            link: Some(LinkUpdate::Insert(make.link("a1", "b9"))),
            changes: vec![make.change("a1", "b9")],
            outcome: Some(done("linked")),
            ..Confirmation::default()
        };
        let answer = confirm(&store, &make, &from_b, confirmation).await;
        assert_eq!(answer, Err(JournalError::Superseded));
    }
    assert_eq!(links_changes_conflicts(&store).await, (0, 0, 0));
    assert_eq!(intents_of(&store, "a1").await[0].state, IntentState::Sent);
    assert_eq!(job(&store, from_b.job.id).await.state, JobState::Running);
}

/// A create settled beside a link is not in its way.
pub async fn a_create_settled_beside_a_link_is_not_in_its_way(store: Subject) {
    let make = Make::default();
    for (number, state) in [IntentState::Confirmed, IntentState::Failed]
        .into_iter()
        .enumerate()
    {
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        let running = claimed(&store, &make, &a).await;
        let create = make.create(&a, None);
        assert_eq!(
            journal(&store, &make, &running, None, &[&create]).await,
            Ok(())
        );
        let confirmation = Confirmation {
            verdicts: vec![IntentVerdict {
                intent: create.id,
                state,
                target: None,
                error: None,
                sends: None,
            }],
            link: Some(LinkUpdate::Insert(make.link(&a, &b))),
            ..Confirmation::default()
        };
        assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
        assert_eq!(intents_of(&store, &a).await[0].state, state);
    }
    assert_eq!(
        store.link_count(&Make::customers()).await.expect("links"),
        2
    );
}

/// Updating a link replaces its base and raises its revision.
pub async fn updating_a_link_replaces_its_base_and_raises_its_revision(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    make.clock.advance(Duration::from_secs(1));
    let new = NewLink {
        a: SideState {
            version: Some("2".to_owned()),
            updated_at: Some(make.now()),
            ..link.a.clone()
        },
        base: Make::base("email", "x@y.z"),
        ..link.clone()
    };
    let confirmation = Confirmation {
        link: Some(update(&new, 1, LinkState::Active)),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    let stored = store
        .link(link.id)
        .await
        .expect("link")
        .expect("it is there");
    assert_eq!((stored.a, stored.b), (new.a, new.b));
    assert_eq!((stored.base, stored.revision), (new.base, 2));
    assert_eq!(
        (stored.updated_at, stored.state),
        (make.now(), LinkState::Active)
    );
}

/// A retired link frees its records.
pub async fn a_retired_link_frees_its_records(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let confirmation = Confirmation {
        link: Some(update(&link, 1, LinkState::Retired)),
        outcome: Some(done("retired")),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    assert_eq!(store.link_count(&link.sync).await.expect("links"), 0);
    let again = store
        .insert_links(vec![make.link("a1", "b1")], make.now())
        .await;
    assert_eq!(again.expect("insert"), 1);
}

/// Inserting a link moves the waiting jobs of both records.
pub async fn inserting_a_link_moves_the_waiting_jobs_of_both_records(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let of_a = enqueue(&store, &make, make.job("a1")).await;
    let of_b = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b1"))).await;
    let link = make.link("a1", "b1");
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Insert(link.clone())),
        outcome: Some(done("linked")),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    assert_eq!(job(&store, of_a).await.lane, Lane::of_link(link.id));
    assert_eq!(
        job(&store, of_b).await.note,
        Some(format!("merged into {of_a}"))
    );
    assert_eq!(
        claim_this(&store, &make, of_a).await.job.lane,
        Lane::of_link(link.id)
    );
}

/// A job goes on in the lane of the link that it made.
pub async fn a_job_goes_on_in_the_lane_of_the_link_that_it_made(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Insert(make.link("a1", "b1"))),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    let next = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b1"))).await;
    assert_eq!(super::claim(&store, &make, 9).await.len(), 0);
    assert!(finish(&store, &make, &running, done("created_b")).await);
    claim_this(&store, &make, next).await;
}

/// A new record of a link brings its waiting job.
pub async fn a_new_record_of_a_link_brings_its_waiting_job(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let running = claimed(&store, &make, "a1").await;
    let echo = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b2"))).await;
    let recreated = NewLink {
        b: Make::side("b2", "sum"),
        ..link.clone()
    };
    let confirmation = Confirmation {
        link: Some(update(&recreated, 1, LinkState::Active)),
        outcome: Some(done("recreated_b")),
        ..Confirmation::default()
    };
    assert_eq!(confirm(&store, &make, &running, confirmation).await, Ok(()));
    assert_eq!(job(&store, echo).await.lane, Lane::of_link(link.id));
}
