//! Seeded simulation of the worker over a real storage: people edit both sides, requests and answers
//! get lost, processes die before and after each write, or stand still past their lease and go on, webhooks
//! come twice, late, or not at all. At rest both sides hold the same, nothing is doubled, nothing is lost, and
//! nothing waits.

mod dead_letters;
mod odd;
mod simulated;
#[allow(dead_code, reason = "tests of the mends use the rest of it")]
mod world;

use tandem_domain::Side;
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
    world.begin_first_sync().await;
    let mut stood_still = Vec::new();
    if world.chance(2) == 0 {
        stood_still.extend(world.stands_still_with_a_job().await);
    }
    world.rest().await;
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
        if world.chance(8) == 0 {
            stood_still.extend(world.stands_still_with_a_job().await);
        }
        for _ in 0..world.chance(3) {
            world.turn().await;
        }
        if world.chance(4) == 0
            && let Some(late) = stood_still.pop()
        {
            world.goes_on_with(late).await;
        }
    }
    world.a.heal();
    world.b.heal();
    world.replay_what_crashes_ended().await;
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
