//! Questions for an operator.

use std::time::Duration;

use tandem_domain::{ConflictId, LinkId, RecordId, Side, Value};
use tandem_store::{
    Confirmation, Conflict, ConflictFilter, ConflictKind, ConflictState, Fact, JobClass, Lane,
    LinkState, LinkUpdate, Moot, NewConflict, NewLink, PairContext, Resolution, Ruling, Trigger,
};

use super::{Subject, claimed, enqueue, job};
use crate::Make;

pub(super) async fn open(store: &Subject, make: &Make, conflicts: &[&NewConflict]) -> usize {
    let conflicts = conflicts.iter().map(|one| (*one).clone()).collect();
    store
        .open_conflicts(conflicts, make.now())
        .await
        .expect("open_conflicts")
}

async fn linked(store: &Subject, make: &Make) -> NewLink {
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    link
}

async fn pair(store: &Subject) -> PairContext {
    store
        .pair(&Make::customers(), Side::A, &RecordId::new("a1"))
        .await
        .expect("pair")
}

async fn stored(store: &Subject, id: ConflictId) -> Conflict {
    store
        .conflict(id)
        .await
        .expect("conflict")
        .expect("it is there")
}

fn field(make: &Make, link: LinkId, name: &str) -> NewConflict {
    make.conflict(Some(link), "a1", Make::field_conflict(name))
}

/// Confirms under a job of its own.
pub(super) async fn confirm(store: &Subject, make: &Make, confirmation: Confirmation) {
    let running = claimed(store, make, "a1").await;
    let confirmation = Confirmation {
        outcome: Some(super::done("echo")),
        ..confirmation
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
}

async fn open_fields(store: &Subject) -> Vec<String> {
    let open = pair(store).await.open_fields.into_iter();
    open.map(|one| one.field).collect()
}

/// A question is opened once.
pub async fn a_question_is_opened_once(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let first = field(&make, link.id, "name");
    let (again, other) = (
        field(&make, link.id, "name"),
        field(&make, link.id, "email"),
    );
    assert_eq!(open(&store, &make, &[&first]).await, 1);
    assert_eq!(open(&store, &make, &[&again, &other]).await, 1);
    assert_eq!(open(&store, &make, &[]).await, 0);
    assert!(store.conflict(again.id).await.expect("conflict").is_none());
    let within = Confirmation {
        conflicts: vec![
            field(&make, link.id, "email"),
            field(&make, link.id, "phone"),
        ],
        ..Confirmation::default()
    };
    confirm(&store, &make, within).await;
    assert_eq!(open_fields(&store).await, ["name", "email", "phone"]);
    let expected = Conflict {
        id: first.id,
        sync: first.sync,
        link: Some(link.id),
        side: Side::A,
        record: RecordId::new("a1"),
        kind: first.kind,
        shown: first.shown,
        state: ConflictState::Open,
        resolution: None,
        created_at: make.now(),
        answered_at: None,
        closed_because: None,
    };
    assert_eq!(stored(&store, first.id).await, expected);
}

/// A question without a field is opened once a record.
pub async fn a_question_without_a_field_is_opened_once_a_record(store: Subject) {
    let make = Make::default();
    let first = make.conflict(None, "a1", Make::ambiguous());
    let again = make.conflict(None, "a1", Make::ambiguous());
    let other_record = make.conflict(None, "a2", Make::ambiguous());
    let other_side = NewConflict {
        side: Side::B,
        ..make.conflict(None, "a1", Make::ambiguous())
    };
    assert_eq!(open(&store, &make, &[&first, &again]).await, 1);
    assert_eq!(
        open(&store, &make, &[&again, &other_record, &other_side]).await,
        2
    );
}

/// A question keeps the records that it is about.
pub async fn a_question_keeps_the_records_that_it_is_about(store: Subject) {
    let make = Make::default();
    let shown = vec![
        Make::shown(Side::A, "a1", "Acme"),
        Make::shown(Side::B, "b1", "ACME \"Ltd\" ünï"),
        Make::shown(Side::A, "a2", ""),
    ];
    let question = NewConflict {
        shown: shown.clone(),
        ..make.conflict(None, "a1", Make::ambiguous())
    };
    let bare = NewConflict {
        shown: Vec::new(),
        ..make.conflict(None, "a3", Make::ambiguous())
    };
    assert_eq!(open(&store, &make, &[&question, &bare]).await, 2);
    assert_eq!(stored(&store, question.id).await.shown, shown);
    assert_eq!(stored(&store, bare.id).await.shown, Vec::new());
}

/// An open question shows in the pair.
pub async fn an_open_question_shows_in_the_pair(store: Subject) {
    let make = Make::default();
    let question = make.conflict(None, "a1", Make::ambiguous());
    open(&store, &make, &[&question]).await;
    let context = pair(&store).await;
    assert_eq!(context.held, Some(question.id));
    assert!(context.open_fields.is_empty() && context.rulings.is_empty());
    let other = store
        .pair(&Make::customers(), Side::B, &RecordId::new("a1"))
        .await;
    assert_eq!(other.expect("pair").held, None);
}

/// That a pair is changed back shows in the pair, beside what else is asked about its record.
pub async fn that_a_pair_goes_back_and_forth_is_asked_beside_other_questions(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let held = ConflictKind::DeleteHeld {
        gone: Side::B,
        reason: String::new(),
    };
    let held = make.conflict(Some(link.id), "a1", held);
    let kind = ConflictKind::BackAndForth {
        a: [("name".to_owned(), Value::Text("Ann".to_owned()))].into(),
        b: [("name".to_owned(), Value::Null)].into(),
        writes: 12,
        since: make.now(),
        again: None,
    };
    let asked = make.conflict(Some(link.id), "a1", kind.clone());
    assert_eq!(open(&store, &make, &[&held, &asked]).await, 2);
    let context = pair(&store).await;
    assert_eq!(context.back_and_forth, Some(asked.id));
    assert_eq!(context.delete_held, Some(held.id));
    assert_eq!(stored(&store, asked.id).await.kind, kind);
}

/// That a record which we made was never shown is asked in its pair, beside what else is asked about the other.
pub async fn that_a_record_was_never_shown_is_asked_beside_other_questions(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let kind = ConflictKind::NotMade {
        system: "books".to_owned(),
        made: RecordId::new("b1"),
        sent_at: make.now(),
        missed_at: make.after(30),
    };
    let asked = make.conflict(Some(link.id), "a1", kind.clone());
    let beside = make.conflict(Some(link.id), "a1", Make::field_conflict("name"));
    assert_eq!(open(&store, &make, &[&asked, &beside]).await, 2);
    let again = make.conflict(Some(link.id), "a1", kind.clone());
    assert_eq!(open(&store, &make, &[&again]).await, 0, "it is asked once");
    assert_eq!(pair(&store).await.not_made, Some(asked.id));
    assert_eq!(stored(&store, asked.id).await.kind, kind);
    let again = Resolution::CreateNew;
    let answered = store.resolve_conflict(asked.id, again.clone(), make.job_id(), make.now());
    assert!(answered.await.expect("resolve").is_some());
    let context = pair(&store).await;
    assert_eq!(context.not_made, None);
    assert_eq!(context.rulings[0].asked, "not_made");
    assert_eq!(context.rulings[0].resolution, again);
}

/// That a record was not deleted shows in the pair that has ended, beside what else is asked about it, until it has another
/// partner.
pub async fn that_a_record_was_not_deleted_is_asked_of_a_pair_that_has_ended(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let make_one = |kind: ConflictKind| make.conflict(None, "a1", kind);
    let not_deleted = || ConflictKind::NotDeleted {
        system: "crm".to_owned(),
        answered_at: make.now(),
        seen_at: make.now(),
        edited: true,
        gone_at: None,
    };
    let early = make_one(not_deleted());
    assert_eq!(open(&store, &make, &[&early]).await, 0, "it is held equal");
    let change = make.change("a1", "b1");
    let unlinked = store.unlink_by_hand(link.id, change, make.now()).await;
    unlinked.expect("unlink_by_hand");
    let asked = make_one(not_deleted());
    let overwritten = ConflictKind::Overwritten {
        edited_at: None,
        event: None,
        written: tandem_domain::Fields::new(),
        met: None,
    };
    let beside = make_one(overwritten);
    assert_eq!(open(&store, &make, &[&asked, &beside]).await, 2);
    assert_eq!(pair(&store).await.not_deleted, Some(asked.id));
    assert_eq!(stored(&store, asked.id).await.kind, asked.kind);
    let approved = store
        .resolve_conflict(asked.id, Resolution::Approve, make.job_id(), make.now())
        .await;
    assert!(approved.expect("resolve").is_some());
    let context = pair(&store).await;
    assert_eq!(context.not_deleted, None);
    assert_eq!(context.rulings[0].asked, "not_deleted");
}

/// An answer enqueues the job that carries it out.
pub async fn an_answer_enqueues_the_job_that_carries_it_out(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let question = field(&make, link.id, "name");
    open(&store, &make, &[&question]).await;
    make.clock.advance(Duration::from_secs(5));
    let id = make.job_id();
    let take = Resolution::Take { side: Side::B };
    let answer = store
        .resolve_conflict(question.id, take.clone(), id, make.now())
        .await;
    assert_eq!(answer.expect("resolve"), Some(id));
    let next = job(&store, id).await;
    assert_eq!(next.kind, Make::reconcile(Side::A, "a1"));
    assert_eq!(
        (next.class, next.trigger),
        (JobClass::Interactive, Trigger::Manual)
    );
    assert_eq!(
        (next.lane, next.run_at),
        (Lane::of_link(link.id), make.now())
    );
    let answered = stored(&store, question.id).await;
    assert_eq!(
        (answered.state, answered.resolution),
        (ConflictState::Answered, Some(take))
    );
    assert_eq!(answered.answered_at, Some(make.now()));
}

/// An answer becomes a ruling until it is used.
pub async fn an_answer_becomes_a_ruling_until_it_is_used(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let question = field(&make, link.id, "name");
    open(&store, &make, &[&question]).await;
    let take = Resolution::Take { side: Side::B };
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    let ringing = store
        .resolve_conflict(question.id, take.clone(), make.job_id(), make.now())
        .await
        .expect("resolve");
    assert_eq!(ringing, Some(waiting));
    let context = pair(&store).await;
    let ruling = Ruling {
        conflict: question.id,
        asked: "field".to_owned(),
        field: Some("name".to_owned()),
        resolution: take,
    };
    assert_eq!(
        (context.rulings, context.open_fields),
        (vec![ruling], Vec::new())
    );
    let used = Confirmation {
        used_rulings: vec![question.id],
        ..Confirmation::default()
    };
    let running = super::claim_this(&store, &make, waiting).await;
    let answer = store
        .confirm(&link.sync, running.lease, used, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    assert_eq!(pair(&store).await.rulings, Vec::new());
    assert_eq!(
        stored(&store, question.id).await.state,
        ConflictState::Closed
    );
}

/// A closed question is not answered again.
pub async fn a_closed_question_is_not_answered_again(store: Subject) {
    let make = Make::default();
    let question = make.conflict(None, "a1", Make::ambiguous());
    open(&store, &make, &[&question]).await;
    let resolve = async |resolution| {
        store
            .resolve_conflict(question.id, resolution, make.job_id(), make.now())
            .await
            .expect("resolve")
    };
    assert!(resolve(Resolution::Ignore).await.is_some());
    assert_eq!(resolve(Resolution::CreateNew).await, None);
    assert_eq!(
        stored(&store, question.id).await.resolution,
        Some(Resolution::Ignore)
    );
    let unknown = make.conflict(None, "a9", Make::ambiguous()).id;
    let answer = store
        .resolve_conflict(unknown, Resolution::CreateNew, make.job_id(), make.now())
        .await;
    assert_eq!(answer.expect("resolve"), None);
    assert_eq!(super::claim(&store, &make, 9).await.len(), 1);
}

/// Ignoring marks the record and closes the question.
pub async fn ignoring_marks_the_record_and_closes_the_question(store: Subject) {
    let make = Make::default();
    let question = make.conflict(None, "a1", Make::ambiguous());
    open(&store, &make, &[&question]).await;
    let id = make.job_id();
    let answer = store
        .resolve_conflict(question.id, Resolution::Ignore, id, make.now())
        .await
        .expect("resolve");
    assert_eq!(answer, Some(id));
    let context = pair(&store).await;
    assert!(context.ignored && context.held.is_none() && context.rulings.is_empty());
    assert_eq!(
        stored(&store, question.id).await.state,
        ConflictState::Closed
    );
}

/// Fields that agree close their questions.
pub async fn fields_that_agree_close_their_questions(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let (name, email) = (
        field(&make, link.id, "name"),
        field(&make, link.id, "email"),
    );
    open(&store, &make, &[&name, &email]).await;
    let settled = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: 1,
            a: link.a.clone(),
            b: link.b.clone(),
            base: link.base.clone(),
            state: LinkState::Active,
        }),
        moot: vec![Moot {
            question: name.id,
            was: ConflictState::Open,
            fact: Fact::Agree,
        }],
        ..Confirmation::default()
    };
    confirm(&store, &make, settled).await;
    let closed = stored(&store, name.id).await;
    assert_eq!(closed.state, ConflictState::Closed);
    assert_eq!(
        closed.closed_because.as_deref(),
        Some("both sides agree by now")
    );
    assert_eq!(open_fields(&store).await, ["email"]);
}

/// An answer that was given while a job found out that nobody has to answer stays, for the job that it has queued: that
/// one looks at it anew. And what was found out about an answer closes no question that is open.
pub async fn an_answer_given_meanwhile_is_not_closed_with_its_question(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let name = field(&make, link.id, "name");
    open(&store, &make, &[&name]).await;
    let moot = |was| Confirmation {
        moot: vec![Moot {
            question: name.id,
            was,
            fact: Fact::Agree,
        }],
        ..Confirmation::default()
    };
    confirm(&store, &make, moot(ConflictState::Answered)).await;
    assert_eq!(stored(&store, name.id).await.state, ConflictState::Open);
    let answer = Resolution::Take { side: Side::A };
    let queued = store.resolve_conflict(name.id, answer, make.job_id(), make.now());
    assert!(queued.await.expect("resolve_conflict").is_some());
    confirm(&store, &make, moot(ConflictState::Open)).await;
    let answered = stored(&store, name.id).await;
    assert_eq!(answered.state, ConflictState::Answered);
    assert_eq!(answered.closed_because, None);
    confirm(&store, &make, moot(ConflictState::Answered)).await;
    assert_eq!(stored(&store, name.id).await.state, ConflictState::Closed);
}

/// What a record matches is not asked when another job has linked it meanwhile, neither at the end of a job nor outside
/// of one; other questions about it are.
pub async fn what_a_linked_record_matches_is_not_asked(store: Subject) {
    let make = Make::default();
    linked(&store, &make).await;
    let of_a = make.conflict(None, "a1", Make::ambiguous());
    let of_b = NewConflict {
        side: Side::B,
        ..make.conflict(None, "b1", Make::ambiguous())
    };
    let of_other = make.conflict(None, "b1", Make::ambiguous());
    assert_eq!(open(&store, &make, &[&of_a, &of_b, &of_other]).await, 1);
    let asking = Confirmation {
        conflicts: vec![of_a.clone()],
        ..Confirmation::default()
    };
    confirm(&store, &make, asking).await;
    assert!(store.conflict(of_a.id).await.expect("asked").is_none());
    assert_eq!(stored(&store, of_other.id).await.state, ConflictState::Open);
}

/// A closed question can be asked again.
pub async fn a_closed_question_can_be_asked_again(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let first = field(&make, link.id, "name");
    open(&store, &make, &[&first]).await;
    let used = Confirmation {
        used_rulings: vec![first.id],
        ..Confirmation::default()
    };
    confirm(&store, &make, used).await;
    assert_eq!(
        open(&store, &make, &[&field(&make, link.id, "name")]).await,
        1
    );
}

/// Questions are listed newest first and filtered.
pub async fn questions_are_listed_newest_first_and_filtered(store: Subject) {
    let make = Make::default();
    let questions: Vec<NewConflict> = (0..4)
        .map(|number| make.conflict(None, &format!("a{number}"), Make::ambiguous()))
        .collect();
    open(&store, &make, &questions.iter().collect::<Vec<_>>()).await;
    let answer = store
        .resolve_conflict(
            questions[1].id,
            Resolution::CreateNew,
            make.job_id(),
            make.now(),
        )
        .await;
    assert!(answer.expect("resolve").is_some());
    let list = async |filter: ConflictFilter| -> Vec<ConflictId> {
        let found = store.conflicts(&filter).await.expect("conflicts");
        found.into_iter().map(|one| one.id).collect()
    };
    let all = ConflictFilter {
        limit: 9,
        ..ConflictFilter::default()
    };
    let newest_first: Vec<ConflictId> = questions.iter().rev().map(|one| one.id).collect();
    assert_eq!(list(all.clone()).await, newest_first);
    let page = ConflictFilter {
        before: Some(newest_first[1]),
        limit: 1,
        ..all.clone()
    };
    assert_eq!(list(page).await, vec![newest_first[2]]);
    let answered = ConflictFilter {
        state: Some(ConflictState::Answered),
        ..all.clone()
    };
    assert_eq!(list(answered).await, vec![questions[1].id]);
    let mine = ConflictFilter {
        sync: Some(Make::customers()),
        ..all.clone()
    };
    assert_eq!(list(mine).await.len(), 4);
    let fields = ConflictFilter {
        kind: Some("field".to_owned()),
        ..all.clone()
    };
    let of_a_field = questions.iter().filter(|one| one.kind.as_str() == "field");
    assert_eq!(list(fields).await.len(), of_a_field.count());
    let other = ConflictFilter {
        sync: Some(Make::sync("invoices")),
        ..all
    };
    assert_eq!(list(other).await, Vec::new());
}

/// Every kind and answer survives the storage.
pub async fn every_kind_and_answer_survives_the_storage(store: Subject) {
    let make = Make::default();
    let not_kept = ConflictKind::NotKept {
        field: "email".to_owned(),
        sent: Value::Text("X@Y.Z".to_owned()),
        kept: Value::Null,
        beside: tandem_domain::Fields::from([("name".to_owned(), Value::Text("X".to_owned()))]),
    };
    let met = ConflictKind::Overwritten {
        edited_at: None,
        event: None,
        written: tandem_domain::Fields::from([("name".to_owned(), Value::Text("X".to_owned()))]),
        met: Some("it was made before".to_owned()),
    };
    let cases = [
        (
            Make::field_conflict("name"),
            Resolution::Take { side: Side::A },
        ),
        (
            Make::ambiguous(),
            Resolution::LinkTo {
                record: RecordId::new("b2"),
            },
        ),
        (not_kept, Resolution::Reject),
        (met, Resolution::Dismiss),
        (
            ConflictKind::DeleteHeld {
                gone: Side::B,
                reason: "more deletes than the brake allows".to_owned(),
            },
            Resolution::Approve,
        ),
    ];
    for (number, (kind, resolution)) in cases.into_iter().enumerate() {
        let question = make.conflict(None, &format!("a{number}"), kind.clone());
        open(&store, &make, &[&question]).await;
        let answer = store
            .resolve_conflict(question.id, resolution.clone(), make.job_id(), make.now())
            .await;
        assert!(answer.expect("resolve").is_some());
        let conflict = stored(&store, question.id).await;
        assert_eq!(
            (conflict.kind, conflict.resolution),
            (kind, Some(resolution))
        );
    }
}

/// An answer that comes in between is not closed with a question that nobody has to answer any more.
pub async fn a_question_is_closed_only_in_the_state_in_which_it_was_seen(store: Subject) {
    let make = Make::default();
    let asked = make.conflict(None, "a1", Make::ambiguous());
    assert_eq!(open(&store, &make, &[&asked]).await, 1);
    let close = async |state: ConflictState, why: Option<&'static str>| {
        let closed = store.close_question(asked.id, state, why, make.now());
        closed.await.expect("close_question")
    };
    let answered =
        store.resolve_conflict(asked.id, Resolution::CreateNew, make.job_id(), make.now());
    assert!(answered.await.expect("resolve").is_some());
    assert!(!close(ConflictState::Open, Some("it is shown again")).await);
    let kept = stored(&store, asked.id).await;
    assert_eq!(
        (kept.state, kept.resolution),
        (ConflictState::Answered, Some(Resolution::CreateNew))
    );
    assert!(close(ConflictState::Answered, None).await);
    assert_eq!(stored(&store, asked.id).await.state, ConflictState::Closed);

    let other = make.conflict(None, "a2", Make::ambiguous());
    assert_eq!(open(&store, &make, &[&other]).await, 1);
    let why = Some("it is shown again");
    let closed = store.close_question(other.id, ConflictState::Open, why, make.now());
    assert!(closed.await.expect("close_question"));
    let closed = stored(&store, other.id).await;
    assert_eq!(
        (closed.state, closed.closed_because.as_deref()),
        (ConflictState::Closed, why)
    );
}

/// A field that vanishes from many records is asked about once, and the question is found by what it is about until it
/// is closed.
pub async fn a_field_that_vanishes_from_many_records_is_one_question(store: Subject) {
    let make = Make::default();
    let emptied = |record: &str, records: u64| {
        let kind = ConflictKind::Emptied {
            field: "note".to_owned(),
            records,
            value: Value::Null,
        };
        make.conflict(None, record, kind)
    };
    let (first, second) = (emptied("a1", 11), emptied("a2", 22));
    assert_eq!(open(&store, &make, &[&first]).await, 1);
    assert_eq!(open(&store, &make, &[&second]).await, 1, "another number");
    let subject = tandem_store::emptied_subject(&Make::customers(), Side::A, "note");
    assert_eq!(first.subject(), subject);
    let about = async || {
        store
            .question_about(&subject)
            .await
            .expect("question_about")
    };
    let found = about().await.expect("it is open");
    assert_eq!((found.id, found.kind), (first.id, second.kind));
    let job = make.job_id();
    let answered = store.resolve_conflict(first.id, Resolution::Reject, job, make.now());
    assert!(answered.await.expect("resolve").is_some());
    let found = about().await.expect("it is answered");
    assert_eq!(found.resolution, Some(Resolution::Reject));
    let confirmation = Confirmation {
        used_rulings: vec![first.id],
        ..Confirmation::default()
    };
    confirm(&store, &make, confirmation).await;
    assert_eq!(about().await, None, "it is closed");
}
