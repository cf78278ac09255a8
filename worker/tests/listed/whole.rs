//! Whole comparisons: what is held meanwhile, and how they go on after their process has ended.

use tandem_domain::{RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::{LinkState, Run, RunFilter, RunKind, RunState};

use super::PLAIN;
use crate::world::system::oddities::Oddities;
use crate::world::system::pages::PageFault;
use crate::world::{World, policy};

const PAGE: usize = 3;

/// Both sides list in pages of three.
async fn paged() -> World {
    let odd = || Oddities {
        page: PAGE,
        ..Oddities::default()
    };
    World::odd(1, policy(), (PLAIN, odd()), (PLAIN, odd()), Archived::Gone).await
}

fn make(world: &World, side: Side, numbers: std::ops::Range<usize>) -> Vec<RecordId> {
    let one = |number: usize| {
        let email = format!("{number:02}@x.example");
        let name = format!("Name {number:02}");
        world
            .system(side)
            .user_creates(&[("name", &name), ("email", &email)])
    };
    numbers.map(one).collect()
}

async fn runs(world: &World) -> Vec<Run> {
    let filter = RunFilter {
        kind: Some(RunKind::Backfill),
        limit: 100,
        ..RunFilter::default()
    };
    let mut runs = world
        .store
        .runs(&filter)
        .await
        .expect("the storage answers");
    runs.reverse();
    runs
}

#[tokio::test]
async fn what_a_listing_has_shown_is_stored_before_the_next_page_is_asked_for() {
    for pages in 1..4 {
        let world = paged().await;
        make(&world, Side::A, 0..12);
        world.a.goes_wrong_at_page(pages * PAGE, PageFault::Dies);
        world.begin_first_sync().await;
        world.turn().await;
        let run = runs(&world).await.remove(0);
        let stored = world.store.surveyed_keys(&run, Side::A, None, 99).await;
        let stored = stored.expect("the storage answers").len();
        let handed_out = pages * PAGE;
        assert_eq!(
            handed_out - stored,
            0,
            "rows held in memory after {pages} pages"
        );
    }
}

/// Ten records of each side, of which six are the same, came in one run.
async fn assert_one_run_went_on(world: &World) {
    let runs = runs(world).await;
    assert_eq!(runs.len(), 1, "the same run went on: {runs:?}");
    assert_eq!(runs[0].state, RunState::Succeeded);
    assert_eq!((runs[0].progress.listed, runs[0].progress.matched), (20, 6));
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_first_sync_goes_on_with_the_page_at_which_its_process_died() {
    let world = paged().await;
    make(&world, Side::A, 0..10);
    make(&world, Side::B, 4..14);
    world.a.goes_wrong_at_page(2 * PAGE, PageFault::Dies);
    world.first_sync().await;
    assert_eq!(world.a.pages_asked(), [0, 3, 6, 6, 9]);
    assert_one_run_went_on(&world).await;
}

#[tokio::test]
async fn a_process_that_dies_when_pairs_were_linked_leaves_no_difference_behind() {
    for verb in ["insert_links", "enqueue"] {
        let world = paged().await;
        make(&world, Side::A, 0..10);
        for id in make(&world, Side::B, 0..10) {
            world.b.user_edits(&id, "name", &format!("Other {id}"));
        }
        world.begin_first_sync().await;
        world.turns.dies_after(verb);
        world.rest().await;
        world.assert_agreement(1);
        assert_eq!(world.dead().await, []);
    }
}

#[tokio::test]
async fn a_first_sync_whose_process_dies_again_and_again_comes_to_its_end_all_the_same() {
    let world = paged().await;
    make(&world, Side::A, 0..20);
    for page in 1..6 {
        world.a.goes_wrong_at_page(page * PAGE, PageFault::Dies);
    }
    world.first_sync().await;
    assert_eq!(world.a.pages_asked().len(), 7 + 5);
    assert_eq!(world.dead().await.len(), 0);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_page_that_kills_each_process_makes_a_dead_letter_of_a_first_sync() {
    let world = paged().await;
    make(&world, Side::A, 0..20);
    for _ in 0..9 {
        world.a.goes_wrong_at_page(2 * PAGE, PageFault::Dies);
    }
    world.begin_first_sync().await;
    while world.dead().await.is_empty() {
        world.turn().await;
    }
    assert_eq!(world.a.pages_asked(), [0, 3, 6, 6, 6]);
}

#[tokio::test]
async fn a_first_sync_goes_on_where_it_stood_when_a_system_is_back_after_an_outage() {
    let world = paged().await;
    make(&world, Side::A, 0..10);
    make(&world, Side::B, 4..14);
    for _ in 0..3 {
        world.a.goes_wrong_at_page(6, PageFault::Down);
    }
    world.first_sync().await;
    assert_eq!(world.a.pages_asked(), [0, 3, 6, 6, 6, 6, 9]);
    assert_one_run_went_on(&world).await;
}

#[tokio::test]
async fn a_first_sync_that_never_comes_past_a_page_begins_again_in_the_end() {
    let world = paged().await;
    make(&world, Side::A, 0..10);
    for _ in 0..300 {
        world.a.goes_wrong_at_page(6, PageFault::Down);
    }
    world.first_sync().await;
    let states: Vec<RunState> = runs(&world).await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Failed, RunState::Succeeded]);
    let asked = world.a.pages_asked();
    assert_eq!(asked.iter().filter(|row| **row == 0).count(), 2);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_sweep_goes_on_where_it_stood_when_a_system_is_back_after_an_outage() {
    let world = paged().await;
    let a = make(&world, Side::A, 0..10);
    world.first_sync().await;
    world.a.user_deletes(&a[1]);
    let asked_before = world.a.pages_asked().len();
    world.a.goes_wrong_at_page(6, PageFault::Down);
    world.sweep().await;
    assert_eq!(world.a.pages_asked()[asked_before..], [0, 3, 6, 6]);
    let link = world.link_of(Side::A, &a[1]).await.expect("it is known");
    assert_eq!(link.state, LinkState::Retired);
}

#[tokio::test]
async fn a_listing_whose_place_has_expired_begins_again_once() {
    let world = paged().await;
    make(&world, Side::A, 0..10);
    make(&world, Side::B, 0..10);
    world.a.goes_wrong_at_page(6, PageFault::Dies);
    world.a.goes_wrong_at_page(6, PageFault::Expired);
    world.first_sync().await;
    assert_eq!(world.a.pages_asked(), [0, 3, 6, 6, 0, 3, 6, 9]);
    let runs = runs(&world).await;
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
    assert_eq!(
        (runs[0].progress.listed, runs[0].progress.matched),
        (20, 10)
    );
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_listing_that_is_refused_from_the_beginning_fails_its_run() {
    let world = paged().await;
    make(&world, Side::A, 0..10);
    world.a.goes_wrong_at_page(6, PageFault::Dies);
    for _ in 0..2 {
        world.a.goes_wrong_at_page(6, PageFault::Expired);
    }
    world.first_sync().await;
    let runs = runs(&world).await;
    assert_eq!(runs[0].state, RunState::Failed);
    let error = runs[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("the cursor has expired"), "{error}");
}

#[tokio::test]
async fn nothing_is_left_of_the_pages_of_a_run_that_has_ended() {
    let world = paged().await;
    make(&world, Side::A, 0..10);
    make(&world, Side::B, 0..10);
    world.first_sync().await;
    let run = runs(&world).await.remove(0);
    for side in Side::BOTH {
        let left = world.store.listing_place(&run, side).await;
        assert_eq!(left.expect("the storage answers"), None);
    }
    assert_eq!(
        world
            .store
            .forget_pages(9)
            .await
            .expect("the storage answers"),
        0
    );
}

#[tokio::test]
async fn a_sweep_goes_on_where_its_process_died_and_finds_what_vanished() {
    let world = paged().await;
    let a = make(&world, Side::A, 0..10);
    world.first_sync().await;
    world.a.user_deletes(&a[1]);
    let asked_before = world.a.pages_asked().len();
    world.a.goes_wrong_at_page(6, PageFault::Dies);
    world.sweep().await;
    assert_eq!(world.a.pages_asked()[asked_before..], [0, 3, 6, 6]);
    let link = world.link_of(Side::A, &a[1]).await.expect("it is known");
    assert_eq!(link.state, LinkState::Retired);
}

#[tokio::test]
async fn keys_of_another_form_are_made_anew_by_a_whole_comparison() {
    let world = World::new(1, policy(), PLAIN, PLAIN).await;
    let form = world.store.key_form(&world.sync).await;
    let form = form.expect("the storage answers").expect("it was stored");
    assert!(form.contains("email:") && form.contains("name:"), "{form}");
    let earlier = world.store.set_key_form(&world.sync, "0:; 1:").await;
    earlier.expect("the storage answers");
    world
        .clock
        .advance(std::time::Duration::from_secs(2 * 3_600));
    world.sweep().await;
    assert_eq!(runs(&world).await.len(), 2, "a second one was asked for");
    let now = world.store.key_form(&world.sync).await;
    assert_eq!(now.expect("the storage answers"), Some(form));
    world.sweep().await;
    assert_eq!(runs(&world).await.len(), 2, "and no third");
}
