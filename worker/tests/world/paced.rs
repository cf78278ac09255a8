//! The storage as jobs of a world see it: at each call another job may come first.

use async_trait::async_trait;
use std::sync::Arc;

use tandem_domain::{
    ConflictId, ConnectionName, EventId, IntentId, JobId, LinkId, MeasuredOffset, RecordId, RunId,
    Side, SyncName, Timestamp,
};
use tandem_store::*;

use super::turns::Turns;

/// A storage that gives others their turn before each call.
pub struct Paced {
    pub inner: Arc<dyn Store>,
    pub turns: Arc<Turns>,
}

/// Each method of these traits: a turn of the others, then the call itself, if it is not to fail.
macro_rules! paced {
    ($($concern:ident { $(fn $verb:ident($($name:ident: $kind:ty),*) -> $answer:ty;)* })*) => {$(
        #[async_trait]
        impl $concern for Paced {$(
            async fn $verb(&self, $($name: $kind),*) -> Result<$answer, StoreError> {
                self.turns.others().await;
                if let Some(error) = self.turns.failure_of(stringify!($verb)) {
                    return Err(error);
                }
                let answer = self.inner.$verb($($name),*).await;
                self.turns.called(stringify!($verb)).await;
                answer
            }
        )*}
    )*};
}

paced! {
    Store {
        fn ping() -> ();
        fn close() -> ();
    }
    BrakeStore {
        fn admit_delete(sync: &SyncName, link: LinkId, limit: u64, since: Timestamp, now: Timestamp) -> bool;
        fn count_emptied(sync: &SyncName, field: (Side, &str), link: LinkId, limit: u64, since: Timestamp, now: Timestamp) -> u64;
    }
    SetBackStore {
        fn note_set_back(sync: &SyncName, side: Side, link: LinkId, sign: SetBackSign, limit: u64, now: Timestamp) -> ();
        fn set_back_count(sync: &SyncName, side: Side, since: Timestamp) -> SetBackCount;
        fn set_back_links(sync: &SyncName, side: Side, limit: usize) -> Vec<NotedPair>;
        fn forget_set_back(sync: &SyncName, side: Side, link: Option<LinkId>, until: Timestamp) -> ();
    }
    ChangeStore {
        fn changes(filter: &ChangeFilter) -> Vec<Change>;
        fn ends_of(links: &[LinkId]) -> Vec<Change>;
        fn totals(sync: Option<&SyncName>) -> SyncTotals;
        fn duplicate_events() -> u64;
        fn prune_changes(before: Timestamp, limit: usize) -> usize;
    }
    ConfigStore {
        fn apply_config(
            connections: Vec<(ConnectionName, serde_json::Value)>, syncs: Vec<(SyncName, serde_json::Value)>, schedules: Vec<ScheduleRow>, now: Timestamp
        ) -> ();
        fn connections() -> Vec<ConnectionRow>;
        fn syncs() -> Vec<SyncRow>;
        fn note_addresses(addresses: Vec<Addressed>, now: Timestamp) -> ();
        fn pause_connection(name: &ConnectionName, because: Option<&str>, now: Timestamp) -> bool;
        fn reset_connection(name: &ConnectionName, now: Timestamp) -> bool;
        fn put_notice(process: &str, text: Option<&str>, now: Timestamp) -> ();
        fn notices() -> Vec<Notice>;
        fn pause_sync(name: &SyncName, because: Option<&str>, now: Timestamp) -> bool;
        fn schedules() -> Vec<StoredSchedule>;
        fn advance_schedule(
            key: &ScheduleKey, expected: Timestamp, next_at: Option<Timestamp>, now: Timestamp
        ) -> bool;
        fn edit_schedule(key: &ScheduleKey, paused: Option<bool>, next_at: Option<Timestamp>, now: Timestamp) -> bool;
    }
    ConflictStore {
        fn open_conflicts(conflicts: Vec<NewConflict>, now: Timestamp) -> usize;
        fn conflicts(filter: &ConflictFilter) -> Vec<Conflict>;
        fn conflict(id: ConflictId) -> Option<Conflict>;
        fn question_about(subject: &str) -> Option<Conflict>;
        fn close_question(id: ConflictId, state: ConflictState, why: Option<&'static str>, now: Timestamp) -> bool;
        fn resolve_conflict(id: ConflictId, resolution: Resolution, job: JobId, now: Timestamp) -> Option<JobId>;
    }
    EventStore {
        fn record_deliveries(deliveries: Vec<NewDelivery>, now: Timestamp) -> Vec<DeliveryOutcome>;
        fn events(filter: &EventFilter) -> Vec<Event>;
        fn event(id: EventId) -> Option<Event>;
        fn replay_event(event: NewEvent, now: Timestamp) -> Vec<JobId>;
        fn discard_events(ids: &[EventId], because: Option<&str>, now: Timestamp) -> usize;
        fn prune_events(before: Timestamp, limit: usize) -> usize;
    }
    HandStore {
        fn link_by_hand(hand: HandLink, now: Timestamp) -> Option<JobId>;
        fn unlink_by_hand(link: LinkId, change: Change, now: Timestamp) -> Unlinked;
        fn take_up(taken: TakeUp, now: Timestamp) -> Option<JobId>;
        fn left_alone(links: &[LinkId]) -> Vec<LinkId>;
        fn left_alone_count(sync: &SyncName) -> u64;
        fn close_moot_conflicts(limit: usize, now: Timestamp) -> usize;
        fn close_questions_of(sync: &SyncName, side: Side, record: &RecordId, fact: Fact, now: Timestamp) -> Vec<ConflictId>;
    }
    HealthStore {
        fn note_health(
            connection: &ConnectionName, state: ConnectionState, reason: Option<String>, seen_by: &str,
            now: Timestamp
        ) -> bool;
        fn note_held_up(connection: &ConnectionName, held_up: HeldUp) -> ();
        fn note_clock(connection: &ConnectionName, clock: ClockNote) -> ();
        fn keep_clock_offset(connection: &ConnectionName, offset: MeasuredOffset) -> ();
        fn note_badly_signed(connection: &ConnectionName, refused: Refused, anew: Timestamp) -> ();
        fn note_rightly_signed(connection: &ConnectionName, at: Timestamp) -> ();
        fn health() -> Vec<ConnectionHealth>;
    }
    JobStore {
        fn enqueue(jobs: Vec<NewJob>, now: Timestamp) -> Vec<JobId>;
        fn claim(request: ClaimRequest) -> Vec<ClaimedJob>;
        fn finish(finished: Vec<(Lease, JobOutcome)>, now: Timestamp) -> Vec<bool>;
        fn renew(leases: &[Lease], until: Timestamp) -> Vec<bool>;
        fn rescue_expired(now: Timestamp, limit: usize) -> Vec<JobId>;
        fn release_all(now: Timestamp) -> usize;
        fn next_due() -> Option<Timestamp>;
        fn job(id: JobId) -> Option<Job>;
        fn attempts(id: JobId) -> Vec<JobAttempt>;
        fn jobs(filter: &JobFilter) -> Vec<Job>;
        fn job_counts(sync: Option<&SyncName>, now: Timestamp) -> JobCounts;
        fn replay_jobs(ids: &[JobId], now: Timestamp) -> Vec<JobId>;
        fn replay_edited(id: JobId, edits: &Edits, now: Timestamp) -> Option<JobId>;
        fn release_waiting(sync: &SyncName, reason: Waiting, now: Timestamp) -> usize;
        fn discard_jobs(ids: &[JobId], reason: &str, now: Timestamp) -> usize;
        fn prune_jobs(before: Timestamp, limit: usize) -> usize;
    }
    LeaseStore {
        fn hold_role(role: &str, holder: &str, until: Timestamp, now: Timestamp) -> bool;
        fn give_up_role(role: &str, holder: &str) -> ();
    }
    LinkStore {
        fn pair(sync: &SyncName, side: Side, record: &RecordId) -> PairContext;
        fn link(id: LinkId) -> Option<Link>;
        fn links(sync: &SyncName, after: Option<LinkId>, limit: usize) -> Vec<Link>;
        fn links_standing(sync: &SyncName, standing: LinkStanding, after: Option<LinkId>, limit: usize) -> Vec<Link>;
        fn link_count(sync: &SyncName) -> u64;
        fn partnerless_count(sync: &SyncName, side: Side) -> u64;
        fn relane(lease: Lease, link: LinkId, now: Timestamp) -> bool;
        fn journal(
            lease: Lease, link: Option<LinkSeen>, intents: Vec<Intent>, now: Timestamp
        ) -> Result<(), JournalError>;
        fn mark_sent(lease: Lease, intent: IntentId, now: Timestamp) -> bool;
        fn confirm(
            sync: &SyncName, lease: Lease, confirmation: Confirmation, now: Timestamp
        ) -> Result<(), JournalError>;
        fn insert_links(links: Vec<NewLink>, now: Timestamp) -> usize;
        fn index_records(
            sync: &SyncName, side: Side, records: Vec<IndexedRecord>, jobs: Vec<NewJob>, generation: i64, now: Timestamp
        ) -> Vec<SeenRecord>;
        fn let_be(sync: &SyncName, side: Side, records: &[RecordId]) -> Vec<RecordId>;
        fn records_by_keys(sync: &SyncName, side: Side, keys: &[String]) -> Vec<KnownRecord>;
        fn unseen_records(
            sync: &SyncName, side: Side, generation: i64, after: Option<&RecordId>, limit: usize
        ) -> Vec<RecordId>;
        fn open_creates(sync: &SyncName, side: Side, keys: &[String]) -> Vec<Intent>;
        fn intents_of(sync: &SyncName, record: &RecordId) -> Vec<Intent>;
        fn writes_of(link: LinkId, since: Timestamp, limit: usize) -> Vec<Intent>;
        fn intent(id: IntentId) -> Option<Intent>;
        fn listed_at(sync: &SyncName, side: Side, record: &RecordId) -> Option<Timestamp>;
        fn answered_only(sync: &SyncName, side: Side, record: &RecordId) -> Option<String>;
        fn creates_of(sync: &SyncName, side: Side, source: &RecordId, match_key: Option<&str>, since: Timestamp) -> u64;
        fn stale_intents(before: Timestamp, after: Option<(Timestamp, IntentId)>, limit: usize) -> Vec<Intent>;
    }
    ListingStore {
        fn keep_page(run: &Run, page: StoredPage) -> ();
        fn listing_place(run: &Run, side: Side) -> Option<ListingPlace>;
        fn surveyed_keys(
            run: &Run, side: Side, after: Option<&RecordId>, limit: usize
        ) -> Vec<(RecordId, Vec<String>)>;
        fn surveyed(run: &Run, side: Side, ids: &[RecordId]) -> Vec<SurveyedRecord>;
        fn forget_pages(limit: usize) -> usize;
        fn key_form(sync: &SyncName) -> Option<String>;
        fn set_key_form(sync: &SyncName, form: &str) -> ();
    }
    RunStore {
        fn begin_run(run: NewRun, now: Timestamp) -> Run;
        fn progress_run(id: RunId, progress: &Progress) -> ();
        fn end_run(
            id: RunId, state: RunState, progress: &Progress, error: Option<&str>, cursor: Option<Timestamp>, now: Timestamp
        ) -> ();
        fn fail_orphaned_runs(before: Timestamp, error: &str, now: Timestamp) -> usize;
        fn cursor(sync: &SyncName, side: Side) -> Option<Timestamp>;
        fn run(id: RunId) -> Option<Run>;
        fn runs(filter: &RunFilter) -> Vec<Run>;
        fn prune_runs(before: Timestamp, limit: usize) -> usize;
    }
}
