//! The intent of a write, as the journal keeps it before anything is sent.

use tandem_domain::Side;
use tandem_engine::{Plan, PlannedWrite, WriteOp};
use tandem_store::{FieldChange, Intent};

use super::change_log::decided;
use super::changed::changed;
use super::linked::Open;
use crate::executor::{About, Work};

pub(super) fn intent_for(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    write: &PlannedWrite,
) -> Intent {
    let source = open.link.side(write.side.other()).id.as_ref();
    let target = if write.op == WriteOp::Create {
        None
    } else {
        open.pair.side(write.side)
    };
    work.intent(
        write,
        About {
            link: Some(open.link.id),
            source,
            target,
            match_key: None,
            decided: typed_until(work, open, decided(open, planned, &write.fields)),
        },
    )
}

/// Notes until when what stands in both records was typed: once our own writes have moved their times, nothing else says so.
pub(super) fn typed_until(
    work: Work<'_>,
    open: &Open,
    decided: Vec<FieldChange>,
) -> Vec<FieldChange> {
    let now = work.context.now();
    let [a_until, b_until] = Side::BOTH.map(|side| {
        let changed = changed(work, side, open.pair.side(side));
        changed.map(|changed| changed.latest.min(now))
    });
    let dated = decided.into_iter().map(|one| FieldChange {
        a_until,
        b_until,
        ..one
    });
    dated.collect()
}
