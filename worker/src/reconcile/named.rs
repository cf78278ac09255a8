//! Open questions that name a record of a pair: another may be the same as it, or came of the same create. Until a person
//! has answered, nobody knows whose partner it is.

use tandem_domain::{RecordId, Side};
use tandem_store::{Conflict, ConflictFilter, ConflictKind, ConflictState, QuestionKind};

use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings;

/// Open questions are looked through by so many at a time.
const QUESTIONS_MAX: usize = 500;

/// An open question that names this record, and is about another that is still in use.
pub(super) async fn asked_about(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Conflict>, WorkError> {
    for kind in [QuestionKind::Ambiguous, QuestionKind::Doubled] {
        let mut before = None;
        loop {
            let filter = ConflictFilter {
                sync: Some(work.sync.name.clone()),
                state: Some(ConflictState::Open),
                kind: Some(kind.as_str().to_owned()),
                before,
                limit: QUESTIONS_MAX,
            };
            let page = work.context.store.conflicts(&filter).await?;
            before = page.last().map(|last| last.id);
            let is_last = page.len() < QUESTIONS_MAX;
            for asked in page {
                if names(&asked, side, record) && is_in_use(work, &asked).await? {
                    return Ok(Some(asked));
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(None)
}

fn names(asked: &Conflict, side: Side, record: &RecordId) -> bool {
    let is_own_side = asked.side == side;
    match &asked.kind {
        ConflictKind::Ambiguous {
            candidates, rivals, ..
        } => {
            let named = if is_own_side { rivals } else { candidates };
            named.contains(record)
        }
        ConflictKind::Doubled { first, source, .. } => {
            let named = if is_own_side {
                Some(first)
            } else {
                source.as_ref()
            };
            named == Some(record)
        }
        _ => false,
    }
}

/// Whether the record that a question is about is there: the question may not know yet that it is gone.
async fn is_in_use(work: Work<'_>, asked: &Conflict) -> Result<bool, WorkError> {
    let hints = work.claimed.job.hints;
    let reading = readings::read(work.sync, asked.side, &asked.record, hints).await?;
    Ok(reading.is_some_and(|reading| !reading.record.archived && reading.takes_part()))
}
