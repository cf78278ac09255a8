use tandem_domain::{BaseValue, Fields, RecordId, Side, Value};
use tandem_operator::{Confirmed, ConflictQuery, OperatorError, Switch};
use tandem_store::{
    Confirmation, ConflictKind, ConflictState, Fact, Job, JobFilter, JobKind, JobOutcome,
    LinkState, LinkUpdate, NewConflict, Resolution, SetBackSign,
};
use tandem_testkit::Make;

use crate::support::{World, world};

async fn open(world: &World, conflict: NewConflict) -> tandem_domain::ConflictId {
    let id = conflict.id;
    world
        .store
        .open_conflicts(vec![conflict], world.make.now())
        .await
        .expect("it is opened");
    id
}

#[tokio::test]
async fn an_answer_becomes_a_job() {
    let world = world().await;
    let question = world
        .make
        .conflict(None, "7", Make::field_conflict("email"));
    let id = open(&world, question).await;
    let take = Resolution::Take { side: Side::A };
    let view = world
        .operator
        .resolve(id, take.clone())
        .await
        .expect("it is open");
    assert_eq!(view.state, ConflictState::Answered);
    assert_eq!(world.bell.rung().len(), 1);
    let other = Resolution::Take { side: Side::B };
    let changed = world.operator.resolve(id, other.clone()).await;
    assert_eq!(
        changed.expect("it is not carried out yet").resolution,
        Some(other)
    );
    world
        .operator
        .resolve(id, Resolution::Ignore)
        .await
        .expect("it closes it");
    let late = world
        .operator
        .resolve(id, take)
        .await
        .expect_err("it is closed");
    assert_eq!(
        late.to_string(),
        format!("the question {id} is closed already; list the open questions")
    );
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_question_is_refused_with_those_that_do() {
    let world = world().await;
    let question = world.make.conflict(None, "7", Make::ambiguous());
    let id = open(&world, question).await;
    let refused = world
        .operator
        .resolve(id, Resolution::Approve)
        .await
        .expect_err("it does not fit");
    assert_eq!(
        refused.to_string(),
        "`approve` does not answer a question of kind `ambiguous`; say which record to link it to, or to create a new one, or ignore the record"
    );
    let page = world
        .operator
        .conflicts(ConflictQuery::default())
        .await
        .expect("it lists");
    assert_eq!(page.items[0].answers, ["link_to", "create_new", "ignore"]);
    assert_eq!(page.items[0].question["candidates"][1], "b2");
}

async fn ambiguous(world: &World, record: &str) -> tandem_domain::ConflictId {
    let question = world.make.conflict(None, record, Make::ambiguous());
    open(world, question).await
}

fn to(record: &str) -> Resolution {
    Resolution::LinkTo {
        record: RecordId::new(record),
    }
}

async fn refusal(world: &World, id: tandem_domain::ConflictId, answer: Resolution) -> String {
    let refused = world.operator.resolve(id, answer).await;
    refused.expect_err("it is refused").to_string()
}

#[tokio::test]
async fn a_partner_that_is_not_there_is_refused_with_the_candidates_that_are_near() {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    world.systems.remove(Side::B, "b22");
    let told = refusal(&world, id, to("b22")).await;
    assert!(
        told.starts_with("books has no record `b22` now; did you mean b1 or b2?"),
        "{told}"
    );
    let told = refusal(&world, id, to("archived-1")).await;
    assert!(told.contains("archived or inactive"), "{told}");
    let still = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(still.state, ConflictState::Open);
    world
        .operator
        .resolve(id, to("b2"))
        .await
        .expect("a candidate that is there");
    let other = ambiguous(&world, "8").await;
    world
        .operator
        .resolve(other, to("b77"))
        .await
        .expect("another record that is there");
}

#[tokio::test]
async fn a_partner_that_is_no_candidate_and_holds_other_values_must_be_confirmed() {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    let refused = world.operator.resolve(id, to("bob-9")).await;
    let Err(OperatorError::Unconfirmed { problem, advice }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        problem.starts_with("\"Bob\" (bob-9) of books is none of the candidates"),
        "{problem}"
    );
    assert!(
        problem.contains("writes over `name`, \"Ann\" in crm and \"Bob\" in books"),
        "{problem}"
    );
    assert!(advice.contains("--yes") && advice.contains("\"confirm\": true"));
    let still = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(still.state, ConflictState::Open);
    let confirmed = world
        .operator
        .resolve_when(id, to("bob-9"), Confirmed(true))
        .await;
    assert_eq!(confirmed.expect("meant").state, ConflictState::Answered);
}

#[tokio::test]
async fn a_partner_that_is_left_alone_is_refused_with_the_way_to_have_it_take_part() {
    let world = world().await;
    let question = NewConflict {
        side: Side::B,
        ..world.make.conflict(None, "b1", Make::ambiguous())
    };
    let other = open(&world, question).await;
    let left = world.operator.resolve(other, Resolution::Ignore).await;
    left.expect("it is left alone");
    let id = ambiguous(&world, "7").await;
    let told = refusal(&world, id, to("b1")).await;
    assert!(told.contains("`b1` of books is left alone"), "{told}");
    assert!(
        told.contains("`tandem links link customers 7 b1`"),
        "{told}"
    );
    let still = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(still.state, ConflictState::Open);
}

#[tokio::test]
async fn two_records_are_not_promised_one_partner() {
    let world = world().await;
    let (first, second) = (ambiguous(&world, "7").await, ambiguous(&world, "8").await);
    world
        .operator
        .resolve(first, to("b1"))
        .await
        .expect("it is free");
    let told = refusal(&world, second, to("b1")).await;
    assert!(
        told.contains(&format!("to be linked with `7`, by the answer to {first}")),
        "{told}"
    );
    world
        .operator
        .resolve(first, to("b2"))
        .await
        .expect("it is changed");
    world
        .operator
        .resolve(second, to("b1"))
        .await
        .expect("it is free now");
}

#[tokio::test]
async fn a_partner_that_is_linked_elsewhere_is_refused_with_its_link() {
    let world = world().await;
    let link = world.make.link("1", "b1");
    let inserted = world
        .store
        .insert_links(vec![link.clone()], world.make.now())
        .await;
    assert_eq!(inserted.expect("linked"), 1);
    let id = ambiguous(&world, "7").await;
    let told = refusal(&world, id, to("b1")).await;
    assert!(
        told.contains(&format!(
            "`b1` of books is linked with `1` already ({})",
            link.id
        )),
        "{told}"
    );
}

#[tokio::test]
async fn to_make_a_record_is_neither_offered_nor_accepted_where_the_sync_makes_none() {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    world.systems.make_none();
    let asked = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(asked.answers, ["link_to", "ignore"]);
    let told = refusal(&world, id, Resolution::CreateNew).await;
    assert!(told.contains("makes no records in books"), "{told}");
    let still = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(still.state, ConflictState::Open);
}

#[tokio::test]
async fn the_question_about_a_record_that_is_gone_closes() {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    world.systems.remove(Side::A, "7");
    let told = refusal(&world, id, Resolution::CreateNew).await;
    assert!(told.contains("`7` is gone from crm"), "{told}");
    let closed = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(closed.state, ConflictState::Closed);
}

#[tokio::test]
async fn nothing_is_answered_while_a_system_cannot_be_asked() {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    world.systems.go_away();
    let refused = world.operator.resolve(id, to("b1")).await;
    assert!(matches!(refused, Err(OperatorError::NotChecked { .. })));
    world
        .operator
        .resolve(id, Resolution::Ignore)
        .await
        .expect("that needs no system");
}

#[tokio::test]
async fn a_delete_is_not_approved_when_the_record_is_back_or_the_pair_is_none() {
    let world = world().await;
    let link = world.make.link("7", "b7");
    let inserted = world
        .store
        .insert_links(vec![link.clone()], world.make.now())
        .await;
    assert_eq!(inserted.expect("linked"), 1);
    let held = ConflictKind::DeleteHeld {
        gone: Side::A,
        reason: String::new(),
    };
    let id = open(&world, world.make.conflict(Some(link.id), "7", held)).await;
    let told = refusal(&world, id, Resolution::Approve).await;
    assert!(told.contains("`7` is in crm again"), "{told}");
    world.systems.remove(Side::A, "7");
    world
        .operator
        .resolve(id, Resolution::Approve)
        .await
        .expect("it is gone");
    world
        .operator
        .unlink_by_hand(link.id)
        .await
        .expect("it is a pair");
    let late = world.make.conflict(
        Some(link.id),
        "8",
        ConflictKind::DeleteHeld {
            gone: Side::A,
            reason: String::new(),
        },
    );
    let late = open(&world, late).await;
    let told = refusal(&world, late, Resolution::Approve).await;
    assert!(told.contains("is not linked any more"), "{told}");
}

/// A pair that has ended, as a worker leaves it.
async fn retired(world: &World, a: &str, b: &str) {
    let (make, store) = (&world.make, &world.store);
    let link = make.link(a, b);
    let id = link.id;
    let inserted = store.insert_links(vec![link], make.now()).await;
    assert_eq!(inserted.expect("linked"), 1);
    let queued = store.enqueue(vec![make.job(a)], make.now()).await;
    queued.expect("it is enqueued");
    let claimed = store.claim(make.claim(1)).await.expect("it is claimed");
    let link = store.link(id).await.expect("link").expect("it is there");
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id,
            expected_revision: link.revision,
            a: link.a,
            b: link.b,
            base: link.base,
            state: LinkState::Retired,
        }),
        outcome: Some(JobOutcome::Done {
            note: "retired".to_owned(),
        }),
        ..Confirmation::default()
    };
    let sync = Make::customers();
    let ended = store.confirm(&sync, claimed[0].lease, confirmation, make.now());
    assert_eq!(ended.await.expect("confirmed"), Ok(()));
}

fn not_deleted(world: &World) -> ConflictKind {
    ConflictKind::NotDeleted {
        system: "crm".to_owned(),
        answered_at: world.make.now(),
        seen_at: world.make.after(30),
        edited: false,
        gone_at: None,
    }
}

#[tokio::test]
async fn a_delete_that_did_nothing_is_sent_again_only_while_the_record_is_there_and_its_partner_is_not()
 {
    let world = world().await;
    let asked_of = async |a: &str, b: &str| {
        retired(&world, a, b).await;
        let asked = world.make.conflict(None, a, not_deleted(&world));
        open(&world, asked).await
    };
    let id = asked_of("7", "b7").await;
    let view = world.operator.conflict(id).await.expect("it is asked");
    for part in ["7", "crm answered our delete with success", "by hand"] {
        assert!(view.asks.contains(part), "{}", view.asks);
    }
    let told = refusal(&world, id, Resolution::Approve).await;
    assert!(
        told.contains("`b7` is in") && told.contains("again"),
        "{told}"
    );
    world.systems.remove(Side::B, "b7");
    let approved = world.operator.resolve(id, Resolution::Approve).await;
    approved.expect("its partner is gone");

    let gone = asked_of("8", "b8").await;
    world.systems.remove(Side::A, "8");
    let told = refusal(&world, gone, Resolution::Approve).await;
    assert!(told.contains("`8` is gone"), "{told}");
    let view = world.operator.conflict(gone).await.expect("it is known");
    assert_eq!(view.state, ConflictState::Closed);
    let left = asked_of("9", "b9").await;
    let dismissed = world.operator.resolve(left, Resolution::Dismiss).await;
    dismissed.expect("it is left as it is");
}

#[tokio::test]
async fn many_questions_are_answered_alike_and_what_does_not_fit_is_left() {
    let world = world().await;
    let one = open(
        &world,
        world
            .make
            .conflict(None, "7", Make::field_conflict("email")),
    )
    .await;
    let two = open(
        &world,
        world
            .make
            .conflict(None, "8", Make::field_conflict("email")),
    )
    .await;
    let three = ambiguous(&world, "9").await;
    let take = Resolution::Take { side: Side::A };
    let outcome = world.operator.resolve_all(&[one, two, three], &take).await;
    let outcome = outcome.expect("the storage answers");
    assert_eq!(outcome.resolved, [one, two]);
    assert_eq!(outcome.skipped[0].id, three);
    let link = world.operator.resolve_all(&[three], &to("b1")).await;
    assert!(link.is_err(), "one partner for many");
}

#[tokio::test]
async fn records_are_linked_by_hand_only_when_both_are_there_and_free() {
    let world = world().await;
    let record = |id: &str| RecordId::new(id);
    let link = async |a: &str, b: &str| {
        let (sync, a, b) = (Make::customers(), record(a), record(b));
        let linked = world
            .operator
            .link_by_hand(&sync, &a, &b, Confirmed(false))
            .await;
        linked.map_err(|refused| refused.to_string())
    };
    world.systems.remove(Side::B, "b9");
    let told = link("1", "b9").await.expect_err("it is not there");
    assert_eq!(
        told,
        "books has no record `b9` now; check the id in the system"
    );
    let made = link("1", "b1").await.expect("both are there");
    assert_eq!(world.bell.rung().len(), 1);
    let told = link("2", "b1").await.expect_err("it is taken");
    assert!(told.contains("is linked with `1` already"), "{told}");
    let seen = world
        .operator
        .look(&Make::customers(), Side::B, &record("b1"))
        .await;
    let seen = seen.expect("it is there");
    assert_eq!(
        (seen.link, seen.connection.as_str()),
        (Some(made.id), "books")
    );
    world
        .operator
        .unlink_by_hand(made.id)
        .await
        .expect("it is a pair");
    let again = world
        .operator
        .unlink_by_hand(made.id)
        .await
        .expect_err("it is none");
    assert!(
        again.to_string().contains("is not linked any more"),
        "{again}"
    );
    link("2", "b1").await.expect("it is free again");
}

#[tokio::test]
async fn a_question_names_its_records_and_shows_their_values() {
    let world = world().await;
    let question = NewConflict {
        shown: vec![
            Make::shown(Side::A, "7", "Acme"),
            Make::shown(Side::B, "b1", "Acme Ltd"),
        ],
        ..world.make.conflict(None, "7", Make::ambiguous())
    };
    let id = open(&world, question).await;
    let view = world.operator.conflict(id).await.expect("it is there");
    assert!(
        view.asks.contains("\"Acme\" (7) on side a"),
        "{}",
        view.asks
    );
    assert!(view.asks.contains("\"Acme Ltd\" (b1)"), "{}", view.asks);
    assert_eq!(view.records[0].fields["name"], "Acme");
    assert_eq!(view.records[1].name.as_deref(), Some("Acme Ltd"));

    let held = world.make.conflict(
        None,
        "8",
        tandem_store::ConflictKind::DeleteHeld {
            gone: Side::B,
            reason: String::new(),
        },
    );
    let held = NewConflict {
        shown: vec![
            Make::shown(Side::A, "8", "Basin"),
            Make::shown(Side::B, "b8", "Basin"),
        ],
        ..held
    };
    let id = open(&world, held).await;
    let asks = world.operator.conflict(id).await.expect("it is there").asks;
    for part in [
        "\"Basin\" (8) on side a (crm) would be deleted",
        "\"Basin\" (b8) on side b (books) is gone",
        "deletes.brake",
    ] {
        assert!(asks.contains(part), "{asks}");
    }
}

#[tokio::test]
async fn a_system_that_was_set_back_has_no_values_to_give_and_the_answer_has_both_sides_compared() {
    let world = world().await;
    let kind = ConflictKind::SetBack {
        system: "crm".to_owned(),
        older: 8,
        missing: 4,
        reason: "it says that it last changed long ago".to_owned(),
    };
    let question = NewConflict {
        shown: vec![
            Make::shown(Side::A, "7", "Acme"),
            Make::shown(Side::A, "8", "Basin"),
        ],
        ..world.make.conflict(None, "7", kind)
    };
    let id = open(&world, question).await;
    let asks = world.operator.conflict(id).await.expect("it is there").asks;
    for part in [
        "crm, the system of side a",
        "8 show an older state",
        "4 are missing",
        "\"Basin\" (8)",
    ] {
        assert!(asks.contains(part), "{asks}");
    }
    let status = world.operator.sync_status(&Make::customers()).await;
    let told = status.expect("it is there").set_back;
    assert_eq!((told[0].conflict, &told[0].asks), (id, &asks));
    let take = |side| Resolution::Take { side };
    let offered = world.operator.conflict(id).await.expect("it is there");
    let fits = |side| {
        let mut choices = offered.choices.iter();
        choices.any(|choice| choice.is(&take(side)))
    };
    assert_eq!([fits(Side::A), fits(Side::B)], [false, true]);
    let refused = world.operator.resolve(id, take(Side::A)).await;
    let refused = refused.expect_err("it was set back").to_string();
    assert!(refused.contains("Only side b can be taken"), "{refused}");
    assert!(
        refused.contains("the system that was set back"),
        "{refused}"
    );
    let answered = world.operator.resolve(id, take(Side::B)).await;
    assert_eq!(answered.expect("it fits").state, ConflictState::Answered);
    let filter = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    let jobs = world.store.jobs(&filter).await.expect("jobs");
    let is_whole = |job: &Job| matches!(job.kind, JobKind::Backfill { .. });
    assert!(jobs.iter().any(is_whole), "{jobs:?}");
}

#[tokio::test]
async fn an_answer_about_a_system_is_carried_out_when_no_pair_waits_for_it() {
    let world = world().await;
    let kind = ConflictKind::SetBack {
        system: "crm".to_owned(),
        older: 3,
        missing: 0,
        reason: "it says that it last changed long ago".to_owned(),
    };
    let id = open(&world, world.make.conflict(None, "7", kind)).await;
    let (sync, now, link) = (Make::customers(), world.make.now(), world.make.link_id());
    let sign = SetBackSign::Older;
    let noted = world
        .store
        .note_set_back(&sync, Side::A, link, sign, 9, now);
    noted.await.expect("noted");
    let take = Resolution::Take { side: Side::B };
    world.operator.resolve(id, take).await.expect("it fits");
    let waiting = || async {
        let status = world.operator.sync_status(&sync).await;
        status.expect("it is there").answered_conflicts.count
    };
    assert_eq!(waiting().await, 1);
    let forgotten = world.store.forget_set_back(&sync, Side::A, Some(link), now);
    forgotten.await.expect("forgotten");
    assert_eq!(waiting().await, 0);
}

#[tokio::test]
async fn an_answer_about_one_record_has_its_side_listed_where_others_wait_for_it() {
    for sign in [SetBackSign::Missing, SetBackSign::Older] {
        let world = world().await;
        let kind = ConflictKind::Replaced {
            reason: "it says that it last changed long ago".to_owned(),
            known: Fields::new(),
            found: Fields::new(),
            overlaid: false,
            merged: false,
        };
        let id = open(&world, world.make.conflict(None, "7", kind)).await;
        let (sync, now) = (Make::customers(), world.make.now());
        let other = world.make.link_id();
        let noted = world
            .store
            .note_set_back(&sync, Side::A, other, sign, 9, now);
        noted.await.expect("noted");
        let answered = world.operator.resolve(id, Resolution::Approve).await;
        assert_eq!(answered.expect("it fits").state, ConflictState::Answered);
        let filter = JobFilter {
            limit: 100,
            ..JobFilter::default()
        };
        let jobs = world.store.jobs(&filter).await.expect("jobs");
        let lists = |job: &Job| matches!(job.kind, JobKind::Sweep { side: Side::A, .. });
        assert!(jobs.iter().any(lists), "{jobs:?}");
    }
}

#[tokio::test]
async fn a_list_of_a_sync_that_never_was_or_of_no_rows_is_refused() {
    let world = world().await;
    let query = ConflictQuery {
        sync: Some(Make::sync("customer")),
        ..ConflictQuery::default()
    };
    let refused = world.operator.conflicts(query).await.expect_err("a typo");
    assert!(
        refused.to_string().contains("did you mean `customers`?"),
        "{refused}"
    );
    for limit in [0, 1_001] {
        let query = ConflictQuery {
            limit: Some(limit),
            ..ConflictQuery::default()
        };
        let refused = world.operator.conflicts(query).await.expect_err("no page");
        assert!(refused.to_string().contains("1 to 1000"), "{refused}");
    }
}

#[tokio::test]
async fn a_question_about_a_value_that_was_not_kept_shows_what_stands_now() {
    let world = world().await;
    let text = |text: &str| Value::Text(text.to_owned());
    let mut link = world.make.link("7", "b7");
    let base = BaseValue {
        a: text("Ann Newer"),
        b: text("Ann N"),
    };
    link.base.insert("name".to_owned(), base);
    let now = world.make.now();
    let linked = world.store.insert_links(vec![link.clone()], now).await;
    assert_eq!(linked.expect("linked"), 1);
    let kind = ConflictKind::NotKept {
        field: "name".to_owned(),
        sent: text("Ann Old"),
        kept: text("Ann O"),
        beside: Fields::default(),
    };
    let question = NewConflict {
        side: Side::B,
        record: RecordId::new("b7"),
        shown: vec![Make::shown(Side::A, "7", "Ann Old")],
        ..world.make.conflict(Some(link.id), "b7", kind)
    };
    let id = open(&world, question).await;
    let view = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(
        (&view.question["sent"], &view.question["kept"]),
        (&"Ann Newer".into(), &"Ann N".into())
    );
    assert!(view.asks.contains("\"Ann Newer\""), "{}", view.asks);
    assert_eq!(view.records[0].fields["name"], "Ann Newer");
    let page = world.operator.conflicts(ConflictQuery::default()).await;
    assert_eq!(page.expect("it lists").items[0], view);
}

#[tokio::test]
async fn a_candidate_that_is_linked_or_left_alone_by_now_is_not_offered_and_it_is_said_why() {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    let fresh = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(fresh.not_offered, []);
    let link = world.make.link("1", "b1");
    let linked = world
        .store
        .insert_links(vec![link.clone()], world.make.now());
    assert_eq!(linked.await.expect("linked"), 1);
    let question = NewConflict {
        side: Side::B,
        ..world.make.conflict(None, "b2", Make::ambiguous())
    };
    let other = open(&world, question).await;
    let left = world.operator.resolve(other, Resolution::Ignore).await;
    left.expect("it is left alone");
    let view = world.operator.conflict(id).await.expect("it is there");
    let [first, second] = view.not_offered.as_slice() else {
        panic!("{:?}", view.not_offered);
    };
    assert_eq!(first.record, RecordId::new("b1"));
    assert_eq!(
        first.because,
        format!(
            "is linked with `1` ({0}): `tandem links unlink {0}` takes that pair apart",
            link.id
        )
    );
    assert_eq!(second.record, RecordId::new("b2"));
    assert!(
        second
            .because
            .contains("`tandem links link customers 7 b2`"),
        "{}",
        second.because
    );
}

#[tokio::test]
async fn an_answer_that_is_given_while_the_sync_or_a_connection_is_paused_says_that_it_waits() {
    let world = world().await;
    let field = |record: &str| {
        world
            .make
            .conflict(None, record, Make::field_conflict("name"))
    };
    let (id, second) = (
        open(&world, field("7")).await,
        open(&world, field("8")).await,
    );
    let take = || Resolution::Take { side: Side::A };
    let sync = Make::customers();
    let paused = world
        .operator
        .switch_sync(&sync, Switch::Pause, Some("the audit"));
    paused.await.expect("it is paused");
    let view = world.operator.resolve(id, take()).await.expect("answered");
    let words = view.waits.expect("it waits");
    assert!(
        words.starts_with("the sync `customers` is paused"),
        "{words}"
    );
    assert!(words.contains("`tandem sync resume customers`"), "{words}");
    let resumed = world.operator.switch_sync(&sync, Switch::Resume, None);
    resumed.await.expect("it is resumed");
    let crm = Make::crm();
    let paused = world.operator.switch_connection(&crm, Switch::Pause, None);
    paused.await.expect("it is paused");
    let many = world.operator.resolve_all(&[id, second], &take()).await;
    let many = many.expect("answered");
    assert_eq!((many.resolved.len(), many.waits.len()), (2, 1));
    assert!(
        many.waits[0].contains("`tandem connections resume crm`"),
        "{:?}",
        many.waits
    );
    let resumed = world.operator.switch_connection(&crm, Switch::Resume, None);
    resumed.await.expect("it is resumed");
    let view = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(view.waits, None);
}

#[tokio::test]
async fn a_question_that_closed_by_itself_says_why_where_it_is_shown_and_in_the_story_of_its_record()
 {
    let world = world().await;
    let id = ambiguous(&world, "7").await;
    let (sync, record) = (Make::customers(), RecordId::new("7"));
    let now = world.make.now();
    let closed = world
        .store
        .close_questions_of(&sync, Side::A, &record, Fact::OutOfUse, now);
    assert_eq!(closed.await.expect("closed"), [id]);
    let view = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(
        view.closed_because.as_deref(),
        Some(Fact::OutOfUse.because())
    );
    let story = world.operator.explain(&sync, Some(Side::A), &record).await;
    let told = story.expect("it is known").to_string();
    assert!(told.contains(Fact::OutOfUse.because()), "{told}");
    assert!(!told.contains("answer with"), "{told}");
}

#[tokio::test]
async fn the_status_counts_open_questions_as_they_are_listed_and_answers_apart() {
    let world = world().await;
    for record in ["7", "8", "9"] {
        ambiguous(&world, record).await;
    }
    let open = ConflictQuery {
        state: Some(ConflictState::Open),
        ..ConflictQuery::default()
    };
    let listed = world
        .operator
        .conflicts(open)
        .await
        .expect("it lists")
        .items;
    let answer = Resolution::CreateNew;
    let answered = world.operator.resolve(listed[0].id, answer).await;
    answered.expect("it is answered");
    let status = world.operator.sync_status(&Make::customers()).await;
    let status = status.expect("it is known");
    assert_eq!(status.open_conflicts.count, 2);
    assert_eq!(status.answered_conflicts.count, 1);
}

#[tokio::test]
async fn what_a_create_went_over_is_told_with_what_says_so_and_what_to_do() {
    let world = world().await;
    let text = |text: &str| Value::Text(text.to_owned());
    let link = world.make.link("7", "b7");
    let now = world.make.now();
    let linked = world.store.insert_links(vec![link.clone()], now).await;
    assert_eq!(linked.expect("linked"), 1);
    let ask = async |kind: ConflictKind| {
        let question = NewConflict {
            side: Side::B,
            record: RecordId::new("b7"),
            shown: vec![Make::shown(Side::B, "b7", "New Ltd")],
            ..world.make.conflict(Some(link.id), "b7", kind)
        };
        let id = open(&world, question).await;
        world.operator.conflict(id).await.expect("it is there")
    };
    let written = Fields::from([("city".to_owned(), text("Lyon"))]);
    let over = ask(ConflictKind::Overwritten {
        edited_at: None,
        event: None,
        written: written.clone(),
        met: Some("it was made at noon".to_owned()),
    })
    .await;
    for said in [
        "our create on side b (books) was answered with \"New Ltd\" (b7), which stood there before",
        "it was made at noon",
        "we wrote city \"Lyon\"",
        "is not known",
        "enter it again there",
    ] {
        assert!(over.asks.contains(said), "{said}: {}", over.asks);
    }
    let story = world
        .operator
        .explain(&Make::customers(), Some(Side::B), &RecordId::new("b7"))
        .await;
    let story = story.expect("it is known").to_string();
    assert!(story.contains("our create on side b (books)"), "{story}");
    let perhaps = ask(ConflictKind::NotKept {
        field: "phone".to_owned(),
        sent: Value::Null,
        kept: text("555"),
        beside: written,
    })
    .await;
    for said in [
        "has \"555\" now: either side b (books) fills it in by itself, or a record stood there before",
        "went under our city \"Lyon\"",
    ] {
        assert!(perhaps.asks.contains(said), "{said}: {}", perhaps.asks);
    }
}

#[tokio::test]
async fn who_takes_the_values_of_the_other_side_is_told_which_records_were_edited_since() {
    let world = world().await;
    let (sync, now) = (Make::customers(), world.make.now());
    let kind = ConflictKind::SetBack {
        system: "crm".to_owned(),
        older: 3,
        missing: 0,
        reason: "it is older".to_owned(),
    };
    let question = world.make.conflict(None, "a1", kind);
    let id = open(&world, question).await;
    for (a, b, asked) in [("a1", "b1", Some(id)), ("a2", "b2", None)] {
        let mut link = world.make.link(a, b);
        link.a.memory.set_back = Some(now.minus(std::time::Duration::from_secs(60)));
        link.a.memory.set_back_asked = asked;
        let linked = world.store.insert_links(vec![link], now).await;
        assert_eq!(linked.expect("it is linked"), 1);
    }
    let events = vec![world.make.event("k1", "a1"), world.make.event("k2", "a2")];
    let delivery = world.make.delivery(events);
    let stored = world.store.record_deliveries(vec![delivery], now).await;
    stored.expect("it is stored");
    let asked = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(asked.sync, sync);
    assert_eq!(asked.edited_since, [RecordId::new("a1")]);
    let take = asked.choices.iter().find(|one| one.answer == "take");
    let does = &take.expect("it is offered").does;
    assert!(
        does.ends_with("Events have told of edits since: a1"),
        "{does}"
    );
}
