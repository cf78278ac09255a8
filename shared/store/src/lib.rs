//! What Tandem keeps: the trait that every storage implements, and its row types.
//!
//! One method is one transaction is one verb of the field. No transaction handle escapes, time comes
//! in as an argument, and the plural is the primitive. This crate has no SQL and never performs I/O.
//!
//! The traits are split by concern; [`Store`] is all of them. Every storage passes the same suite
//! (`tandem-testkit`).

mod brake;
mod changes;
mod config;
mod conflicts;
mod error;
mod events;
mod hand;
mod health;
mod jobs;
mod leases;
mod links;
mod listings;
mod moot;
pub mod notes;
mod question_kind;
mod runs;
mod set_back;
mod values_asked;
mod waits;

use async_trait::async_trait;

pub use brake::{BrakeStore, emptied_subject};
pub use changes::{Change, ChangeFilter, ChangeStore, FieldChange, Operation, Outcome, SyncTotals};
pub use config::{
    Addressed, ConfigStore, ConnectionRow, Moved, Notice, Pause, ScheduleKey, SchedulePurpose,
    ScheduleRow, StoredSchedule, SyncRow,
};
pub use conflicts::{
    Alike, Conflict, ConflictFilter, ConflictKind, ConflictState, ConflictStore, NAMED_MAX,
    NewConflict, Resolution, ShownRecord, replaced_subject,
};
pub use error::StoreError;
pub use events::{
    DeliveryOutcome, Event, EventFilter, EventKind, EventState, EventStore, JobTarget, NewDelivery,
    NewEvent,
};
pub use hand::{HandLink, HandStore, TakeUp, Unlinked};
pub use health::{ClockNote, ConnectionHealth, ConnectionState, HealthStore, HeldUp, Refused};
pub use jobs::{
    ATTEMPTS_KEPT, CRASHES_MAX, ClaimRequest, ClaimedJob, Edits, Failure, Hints, Job, JobAttempt,
    JobClass, JobCounts, JobFilter, JobKind, JobOutcome, JobState, JobStore, Lane, Lease, NewJob,
    PUT_OFF_MAX, SUSPECTS_APART, Trigger, crashed,
};
pub use leases::LeaseStore;
pub use links::{
    Causes, Confirmation, Deleted, Doubt, FILTERED_MARK, Filtered, HeldAs, IndexedRecord, Intent,
    IntentOp, IntentState, IntentVerdict, JournalError, KnownRecord, LeftOut, Link, LinkSeen,
    LinkStanding, LinkState, LinkStore, LinkUpdate, MayLand, NewLink, OpenField, OwnWrite,
    PairContext, Ruling, SeenRecord, ShownUnder, SideMemory, SideState, Sight, Tally, Touched,
    Unseen, WaitingCause, says_filtered, why_left_out,
};
pub use listings::{ListingPlace, ListingStore, StoredPage, SurveyedRecord};
pub use moot::{Fact, Moot};
pub use question_kind::QuestionKind;
pub use runs::{
    GIVEN_UP, NewRun, Progress, ROW_ERRORS_MAX, RowError, Run, RunFilter, RunKind, RunState,
    RunStore, Share, Shares,
};
pub use set_back::{
    NotedPair, SetBackCount, SetBackSign, SetBackStore, set_back_counted_by, set_back_subject,
};
pub use tandem_domain::BaseValue;
pub use values_asked::Earlier;
pub use waits::{NAMED_WAIT_MAX, STEPS_MAX, Turn, Verdict, Waiting, Waits};

/// Everything that a storage does.
#[async_trait]
pub trait Store:
    EventStore
    + JobStore
    + LinkStore
    + ListingStore
    + ChangeStore
    + ConflictStore
    + RunStore
    + ConfigStore
    + HealthStore
    + LeaseStore
    + BrakeStore
    + SetBackStore
    + HandStore
{
    /// Ends the use of the storage in good order, when nothing is asked of it any more: what lies beside a file is
    /// moved into it. Without this nothing is lost either, and a second time does no more.
    async fn close(&self) -> Result<(), StoreError>;

    /// Whether the storage answers and its schema is the one that this program needs.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// The longest list that one query returns.
pub const PAGE_ROWS_MAX: usize = 1_000;
