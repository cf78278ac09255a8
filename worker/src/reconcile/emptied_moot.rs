//! The end of questions about fields that a system says nothing of.

use tandem_domain::Side;
use tandem_runtime::SyncDefinition;
use tandem_store::{Conflict, ConflictFilter, ConflictState, Fact, Link, LinkState};

use super::emptied::{ANSWER_HOLDS, ASKED, LINKS_PAGE, QUESTIONS_MAX};
use crate::context::Context;
use crate::failure::WorkError;

/// Whether one of these waits for a person to say what became of the field.
pub(super) fn is_missed(links: &[Link], side: Side, field: &str) -> bool {
    let mut active = links.iter().filter(|link| link.state == LinkState::Active);
    active.any(|link| {
        let known = link.side(side).memory.left_out.get(field);
        known.is_some_and(|known| !known.settled)
    })
}

/// Closes it, unless it was answered since it was seen.
pub(super) async fn close(context: &Context, question: &Conflict) -> Result<(), WorkError> {
    let why = (question.state == ConflictState::Open).then_some(Fact::Shown.because());
    let now = context.now();
    context
        .store
        .close_question(question.id, question.state, why, now)
        .await?;
    Ok(())
}

/// After a whole listing of a side: closes the questions about its fields that no record waits for any more, and those
/// whose answer holds no longer.
pub async fn close_moot(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
) -> Result<(), WorkError> {
    let now = context.now();
    for question in questions(context, sync, side, ConflictState::Answered).await? {
        let at = question.answered_at;
        if at.is_some_and(|at| now.since(at) >= ANSWER_HOLDS) {
            close(context, &question).await?;
        }
    }
    let mut open = questions(context, sync, side, ConflictState::Open).await?;
    let mut after = None;
    while !open.is_empty() {
        let page = context.store.links(&sync.name, after, LINKS_PAGE).await?;
        open.retain(|question| {
            let field = question.kind.field();
            !field.is_some_and(|field| is_missed(&page, side, field))
        });
        after = page.last().map(|last| last.id);
        if page.len() < LINKS_PAGE {
            break;
        }
    }
    for question in &open {
        close(context, question).await?;
    }
    Ok(())
}

pub(super) async fn questions(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
    state: ConflictState,
) -> Result<Vec<Conflict>, WorkError> {
    let filter = ConflictFilter {
        sync: Some(sync.name.clone()),
        state: Some(state),
        kind: Some(ASKED.to_owned()),
        limit: QUESTIONS_MAX,
        ..ConflictFilter::default()
    };
    let mut questions = context.store.conflicts(&filter).await?;
    questions.retain(|question| question.side == side);
    Ok(questions)
}
