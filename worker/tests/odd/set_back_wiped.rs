//! A system of which it is asked whether it was set back is wiped, and filled again: what comes back bit by bit says nothing
//! of what is not there yet.

use tandem_domain::{RecordId, Side};
use tandem_store::Conflict;

use super::pairs::propagates;
use super::set_back::{EDITED, HOUR, NEW, OLD, creates, linked, the_question};
use crate::world::World;
use crate::world::system::rows::Backup;

/// Records that show an older state, and those that are missing from there on; the others are whole.
const OLDER: usize = 3;
const MISSING: usize = 6;

/// A side of which some records show an older state, and more are missing; and what it held before.
async fn asked() -> (World, Backup, Vec<RecordId>, Conflict) {
    let (world, backup, ids) = linked(propagates()).await;
    let whole = world.a.backup();
    let mut older = world.a.backup();
    for id in &ids[..OLDER] {
        older.takes(&backup, id);
    }
    for id in &ids[OLDER..OLDER + MISSING] {
        older.forgets(id);
    }
    world.a.restores(&older);
    world.sweep().await;
    let question = the_question(&world).await;
    assert_eq!(question.kind.as_str(), "set_back");
    (world, whole, ids, question)
}

/// However long it takes, nobody takes what is missing for deleted.
async fn stays_asked(world: &World, question: &Conflict) {
    for _ in 0..3 {
        world.sweep().await;
        let open = world.open().await;
        assert!(open.iter().any(|one| one.id == question.id), "{open:?}");
        assert_eq!(world.b.ids().len(), OLD + NEW, "nothing is deleted");
        world.clock.advance(HOUR);
    }
}

#[tokio::test]
async fn a_missing_record_that_is_back_does_not_make_the_others_deleted() {
    let (world, whole, ids, question) = asked().await;
    let mut filled = world.a.backup();
    for id in &ids[..OLDER] {
        filled.forgets(id);
    }
    filled.takes(&whole, &ids[OLDER]);
    world.a.restores(&filled);
    stays_asked(&world, &question).await;
    world.a.restores(&whole);
    world.sweep().await;
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_pair_that_a_person_took_apart_does_not_make_the_missing_ones_deleted() {
    for number in [0, OLDER] {
        let (world, _, ids, question) = asked().await;
        world.take_apart(Side::A, &ids[number]).await;
        let mut wiped = world.a.backup();
        for id in &ids[..OLDER] {
            wiped.forgets(id);
        }
        world.a.restores(&wiped);
        stays_asked(&world, &question).await;
    }
}

#[tokio::test]
async fn a_record_that_was_imported_again_under_its_id_does_not_make_the_others_deleted() {
    let (world, _, _, question) = asked().await;
    // The ids are given from the first one on again.
    world.a.restores(&Backup::default());
    let import = |number: usize| {
        let id = creates(&world, number);
        if number < EDITED {
            world.a.user_edits(&id, "city", "Lyon");
        }
    };
    import(0);
    stays_asked(&world, &question).await;
    for number in 1..OLD + NEW {
        import(number);
    }
    world.sweep().await;
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    world.assert_agreement(1);
}

#[tokio::test]
async fn records_that_are_right_again_end_the_question_whichever_of_them_is_looked_at_first() {
    let (world, whole, ids, _) = asked().await;
    let mut right = whole;
    right.forgets(&ids[OLDER]);
    world.a.restores(&right);
    for id in &ids[..OLDER] {
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    for _ in 0..2 {
        world.sweep().await;
    }
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    assert_eq!(world.b.about("p3@x.example"), [], "it was deleted");
    world.assert_agreement(1);
}
