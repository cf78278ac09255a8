//! Records whose pair has ended, and that each listing shows again.

use std::time::Duration;

use tandem_domain::Side;
use tandem_engine::{DeletePolicies, DeletePolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::LinkState;

use super::PLAIN;
use super::rows::poll;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

#[tokio::test]
async fn a_record_whose_pair_has_ended_is_looked_at_again_only_when_it_shows_something_else() {
    let plain = || (PLAIN, Oddities::default());
    let left_alone = SyncPolicy {
        deletes: DeletePolicies {
            a_gone: DeletePolicy::Ignore,
            b_gone: DeletePolicy::Ignore,
        },
        ..policy()
    };
    let world = World::odd(1, left_alone, plain(), plain(), Archived::Gone).await;
    let a = world
        .a
        .user_creates(&[("name", "Ann"), ("email", "ann@x.example")]);
    world.first_sync().await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "active", "false");
    world.sweep().await;
    let state = async || world.link_of(Side::A, &a).await.map(|link| link.state);
    assert_eq!(state().await, Some(LinkState::Retired));
    poll(&world, Side::A).await;
    let reads = || world.a.reads() + world.b.reads();
    let before = reads();
    for _ in 0..3 {
        let run = poll(&world, Side::A).await;
        assert_eq!((run.progress.listed, run.progress.queued), (1, 0));
    }
    assert_eq!(reads(), before, "it shows the same");

    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Ghent");
    assert_eq!(poll(&world, Side::A).await.progress.queued, 1);
    assert_eq!(poll(&world, Side::A).await.progress.queued, 0);
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "active", "true");
    poll(&world, Side::A).await;
    assert_eq!(state().await, Some(LinkState::Active));
}
