//! Questions that answer themselves, because what made a match unclear is gone; and how much each of many holds.

use tandem_domain::Side;
use tandem_store::{ConflictKind, ConflictState, NAMED_MAX};

use super::pairs::TALENTS;
use crate::world::{World, policy};

const ACME: [(&str, &str); 2] = [("name", "Acme"), ("email", "a@acme.example")];

#[tokio::test]
async fn a_question_whose_rival_was_deleted_answers_itself() {
    let world = World::new(3, policy(), TALENTS, TALENTS).await;
    let kept = world.a.user_creates(&ACME);
    let rival = world.a.user_creates(&ACME);
    let partner = world.b.user_creates(&ACME);
    world.first_sync().await;
    assert_eq!(world.questions().await.len(), 2);

    world.a.user_deletes(&rival);
    world.hear(Side::A, &rival).await;
    world.rest().await;

    let open = world.questions().await.into_iter();
    let open = open.filter(|question| question.state != ConflictState::Closed);
    assert_eq!(open.count(), 0);
    let link = world.link_of(Side::A, &kept).await.expect("it is linked");
    assert_eq!(link.b.id, Some(partner));
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
}

#[tokio::test]
async fn each_of_many_that_are_alike_names_some_and_counts_the_others() {
    let world = World::new(4, policy(), TALENTS, TALENTS).await;
    let many = NAMED_MAX + 10;
    for _ in 0..many {
        world.a.user_creates(&ACME);
    }
    world.b.user_creates(&ACME);
    world.first_sync().await;
    let questions = world.questions().await;
    assert_eq!(questions.len(), many);
    for question in questions {
        let ConflictKind::Ambiguous {
            candidates,
            more_candidates,
            rivals,
            more_rivals,
            ..
        } = &question.kind
        else {
            panic!("{question:?}");
        };
        assert_eq!((candidates.len(), *more_candidates), (1, 0));
        assert_eq!((rivals.len(), *more_rivals), (NAMED_MAX, 9));
        assert!(!rivals.contains(&question.record), "{question:?}");
        assert!(question.shown.len() <= NAMED_MAX, "{question:?}");
    }
}
