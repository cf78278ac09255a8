//! A delete that waits for a person: one that comes on top of too many, or one of a pair of which it is not known that
//! it ever agreed.

use tandem_domain::{ConflictId, Side};
use tandem_engine::{Plan, WriteOp};
use tandem_store::{ConflictKind, ConflictState, Fact, QuestionKind, Resolution};

use super::held::{Held, end};
use super::linked::Open;
use super::moot::give_up;
use super::not_deleted;
use super::questions::question;
use crate::brake;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// Holds a delete that a person must see first; an approved one passes, a rejected one retires the link.
pub(super) async fn hold(
    work: Work<'_>,
    open: &Open,
    planned: &mut Plan,
) -> Result<Option<Performed>, WorkError> {
    let Some(delete) = planned
        .writes
        .iter()
        .find(|write| write.op == WriteOp::Delete)
    else {
        return Ok(None);
    };
    if not_deleted::is_to_be_sent_again(&open.context) {
        return Ok(None);
    }
    let (side, gone) = (delete.side, delete.side.other());
    let ruling = open
        .context
        .rulings
        .iter()
        .find(|ruling| ruling.asked == QuestionKind::DeleteHeld.as_str());
    let answered = ruling.map(|ruling| (ruling.conflict, ConflictState::Answered));
    let unanswered = open.context.delete_held;
    let unanswered = unanswered.map(|asked| (asked, ConflictState::Open));
    if let Some(asked) = answered.or(unanswered)
        && is_of_other(work, asked.0, gone).await?
    {
        // To delete the one that is left would be no answer to what was asked.
        return give_up(work, asked, Fact::OtherGone).await.map(Some);
    }
    match ruling.map(|ruling| &ruling.resolution) {
        Some(Resolution::Approve) => return Ok(None),
        Some(Resolution::Reject) => {
            planned.writes.clear();
            return Ok(None);
        }
        Some(_) | None => {}
    }
    if open.context.delete_held.is_some() {
        // It is asked already. The brake is not asked again: it lets more pass each hour.
        let note = "held: a person must say whether the other record is to be deleted";
        let held = Held {
            ask: None,
            note: note.to_owned(),
            gone: Some(gone),
        };
        return end(work, open, held).await.map(Some);
    }
    let reason = match planned.held.take() {
        Some(reason) => reason,
        None if brake::admits(work.context, work.sync, open.link.id).await? => return Ok(None),
        None => "more deletes than the brake allows".to_owned(),
    };
    let Some(record) = open.link.side(side).id.clone() else {
        return Ok(None);
    };
    let note = format!("held: {reason}");
    let kind = ConflictKind::DeleteHeld { gone, reason };
    let held = Held {
        ask: Some(question(work, open, side, record, kind)),
        note,
        gone: Some(gone),
    };
    end(work, open, held).await.map(Some)
}

/// Whether the question is about the delete of the record that is gone by now: it came back, and its partner went.
async fn is_of_other(work: Work<'_>, asked: ConflictId, gone: Side) -> Result<bool, WorkError> {
    let asked = work.context.store.conflict(asked).await?;
    let kind = asked.map(|asked| asked.kind);
    Ok(matches!(kind, Some(ConflictKind::DeleteHeld { gone: then, .. }) if then != gone))
}
