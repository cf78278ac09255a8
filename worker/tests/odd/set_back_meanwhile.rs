//! What people type while it is asked whether a system was set back, and under ids that it gives anew.

use tandem_domain::Side;
use tandem_store::Resolution;

use super::pairs::propagates;
use super::set_back::{
    EDITED, HOUR, NEW, OLD, counted, creates, in_lyon, linked, restored, the_question,
};
use super::set_back_over::{TAKE, close_moot, noted, one_is_older, resolve};
use crate::world::policy;

#[tokio::test]
async fn a_question_stays_though_somebody_edits_all_that_is_out_of_date_before_it_is_looked_at_again()
 {
    for policy in [policy(), propagates()] {
        let (world, ids, question) = restored(policy).await;
        for id in &ids[..EDITED] {
            world.a.user_edits(id, "note", "typed while it was asked");
        }
        for _ in 0..2 {
            world.sweep().await;
            let still = the_question(&world).await;
            assert_eq!(still.id, question.id);
            assert_eq!(counted(&still), (EDITED as u64, NEW as u64));
            assert_eq!(world.b.ids().len(), OLD + NEW, "nothing is deleted");
            assert_eq!(
                (in_lyon(&world.b), noted(&world, "typed while it was asked")),
                (EDITED, 0)
            );
            world.clock.advance(HOUR);
        }
        world.answer(&question, TAKE).await;
        world.first_sync().await;
        assert_eq!(
            (world.a.ids().len(), in_lyon(&world.a)),
            (OLD + NEW, EDITED)
        );
        world.assert_agreement(1);
    }
}

#[tokio::test]
async fn what_people_typed_into_a_system_since_it_was_asked_about_it_is_kept_by_the_answer() {
    let (world, _, question) = restored(propagates()).await;
    let zoe = [
        ("name", "Zoe"),
        ("email", "zoe@x.example"),
        ("city", "Ghent"),
    ];
    world.b.user_creates(&zoe);
    world.sweep().await;
    assert_eq!(world.a.about("zoe@x.example"), [], "it is asked first");
    world.clock.advance(HOUR);
    let zoe = [
        ("name", "Zoe"),
        ("email", "zoe@x.example"),
        ("city", "Antwerp"),
        ("note", "0471"),
    ];
    world.a.user_creates(&zoe);
    resolve(&world, &question, TAKE).await;
    world.first_sync().await;
    world.sweep().await;
    for system in [&world.a, &world.b] {
        let about = system.about("zoe@x.example");
        assert_eq!(about.len(), 1);
        let zoe = system.texts(&about[0]).expect("she is there");
        assert_eq!((&*zoe["city"], &*zoe["note"]), ("Antwerp", "0471"));
    }
    world.assert_agreement(1);
    // It was asked what she matches while the id of her record was that of a pair.
    close_moot(&world).await;
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
}

#[tokio::test]
async fn what_was_imported_anew_keeps_what_its_partner_has_no_value_for() {
    let (world, backup, ids) = linked(propagates()).await;
    let mut filled = world.a.backup();
    for id in world.a.ids() {
        filled.forgets(&id);
    }
    for id in &ids[..3] {
        filled.takes(&backup, id);
    }
    world.a.restores(&filled);
    for number in 3..OLD {
        let id = creates(&world, number);
        world.a.user_edits(&id, "note", "imported");
    }
    world.sweep().await;
    let question = the_question(&world).await;
    world.answer(&question, TAKE).await;
    world.first_sync().await;
    world.sweep().await;
    assert_eq!(noted(&world, "imported"), OLD - 3);
    assert_eq!(in_lyon(&world.a), EDITED);
    world.assert_agreement(1);
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
}

#[tokio::test]
async fn who_is_made_under_the_id_of_a_pair_that_has_ended_is_somebody_new_whatever_was_answered() {
    for answer in [TAKE, Resolution::Approve] {
        let (world, backup, _) = linked(policy()).await;
        let old = world.a.about("p12@x.example").remove(0);
        world.a.user_deletes(&old);
        world.hear(Side::A, &old).await;
        world.rest().await;
        assert_eq!(world.b.about("p12@x.example").len(), 1, "it is left alone");
        world.clock.advance(HOUR);
        world.a.restores(&backup);
        world.sweep().await;
        let question = the_question(&world).await;
        let mia = [
            ("name", "Mia"),
            ("email", "mia@y.example"),
            ("city", "Bremen"),
        ];
        assert_eq!(world.a.user_creates(&mia), old, "the id is given anew");
        resolve(&world, &question, answer).await;
        world.first_sync().await;
        assert_eq!(world.b.about("mia@y.example").len(), 1);
        world.sweep().await;
        assert_eq!(
            world.a.about("p12@x.example"),
            [],
            "what was left alone stays so"
        );
        assert_eq!(world.b.about("p12@x.example").len(), 1);
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    }
}

#[tokio::test]
async fn who_edits_a_record_that_is_asked_about_by_itself_does_not_carry_its_old_state_over() {
    for take in [Side::A, Side::B] {
        for hears in [true, false] {
            let (world, _, ids) = linked(propagates()).await;
            let question = one_is_older(&world, &ids[0]).await;
            assert_eq!(question.kind.as_str(), "replaced");
            world.clock.advance(HOUR);
            world.a.user_edits(&ids[0], "note", "typed meanwhile");
            for _ in 0..3 {
                if hears {
                    world.hear(Side::A, &ids[0]).await;
                    world.rest().await;
                }
                world.sweep().await;
                assert_eq!(the_question(&world).await.id, question.id);
                let there = world.b.about("p0@x.example").remove(0);
                assert_eq!(world.b.texts(&there).expect("it is there")["city"], "Turin");
                world.clock.advance(HOUR);
            }
            world
                .answer(&question, Resolution::Take { side: take })
                .await;
            let city = if take == Side::A { "Lyon" } else { "Turin" };
            let here = world.a.texts(&ids[0]).expect("it is there");
            assert_eq!(here["city"], city);
            world.assert_agreement(1);
            // What waited waits no more.
            world.a.user_edits(&ids[0], "note", "and later");
            world.hear(Side::A, &ids[0]).await;
            world.rest().await;
            assert_eq!(noted(&world, "and later"), 1);
            assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
        }
    }
}

#[tokio::test]
async fn a_record_that_is_asked_about_by_itself_and_is_right_again_closes_its_question() {
    let (world, _, ids) = linked(propagates()).await;
    let question = one_is_older(&world, &ids[0]).await;
    assert_eq!(question.kind.as_str(), "replaced");
    world.a.user_edits(&ids[0], "city", "Turin");
    world.hear(Side::A, &ids[0]).await;
    world.rest().await;
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    world.assert_agreement(1);
}

#[tokio::test]
async fn what_was_typed_before_a_record_became_part_of_the_question_about_its_side_waits_as_well() {
    let (world, backup, ids) = linked(propagates()).await;
    let whole = world.a.backup();
    let mut older = world.a.backup();
    for id in &ids[..2] {
        older.takes(&backup, id);
    }
    world.a.restores(&older);
    world.sweep().await;
    assert_eq!(world.open().await.len(), 2, "each is asked about by itself");
    for id in &ids[..2] {
        world.a.user_edits(id, "note", "typed meanwhile");
    }
    let edited = world.a.backup();
    world.clock.advance(HOUR / 4);
    let mut older = whole;
    older.takes(&backup, &ids[2]);
    for id in &ids[..2] {
        older.takes(&edited, id);
    }
    world.a.restores(&older);
    for _ in 0..3 {
        world.sweep().await;
        assert_eq!(the_question(&world).await.kind.as_str(), "set_back");
        assert_eq!(
            (in_lyon(&world.b), noted(&world, "typed meanwhile")),
            (EDITED, 0)
        );
        world.clock.advance(HOUR);
    }
    let question = the_question(&world).await;
    world.answer(&question, TAKE).await;
    world.first_sync().await;
    assert_eq!(in_lyon(&world.a), EDITED);
    world.assert_agreement(1);
}
