//! What the tests of this folder begin with: systems that can do what most can, and one pair.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{DeletePolicies, DeletePolicy, SyncPolicy};
use tandem_runtime::Archived;

use crate::world::system::Talents;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

pub const TALENTS: Talents = Talents {
    external_reference: true,
    idempotent_create: false,
    answers_with_record: true,
    changed_since: true,
};

/// The same without references: only match keys tell what belongs together.
pub const PLAIN: Talents = Talents {
    external_reference: false,
    ..TALENTS
};

pub const ANN: [(&str, &str); 3] = [
    ("name", "Ann"),
    ("email", "ann@x.example"),
    ("city", "Ghent"),
];

/// A record that is gone on one side is deleted on the other.
pub fn propagates() -> SyncPolicy {
    SyncPolicy {
        deletes: DeletePolicies {
            a_gone: DeletePolicy::Propagate,
            b_gone: DeletePolicy::Propagate,
        },
        ..policy()
    }
}

/// One pair that was linked so long ago; `b` is odd.
pub async fn one_pair(
    policy: SyncPolicy,
    b: (Talents, Oddities),
    age: Duration,
) -> (World, RecordId, RecordId) {
    let (world, a, b) = just_linked(policy, (TALENTS, Oddities::default()), b).await;
    world.clock.advance(age);
    (world, a, b)
}

/// One pair that the first sync has made.
pub async fn just_linked(
    policy: SyncPolicy,
    a: (Talents, Oddities),
    b: (Talents, Oddities),
) -> (World, RecordId, RecordId) {
    let world = World::odd(1, policy, a, b, Archived::Gone).await;
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    let b = world.b.ids().remove(0);
    // Its own event, by which it is seen.
    world.hear(Side::B, &b).await;
    world.rest().await;
    (world, a, b)
}

/// Two plain systems, of which `b` is odd, and one record, with these fields beside its name and address, that is on both
/// and at rest.
pub async fn on_both(fields: &[(&str, &str)], b: Oddities) -> (World, RecordId, RecordId) {
    let ends = ((PLAIN, Oddities::default()), (PLAIN, b));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    let named = [&[("name", "Ann"), ("email", "ann@x.example")], fields].concat();
    let here = world.a.user_creates(&named);
    world.clock.advance(Duration::from_secs(10));
    world.first_sync().await;
    let there = world.b.about("ann@x.example").remove(0);
    world.clock.advance(Duration::from_secs(10));
    world.rest().await;
    (world, here, there)
}

/// What a field of a record shows, as text.
pub fn text(world: &World, side: Side, id: &RecordId, field: &str) -> String {
    let texts = world.system(side).texts(id).expect("it is there");
    texts.get(field).cloned().unwrap_or_default()
}
