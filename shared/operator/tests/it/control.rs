use tandem_domain::Side;
use tandem_operator::{OperatorError, Start, Switch};
use tandem_store::{Addressed, JobClass, Progress, RunKind, RunState, Trigger};
use tandem_testkit::Make;

use crate::support::{poll_a, world};

#[tokio::test]
async fn a_poll_started_by_hand_is_urgent_and_rung() {
    let world = world().await;
    let sync = Make::customers();
    let id = world
        .operator
        .start(&sync, Start::Poll(Side::B))
        .await
        .expect("it starts");
    assert_eq!(world.bell.rung(), [id]);
    let job = world.operator.job(id).await.expect("it is stored").job;
    assert_eq!((&*job.kind, job.side), ("poll", Some(Side::B)));
    assert_eq!(
        (job.class, job.trigger),
        (JobClass::Interactive, Trigger::Manual)
    );
    let again = world
        .operator
        .start(&sync, Start::Poll(Side::B))
        .await
        .expect("it answers");
    assert_eq!(again, id, "the one that waits stands for it");
}

#[tokio::test]
async fn a_paused_sync_is_not_started() {
    let world = world().await;
    let sync = Make::customers();
    let paused = world
        .operator
        .switch_sync(&sync, Switch::Pause, None)
        .await
        .expect("it pauses");
    assert!(paused.paused);
    let refused = world
        .operator
        .start(&sync, Start::Backfill)
        .await
        .expect_err("it is paused");
    assert_eq!(
        refused.to_string(),
        format!(
            "the sync `customers` is paused since {} (an operator paused it): its jobs wait and its events are kept \
             until `tandem sync resume customers`; nothing was started; resume it first",
            world.make.now()
        )
    );
    world
        .operator
        .switch_sync(&sync, Switch::Resume, None)
        .await
        .expect("it resumes");
    assert!(world.operator.start(&sync, Start::Backfill).await.is_ok());
}

#[tokio::test]
async fn a_pause_is_answered_when_it_holds_or_with_what_is_still_at_work() {
    let world = world().await;
    let job = world.make.job("a1");
    let enqueued = world.store.enqueue(vec![job], world.make.now()).await;
    enqueued.expect("it waits");
    let claimed = world.store.claim(world.make.claim(1)).await;
    assert_eq!(claimed.expect("it is claimed").len(), 1);
    let operator = &world.operator;
    let paused = operator
        .switch_connection(&Make::crm(), Switch::Pause, None)
        .await;
    let pause = paused.expect("it pauses").pause.expect("it is told");
    assert_eq!(pause.in_flight, 1);
    assert!(pause.words.contains("NOT YET at rest"), "{}", pause.words);
    let books = "books".parse().expect("a name");
    let other = operator.switch_connection(&books, Switch::Resume, None);
    assert_eq!(other.await.expect("it goes on").pause, None);
}

#[tokio::test]
async fn a_sync_of_a_paused_connection_is_not_started_and_everybody_says_why() {
    let world = world().await;
    let (operator, sync) = (&world.operator, Make::customers());
    let because = Some("  their audit ");
    operator
        .switch_connection(&Make::crm(), Switch::Pause, because)
        .await
        .expect("it pauses");
    let refused = operator.start(&sync, Start::Backfill).await;
    let refused = refused.expect_err("crm is paused").to_string();
    for part in [
        "the connection `crm` is paused since",
        "(their audit)",
        "tandem connections resume crm",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let status = operator.status().await.expect("it answers");
    let crm = status.connections.iter().find(|one| one.name == "crm");
    let pause = crm.and_then(|crm| crm.pause.clone()).expect("it is told");
    assert_eq!(pause.because.as_deref(), Some("their audit"));
    assert_eq!(pause.since, Some(world.make.now()));
    let of_sync = &status.syncs[0].connections;
    assert!(of_sync.iter().any(|one| one.pause.as_ref() == Some(&pause)));
    operator
        .switch_connection(&Make::crm(), Switch::Resume, None)
        .await
        .expect("it resumes");
    assert!(operator.start(&sync, Start::Backfill).await.is_ok());
}

#[tokio::test]
async fn a_connection_that_leads_elsewhere_is_not_started_until_a_person_says_that_it_is_the_same_account()
 {
    let world = world().await;
    let (operator, sync, now) = (&world.operator, Make::customers(), world.make.now());
    let linked = world
        .store
        .insert_links(vec![world.make.link("a1", "b1")], now)
        .await;
    linked.expect("it is linked");
    for address in ["crm at http://old.example", "crm at http://new.example"] {
        let addressed = Addressed {
            connection: Make::crm(),
            address: address.to_owned(),
            syncs: vec![sync.clone()],
        };
        let noted = world.store.note_addresses(vec![addressed], now).await;
        noted.expect("it is kept");
    }
    let refused = operator.start(&sync, Start::Backfill).await;
    let refused = refused.expect_err("it leads elsewhere").to_string();
    for part in [
        "the connection `crm` is paused since",
        "linked under `crm at http://old.example`",
        "leads to `crm at http://new.example`",
        "`tandem connections resume crm`",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let status = operator.status().await.expect("it answers");
    let crm = status.connections.iter().find(|one| one.name == "crm");
    let pause = crm.and_then(|crm| crm.pause.clone()).expect("it is told");
    let moved = pause.moved.expect("the addresses are told");
    assert_eq!(moved.linked_to, "crm at http://old.example");
    assert_eq!(moved.address, "crm at http://new.example");

    // Whoever ends a pause of their own has said nothing of the address.
    let switch = async |switch| {
        let switched = operator.switch_connection(&Make::crm(), switch, None).await;
        switched.expect("it is switched").paused
    };
    assert!(switch(Switch::Pause).await);
    assert!(switch(Switch::Resume).await);
    assert!(!switch(Switch::Resume).await);
    assert!(operator.start(&sync, Start::Backfill).await.is_ok());
}

#[tokio::test]
async fn a_reason_that_is_too_long_pauses_nothing() {
    let world = world().await;
    let long = "x".repeat(501);
    let refused = world
        .operator
        .switch_sync(&Make::customers(), Switch::Pause, Some(&long))
        .await;
    assert!(matches!(refused, Err(OperatorError::Invalid { .. })));
    let syncs = world.operator.syncs().await.expect("it lists");
    assert_eq!((syncs[0].paused, syncs[0].pause.clone()), (false, None));
}

#[tokio::test]
async fn a_paused_connection_is_known_to_its_hook_at_once() {
    use tandem_operator::hooks::{HookRegistry, HookState};
    let world = world().await;
    world.add_hook();
    world
        .operator
        .switch_connection(&Make::crm(), Switch::Pause, None)
        .await
        .expect("it pauses");
    assert!(matches!(
        world.hooks.lookup("crm"),
        Some(HookState::Paused(_))
    ));
    let rows = world.store.connections().await.expect("it lists");
    assert!(
        rows.iter()
            .any(|row| row.name == Make::crm() && row.pause.is_some())
    );
}

#[tokio::test]
async fn what_is_not_there_is_named_with_advice() {
    let world = world().await;
    let nobody = Make::sync("nobody");
    let error = world
        .operator
        .start(&nobody, Start::Backfill)
        .await
        .expect_err("no such sync");
    assert_eq!(
        error.to_string(),
        "there is no sync `nobody`; there is `customers`"
    );
}

#[tokio::test]
async fn a_schedule_is_paused_resumed_and_triggered() {
    let world = world().await;
    let paused = world
        .operator
        .switch_schedule(&poll_a(), Switch::Pause)
        .await
        .expect("it pauses");
    assert!(paused.paused);
    let resumed = world
        .operator
        .switch_schedule(&poll_a(), Switch::Resume)
        .await
        .expect("resumes");
    assert!(!resumed.paused);
    let job = world
        .operator
        .trigger_schedule(&poll_a())
        .await
        .expect("it starts");
    assert_eq!(world.bell.rung(), [job]);
    let mut other = poll_a();
    other.sync = Make::sync("nobody");
    let refused = world.operator.trigger_schedule(&other).await;
    assert!(matches!(refused, Err(OperatorError::NotFound { .. })));
}

#[tokio::test]
async fn the_status_counts_what_waits() {
    let world = world().await;
    world
        .operator
        .start(&Make::customers(), Start::Backfill)
        .await
        .expect("it starts");
    let status = world.operator.status().await.expect("it answers");
    assert_eq!(status.queue.available, 1);
    assert_eq!(status.queue.available_by_class, [0, 0, 1]);
    assert_eq!(status.syncs.len(), 1);
    assert_eq!(status.syncs[0].schedules.len(), 1);
    assert_eq!(status.connections.len(), 2);
}

#[tokio::test]
async fn the_state_of_a_sync_says_what_the_filters_left_out_of_the_newest_whole_listing_of_each_side()
 {
    let world = world().await;
    let listed = async |kind: RunKind, side: Option<Side>, counts: [(Side, u64, u64); 2]| {
        let run = world.make.run(kind, side);
        let id = run.id;
        let begun = world.store.begin_run(run, world.make.now()).await;
        begun.expect("it begins");
        let mut progress = Progress::default();
        for (side, listed, filtered) in counts {
            progress.add_listed(side, listed, filtered);
        }
        let ended = world.store.end_run(
            id,
            RunState::Succeeded,
            &progress,
            None,
            None,
            world.make.now(),
        );
        ended.await.expect("it ends");
    };
    let told = async || {
        let status = world.operator.sync_status(&Make::customers()).await;
        let sides = status.expect("it is known").filtered;
        let told = sides.iter().map(|one| (one.side, one.listed, one.left_out));
        told.collect::<Vec<_>>()
    };
    assert_eq!(told().await, []);
    let both = [(Side::A, 7, 2), (Side::B, 0, 30)];
    listed(RunKind::Backfill, None, both).await;
    assert_eq!(told().await, both);
    listed(
        RunKind::Poll,
        Some(Side::A),
        [(Side::A, 1, 1), (Side::B, 0, 0)],
    )
    .await;
    assert_eq!(told().await, both, "a poll lists what has changed");
    let none = [(Side::A, 9, 0), (Side::B, 0, 0)];
    listed(RunKind::Sweep, Some(Side::A), none).await;
    assert_eq!(told().await, both[1..]);
}
