//! A system that keeps letters and their accents apart (Unicode form D), beside one that keeps what it is told. Both show
//! the same text, in different bytes.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::{ConflictKind, IndexedRecord};

use super::pairs::{PLAIN, text};
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

const JOINED: &str = "Caf\u{e9} Z\u{fc}rich";
const APART: &str = "Cafe\u{301} Zu\u{308}rich";

/// `b` keeps names and cities apart, and nothing but the name tells what belongs together.
async fn world() -> World {
    let apart = Oddities {
        forms: vec![("name", Form::Decomposed), ("city", Form::Decomposed)],
        ..Oddities::default()
    };
    let ends = ((PLAIN, Oddities::default()), (PLAIN, apart));
    World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await
}

async fn pair() -> (World, RecordId, RecordId) {
    let world = world().await;
    let a = world
        .a
        .user_creates(&[("name", JOINED), ("city", "K\u{f6}ln")]);
    let b = world
        .b
        .user_creates(&[("name", APART), ("city", "Ko\u{308}ln")]);
    world.first_sync().await;
    (world, a, b)
}

#[tokio::test]
async fn records_whose_names_differ_in_nothing_but_their_unicode_form_are_one_pair() {
    let (world, a, b) = pair().await;
    assert_eq!(
        (world.a.ids(), world.b.ids()),
        (vec![a.clone()], vec![b.clone()])
    );
    let link = world.link_of(Side::A, &a).await.expect("they are linked");
    assert_eq!(link.b.id, Some(b));
    assert_eq!(
        (world.a.writes(), world.b.writes()),
        (0, 0),
        "nothing differs"
    );
    assert_eq!(world.questions().await, []);
}

#[tokio::test]
async fn an_edit_comes_over_once_and_is_no_question_in_whatever_unicode_form_it_is_kept() {
    let (world, a, b) = pair().await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "M\u{fc}nchen");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &b, "city"), "Mu\u{308}nchen");
    assert_eq!(text(&world, Side::A, &a, "city"), "M\u{fc}nchen");
    assert_eq!((world.a.writes(), world.b.writes()), (0, 1));
    // A's users may save it in the other form as well.
    world.a.user_edits(&a, "city", "Mu\u{308}nchen");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.first_sync().await;
    assert_eq!((world.a.writes(), world.b.writes()), (0, 1));
    assert_eq!(world.questions().await, []);
}

#[tokio::test]
async fn a_new_record_finds_its_like_that_a_system_can_only_be_searched_for_byte_by_byte() {
    let world = world().await;
    world.first_sync().await;
    let b = world.b.user_creates(&[("name", APART)]);
    let a = world.a.user_creates(&[("name", JOINED)]);
    // Nothing told of the record of b yet: it is in no index.
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.ids(), [b]);
    assert_eq!(world.dead().await.len(), 0);
}

#[tokio::test]
async fn a_like_that_an_earlier_tandem_stored_in_its_own_unicode_form_is_found() {
    let world = world().await;
    world.first_sync().await;
    let first = world.a.user_creates(&[("name", APART)]);
    let stored = IndexedRecord {
        id: first.clone(),
        keys: vec![format!("name:{}", APART.to_lowercase())],
        checksum: "earlier".into(),
        updated_at: None,
        in_part: false,
        filtered: false,
        sight: tandem_store::Sight::Shown,
    };
    let now = tandem_domain::Clock::now(world.clock.as_ref());
    let indexed = world
        .store
        .index_records(&world.sync, Side::A, vec![stored], vec![], 1, now);
    indexed.await.expect("the storage answers");
    // Which of the two has the partner nobody knows: to make one of the second would double the first.
    let second = world.a.user_creates(&[("name", JOINED)]);
    world.hear(Side::A, &second).await;
    world.rest().await;
    assert_eq!(world.b.ids(), []);
    assert_eq!(world.open().await.len(), 1, "a person is asked");
}

/// U+FA1B is an official variant of U+798F in names, and NFC would replace it.
const TYPED: &str = "\u{fa1b}\u{7530}";
const PLAIN_FORM: &str = "\u{798f}\u{7530}";

#[tokio::test]
async fn a_name_with_a_variant_of_an_ideograph_is_written_as_typed_and_an_edit_of_only_the_variant_comes_over()
 {
    let ends = ((PLAIN, Oddities::default()), (PLAIN, Oddities::default()));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    let a = world.a.user_creates(&[
        ("name", TYPED),
        ("email", "f@x.example"),
        ("city", PLAIN_FORM),
    ]);
    world.first_sync().await;
    world.rest().await;
    let b = world.b.ids().pop().expect("it was made");
    assert_eq!(text(&world, Side::B, &b, "name"), TYPED);
    assert_eq!(text(&world, Side::B, &b, "city"), PLAIN_FORM);
    for (city, time) in [(TYPED, 60), (PLAIN_FORM, 120)] {
        world.clock.advance(Duration::from_secs(time));
        world.b.user_edits(&b, "city", city);
        world.hear(Side::B, &b).await;
        world.rest().await;
        assert_eq!(text(&world, Side::A, &a, "city"), city);
        assert_eq!(
            text(&world, Side::B, &b, "city"),
            city,
            "the correction stands"
        );
    }
    world.assert_agreement(1);
    assert_eq!(world.questions().await, []);
}

#[tokio::test]
async fn a_variant_of_an_ideograph_stays_with_its_typist_where_the_other_system_cannot_keep_it() {
    let plain = Oddities {
        forms: vec![("name", Form::Canonical)],
        ..Oddities::default()
    };
    let ends = ((PLAIN, Oddities::default()), (PLAIN, plain));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    world.first_sync().await;
    // Nothing but the name tells what belongs together, and the search of `b` compares bytes.
    let b = world
        .b
        .user_creates(&[("name", PLAIN_FORM), ("city", "Nara")]);
    let a = world.a.user_creates(&[("name", TYPED), ("city", "Nara")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.ids(), std::slice::from_ref(&b), "it is found");
    for (side, id, city) in [(Side::A, &a, "Kobe"), (Side::B, &b, "Otsu")] {
        world.clock.advance(Duration::from_secs(60));
        world.system(side).user_edits(id, "city", city);
        world.hear(side, id).await;
        world.rest().await;
        world.first_sync().await;
        assert_eq!(
            text(
                &world,
                side.other(),
                if side == Side::A { &b } else { &a },
                "city"
            ),
            city
        );
    }
    let names = [(Side::A, &a), (Side::B, &b)].map(|(side, id)| text(&world, side, id, "name"));
    assert_eq!(names, [TYPED, PLAIN_FORM]);
    let questions = world.questions().await;
    let is_told = |kind: &ConflictKind| matches!(kind, ConflictKind::NotKept { .. });
    assert!(questions.iter().all(|question| is_told(&question.kind)));
    assert_eq!(questions.len(), 1, "a person is told, once: {questions:?}");
}
