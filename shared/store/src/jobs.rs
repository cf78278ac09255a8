//! Durable jobs. The row is the job; a doorbell only says that there is one.

mod kinds;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{ErrorCode, JobId, LeaseToken, RecordId, SyncName, Timestamp};

pub use kinds::{JobClass, JobKind, Lane, Trigger};

use crate::StoreError;
use crate::waits::{Waiting, Waits};

/// When a record was edited, as far as an event or a listing told. Only breaks ties, and only for
/// systems whose records carry no time of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The latest edit known on side a, by our clock.
    pub edited_a: Option<Timestamp>,
    /// The latest edit known on side b, by our clock.
    pub edited_b: Option<Timestamp>,
}

/// A job to insert.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Made by the caller.
    pub id: JobId,
    /// What to do.
    pub kind: JobKind,
    /// How urgent.
    pub class: JobClass,
    /// What caused it.
    pub trigger: Trigger,
    /// Not claimed before this instant.
    pub run_at: Timestamp,
    /// See [`Hints`].
    pub hints: Hints,
    /// W3C `traceparent` to continue.
    pub traceparent: Option<String>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time and a worker.
    Available,
    /// A worker holds a lease on it.
    Running,
    /// Ended well.
    Done,
    /// Waits for an operator: the dead letter.
    Dead,
    /// Was dead, and an operator discarded it.
    Discarded,
}

impl JobState {
    /// All of them, for parsing and counting.
    pub const ALL: [Self; 5] = [
        Self::Available,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Discarded,
    ];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

/// A stored job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    #[serde(flatten)]
    pub kind: JobKind,
    /// Its lane.
    pub lane: Lane,
    /// How urgent.
    pub class: JobClass,
    /// What caused it (the first cause, if others merged into it).
    pub trigger: Trigger,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that count, the running one included.
    pub attempt: u32,
    /// How many further causes merged into it while it waited.
    pub merged: u32,
    /// Not claimed before this instant.
    pub run_at: Timestamp,
    /// When it was inserted.
    pub created_at: Timestamp,
    /// When it ended (done, dead, discarded).
    pub ended_at: Option<Timestamp>,
    /// See [`Hints`].
    pub hints: Hints,
    /// W3C `traceparent` to continue.
    pub traceparent: Option<String>,
    /// The last failure.
    pub failure: Option<Failure>,
    /// What it did, in a few words (`written_b`, `echo`, `agreed`), or why it was discarded.
    pub note: Option<String>,
    /// What an operator wants it to write in place of what it would.
    #[serde(skip_serializing_if = "Edits::is_empty")]
    pub edits: Edits,
    /// How long and for what it has waited since it last came forward.
    pub waits: Waits,
    /// What it waits for, in the word of a newer version that this one does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for_newer: Option<String>,
    /// How often in a row its process went away while it ran, without its having got on meanwhile.
    pub crashes: u32,
}

/// Values that an operator gave, as text, by mapped field. Empty text is no value.
pub type Edits = BTreeMap<String, String>;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable word.
    pub code: ErrorCode,
    /// The message and its causes, outermost first; secrets removed.
    pub chain: Vec<String>,
}

/// One attempt at a job that did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobAttempt {
    /// The attempt's number.
    pub attempt: u32,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Why it failed.
    pub failure: Failure,
}

/// The right to finish a claimed job. Whoever has lost it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// New with each claim.
    pub token: LeaseToken,
}

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Lease tokens to use, one a job; as many jobs are claimed at most.
    pub tokens: Vec<LeaseToken>,
    /// The leases end at this instant unless renewed.
    pub lease_until: Timestamp,
    /// Jobs of these syncs are left alone: a breaker is open, or their limit is reached.
    pub blocked_syncs: Vec<SyncName>,
    /// How many of `tokens` are reserved for each class, by [`JobClass::rank`]; what a class does
    /// not use goes to the others in order of urgency.
    pub shares: [usize; 3],
    /// The present instant.
    pub now: Timestamp,
}

/// A claimed job.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    /// The job, in state running, its attempt counted.
    pub job: Job,
    /// The right to finish it.
    pub lease: Lease,
}

/// How a claimed job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutcome {
    /// Well. The note is a few words on what it did.
    Done {
        /// See [`Job::note`].
        note: String,
    },
    /// It failed and is tried again; the attempt counts.
    Retry {
        /// When.
        run_at: Timestamp,
        /// Why.
        failure: Failure,
    },
    /// It goes back to waiting; the attempt does not count. The storage lets it wait at least as long as
    /// [`Waits::again`] says, and makes it a dead letter when it has waited in vain.
    Snooze {
        /// When it should run by what the handler knows.
        run_at: Timestamp,
        /// Why, if something failed.
        failure: Option<Failure>,
        /// What it waits for.
        reason: Waiting,
    },
    /// It waits for an operator. A record has one dead letter: where there is one already, that one takes
    /// over what this one says, and this one is done.
    Dead {
        /// Why.
        failure: Failure,
    },
}

/// Which jobs to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only with this failure.
    pub code: Option<ErrorCode>,
    /// Only about this record.
    pub record: Option<RecordId>,
    /// Only in this lane. With [`JobState::Running`] or [`JobState::Available`] there is one at most.
    pub lane: Option<Lane>,
    /// Only older than this job (cursor paging).
    pub before: Option<JobId>,
    /// At most so many, and never more than [`crate::PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// How many jobs stand where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobCounts {
    /// Waiting, due or not.
    pub available: u64,
    /// Leased.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// Ended well and not yet pruned.
    pub done: u64,
    /// The `run_at` of the oldest waiting job that is due.
    pub oldest_due: Option<Timestamp>,
    /// Waiting jobs by class rank.
    pub available_by_class: [u64; 3],
}

/// A job whose process went away so often in a row while it ran is a dead letter.
pub const CRASHES_MAX: u32 = 3;

/// No job waits longer than this: tries are at most a week apart, and what else is waited for is looked at more often. One that
/// is put off further was put off by a clock that was ahead.
pub const PUT_OFF_MAX: Duration = Duration::from_secs(9 * 24 * 3_600);

/// Jobs that ran when their process went away twice are run this far apart, so that of those that ran beside
/// each other only the one that kills it is there when it dies again.
pub const SUSPECTS_APART: Duration = Duration::from_secs(1);

/// Failed attempts kept with a dead letter whose record is tried again and again.
pub const ATTEMPTS_KEPT: i64 = 50;

/// Why a job is dead that kills its process.
#[must_use]
pub fn crashed() -> Failure {
    Failure {
        code: ErrorCode::Internal,
        chain: vec![format!(
            "the process that ran it went away {CRASHES_MAX} times in a row while it did: it may be what kills it. See how that process ended (memory, a defect, somebody's signal), then replay this"
        )],
    }
}

/// The queue.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Inserts jobs; one whose lane has a waiting job merges into that (the more urgent class, the
    /// earlier `run_at`, the later hints win). Returns, in order, the id of the job that stands for each.
    async fn enqueue(&self, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<JobId>, StoreError>;

    /// Leases due jobs whose lanes are free, in order of class and time. Jobs of paused syncs wait.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<ClaimedJob>, StoreError>;

    /// Ends or hands back claimed jobs, all in one transaction. Each answer says whether the lease
    /// was still held; if not, nothing was changed for it. A job that goes back to waiting while
    /// another waits in its lane merges into that one. One that ends well closes the dead letters of its
    /// record: it has synced since.
    async fn finish(
        &self,
        finished: Vec<(Lease, JobOutcome)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError>;

    /// Moves the end of leases. Each answer says whether the lease was still held.
    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<bool>, StoreError>;

    /// Hands back jobs whose lease ended before `now` (attempt counted), at most `limit`, merging. One whose
    /// process went away [`CRASHES_MAX`] times in a row while it ran is a dead letter instead: it may be what
    /// kills it. Makes also due what waits for longer than [`PUT_OFF_MAX`], at most `limit`. Returns the jobs that stand for
    /// the others, and those that are due now.
    async fn rescue_expired(&self, now: Timestamp, limit: usize) -> Result<Vec<JobId>, StoreError>;

    /// Hands back every running job, whoever holds it: for a process that knows that it is alone. The
    /// attempt does not count: the process died, not the job, and a machine that restarts a few times must
    /// not use up the retries of what happened to run. It is counted all the same, see
    /// [`JobStore::rescue_expired`]. Returns how many ran.
    async fn release_all(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// When the next waiting job is due; `None` when none waits. Jobs of paused syncs do not count:
    /// they wait for a person. An instant in the past may be that of a job whose lane is busy.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// One job.
    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// The failed attempts of a job, first to last. Of the snoozes at one attempt, the last stays.
    async fn attempts(&self, id: JobId) -> Result<Vec<JobAttempt>, StoreError>;

    /// Lists jobs.
    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError>;

    /// Counts jobs, of one sync or of all.
    async fn job_counts(
        &self,
        sync: Option<&SyncName>,
        now: Timestamp,
    ) -> Result<JobCounts, StoreError>;

    /// Puts dead jobs back to waiting, attempts reset, the journal (and so the idempotency key) kept.
    /// One whose lane has a waiting job merges into it. Returns the jobs that stand for them.
    async fn replay_jobs(&self, ids: &[JobId], now: Timestamp) -> Result<Vec<JobId>, StoreError>;

    /// Replays one dead job, see [`JobStore::replay_jobs`], with values that it is to write in place of what
    /// it would; they replace those of an earlier replay. The job that stands for it has them until it ends.
    /// Returns that job; `None` when no such job is dead.
    async fn replay_edited(
        &self,
        id: JobId,
        edits: &Edits,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError>;

    /// Makes due what waits for this in a sync: it has come. Returns how many jobs waited.
    async fn release_waiting(
        &self,
        sync: &SyncName,
        reason: Waiting,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Discards dead jobs with a reason, until their records change: as long as they are as the index has
    /// them, no poll makes a dead letter of them anew. Returns how many were dead.
    async fn discard_jobs(
        &self,
        ids: &[JobId],
        reason: &str,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Removes jobs done or discarded before `before`, at most `limit`. Returns how many.
    async fn prune_jobs(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
