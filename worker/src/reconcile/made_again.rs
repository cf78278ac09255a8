//! A record that is gone or out of use, and of which there is another by now under an id of its own: somebody deleted or
//! archived it and made it again, imported it anew, or its system makes another record of it with each write. Its partner
//! is neither deleted with it nor left alone: the pair is dissolved, and what is left finds its partner by the match keys.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{LinkFate, Plan, Single};
use tandem_store::{IntentOp, Link, PairContext, Resolution, Waiting};

use super::linked::Open;
use super::looks::LOOK_AGAIN;
use super::lookup::{candidate, matched, others, standing};
use super::shown::wait_until_whole;
use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// A delete of ours that was not answered may land for so long: a pair that was made meanwhile would be deleted with it.
const DELETE_LANDS_WITHIN: Duration = Duration::from_secs(60);
/// A record that the index names and that cannot be read is looked for so much longer than one that is gone: it may be
/// the one that was made again, on a system that is slow to show it.
const SLOW_TO_SHOW: Duration = Duration::from_secs(60);

/// Dissolves the pair instead of what is planned where one record is gone and its like is there, without a partner. Ends
/// the job where that must be waited for.
pub(super) async fn look(
    work: Work<'_>,
    open: &mut Open,
    planned: &mut Plan,
) -> Result<Option<Performed>, WorkError> {
    let Some(rest) = rest(open) else {
        return Ok(None);
    };
    let is_approved =
        open.context.rulings.iter().any(|ruling| {
            ruling.asked == "delete_held" && ruling.resolution == Resolution::Approve
        });
    let stays = planned.link == LinkFate::Keep && planned.writes.is_empty();
    if is_approved || stays || planned.link == LinkFate::Dissolve {
        return Ok(None);
    }
    let Some(reading) = open.pair.side(rest) else {
        return Ok(None);
    };
    let is_still = match successor(work, rest, reading, &open.link).await? {
        Successor::None => return Ok(None),
        Successor::Here(_) if may_be_deleted(work, open, rest) => true,
        Successor::InPart(record) => {
            return wait_until_whole(work, rest.other(), &record).map(Some);
        }
        Successor::Hidden => is_slow_to_show(work, open, rest.other()),
        Successor::Here(found) => {
            // The index has it from now on: whoever looks while it is hidden for a moment makes no third one.
            let found = found
                .iter()
                .map(|one| (rest.other(), one.indexed(work.sync)));
            open.found.extend(found);
            *planned = Plan::nothing(LinkFate::Dissolve);
            false
        }
    };
    Ok(is_still.then(|| work.again_after(LOOK_AGAIN, Waiting::Elsewhere)))
}

/// Whether a delete of ours may still take what is left.
fn may_be_deleted(work: Work<'_>, open: &Open, rest: Side) -> bool {
    let mut intents = open.context.intents.iter();
    intents.any(|intent| {
        let sent = intent
            .sent_at
            .filter(|_| intent.side == rest && intent.op == IntentOp::Delete);
        sent.is_some_and(|sent| work.context.now().since(sent) < DELETE_LANDS_WITHIN)
    })
}

fn is_slow_to_show(work: Work<'_>, open: &Open, gone: Side) -> bool {
    let doubt = open.link.side(gone).memory.doubt;
    let patience = work.sync.confirm_gone + SLOW_TO_SHOW;
    doubt.is_some_and(|doubt| work.context.now().since(doubt.since) < patience)
}

/// The side that is left, where the record of the other is deleted, or out of use in a way that counts as that.
fn rest(open: &Open) -> Option<Side> {
    let is_deleted = |side: Side| {
        let reading = open.pair.side(side);
        open.link.side(side).id.is_some() && reading.is_none_or(|reading| reading.counts_as_gone)
    };
    let is_here = |side: Side| {
        let reading = open.pair.side(side);
        reading.is_some_and(|reading| !reading.record.archived)
    };
    Side::BOTH
        .into_iter()
        .find(|side| is_here(*side) && is_deleted(side.other()))
}

/// What there is on the other side that is the same as a record by its match keys, and has no partner.
enum Successor {
    None,
    /// As they are now.
    Here(Vec<Reading>),
    /// The index names one that cannot be read.
    Hidden,
    /// The system's search shows a part of one that cannot be read.
    InPart(RecordId),
}

async fn successor(
    work: Work<'_>,
    side: Side,
    reading: &Reading,
    link: &Link,
) -> Result<Successor, WorkError> {
    let here = Here {
        side,
        reading: reading.clone(),
        pair: PairContext::default(),
    };
    let own = candidate(work, reading);
    let others = others(work, &here, &own).await?;
    let mut free = Vec::new();
    for other in others.readings {
        if standing(work, side.other(), &other.record.id)
            .await?
            .is_free()
        {
            free.push(other);
        }
    }
    let is_here = match matched(work, &own, &free, &[]) {
        Single::Partner(_) => true,
        Single::Unclear { candidates, .. } => !candidates.is_empty(),
        Single::NoMatch => false,
    };
    if is_here {
        return Ok(Successor::Here(free));
    }
    let old = link.side(side.other()).id.as_ref();
    for record in others.in_part.iter().filter(|id| Some(*id) != old) {
        if standing(work, side.other(), record).await?.is_free() {
            return Ok(Successor::InPart(record.clone()));
        }
    }
    for missing in others.missing.iter().filter(|id| Some(*id) != old) {
        if standing(work, side.other(), missing).await?.is_free() {
            return Ok(Successor::Hidden);
        }
    }
    Ok(Successor::None)
}
