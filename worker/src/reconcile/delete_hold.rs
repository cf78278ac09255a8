//! A delete that waits for a person: one that comes on top of too many, one of a pair of which it is not known that it
//! ever agreed, or one of a record that an open question names, or whose partner went out of use with a write of ours.

use std::time::Duration;

use tandem_domain::line::line;
use tandem_domain::{ConflictId, Side};
use tandem_engine::{Plan, WriteOp};
use tandem_store::{ConflictKind, ConflictState, Fact, QuestionKind, Resolution, Waiting};

use super::doubt::is_told;
use super::held::{Held, end};
use super::linked::Open;
use super::looks::pause;
use super::moot::give_up;
use super::named;
use super::not_deleted;
use super::not_made::was_never_shown;
use super::questions::question;
use super::set_back;
use super::went_back;
use crate::brake;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// A record that is first seen out of use this long after a write of ours was taken out of use by somebody else.
const WITH_OUR_WRITE: Duration = Duration::from_secs(60);

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
        None => match look_at_others(work, open, gone).await? {
            Looked::Waits(waits) => return Ok(Some(waits)),
            Looked::Held(reason) => reason,
            Looked::Deleted => match may_be_elsewhere(work, open, gone).await? {
                Some(reason) => reason,
                None if brake::admits(work.context, work.sync, open.link.id).await? => {
                    return Ok(None);
                }
                None => "more deletes than the brake allows".to_owned(),
            },
        },
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

/// Why the record that is gone may be there under another id, although none was found by the match keys.
async fn may_be_elsewhere(
    work: Work<'_>,
    open: &Open,
    gone: Side,
) -> Result<Option<String>, WorkError> {
    if went_with_our_write(open, gone) {
        return Ok(Some(format!(
            "its partner went out of use right after we wrote to it, so {} may have put another record in its place",
            work.sync.end(gone).connection
        )));
    }
    if was_never_shown(work, open, gone).await? {
        return Ok(Some(format!(
            "{} said that it had made its partner for us, and has never shown that",
            work.sync.end(gone).connection
        )));
    }
    let Some(left) = &open.link.side(gone.other()).id else {
        return Ok(None);
    };
    let asked = named::asked_about(work, gone.other(), left).await?;
    Ok(asked.map(|asked| {
        format!(
            "question {}, which is open, asks what record {} of {} is, and names the record that is left",
            asked.id,
            line(asked.record.as_str()),
            work.sync.end(asked.side).connection
        )
    }))
}

/// Whether a record went out of use with a write of ours: it was first seen so soon after it, and nothing has moved its
/// time of change since. Some systems archive the old row with each write, and make a new one.
fn went_with_our_write(open: &Open, gone: Side) -> bool {
    let memory = &open.link.side(gone).memory;
    let (Some(reading), Some(own), Some(doubt)) =
        (open.pair.side(gone), &memory.own_write, memory.doubt)
    else {
        return false;
    };
    let is_ours = own.after.is_some() && own.after == reading.record.updated_at;
    let is_soon = doubt.since >= own.read_at && doubt.since.since(own.read_at) < WITH_OUR_WRITE;
    reading.counts_as_gone && !own.made && is_ours && is_soon
}

/// What others of its side say of a record that is gone.
enum Looked {
    /// Nothing but that somebody deleted it.
    Deleted,
    /// They may show that their system was restored; it is looked at them first.
    Waits(Performed),
    /// A person must say whether it was deleted, for this reason.
    Held(String),
}

/// A restored system has lost what was made since its backup, and dates what it has as it likes. Whoever sees only what is
/// missing must not take that for deletes.
async fn look_at_others(work: Work<'_>, open: &Open, gone: Side) -> Result<Looked, WorkError> {
    if open.pair.side(gone).is_some() {
        // It is out of use. No backup does that.
        return Ok(Looked::Deleted);
    }
    let link = &open.link;
    if set_back::answer(work, link, gone).await?.is_some() {
        // A person has said that its side counts as it is.
        return Ok(Looked::Deleted);
    }
    let since = went_back::made_at(work, link, gone);
    let others = went_back::ask_others(work, link.id, gone, since).await?;
    if others.stands {
        return Ok(Looked::Deleted);
    }
    let doubt = link.side(gone).memory.doubt;
    let waited = doubt.map_or(Duration::ZERO, |doubt| {
        work.context.now().since(doubt.since)
    });
    let is_patient = waited < set_back::patience(work.sync);
    if !others.back.is_empty() && is_patient {
        set_back::look_at_records(work, gone, others.back).await?;
        let pause = pause(waited);
        return Ok(Looked::Waits(work.again_after(pause, Waiting::Elsewhere)));
    }
    let told = is_told(work, gone, link.side(gone)).await?;
    let connection = &work.sync.end(gone).connection;
    Ok(match others.evidence(told) {
        Some(evidence) => Looked::Held(format!(
            "{connection} may have been restored from a backup that is older than the record: {evidence}"
        )),
        None => Looked::Deleted,
    })
}

/// Whether the question is about the delete of the record that is gone by now: it came back, and its partner went.
async fn is_of_other(work: Work<'_>, asked: ConflictId, gone: Side) -> Result<bool, WorkError> {
    let asked = work.context.store.conflict(asked).await?;
    let kind = asked.map(|asked| asked.kind);
    Ok(matches!(kind, Some(ConflictKind::DeleteHeld { gone: then, .. }) if then != gone))
}
