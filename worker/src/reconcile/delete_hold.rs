//! A delete that waits for a person: one that comes on top of too many, or one of a pair of which it is not known that
//! it ever agreed.

use tandem_engine::{Plan, WriteOp};
use tandem_store::{Confirmation, ConflictKind, JobOutcome, Resolution};

use super::linked::Open;
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
    let gone = delete.side.other();
    let answer = |wanted: Resolution| {
        let mut rulings = open.context.rulings.iter();
        rulings.any(|ruling| ruling.asked == DELETE_HELD && ruling.resolution == wanted)
    };
    if answer(Resolution::Reject) {
        planned.writes.clear();
        return Ok(None);
    }
    if answer(Resolution::Approve) {
        return Ok(None);
    }
    if open.context.delete_held.is_some() {
        // It is asked already. The brake is not asked again: it lets more pass each hour.
        return Ok(Some(Performed::done(
            "held: a person must say whether the other record is to be deleted",
        )));
    }
    let reason = match planned.held.take() {
        Some(reason) => reason,
        None if brake::admits(work.context, work.sync, open.link.id).await? => return Ok(None),
        None => "more deletes than the brake allows".to_owned(),
    };
    let Some(record) = open.link.side(delete.side).id.clone() else {
        return Ok(None);
    };
    let question = question(
        work,
        open,
        delete.side,
        record,
        ConflictKind::DeleteHeld {
            gone,
            reason: reason.clone(),
        },
    );
    let confirmation = Confirmation {
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: format!("held: {reason}"),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

/// The word of the question.
const DELETE_HELD: &str = "delete_held";
