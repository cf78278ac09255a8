//! A delete of ours that was sent and lands later, when its pair is wanted again: the record on the other side was taken out
//! of the bin, or an edit has made it again there. What is gone then nobody deleted, and its partner is not to follow it.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Timestamp};
use tandem_engine::{Gone, Presence};
use tandem_store::{
    EventKind, Intent, IntentOp, IntentState, Link, PairContext, QuestionKind, Resolution,
};

use super::recover::{LANDS_WITHIN, NOT_SEEN};
use crate::executor::Work;
use crate::failure::WorkError;

/// What has landed is noticed within this long, be it by a whole listing that shows the record no more.
const NOTICED_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// Why a late delete of ours may be what took the record of a pair that is gone, in words.
pub(super) async fn took(
    work: Work<'_>,
    link: &Link,
    pair: &[Presence; 2],
    context: &PairContext,
) -> Result<Option<String>, WorkError> {
    let Some((side, record)) = gone(link, pair) else {
        return Ok(None);
    };
    // A person has said that the other is to go as well.
    let is_approved = context.rulings.iter().any(|ruling| {
        ruling.asked == QuestionKind::DeleteHeld.as_str()
            && ruling.resolution == Resolution::Approve
    });
    if is_approved {
        return Ok(None);
    }
    let Some(sent) = last_sent(work, side, record).await? else {
        return Ok(None);
    };
    let may_be_ours = work.context.now().since(sent) < NOTICED_WITHIN
        && !outlived(work, side, record, sent).await?;
    Ok(may_be_ours.then(|| {
        let connection = &work.sync.end(side).connection;
        format!(
            "our own delete of record {record} of {connection}, sent at {sent}, may have landed late, when its partner was there again"
        )
    }))
}

/// The record that is gone, where its partner is in use.
fn gone<'l>(link: &'l Link, [a, b]: &[Presence; 2]) -> Option<(Side, &'l RecordId)> {
    let side = match (a, b) {
        (Presence::Gone(Gone::Deleted | Gone::Archived), Presence::Here(_)) => Side::A,
        (Presence::Here(_), Presence::Gone(Gone::Deleted | Gone::Archived)) => Side::B,
        _ => return None,
    };
    link.side(side).id.as_ref().map(|record| (side, record))
}

/// When our last delete of a record went out that may have taken effect, then or later. That a delete was believed to be
/// done says nothing: its pair is held, so the record was seen alive since.
async fn last_sent(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Timestamp>, WorkError> {
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, record).await?;
    let deletes = intents.iter().filter(|intent| {
        let is_of_record = intent.side == side && intent.target.as_ref() == Some(record);
        is_of_record && intent.op == IntentOp::Delete && may_land(intent)
    });
    Ok(deletes.filter_map(|intent| intent.sent_at).max())
}

/// What a system has refused it does not carry out later.
fn may_land(intent: &Intent) -> bool {
    match intent.state {
        IntentState::Planned => false,
        IntentState::Sent | IntentState::Unknown | IntentState::Confirmed => true,
        IntentState::Failed => intent.error.as_deref() == Some(NOT_SEEN),
    }
}

/// Whether the record was still there when our delete of it could land no more: by the event of its end, or by a listing.
async fn outlived(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    sent: Timestamp,
) -> Result<bool, WorkError> {
    let until = sent.plus(LANDS_WITHIN);
    let listed = work.context.store.listed_at(&work.sync.name, side, record);
    if listed.await?.is_some_and(|listed| listed > until) {
        return Ok(true);
    }
    let events = work.events_of(side, record).await?;
    let mut ends = events
        .iter()
        .filter(|event| event.kind == EventKind::Deleted);
    // A system may tell of a time to come.
    Ok(ends.any(|event| {
        let heard = event.received_at;
        event.occurred_at.map_or(heard, |at| at.min(heard)) > until
    }))
}
