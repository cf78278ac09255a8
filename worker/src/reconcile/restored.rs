//! A pair one of whose records is out of date because its system was set back, and of which a person said that the partner
//! counts: the record gets the values of its partner.

use std::collections::BTreeMap;

use tandem_domain::Side;
use tandem_engine::{Gone, Presence, Snapshot};
use tandem_store::Link;

use super::pair::Pair;
use crate::executor::Work;
use crate::readings::Reading;

/// The values of the partner, in every field.
pub(super) fn chosen(work: Work<'_>, side: Side) -> BTreeMap<String, Side> {
    let rules = work.sync.policy.fields.iter();
    rules
        .map(|rule| (rule.name.clone(), side.other()))
        .collect()
}

/// Whether the record of `side` is there and out of use, while its partner is in use.
pub(super) fn is_out_of_use(pair: &Pair, side: Side) -> bool {
    let gone = |side: Side| pair.side(side).map(|reading| reading.counts_as_gone);
    gone(side) == Some(true) && gone(side.other()) == Some(false)
}

/// Both sides as the engine is to look at them, where the record of `side` is the one that was set back.
pub(super) fn presences(link: &Link, pair: &Pair, side: Side) -> [Presence; 2] {
    Side::BOTH.map(|one| {
        if one == side {
            set_back(link, pair, side)
        } else {
            let partner = pair.side(one);
            partner.map_or(Presence::Gone(Gone::Deleted), Reading::presence)
        }
    })
}

fn set_back(link: &Link, pair: &Pair, side: Side) -> Presence {
    let is_partner_here = pair
        .side(side.other())
        .is_some_and(|partner| !partner.counts_as_gone);
    let Some(reading) = pair.side(side) else {
        return Presence::Gone(Gone::Deleted);
    };
    if is_partner_here || reading.counts_as_gone {
        return reading.presence();
    }
    // Its partner was deleted: what it shows beside what both agreed on is no edit.
    let mut fields = reading.fields.clone();
    let agreed = link.base.iter();
    fields.extend(agreed.map(|(name, base)| (name.clone(), base.side(side).clone())));
    Presence::Here(Snapshot {
        fields,
        edited_at: None,
        seen_at: BTreeMap::new(),
    })
}
