//! Which record is the partner of one that has none.

use tandem_domain::Side;
use tandem_engine::SyncPolicy;

use super::PLAIN;
use crate::world::{World, policy};

/// The partners of `a` are to be `b`, and nothing was made or asked.
async fn assert_linked(
    world: &World,
    a: &tandem_domain::RecordId,
    b: &tandem_domain::RecordId,
    records_of_b: usize,
) {
    let link = world.link_of(Side::A, a).await.expect("it is linked");
    assert_eq!(link.b.id.as_ref(), Some(b));
    assert_eq!(world.b.ids().len(), records_of_b, "nothing was made");
    assert_eq!(world.questions().await, []);
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_hit_on_a_weak_key_does_not_keep_the_strong_one_from_being_looked_up() {
    let world = World::new(1, policy(), PLAIN, PLAIN).await;
    let namesake = world.a.user_creates(&[("name", "Acme")]);
    world.hear(Side::A, &namesake).await;
    world.rest().await;
    assert_eq!(world.b.ids().len(), 1, "the index of b has an Acme");

    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    let b = world
        .b
        .user_creates(&[("name", "Acme Ltd"), ("email", "a@acme.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_linked(&world, &a, &b, 2).await;
}

#[tokio::test]
async fn a_record_that_shares_only_the_first_field_of_a_key_does_not_end_the_search() {
    let policy = SyncPolicy {
        match_keys: vec![vec!["name".into(), "city".into()], vec!["email".into()]],
        ..policy()
    };
    let world = World::new(1, policy, PLAIN, PLAIN).await;
    world.b.user_creates(&[
        ("name", "Acme"),
        ("city", "Paris"),
        ("email", "p@x.example"),
    ]);
    let b = world.b.user_creates(&[("email", "r@x.example")]);
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("city", "Rome"), ("email", "r@x.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_linked(&world, &a, &b, 2).await;
}

#[tokio::test]
async fn a_partner_is_found_among_many_that_share_a_weak_key() {
    let policy = SyncPolicy {
        match_keys: vec![vec!["email".into()], vec!["city".into()]],
        creates: tandem_engine::Creates::B,
        ..policy()
    };
    let world = World::before_first_sync(1, policy, PLAIN, PLAIN).await;
    for number in 0..30 {
        let email = format!("{number}@x.example");
        world
            .b
            .user_creates(&[("city", "Ghent"), ("email", &email)]);
    }
    let b = world.b.user_creates(&[("city", "Ghent")]);
    world.first_sync().await;
    let a = world
        .a
        .user_creates(&[("city", "Ghent"), ("email", "new@x.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    // That those of b share the key among themselves is asked about; it says nothing against this pair.
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.b.id, Some(b));
    assert_eq!(world.b.ids().len(), 31, "nothing was made");
}
