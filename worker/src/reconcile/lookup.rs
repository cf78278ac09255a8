//! Looks for the partner of a record: in the index, and in the other system itself.

use tandem_connectors::Lookup;
use tandem_domain::{RecordId, Side};
use tandem_engine::{Candidate, match_keys};

use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::{self, Reading};

/// More records than this with the same key are not looked at one by one: it is unclear anyway.
pub(super) const SAME_KEY_MAX: usize = 20;

/// The records of a side that share a key with this one by the index, read afresh: the index may
/// still name one that is gone, or that has other keys by now.
pub(super) async fn known(
    work: Work<'_>,
    here: &Here,
    side: Side,
    own: &Candidate,
) -> Result<Vec<Reading>, WorkError> {
    let known = work
        .context
        .store
        .records_by_keys(&work.sync.name, side, &own.keys)
        .await?;
    let ids: Vec<RecordId> = known
        .into_iter()
        .filter(|known| !(known.ignored || side == here.side && known.id == own.id))
        .map(|known| known.id)
        .take(SAME_KEY_MAX)
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(readings::read_all(work.sync, side, &ids)
        .await?
        .into_iter()
        .filter(usable(work, side))
        .collect())
}

pub(super) fn candidate(work: Work<'_>, reading: &Reading) -> Candidate {
    Candidate {
        id: reading.record.id.clone(),
        keys: match_keys(&work.sync.policy, &reading.fields),
    }
}

/// Asks the other system itself: its record may be too new to be in the index.
pub(super) async fn look_up(work: Work<'_>, here: &Here) -> Result<Vec<Reading>, WorkError> {
    let other = here.side.other();
    let end = work.sync.end(other);
    let mut found: Vec<Reading> = Vec::new();
    for names in &work.sync.policy.match_keys {
        // A key of several fields is found by its first; the engine compares the others.
        let Some(name) = names.first() else { continue };
        let Some(rule) = work
            .sync
            .policy
            .fields
            .iter()
            .find(|rule| rule.name == *name)
        else {
            continue;
        };
        let Some(value) = here
            .reading
            .fields
            .get(name)
            .filter(|value| !value.is_null())
        else {
            continue;
        };
        let lookup = Lookup::Field {
            name: rule.stream_field(other),
            value,
        };
        let records = end
            .connector
            .find(&end.stream, &lookup)
            .await?
            .unwrap_or_default();
        let records = records
            .into_iter()
            .map(|record| Reading::new(work.sync, other, record, None));
        found.extend(records.filter(usable(work, other)));
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

pub(super) fn usable(work: Work<'_>, side: Side) -> impl Fn(&Reading) -> bool {
    move |reading| !reading.record.archived && reading.takes_part(work.sync, side)
}
