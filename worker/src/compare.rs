//! Compares both sides afresh and whole, and lists every difference. Reads only, believes no cache.

use std::collections::BTreeSet;

use tandem_domain::{RecordId, Side, Value};
use tandem_engine::same;
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, Store};

use crate::failure::WorkError;
use crate::readings::Reading;
use crate::survey::{Listed, all_links, list};

/// One difference between both sides.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// A mapped field differs.
    Field {
        /// The record on side a.
        a: RecordId,
        /// The record on side b.
        b: RecordId,
        /// The mapped field.
        field: String,
        /// Its value on side a.
        value_a: Value,
        /// Its value on side b.
        value_b: Value,
    },
    /// A linked record is not there.
    Missing {
        /// The side on which it is missing.
        side: Side,
        /// The record.
        record: RecordId,
    },
    /// A record has no partner.
    Unlinked {
        /// Its side.
        side: Side,
        /// The record.
        record: RecordId,
    },
    /// A row could not be read.
    Unreadable {
        /// Its side.
        side: Side,
        /// Why.
        reason: String,
    },
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Records read on side a.
    pub records_a: usize,
    /// Records read on side b.
    pub records_b: usize,
    /// Linked pairs compared.
    pub pairs: usize,
    /// Records that an operator said to leave alone, or whose link is retired.
    pub left_alone: usize,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Reads both sides whole and compares them.
///
/// # Errors
/// [`WorkError`] when a side cannot be listed whole.
pub async fn compare(
    store: &dyn Store,
    sync: &SyncDefinition,
    progress: &(dyn Fn(Side, usize) + Send + Sync),
) -> Result<Comparison, WorkError> {
    let (a, b) = futures::try_join!(list(sync, Side::A, progress), list(sync, Side::B, progress))?;
    let links = all_links(store, sync).await?;
    let mut comparison = Comparison {
        records_a: a.records.len(),
        records_b: b.records.len(),
        ..Comparison::default()
    };
    for link in links.iter().filter(|link| link.state == LinkState::Active) {
        comparison.pairs += 1;
        compare_pair(sync, link, &a, &b, &mut comparison.differences);
    }
    for (side, listed) in [(Side::A, &a), (Side::B, &b)] {
        let rows = listed.unreadable.iter().cloned();
        comparison
            .differences
            .extend(rows.map(|reason| Difference::Unreadable { side, reason }));
        find_unlinked(store, sync, side, listed, &links, &mut comparison).await?;
    }
    Ok(comparison)
}

fn compare_pair(
    sync: &SyncDefinition,
    link: &Link,
    a: &Listed,
    b: &Listed,
    found: &mut Vec<Difference>,
) {
    let (Some(a_id), Some(b_id)) = (&link.a.id, &link.b.id) else {
        return;
    };
    let here = a
        .records
        .get(a_id)
        .filter(|reading| !reading.counts_as_gone);
    let there = b
        .records
        .get(b_id)
        .filter(|reading| !reading.counts_as_gone);
    match (here, there) {
        (None, None) => {}
        (None, Some(_)) => found.push(Difference::Missing {
            side: Side::A,
            record: a_id.clone(),
        }),
        (Some(_), None) => found.push(Difference::Missing {
            side: Side::B,
            record: b_id.clone(),
        }),
        (Some(here), Some(there)) => {
            for rule in &sync.policy.fields {
                let value =
                    |reading: &Reading| reading.fields.get(&rule.name).cloned().unwrap_or_default();
                let (value_a, value_b) = (value(here), value(there));
                if !same(rule.equality, &value_a, &value_b) {
                    let (a, b, field) = (a_id.clone(), b_id.clone(), rule.name.clone());
                    found.push(Difference::Field {
                        a,
                        b,
                        field,
                        value_a,
                        value_b,
                    });
                }
            }
        }
    }
}

async fn find_unlinked(
    store: &dyn Store,
    sync: &SyncDefinition,
    side: Side,
    listed: &Listed,
    links: &[Link],
    comparison: &mut Comparison,
) -> Result<(), WorkError> {
    let named = |state: LinkState| -> BTreeSet<&RecordId> {
        links
            .iter()
            .filter(|link| link.state == state)
            .filter_map(|link| link.side(side).id.as_ref())
            .collect()
    };
    let (active, retired) = (named(LinkState::Active), named(LinkState::Retired));
    for (id, reading) in &listed.records {
        if active.contains(id) || reading.record.archived {
            continue;
        }
        if retired.contains(id) || store.pair(&sync.name, side, id).await?.ignored {
            comparison.left_alone += 1;
        } else if sync.policy.creates.on(side.other()) {
            comparison.differences.push(Difference::Unlinked {
                side,
                record: id.clone(),
            });
        }
    }
    Ok(())
}
