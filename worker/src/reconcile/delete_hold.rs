//! The delete brake: a delete that comes on top of too many waits for a person.

use tandem_engine::{Plan, WriteOp};
use tandem_store::{Confirmation, ConflictKind, JobOutcome, Resolution};

use super::linked::Open;
use super::questions::question;
use crate::brake;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// Holds a delete that comes on top of too many; an approved one passes, a rejected one retires the link.
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
        open.context
            .rulings
            .iter()
            .any(|ruling| ruling.resolution == wanted)
    };
    if answer(Resolution::Reject) {
        planned.writes.clear();
        return Ok(None);
    }
    if answer(Resolution::Approve) || brake::admits(work.context, work.sync, open.link.id).await? {
        return Ok(None);
    }
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
            reason: "more deletes than the brake allows".to_owned(),
        },
    );
    let confirmation = Confirmation {
        verdicts: open.verdicts.clone(),
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: "held: more deletes than the brake allows".to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}
