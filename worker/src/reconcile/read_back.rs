//! What a write of ours has left, right after it: as its answer says, or as a reading shows it. An answer is believed only
//! where what it says could be told from an edit later, should its system have kept something else.

use std::time::Duration;

use tandem_connectors::{ConnectorError, Written};
use tandem_domain::{Side, Timestamp, Value};
use tandem_engine::Between;
use tandem_store::{Intent, IntentOp};

use super::changed::between;
use super::met;
use super::pair::Pair;
use super::sending::Carried;
use crate::executor::{Work, shows_field};
use crate::failure::WorkError;
use crate::readings::{self, Reading};

/// A record as it is known right after a write.
pub(super) struct ReadBack {
    pub(super) reading: Reading,
    /// What may have happened between the write and that.
    pub(super) between: Between,
    /// Whether only the answer to the write has shown it.
    pub(super) unread: bool,
}

impl ReadBack {
    const fn answered(reading: Reading) -> Self {
        Self {
            reading,
            between: Between::Nobody,
            unread: true,
        }
    }

    /// By the answer to a write, if it held the record, and the reading after it.
    fn of(
        (work, side): (Work<'_>, Side),
        answer: Option<Reading>,
        read: Reading,
        answered: Timestamp,
    ) -> Self {
        let (reading, between) = match answer {
            Some(answer) if answer.fields == read.fields => {
                let is_dated = answer.record.updated_at.is_some();
                (if is_dated { answer } else { read }, Between::Nobody)
            }
            Some(_) | None => {
                let between = between(work, side, &read, answered);
                (read, between)
            }
        };
        Self {
            reading,
            between,
            unread: false,
        }
    }
}

/// What an update, or a create for a pair, has left. A write whose reading back fails is looked for by the next run.
pub(super) async fn read_back(
    work: Work<'_>,
    pair: &Pair,
    intent: &Intent,
    (written, millis): (Written, u64),
) -> Result<Carried, WorkError> {
    let (side, id) = (intent.side, written.id);
    let answered = work.context.now();
    let answer = written
        .record
        .map(|record| Reading::new(work.sync, side, *record, None));
    let left = match answer {
        Some(answer) if !is_doubted(work, pair, intent, &answer) => {
            Some(ReadBack::answered(answer))
        }
        None if intent.op == IntentOp::Delete => None,
        answer => {
            let read = readings::read(work.sync, side, &id, work.claimed.job.hints).await;
            match read.ok().flatten() {
                Some(read) => Some(ReadBack::of((work, side), answer, read, answered)),
                // Many systems do not find at once what they have made.
                None if intent.op == IntentOp::Create => answer.map(ReadBack::answered),
                None => None,
            }
        }
    };
    let met = match &left {
        Some(left) if intent.op == IntentOp::Create => {
            met::look(work, intent, &left.reading, Duration::from_millis(millis)).await?
        }
        Some(_) | None => None,
    };
    let is_delete = intent.op == IntentOp::Delete;
    Ok(Carried {
        intent: intent.clone(),
        id,
        between: match &left {
            Some(left) => left.between,
            None if is_delete => Between::Nobody,
            None => Between::Unknown,
        },
        unread: left.as_ref().is_some_and(|left| left.unread),
        after: left.map(|left| left.reading),
        millis,
        met,
    })
}

/// What a create has made for a record that had no partner. Some systems answer with the id alone.
///
/// # Errors
/// When the answer does not hold the record, and it cannot be read yet.
pub(super) async fn read_created(
    work: Work<'_>,
    side: Side,
    written: Written,
) -> Result<ReadBack, WorkError> {
    let answered = work.context.now();
    let answer = written
        .record
        .map(|record| Reading::new(work.sync, side, *record, None));
    let answer = match answer {
        Some(answer) if !is_undated(&answer) => return Ok(ReadBack::answered(answer)),
        answer => answer,
    };
    let read = readings::read(work.sync, side, &written.id, work.claimed.job.hints).await;
    match (answer, read) {
        (answer, Ok(Some(read))) => Ok(ReadBack::of((work, side), answer, read, answered)),
        (Some(answer), _) => Ok(ReadBack::answered(answer)),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(None)) => Err(WorkError::from(ConnectorError::ResponseLost {
            system: work.sync.end(side).connection.to_string(),
            operation: format!("create {}", written.id),
            reason: "the new record cannot be read yet".to_owned(),
        })),
    }
}

/// Whether what an answer holds is believed only where a reading shows the same. One that shows other changes than those
/// that were sent may leave members out.
fn is_doubted(work: Work<'_>, pair: &Pair, intent: &Intent, answer: &Reading) -> bool {
    is_undated(answer) || shows_side_effect(work, pair, intent, answer)
}

/// Whether an answer does not say when the record was changed. It may be no more than what was sent: if its system has kept
/// nothing of that, no time tells what stands there from somebody's edit.
const fn is_undated(answer: &Reading) -> bool {
    answer.record.updated_at.is_none()
}

/// Whether a mapped field that was not written changed with the write.
fn shows_side_effect(work: Work<'_>, pair: &Pair, intent: &Intent, after: &Reading) -> bool {
    let Some(before) = pair.side(intent.side) else {
        return false;
    };
    let mut others = work.sync.policy.fields.iter();
    intent.op == IntentOp::Update
        && others.any(|rule| {
            let name = &rule.name;
            let was = before.fields.get(name);
            !intent.fields.contains_key(name)
                && !shows_field(work.sync, name, was.unwrap_or(&Value::Null), &after.fields)
        })
}
