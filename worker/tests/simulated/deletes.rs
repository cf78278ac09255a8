//! Records that are deleted, or put out of use.

use tandem_domain::RecordId;
use tandem_engine::{DeletePolicies, DeletePolicy, FieldRule};
use tandem_runtime::Archived;
use tandem_store::Resolution;

use super::questions::answer;
use crate::RICH;
use crate::world::{World, policy};

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
