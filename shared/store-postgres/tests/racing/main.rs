//! Two processes at the same rows at the same moment. SQLite has one writer; here the locks and the
//! unique indexes decide, and each race is run many times, with either side first.

mod creates;
mod leases;
mod links;
mod locked;
mod together;

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use tandem_domain::{LinkId, RecordId, Side};
use tandem_store::{
    ClaimedJob, Confirmation, Intent, JobOutcome, JournalError, LinkState, LinkUpdate, NewLink,
    Store,
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
    database: TestDatabase,
}

impl Two {
    async fn open() -> Self {
        let database = shared_database().await;
        PostgresStore::migrate(database.url())
            .await
            .expect("an empty database can be migrated");
        Self {
            one: open(&database).await,
            other: open(&database).await,
            make: Arc::new(Make::default()),
            database,
        }
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.database.url())
            .await
            .expect("the database can be connected to")
    }

    /// A connection that has locked rows, and keeps them locked until it is closed.
    async fn hold(&self, rows: &'static str) -> PgConnection {
        let mut holder = self.connection().await;
        sqlx::query("BEGIN")
            .execute(&mut holder)
            .await
            .expect("a transaction can be begun");
        sqlx::query(rows)
            .fetch_all(&mut holder)
            .await
            .expect("the rows can be locked");
        holder
    }

    /// Returns once so many transactions of this database wait for a lock, or something is over that
    /// might have waited.
    async fn wait_for_waiting(&self, count: i64, is_over: impl Fn() -> bool) {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut connection = self.connection().await;
        while !is_over() {
            let waiting: i64 = sqlx::query_scalar(WAITING)
                .fetch_one(&mut connection)
                .await
                .expect("the server says who waits");
            if waiting >= count {
                return;
            }
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

async fn open(database: &TestDatabase) -> Arc<dyn Store> {
    PostgresStore::open(database.url(), PostgresOptions::default())
        .await
        .expect("the database can be opened")
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
