//! Carries a plan out, one journalled step at a time.

use std::sync::Arc;
use std::time::Duration;

use tandem_connectors::{Capabilities, ConnectorError, Delete, Write, Written, with_send_right};
use tandem_domain::{ChangeId, Fields, IntentId, RecordId, Side, Value};
use tandem_engine::{PlannedWrite, WriteOp, to_stream};
use tandem_queue::LeaseEnd;
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Change, ClaimedJob, Confirmation, Event, EventFilter, FieldChange, IndexedRecord, Intent,
    IntentOp, IntentState, IntentVerdict, JobOutcome, JournalError, LinkSeen, Operation, Outcome,
    Store, Waiting,
};
use tracing::Instrument;

use crate::context::Context;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;
use crate::trace;

/// A plan overtaken by another job is made again after this long.
pub const SUPERSEDED_PAUSE: Duration = Duration::from_millis(20);
/// While another job creates a record with the same match key, this one waits so long.
pub const KEY_BUSY_PAUSE: Duration = Duration::from_millis(300);

/// Nothing is sent in the last moments of a lease: the clock of whoever takes the job over may be ahead
/// of ours, and the request needs a moment to get out.
const SEND_MARGIN: Duration = Duration::from_secs(1);

/// Events of a record that are looked at.
const EVENTS_MAX: usize = 20;

/// One job at work.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    pub context: &'a Context,
    pub sync: &'a SyncDefinition,
    pub claimed: &'a ClaimedJob,
    /// Until when the claim holds.
    pub until: &'a LeaseEnd,
}

/// What journalling gave.
pub enum Journalled {
    /// It may be sent.
    Yes,
    /// A newer cause has come since both sides were read: nothing is written down.
    Overtaken,
    /// It was not accepted, and the job ends so.
    No(Performed),
}

/// What sending one intent gave.
pub enum Sent {
    /// It was written.
    Written { written: Written, millis: u64 },
    /// For certain without effect.
    NoEffect(ConnectorError),
    /// The effect may have happened.
    Unknown(ConnectorError),
}

impl<'a> Work<'a> {
    /// Where everything is kept.
    pub fn store(&self) -> &'a dyn Store {
        self.context.store.as_ref()
    }

    /// An intent for a planned write.
    pub fn intent(&self, write: &PlannedWrite, about: About<'_>) -> Intent {
        let now = self.context.now();
        Intent {
            id: IntentId::new(now, self.context.entropy.as_ref()),
            sync: self.sync.name.clone(),
            link: about.link,
            side: write.side,
            op: match write.op {
                WriteOp::Create => IntentOp::Create,
                WriteOp::Update => IntentOp::Update,
                WriteOp::Delete => IntentOp::Delete,
            },
            source: about.source.cloned(),
            target: about.target.map(|target| target.record.id.clone()),
            fields: write.fields.clone(),
            match_key: about.match_key,
            expected_version: about
                .target
                .and_then(|target| target.record.version.clone()),
            state: IntentState::Planned,
            sends: 0,
            job: Some(self.claimed.job.id),
            created_at: now,
            sent_at: None,
            error: None,
            decided: about.decided,
        }
    }

    /// Sends one intent that the journal has as sent.
    pub async fn send(&self, intent: &Intent, target: Option<&Reading>) -> Sent {
        let started = self.context.now();
        // The journal was asked a moment ago, but the process may have been stopped since: the clock is
        // asked again when the request goes out.
        let (until, clock) = (self.until.clone(), Arc::clone(&self.context.clock));
        let right = Arc::new(move || until.is_after(clock.now().plus(SEND_MARGIN)));
        if !right() {
            let system = self.sync.end(intent.side).connection.to_string();
            return Sent::NoEffect(ConnectorError::RightEnded { system });
        }
        let result = with_send_right(right, self.call(intent, target)).await;
        let millis =
            u64::try_from(self.context.now().since(started).as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(written) => Sent::Written { written, millis },
            Err(
                error @ (ConnectorError::ResponseLost { .. } | ConnectorError::Malformed { .. }),
            ) => Sent::Unknown(error),
            Err(
                error @ (ConnectorError::Unreachable { .. }
                | ConnectorError::RateLimited { .. }
                | ConnectorError::Unauthorized { .. }
                | ConnectorError::Refused { .. }
                | ConnectorError::VersionConflict { .. }
                | ConnectorError::NotFound { .. }
                | ConnectorError::Unreadable { .. }
                | ConnectorError::Endless { .. }
                | ConnectorError::RightEnded { .. }
                | ConnectorError::Misconfigured { .. }),
            ) => Sent::NoEffect(error),
        }
    }

    async fn call(
        &self,
        intent: &Intent,
        target: Option<&Reading>,
    ) -> Result<Written, ConnectorError> {
        let end = self.sync.end(intent.side);
        let fields = to_stream(&self.sync.policy, intent.side, &intent.fields);
        let transaction = intent.id.to_string();
        let write = Write {
            fields: &fields,
            transaction: &transaction,
            expected_version: intent.expected_version.as_deref(),
            current: target.map(|target| &target.record),
        };
        let span = trace::write(intent, end);
        let calling = async {
            match (intent.op, &intent.target) {
                (IntentOp::Create, _) => end.connector.create(&end.stream, &write).await,
                (IntentOp::Update, Some(id)) => end.connector.update(&end.stream, id, &write).await,
                (IntentOp::Delete, Some(id)) => {
                    let delete = Delete {
                        transaction: &transaction,
                        expected_version: intent.expected_version.as_deref(),
                        current: target.map(|target| &target.record),
                    };
                    let deleting = end.connector.delete(&end.stream, id, &delete);
                    deleting.await.map(|()| Written {
                        id: id.clone(),
                        record: None,
                    })
                }
                (IntentOp::Update | IntentOp::Delete, None) => Err(ConnectorError::Misconfigured {
                    system: end.connection.to_string(),
                    reason: format!("the journal entry {} names no record to write", intent.id),
                }),
            }
        };
        let written = calling.instrument(span.clone()).await;
        trace::sent(&span, &written);
        written
    }

    /// Ends the job with what was learned, or hands it back when the plan no longer fits.
    pub async fn confirm(&self, confirmation: Confirmation) -> Result<Performed, WorkError> {
        let again = confirmation
            .outcome
            .as_ref()
            .is_some_and(|outcome| matches!(outcome, JobOutcome::Snooze { .. }));
        let wrote = confirmation
            .changes
            .iter()
            .any(|change| change.written.is_some());
        let now = self.context.now();
        let store = &self.context.store;
        match store
            .confirm(&self.sync.name, self.claimed.lease, confirmation, now)
            .await?
        {
            Ok(()) => {
                if wrote {
                    trace::confirmed(&self.claimed.job, self.context.now());
                }
                if again {
                    self.context.doorbell.ring(&[self.claimed.job.id]);
                }
                Ok(Performed::Settled)
            }
            Err(JournalError::LeaseLost) => Err(tandem_store::StoreError::LeaseLost.into()),
            Err(JournalError::Superseded | JournalError::KeyBusy | JournalError::NewerCause) => {
                Ok(self.again_after(SUPERSEDED_PAUSE, Waiting::Superseded))
            }
        }
    }

    /// What can be done with the stream of a side.
    pub fn can(&self, side: Side, what: impl FnOnce(&Capabilities) -> bool) -> bool {
        let end = self.sync.end(side);
        let stream = end.connector.stream(&end.stream);
        stream.is_some_and(|stream| what(&stream.capabilities))
    }

    /// For how long the job has gone back to waiting for the same thing, until it was due. The age of a job says nothing
    /// of that: it may have stood in the queue, or its process went away, and nobody looked.
    pub fn waited_for(&self, reason: Waiting) -> Duration {
        let job = &self.claimed.job;
        match job.waits.since {
            Some(since) if job.waits.count > 0 && job.waits.reason == Some(reason) => {
                job.run_at.since(since)
            }
            _ => Duration::ZERO,
        }
    }

    /// For how long it has looked again for what does not show, be that a record or the effect of a write: the one may
    /// hide the other.
    pub fn looked_for(&self) -> Duration {
        self.waited_for(Waiting::Elsewhere)
            .max(self.waited_for(Waiting::Missing))
    }

    /// Hands the job back without counting the attempt. The pause grows with each time that it is handed
    /// back so, and ends with a dead letter that names what was waited for.
    pub fn again_after(&self, pause: Duration, reason: Waiting) -> Performed {
        Performed::Ends(self.snooze(pause, reason))
    }

    /// The job goes back to waiting, see [`Self::again_after`].
    pub fn snooze(&self, pause: Duration, reason: Waiting) -> JobOutcome {
        JobOutcome::Snooze {
            run_at: self.context.now().plus(pause),
            failure: None,
            reason,
        }
    }

    /// The job goes on at once: what was done was not all.
    pub fn next_step(&self) -> JobOutcome {
        self.snooze(Duration::ZERO, Waiting::Progress)
    }

    /// Journals intents.
    pub async fn journal(
        &self,
        link: Option<LinkSeen>,
        intents: &[Intent],
    ) -> Result<Journalled, WorkError> {
        let now = self.context.now();
        let store = &self.context.store;
        match store
            .journal(self.claimed.lease, link, intents.to_vec(), now)
            .await?
        {
            Ok(()) => Ok(Journalled::Yes),
            Err(JournalError::LeaseLost) => Err(tandem_store::StoreError::LeaseLost.into()),
            Err(JournalError::NewerCause) => Ok(Journalled::Overtaken),
            Err(JournalError::Superseded) => Ok(Journalled::No(
                self.again_after(SUPERSEDED_PAUSE, Waiting::Superseded),
            )),
            Err(JournalError::KeyBusy) => Ok(Journalled::No(
                self.again_after(KEY_BUSY_PAUSE, Waiting::KeyBusy),
            )),
        }
    }

    /// Records that a write failed (or may have), and lets the error decide how the job goes on. What was written
    /// before it stays open in the journal until the base moves with it: whoever only closed it would later
    /// take it for an edit of that side.
    pub async fn give_up(
        &self,
        intent: &Intent,
        state: IntentState,
        error: ConnectorError,
    ) -> Result<Performed, WorkError> {
        self.give_up_having_seen(intent, state, Vec::new(), error)
            .await
    }

    /// Like [`Work::give_up`], and keeps what the records held: when a person discards what comes of this, that
    /// holds as long as the records are so.
    pub async fn give_up_having_seen(
        &self,
        intent: &Intent,
        state: IntentState,
        seen: Vec<(Side, IndexedRecord)>,
        error: ConnectorError,
    ) -> Result<Performed, WorkError> {
        let verdicts = vec![verdict(intent, state, Some(error.to_string()))];
        self.note(verdicts, seen).await?;
        Err(error.into())
    }

    /// Settles one intent; the job goes on.
    pub async fn close(
        &self,
        intent: &Intent,
        state: IntentState,
        seen: Vec<(Side, IndexedRecord)>,
        reason: String,
    ) -> Result<(), WorkError> {
        self.note(vec![verdict(intent, state, Some(reason))], seen)
            .await
    }

    /// Writes down what is known of intents; the job goes on.
    async fn note(
        &self,
        verdicts: Vec<IntentVerdict>,
        seen: Vec<(Side, IndexedRecord)>,
    ) -> Result<(), WorkError> {
        let confirmation = Confirmation {
            verdicts,
            seen,
            ..Confirmation::default()
        };
        self.learn(confirmation).await
    }

    /// Stores what was learned, unless somebody else has learned more since; the job goes on.
    pub async fn learn(&self, confirmation: Confirmation) -> Result<(), WorkError> {
        self.learned(confirmation).await.map(drop)
    }

    /// Stores what was learned. `false` when somebody else has learned more since, and nothing was stored.
    pub async fn learned(&self, confirmation: Confirmation) -> Result<bool, WorkError> {
        let now = self.context.now();
        let store = &self.context.store;
        match store
            .confirm(&self.sync.name, self.claimed.lease, confirmation, now)
            .await?
        {
            Ok(()) => Ok(true),
            Err(JournalError::Superseded | JournalError::KeyBusy | JournalError::NewerCause) => {
                Ok(false)
            }
            Err(JournalError::LeaseLost) => Err(tandem_store::StoreError::LeaseLost.into()),
        }
    }

    /// The newest events about a record, newest first.
    pub async fn events_of(&self, side: Side, record: &RecordId) -> Result<Vec<Event>, WorkError> {
        let filter = EventFilter {
            connection: Some(self.sync.end(side).connection.clone()),
            record: Some(record.clone()),
            limit: EVENTS_MAX,
            ..EventFilter::default()
        };
        let mut events = self.context.store.events(&filter).await?;
        // A record of another kind may bear the same id.
        let stream = Some(&self.sync.end(side).stream);
        events.retain(|event| event.stream.is_none() || event.stream.as_ref() == stream);
        Ok(events)
    }

    /// A blank entry of the change log for this job.
    pub fn change(
        &self,
        operation: Operation,
        a: Option<&RecordId>,
        b: Option<&RecordId>,
    ) -> Change {
        let now = self.context.now();
        Change {
            id: ChangeId::new(now, self.context.entropy.as_ref()),
            sync: self.sync.name.clone(),
            link: None,
            a: a.cloned(),
            b: b.cloned(),
            operation,
            written: None,
            intent: None,
            trigger: self.claimed.job.trigger,
            job: Some(self.claimed.job.id),
            run: None,
            fields: Vec::new(),
            outcome: Outcome::Applied,
            error: None,
            duration_ms: 0,
            at: now,
        }
    }
}

/// What an intent is about.
pub struct About<'a> {
    pub link: Option<tandem_domain::LinkId>,
    pub source: Option<&'a RecordId>,
    pub target: Option<&'a Reading>,
    pub match_key: Option<String>,
    /// What was decided for the fields that are written.
    pub decided: Vec<FieldChange>,
}

/// The end of an intent.
pub fn verdict(intent: &Intent, state: IntentState, error: Option<String>) -> IntentVerdict {
    IntentVerdict {
        intent: intent.id,
        state,
        target: intent.target.clone(),
        error,
        sends: None,
    }
}

/// Whether a reading shows a value that was to be written.
pub fn shows_field(sync: &SyncDefinition, name: &str, wanted: &Value, fields: &Fields) -> bool {
    let rule = sync.policy.rule(name);
    let found = fields.get(name).cloned().unwrap_or_default();
    rule.is_none_or(|rule| tandem_engine::same(rule.equality, wanted, &found))
}

/// The record ids of both sides, in order a, b, when `here` is the one on `side`.
pub fn both<'r>(
    side: Side,
    here: Option<&'r RecordId>,
    there: Option<&'r RecordId>,
) -> (Option<&'r RecordId>, Option<&'r RecordId>) {
    match side {
        Side::A => (here, there),
        Side::B => (there, here),
    }
}
