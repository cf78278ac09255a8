//! Seeded simulation of the worker over a real storage: people edit both sides, requests and answers
//! get lost, processes die before and after each write, webhooks come twice, late, or not at all. At
//! rest both sides hold the same, nothing is doubled, nothing is lost, and nothing waits.

mod dead_letters;
mod odd;
#[allow(dead_code, reason = "tests of the mends use the rest of it")]
mod world;

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{Ambiguous, ConflictPolicy, DeletePolicies, DeletePolicy, FieldRule};
use tandem_runtime::Archived;
use tandem_store::{ConflictKind, ConflictState, Resolution};
use world::system::{Fault, Talents};
use world::{World, policy};

const PLAIN: Talents = Talents {
    external_reference: false,
    idempotent_create: false,
    answers_with_record: false,
    changed_since: false,
};
const RICH: Talents = Talents {
    external_reference: true,
    idempotent_create: false,
    answers_with_record: true,
    changed_since: true,
};
const KEYED: Talents = Talents {
    external_reference: false,
    idempotent_create: true,
    answers_with_record: true,
    changed_since: true,
};

const FAULTS: [Fault; 5] = [
    Fault::LostRequest,
    Fault::LostResponse,
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Down,
];

/// Lives through a seeded life of edits and faults, comes to rest, and compares.
async fn live(seed: u64) {
    let talents = [PLAIN, RICH, KEYED];
    let (a, b) = (
        talents[(seed % 3) as usize],
        talents[(seed / 3 % 3) as usize],
    );
    let world = World::before_first_sync(seed, policy(), a, b).await;
    for number in 0..6 {
        let email = format!("seed{number}@x.example");
        if number % 3 != 1 {
            world.a.user_creates(&[
                ("name", &format!("Seed {number}")),
                ("email", &email),
                ("city", "Ghent"),
            ]);
        }
        if number % 3 != 2 {
            world
                .b
                .user_creates(&[("name", &format!("SEED {number}")), ("email", &email)]);
        }
    }
    world.first_sync().await;
    for step in 0..30 {
        let side = if world.chance(2) == 0 {
            Side::A
        } else {
            Side::B
        };
        if world.chance(3) == 0 {
            let fault = FAULTS[world.chance(5) as usize];
            world.system(side).go_wrong(&[fault]);
        }
        act(&world, side, step).await;
        for _ in 0..world.chance(3) {
            world.turn().await;
        }
    }
    world.a.heal();
    world.b.heal();
    world.rest().await;
    world.sweep().await;
    assert_eq!(world.dead().await, [], "seed {seed}: no dead letters");
    world.assert_agreement(seed);
    let writes = (world.a.writes(), world.b.writes());
    world.sweep().await;
    assert_eq!(
        (world.a.writes(), world.b.writes()),
        writes,
        "seed {seed}: at rest nothing is written"
    );
}

async fn act(world: &World, side: Side, step: u64) {
    let ids = world.system(side).ids();
    let record = if world.chance(6) == 0 || ids.is_empty() {
        let email = format!("new{step}@x.example");
        world
            .system(side)
            .user_creates(&[("name", &format!("New {step}")), ("email", &email)])
    } else {
        let id = ids[world.chance(ids.len() as u64) as usize].clone();
        let field = if world.chance(2) == 0 { "city" } else { "name" };
        world
            .system(side)
            .user_edits(&id, field, &format!("{field} {side} {step}"));
        id
    };
    // A webhook may come twice, or never.
    for _ in 0..world.chance(3) {
        world.hear(side, &record).await;
    }
}

#[tokio::test]
async fn whatever_happens_both_sides_agree_at_rest() {
    for seed in 0..15 {
        live(seed).await;
    }
}

#[tokio::test]
async fn whatever_happens_both_sides_agree_at_rest_with_other_seeds() {
    for seed in 15..30 {
        live(seed).await;
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_not_repeated() {
    for talents in [PLAIN, RICH, KEYED] {
        for fault in [
            Fault::LostResponse,
            Fault::CrashAfter,
            Fault::LostRequest,
            Fault::CrashBefore,
        ] {
            let world = World::new(1, policy(), PLAIN, talents).await;
            let id = world
                .a
                .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
            world.b.go_wrong(&[fault]);
            world.hear(Side::A, &id).await;
            world.rest().await;
            assert_eq!(world.b.ids().len(), 1, "{talents:?} {fault:?}");
            world.assert_agreement(1);
        }
    }
}

#[tokio::test]
async fn a_worker_that_goes_on_after_its_lease_sends_nothing() {
    let world = World::new(1, policy(), PLAIN, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &id).await;
    world.turn_of_the_late().await;
    assert_eq!(world.b.writes(), 0);
    world.rest().await;
    assert_eq!(world.b.writes(), 1);
    assert_eq!(world.dead().await, []);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_first_sync_whose_process_went_away_begins_again_and_ends() {
    let world = World::before_first_sync(1, policy(), PLAIN, RICH).await;
    world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.leave_a_first_sync_in_the_middle().await;
    world.first_sync().await;
    world.assert_agreement(1);
}

#[tokio::test]
async fn before_the_first_sync_has_ended_nothing_is_created() {
    let world = World::before_first_sync(1, policy(), PLAIN, RICH).await;
    // The other system finds no other spelling; only comparing all of both sides does.
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world
        .b
        .user_creates(&[("name", "ACME"), ("email", "A@Acme.example")]);
    world.hear(Side::A, &a).await;
    for _ in 0..10 {
        world.turn().await;
        world.clock.advance(Duration::from_secs(5));
    }
    world.leave_a_first_sync_in_the_middle().await;
    world.turn().await;
    assert_eq!(world.b.ids().len(), 1, "nothing is created yet");
    world.first_sync().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(1);
}

#[tokio::test]
async fn the_echo_of_our_own_create_creates_nothing_even_before_the_link_is_saved() {
    let world = World::new(2, policy(), RICH, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &id).await;
    world.turn().await;
    let made = world.b.ids();
    assert_eq!(made.len(), 1, "the create had its effect");
    world.hear(Side::B, &made[0]).await;
    world.rest().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(2);
}

#[tokio::test]
async fn the_echo_of_our_own_create_asks_nothing_when_the_link_is_saved_while_it_is_read() {
    let world = World::new(2, policy(), RICH, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &id).await;
    world.hear(Side::B, &RecordId::new("b0001")).await;
    let reading = world.b.slow_reads.write().await;
    let linked = async {
        while world.link_of(Side::A, &id).await.is_none() {
            tokio::task::yield_now().await;
        }
        drop(reading);
    };
    tokio::join!(world.turn(), linked);
    world.rest().await;
    assert_eq!(world.questions().await, []);
    world.assert_agreement(2);
}

#[tokio::test]
async fn the_same_company_entered_on_both_sides_at_once_is_linked_not_crossed() {
    let world = World::new(3, policy(), PLAIN, PLAIN).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &a).await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(3);
}

#[tokio::test]
async fn edits_of_different_fields_both_survive_and_the_later_edit_of_one_field_wins() {
    let world = World::new(4, policy(), RICH, RICH).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids()[0].clone();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "name", "Acme Ltd");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let fields = &world.a.contents()[0];
    assert_eq!(
        (fields["city"].as_str(), fields["name"].as_str()),
        ("Lyon", "Acme Ltd")
    );

    // Side a's clock is four minutes ahead of side b's; b's edit is the later one all the same.
    world.a.user_edits(&a, "city", "Turin");
    world.clock.advance(Duration::from_secs(5));
    world.b.user_edits(&b, "city", "Bremen");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.a.contents()[0]["city"], "Bremen");
    world.assert_agreement(4);
    let filter = tandem_store::ChangeFilter {
        record: Some(a),
        limit: 10,
        ..Default::default()
    };
    let changes = world
        .store
        .changes(&filter)
        .await
        .expect("the storage answers");
    let lost: Vec<_> = changes
        .iter()
        .flat_map(|change| &change.fields)
        .filter_map(|field| field.lost.clone())
        .collect();
    assert_eq!(lost, [tandem_domain::Value::Text("Turin".into())]);
}

/// The answer to a write is lost. Before it is looked for, the value is edited again on the side that it came
/// from, and another field on the side that it went to: what Tandem wrote is no edit, so nobody contradicts.
async fn edited_again_while_a_write_is_open(written_beside: bool, faults: &[Fault]) {
    let world = World::new(4, policy(), RICH, RICH).await;
    let b = world.b.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::B, &b).await;
    world.rest().await;
    let a = world.a.ids()[0].clone();
    world.b.user_edits(&b, "city", "Lyon");
    world.b.user_edits(&b, "name", "Acme Ltd");
    world.a.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::B, &b).await;
    world.turn().await;
    assert_eq!(world.a.contents()[0]["city"].as_str(), "Lyon");

    world.b.user_edits(&b, "city", "Turin");
    world.clock.advance(Duration::from_secs(5));
    let (field, value) = match written_beside {
        true => ("name", "Acme Group"),
        false => ("email", "b@acme.example"),
    };
    world.a.user_edits(&a, field, value);
    world.a.go_wrong(faults);
    world.rest().await;
    for side in [&world.a, &world.b] {
        let fields = &side.contents()[0];
        assert_eq!(fields["city"].as_str(), "Turin");
        assert_eq!(fields[field].as_str(), value);
    }
    assert_eq!(world.questions().await, []);
}

#[tokio::test]
async fn an_edit_made_while_the_write_of_the_one_before_is_open_is_kept() {
    edited_again_while_a_write_is_open(false, &[]).await;
}

#[tokio::test]
async fn so_it_is_where_another_field_of_that_write_was_edited_meanwhile() {
    edited_again_while_a_write_is_open(true, &[]).await;
}

#[tokio::test]
async fn so_it_is_where_the_next_write_goes_wrong_too() {
    for fault in [Fault::LostRequest, Fault::LostResponse, Fault::CrashAfter] {
        for written_beside in [true, false] {
            edited_again_while_a_write_is_open(written_beside, &[fault]).await;
            edited_again_while_a_write_is_open(written_beside, &[fault, fault]).await;
        }
    }
}

#[tokio::test]
async fn what_an_operator_gives_a_dead_letter_goes_to_both_sides_whether_linked_or_not() {
    let world = World::new(4, policy(), PLAIN, RICH).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Gehnt"),
    ]);
    world.hear(Side::A, &a).await;
    world.give_up_and_replay_with(&[("city", "Ghent")]).await;
    world.rest().await;
    assert_eq!(world.b.writes(), 1);
    for side in [&world.a, &world.b] {
        assert_eq!(side.contents()[0]["city"].as_str(), "Ghent");
    }
    world.assert_agreement(4);

    world.a.user_edits(&a, "city", "Turni");
    world.hear(Side::A, &a).await;
    world
        .give_up_and_replay_with(&[("city", "Turin"), ("phone", "1")])
        .await;
    world.rest().await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "there is no such field");
    assert!(format!("{dead:?}").contains("phone"), "{dead:?}");

    world.hear(Side::A, &a).await;
    world.give_up_and_replay_with(&[("city", "Turin")]).await;
    world.rest().await;
    for side in [&world.a, &world.b] {
        assert_eq!(side.contents()[0]["city"].as_str(), "Turin");
    }
    // What was given once is not given again to later edits.
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.contents()[0]["city"].as_str(), "Lyon");
    world.assert_agreement(4);
}

#[tokio::test]
async fn a_manual_conflict_waits_for_its_answer() {
    let mut policy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let world = World::new(5, policy, RICH, RICH).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids()[0].clone();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::A, &a).await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    let questions = world.questions().await;
    assert_eq!(questions.len(), 1);
    assert!(matches!(&questions[0].kind, ConflictKind::Field { field, .. } if field == "city"));
    answer(&world, &questions[0], Resolution::Take { side: Side::B }).await;
    assert_eq!(world.a.contents()[0]["city"], "Turin");
    world.assert_agreement(5);
    assert_eq!(world.questions().await[0].state, ConflictState::Closed);
}

async fn answer(world: &World, question: &tandem_store::Conflict, resolution: Resolution) {
    use tandem_domain::Clock;
    let now = world.clock.now();
    let job = tandem_domain::JobId::new(now, &tandem_testkit::SeededEntropy::new(99));
    world
        .store
        .resolve_conflict(question.id, resolution, job, now)
        .await
        .expect("the storage answers");
    world.rest().await;
}

#[tokio::test]
async fn duplicates_are_held_until_an_operator_says_which_is_which() {
    let world = World::new(6, policy(), RICH, RICH).await;
    let first = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    let second = world
        .a
        .user_creates(&[("name", "ACME"), ("email", "A@ACME.example")]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.first_sync().await;
    assert_eq!(
        (world.a.ids().len(), world.b.ids().len()),
        (2, 1),
        "nothing was created"
    );
    for question in world.questions().await {
        let keep = question.record == first;
        let resolution = if keep {
            Resolution::LinkTo { record: b.clone() }
        } else {
            Resolution::Ignore
        };
        answer(&world, &question, resolution).await;
    }
    world.hear(Side::A, &second).await;
    world.rest().await;
    assert_eq!(
        (world.a.ids().len(), world.b.ids().len()),
        (2, 1),
        "the duplicate is left alone"
    );
    let pair = world
        .store
        .pair(&world.sync, Side::A, &first)
        .await
        .expect("the storage answers");
    assert_eq!(pair.link.and_then(|link| link.b.id), Some(b));
}

#[tokio::test]
async fn an_answer_whose_partner_is_taken_by_now_is_asked_anew() {
    let world = World::new(8, policy(), RICH, RICH).await;
    let acme = [("name", "Acme"), ("email", "a@acme.example")];
    let first = world.a.user_creates(&acme);
    let second = world.a.user_creates(&acme);
    let b = world.b.user_creates(&acme);
    world.first_sync().await;
    let both: Vec<_> = world.questions().await;
    assert_eq!(both.len(), 2);
    for question in &both {
        // The storage does not check what the operator's desk does.
        let same = Resolution::LinkTo { record: b.clone() };
        answer(&world, question, same).await;
    }
    let pair = async |record| {
        let pair = world.store.pair(&world.sync, Side::A, record).await;
        pair.expect("the storage answers")
    };
    let linked = [pair(&first).await, pair(&second).await];
    assert_eq!(linked.iter().filter(|pair| pair.link.is_some()).count(), 1);
    let mut open = world.questions().await;
    open.retain(|question| question.state == tandem_store::ConflictState::Open);
    assert_eq!(open.len(), 1, "somebody can still answer: {open:?}");
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (2, 1));
}

#[tokio::test]
async fn by_policy_the_first_of_the_duplicates_is_linked_without_asking() {
    let mut policy = policy();
    policy.ambiguous = Ambiguous::First;
    let world = World::new(7, policy, RICH, RICH).await;
    let first = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world
        .a
        .user_creates(&[("name", "ACME"), ("email", "a@acme.example")]);
    world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.first_sync().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (2, 1));
    let pair = world
        .store
        .pair(&world.sync, Side::A, &first)
        .await
        .expect("the storage answers");
    assert!(pair.link.is_some());
}

#[tokio::test]
async fn by_policy_duplicates_without_a_partner_get_one_partner_whichever_side_has_them() {
    for side in Side::BOTH {
        let mut policy = policy();
        policy.ambiguous = Ambiguous::First;
        let world = World::new(7, policy, RICH, RICH).await;
        let having = match side {
            Side::A => &world.a,
            Side::B => &world.b,
        };
        let acme = [("name", "Acme"), ("email", "a@acme.example")];
        let (first, second) = (having.user_creates(&acme), having.user_creates(&acme));
        let expected = match side {
            Side::A => (2, 1),
            Side::B => (1, 2),
        };
        world.first_sync().await;
        assert_eq!((world.a.ids().len(), world.b.ids().len()), expected);
        for id in [&second, &first] {
            having.user_edits(id, "city", "Ghent");
            world.hear(side, id).await;
            world.rest().await;
        }
        assert_eq!(
            (world.a.ids().len(), world.b.ids().len()),
            expected,
            "one partner is enough"
        );
    }
}

fn deleting() -> tandem_engine::SyncPolicy {
    let mut policy = policy();
    policy.deletes = DeletePolicies {
        a_gone: DeletePolicy::Propagate,
        b_gone: DeletePolicy::Propagate,
    };
    policy
}

async fn pairs(world: &World, count: usize) -> Vec<RecordId> {
    for number in 0..count {
        let email = format!("p{number}@x.example");
        world
            .a
            .user_creates(&[("name", &format!("P {number}")), ("email", &email)]);
    }
    world.first_sync().await;
    world.a.ids()
}

#[tokio::test]
async fn a_delete_is_carried_over_but_an_edit_beats_it() {
    let world = World::new(8, deleting(), RICH, RICH).await;
    let ids = pairs(&world, 2).await;
    world.a.user_deletes(&ids[0]);
    world.a.user_deletes(&ids[1]);
    let survivor = world.b.ids()[1].clone();
    world.b.user_edits(&survivor, "city", "Ghent");
    world.sweep().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(8);
}

/// Deletes propagate, and the flag `active` is a field like any other.
async fn world_with_active(seed: u64) -> World {
    let mut policy = deleting();
    policy.fields.push(FieldRule {
        name: "active".into(),
        a: "active".into(),
        b: "active".into(),
        ..policy.fields[0].clone()
    });
    World::with_archived(seed, policy, RICH, RICH, Archived::Kept).await
}

#[tokio::test]
async fn where_the_flag_is_mapped_an_inactive_record_stays_in_agreement_and_comes_back() {
    let world = world_with_active(21).await;
    let a = pairs(&world, 1).await.remove(0);
    let b = world.b.ids().remove(0);
    world.a.user_edits(&a, "active", "false");
    world.sweep().await;
    world.a.user_edits(&a, "name", "Renamed asleep");
    world.sweep().await;
    world.assert_agreement(21);
    assert_eq!(world.b.contents()[0]["name"], "Renamed asleep");
    world.b.user_edits(&b, "active", "true");
    world.sweep().await;
    world.assert_agreement(21);
    assert_eq!(world.a.contents()[0]["active"], "true");
}

#[tokio::test]
async fn an_inactive_record_is_not_made_again_where_its_partner_was_deleted() {
    let world = world_with_active(22).await;
    let a = pairs(&world, 1).await.remove(0);
    let b = world.b.ids().remove(0);
    world.a.user_edits(&a, "active", "false");
    world.b.user_deletes(&b);
    world.sweep().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 0));
}

#[tokio::test]
async fn too_many_deletes_wait_for_approval_and_an_emptied_side_deletes_nothing() {
    let world = World::new(9, deleting(), RICH, RICH).await;
    let ids = pairs(&world, 30).await;
    for id in &ids[..15] {
        world.a.user_deletes(id);
    }
    world.sweep().await;
    assert_eq!(
        world.b.ids().len(),
        20,
        "ten deletes pass, the others are held"
    );
    let held: Vec<_> = world.questions().await;
    assert_eq!(held.len(), 5);
    answer(&world, &held[0], Resolution::Approve).await;
    assert_eq!(world.b.ids().len(), 19);
    for id in &ids[15..] {
        world.a.user_deletes(id);
    }
    world.sweep().await;
    assert_eq!(world.b.ids().len(), 19, "an emptied side stops");
}

#[tokio::test]
async fn a_system_that_is_down_costs_no_attempts() {
    let world = World::new(10, policy(), RICH, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.b.go_wrong(&[Fault::Down; 40]);
    world.hear(Side::A, &id).await;
    world.rest().await;
    assert_eq!(world.dead().await, []);
    world.assert_agreement(10);
}

#[tokio::test]
async fn a_partner_that_is_taken_by_now_is_not_linked_twice() {
    let world = World::new(11, policy(), RICH, RICH).await;
    world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world
        .a
        .user_creates(&[("name", "ACME"), ("email", "a@acme.example")]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.first_sync().await;
    for question in world.questions().await {
        answer(&world, &question, Resolution::LinkTo { record: b.clone() }).await;
    }
    assert_eq!(world.dead().await, []);
    let open = world.questions().await.into_iter().filter(|question| {
        question.state == tandem_store::ConflictState::Open
            && matches!(question.kind, tandem_store::ConflictKind::Ambiguous { .. })
    });
    assert_eq!(open.count(), 1, "the second answer is asked for anew");
    let links = world
        .store
        .links(&world.sync, None, 10)
        .await
        .expect("the storage answers");
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].b.id, Some(b));
}
