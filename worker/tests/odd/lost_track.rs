//! Systems that lose track of a record: for a moment, until somebody restores it, or for good.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::SyncPolicy;
use tandem_runtime::Archived;
use tandem_store::{JobKind, LinkState};

use super::pairs::{TALENTS, just_linked, propagates};
use crate::world::system::faults::Moment;
use crate::world::system::oddities::Oddities;
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

fn plain() -> (Talents, Oddities) {
    (TALENTS, Oddities::default())
}

fn policies() -> [SyncPolicy; 2] {
    [policy(), propagates()]
}

async fn one_pair(policy: SyncPolicy, a: (Talents, Oddities)) -> (World, RecordId, RecordId) {
    just_linked(policy, a, plain()).await
}

#[tokio::test]
async fn a_record_that_reads_do_not_find_for_a_moment_is_neither_retired_nor_deleted() {
    for policy in policies() {
        let (world, a, _) = one_pair(policy, plain()).await;
        world.a.user_edits(&a, "city", "Lyon");
        world.a.hides(&a, Duration::from_secs(3));
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(world.b.contents()[0]["city"], "Lyon");
        world.a.user_edits(&a, "city", "Turin");
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(world.b.contents()[0]["city"], "Turin");
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_record_that_was_seen_meanwhile_is_missed_for_the_first_time_though_its_job_stored_nothing()
 {
    for policy in policies() {
        let (world, a, b) = one_pair(policy, plain()).await;
        world.a.user_edits(&a, "city", "Lyon");
        world.a.hides(&a, Duration::from_secs(3));
        world.hear(Side::A, &a).await;
        world.turn().await;
        // It shows again, and the process dies over what that job writes.
        world.clock.advance(Duration::from_secs(5));
        let (system, hidden) = (Arc::clone(&world.a), a.clone());
        world.b.once(Moment::BeforeWrite, &b, move |_| {
            system.hides(&hidden, Duration::from_secs(34));
        });
        world.b.go_wrong(&[Fault::CrashBefore]);
        world.rest().await;
        assert_eq!(world.b.contents()[0]["city"], "Lyon");
        let link = world.link_of(Side::A, &a).await.expect("it is linked");
        assert_eq!(link.state, LinkState::Active);
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_new_record_that_cannot_be_read_yet_is_not_taken_for_deleted() {
    for policy in policies() {
        let (world, _, _) = one_pair(policy, plain()).await;
        let bob = world
            .a
            .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
        world.a.hides(&bob, Duration::from_secs(3));
        world.hear(Side::A, &bob).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(5));
        world.sweep().await;
        assert_eq!(world.b.ids().len(), 2);
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_record_out_of_the_bin_is_held_equal_again() {
    let (world, a, _) = one_pair(policy(), plain()).await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(3_600));
    world.sweep().await;
    world.a.user_restores(&a);
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
    world.judge(1).await;
}

#[tokio::test]
async fn a_system_restored_from_a_backup_gives_nobody_another_record_to_keep() {
    // One system says when its records were made, one does not.
    for hides_birth in [false, true] {
        let oddities = Oddities {
            hides_birth,
            ..Oddities::default()
        };
        let world = World::odd(1, policy(), (TALENTS, oddities), plain(), Archived::Gone).await;
        let empty = world.a.backup();
        let ann = [
            ("name", "Ann"),
            ("email", "ann@x.example"),
            ("city", "Ghent"),
        ];
        let a = world.a.user_creates(&ann);
        world.first_sync().await;
        world.clock.advance(Duration::from_secs(3_600));
        world.a.restores(&empty);
        let bob = [
            ("name", "Bob"),
            ("email", "bob@y.example"),
            ("city", "Bremen"),
        ];
        assert_eq!(world.a.user_creates(&bob), a, "the id is given anew");
        world.hear(Side::A, &a).await;
        world.rest().await;
        world.sweep().await;
        let b = world.b.ids().remove(0);
        let ann = world.b.texts(&b).expect("she is still there");
        assert_eq!(ann["name"], "Ann");
        assert_eq!(ann["city"], "Ghent");
        let bob = world.a.texts(&a).expect("he is still there");
        assert_eq!(bob["name"], "Bob");
        assert!(!world.questions().await.is_empty(), "a person is asked");
    }
}

#[tokio::test]
async fn a_new_record_under_the_id_of_one_that_was_deleted_is_made_once_and_what_was_left_alone_stays()
 {
    // One system says when its records were made, one does not.
    for hides_birth in [false, true] {
        let oddities = Oddities {
            hides_birth,
            ..Oddities::default()
        };
        let world = World::odd(1, policy(), (TALENTS, oddities), plain(), Archived::Gone).await;
        let empty = world.a.backup();
        let ann = [
            ("name", "Ann"),
            ("email", "ann@x.example"),
            ("city", "Ghent"),
        ];
        let a = world.a.user_creates(&ann);
        world.first_sync().await;
        let b = world.b.ids().remove(0);
        world.a.user_deletes(&a);
        world.hear(Side::A, &a).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(3_600));
        world.a.restores(&empty);
        let bob = [
            ("name", "Bob"),
            ("email", "bob@y.example"),
            ("city", "Bremen"),
        ];
        assert_eq!(world.a.user_creates(&bob), a, "the id is given anew");
        // Whoever is looked at first.
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        world.b.user_edits(&b, "note", "left alone");
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        assert_eq!(world.a.ids(), std::slice::from_ref(&a));
        assert_eq!(world.b.about("bob@y.example").len(), 1);
        let ann = world.b.texts(&b).expect("she is still there");
        assert_eq!((&*ann["name"], world.b.ids().len()), ("Ann", 2));
        // And the new one is held equal.
        world.a.user_edits(&a, "city", "Lyon");
        world.hear(Side::A, &a).await;
        world.rest().await;
        let bob = world.b.about("bob@y.example").remove(0);
        assert_eq!(world.b.texts(&bob).expect("he is there")["city"], "Lyon");
        assert_eq!(
            (world.questions().await, world.dead().await),
            (vec![], vec![])
        );
    }
}

#[tokio::test]
async fn a_record_dated_ahead_hides_no_later_change_from_polls() {
    let (world, a, _) = one_pair(policy(), plain()).await;
    let zoe = world
        .a
        .user_creates(&[("name", "Zoe"), ("email", "zoe@x.example")]);
    world
        .a
        .dates_ahead(&zoe, Duration::from_secs(365 * 24 * 3_600));
    for city in ["Lyon", "Turin"] {
        for _ in 0..2 {
            let (sync, side) = (world.sync.clone(), Side::A);
            world.enqueue(JobKind::Poll { sync, side }).await;
            world.rest().await;
            world.clock.advance(Duration::from_secs(600));
        }
        world.a.user_edits(&a, "city", city);
        let (sync, side) = (world.sync.clone(), Side::A);
        world.enqueue(JobKind::Poll { sync, side }).await;
        world.rest().await;
        let b = world.b.about("ann@x.example").remove(0);
        assert_eq!(world.b.texts(&b).expect("she is there")["city"], city);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_no_other_and_arrives_when_it_can() {
    let (world, a, _) = one_pair(policy(), plain()).await;
    let bad = world
        .a
        .user_creates(&[("name", "Bad"), ("email", "bad@x.example")]);
    world.a.garbles(&bad);
    world.a.user_edits(&a, "city", "Lyon");
    world.sweep().await;
    let b = world.b.about("ann@x.example").remove(0);
    assert_eq!(world.b.texts(&b).expect("she is there")["city"], "Lyon");
    world.a.sets_right(&bad);
    world.sweep().await;
    world.judge(1).await;
}

#[tokio::test]
async fn a_merged_record_does_not_become_the_partner_of_two() {
    let (world, a, _) = one_pair(policy(), plain()).await;
    let other = world.a.user_creates(&[
        ("name", "Ann Two"),
        ("email", "two@x.example"),
        ("city", "Lyon"),
    ]);
    world.hear(Side::A, &other).await;
    world.rest().await;
    assert_eq!(world.b.ids().len(), 2);
    let before = world.b.contents();
    world.a.user_merges(&other, &a);
    for id in [&other, &a] {
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    world.sweep().await;
    assert_eq!(
        world.b.contents(),
        before,
        "the partner of the merged one keeps its values"
    );
    assert_eq!(world.a.ids(), [a]);
}

#[tokio::test]
async fn a_record_that_was_merged_away_before_it_had_a_partner_is_gone_and_the_one_that_is_left_is_named()
 {
    let (world, a, _) = one_pair(policy(), plain()).await;
    let other = world
        .a
        .user_creates(&[("name", "Ann Two"), ("email", "two@x.example")]);
    world.a.user_merges(&other, &a);
    world.hear(Side::A, &other).await;
    world.rest().await;
    assert_eq!(world.dead().await, []);
    assert_eq!(world.b.ids().len(), 1, "nothing is made for it");
    let filter = tandem_store::JobFilter {
        record: Some(other.clone()),
        limit: 10,
        ..tandem_store::JobFilter::default()
    };
    let jobs = world.store.jobs(&filter).await.expect("it answers");
    let named = format!("merged into {a}");
    let notes = jobs.iter().filter_map(|job| job.note.as_deref());
    assert!(
        notes.into_iter().any(|note| note.contains(&named)),
        "{jobs:?}"
    );
}
