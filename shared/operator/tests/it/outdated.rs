//! Answers that are given for values which are not there any more.

use tandem_domain::{ConflictId, Fields, Side, Value};
use tandem_operator::OperatorError;
use tandem_store::{ConflictKind, ConflictState, Earlier, NewLink, Resolution, ShownUnder};

use crate::support::{World, world};

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// A question about the pair of Ann and Bob, which shows these names.
async fn asked(world: &World, kind: ConflictKind) -> ConflictId {
    asked_of(world, kind, world.make.link("7", "bob7")).await
}

async fn asked_of(world: &World, kind: ConflictKind, link: NewLink) -> ConflictId {
    let (now, id) = (world.make.now(), link.id);
    let linked = world.store.insert_links(vec![link], now).await;
    assert_eq!(linked.expect("linked"), 1);
    let question = world.make.conflict(Some(id), "7", kind);
    let id = question.id;
    let opened = world.store.open_conflicts(vec![question], now).await;
    assert_eq!(opened.expect("opened"), 1);
    id
}

fn contest(a: &str, b: &str, again: Option<Earlier>) -> ConflictKind {
    ConflictKind::Field {
        field: "name".to_owned(),
        a: text(a),
        b: text(b),
        again,
    }
}

const TAKE_A: Resolution = Resolution::Take { side: Side::A };

#[tokio::test]
async fn who_answers_for_values_that_have_changed_is_told_so_and_sees_those_of_now() {
    let world = world().await;
    let id = asked(&world, contest("Ann", "Bert", None)).await;
    let refused = world.operator.resolve(id, TAKE_A).await;
    let refused = refused.expect_err("b has another name by now");
    assert!(matches!(refused, OperatorError::NotNow { .. }));
    assert_eq!(
        refused.to_string(),
        format!(
            "the question {id} showed other values than there are now, so nothing was done: `name` on side b (books) was \"Bert\" and is \"Bob\"; look at the question again, and answer for the values of now"
        )
    );
    assert_eq!(world.bell.rung().len(), 1, "the pair is looked at");
    let view = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(view.state, ConflictState::Open);
    assert_eq!(view.question["b"], "Bob");
    let view = world.operator.resolve(id, TAKE_A).await.expect("as it is");
    assert_eq!(view.state, ConflictState::Answered);
}

#[tokio::test]
async fn an_answer_about_what_a_late_write_of_ours_went_over_holds_as_long_as_that_stands_there() {
    for (covered_by, is_taken) in [("Bob", true), ("Rob", false)] {
        let world = world().await;
        let mut link = world.make.link("7", "bob7");
        let typed = ShownUnder {
            value: text("Bert"),
            edited_at: None,
            covered_by: Some(text(covered_by)),
        };
        link.b.memory.shown_under = [("name".to_owned(), typed)].into();
        let id = asked_of(&world, contest("Ann", "Bert", None), link).await;
        let answered = world.operator.resolve(id, TAKE_A).await;
        // Otherwise somebody has typed over our write, and a person has not seen that.
        assert_eq!(answered.is_ok(), is_taken, "{covered_by}: {answered:?}");
        let view = world.operator.conflict(id).await.expect("it is there");
        let shows = if is_taken { "Bert" } else { "Bob" };
        assert_eq!(view.question["b"], shows);
    }
}

#[tokio::test]
async fn an_answer_for_the_values_of_now_is_taken() {
    let world = world().await;
    let id = asked(&world, contest("Ann", "Bob", None)).await;
    let view = world.operator.resolve(id, TAKE_A).await.expect("as it is");
    assert_eq!(view.state, ConflictState::Answered);
}

#[tokio::test]
async fn a_question_that_is_asked_again_says_what_was_answered() {
    let world = world().await;
    let name = |value: &str| Fields::from([("name".to_owned(), text(value))]);
    let earlier = Earlier {
        took: Side::A,
        a: name("Ann"),
        b: name("Bert"),
    };
    let id = asked(&world, contest("Ann", "Bobby", Some(earlier))).await;
    let told = "The answer `take a` was not carried out: it was given for name \"Ann\" on side a and name \"Bert\" on side b, and one of them has changed since";
    let view = world.operator.conflict(id).await.expect("it is there");
    assert!(view.asks.ends_with(told), "{}", view.asks);
    assert_eq!(view.question["again"]["took"], "a");
    // It goes on to say so when it takes over newer values.
    let refused = world.operator.resolve(id, TAKE_A).await;
    refused.expect_err("b has another name by now");
    let view = world.operator.conflict(id).await.expect("it is there");
    assert_eq!(view.question["b"], "Bob");
    assert!(view.asks.ends_with(told), "{}", view.asks);
}

#[tokio::test]
async fn who_takes_a_value_that_was_not_kept_and_is_another_by_now_is_told_so() {
    let world = world().await;
    let kind = ConflictKind::NotKept {
        field: "name".to_owned(),
        sent: text("Annabel"),
        kept: text("Ann"),
        beside: Fields::new(),
    };
    let id = asked(&world, kind).await;
    let refused = world.operator.resolve(id, TAKE_A).await;
    let refused = refused.expect_err("b has another name by now").to_string();
    assert!(
        refused.contains("`name` on side b (books) was \"Ann\" and is \"Bob\""),
        "{refused}"
    );
    let view = world.operator.resolve(id, Resolution::Dismiss).await;
    assert_eq!(
        view.expect("nothing is written").state,
        ConflictState::Answered
    );
}
