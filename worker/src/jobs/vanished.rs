//! What a whole listing did not show, and what of it could not be read.

use tandem_connectors::UnreadableRow;
use tandem_domain::line::line;
use tandem_domain::{RecordId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{Conflict, ConflictState, Fact, Hints, Progress, QuestionKind, RowError, Run};

use crate::asked::Asked;
use crate::context::{Cause, Context};
use crate::failure::WorkError;

/// Records that vanished from a listing are looked up in pages of this size.
const VANISHED_PAGE: usize = 500;
/// A side that lists nothing while more links than this exist counts as emptied.
const EMPTIED_LINKS: u64 = 2;
/// Pages of runs that ended are removed in pieces of this size.
const FORGET_ROWS: usize = 5_000;

/// A side with links that suddenly lists nothing is taken for broken, not for emptied. One that lists only what the filters
/// leave out is neither: its pairs rest.
pub async fn refuse_emptied(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
    listed: &Progress,
) -> Result<(), WorkError> {
    let links = context.store.link_count(&sync.name).await?;
    if !counts_as_emptied(listed.listed + listed.filtered, links) {
        return Ok(());
    }
    Err(emptied(
        sync.end(side).connection.to_string(),
        links,
        listed,
    ))
}

/// Why nothing is believed of a side that shows no record: it lists none, or none of its rows could be read.
fn emptied(system: String, links: u64, listed: &Progress) -> WorkError {
    match listed.row_errors.first() {
        Some(first) => WorkError::NoRowReadable {
            system,
            rows: listed.unreadable,
            first: first.reason.clone(),
            links,
        },
        None => WorkError::EmptiedSide { system, links },
    }
}

/// Whether a side that lists so many records, and has so many links, is taken for broken.
pub const fn counts_as_emptied(listed: u64, links: u64) -> bool {
    listed == 0 && links > EMPTIED_LINKS
}

/// A record that a whole listing did not show is not taken for deleted: paging may have drifted. It
/// gets a job, which reads it by its id and believes only that. Returns how many there are.
pub async fn look_up(context: &Context, cause: Cause<'_>, run: &Run) -> Result<u64, WorkError> {
    let mut after = None;
    let mut vanished = 0;
    loop {
        let page = context
            .store
            .unseen_records(
                cause.sync,
                cause.side,
                run.number,
                after.as_ref(),
                VANISHED_PAGE,
            )
            .await?;
        let Some(last) = page.last().cloned() else {
            return Ok(vanished);
        };
        vanished += page.len() as u64;
        let jobs = page
            .into_iter()
            // That a listing does not show it is no news of it: who misses it goes on counting from when it was missed.
            .map(|id| context.reconcile_job(cause, id, Hints::default()))
            .collect();
        context.enqueue(jobs).await?;
        after = Some(last);
    }
}

/// A record without a partner that a whole listing did not show, and about which a person is asked, is looked at too: it
/// may be gone, and then there is nothing left to ask. Returns how many there are.
pub async fn look_at_asked(
    context: &Context,
    cause: Cause<'_>,
    run: &Run,
) -> Result<u64, WorkError> {
    let mut looked_at = 0;
    let kinds = QuestionKind::ALL.into_iter();
    for kind in kinds.filter(|kind| Fact::Gone.ends(*kind)) {
        for state in [ConflictState::Open, ConflictState::Answered] {
            let mut pages = Asked::standing(cause.sync, kind, state);
            while let Some(page) = pages.next(context.store.as_ref()).await? {
                looked_at += look_at_unseen(context, cause, run, &page).await?;
            }
        }
    }
    Ok(looked_at)
}

async fn look_at_unseen(
    context: &Context,
    cause: Cause<'_>,
    run: &Run,
    asked: &[Conflict],
) -> Result<u64, WorkError> {
    let mut jobs = Vec::new();
    for question in asked.iter().filter(|asked| asked.side == cause.side) {
        let record = &question.record;
        let listed = context.store.listed_at(cause.sync, cause.side, record);
        if listed.await?.is_none_or(|at| at < run.started_at) {
            jobs.push(context.reconcile_job(cause, record.clone(), Hints::default()));
        }
    }
    let looked_at = jobs.len() as u64;
    context.enqueue(jobs).await?;
    Ok(looked_at)
}

/// Those rows whose id is known: they are there, and so have not vanished.
pub fn ids_of(rows: &[UnreadableRow]) -> Vec<RecordId> {
    rows.iter().filter_map(|row| row.id.clone()).collect()
}

/// Unreadable rows as a run keeps them.
pub fn row_errors(side: Side, rows: Vec<UnreadableRow>) -> impl Iterator<Item = RowError> {
    rows.into_iter().map(move |row| RowError {
        side,
        record: row.id,
        reason: row.reason,
    })
}

/// One line for a run that set records aside; each of them is told with the run.
pub fn log_set_aside(run: &Run, progress: &Progress) {
    if let Some(first) = progress.row_errors.first() {
        tracing::warn!(
            run = %run.id,
            sync = %run.sync,
            records = progress.unreadable,
            first = %line(&first.reason),
            "records could not be read and were set aside; `tandem runs {}` tells of each",
            run.id
        );
    }
}

/// Removes what runs that have ended had stored.
pub async fn forget_pages(context: &Context) -> Result<(), WorkError> {
    while context.store.forget_pages(FORGET_ROWS).await? == FORGET_ROWS {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_none_of_whose_rows_could_be_read_is_not_said_to_list_nothing() {
        let unread = RowError {
            side: Side::B,
            record: None,
            reason: "`id` is missing in row 1".to_owned(),
        };
        let listed = Progress {
            unreadable: 12,
            row_errors: vec![unread],
            ..Progress::default()
        };
        let said = emptied("right".to_owned(), 6, &listed).to_string();
        assert!(said.contains("right lists 12 rows"), "{said}");
        assert!(said.contains("`id` is missing in row 1"), "{said}");
        let said = emptied("right".to_owned(), 6, &Progress::default()).to_string();
        assert!(said.contains("lists no record at all"), "{said}");
    }
}
