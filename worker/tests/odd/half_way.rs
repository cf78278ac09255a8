//! A plan that ends between its two writes: the first was answered, and the second is not sent.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{RecordId, Side};

use super::pairs::{on_both, text};
use crate::world::World;
use crate::world::system::Fault;
use crate::world::system::faults::Moment;
use crate::world::system::oddities::Oddities;

const A_WHILE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Both records show these values.
fn both_show(world: &World, [a, b]: [&RecordId; 2], values: &[(&str, &str)]) {
    for (field, value) in values {
        assert_eq!(text(world, Side::A, a, field), *value, "{field} of a");
        assert_eq!(text(world, Side::B, b, field), *value, "{field} of b");
    }
}

async fn both_are_heard(world: &World, [a, b]: [&RecordId; 2]) {
    world.hear(Side::A, a).await;
    world.hear(Side::B, b).await;
    world.rest().await;
}

#[tokio::test]
async fn who_types_a_value_again_that_was_answered_has_edited_though_the_other_record_was_edited_meanwhile()
 {
    let fields = [("city", "Ghent"), ("note", "old")];
    let (world, a, b) = on_both(&fields, Oddities::default()).await;
    let ids = [&a, &b];
    world.clock.advance(MINUTE);
    world.a.user_edits(&a, "note", "typed in a");
    world.b.user_edits(&b, "city", "Lyon");
    world.clock.advance(A_WHILE);
    let (other, record) = (Arc::clone(&world.b), b.clone());
    world.a.once(Moment::AfterWrite, &a, move |_| {
        other.user_edits(&record, "name", "Ann Peeters");
    });
    both_are_heard(&world, ids).await;
    let all = [
        ("city", "Lyon"),
        ("note", "typed in a"),
        ("name", "Ann Peeters"),
    ];
    both_show(&world, ids, &all);
    world.clock.advance(MINUTE);
    world.b.user_edits(&b, "city", "Turin");
    both_are_heard(&world, ids).await;
    both_show(&world, ids, &[("city", "Turin")]);
    world.clock.advance(MINUTE);
    world.a.user_edits(&a, "city", "Lyon");
    both_are_heard(&world, ids).await;
    both_show(&world, ids, &all);
    world.judge(1).await;
}

/// Both records were edited; our write to a is answered, and then b does not answer when it is read before its own write.
async fn the_second_is_down() -> (World, RecordId, RecordId) {
    let (world, a, b) = on_both(&[], Oddities::default()).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "note", "for a");
    let other = Arc::clone(&world.b);
    world.a.once(Moment::AfterWrite, &a, move |_| {
        other.go_wrong(&[Fault::Down; 40]);
    });
    world.hear(Side::B, &b).await;
    world.turn().await;
    assert_eq!(text(&world, Side::A, &a, "note"), "for a");
    assert!(world.b.is_to_go_wrong(), "it is down");
    world.b.heal();
    (world, a, b)
}

#[tokio::test]
async fn who_types_a_value_again_that_was_answered_has_edited_though_the_other_system_was_down() {
    let (world, a, b) = the_second_is_down().await;
    both_are_heard(&world, [&a, &b]).await;
    for (side, id, note) in [(Side::B, &b, "other"), (Side::A, &a, "for a")] {
        world.clock.advance(MINUTE);
        world.system(side).user_edits(id, "note", note);
        both_are_heard(&world, [&a, &b]).await;
        both_show(&world, [&a, &b], &[("note", note)]);
    }
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_right_after_a_write_that_was_answered_has_its_own_time_though_the_other_system_was_down()
 {
    let (world, a, b) = the_second_is_down().await;
    world.clock.advance(Duration::from_millis(100));
    world.b.user_edits(&b, "city", "Turin");
    world.clock.advance(Duration::from_millis(3_300));
    world.a.user_edits(&a, "city", "Nice");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.sweep().await;
    both_show(&world, [&a, &b], &[("city", "Nice"), ("note", "for a")]);
    world.judge(1).await;
}
