//! Linking two records by hand: what it would write over is told first, and what cannot be done is refused before that.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, LinkId, RecordId, Value};
use tandem_operator::{Confirmed, OperatorError};
use tandem_store::{NewLink, Resolution};
use tandem_testkit::Make;

use crate::support::{World, world};

async fn link(world: &World, a: &str, b: &str, confirmed: bool) -> Result<LinkId, OperatorError> {
    let (a, b) = (RecordId::new(a), RecordId::new(b));
    let linked = world
        .operator
        .link_by_hand(&Make::customers(), &a, &b, Confirmed(confirmed))
        .await;
    linked.map(|link| link.id)
}

async fn told(world: &World, a: &str, b: &str) -> Result<Vec<String>, String> {
    let (a, b) = (RecordId::new(a), RecordId::new(b));
    let linking = world.operator.linking(&Make::customers(), &a, &b).await;
    linking
        .map(|linking| linking.told)
        .map_err(|refused| refused.to_string())
}

#[tokio::test]
async fn records_that_hold_other_values_are_linked_only_when_that_is_confirmed() {
    let world = world().await;
    let refused = link(&world, "1", "bob-9", false).await;
    let Err(OperatorError::Unconfirmed { problem, advice }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        problem,
        "\"Ann\" (1) of crm and \"Bob\" (bob-9) of books do not hold the same. Linking makes the two equal by the rules of the \
         sync, and so writes over `name`, \"Ann\" in crm and \"Bob\" in books: the earlier edit by the later one"
    );
    assert!(advice.contains("--yes") && advice.contains("\"confirm\": true"));
    assert_eq!(world.bell.rung().len(), 0, "nothing was done");
    link(&world, "1", "bob-9", true).await.expect("meant");
    link(&world, "2", "b2", false)
        .await
        .expect("nothing is written over");
}

#[tokio::test]
async fn a_field_that_flows_one_way_is_written_over_on_the_other_side_alone_be_it_by_nothing() {
    let world = world().await;
    assert_eq!(
        told(&world, "rich-1", "b1").await,
        Ok(vec!["`limit` of crm, 10, by nothing of books".to_owned()])
    );
    assert_eq!(
        told(&world, "1", "rich-1").await,
        Ok(Vec::new()),
        "an empty field is filled"
    );
}

#[tokio::test]
async fn what_cannot_be_linked_is_refused_before_it_is_asked_about() {
    let world = world().await;
    let busy = world
        .store
        .enqueue(vec![world.make.job("busy-1")], world.make.now());
    busy.await.expect("enqueued");
    let claimed = world.store.claim(world.make.claim(1)).await;
    let lease = claimed.expect("claimed")[0].lease;
    let create = vec![world.make.create("busy-1", None)];
    let journalled = world.store.journal(lease, None, create, world.make.now());
    assert_eq!(journalled.await.expect("journalled"), Ok(()));
    link(&world, "3", "b3", false).await.expect("free");
    for (a, b, part) in [
        (
            "busy-1",
            "bob-9",
            "a partner of the record `busy-1` of crm is being made in books",
        ),
        ("3", "bob-9", "`3` of crm is linked with `b3` already"),
        ("archived-4", "bob-9", "archived or inactive"),
    ] {
        let said = told(&world, a, b).await.expect_err("refused");
        assert!(said.contains(part), "{said}");
        let said = link(&world, a, b, false).await.expect_err("refused");
        assert!(said.to_string().contains(part), "{said}");
    }
}

#[tokio::test]
async fn of_a_pair_that_is_left_alone_only_what_has_changed_since_it_agreed_is_written_over() {
    let world = world().await;
    let link_of = |a: &str, b: &str, known: &str| NewLink {
        base: BTreeMap::from([("name".to_owned(), known_as("Ann", known))]),
        ..world.make.link(a, b)
    };
    let (still, edited) = (link_of("5", "bob-5", "Bob"), link_of("6", "bob-6", "Ann"));
    let links = vec![still.clone(), edited.clone()];
    let inserted = world.store.insert_links(links, world.make.now()).await;
    assert_eq!(inserted.expect("linked"), 2);
    for link in [&still, &edited] {
        let record = link.a.id.as_ref().expect("an id").as_str();
        let kind = Make::field_conflict("name");
        let question = world.make.conflict(Some(link.id), record, kind);
        let id = question.id;
        let opened = world.store.open_conflicts(vec![question], world.make.now());
        assert_eq!(opened.await.expect("opened"), 1);
        let ignored = world.operator.resolve(id, Resolution::Ignore).await;
        ignored.expect("left alone");
    }
    let again = link(&world, "5", "bob-5", false).await;
    assert_eq!(again.expect("nothing is written over"), still.id);
    let over = "`name` of crm, \"Ann\", by \"Bob\" of books".to_owned();
    assert_eq!(told(&world, "6", "bob-6").await, Ok(vec![over]));
    let refused = link(&world, "6", "bob-6", false).await;
    assert!(matches!(refused, Err(OperatorError::Unconfirmed { .. })));
    let again = link(&world, "6", "bob-6", true).await;
    assert_eq!(again.expect("meant"), edited.id);
}

fn known_as(a: &str, b: &str) -> BaseValue {
    let [a, b] = [a, b].map(|name| Value::Text(name.to_owned()));
    BaseValue { a, b }
}
