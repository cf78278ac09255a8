//! Replaying and discarding. Each answer says what became of every letter that was named.

use serde::{Deserialize, Serialize};
use tandem_domain::{EventId, JobId, SyncName, Value};
use tandem_store::{Edits, EventState, JobKind, JobState};

use super::{DeadLetterId, Selection};
use crate::error::after;
use crate::reasons::no_sentence;
use crate::{Operator, OperatorError};

/// Jobs put back in one transaction.
const REPLAY_JOBS_MAX: usize = 500;
/// A reason fits on a few lines.
const REASON_BYTES_MAX: usize = 1_000;

/// A letter that was left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub id: DeadLetterId,
    /// Why.
    pub reason: String,
}

/// What became of letters to replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Those at work again.
    pub replayed: Vec<DeadLetterId>,
    /// Those left as they are.
    pub skipped: Vec<Skipped>,
    /// How many of how many that match were meant, and how to go on, where a limit left others out.
    #[serde(default)]
    pub left: Option<String>,
}

impl Replayed {
    /// The next part. Where it fails and others are at work again, it is not said that nothing was done.
    fn part<T>(&self, next: Result<T, OperatorError>) -> Result<T, OperatorError> {
        if self.replayed.is_empty() {
            return next;
        }
        after("some of the dead letters are at work again", next)
    }
}

/// What became of letters to discard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// How many were discarded.
    pub discarded: usize,
    /// Those left as they are.
    pub skipped: Vec<Skipped>,
    /// How many of how many that match were meant, and how to go on, where a limit left others out.
    #[serde(default)]
    pub left: Option<String>,
}

#[derive(Default)]
struct Sorted {
    jobs: Vec<JobId>,
    events: Vec<EventId>,
    skipped: Vec<Skipped>,
}

impl Operator {
    /// Puts dead letters to work again: jobs with their attempts reset and their idempotency keys kept,
    /// events with their bodies read again.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn replay(&self, ids: &[DeadLetterId]) -> Result<Replayed, OperatorError> {
        let sorted = self.with_syncs(self.sort(ids).await?).await?;
        let mut outcome = Replayed {
            replayed: Vec::new(),
            skipped: sorted.skipped,
            left: None,
        };
        for jobs in sorted.jobs.chunks(REPLAY_JOBS_MAX) {
            let standing = self.store().replay_jobs(jobs, self.now()).await;
            let standing = outcome.part(standing.map_err(OperatorError::from))?;
            self.ring(&standing);
            outcome
                .replayed
                .extend(jobs.iter().copied().map(DeadLetterId::Job));
        }
        for id in sorted.events {
            match self.replay_event(id).await {
                Ok(_) => outcome.replayed.push(DeadLetterId::Event(id)),
                Err(error @ OperatorError::Store(_)) => return outcome.part(Err(error)),
                Err(error @ OperatorError::Unseen { .. }) => return Err(error),
                Err(refusal) => outcome.skipped.push(Skipped {
                    id: DeadLetterId::Event(id),
                    reason: refusal.to_string(),
                }),
            }
        }
        tracing::info!(
            replayed = outcome.replayed.len(),
            skipped = outcome.skipped.len(),
            "an operator replayed dead letters"
        );
        Ok(outcome)
    }

    /// Replays one job with values that both sides are to have, whatever they hold: text by mapped field,
    /// empty text for no value. So what a system refuses can be put right where it stands.
    ///
    /// # Errors
    /// When the job is not dead or reconciles no record, no value, an unknown field or a value that is not of its
    /// field's type is given, or the storage fails. Where the configuration is not known, such a value is found when the
    /// job runs, and makes it a dead letter again.
    pub async fn replay_edited(&self, id: JobId, edits: &Edits) -> Result<JobId, OperatorError> {
        let job = self.store().job(id).await?;
        let job = job.ok_or_else(|| {
            OperatorError::not_found("dead letter", id, "list the dead letters to see their ids")
        })?;
        let JobKind::Reconcile { sync, .. } = &job.kind else {
            return Err(OperatorError::Invalid {
                problem: format!("{id} writes no record"),
                advice: "replay it without values",
            });
        };
        self.check_fields(sync, edits).await?;
        self.check_types(sync, edits)?;
        let standing = self.store().replay_edited(id, edits, self.now()).await?;
        let standing = standing.ok_or_else(|| OperatorError::NotNow {
            problem: format!("the job is {}", job.state.as_str()),
            advice: "only dead letters are replayed",
        })?;
        self.ring(&[standing]);
        let fields: Vec<&str> = edits.keys().map(String::as_str).collect();
        tracing::info!(job = %id, ?fields, "an operator replayed a dead letter with values of their own");
        Ok(standing)
    }

    fn check_types(&self, sync: &SyncName, edits: &Edits) -> Result<(), OperatorError> {
        for (field, text) in edits {
            let Some(field_type) = self.parts.systems.field_type(sync, field) else {
                continue;
            };
            if let Err(error) = Value::parse(field_type, text) {
                return Err(OperatorError::Invalid {
                    problem: format!(
                        "the field `{field}` of {sync} is of the type {}, and that value is not: {error}",
                        field_type.as_str()
                    ),
                    advice: "nothing was replayed; give a value of that type, or an empty one for no value",
                });
            }
        }
        Ok(())
    }

    async fn check_fields(&self, sync: &SyncName, edits: &Edits) -> Result<(), OperatorError> {
        let row = self.known_sync(sync).await?;
        let fields = row.document["fields"].as_object();
        let names: Vec<&str> = fields
            .into_iter()
            .flat_map(|fields| fields.keys().map(String::as_str))
            .collect();
        let problem = match edits.keys().find(|field| !names.contains(&field.as_str())) {
            None if edits.is_empty() => "no value is given".to_owned(),
            None => return Ok(()),
            Some(unknown) => format!(
                "the sync {sync} has no field `{unknown}`, only {}",
                names.join(", ")
            ),
        };
        Err(OperatorError::Invalid {
            problem,
            advice: "name mapped fields of the sync, each with its value",
        })
    }

    /// Replays all that are selected.
    ///
    /// # Errors
    /// When they are chosen by a filter without a condition, or the storage fails.
    pub async fn replay_selected(&self, selection: &Selection) -> Result<Replayed, OperatorError> {
        let selected = self.selected(selection).await?;
        let replayed = self.replay(&selected.ids).await?;
        Ok(Replayed {
            left: selected.told("put to work again"),
            ..replayed
        })
    }

    /// Discards dead letters for good, with a reason.
    ///
    /// # Errors
    /// When the reason is missing or too long, or the storage fails.
    pub async fn discard(
        &self,
        ids: &[DeadLetterId],
        reason: &str,
    ) -> Result<Discarded, OperatorError> {
        check_reason(reason)?;
        let sorted = self.sort(ids).await?;
        let now = self.now();
        let jobs = self.store().discard_jobs(&sorted.jobs, reason, now).await?;
        let events = self
            .store()
            .discard_events(&sorted.events, Some(reason), now)
            .await
            .map_err(OperatorError::from);
        let events = match jobs {
            0 => events,
            _ => after("some of the dead letters are discarded", events),
        }?;
        tracing::info!(jobs, events, reason, "an operator discarded dead letters");
        Ok(Discarded {
            discarded: jobs + events,
            skipped: sorted.skipped,
            left: None,
        })
    }

    /// Discards all that are selected.
    ///
    /// # Errors
    /// When they are chosen by a filter without a condition; see [`Operator::discard`].
    pub async fn discard_selected(
        &self,
        selection: &Selection,
        reason: &str,
    ) -> Result<Discarded, OperatorError> {
        let selected = self.selected(selection).await?;
        let discarded = self.discard(&selected.ids, reason).await?;
        Ok(Discarded {
            left: selected.told("discarded"),
            ..discarded
        })
    }

    /// Without the jobs of syncs that were removed: nothing would run them.
    async fn with_syncs(&self, mut sorted: Sorted) -> Result<Sorted, OperatorError> {
        let mut jobs = Vec::with_capacity(sorted.jobs.len());
        for id in std::mem::take(&mut sorted.jobs) {
            let job = self.store().job(id).await?;
            let obstacle = match job.as_ref().and_then(|job| job.kind.sync()) {
                Some(sync) => self.no_sync(sync).await?,
                None => None,
            };
            match obstacle {
                None => jobs.push(id),
                Some(reason) => sorted.skipped.push(Skipped {
                    id: DeadLetterId::Job(id),
                    reason,
                }),
            }
        }
        sorted.jobs = jobs;
        Ok(sorted)
    }

    /// Those that are dead, by kind; the others with the reason why they are skipped.
    async fn sort(&self, ids: &[DeadLetterId]) -> Result<Sorted, OperatorError> {
        let mut sorted = Sorted::default();
        for id in ids {
            let obstacle = match id {
                DeadLetterId::Job(job) => match self.store().job(*job).await? {
                    Some(job) if job.state == JobState::Dead => None,
                    Some(job) => Some(format!("the job is {}", job.state.as_str())),
                    None => Some("there is no such job".to_owned()),
                },
                DeadLetterId::Event(event) => match self.store().event(*event).await? {
                    Some(event) if event.state == EventState::Quarantined => None,
                    Some(_) => Some("the event is not in quarantine".to_owned()),
                    None => Some("there is no such event".to_owned()),
                },
            };
            match (obstacle, id) {
                (Some(reason), id) => sorted.skipped.push(Skipped { id: *id, reason }),
                (None, DeadLetterId::Job(job)) => sorted.jobs.push(*job),
                (None, DeadLetterId::Event(event)) => sorted.events.push(*event),
            }
        }
        Ok(sorted)
    }
}

pub(crate) fn check_reason(reason: &str) -> Result<(), OperatorError> {
    let problem = if reason.trim().is_empty() {
        "a reason is missing".to_owned()
    } else if reason.len() > REASON_BYTES_MAX {
        format!("the reason has more than {REASON_BYTES_MAX} bytes")
    } else if let Some(problem) = no_sentence(reason) {
        problem
    } else {
        return Ok(());
    };
    Err(OperatorError::Invalid {
        problem,
        advice: "say in a sentence why they are discarded, for whoever looks for them later",
    })
}
