//! Edits on both sides, also while the write of the one before is open, and values that an operator gives.

use std::time::Duration;

use tandem_domain::Side;

use crate::world::system::Fault;
use crate::world::{World, policy};
use crate::{PLAIN, RICH};

#[tokio::test]
async fn edits_of_different_fields_both_survive_and_the_later_edit_of_one_field_wins() {
    let world = World::new(4, policy(), RICH, RICH).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids()[0].clone();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "name", "Acme Ltd");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let fields = &world.a.contents()[0];
    assert_eq!(
        (fields["city"].as_str(), fields["name"].as_str()),
        ("Lyon", "Acme Ltd")
    );

    // Side a's clock is four minutes ahead of side b's; b's edit is the later one all the same.
    world.a.user_edits(&a, "city", "Turin");
    world.clock.advance(Duration::from_secs(5));
    world.b.user_edits(&b, "city", "Bremen");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.a.contents()[0]["city"], "Bremen");
    world.assert_agreement(4);
    let filter = tandem_store::ChangeFilter {
        record: Some(a),
        limit: 10,
        ..Default::default()
    };
    let changes = world
        .store
        .changes(&filter)
        .await
        .expect("the storage answers");
    let lost: Vec<_> = changes
        .iter()
        .flat_map(|change| &change.fields)
        .filter_map(|field| field.lost.clone())
        .collect();
    assert_eq!(lost, [tandem_domain::Value::Text("Turin".into())]);
}

/// The answer to a write is lost. Before it is looked for, the value is edited again on the side that it came
/// from, and another field on the side that it went to: what Tandem wrote is no edit, so nobody contradicts.
async fn edited_again_while_a_write_is_open(written_beside: bool, faults: &[Fault]) {
    let world = World::new(4, policy(), RICH, RICH).await;
    let b = world.b.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::B, &b).await;
    world.rest().await;
    let a = world.a.ids()[0].clone();
    world.b.user_edits(&b, "city", "Lyon");
    world.b.user_edits(&b, "name", "Acme Ltd");
    world.a.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::B, &b).await;
    world.turn().await;
    assert_eq!(world.a.contents()[0]["city"].as_str(), "Lyon");

    world.b.user_edits(&b, "city", "Turin");
    world.clock.advance(Duration::from_secs(5));
    let (field, value) = match written_beside {
        true => ("name", "Acme Group"),
        false => ("email", "b@acme.example"),
    };
    world.a.user_edits(&a, field, value);
    world.a.go_wrong(faults);
    world.rest().await;
    for side in [&world.a, &world.b] {
        let fields = &side.contents()[0];
        assert_eq!(fields["city"].as_str(), "Turin");
        assert_eq!(fields[field].as_str(), value);
    }
    assert_eq!(world.questions().await, []);
}

#[tokio::test]
async fn an_edit_made_while_the_write_of_the_one_before_is_open_is_kept() {
    edited_again_while_a_write_is_open(false, &[]).await;
}

#[tokio::test]
async fn so_it_is_where_another_field_of_that_write_was_edited_meanwhile() {
    edited_again_while_a_write_is_open(true, &[]).await;
}

#[tokio::test]
async fn so_it_is_where_the_next_write_goes_wrong_too() {
    for fault in [Fault::LostRequest, Fault::LostResponse, Fault::CrashAfter] {
        for written_beside in [true, false] {
            edited_again_while_a_write_is_open(written_beside, &[fault]).await;
            edited_again_while_a_write_is_open(written_beside, &[fault, fault]).await;
        }
    }
}

#[tokio::test]
async fn what_an_operator_gives_a_dead_letter_goes_to_both_sides_whether_linked_or_not() {
    let world = World::new(4, policy(), PLAIN, RICH).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Gehnt"),
    ]);
    world.hear(Side::A, &a).await;
    world.give_up_and_replay_with(&[("city", "Ghent")]).await;
    world.rest().await;
    assert_eq!(world.b.writes(), 1);
    for side in [&world.a, &world.b] {
        assert_eq!(side.contents()[0]["city"].as_str(), "Ghent");
    }
    world.assert_agreement(4);

    world.a.user_edits(&a, "city", "Turni");
    world.hear(Side::A, &a).await;
    world
        .give_up_and_replay_with(&[("city", "Turin"), ("phone", "1")])
        .await;
    world.rest().await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "there is no such field");
    assert!(format!("{dead:?}").contains("phone"), "{dead:?}");

    world.hear(Side::A, &a).await;
    world.give_up_and_replay_with(&[("city", "Turin")]).await;
    world.rest().await;
    for side in [&world.a, &world.b] {
        assert_eq!(side.contents()[0]["city"].as_str(), "Turin");
    }
    // What was given once is not given again to later edits.
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.contents()[0]["city"].as_str(), "Lyon");
    world.assert_agreement(4);
}

#[tokio::test]
async fn a_job_that_was_claimed_just_before_its_sync_was_paused_does_not_run() {
    let world = World::new(5, policy(), RICH, RICH).await;
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &a).await;
    let asked = world.a.reads() + world.b.reads();
    world.limits.pause(&world.sync);
    assert!(world.turn().await, "it is claimed");
    assert_eq!(world.a.reads() + world.b.reads(), asked);
    assert_eq!(world.b.contents().len(), 0);
    world.limits.resume(&world.sync);
    world.rest().await;
    assert_eq!(world.b.contents().len(), 1, "it waited");
    world.assert_agreement(5);
}
