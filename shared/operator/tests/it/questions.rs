use tandem_domain::Side;
use tandem_operator::{ConflictQuery, OperatorError};
use tandem_store::{ConflictState, NewConflict, Resolution};
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
    let again = world
        .operator
        .resolve(id, take)
        .await
        .expect_err("it is answered");
    assert!(matches!(again, OperatorError::NotNow { .. }));
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
