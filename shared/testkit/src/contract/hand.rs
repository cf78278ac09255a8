//! Pairs that operators make and take apart by hand, and questions that are moot.

use tandem_domain::{ConflictId, Fields, RecordId, Side, Value};
use tandem_store::{
    Change, ChangeFilter, Confirmation, ConflictFilter, ConflictKind, ConflictState, Fact,
    HandLink, JobState, Lane, LinkState, LinkUpdate, NewConflict, NewLink, Operation, Resolution,
    TakeUp, Unlinked,
};

use super::journal::journal;
use super::{Subject, claimed, job};
use crate::Make;

fn hand(make: &Make, link: &NewLink) -> HandLink {
    HandLink {
        link: link.clone(),
        change: change(make, link, Operation::Link),
        job: make.job("a1"),
    }
}

fn change(make: &Make, link: &NewLink, operation: Operation) -> Change {
    Change {
        link: Some(link.id),
        operation,
        ..make.change("a1", "b1")
    }
}

async fn open(store: &Subject, make: &Make, question: NewConflict) -> ConflictId {
    let id = question.id;
    let opened = store.open_conflicts(vec![question], make.now()).await;
    assert_eq!(opened.expect("open"), 1);
    id
}

async fn state(store: &Subject, id: ConflictId) -> ConflictState {
    let conflict = store.conflict(id).await.expect("conflict");
    conflict.expect("it is there").state
}

async fn is_ignored(store: &Subject, side: Side, record: &str) -> bool {
    let record = RecordId::new(record);
    let pair = store.pair(&Make::customers(), side, &record).await;
    pair.expect("pair").ignored
}

async fn logged(store: &Subject) -> Vec<Operation> {
    let all = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    let changes = store.changes(&all).await.expect("changes");
    changes.into_iter().map(|change| change.operation).collect()
}

/// Linking by hand is one step: the link, its entry in the log, its job, and the question about it.
pub async fn linking_by_hand_links_logs_compares_and_closes_the_question(store: Subject) {
    let make = Make::default();
    let question = open(&store, &make, make.conflict(None, "a1", Make::ambiguous())).await;
    let link = make.link("a1", "b1");
    let linked = store.link_by_hand(hand(&make, &link), make.now()).await;
    let id = linked.expect("linked").expect("both are free");
    let job = job(&store, id).await;
    assert_eq!(
        (job.state, job.lane),
        (JobState::Available, Lane::of_link(link.id))
    );
    assert_eq!(state(&store, question).await, ConflictState::Closed);
    assert_eq!(logged(&store).await, [Operation::Link]);
    let again = make.link("a1", "b2");
    let refused = store.link_by_hand(hand(&make, &again), make.now()).await;
    assert_eq!(refused.expect("asked"), None);
    assert_eq!(logged(&store).await.len(), 1);
}

/// A record whose create may be under way is not linked by hand.
pub async fn a_record_whose_create_is_open_is_not_linked_by_hand(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let create = make.create("a1", None);
    journal(&store, &make, &running, None, &[&create])
        .await
        .expect("journalled");
    let link = make.link("a1", "b1");
    let refused = store.link_by_hand(hand(&make, &link), make.now()).await;
    assert_eq!(refused.expect("asked"), None);
    assert_eq!(logged(&store).await, Vec::new());
}

/// A pair taken apart stays apart: both records are left alone, its questions are closed; linking it again by
/// hand takes them up.
pub async fn a_pair_taken_apart_by_hand_is_left_alone_until_it_is_linked_again(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    let linked = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(linked.expect("linked"), 1);
    let asked = make.conflict(Some(link.id), "a1", Make::field_conflict("name"));
    let question = open(&store, &make, asked).await;
    let unlink = || change(&make, &link, Operation::Unlink);
    let done = store.unlink_by_hand(link.id, unlink(), make.now()).await;
    assert_eq!(done.expect("unlinked"), Unlinked::Done);
    let stored = store
        .link(link.id)
        .await
        .expect("link")
        .expect("it is there");
    assert_eq!(
        (stored.state, stored.kept_apart),
        (LinkState::Retired, true)
    );
    assert!(is_ignored(&store, Side::A, "a1").await && is_ignored(&store, Side::B, "b1").await);
    assert_eq!(state(&store, question).await, ConflictState::Closed);
    let again = store.unlink_by_hand(link.id, unlink(), make.now()).await;
    assert_eq!(again.expect("asked"), Unlinked::NotLinked);
    assert_eq!(logged(&store).await, [Operation::Unlink]);

    let anew = make.link("a1", "b1");
    let linked = store.link_by_hand(hand(&make, &anew), make.now()).await;
    assert!(linked.expect("linked").is_some());
    assert!(!is_ignored(&store, Side::A, "a1").await && !is_ignored(&store, Side::B, "b1").await);
}

/// A pair of which a write is under way is not taken apart.
pub async fn a_pair_with_an_open_write_is_not_taken_apart_by_hand(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    let linked = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(linked.expect("linked"), 1);
    let running = claimed(&store, &make, "a1").await;
    let write = make.update(&link);
    journal(&store, &make, &running, Some((link.id, 1)), &[&write])
        .await
        .expect("journalled");
    let unlink = change(&make, &link, Operation::Unlink);
    let refused = store.unlink_by_hand(link.id, unlink, make.now()).await;
    assert_eq!(refused.expect("asked"), Unlinked::WriteUnderWay);
    let stored = store
        .link(link.id)
        .await
        .expect("link")
        .expect("it is there");
    assert_eq!(stored.state, LinkState::Active);
}

fn overwritten(make: &Make) -> ConflictKind {
    ConflictKind::Overwritten {
        edited_at: Some(make.now()),
        event: Some(make.event("told", "a2").id),
        written: Fields::new(),
        met: None,
    }
}

fn held() -> ConflictKind {
    ConflictKind::DeleteHeld {
        gone: Side::B,
        reason: String::new(),
    }
}

async fn because(store: &Subject, id: ConflictId) -> Option<String> {
    let conflict = store.conflict(id).await.expect("conflict");
    conflict.expect("it is there").closed_because
}

/// Questions that nobody has to answer any more are closed, each with what is known, and no others.
pub async fn moot_questions_are_closed_and_no_others(store: Subject) {
    let make = Make::default();
    let of_linked = open(&store, &make, make.conflict(None, "a1", Make::ambiguous())).await;
    let of_free = open(&store, &make, make.conflict(None, "a9", Make::ambiguous())).await;
    let links = ["1", "2", "3"].map(|n| make.link(&format!("a{n}"), &format!("b{n}")));
    let linked = store.insert_links(links.to_vec(), make.now()).await;
    assert_eq!(linked.expect("linked"), 3);
    let ask = async |link: usize, kind: ConflictKind| {
        let link = &links[link];
        let record = link.a.id.as_ref().expect("a record").as_str();
        open(&store, &make, make.conflict(Some(link.id), record, kind)).await
    };
    let of_pair = ask(0, held()).await;
    let of_ended = ask(1, held()).await;
    // That an edit was lost is no less true when the pair is gone: only a person closes it.
    let over = ask(1, overwritten(&make)).await;
    let unlink = change(&make, &links[1], Operation::Unlink);
    // It closes the question itself; a worker that retires the link does not.
    let done = store.unlink_by_hand(links[1].id, unlink, make.now()).await;
    assert_eq!(done.expect("unlinked"), Unlinked::Done);
    let by_hand = because(&store, of_ended).await;
    assert_eq!(by_hand.as_deref(), Some(Fact::TakenApart.because()));
    // Of a pair that is left alone, whichever question was answered so, nothing is asked.
    let ignored = ask(2, held()).await;
    let of_alone = ask(2, Make::field_conflict("name")).await;
    let over_alone = ask(2, overwritten(&make)).await;
    let job = make.job_id();
    let answer = store.resolve_conflict(ignored, Resolution::Ignore, job, make.now());
    assert!(answer.await.expect("answered").is_some());
    let closed = store.close_moot_conflicts(1, make.now()).await;
    assert_eq!(closed.expect("closed"), 1, "at most so many");
    let closed = store.close_moot_conflicts(9, make.now()).await;
    assert_eq!(closed.expect("closed"), 1);
    for (id, expected) in [
        (of_linked, Some(Fact::Linked)),
        (of_free, None),
        (of_pair, None),
        (of_alone, Some(Fact::LeftAlone)),
        (over, None),
        (over_alone, None),
    ] {
        assert_eq!(
            because(&store, id).await.as_deref(),
            expected.map(Fact::because),
            "{id}"
        );
        let is_closed = state(&store, id).await == ConflictState::Closed;
        assert_eq!(is_closed, expected.is_some(), "{id}");
    }
    let again = store.close_moot_conflicts(9, make.now()).await;
    assert_eq!(again.expect("asked"), 0);
}

/// A pair that is none any more has no questions, but for what was lost.
pub async fn the_questions_of_a_pair_that_was_retired_are_closed(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    let linked = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(linked.expect("linked"), 1);
    let ask = async |kind: ConflictKind| {
        open(&store, &make, make.conflict(Some(link.id), "a1", kind)).await
    };
    let closing = [ask(Make::field_conflict("name")).await, ask(held()).await];
    let over = ask(overwritten(&make)).await;
    let running = claimed(&store, &make, "a1").await;
    let retire = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: 1,
            a: link.a.clone(),
            b: link.b.clone(),
            base: link.base.clone(),
            state: LinkState::Retired,
        }),
        ..Confirmation::default()
    };
    let retired = store
        .confirm(&Make::customers(), running.lease, retire, make.now())
        .await;
    assert_eq!(retired.expect("confirm"), Ok(()));
    let closed = store.close_moot_conflicts(9, make.now()).await;
    assert_eq!(closed.expect("closed"), 2);
    for id in closing {
        let why = because(&store, id).await;
        assert_eq!(why.as_deref(), Some(Fact::PairEnded.because()));
    }
    assert_eq!(state(&store, over).await, ConflictState::Open);
}

/// What is found out about a record ends the questions that it concerns, also those that are answered, and no others.
pub async fn what_is_found_out_about_a_record_ends_its_questions(store: Subject) {
    let make = Make::default();
    let question = open(&store, &make, make.conflict(None, "a9", Make::ambiguous())).await;
    // A field that vanished in many records, of which this is one.
    let emptied = ConflictKind::Emptied {
        field: "name".to_owned(),
        records: 3,
        value: Value::Null,
    };
    let of_many = open(&store, &make, make.conflict(None, "a9", emptied)).await;
    let answer = store.resolve_conflict(question, Resolution::CreateNew, make.job_id(), make.now());
    assert!(answer.await.expect("answered").is_some());
    let (sync, record) = (Make::customers(), RecordId::new("a9"));
    let end = async |fact: Fact| {
        let closed = store.close_questions_of(&sync, Side::A, &record, fact, make.now());
        closed.await.expect("closed")
    };
    assert_eq!(end(Fact::Whole).await, [], "that is of a pair");
    assert_eq!(end(Fact::OutOfUse).await, [question]);
    assert_eq!(end(Fact::Gone).await, []);
    let why = because(&store, question).await;
    assert_eq!(why.as_deref(), Some(Fact::OutOfUse.because()));
    assert_eq!(state(&store, of_many).await, ConflictState::Open);
}

/// A pair whose question was answered with "ignore" is known to be left alone, and takes part again whichever of its
/// records is named; the question is open again, unless the same is asked already.
pub async fn what_was_left_alone_is_known_and_takes_part_again_with_its_question(store: Subject) {
    let make = Make::default();
    let links = [make.link("a1", "b1"), make.link("a2", "b2")];
    let linked = store.insert_links(links.to_vec(), make.now()).await;
    assert_eq!(linked.expect("linked"), 2);
    let asked = make.conflict(Some(links[0].id), "a1", Make::field_conflict("name"));
    let question = open(&store, &make, asked.clone()).await;
    let ignore = || async {
        let job = make.job_id();
        store
            .resolve_conflict(question, Resolution::Ignore, job, make.now())
            .await
            .expect("answered")
            .expect("it was open")
    };
    ignore().await;
    let both = links.each_ref().map(|link| link.id);
    let alone = store.left_alone(&both).await;
    assert_eq!(alone.expect("asked"), [links[0].id]);
    let count = store.left_alone_count(&Make::customers()).await;
    assert_eq!(count.expect("counted"), 2);

    let take_up = |question: Option<ConflictId>| {
        let (store, make) = (&store, &make);
        let taken = TakeUp {
            sync: Make::customers(),
            side: Side::B,
            record: RecordId::new("b1"),
            question,
            job: make.job_of(Make::reconcile(Side::B, "b1")),
        };
        async move { store.take_up(taken, make.now()).await.expect("taken up") }
    };
    let id = take_up(Some(question)).await.expect("it was left alone");
    assert_eq!(job(&store, id).await.lane, Lane::of_link(links[0].id));
    assert!(!is_ignored(&store, Side::A, "a1").await && !is_ignored(&store, Side::B, "b1").await);
    let stored = store.conflict(question).await.expect("asked");
    let stored = stored.expect("it is there");
    assert_eq!(
        (stored.state, stored.resolution),
        (ConflictState::Open, None)
    );
    assert_eq!(take_up(Some(question)).await, None, "nothing is left alone");
    let count = store.left_alone_count(&Make::customers()).await;
    assert_eq!(count.expect("counted"), 0);

    ignore().await;
    let newer = NewConflict {
        id: make.conflict(None, "a1", Make::ambiguous()).id,
        ..asked
    };
    open(&store, &make, newer).await;
    assert!(take_up(Some(question)).await.is_some());
    assert_eq!(state(&store, question).await, ConflictState::Closed);
}

/// A question that is asked again with other values shows those, as long as nobody has answered it.
pub async fn an_open_question_about_a_field_takes_over_the_values_of_now(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    let linked = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(linked.expect("linked"), 1);
    let with = |b: &str| {
        let kind = ConflictKind::Field {
            field: "name".to_owned(),
            a: Value::Text("one".to_owned()),
            b: Value::Text(b.to_owned()),
            again: None,
        };
        make.conflict(Some(link.id), "a1", kind)
    };
    let question = open(&store, &make, with("two")).await;
    let ask_again = |b: &'static str| {
        let (store, asked) = (&store, vec![with("older"), with(b)]);
        let now = make.now();
        async move { store.open_conflicts(asked, now).await.expect("asked") }
    };
    assert_eq!(ask_again("three").await, 1);
    assert_eq!(ask_again("three").await, 0, "nothing is new");
    let stands = || async {
        let conflict = store.conflict(question).await.expect("asked");
        conflict.expect("it is there").kind
    };
    assert_eq!(stands().await, with("three").kind);
    let answered = store
        .resolve_conflict(
            question,
            Resolution::Take { side: Side::A },
            make.job_id(),
            make.now(),
        )
        .await;
    assert!(answered.expect("answered").is_some());
    assert_eq!(ask_again("four").await, 0);
    assert_eq!(stands().await, with("three").kind);
}

/// Two jobs may find at once that a field is missing, each of another record: the question names a record with its own value.
pub async fn a_question_about_a_field_of_a_side_names_the_record_whose_value_it_shows(
    store: Subject,
) {
    let make = Make::default();
    let asked = |record: &str, value: &str| {
        let kind = ConflictKind::Emptied {
            field: "name".to_owned(),
            records: 11,
            value: Value::Text(value.to_owned()),
        };
        make.conflict(None, record, kind)
    };
    let question = open(&store, &make, asked("a1", "Ann")).await;
    let second = asked("a2", "Bob");
    let renewed = store.open_conflicts(vec![second.clone()], make.now()).await;
    assert_eq!(renewed.expect("asked"), 1);
    let found = store.conflict(question).await.expect("asked");
    let found = found.expect("it is there");
    assert_eq!(
        (&found.record, &found.kind, &found.shown),
        (&second.record, &second.kind, &second.shown)
    );
}

/// An answer can be changed until a job carries it out.
pub async fn an_answer_can_be_changed_until_it_is_carried_out(store: Subject) {
    let make = Make::default();
    let question = open(&store, &make, make.conflict(None, "a1", Make::ambiguous())).await;
    let answer = |resolution: Resolution| {
        let (store, make) = (&store, &make);
        async move {
            store
                .resolve_conflict(question, resolution, make.job_id(), make.now())
                .await
                .expect("asked")
        }
    };
    assert!(answer(Resolution::CreateNew).await.is_some());
    let to = Resolution::LinkTo {
        record: RecordId::new("b1"),
    };
    assert!(answer(to.clone()).await.is_some());
    let stored = store
        .conflict(question)
        .await
        .expect("asked")
        .expect("it is there");
    assert_eq!(stored.resolution, Some(to));

    let claimed = store.claim(make.claim(1)).await.expect("claimed");
    assert_eq!(claimed.len(), 1);
    assert_eq!(answer(Resolution::CreateNew).await, None);
    let all = ConflictFilter {
        state: Some(ConflictState::Answered),
        limit: 9,
        ..ConflictFilter::default()
    };
    assert_eq!(store.conflicts(&all).await.expect("asked").len(), 1);
}
