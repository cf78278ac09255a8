//! A record that is gone, and of which there is another by now under an id of its own: somebody deleted it and made it
//! again, or imported it anew. Its partner is neither deleted with it nor left alone: the pair is dissolved, and what is
//! left finds its partner by the match keys.

use tandem_domain::{RecordId, Side};
use tandem_engine::{LinkFate, Plan, Single, match_one};
use tandem_store::{LinkState, PairContext, Resolution};

use super::linked::Open;
use super::lookup::{candidate, others};
use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// Dissolves the pair instead of what is planned where one record is gone and its like is there, without a partner.
pub(super) async fn look(work: Work<'_>, open: &Open, planned: &mut Plan) -> Result<(), WorkError> {
    let Some(rest) = rest(open) else {
        return Ok(());
    };
    let is_approved = open
        .context
        .rulings
        .iter()
        .any(|ruling| ruling.resolution == Resolution::Approve);
    let stays = planned.link == LinkFate::Keep && planned.writes.is_empty();
    if is_approved || stays || planned.link == LinkFate::Dissolve {
        return Ok(());
    }
    if has_successor(work, rest, open.pair.side(rest)).await? {
        *planned = Plan::nothing(LinkFate::Dissolve);
    }
    Ok(())
}

/// The side that is left, where the record of the other is deleted.
fn rest(open: &Open) -> Option<Side> {
    let is_deleted =
        |side: Side| open.link.side(side).id.is_some() && open.pair.side(side).is_none();
    let is_here = |side: Side| {
        let reading = open.pair.side(side);
        reading.is_some_and(|reading| !reading.record.archived)
    };
    Side::BOTH
        .into_iter()
        .find(|side| is_here(*side) && is_deleted(side.other()))
}

/// Whether the other side has records without a partner that are the same as this one by its match keys.
async fn has_successor(
    work: Work<'_>,
    side: Side,
    reading: Option<&Reading>,
) -> Result<bool, WorkError> {
    let Some(reading) = reading else {
        return Ok(false);
    };
    let here = Here {
        side,
        reading: reading.clone(),
        pair: PairContext::default(),
    };
    let own = candidate(work, reading);
    let mut free = Vec::new();
    for other in others(work, &here, &own).await?.readings {
        if is_free(work, side.other(), &other.record.id).await? {
            free.push(candidate(work, &other));
        }
    }
    Ok(match match_one(&own, &free, &[]) {
        Single::Partner(_) => true,
        Single::Unclear { candidates, .. } => !candidates.is_empty(),
        Single::NoMatch => false,
    })
}

async fn is_free(work: Work<'_>, side: Side, record: &RecordId) -> Result<bool, WorkError> {
    let store = &work.context.store;
    let pair = store.pair(&work.sync.name, side, record).await?;
    let is_linked = pair
        .link
        .is_some_and(|link| link.state == LinkState::Active);
    Ok(!pair.ignored && !is_linked)
}
