//! The upgrade of a database that is in use: rows in every state are stored, the schema is taken back to an
//! earlier one and brought up again, and then the storage must know all of them and go on with its work.
//!
//! How a schema is taken back is each storage's own; what is stored and what must work is the same for both.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{ConflictId, ErrorCode, IntentId, JobId, LinkId, RecordId, Side};
use tandem_store::{
    Confirmation, ConflictFilter, ConflictState, EventFilter, Fact, Intent, IntentState,
    IntentVerdict, JobFilter, JobOutcome, JobState, LinkState, LinkUpdate, Moot, NewLink,
    PAGE_ROWS_MAX, Progress, Resolution, RunFilter, RunKind, RunState, ScheduleKey,
    SchedulePurpose, ScheduleRow, SideState, Store, Waiting,
};

use crate::Make;

/// What was stored before the upgrade.
pub struct Filled {
    make: Make,
    link: NewLink,
    dead: JobId,
    waiting: JobId,
    running: JobId,
    asked: ConflictId,
    sent: IntentId,
    seen: Seen,
}

/// All that can be listed. Equal before and after.
#[derive(Debug, PartialEq)]
struct Seen {
    jobs: Vec<(JobId, JobState, u32, Option<String>, usize)>,
    links: Vec<(LinkId, LinkState, i64)>,
    intents: Vec<(IntentId, IntentState)>,
    conflicts: Vec<(ConflictId, ConflictState)>,
    runs: Vec<(RunKind, RunState)>,
    events: usize,
    changes: usize,
    schedules: usize,
    totals: tandem_store::SyncTotals,
}

/// The records of which writes were journalled.
const WRITTEN: [&str; 5] = ["c1", "c2", "c3", "c4", "c5"];

async fn look(store: &Arc<dyn Store>) -> Seen {
    let list = JobFilter {
        limit: PAGE_ROWS_MAX,
        ..JobFilter::default()
    };
    let mut jobs = Vec::new();
    for job in store.jobs(&list).await.expect("jobs") {
        let attempts = store.attempts(job.id).await.expect("attempts").len();
        jobs.push((job.id, job.state, job.attempt, job.note, attempts));
    }
    let customers = Make::customers();
    let links = store.links(&customers, None, PAGE_ROWS_MAX).await;
    let links = links.expect("links");
    let mut intents = Vec::new();
    for record in WRITTEN {
        let found = store.intents_of(&customers, &RecordId::new(record)).await;
        let found = found.expect("intents").into_iter();
        intents.extend(found.map(|intent| (intent.id, intent.state)));
    }
    let conflicts = store
        .conflicts(&ConflictFilter {
            limit: PAGE_ROWS_MAX,
            ..ConflictFilter::default()
        })
        .await
        .expect("conflicts");
    let runs = store
        .runs(&RunFilter {
            limit: PAGE_ROWS_MAX,
            ..RunFilter::default()
        })
        .await
        .expect("runs");
    let events = EventFilter {
        limit: PAGE_ROWS_MAX,
        ..EventFilter::default()
    };
    let changes = tandem_store::ChangeFilter {
        limit: PAGE_ROWS_MAX,
        ..tandem_store::ChangeFilter::default()
    };
    Seen {
        jobs,
        links: links
            .into_iter()
            .map(|link| (link.id, link.state, link.revision))
            .collect(),
        intents,
        conflicts: conflicts
            .into_iter()
            .map(|one| (one.id, one.state))
            .collect(),
        runs: runs.into_iter().map(|run| (run.kind, run.state)).collect(),
        events: store.events(&events).await.expect("events").len(),
        changes: store.changes(&changes).await.expect("changes").len(),
        schedules: store.schedules().await.expect("schedules").len(),
        totals: store.totals(None).await.expect("totals"),
    }
}

/// Stores rows of every kind and in every state.
///
/// # Panics
/// When the storage does not do what its contract says.
pub async fn fill(store: &Arc<dyn Store>) -> Filled {
    let make = Make::default();
    configure(store, &make).await;
    take_events(store, &make).await;
    let link = link_some(store, &make).await;
    run_runs(store, &make).await;
    let sent = write_some(store, &make).await;
    let asked = ask_some(store, &make, &link).await;
    let dead = end_some(store, &make).await;
    let running = claim(store, &make, "r1").await.job.id;
    let waiting = enqueue(store, &make, "w1").await;
    Filled {
        seen: look(store).await,
        make,
        link,
        dead,
        waiting,
        running,
        asked,
        sent,
    }
}

async fn configure(store: &Arc<dyn Store>, make: &Make) {
    let schedule = ScheduleRow {
        key: ScheduleKey {
            sync: Make::customers(),
            purpose: SchedulePurpose::PollA,
        },
        spec: "every 5 minutes".to_owned(),
        next_at: Some(make.after(300)),
    };
    let connections = vec![(Make::crm(), serde_json::json!({"system": "hubspot"}))];
    let syncs = vec![(Make::customers(), serde_json::json!({"a": "crm"}))];
    store
        .apply_config(connections, syncs, vec![schedule], make.now())
        .await
        .expect("applied");
}

async fn take_events(store: &Arc<dyn Store>, make: &Make) {
    let nobody = tandem_store::NewEvent {
        targets: Vec::new(),
        ..make.event("ignored", "x9")
    };
    let events = vec![
        make.event("accepted", "e1"),
        make.unreadable_event("unreadable"),
        nobody,
    ];
    let recorded = store
        .record_deliveries(vec![make.delivery(events)], make.now())
        .await;
    assert_eq!(recorded.expect("recorded")[0].new_events, 3);
}

async fn link_some(store: &Arc<dyn Store>, make: &Make) -> NewLink {
    let (link, retired) = (make.link("a1", "b1"), make.link("a2", "b2"));
    let links = vec![link.clone(), retired.clone()];
    let inserted = store.insert_links(links, make.now()).await;
    assert_eq!(inserted.expect("links"), 2);
    let seen = vec![Make::seen("a1", "sum-a", &["email:x@y.z"])];
    store
        .index_records(&Make::customers(), Side::A, seen, Vec::new(), 1, make.now())
        .await
        .expect("indexed");
    let claimed = claim(store, make, "a2").await;
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id: retired.id,
            expected_revision: 1,
            a: retired.a.clone(),
            b: SideState::default(),
            base: retired.base.clone(),
            state: LinkState::Retired,
        }),
        changes: vec![make.change("a2", "b2")],
        outcome: Some(done("retired: one record is gone")),
        ..Confirmation::default()
    };
    confirm(store, make, claimed.lease, confirmation).await;
    link
}

async fn run_runs(store: &Arc<dyn Store>, make: &Make) {
    for (kind, side, ends) in [
        (RunKind::Backfill, None, true),
        (RunKind::Poll, Some(Side::A), true),
        (RunKind::Poll, Some(Side::A), false),
    ] {
        let run = store.begin_run(make.run(kind, side), make.now()).await;
        let run = run.expect("begun");
        if ends {
            let (good, none) = (RunState::Succeeded, Progress::default());
            let cursor = side.map(|_| make.now());
            store
                .end_run(run.id, good, &none, None, cursor, make.now())
                .await
                .expect("ended");
        }
    }
}

/// Writes in every state. Returns the one whose answer is awaited.
async fn write_some(store: &Arc<dyn Store>, make: &Make) -> IntentId {
    let mut sent = None;
    for (record, state) in WRITTEN.into_iter().zip([
        IntentState::Planned,
        IntentState::Sent,
        IntentState::Unknown,
        IntentState::Confirmed,
        IntentState::Failed,
    ]) {
        let claimed = claim(store, make, record).await;
        // The first of a call is sent at once, the others are planned.
        let first = make.create(&format!("{record}-first"), None);
        let intent = make.create(record, Some(&format!("email:{record}@y.z")));
        let intents: Vec<Intent> = match state {
            IntentState::Planned => vec![first, intent.clone()],
            _ => vec![intent.clone()],
        };
        let journalled = store
            .journal(claimed.lease, None, intents, make.now())
            .await;
        assert_eq!(journalled.expect("journal"), Ok(()));
        let settles = !matches!(state, IntentState::Planned | IntentState::Sent);
        let verdict = IntentVerdict {
            intent: intent.id,
            state,
            target: None,
            error: None,
            sends: None,
        };
        let confirmation = Confirmation {
            verdicts: if settles { vec![verdict] } else { Vec::new() },
            outcome: Some(done("held: it goes on after the upgrade")),
            ..Confirmation::default()
        };
        confirm(store, make, claimed.lease, confirmation).await;
        if state == IntentState::Sent {
            sent = Some(intent.id);
        }
    }
    sent.expect("one was sent")
}

/// Questions in every state. Returns one that is open.
async fn ask_some(store: &Arc<dyn Store>, make: &Make, link: &NewLink) -> ConflictId {
    let open = make.conflict(Some(link.id), "a1", Make::field_conflict("city"));
    let answered = make.conflict(None, "q1", Make::ambiguous());
    let closed = make.conflict(None, "q2", Make::ambiguous());
    let answers = [
        (answered.id, Resolution::CreateNew),
        (closed.id, Resolution::Ignore),
    ];
    let asked = open.id;
    let questions = vec![open, answered, closed];
    let opened = store.open_conflicts(questions, make.now()).await;
    assert_eq!(opened.expect("asked"), 3);
    for (id, answer) in answers {
        store
            .resolve_conflict(id, answer, make.job_id(), make.now())
            .await
            .expect("answered");
    }
    asked
}

/// Jobs in every state that has an end, and one that is tried again. Returns the dead letter.
async fn end_some(store: &Arc<dyn Store>, make: &Make) -> JobId {
    let failure = Make::failure(ErrorCode::Refused, "no such city");
    let mut ids = Vec::new();
    for (record, outcome) in [
        ("d1", done("wrote b")),
        (
            "d2",
            JobOutcome::Retry {
                run_at: make.after(600),
                failure: failure.clone(),
            },
        ),
        (
            "d3",
            JobOutcome::Dead {
                failure: failure.clone(),
            },
        ),
        ("d4", JobOutcome::Dead { failure }),
    ] {
        let claimed = claim(store, make, record).await;
        let finished = store
            .finish(vec![(claimed.lease, outcome)], make.now())
            .await;
        assert_eq!(finished.expect("finish"), [true]);
        ids.push(claimed.job.id);
    }
    let discarded = store.discard_jobs(&ids[3..], "a test", make.now()).await;
    assert_eq!(discarded.expect("discard"), 1);
    ids[2]
}

/// Looks whether everything is there, and goes on with all of it.
///
/// # Panics
/// When something is not as it was, or does not work.
pub async fn works_on(store: &Arc<dyn Store>, filled: &Filled) {
    let make = &filled.make;
    store.ping().await.expect("the schema is the newest");
    assert_eq!(look(store).await, filled.seen);
    let (sync, now) = (Make::customers(), make.now());

    // What ran goes on, and so does what waited.
    assert_eq!(store.release_all(now).await.expect("released"), 1);
    let job = store.job(filled.running).await.expect("asked");
    let job = job.expect("it is there");
    assert_eq!((job.state, job.crashes), (JobState::Available, 1));
    let claimed = store.claim(make.claim(64)).await.expect("claimed");
    let waiting = claimed.iter().find(|one| one.job.id == filled.waiting);
    let waiting = waiting.expect("it is due");
    let outcome = JobOutcome::Snooze {
        run_at: now,
        failure: None,
        reason: Waiting::SystemDown,
    };
    let finished = store.finish(vec![(waiting.lease, outcome)], now).await;
    assert_eq!(finished.expect("finish"), [true]);
    let released = store.release_waiting(&sync, Waiting::SystemDown, now).await;
    assert_eq!(released.expect("released"), 1);

    // The write whose answer was awaited is known, and is settled together with its link.
    let pair = store.pair(&sync, Side::A, &RecordId::new("c2")).await;
    let open: Vec<IntentId> = pair
        .expect("pair")
        .intents
        .iter()
        .map(|intent| intent.id)
        .collect();
    assert_eq!(open, [filled.sent]);
    let settling = claim(store, make, "c2").await;
    let confirmation = Confirmation {
        verdicts: vec![IntentVerdict {
            intent: filled.sent,
            state: IntentState::Confirmed,
            target: Some(RecordId::new("n2")),
            error: None,
            sends: None,
        }],
        link: Some(LinkUpdate::Insert(make.link("c2", "n2"))),
        changes: vec![make.change("c2", "n2")],
        outcome: Some(done("created b")),
        ..Confirmation::default()
    };
    confirm(store, make, settling.lease, confirmation).await;

    // A link moves on from the revision that it had.
    let moving = claim(store, make, "a1").await;
    let link = &filled.link;
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: 1,
            a: link.a.clone(),
            b: link.b.clone(),
            base: Make::base("name", "Anna"),
            state: LinkState::Active,
        }),
        moot: vec![Moot {
            question: filled.asked,
            was: ConflictState::Open,
            fact: Fact::Agree,
        }],
        outcome: Some(done("agreed: both sides have the same values")),
        ..Confirmation::default()
    };
    confirm(store, make, moving.lease, confirmation).await;
    let asked = store.conflict(filled.asked).await.expect("asked");
    assert_eq!(asked.expect("it is there").state, ConflictState::Closed);

    // A dead letter heals when its record syncs, and a delete asks the brake.
    let healing = claim(store, make, "d3").await;
    let finished = store
        .finish(vec![(healing.lease, done("wrote b"))], now)
        .await;
    assert_eq!(finished.expect("finish"), [true]);
    let dead = store.job(filled.dead).await.expect("asked");
    assert_eq!(dead.expect("it is there").state, JobState::Done);
    let since = now.minus(Duration::from_secs(3_600));
    let admitted = store.admit_delete(&sync, link.id, 1, since, now).await;
    assert!(admitted.expect("asked"));
}

fn done(note: &str) -> JobOutcome {
    JobOutcome::Done {
        note: note.to_owned(),
    }
}

async fn enqueue(store: &Arc<dyn Store>, make: &Make, record: &str) -> JobId {
    let enqueued = store.enqueue(vec![make.job(record)], make.now()).await;
    enqueued.expect("enqueued")[0]
}

/// Enqueues a job for a record of side a, and claims it alone.
async fn claim(store: &Arc<dyn Store>, make: &Make, record: &str) -> tandem_store::ClaimedJob {
    let id = enqueue(store, make, record).await;
    let claimed = store.claim(make.claim(64)).await.expect("claimed");
    let (mine, others): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|one| one.job.id == id);
    let handed_back = others.into_iter().map(|one| {
        let outcome = JobOutcome::Snooze {
            run_at: make.now(),
            failure: None,
            reason: Waiting::Stopping,
        };
        (one.lease, outcome)
    });
    store
        .finish(handed_back.collect(), make.now())
        .await
        .expect("handed back");
    mine.into_iter().next().expect("it is due")
}

async fn confirm(
    store: &Arc<dyn Store>,
    make: &Make,
    lease: tandem_store::Lease,
    confirmation: Confirmation,
) {
    let answer = store
        .confirm(&Make::customers(), lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
}
