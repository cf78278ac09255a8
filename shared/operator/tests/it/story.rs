use tandem_domain::{ConflictId, Fields, LinkId, RecordId, Side, Value};
use tandem_operator::{OperatorError, Story};

use tandem_store::{
    Confirmation, ConflictKind, FieldChange, Filtered, JobOutcome, LinkStanding, NewDelivery,
};
use tandem_testkit::Make;

use crate::support::{World, world};

/// A linked pair a1-b1, an event that changed it, and the change.
async fn told_world() -> (World, LinkId) {
    let world = world().await;
    let make = &world.make;
    let link = make.link("a1", "b1");
    let link_id = link.id;
    world
        .store
        .insert_links(vec![link], make.now())
        .await
        .expect("it is linked");
    let delivery: NewDelivery = make.delivery(vec![make.event("k1", "a1")]);
    world
        .store
        .record_deliveries(vec![delivery], make.now())
        .await
        .expect("it is stored");
    let claimed = world
        .store
        .claim(make.claim(1))
        .await
        .expect("it is claimed");
    let mut change = make.change("a1", "b1");
    change.link = Some(link_id);
    change.fields.push(FieldChange {
        field: "name".to_owned(),
        a: Value::Text("Anna".to_owned()),
        b: Value::Text("Ann".to_owned()),
        base: None,
        chosen: Value::Text("Anna".to_owned()),
        from: Some(Side::A),
        a_until: None,
        b_until: None,
        lost: None,
        reason: "only crm changed".to_owned(),
    });
    let confirmation = Confirmation {
        changes: vec![change],
        outcome: Some(JobOutcome::Done {
            note: "written_b".to_owned(),
        }),
        ..Confirmation::default()
    };
    world
        .store
        .confirm(
            &Make::customers(),
            claimed[0].lease,
            confirmation,
            make.now(),
        )
        .await
        .expect("the storage answers")
        .expect("the lease is held");
    (world, link_id)
}

#[tokio::test]
async fn the_story_of_a_record_is_told_from_either_side() {
    let (world, link) = told_world().await;
    for record in ["a1", "b1"] {
        let story = world
            .operator
            .explain(&Make::customers(), None, &RecordId::new(record))
            .await
            .expect("it is known");
        assert_eq!(
            story.link.as_ref().map(|link| link.id),
            Some(link),
            "{record}"
        );
        assert_eq!(story.changes.len(), 1, "{record}");
        assert_eq!(story.events.len(), 1, "{record}");
        assert_eq!(story.jobs.len(), 1, "{record}");
    }
}

#[tokio::test]
async fn the_story_reads_as_text() {
    let (world, _) = told_world().await;
    let story = world
        .operator
        .explain(&Make::customers(), Some(Side::A), &RecordId::new("a1"))
        .await
        .expect("it is known");
    let text = story.to_string();
    for line in [
        "crm a1 in sync customers (side a is crm, side b is books)",
        "crm a1 and books b1: held equal",
        "  name: \"Ann\"",
        "updated books (by webhook)",
        "      name: \"Anna\" in crm, \"Ann\" in books -> \"Anna\" (only crm changed)",
        "reconcile crm by webhook, done, attempt 1, 0 merged: written_b",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test]
async fn an_unknown_record_is_said_to_be_unknown() {
    let (world, _) = told_world().await;
    let unknown = world
        .operator
        .explain(&Make::customers(), None, &RecordId::new("zzz"))
        .await;
    assert!(matches!(unknown, Err(OperatorError::NotFound { .. })));
}

#[tokio::test]
async fn of_a_record_that_the_filters_leave_out_its_system_is_asked_why() {
    let world = world().await;
    let record = RecordId::new("supplier");
    let sync = Make::customers();
    let explained = world.operator.explain(&sync, None, &record).await;
    let told = explained.expect("it is there").to_string();
    let why = "left out by the sync's filters, because its `kind` is `supplier`";
    assert!(told.contains(why), "{told}");
    world.systems.go_away();
    let unknown = world.operator.explain(&sync, None, &record).await;
    assert!(matches!(unknown, Err(OperatorError::NotFound { .. })));
}

#[tokio::test]
async fn an_id_that_both_sides_have_needs_a_side() {
    let (world, _) = told_world().await;
    let twin = world.make.link("b1", "zz");
    world
        .store
        .insert_links(vec![twin], world.make.now())
        .await
        .expect("it is linked");
    let record = RecordId::new("b1");
    let sync = Make::customers();
    let unclear = world.operator.explain(&sync, None, &record).await;
    assert!(matches!(unclear, Err(OperatorError::Invalid { .. })));
    let story = world
        .operator
        .explain(&sync, Some(Side::B), &record)
        .await
        .expect("it is clear");
    assert_eq!(story.changes.len(), 1);
    let other = world
        .operator
        .explain(&sync, Some(Side::A), &record)
        .await
        .expect("it is clear");
    assert!(other.changes.is_empty());
}

#[tokio::test]
async fn a_pair_that_a_filter_leaves_out_says_so_in_its_list_and_its_story() {
    let (world, id) = told_world().await;
    let link = world.store.link(id).await.expect("link").expect("there");
    let mut a = link.a.clone();
    a.memory.filtered = Some(Filtered {
        field: "type".to_owned(),
        value: Value::Text("supplier".to_owned()),
        since: world.make.now(),
    });
    world
        .store
        .enqueue(
            vec![world.make.job_of(Make::reconcile(Side::A, "a1"))],
            world.make.now(),
        )
        .await
        .expect("enqueued");
    let claimed = world.store.claim(world.make.claim(1)).await;
    let lease = claimed.expect("claimed")[0].lease;
    let confirmation = Confirmation {
        link: Some(link.with_sides(a, link.b.clone())),
        ..Confirmation::default()
    };
    let confirmed = world
        .store
        .confirm(&Make::customers(), lease, confirmation, world.make.now())
        .await;
    assert_eq!(confirmed.expect("the storage answers"), Ok(()));

    let sync = Make::customers();
    let listed = async |state| {
        let page = world.operator.links(&sync, Some(state), None, None).await;
        page.expect("a page").items
    };
    assert_eq!(listed(LinkStanding::Active).await, []);
    let resting = listed(LinkStanding::Filtered).await.remove(0);
    assert_eq!(resting.standing(), LinkStanding::Filtered);
    let filtered = resting.filtered.expect("a reason");
    assert_eq!(filtered.because, "its `type` is `supplier`");

    let record = RecordId::new("a1");
    let story = world.operator.explain(&sync, Some(Side::A), &record).await;
    let text = story.expect("a story").to_string();
    assert!(
        text.contains("linked, and left out by the sync's filters"),
        "{text}"
    );
    assert!(
        text.contains("leave record a1 of side a out, because its `type` is `supplier`"),
        "{text}"
    );
}

/// The story of a pair about which this is asked, as text, and the question.
async fn told_beside(kind: ConflictKind) -> (Story, ConflictId) {
    let (world, link) = told_world().await;
    let asked = world.make.conflict(Some(link), "a1", kind);
    let question = asked.id;
    let opened = world
        .store
        .open_conflicts(vec![asked], world.make.now())
        .await;
    assert_eq!(opened.expect("it is asked"), 1);
    let record = RecordId::new("a1");
    let sync = Make::customers();
    let story = world.operator.explain(&sync, None, &record);
    (story.await.expect("it is known"), question)
}

#[tokio::test]
async fn of_a_pair_that_waits_for_a_person_it_is_said_what_is_asked_and_not_that_it_is_held_equal()
{
    let at = Make::default().now();
    let not_made = ConflictKind::NotMade {
        system: "books".to_owned(),
        made: RecordId::new("b1"),
        sent_at: at,
        missed_at: at,
    };
    let delete_held = ConflictKind::DeleteHeld {
        gone: Side::B,
        reason: "more deletes than the brake allows".to_owned(),
    };
    let back_and_forth = ConflictKind::BackAndForth {
        a: Fields::new(),
        b: Fields::new(),
        writes: 12,
        since: at,
        again: None,
    };
    for kind in [not_made, delete_held, back_and_forth] {
        let word = kind.as_str();
        let (story, question) = told_beside(kind).await;
        assert!(story.held, "{word}");
        let text = story.to_string();
        for part in [
            format!(
                "crm a1 and books b1: linked, and held until question {question} ({word}) is answered"
            ),
            format!(
                "Nothing is written for it until the open question {question} ({word}) is answered"
            ),
            format!("`tandem conflicts resolve {question}`"),
        ] {
            assert!(text.contains(&part), "{part}\nis not in\n{text}");
        }
        assert!(!text.contains("held equal"), "{text}");
    }
}

#[tokio::test]
async fn of_a_field_that_a_person_is_asked_about_it_is_said_that_it_stays_and_the_others_are_held_equal()
 {
    let kind = Make::field_conflict("name");
    let (story, question) = told_beside(kind).await;
    assert!(!story.held, "the other fields go on");
    let text = story.to_string();
    for part in [
        "held equal but for `name`, about which a person is asked".to_owned(),
        format!("`name` stays as it is until the open question {question} (field) is answered"),
    ] {
        assert!(text.contains(&part), "{part}\nis not in\n{text}");
    }
}

#[tokio::test]
async fn a_question_about_what_has_happened_holds_nothing() {
    let kind = ConflictKind::Overwritten {
        edited_at: None,
        event: None,
        written: Fields::new(),
        met: None,
    };
    let (story, _) = told_beside(kind).await;
    assert_eq!((story.held, story.waits_for.len()), (false, 0));
    assert!(story.to_string().contains(": held equal ("));
}
