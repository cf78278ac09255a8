//! Compares both sides afresh and whole, and lists every difference. Reads only, believes no cache.
//!
//! The two listings are not of one moment, and a sync may be at work: what looks different or gone is read again
//! by its id, after a while, before it is reported (`again.rs`).

mod again;

pub use again::is_about_the_record;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_domain::{LinkId, RecordId, Side, Value};
use tandem_engine::same;
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, Store};

use crate::failure::WorkError;
use crate::readings::Reading;
use crate::survey::{Listed, all_links, list};
use crate::whole::{Unlinked, complete};

/// Of each side so many records are read by their ids because the listing leaves out some of their fields.
const WHOLE_MAX: usize = 1_000;

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
    /// Both records of a retired link are in use and differ: they are not held equal any more.
    Apart {
        /// The record on side a.
        a: RecordId,
        /// The record on side b.
        b: RecordId,
        /// The mapped fields that differ.
        fields: Vec<String>,
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
        /// The record, if at least its id could be read.
        record: Option<RecordId>,
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
    /// Linked records that the listing of side a did not show; each was read by its id.
    pub unlisted_a: usize,
    /// The same of side b.
    pub unlisted_b: usize,
    /// Records of side a in use that are not held equal with anything: an operator said so, or their link is
    /// retired.
    pub left_alone_a: usize,
    /// The same of side b.
    pub left_alone_b: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Pairs of which a field was not compared, because a listing leaves it out and there are too many to read each
    /// by its id.
    pub in_part: usize,
    /// Those fields, by the side whose listing leaves them out.
    pub left_out: BTreeSet<(Side, String)>,
    /// Differences that were not looked at a second time, because there are so many.
    pub seen_once: usize,
}

impl Comparison {
    /// Records of both sides that are left alone.
    #[must_use]
    pub const fn left_alone(&self) -> usize {
        self.left_alone_a + self.left_alone_b
    }

    /// Linked records that the listing of a side did not show.
    #[must_use]
    pub const fn unlisted(&self, side: Side) -> usize {
        match side {
            Side::A => self.unlisted_a,
            Side::B => self.unlisted_b,
        }
    }

    /// Whether a side listed nothing at all although it has linked records. Whoever may not see records often gets
    /// an empty list, so nothing is known of that side then, whatever its single records answer.
    #[must_use]
    pub const fn is_blind(&self, side: Side) -> bool {
        let listed = match side {
            Side::A => self.records_a,
            Side::B => self.records_b,
        };
        listed == 0 && self.unlisted(side) > 0
    }

    /// Whether both sides could be seen, and every field of every pair, so that there is an answer.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.is_blind(Side::A) && !self.is_blind(Side::B) && self.in_part == 0
    }

    fn count(&mut self, (a, b): &(Standing<'_>, Standing<'_>)) {
        self.pairs += 1;
        self.unlisted_a += usize::from(matches!(a, Standing::Missing));
        self.unlisted_b += usize::from(matches!(b, Standing::Missing));
    }

    /// Counts a pair of which something is left out.
    fn count_left_out(&mut self, (a, b): &(Standing<'_>, Standing<'_>)) {
        let (Standing::Here(a), Standing::Here(b)) = (a, b) else {
            return;
        };
        for (side, reading) in [(Side::A, a), (Side::B, b)] {
            let names = reading.left_out.iter().cloned();
            self.left_out.extend(names.map(|name| (side, name)));
        }
        self.in_part += usize::from(!(a.left_out.is_empty() && b.left_out.is_empty()));
    }

    const fn leave_alone(&mut self, side: Side) {
        match side {
            Side::A => self.left_alone_a += 1,
            Side::B => self.left_alone_b += 1,
        }
    }
}

/// Reads both sides whole and compares them. What differs is looked at again after each of `waits`.
///
/// # Errors
/// [`WorkError`] when a side cannot be listed whole.
pub async fn compare(
    store: &dyn Store,
    sync: &SyncDefinition,
    waits: &[Duration],
    progress: &(dyn Fn(Side, usize) + Send + Sync),
) -> Result<Comparison, WorkError> {
    let (mut a, mut b) =
        futures::try_join!(list(sync, Side::A, progress), list(sync, Side::B, progress))?;
    let links = all_links(store, sync).await?;
    let listed = [a.records.len(), b.records.len()];
    futures::try_join!(
        complete(
            sync,
            Side::A,
            &mut a,
            &links,
            Unlinked::IfUnclear,
            WHOLE_MAX
        ),
        complete(
            sync,
            Side::B,
            &mut b,
            &links,
            Unlinked::IfUnclear,
            WHOLE_MAX
        ),
    )?;
    let mut comparison = Comparison {
        records_a: listed[0],
        records_b: listed[1],
        ..Comparison::default()
    };
    let mut suspects = compare_links(sync, &links, &a, &b, &mut comparison);
    for (side, listed) in [(Side::A, &a), (Side::B, &b)] {
        suspects.extend(find_unlinked(store, sync, side, listed, &links, &mut comparison).await?);
        let rows = listed.unreadable.iter().cloned();
        comparison
            .differences
            .extend(rows.map(|row| Difference::Unreadable {
                side,
                record: row.record,
                reason: row.reason,
            }));
    }
    drop((a, b, links));
    again::confirm(store, sync, suspects, waits, &mut comparison).await?;
    Ok(comparison)
}

/// What looks different.
#[derive(Clone, Debug, PartialEq)]
struct Suspect {
    what: What,
    told: Vec<Difference>,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// A pair.
    Pair(LinkId),
    /// A record without a partner.
    Single(Side, RecordId),
}

/// How one record of a pair stands.
#[derive(Clone, Debug)]
enum Standing<'a> {
    /// In use, with these values.
    Here(&'a Reading),
    /// Archived, and that counts as gone.
    OutOfUse,
    /// Not there.
    Missing,
    /// There, and it cannot be read: it is told as such.
    Unreadable,
}

impl<'a> Standing<'a> {
    fn of(reading: &'a Reading) -> Self {
        if reading.counts_as_gone {
            Self::OutOfUse
        } else {
            Self::Here(reading)
        }
    }

    fn listed(listed: &'a Listed, id: &RecordId) -> Self {
        match listed.records.get(id) {
            Some(reading) => Self::of(reading),
            None if listed.is_unreadable(id) => Self::Unreadable,
            None => Self::Missing,
        }
    }
}

fn compare_links(
    sync: &SyncDefinition,
    links: &[Link],
    a: &Listed,
    b: &Listed,
    comparison: &mut Comparison,
) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    let named = in_active_links(links);
    for link in links {
        let (Some(a_id), Some(b_id)) = (&link.a.id, &link.b.id) else {
            continue;
        };
        let pair = (Standing::listed(a, a_id), Standing::listed(b, b_id));
        let superseded = link.state == LinkState::Retired
            && (named[0].contains(a_id) || named[1].contains(b_id));
        if link.state == LinkState::Active {
            comparison.count(&pair);
            comparison.count_left_out(&pair);
        }
        let told = differences(sync, link, &pair);
        if !superseded && !told.is_empty() {
            let what = What::Pair(link.id);
            suspects.push(Suspect { what, told });
        }
    }
    suspects
}

/// The records that active links name, by side.
fn in_active_links(links: &[Link]) -> [BTreeSet<&RecordId>; 2] {
    let active = || links.iter().filter(|link| link.state == LinkState::Active);
    Side::BOTH.map(|side| {
        active()
            .filter_map(|link| link.side(side).id.as_ref())
            .collect()
    })
}

/// What differs between the records of a link.
fn differences(
    sync: &SyncDefinition,
    link: &Link,
    (a, b): &(Standing<'_>, Standing<'_>),
) -> Vec<Difference> {
    let (Some(a_id), Some(b_id)) = (&link.a.id, &link.b.id) else {
        return Vec::new();
    };
    match (link.state, a, b) {
        (LinkState::Active, Standing::Here(here), Standing::Here(there)) => {
            let field = |(field, value_a, value_b): (&str, Value, Value)| Difference::Field {
                a: a_id.clone(),
                b: b_id.clone(),
                field: field.to_owned(),
                value_a,
                value_b,
            };
            differing(sync, here, there)
                .into_iter()
                .map(field)
                .collect()
        }
        (LinkState::Retired, Standing::Here(here), Standing::Here(there)) if !link.kept_apart => {
            let fields = differing(sync, here, there).into_iter();
            let fields: Vec<String> = fields.map(|(name, ..)| name.to_owned()).collect();
            if fields.is_empty() {
                return Vec::new();
            }
            vec![Difference::Apart {
                a: a_id.clone(),
                b: b_id.clone(),
                fields,
            }]
        }
        (LinkState::Retired, _, _) => Vec::new(),
        (LinkState::Active, a, b) => missing(a, b)
            .into_iter()
            .map(|side| {
                let record = if side == Side::A { a_id } else { b_id };
                Difference::Missing {
                    side,
                    record: record.clone(),
                }
            })
            .collect(),
    }
}

/// The sides on which a linked record is missed. One that is out of use is missed if its partner is not.
fn missing(a: &Standing<'_>, b: &Standing<'_>) -> Vec<Side> {
    let is_missed = |own: &Standing<'_>, other: &Standing<'_>| match own {
        Standing::Missing => true,
        Standing::OutOfUse => matches!(other, Standing::Here(_)),
        Standing::Here(_) | Standing::Unreadable => false,
    };
    let sides = [(Side::A, is_missed(a, b)), (Side::B, is_missed(b, a))];
    sides
        .into_iter()
        .filter_map(|(side, missed)| missed.then_some(side))
        .collect()
}

/// The mapped fields that differ, with both values. Of those that a listing leaves out nothing is known.
fn differing<'s>(
    sync: &'s SyncDefinition,
    here: &Reading,
    there: &Reading,
) -> Vec<(&'s str, Value, Value)> {
    let value = |reading: &Reading, name: &str| {
        let value = reading.fields.get(name);
        value.cloned().unwrap_or_default()
    };
    let is_known = |name: &str| !here.left_out.contains(name) && !there.left_out.contains(name);
    let rules = sync.policy.fields.iter();
    rules
        .filter(|rule| is_known(&rule.name))
        .map(|rule| {
            let (a, b) = (value(here, &rule.name), value(there, &rule.name));
            (rule, a, b)
        })
        .filter(|(rule, a, b)| !same(rule.equality, a, b))
        .map(|(rule, a, b)| (rule.name.as_str(), a, b))
        .collect()
}

/// The records in use that no active link names. Those that are left alone are counted.
async fn find_unlinked(
    store: &dyn Store,
    sync: &SyncDefinition,
    side: Side,
    listed: &Listed,
    links: &[Link],
    comparison: &mut Comparison,
) -> Result<Vec<Suspect>, WorkError> {
    let active = &in_active_links(links)[usize::from(side == Side::B)];
    let retired: BTreeMap<&RecordId, &Link> = links
        .iter()
        .filter(|link| link.state == LinkState::Retired)
        .filter_map(|link| Some((link.side(side).id.as_ref()?, link)))
        .collect();
    let mut suspects = Vec::new();
    for (id, reading) in &listed.records {
        if active.contains(id) || reading.record.archived {
            continue;
        }
        if retired.contains_key(id) || store.pair(&sync.name, side, id).await?.ignored {
            comparison.leave_alone(side);
        } else if sync.policy.creates.on(side.other()) {
            let told = vec![Difference::Unlinked {
                side,
                record: id.clone(),
            }];
            let what = What::Single(side, id.clone());
            suspects.push(Suspect { what, told });
        }
    }
    Ok(suspects)
}
