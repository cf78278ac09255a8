//! Two processes at the same rows at the same moment. SQLite has one writer; here the locks and the
//! unique indexes decide, and each race is run many times, with either side first.

use std::sync::Arc;

use tandem_domain::{LinkId, RecordId, Side};
use tandem_store::{
    ChangeFilter, ClaimedJob, Confirmation, Intent, IntentState, IntentVerdict, JobOutcome,
    JobState, JournalError, LinkState, LinkUpdate, NewLink, Store,
};
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::Make;
use tandem_testkit::servers::{TestDatabase, shared_database};

/// How often each race is run.
const ROUNDS: usize = 60;

type Answer = Result<(), JournalError>;

/// Two processes on one database.
struct Two {
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
    make: Arc<Make>,
    _database: TestDatabase,
}

impl Two {
    async fn open() -> Self {
        let database = shared_database().await;
        PostgresStore::migrate(database.url())
            .await
            .expect("an empty database can be migrated");
        let open = async || -> Arc<dyn Store> {
            let store = PostgresStore::open(database.url(), PostgresOptions::default());
            store.await.expect("the database can be opened")
        };
        Self {
            one: open().await,
            other: open().await,
            make: Arc::new(Make::default()),
            _database: database,
        }
    }

    /// A claimed job about a record.
    async fn claimed(&self, side: Side, record: &str) -> ClaimedJob {
        let job = self.make.job_of(Make::reconcile(side, record));
        let id = self
            .one
            .enqueue(vec![job], self.make.now())
            .await
            .expect("enqueue")[0];
        let claimed = self.one.claim(self.make.claim(64)).await.expect("claim");
        claimed
            .into_iter()
            .find(|one| one.job.id == id)
            .expect("the job is due and its lane is free")
    }

    async fn insert(&self, link: &NewLink) {
        let inserted = self
            .one
            .insert_links(vec![link.clone()], self.make.now())
            .await;
        assert_eq!(inserted.expect("insert_links"), 1);
    }

    async fn intents_of(&self, record: &str) -> Vec<Intent> {
        self.one
            .intents_of(&Make::customers(), &RecordId::new(record))
            .await
            .expect("intents_of")
    }

    async fn linked(&self, side: Side, record: &str) -> Option<LinkId> {
        let pair = self
            .one
            .pair(&Make::customers(), side, &RecordId::new(record))
            .await
            .expect("pair");
        pair.link
            .filter(|link| link.state == LinkState::Active)
            .map(|link| link.id)
    }
}

async fn journal(
    store: Arc<dyn Store>,
    make: Arc<Make>,
    claimed: ClaimedJob,
    intent: Intent,
) -> Answer {
    store
        .journal(claimed.lease, None, vec![intent], make.now())
        .await
        .expect("journal")
}

async fn confirm(
    store: Arc<dyn Store>,
    make: Arc<Make>,
    claimed: ClaimedJob,
    confirmation: Confirmation,
) -> Answer {
    store
        .confirm(&Make::customers(), claimed.lease, confirmation, make.now())
        .await
        .expect("confirm")
}

async fn insert_link(store: Arc<dyn Store>, make: Arc<Make>, link: NewLink) -> Answer {
    let inserted = store.insert_links(vec![link], make.now()).await;
    match inserted.expect("insert_links") {
        1 => Ok(()),
        _ => Err(JournalError::Superseded),
    }
}

fn linking(link: NewLink) -> Confirmation {
    Confirmation {
        link: Some(LinkUpdate::Insert(link)),
        outcome: Some(done()),
        ..Confirmation::default()
    }
}

fn update(link: &NewLink, make: &Make) -> Confirmation {
    Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: 1,
            a: link.a.clone(),
            b: link.b.clone(),
            base: link.base.clone(),
            state: LinkState::Active,
        }),
        changes: vec![make.change("a", "b")],
        ..Confirmation::default()
    }
}

fn done() -> JobOutcome {
    JobOutcome::Done {
        note: "linked".to_owned(),
    }
}

/// Runs both at once; which of them starts first alternates.
async fn race<T: Send + 'static>(
    round: usize,
    one: impl Future<Output = T> + Send + 'static,
    other: impl Future<Output = T> + Send + 'static,
) -> (T, T) {
    let (one, other) = if round.is_multiple_of(2) {
        let one = tokio::spawn(one);
        (one, tokio::spawn(other))
    } else {
        let other = tokio::spawn(other);
        (tokio::spawn(one), other)
    };
    (
        one.await.expect("a racer does not panic"),
        other.await.expect("a racer does not panic"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_create_and_a_link_for_one_record_exactly_one_wins() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        // In turn the record is the one on side a, and the one on side b.
        let (side, source) = if round % 4 < 2 {
            (Side::A, &a)
        } else {
            (Side::B, &b)
        };
        let create = Intent {
            side: side.other(),
            ..two.make.create(source, None)
        };
        let running = two.claimed(side, source).await;
        let (created, linked) = race(
            round,
            journal(two.one.clone(), two.make.clone(), running, create),
            insert_link(two.other.clone(), two.make.clone(), two.make.link(&a, &b)),
        )
        .await;
        let answers = [created, linked];
        let superseded = Err(JournalError::Superseded);
        assert!(
            answers.contains(&Ok(())) && answers.contains(&superseded),
            "round {round}: {answers:?}"
        );
        assert_eq!(
            (answers[0].is_ok(), answers[1].is_ok()),
            (
                !two.intents_of(source).await.is_empty(),
                two.linked(side, source).await.is_some()
            ),
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_create_and_a_job_that_links_the_record_exactly_one_wins() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let creating = two.claimed(Side::A, &a).await;
        let matching = two.claimed(Side::B, &b).await;
        let create = two.make.create(&a, Some(&a));
        let link = linking(two.make.link(&a, &b));
        let (created, linked) = race(
            round,
            journal(two.one.clone(), two.make.clone(), creating, create),
            confirm(two.other.clone(), two.make.clone(), matching.clone(), link),
        )
        .await;
        assert_ne!(created, linked, "round {round}");
        assert!(created.is_ok() || linked.is_ok(), "round {round}");
        let job = two.one.job(matching.job.id).await.expect("job");
        let state = if linked.is_ok() {
            JobState::Done
        } else {
            JobState::Running
        };
        assert_eq!(job.map(|job| job.state), Some(state), "round {round}");
        assert_eq!(
            two.linked(Side::A, &a).await.is_some(),
            linked.is_ok(),
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_creates_of_one_match_key_one_finds_it_busy() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let (first, second) = (format!("a{round}-1"), format!("a{round}-2"));
        let (here, there) = (
            two.claimed(Side::A, &first).await,
            two.claimed(Side::A, &second).await,
        );
        let key = format!("email:{round}@y.z");
        let (one, other) = race(
            round,
            journal(
                two.one.clone(),
                two.make.clone(),
                here,
                two.make.create(&first, Some(&key)),
            ),
            journal(
                two.other.clone(),
                two.make.clone(),
                there,
                two.make.create(&second, Some(&key)),
            ),
        )
        .await;
        let answers = [one, other];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::KeyBusy)),
            "round {round}: {answers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_creates_of_one_record_one_is_superseded() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let source = format!("a{round}");
        let (here, there) = (
            two.claimed(Side::A, &source).await,
            two.claimed(Side::A, &format!("{source}-other")).await,
        );
        let (one, other) = race(
            round,
            journal(
                two.one.clone(),
                two.make.clone(),
                here,
                two.make.create(&source, Some(&source)),
            ),
            journal(
                two.other.clone(),
                two.make.clone(),
                there,
                two.make.create(&source, None),
            ),
        )
        .await;
        let answers = [one, other];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::Superseded)),
            "round {round}: {answers:?}"
        );
        assert_eq!(two.intents_of(&source).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_confirmations_of_one_revision_one_is_superseded() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let link = two.make.link(&format!("a{round}"), &format!("b{round}"));
        two.insert(&link).await;
        let (here, there) = (
            two.claimed(Side::A, &format!("x{round}")).await,
            two.claimed(Side::A, &format!("y{round}")).await,
        );
        let (one, other) = race(
            round,
            confirm(
                two.one.clone(),
                two.make.clone(),
                here,
                update(&link, &two.make),
            ),
            confirm(
                two.other.clone(),
                two.make.clone(),
                there,
                update(&link, &two.make),
            ),
        )
        .await;
        let answers = [one, other];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::Superseded)),
            "round {round}: {answers:?}"
        );
        let stored = two.one.link(link.id).await.expect("link");
        assert_eq!(stored.map(|link| link.revision), Some(2));
    }
    let all = ChangeFilter {
        limit: 2 * ROUNDS,
        ..ChangeFilter::default()
    };
    assert_eq!(two.one.changes(&all).await.expect("changes").len(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_moved_and_a_new_link_to_one_record_exactly_one_wins() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let link = two.make.link(&format!("a{round}"), &format!("gone{round}"));
        two.insert(&link).await;
        let running = two.claimed(Side::A, &format!("x{round}")).await;
        let b = format!("b{round}");
        let moved = NewLink {
            b: Make::side(&b, "sum"),
            ..link
        };
        let rival = two.make.link(&format!("rival{round}"), &b);
        let (one, other) = race(
            round,
            confirm(
                two.one.clone(),
                two.make.clone(),
                running,
                update(&moved, &two.make),
            ),
            insert_link(two.other.clone(), two.make.clone(), rival.clone()),
        )
        .await;
        let winner = if one.is_ok() { moved.id } else { rival.id };
        assert_ne!(one, other, "round {round}");
        assert!(one.is_ok() || other.is_ok(), "round {round}");
        assert_eq!(two.linked(Side::B, &b).await, Some(winner));
    }
}

#[tokio::test]
async fn a_confirmation_after_a_rescue_changes_nothing() {
    let two = Two::open().await;
    let late = two.claimed(Side::A, "a1").await;
    let create = two.make.create("a1", None);
    let journalled = journal(
        two.one.clone(),
        two.make.clone(),
        late.clone(),
        create.clone(),
    );
    assert_eq!(journalled.await, Ok(()));
    two.make
        .clock
        .advance(std::time::Duration::from_secs(2 * 60));
    let rescued = two.other.rescue_expired(two.make.now(), 9).await;
    assert_eq!(rescued.expect("rescue"), vec![late.job.id]);
    let current = two.other.claim(two.make.claim(9)).await.expect("claim");
    let confirmation = Confirmation {
        verdicts: vec![verdict(&create)],
        changes: vec![two.make.change("a1", "b1")],
        seen: vec![(Side::B, Make::seen("b1", "sum", &["k1"]))],
        ..linking(two.make.link("a1", "b1"))
    };
    let answer = confirm(two.one.clone(), two.make.clone(), late, confirmation);
    assert_eq!(answer.await, Err(JournalError::LeaseLost));
    assert_eq!(two.intents_of("a1").await[0].state, IntentState::Sent);
    assert_eq!(two.linked(Side::A, "a1").await, None);
    let all = ChangeFilter {
        limit: 9,
        ..ChangeFilter::default()
    };
    assert_eq!(two.one.changes(&all).await.expect("changes"), Vec::new());
    let known = two
        .one
        .records_by_keys(&Make::customers(), Side::B, &["k1".to_owned()])
        .await;
    assert_eq!(known.expect("records"), Vec::new());
    let job = two.one.job(current[0].job.id).await.expect("job");
    assert_eq!(job, Some(current[0].job.clone()));
}

fn verdict(create: &Intent) -> IntentVerdict {
    IntentVerdict {
        intent: create.id,
        state: IntentState::Confirmed,
        target: Some(RecordId::new("b1")),
        error: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_confirmation_and_a_rescue_exactly_one_ends_the_attempt() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let a = format!("a{round}");
        let running = two.claimed(Side::A, &a).await;
        two.make
            .clock
            .advance(std::time::Duration::from_secs(2 * 60));
        let link = linking(two.make.link(&a, &format!("b{round}")));
        let (store, now) = (two.other.clone(), two.make.now());
        let (confirmed, rescued) = race(
            round,
            confirm(two.one.clone(), two.make.clone(), running.clone(), link),
            async move {
                match store.rescue_expired(now, 9).await.expect("rescue").len() {
                    1 => Ok(()),
                    _ => Err(JournalError::LeaseLost),
                }
            },
        )
        .await;
        let answers = [confirmed, rescued];
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(JournalError::LeaseLost)),
            "round {round}: {answers:?}"
        );
        let job = two.one.job(running.job.id).await.expect("job");
        let state = if answers[0].is_ok() {
            JobState::Done
        } else {
            JobState::Available
        };
        assert_eq!(job.map(|job| job.state), Some(state), "round {round}");
        assert_eq!(
            two.linked(Side::A, &a).await.is_some(),
            answers[0].is_ok(),
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_a_job_over_sees_every_send_of_its_earlier_worker() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        let source = format!("a{round}");
        let running = two.claimed(Side::A, &source).await;
        // The second is planned, not sent.
        let intents = [
            two.make.create(&format!("{source}-first"), None),
            two.make.create(&source, None),
        ];
        let planned = intents[1].id;
        let journalled = two
            .one
            .journal(running.lease, None, intents.to_vec(), two.make.now());
        assert_eq!(journalled.await.expect("journal"), Ok(()));
        let (one, other, now) = (two.one.clone(), two.other.clone(), two.make.now());
        let record = RecordId::new(source.as_str());
        let lease = running.lease;
        let (marked, seen) = race(
            round,
            async move {
                let marked = one.mark_sent(lease, planned, now).await;
                marked.expect("mark_sent")
            },
            async move {
                other.release_all(now).await.expect("release");
                let pair = other.pair(&Make::customers(), Side::A, &record).await;
                pair.expect("pair").intents[0].state == IntentState::Sent
            },
        )
        .await;
        assert_eq!(marked, seen, "round {round}");
        let claimed = two.one.claim(two.make.claim(9)).await.expect("claim");
        let ends = claimed.iter().map(|one| (one.lease, done())).collect();
        two.one.finish(ends, two.make.now()).await.expect("finish");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_seen_twice_at_once_is_found_by_the_keys_that_it_has() {
    let two = Two::open().await;
    for round in 0..ROUNDS {
        // In turn the record is new, and known.
        let record = format!("a{}", round / 2);
        let keys = [format!("one{round}"), format!("other{round}")];
        let see = |store: &Arc<dyn Store>, key: &str| {
            let (store, now) = (store.clone(), two.make.now());
            let seen = vec![Make::seen(&record, "sum", &["both", key])];
            async move {
                store
                    .index_records(&Make::customers(), Side::A, seen, 1, now)
                    .await
                    .expect("index_records")
                    .len()
            }
        };
        race(round, see(&two.one, &keys[0]), see(&two.other, &keys[1])).await;
        let found = two
            .one
            .records_by_keys(&Make::customers(), Side::A, &keys)
            .await
            .expect("records_by_keys");
        assert_eq!(found.len(), 1, "round {round}");
        let mut finding = Vec::new();
        for key in keys {
            let by_key = two
                .one
                .records_by_keys(&Make::customers(), Side::A, std::slice::from_ref(&key))
                .await
                .expect("records_by_keys");
            if !by_key.is_empty() {
                finding.push(key);
            }
        }
        assert_eq!(found[0].keys[1..], finding, "round {round}");
    }
}
