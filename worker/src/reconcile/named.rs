//! Open questions that name a record of a pair: another may be the same as it, or came of the same create. Until a person
//! has answered, nobody knows whose partner it is.

use tandem_domain::{RecordId, Side};
use tandem_store::Conflict;

use crate::asked::{ABOUT_PARTNERS, Asked, named};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings;

/// An open question that names this record, and is about another that is still in use.
pub(super) async fn asked_about(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Conflict>, WorkError> {
    let store = work.context.store.as_ref();
    for kind in ABOUT_PARTNERS {
        let mut pages = Asked::open(&work.sync.name, kind);
        while let Some(page) = pages.next(store).await? {
            for asked in page {
                if named(&asked).contains(&(side, record)) && is_in_use(work, &asked).await? {
                    return Ok(Some(asked));
                }
            }
        }
    }
    Ok(None)
}

/// Whether the record that a question is about is there: the question may not know yet that it is gone.
async fn is_in_use(work: Work<'_>, asked: &Conflict) -> Result<bool, WorkError> {
    let hints = work.claimed.job.hints;
    let reading = readings::read(work.sync, asked.side, &asked.record, hints).await?;
    Ok(reading.is_some_and(|reading| !reading.record.archived && reading.takes_part()))
}
