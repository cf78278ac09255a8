//! A create that a system answered with an id, and a record that it has never shown: it has kept nothing, or hides what is new
//! for longer than anybody looks for it. Nobody has deleted that record. So its pair does not end as one whose record is gone:
//! it waits for a person, and the create is not sent again by itself, since it may have made a record that only hides.

use tandem_domain::Side;
use tandem_engine::{LinkFate, Plan, WriteOp};
use tandem_store::{ConflictKind, QuestionKind, Resolution};

use super::held::{Held, end};
use super::linked::Open;
use super::questions::question;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// Holds the end of a pair of which one record was never shown, and a second create of it, unless a person has said what
/// becomes of the other.
pub(super) async fn hold(
    work: Work<'_>,
    open: &Open,
    planned: &mut Plan,
) -> Result<Option<Performed>, WorkError> {
    let Some(gone) = goes_on_without(open, planned) else {
        return Ok(None);
    };
    let answer = |asked: QuestionKind| {
        let mut rulings = open.context.rulings.iter();
        let ruling = rulings.find(|ruling| ruling.asked == asked.as_str());
        ruling.map(|ruling| &ruling.resolution)
    };
    let fate = match answer(QuestionKind::NotMade) {
        // What is left gets a partner as any record without one.
        Some(Resolution::CreateNew) => Some(LinkFate::Dissolve),
        Some(_) => Some(LinkFate::Retire),
        None => None,
    };
    if let Some(fate) = fate {
        *planned = Plan::nothing(fate);
        return Ok(None);
    }
    if !was_never_shown(work, open, gone).await? {
        return Ok(None);
    }
    if answer(QuestionKind::DeleteHeld) == Some(&Resolution::Reject) {
        *planned = Plan::nothing(LinkFate::Retire);
        return Ok(None);
    }
    let (left, made) = (gone.other(), &open.link.side(gone).id);
    let own = open.link.side(gone).memory.own_write.as_ref();
    let (Some(record), Some(made), Some(own)) = (open.link.side(left).id.clone(), made, own) else {
        return Ok(None);
    };
    let connection = &work.sync.end(gone).connection;
    let kind = ConflictKind::NotMade {
        system: connection.to_string(),
        made: made.clone(),
        sent_at: own.read_at,
        missed_at: work.context.now(),
    };
    let is_asked = open.context.not_made.or(open.context.delete_held).is_some();
    let held = Held {
        ask: (!is_asked).then(|| question(work, open, left, record, kind)),
        note: format!(
            "held: {connection} answered our create with record {made}, and has never shown it"
        ),
        gone: Some(gone),
    };
    end(work, open, held).await.map(Some)
}

/// The side whose record is not there, where the other record would stay without it, or get another partner by itself.
fn goes_on_without(open: &Open, planned: &Plan) -> Option<Side> {
    if open.is_taken_apart || !open.found.is_empty() {
        // A person has said so, or the record is there under another id.
        return None;
    }
    let is_here = |side: Side| {
        let reading = open.pair.side(side);
        reading.is_some_and(|reading| !reading.record.archived)
    };
    let is_end = planned.link != LinkFate::Keep && planned.writes.is_empty();
    let is_made_again = |gone: Side| {
        let mut writes = planned.writes.iter();
        writes.any(|write| write.side == gone && write.op == WriteOp::Create)
    };
    let mut sides = Side::BOTH.into_iter();
    sides.find(|gone| {
        let is_gone = open.pair.side(*gone).is_none() && is_here(gone.other());
        is_gone && (is_end || is_made_again(*gone))
    })
}

/// Whether a record that is not there was made by us, and only the answer to that has ever shown it. Then nobody has deleted it:
/// its system has kept nothing, or hides what is new for longer than we look for it.
pub(super) async fn was_never_shown(
    work: Work<'_>,
    open: &Open,
    gone: Side,
) -> Result<bool, WorkError> {
    let state = open.link.side(gone);
    let own = state.memory.own_write.as_ref();
    let own = own.filter(|own| own.made && own.unread);
    let (Some(record), Some(own)) = (&state.id, own) else {
        return Ok(false);
    };
    let store = &work.context.store;
    // The index counts no answer; and a listing that shows the record shows it, whenever it began.
    let listed = store.listed_at(&work.sync.name, gone, record).await?;
    // An earlier Tandem, which kept nothing of what the answer had shown, counted it as seen by a run that had begun before.
    let is_of_earlier = own.left.is_empty();
    Ok(listed.is_none_or(|listed| is_of_earlier && listed <= own.read_at))
}
