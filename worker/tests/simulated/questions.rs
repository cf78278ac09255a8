//! What waits for a person, and what becomes of the answers.

use tandem_domain::Side;
use tandem_engine::{Ambiguous, ConflictPolicy};
use tandem_store::{ConflictKind, ConflictState, Resolution};

use crate::RICH;
use crate::world::{World, policy};

#[tokio::test]
async fn a_manual_conflict_waits_for_its_answer() {
    let mut policy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let world = World::new(5, policy, RICH, RICH).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids()[0].clone();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::A, &a).await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    let questions = world.questions().await;
    assert_eq!(questions.len(), 1);
    assert!(matches!(&questions[0].kind, ConflictKind::Field { field, .. } if field == "city"));
    answer(&world, &questions[0], Resolution::Take { side: Side::B }).await;
    assert_eq!(world.a.contents()[0]["city"], "Turin");
    world.assert_agreement(5);
    assert_eq!(world.questions().await[0].state, ConflictState::Closed);
}

pub(super) async fn answer(
    world: &World,
    question: &tandem_store::Conflict,
    resolution: Resolution,
) {
    use tandem_domain::Clock;
    let now = world.clock.now();
    let job = tandem_domain::JobId::new(now, &tandem_testkit::SeededEntropy::new(99));
    world
        .store
        .resolve_conflict(question.id, resolution, job, now)
        .await
        .expect("the storage answers");
    world.rest().await;
}

#[tokio::test]
async fn duplicates_are_held_until_an_operator_says_which_is_which() {
    let world = World::new(6, policy(), RICH, RICH).await;
    let first = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    let second = world
        .a
        .user_creates(&[("name", "ACME"), ("email", "A@ACME.example")]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.first_sync().await;
    assert_eq!(
        (world.a.ids().len(), world.b.ids().len()),
        (2, 1),
        "nothing was created"
    );
    for question in world.questions().await {
        let keep = question.record == first;
        let resolution = if keep {
            Resolution::LinkTo { record: b.clone() }
        } else {
            Resolution::Ignore
        };
        answer(&world, &question, resolution).await;
    }
    world.hear(Side::A, &second).await;
    world.rest().await;
    assert_eq!(
        (world.a.ids().len(), world.b.ids().len()),
        (2, 1),
        "the duplicate is left alone"
    );
    let pair = world
        .store
        .pair(&world.sync, Side::A, &first)
        .await
        .expect("the storage answers");
    assert_eq!(pair.link.and_then(|link| link.b.id), Some(b));
}

#[tokio::test]
async fn whose_likes_are_all_left_alone_is_asked_about_and_not_doubled() {
    let world = World::new(6, policy(), RICH, RICH).await;
    let acme = [("name", "Acme"), ("email", "a@acme.example")];
    for _ in 0..2 {
        world.a.user_creates(&acme);
    }
    let b = world.b.user_creates(&acme);
    world.first_sync().await;
    for question in world.questions().await {
        answer(&world, &question, Resolution::Ignore).await;
    }
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!(world.a.ids().len(), 2, "no third one");
    let asked = world.open().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].side, &asked[0].record), (Side::B, &b));
    assert_eq!(asked[0].shown.len(), 3, "with both that are left alone");
    // A person may want one more.
    answer(&world, &asked[0], Resolution::CreateNew).await;
    assert_eq!(world.a.ids().len(), 3);
    let pair = world.store.pair(&world.sync, Side::B, &b).await;
    assert!(pair.expect("the storage answers").link.is_some());
}

#[tokio::test]
async fn an_answer_whose_partner_is_taken_by_now_is_asked_anew() {
    let world = World::new(8, policy(), RICH, RICH).await;
    let acme = [("name", "Acme"), ("email", "a@acme.example")];
    let first = world.a.user_creates(&acme);
    let second = world.a.user_creates(&acme);
    let b = world.b.user_creates(&acme);
    world.first_sync().await;
    let both: Vec<_> = world.questions().await;
    assert_eq!(both.len(), 2);
    for question in &both {
        // The storage does not check what the operator's desk does.
        let same = Resolution::LinkTo { record: b.clone() };
        answer(&world, question, same).await;
    }
    let pair = async |record| {
        let pair = world.store.pair(&world.sync, Side::A, record).await;
        pair.expect("the storage answers")
    };
    let linked = [pair(&first).await, pair(&second).await];
    assert_eq!(linked.iter().filter(|pair| pair.link.is_some()).count(), 1);
    let mut open = world.questions().await;
    open.retain(|question| question.state == ConflictState::Open);
    assert_eq!(open.len(), 1, "somebody can still answer: {open:?}");
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (2, 1));
}

#[tokio::test]
async fn by_policy_the_first_of_the_duplicates_is_linked_without_asking() {
    let mut policy = policy();
    policy.ambiguous = Ambiguous::First;
    let world = World::new(7, policy, RICH, RICH).await;
    let first = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world
        .a
        .user_creates(&[("name", "ACME"), ("email", "a@acme.example")]);
    world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.first_sync().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (2, 1));
    let pair = world
        .store
        .pair(&world.sync, Side::A, &first)
        .await
        .expect("the storage answers");
    assert!(pair.link.is_some());
}

#[tokio::test]
async fn by_policy_duplicates_without_a_partner_get_one_partner_whichever_side_has_them() {
    for side in Side::BOTH {
        let mut policy = policy();
        policy.ambiguous = Ambiguous::First;
        let world = World::new(7, policy, RICH, RICH).await;
        let having = match side {
            Side::A => &world.a,
            Side::B => &world.b,
        };
        let acme = [("name", "Acme"), ("email", "a@acme.example")];
        let (first, second) = (having.user_creates(&acme), having.user_creates(&acme));
        let expected = match side {
            Side::A => (2, 1),
            Side::B => (1, 2),
        };
        world.first_sync().await;
        assert_eq!((world.a.ids().len(), world.b.ids().len()), expected);
        for id in [&second, &first] {
            having.user_edits(id, "city", "Ghent");
            world.hear(side, id).await;
            world.rest().await;
        }
        assert_eq!(
            (world.a.ids().len(), world.b.ids().len()),
            expected,
            "one partner is enough"
        );
    }
}

#[tokio::test]
async fn a_partner_that_is_taken_by_now_is_not_linked_twice() {
    let world = World::new(11, policy(), RICH, RICH).await;
    world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world
        .a
        .user_creates(&[("name", "ACME"), ("email", "a@acme.example")]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.first_sync().await;
    for question in world.questions().await {
        answer(&world, &question, Resolution::LinkTo { record: b.clone() }).await;
    }
    assert_eq!(world.dead().await, []);
    let open = world.questions().await.into_iter().filter(|question| {
        question.state == ConflictState::Open
            && matches!(question.kind, ConflictKind::Ambiguous { .. })
    });
    assert_eq!(open.count(), 1, "the second answer is asked for anew");
    let links = world
        .store
        .links(&world.sync, None, 10)
        .await
        .expect("the storage answers");
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].b.id, Some(b));
}
