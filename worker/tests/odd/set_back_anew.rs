//! A system that is restored by an import which dates every record anew: nothing but values goes back.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_store::{Conflict, ConflictState, Resolution};

use super::pairs::{TALENTS, propagates};
use super::set_back::{EDITED, HOUR, NEW, OLD, counted, creates, in_lyon, linked, the_question};
use crate::world::World;
use crate::world::system::oddities::Oddities;
use crate::world::system::rows::Backup;

/// How the restored system is looked at first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    /// By whole listings.
    Listed,
    /// Its records are heard of, the oldest first.
    Heard,
    /// What is missing is looked at before anything else.
    Missing,
}

impl First {
    async fn look(self, world: &World, here: &[RecordId], gone: &[RecordId]) {
        let first = match self {
            Self::Listed => &[][..],
            Self::Heard => here,
            Self::Missing => gone,
        };
        for id in first {
            world.hear(Side::A, id).await;
        }
        world.rest().await;
        world.sweep().await;
    }
}

/// Side a comes back as it was, by an import.
fn import(world: &World, backup: &Backup) {
    let mut backup = backup.clone();
    backup.is_imported(world.clock.now());
    world.a.restores(&backup);
}

fn writes(world: &World) -> usize {
    world.a.writes() + world.b.writes()
}

#[tokio::test]
async fn a_restore_that_dates_all_records_anew_is_one_question_however_it_is_seen_first() {
    for first in [First::Listed, First::Heard, First::Missing] {
        for resolution in [Resolution::Take { side: Side::B }, Resolution::Approve] {
            let (world, backup, ids) = linked(propagates()).await;
            let gone: Vec<RecordId> = world.a.ids().split_off(OLD);
            let before = writes(&world);
            import(&world, &backup);
            for _ in 0..2 {
                first.look(&world, &ids, &gone).await;
                world.clock.advance(HOUR);
            }
            let question = the_question(&world).await;
            assert_eq!(counted(&question), (EDITED as u64, NEW as u64), "{first:?}");
            assert_eq!(writes(&world), before, "{first:?}: nothing is written");
            world.answer(&question, resolution.clone()).await;
            world.first_sync().await;
            let is_approved = resolution == Resolution::Approve;
            let left = if is_approved {
                (OLD, 0)
            } else {
                (OLD + NEW, EDITED)
            };
            assert_eq!((world.b.ids().len(), in_lyon(&world.b)), left, "{first:?}");
            world.assert_agreement(1);
            assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
        }
    }
}

/// Sides that hold so many records, of which a few were made, and one edited, after a backup of a.
async fn few_of_many(edits: bool) -> (World, Backup, Vec<RecordId>) {
    let plain = || (TALENTS, Oddities::default());
    let archived = tandem_runtime::Archived::Gone;
    let world = World::odd(1, propagates(), plain(), plain(), archived).await;
    for number in 0..60 {
        creates(&world, number);
    }
    world.first_sync().await;
    world.clock.advance(HOUR);
    let backup = world.a.backup();
    if edits {
        let id = world.a.ids().remove(0);
        world.a.user_edits(&id, "city", "Lyon");
        world.hear(Side::A, &id).await;
    }
    let made: Vec<RecordId> = (60..62).map(|number| creates(&world, number)).collect();
    for id in &made {
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    world.clock.advance(HOUR);
    (world, backup, made)
}

#[tokio::test]
async fn a_restore_that_lost_three_of_sixty_is_asked_about_before_anything_is_deleted() {
    for first in [First::Listed, First::Missing] {
        let (world, backup, made) = few_of_many(true).await;
        import(&world, &backup);
        first.look(&world, &[], &made).await;
        let question = the_question(&world).await;
        assert_eq!(counted(&question), (1, 2), "{first:?}");
        assert_eq!((world.b.ids().len(), in_lyon(&world.b)), (62, 1));
    }
}

#[tokio::test]
async fn what_is_missing_alone_is_held_where_all_others_are_dated_anew() {
    let (world, backup, _) = few_of_many(false).await;
    import(&world, &backup);
    world.sweep().await;
    let held = world.open().await;
    let is_held = |one: &Conflict| one.kind.as_str() == "delete_held";
    assert!(held.len() == 2 && held.iter().all(is_held), "{held:?}");
    assert_eq!(world.b.ids().len(), 62);
    for question in &held {
        world.answer(question, Resolution::Approve).await;
    }
    world.rest().await;
    assert_eq!((world.b.ids().len(), world.open().await), (60, vec![]));
}

#[tokio::test]
async fn edits_that_were_carried_back_before_anything_was_missed_speak_for_a_restore() {
    let (world, backup, ids) = linked(propagates()).await;
    // Nothing is missing yet: the import is under way, and begins with what was there.
    let mut begun = world.a.backup();
    for id in &ids {
        begun.takes(&backup, id);
    }
    import(&world, &begun);
    for id in &ids {
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    assert_eq!(
        in_lyon(&world.b),
        0,
        "people take back what they have typed"
    );
    import(&world, &backup);
    world.sweep().await;
    let held = world.open().await;
    assert_eq!(held.len(), NEW, "{held:?}");
    assert_eq!(world.b.ids().len(), OLD + NEW, "nothing is deleted");
}

#[tokio::test]
async fn what_people_take_back_and_delete_is_carried_over_where_something_newer_stands() {
    let (world, _, ids) = linked(propagates()).await;
    let newest = world.a.ids().remove(OLD);
    let stands = creates(&world, OLD + NEW);
    world.hear(Side::A, &stands).await;
    world.rest().await;
    world.clock.advance(HOUR);
    for id in &ids[..EDITED] {
        world.a.user_edits(id, "city", "Ghent");
    }
    world.a.user_deletes(&newest);
    world.sweep().await;
    assert_eq!(world.questions().await, []);
    assert_eq!((world.b.ids().len(), in_lyon(&world.b)), (OLD + NEW, 0));
    // Nor does one who is asked nothing wait for long.
    let waited = Duration::from_secs(30);
    let id = &ids[EDITED];
    world.a.user_edits(id, "note", "typed");
    world.hear(Side::A, id).await;
    world.rest().await;
    world.a.user_edits(id, "note", "");
    world.clock.advance(waited);
    world.hear(Side::A, id).await;
    world.rest().await;
    let questions = world.questions().await;
    assert!(
        questions
            .iter()
            .all(|one| one.state == ConflictState::Closed)
    );
    world.assert_agreement(1);
}
