//! Changes that a system refuses: one dead letter a record, that ends when it is put right, or when a person
//! lets it be.

use tandem_domain::{JobId, RecordId, Side};
use tandem_engine::{Ambiguous, SyncPolicy};
use tandem_store::{ChangeFilter, Job, JobFilter, JobKind, JobState, Trigger};

use crate::RICH;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};
use tandem_runtime::Archived;

/// A world whose side b refuses a city.
async fn picky_world(seed: u64, policy: SyncPolicy, a: Oddities) -> World {
    let picky = Oddities {
        refuses: vec![("city", "Nowhere")],
        ..Oddities::default()
    };
    let world = World::odd(seed, policy, (RICH, a), (RICH, picky), Archived::Gone).await;
    world.first_sync().await;
    world
}

/// A world whose side b refuses a city, and a linked pair in it; the record of side a.
async fn world_that_refuses(seed: u64) -> (World, RecordId) {
    let world = picky_world(seed, policy(), Oddities::default()).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.contents().len(), 1);
    (world, a)
}

/// Edits the record so that it is refused. Returns the dead letter.
async fn refused(world: &World, a: &RecordId) -> JobId {
    world.a.user_edits(a, "city", "Nowhere");
    world.hear(Side::A, a).await;
    world.rest().await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1);
    dead[0].id
}

async fn ids_of_the_dead(world: &World) -> Vec<JobId> {
    let dead = world.dead().await;
    dead.into_iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn a_refused_edit_is_one_dead_letter_however_often_it_is_found_and_heals_when_it_is_put_right()
 {
    let (world, a) = world_that_refuses(71).await;
    let letter = refused(&world, &a).await;
    for _ in 0..3 {
        world.sweep().await;
        assert_eq!(ids_of_the_dead(&world).await, [letter]);
    }
    world.a.user_edits(&a, "city", "Turin");
    world.sweep().await;
    assert_eq!(ids_of_the_dead(&world).await, []);
    let healed = world.store.job(letter).await.expect("asked");
    let healed = healed.expect("it is there");
    assert_eq!(healed.state, JobState::Done);
    assert!(healed.note.expect("why").starts_with("healed: "));
    world.assert_agreement(71);
}

#[tokio::test]
async fn a_refused_edit_that_a_person_discards_stays_away_until_the_record_changes() {
    use tandem_domain::Clock as _;
    let (world, a) = world_that_refuses(72).await;
    let letter = refused(&world, &a).await;
    let discarded = world
        .store
        .discard_jobs(&[letter], "they will rename it", world.clock.now())
        .await;
    assert_eq!(discarded.expect("asked"), 1);
    for _ in 0..2 {
        world.sweep().await;
        assert_eq!(ids_of_the_dead(&world).await, []);
    }
    world.a.user_edits(&a, "note", "urgent");
    world.sweep().await;
    assert_eq!(ids_of_the_dead(&world).await.len(), 1);
}

#[tokio::test]
async fn the_log_of_a_value_that_a_person_gave_and_one_side_refused_speaks_of_no_lost_answer() {
    let (world, a) = world_that_refuses(73).await;
    world.hear(Side::A, &a).await;
    world.give_up_and_replay_with(&[("city", "Nowhere")]).await;
    world.rest().await;
    assert_eq!(world.dead().await.len(), 1, "side b refuses it");
    assert_eq!(world.a.contents()[0]["city"], "Nowhere", "side a took it");
    world.a.user_edits(&a, "city", "Turin");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.assert_agreement(73);
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await.expect("asked");
    let fields = changes.iter().flat_map(|change| &change.fields);
    let reasons: Vec<&str> = fields.map(|field| field.reason.as_str()).collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("was answered")
            && reason.contains("side b")
            && reason.contains("refused")),
        "{reasons:?}"
    );
    assert!(
        !reasons.iter().any(|reason| reason.contains("lost")),
        "{reasons:?}"
    );
}

/// Compares both sides whole.
async fn compare(world: &World, trigger: Trigger) {
    let sync = world.sync.clone();
    world.enqueue_by(trigger, JobKind::Backfill { sync }).await;
    world.rest().await;
}

/// How often records were tried.
async fn tries(world: &World) -> usize {
    let filter = JobFilter {
        limit: 500,
        ..JobFilter::default()
    };
    let jobs = world.store.jobs(&filter).await.expect("asked");
    let is_of_record = |job: &&Job| matches!(job.kind, JobKind::Reconcile { .. });
    jobs.iter().filter(is_of_record).count()
}

/// Of what a person has discarded a whole comparison makes no job while it is as it was, unless a person started it.
async fn is_left_alone_by_comparisons(world: &World, change: impl FnOnce(&World)) {
    compare(world, Trigger::Schedule).await;
    let dead = ids_of_the_dead(world).await;
    assert_eq!(dead.len(), 1);
    let now = tandem_domain::Clock::now(&*world.clock);
    let discarded = world.store.discard_jobs(&dead, "we know", now).await;
    assert_eq!(discarded.expect("asked"), 1);
    let before = tries(world).await;
    for _ in 0..2 {
        compare(world, Trigger::Schedule).await;
        assert_eq!(tries(world).await, before, "it is not tried");
        assert_eq!(ids_of_the_dead(world).await, []);
    }
    compare(world, Trigger::Manual).await;
    assert!(tries(world).await > before, "a person asks");
    let again = ids_of_the_dead(world).await;
    assert_eq!(again.len(), 1);
    let discarded = world.store.discard_jobs(&again, "we know", now).await;
    assert_eq!(discarded.expect("asked"), 1);
    change(world);
    compare(world, Trigger::Schedule).await;
    assert_eq!(ids_of_the_dead(world).await.len(), 1, "it has changed");
}

#[tokio::test]
async fn what_a_person_discarded_of_a_pair_is_left_alone_by_the_comparisons_of_a_schedule() {
    let (world, a) = world_that_refuses(74).await;
    refused(&world, &a).await;
    is_left_alone_by_comparisons(&world, |world| world.a.user_edits(&a, "note", "urgent")).await;
}

const NOWHERE: [(&str, &str); 3] = [
    ("name", "Acme"),
    ("email", "a@acme.example"),
    ("city", "Nowhere"),
];

#[tokio::test]
async fn what_a_person_discarded_of_a_record_without_a_partner_is_left_alone_too() {
    let world = picky_world(75, policy(), Oddities::default()).await;
    let a = world.a.user_creates(&NOWHERE);
    is_left_alone_by_comparisons(&world, |world| world.a.user_edits(&a, "note", "urgent")).await;
}

#[tokio::test]
async fn what_a_person_discarded_of_records_that_are_alike_is_left_alone_too() {
    let mut policy = policy();
    policy.ambiguous = Ambiguous::First;
    let world = picky_world(76, policy, Oddities::default()).await;
    let a = world.a.user_creates(&NOWHERE);
    world.a.user_creates(&NOWHERE);
    is_left_alone_by_comparisons(&world, |world| world.a.user_edits(&a, "note", "urgent")).await;
}

#[tokio::test]
async fn what_a_person_discarded_of_a_record_that_a_listing_shows_in_part_is_left_alone_too() {
    let hides = Oddities {
        listings_leave_out: vec!["email"],
        ..Oddities::default()
    };
    let world = picky_world(77, policy(), hides).await;
    let a = world.a.user_creates(&NOWHERE);
    is_left_alone_by_comparisons(&world, |world| world.a.user_edits(&a, "note", "urgent")).await;
}

/// Listings of all kinds, as schedules have them.
async fn listings(world: &World) {
    for side in Side::BOTH {
        let sync = world.sync.clone();
        world.enqueue(JobKind::Poll { sync, side }).await;
    }
    world.rest().await;
    world.sweep().await;
    compare(world, Trigger::Schedule).await;
}

#[tokio::test]
async fn what_is_refused_is_tried_once_by_listings_and_again_when_either_record_is_edited() {
    let (world, a) = world_that_refuses(78).await;
    let letter = refused(&world, &a).await;
    let b = world.b.ids().remove(0);
    listings(&world).await;
    let before = tries(&world).await;
    for _ in 0..3 {
        listings(&world).await;
        assert_eq!(tries(&world).await, before, "nothing has changed");
    }
    world.clock.advance(std::time::Duration::from_secs(60));
    world.b.user_edits(&b, "note", "urgent");
    listings(&world).await;
    assert!(tries(&world).await > before, "its partner was edited");
    assert_eq!(ids_of_the_dead(&world).await, [letter]);
    // An edit and its undoing leave the values as they were.
    let before = tries(&world).await;
    world.clock.advance(std::time::Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Turin");
    world.a.user_edits(&a, "city", "Nowhere");
    listings(&world).await;
    assert!(tries(&world).await > before, "it was edited");
    let before = tries(&world).await;
    listings(&world).await;
    assert_eq!(tries(&world).await, before);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert!(tries(&world).await > before, "an event tells of it");
    world.a.user_edits(&a, "city", "Turin");
    listings(&world).await;
    assert_eq!(ids_of_the_dead(&world).await, []);
    world.assert_agreement(78);
}
