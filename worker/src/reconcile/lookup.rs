//! Looks for the partner of a record: in the index, and in the other system itself.

use tandem_connectors::{ConnectorError, Lookup, RemoteRecord};
use tandem_domain::{Fields, RecordId, Side, Value, canonical, decomposed};
use tandem_engine::{
    Ambiguous, Candidate, MatchKey, Single, SyncPolicy, contradicts, match_keys, match_one,
    stored_as,
};
use tandem_store::{KnownRecord, LinkState, why_left_out};

use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::{self, Reading};

/// More records than this with the same key are not looked at one by one: it is unclear anyway.
pub(super) const SAME_KEY_MAX: usize = 20;

/// Records that share a key with another.
#[derive(Default)]
pub(super) struct SameKey {
    /// As they are now.
    pub(super) readings: Vec<Reading>,
    /// Those that the index names and that cannot be read: they are gone, or hidden for a moment.
    pub(super) missing: Vec<RecordId>,
    /// Those that the system's search shows in part and that it does not have under their ids. They are there, and they
    /// may share more keys than are seen, or none: nothing is made or linked before that is known.
    pub(super) in_part: Vec<RecordId>,
    /// Those with the strongest key that are in use and that the sync's filters leave out: they are no partners, and one more
    /// beside them would be a double.
    pub(super) left_out: Vec<LeftOutLike>,
    /// What the index named, all in all.
    pub(super) indexed: Indexed,
}

/// A record that the sync's filters leave out, and why, in words.
pub(super) struct LeftOutLike {
    pub(super) id: RecordId,
    pub(super) because: String,
}

impl LeftOutLike {
    /// A record in use that has the strongest key of another one, and that the sync's filters leave out.
    fn of(work: Work<'_>, own: &Candidate, reading: &Reading) -> Option<Self> {
        let strongest = own.keys.first()?;
        let by = reading.filtered()?;
        let is_whole = !reading.record.archived && !reading.record.in_part;
        (is_whole && has_key(work, reading, strongest)).then(|| Self {
            id: reading.record.id.clone(),
            because: why_left_out(&by.field, &by.value),
        })
    }
}

/// The records that share a key with another by the index.
#[derive(Default)]
pub(super) struct Indexed {
    pub(super) ids: Vec<RecordId>,
    /// Whether the index had that other one itself, with all the keys that it has now.
    pub(super) has_own: bool,
}

/// The records of a side that share a key with this one by the index, read afresh: the index may
/// still name one that is gone, or that has other keys by now.
pub(super) async fn known(
    work: Work<'_>,
    here: &Here,
    side: Side,
    own: &Candidate,
) -> Result<SameKey, WorkError> {
    let indexed = indexed(work, here, side, own).await?;
    if indexed.ids.is_empty() {
        return Ok(SameKey {
            indexed,
            ..SameKey::default()
        });
    }
    let ids = &indexed.ids;
    let found = readings::read_all(work.sync, side, ids).await?;
    let is_found = |id: &RecordId| found.iter().any(|reading| reading.record.id == *id);
    let left_out = found
        .iter()
        .filter_map(|like| LeftOutLike::of(work, own, like));
    Ok(SameKey {
        missing: ids.iter().filter(|id| !is_found(id)).cloned().collect(),
        left_out: left_out.collect(),
        readings: found.into_iter().filter(usable).collect(),
        in_part: Vec::new(),
        indexed,
    })
}

/// What the index knows of the records of a side that share a key with this one.
pub(super) async fn indexed(
    work: Work<'_>,
    here: &Here,
    side: Side,
    own: &Candidate,
) -> Result<Indexed, WorkError> {
    let keys: Vec<String> = own.keys.iter().cloned().map(String::from).collect();
    let known = work
        .context
        .store
        .records_by_keys(&work.sync.name, side, &stored_as(&keys))
        .await?;
    let is_own = |known: &KnownRecord| side == here.side && known.id == own.id;
    let mut of_own = known.iter().filter(|known| is_own(known));
    let has_own = of_own.any(|known| keys.iter().all(|key| known.keys.contains(key)));
    let others = known
        .into_iter()
        .filter(|known| !(known.ignored || is_own(known)));
    Ok(Indexed {
        ids: nearest(work, own, others.collect()),
        has_own,
    })
}

/// The records of the other side that a person said to leave alone, and that have the strongest key of this one. Where the
/// policy decides without a person nobody is asked.
pub(super) async fn left_alone_likes(
    work: Work<'_>,
    here: &Here,
    own: &Candidate,
) -> Result<Vec<Reading>, WorkError> {
    let Some(strongest) = own.keys.first() else {
        return Ok(Vec::new());
    };
    if work.sync.policy.ambiguous == Ambiguous::First {
        return Ok(Vec::new());
    }
    let side = here.side.other();
    let store = &work.context.store;
    let keys = stored_as(&[String::from(strongest.clone())]);
    let known = store.records_by_keys(&work.sync.name, side, &keys).await?;
    let ids: Vec<RecordId> = known
        .into_iter()
        .filter(|known| known.ignored)
        .map(|known| known.id)
        .take(SAME_KEY_MAX)
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut likes = readings::read_all(work.sync, side, &ids).await?;
    likes.retain(|like| usable(like) && has_key(work, like, strongest));
    Ok(likes)
}

/// The records that are looked at: those that by the index share the strongest keys, and before all others
/// those that no stronger key tells apart. A weak key, a city, may be shared by thousands.
fn nearest(work: Work<'_>, own: &Candidate, known: Vec<KnownRecord>) -> Vec<RecordId> {
    let indexed = |known: KnownRecord| Candidate {
        id: known.id,
        keys: known
            .keys
            .iter()
            .filter_map(|key| MatchKey::parse(&work.sync.policy, key))
            .collect(),
    };
    let mut near: Vec<Candidate> = known.into_iter().map(indexed).collect();
    near.sort_by_cached_key(|other| {
        let shared = own.keys.iter().find(|key| other.keys.contains(key));
        (
            contradicts(own, other),
            shared.map_or(usize::MAX, MatchKey::rank),
        )
    });
    near.into_iter()
        .map(|other| other.id)
        .take(SAME_KEY_MAX)
        .collect()
}

pub(super) fn candidate(work: Work<'_>, reading: &Reading) -> Candidate {
    Candidate {
        id: reading.record.id.clone(),
        keys: match_keys(&work.sync.policy, &reading.fields),
    }
}

/// The records of the other side that share a key with this one. Where the index has none for a key, the
/// system itself is asked: its record may be too new to be in the index. A record that shares a weaker key
/// only does not end the search for a stronger one.
pub(super) async fn others(
    work: Work<'_>,
    here: &Here,
    own: &Candidate,
) -> Result<SameKey, WorkError> {
    let side = here.side.other();
    let mut known = known(work, here, side, own).await?;
    let SameKey {
        readings: found,
        in_part,
        left_out,
        ..
    } = &mut known;
    for key in &own.keys {
        if found.iter().any(|reading| has_key(work, reading, key)) {
            break;
        }
        for record in find_by_key(work, side, key, &here.reading.fields).await? {
            let reading = Reading::new(work.sync, side, record, None);
            let id = &reading.record.id;
            if left_out.iter().all(|like| like.id != *id) {
                left_out.extend(LeftOutLike::of(work, own, &reading));
            }
            let is_new = !in_part.contains(id) && found.iter().all(|one| one.record.id != *id);
            // Systems find by one field, and some find more than was asked for.
            let is_same = if reading.record.in_part {
                may_be_same(work, own, &reading, key)
            } else {
                has_key(work, &reading, key) && usable(&reading)
            };
            // The index leaves out what a person said to leave alone; the system does not know of that.
            if !is_new || !is_same || standing(work, side, id).await?.is_left_alone {
                continue;
            }
            if reading.record.in_part {
                in_part.push(id.clone());
            } else {
                found.push(reading);
            }
        }
    }
    Ok(known)
}

/// How a record stands with others.
pub(super) struct Standing {
    /// A person said to leave it alone.
    pub(super) is_left_alone: bool,
    /// It has a partner.
    pub(super) is_linked: bool,
}

impl Standing {
    /// Whether it can become somebody's partner.
    pub(super) const fn is_free(&self) -> bool {
        !self.is_left_alone && !self.is_linked
    }
}

pub(super) async fn standing(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Standing, WorkError> {
    let store = &work.context.store;
    let pair = store.pair(&work.sync.name, side, record).await?;
    let link = pair.link;
    Ok(Standing {
        is_left_alone: pair.ignored,
        is_linked: link.is_some_and(|link| link.state == LinkState::Active),
    })
}

/// Which of these records is the same as this one, which has these rivals on its own side.
pub(super) fn matched(
    work: Work<'_>,
    own: &Candidate,
    others: &[Reading],
    rivals: &[Reading],
) -> Single {
    let candidates = |readings: &[Reading]| -> Vec<Candidate> {
        let each = readings.iter().map(|reading| candidate(work, reading));
        each.collect()
    };
    match_one(own, &candidates(others), &candidates(rivals))
}

fn has_key(work: Work<'_>, reading: &Reading, key: &MatchKey) -> bool {
    candidate(work, reading).keys.contains(key)
}

/// Whether a record of which only a part is shown may be the same, as far as is seen.
fn may_be_same(work: Work<'_>, own: &Candidate, reading: &Reading, key: &MatchKey) -> bool {
    !reading.record.archived
        && reading.may_take_part()
        && may_have_key(&work.sync.policy, reading, key)
        && !contradicts(own, &candidate(work, reading))
}

/// Whether it has the key, or says nothing of a field of it.
pub(super) fn may_have_key(policy: &SyncPolicy, reading: &Reading, key: &MatchKey) -> bool {
    let names = policy.match_keys.get(key.rank());
    let is_hidden = |name: &String| reading.left_out.contains(name);
    names.is_some_and(|names| names.iter().any(is_hidden))
        || match_keys(policy, &reading.fields).contains(key)
}

/// Asks a system for the records that may have a key: by the first of its fields that the system can be
/// searched by. What is found may differ in the others.
pub(super) async fn find_by_key(
    work: Work<'_>,
    side: Side,
    key: &MatchKey,
    fields: &Fields,
) -> Result<Vec<RemoteRecord>, ConnectorError> {
    let end = work.sync.end(side);
    let policy = &work.sync.policy;
    let names = policy.match_keys.get(key.rank());
    for name in names.into_iter().flatten() {
        let rule = policy.rule(name);
        let (Some(rule), Some(value)) = (rule, fields.get(name)) else {
            continue;
        };
        let name = rule.stream_field(side);
        let lookup = Lookup::Field { name, value };
        let Some(records) = end.connector.find(&end.stream, &lookup).await? else {
            continue;
        };
        if !records.is_empty() {
            return Ok(records);
        }
        for value in &otherwise_written(value) {
            let lookup = Lookup::Field { name, value };
            let found = end.connector.find(&end.stream, &lookup).await?;
            if let Some(records) = found.filter(|records| !records.is_empty()) {
                return Ok(records);
            }
        }
        return Ok(Vec::new());
    }
    Ok(Vec::new())
}

/// A value as a system may keep it that has one form for each text, or takes accents apart. Many a search compares bytes.
fn otherwise_written(value: &Value) -> Vec<Value> {
    let Value::Text(text) = value else {
        return Vec::new();
    };
    let joined = canonical(text).into_owned();
    let mut forms = vec![joined.clone()];
    forms.extend(decomposed(text).filter(|apart| *apart != joined));
    forms.retain(|form| form != text);
    forms.into_iter().map(Value::Text).collect()
}

fn usable(reading: &Reading) -> bool {
    !reading.record.archived && reading.takes_part()
}
