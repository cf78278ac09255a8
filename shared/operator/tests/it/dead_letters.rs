use tandem_domain::{ErrorCode, EventId};
use tandem_operator::{
    DeadLetterDetail, DeadLetterId, DeadLetterQuery, Offers, OperatorError, Selection, Switch,
};
use tandem_store::JobState;
use tandem_testkit::Make;

use crate::support::{World, world};

async fn quarantined(world: &World, key: &str) -> EventId {
    let event = world.make.unreadable_event(key);
    let id = event.id;
    let delivery = world.make.delivery(vec![event]);
    world
        .store
        .record_deliveries(vec![delivery], world.make.now())
        .await
        .expect("it is stored");
    id
}

#[tokio::test]
async fn dead_jobs_and_quarantined_events_are_one_list_the_newest_first() {
    let world = world().await;
    let first = world.dead_job("1", ErrorCode::Refused, "no").await;
    let second = quarantined(&world, "k").await;
    let third = world.dead_job("2", ErrorCode::Refused, "no").await;
    let page = world
        .operator
        .dead_letters(DeadLetterQuery::default())
        .await
        .expect("it lists");
    let ids: Vec<DeadLetterId> = page.items.iter().map(|letter| letter.id).collect();
    assert_eq!(
        ids,
        [
            DeadLetterId::Job(third),
            DeadLetterId::Event(second),
            DeadLetterId::Job(first)
        ]
    );
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended() {
    let world = world().await;
    for number in 0..5 {
        world
            .dead_job(&number.to_string(), ErrorCode::Refused, "no")
            .await;
        quarantined(&world, &number.to_string()).await;
    }
    let mut query = DeadLetterQuery {
        limit: Some(3),
        ..DeadLetterQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = world
            .operator
            .dead_letters(query.clone())
            .await
            .expect("it lists");
        seen.extend(page.items.iter().map(|letter| letter.id));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (10, 10));
}

#[tokio::test]
async fn letters_are_grouped_by_cause_and_a_group_is_replayed_at_once() {
    let world = world().await;
    world
        .dead_job("1", ErrorCode::Refused, "e-mail a1@b.c is taken")
        .await;
    world
        .dead_job("2", ErrorCode::Refused, "e-mail a2@b.c is taken")
        .await;
    let other = world.dead_job("3", ErrorCode::Malformed, "no JSON").await;
    let all = DeadLetterQuery::default();
    let groups = world
        .operator
        .dead_letter_groups(all)
        .await
        .expect("it groups");
    assert_eq!((groups.count, groups.more), (3, false));
    let largest = &groups.items[0];
    assert_eq!(
        (largest.count, largest.cause.as_str()),
        (2, "e-mail #@b.c is taken")
    );
    let group = DeadLetterQuery {
        cause: Some(largest.cause.clone()),
        ..DeadLetterQuery::default()
    };
    let outcome = world
        .operator
        .replay_selected(&Selection::Matching(group))
        .await
        .expect("it replays");
    assert_eq!((outcome.replayed.len(), outcome.skipped.len()), (2, 0));
    assert_eq!(world.bell.rung().len(), 2);
    let left = world.operator.job(other).await.expect("it is there");
    assert_eq!(left.job.state, JobState::Dead);
}

#[tokio::test]
async fn what_is_not_dead_is_skipped_with_the_reason() {
    let world = world().await;
    let dead = world.dead_job("1", ErrorCode::Refused, "no").await;
    let ids = [
        DeadLetterId::Job(dead),
        DeadLetterId::Job(world.make.job_id()),
    ];
    let outcome = world.operator.replay(&ids).await.expect("it replays");
    assert_eq!(outcome.replayed, [DeadLetterId::Job(dead)]);
    assert_eq!(outcome.skipped[0].reason, "there is no such job");
    let again = world.operator.replay(&ids[..1]).await.expect("it answers");
    assert_eq!(again.skipped[0].reason, "the job is available");
}

#[tokio::test]
async fn a_discard_needs_a_reason_and_keeps_it() {
    let world = world().await;
    let job = world.dead_job("1", ErrorCode::Refused, "no").await;
    let event = quarantined(&world, "k").await;
    let ids = [DeadLetterId::Job(job), DeadLetterId::Event(event)];
    let refused = world.operator.discard(&ids, " ").await;
    assert!(matches!(refused, Err(OperatorError::Invalid { .. })));
    let outcome = world
        .operator
        .discard(&ids, "a test customer")
        .await
        .expect("it discards");
    assert_eq!(outcome.discarded, 2);
    let job = world.operator.job(job).await.expect("it is kept").job;
    assert_eq!(
        (job.state, job.note.as_deref()),
        (JobState::Discarded, Some("a test customer"))
    );
}

#[tokio::test]
async fn a_letter_is_shown_with_the_event_that_caused_it() {
    let world = world().await;
    let event = world.make.event("k", "7");
    let job = event.targets[0].job;
    let delivery = world.make.delivery(vec![event]);
    world
        .store
        .record_deliveries(vec![delivery], world.make.now())
        .await
        .expect("stored");
    let detail = world
        .operator
        .dead_letter(DeadLetterId::Job(job))
        .await
        .expect("shown");
    let DeadLetterDetail::Job { events, .. } = detail else {
        panic!("a job was asked for");
    };
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let world = world().await;
    let query = DeadLetterQuery {
        cursor: Some("nonsense".to_owned()),
        ..DeadLetterQuery::default()
    };
    let refused = world.operator.dead_letters(query).await;
    assert!(matches!(refused, Err(OperatorError::Unmeant(_))));
}

#[tokio::test]
async fn a_filter_without_a_condition_means_nothing_and_all_is_said_in_so_many_words() {
    let world = world().await;
    let dead = world.dead_job("1", ErrorCode::Refused, "no").await;
    for query in [
        DeadLetterQuery::default(),
        DeadLetterQuery {
            limit: Some(100),
            ..DeadLetterQuery::default()
        },
        DeadLetterQuery {
            cause: Some(" ".to_owned()),
            ..DeadLetterQuery::default()
        },
    ] {
        let selection = Selection::Matching(query);
        let replayed = world.operator.replay_selected(&selection).await;
        let discarded = world.operator.discard_selected(&selection, "a test").await;
        let refusals = [
            replayed.expect_err("it is refused"),
            discarded.expect_err("it is refused"),
        ];
        for refused in refusals {
            assert!(
                matches!(refused, OperatorError::Invalid { .. }),
                "{refused}"
            );
            let said = refused.to_string();
            assert!(said.contains("`\"all\": true`"), "{said}");
            assert!(said.contains("nothing was done"), "{said}");
        }
    }
    let job = world.operator.job(dead).await.expect("it is there");
    assert_eq!(job.job.state, JobState::Dead);
    let all = world
        .operator
        .discard_selected(&Selection::All, "a test")
        .await
        .expect("that was said");
    assert_eq!(all.discarded, 1);
}

#[tokio::test]
async fn where_a_limit_leaves_others_out_it_is_said_how_many_of_how_many_were_done() {
    let world = world().await;
    for record in ["1", "2", "3"] {
        world.dead_job(record, ErrorCode::Refused, "no").await;
    }
    let refused = |limit: usize| {
        Selection::Matching(DeadLetterQuery {
            code: Some(ErrorCode::Refused),
            limit: Some(limit),
            ..DeadLetterQuery::default()
        })
    };
    let discard = async |limit: usize| {
        let selected = refused(limit);
        let done = world.operator.discard_selected(&selected, "a test");
        done.await.expect("it discards")
    };
    let some = discard(2).await;
    assert_eq!(some.discarded, 2);
    assert_eq!(
        some.left.as_deref(),
        Some(
            "2 of 3 that match were discarded, the newest; the same request again goes on with the next"
        )
    );
    let rest = discard(2).await;
    assert_eq!((rest.discarded, rest.left), (1, None));
}

async fn offers(world: &World, job: tandem_domain::JobId) -> Offers {
    let detail = world.operator.dead_letter(DeadLetterId::Job(job)).await;
    match detail.expect("it is there") {
        DeadLetterDetail::Job { offers, .. } | DeadLetterDetail::Event { offers, .. } => offers,
    }
}

#[tokio::test]
async fn a_dead_letter_offers_what_does_something_and_says_why_it_does_not_offer_the_rest() {
    let world = world().await;
    let job = world.dead_job("1", ErrorCode::Refused, "no").await;
    let whole = Offers {
        replay: true,
        discard: true,
        because: None,
    };
    assert_eq!(offers(&world, job).await, whole);

    let paused = world
        .operator
        .switch_sync(&Make::customers(), Switch::Pause, Some("the audit"))
        .await;
    paused.expect("paused");
    let waits = offers(&world, job).await;
    assert!(waits.replay && waits.discard);
    let because = waits.because.expect("it waits");
    assert!(
        because.starts_with("a replay would wait: the sync `customers` is"),
        "{because}"
    );

    let removed = world
        .store
        .apply_config(Vec::new(), Vec::new(), Vec::new(), world.make.now());
    removed.await.expect("applied");
    let gone = offers(&world, job).await;
    assert!(!gone.replay && gone.discard);
    let because = gone.because.expect("why not");
    assert!(because.contains("`customers` was removed"), "{because}");
    let replayed = world.operator.replay(&[DeadLetterId::Job(job)]).await;
    let replayed = replayed.expect("it answers");
    assert_eq!(replayed.replayed, []);
    assert_eq!(replayed.skipped[0].reason, because);

    let discarded = world
        .operator
        .discard(&[DeadLetterId::Job(job)], "it was a trial")
        .await;
    assert_eq!(discarded.expect("discarded").discarded, 1);
    let over = offers(&world, job).await;
    assert!(!over.replay && !over.discard, "{over:?}");
    assert!(
        over.because
            .is_some_and(|because| because.contains("no dead letter any more"))
    );
}
