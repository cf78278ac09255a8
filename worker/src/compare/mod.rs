//! Compares both sides afresh and whole, and lists every difference. Reads only, believes no cache.
//!
//! The two listings are not of one moment, and a sync may be at work: what looks different or gone is read again
//! by its id, after a while, before it is reported (`again.rs`).

mod again;
mod names;
mod told;

pub use again::is_about_the_record;
pub use told::{About, Comparison, Difference};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_domain::{LinkId, RecordId, Side, Value};
use tandem_engine::{MatchKey, match_keys, same};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, Store};

use crate::asked::count_unclear;
use crate::failure::WorkError;
use crate::open_questions::Question;
use crate::planned::LeftBy;
use crate::readings::Reading;
use crate::survey::{Listed, Progress, all_links, left_alone, list};
use crate::whole::{Unlinked, complete};

/// Reads both sides whole and compares them. What differs is looked at again after each of `waits`.
///
/// # Errors
/// [`WorkError`] when a side cannot be listed whole.
pub async fn compare(
    store: &dyn Store,
    sync: &SyncDefinition,
    waits: &[Duration],
    progress: &(dyn Fn(Side, Progress) + Send + Sync),
) -> Result<Comparison, WorkError> {
    let (mut a, mut b) =
        futures::try_join!(list(sync, Side::A, progress), list(sync, Side::B, progress))?;
    let links = all_links(store, sync).await?;
    let listed = [a.records.len(), b.records.len()];
    let filtered = [a.filtered.len(), b.filtered.len()];
    futures::try_join!(
        complete(sync, Side::A, &mut a, &links, Unlinked::IfUnclear),
        complete(sync, Side::B, &mut b, &links, Unlinked::IfUnclear),
    )?;
    let alone = left_alone(store, &links).await?;
    let mut comparison = Comparison {
        records_a: listed[0],
        records_b: listed[1],
        filtered_a: filtered[0],
        filtered_b: filtered[1],
        left_alone: usize::try_from(store.left_alone_count(&sync.name).await?)
            .unwrap_or(usize::MAX),
        ..Comparison::default()
    };
    let compared: Vec<&Link> = links
        .iter()
        .filter(|link| !alone.contains(&link.id))
        .collect();
    let mut suspects = compare_links(sync, &compared, &a, &b, &mut comparison);
    for (side, listed, others) in [(Side::A, &a, &b), (Side::B, &b, &a)] {
        let likes = others.left_out_likes();
        let unlinked = Unpaired {
            side,
            listed,
            likes: &likes,
        };
        suspects.extend(find_unlinked(store, sync, unlinked, &links, &mut comparison).await?);
        let rows = listed.unreadable.iter().cloned();
        comparison
            .differences
            .extend(rows.map(|row| Difference::Unreadable {
                side,
                record: row.record,
                reason: row.reason,
            }));
    }
    let told = suspects.iter().flat_map(|suspect| &suspect.told);
    let told = told.chain(&comparison.differences);
    comparison.names = names::of(sync, told, [&a, &b], &links);
    drop((a, b));
    let known = again::KnownLinks::new(&links, alone);
    again::confirm(store, sync, suspects, known, waits, &mut comparison).await?;
    // Last, so that what was asked meanwhile counts.
    comparison.unclear = count_unclear(store, &sync.name).await?;
    Ok(comparison)
}

/// What looks different.
#[derive(Clone, Debug, PartialEq)]
struct Suspect {
    what: What,
    told: Vec<Difference>,
    /// Whether a pair turned out to rest, because the filters leave a record of it out.
    rests: bool,
    /// The open questions that what differs waits for.
    held: Vec<(About, Question)>,
    /// The answers by which what differs stays so.
    left: Vec<(About, LeftBy)>,
}

impl Suspect {
    const fn new(what: What, told: Vec<Difference>) -> Self {
        Self {
            what,
            told,
            rests: false,
            held: Vec::new(),
            left: Vec::new(),
        }
    }
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
    /// There, and the filters leave it out.
    Filtered,
    /// Not there.
    Missing,
    /// There, and it cannot be read: it is told as such.
    Unreadable,
}

impl<'a> Standing<'a> {
    fn of(reading: &'a Reading) -> Self {
        if !reading.may_take_part() {
            Self::Filtered
        } else if reading.counts_as_gone {
            Self::OutOfUse
        } else {
            Self::Here(reading)
        }
    }

    fn listed(listed: &'a Listed, id: &RecordId) -> Self {
        match listed.records.get(id) {
            Some(reading) => Self::of(reading),
            None if listed.filtered.contains_key(id) => Self::Filtered,
            None if listed.is_unreadable(id) => Self::Unreadable,
            None => Self::Missing,
        }
    }
}

fn compare_links(
    sync: &SyncDefinition,
    links: &[&Link],
    a: &Listed,
    b: &Listed,
    comparison: &mut Comparison,
) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    let named = in_active_links(links.iter().copied());
    for link in links {
        let (Some(a_id), Some(b_id)) = (&link.a.id, &link.b.id) else {
            continue;
        };
        let pair = (Standing::listed(a, a_id), Standing::listed(b, b_id));
        let superseded = link.state == LinkState::Retired
            && (named[0].contains(a_id) || named[1].contains(b_id));
        if link.state == LinkState::Active && rests(&pair) {
            comparison.filtered += 1;
            continue;
        }
        if link.state == LinkState::Active {
            comparison.count(&pair);
            comparison.count_left_out(&pair);
        }
        let told = differences(sync, link, &pair);
        if !superseded && !told.is_empty() {
            suspects.push(Suspect::new(What::Pair(link.id), told));
        }
    }
    suspects
}

/// Whether a pair rests, because the filters leave a record of it out.
const fn rests((a, b): &(Standing<'_>, Standing<'_>)) -> bool {
    matches!(a, Standing::Filtered) || matches!(b, Standing::Filtered)
}

/// The records that active links name, by side.
fn in_active_links<'a>(
    links: impl IntoIterator<Item = &'a Link> + Clone,
) -> [BTreeSet<&'a RecordId>; 2] {
    let active = || {
        let links = links.clone().into_iter();
        links.filter(|link| link.state == LinkState::Active)
    };
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
        // It rests: nothing is told of it, be the other record gone or not.
        (LinkState::Active, Standing::Filtered, _) | (LinkState::Active, _, Standing::Filtered) => {
            Vec::new()
        }
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
        Standing::Here(_) | Standing::Filtered | Standing::Unreadable => false,
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

/// Where records without a partner are looked for.
#[derive(Clone, Copy)]
struct Unpaired<'a> {
    side: Side,
    listed: &'a Listed,
    /// What the filters leave out of the other side.
    likes: &'a BTreeMap<&'a MatchKey, &'a RecordId>,
}

impl Unpaired<'_> {
    /// Whether the record rests beside its like of the other side, which the filters leave out: a run makes nothing for it.
    fn rests(&self, sync: &SyncDefinition, reading: &Reading) -> bool {
        let keys = match_keys(&sync.policy, &reading.fields);
        let mut strongest = keys.first().into_iter();
        strongest.any(|key| self.likes.contains_key(key))
    }
}

/// The records in use that no active link names. Those whose partner is gone, and those whose like is left out, are counted.
async fn find_unlinked(
    store: &dyn Store,
    sync: &SyncDefinition,
    unpaired: Unpaired<'_>,
    links: &[Link],
    comparison: &mut Comparison,
) -> Result<Vec<Suspect>, WorkError> {
    let Unpaired { side, listed, .. } = unpaired;
    let [in_a, in_b] = in_active_links(links);
    let (active, partners) = match side {
        Side::A => (&in_a, &in_b),
        Side::B => (&in_b, &in_a),
    };
    // Where another record of its own side has the partner by now, that one is not gone.
    let has_lost = |link: &&Link| {
        let partner = link.side(side.other()).id.as_ref();
        link.kept_apart || partner.is_none_or(|partner| !partners.contains(partner))
    };
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
        if store.pair(&sync.name, side, id).await?.ignored {
            // Counted already.
            continue;
        }
        if retired.get(id).is_some_and(has_lost) {
            comparison.count_retired(side);
        } else if sync.policy.creates.on(side.other()) {
            if unpaired.rests(sync, reading) {
                comparison.beside_left_out += 1;
                continue;
            }
            let told = vec![Difference::Unlinked {
                side,
                record: id.clone(),
            }];
            let what = What::Single(side, id.clone());
            suspects.push(Suspect::new(what, told));
        }
    }
    Ok(suspects)
}
