//! Systems that say yes to a write, answer with what they were told, and keep nothing of it.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_store::{Conflict, ConflictKind};

use super::pairs::{TALENTS, one_pair, text};
use crate::world::system::Fault;
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

const HOUR: Duration = Duration::from_secs(3_600);

/// Answers hold what was sent, and nothing says when a record was changed.
fn without_times() -> Oddities {
    Oddities {
        echoes: true,
        hides_times: true,
        hides_versions: true,
        ..Oddities::default()
    }
}

/// One pair, linked an hour ago, whose city is `Ghent` on both sides.
async fn pair(b: Oddities) -> (World, RecordId, RecordId) {
    let (world, a, b) = one_pair(policy(), (TALENTS, b), HOUR).await;
    if text(&world, Side::B, &b, "city").is_empty() {
        world.b.user_edits(&b, "city", "Ghent");
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.clock.advance(HOUR);
    }
    assert_eq!(text(&world, Side::A, &a, "city"), "Ghent");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    assert_eq!(world.open().await, []);
    (world, a, b)
}

/// Both sides are compared whole, and what differs is looked at, an hour later too.
async fn compare(world: &World) {
    for _ in 0..2 {
        world.first_sync().await;
        world.sweep().await;
        world.clock.advance(HOUR);
    }
}

async fn the_question(world: &World) -> Conflict {
    let mut open = world.open().await;
    assert_eq!(open.len(), 1, "it is asked once: {open:?}");
    open.remove(0)
}

#[tokio::test]
async fn a_system_without_times_that_keeps_nothing_of_an_update_takes_nobodys_edit_back() {
    let (world, a, b) = pair(without_times()).await;
    let before = world.b.writes();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.go_wrong(&[Fault::Ignored]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = the_question(&world).await;
    let ConflictKind::NotKept { sent, kept, .. } = &question.kind else {
        panic!("{question:?}");
    };
    assert_eq!((&*sent.to_string(), &*kept.to_string()), ("Lyon", "Ghent"));
    compare(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    assert_eq!(world.b.writes(), before, "it is not sent again");
    assert_eq!(the_question(&world).await.id, question.id);
    assert_eq!(world.dead().await, []);

    // What somebody types there later is an edit.
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    compare(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Turin");
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn who_sets_a_value_back_that_a_record_without_times_has_shown_has_edited() {
    for is_heard in [true, false] {
        let (world, a, b) = pair(without_times()).await;
        world.a.user_edits(&a, "city", "Lyon");
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(text(&world, Side::B, &b, "city"), "Lyon");
        world.clock.advance(HOUR);
        world.b.user_edits(&b, "city", "Ghent");
        if is_heard {
            world.hear(Side::B, &b).await;
        }
        compare(&world).await;
        assert_eq!(text(&world, Side::A, &a, "city"), "Ghent");
        assert_eq!(world.open().await, []);
    }
}

#[tokio::test]
async fn a_system_without_times_that_drops_a_field_of_what_it_makes_empties_it_nowhere() {
    let odd = Oddities {
        forms: vec![("note", Form::Dropped)],
        ..without_times()
    };
    let (world, _, _) = pair(odd).await;
    let fields = [
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("note", "typed by a person"),
    ];
    let bob = world.a.user_creates(&fields);
    world.hear(Side::A, &bob).await;
    world.rest().await;
    compare(&world).await;
    assert_eq!(text(&world, Side::A, &bob, "note"), "typed by a person");
    assert_eq!(the_question(&world).await.kind.as_str(), "not_kept");
}

#[tokio::test]
async fn a_system_that_dates_in_whole_seconds_what_it_does_not_keep_takes_nobodys_edit_back() {
    let odd = Oddities {
        forms: vec![("city", Form::Dropped)],
        echoes: true,
        hides_versions: true,
        whole_seconds: true,
        ..Oddities::default()
    };
    let (world, a, b) = pair(odd).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    compare(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    assert_eq!(the_question(&world).await.kind.as_str(), "not_kept");
}
