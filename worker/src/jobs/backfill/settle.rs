//! Matches what has no partner, by its keys alone, and says for each record what is next: a link, a job,
//! or a question.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{BaseValue, ConflictId, LinkId, RecordId, Side};
use tandem_engine::{Ambiguity, Ambiguous, Candidate, MatchKey, match_all, same};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    ConflictKind, NAMED_MAX, NewConflict, NewLink, Progress, Run, ShownRecord, SurveyedRecord,
};

use super::jobs::{CHUNK, Jobs};
use crate::asked::{ABOUT_PARTNERS, Asked, named};
use crate::failure::WorkError;

/// Keys are read in pages of this size.
const KEYS_PAGE: usize = 1_000;

pub async fn settle(
    jobs: &mut Jobs<'_>,
    run: &Run,
    progress: &mut Progress,
) -> Result<(), WorkError> {
    let matching = match_all(
        &candidates(jobs, run, Side::A).await?,
        &candidates(jobs, run, Side::B).await?,
    );
    let asked = Unclear::of(jobs).await?;
    let (unclear, clear): (Vec<_>, Vec<_>) = matching
        .pairs
        .into_iter()
        .partition(|(a, b)| asked.names(a, b));
    for pairs in clear.chunks(CHUNK) {
        link_pairs(jobs, run, pairs, progress).await?;
    }
    // What has a partner now, or had one that is missing, is not among these: the job of the record looks at all of its like.
    let again: Vec<RecordId> = unclear.into_iter().map(|(a, _)| a).collect();
    push_all(jobs, run, Side::A, &again).await?;
    for (side, ids) in [(Side::A, &matching.only_a), (Side::B, &matching.only_b)] {
        if jobs.sync.policy.creates.on(side.other()) {
            push_all(jobs, run, side, ids).await?;
        }
    }
    for unclear in &matching.ambiguous {
        settle_unclear(jobs, run, unclear, progress).await?;
    }
    jobs.flush().await
}

/// The records that open questions ask about or name, because several are alike.
struct Unclear(BTreeSet<(Side, RecordId)>);

impl Unclear {
    async fn of(jobs: &Jobs<'_>) -> Result<Self, WorkError> {
        let mut all = BTreeSet::new();
        for kind in ABOUT_PARTNERS {
            let mut pages = Asked::open(&jobs.sync.name, kind);
            while let Some(page) = pages.next(jobs.context.store.as_ref()).await? {
                for asked in page {
                    let others = named(&asked).into_iter();
                    all.extend(others.map(|(side, id)| (side, id.clone())));
                    all.insert((asked.side, asked.record));
                }
            }
        }
        Ok(Self(all))
    }

    fn names(&self, a: &RecordId, b: &RecordId) -> bool {
        [(Side::A, a), (Side::B, b)]
            .into_iter()
            .any(|(side, id)| self.0.contains(&(side, id.clone())))
    }
}

/// Ids and keys of the records of a side that have no partner.
async fn candidates(jobs: &Jobs<'_>, run: &Run, side: Side) -> Result<Vec<Candidate>, WorkError> {
    let store = &jobs.context.store;
    let mut candidates: Vec<Candidate> = Vec::new();
    loop {
        let after = candidates.last().map(|one| &one.id);
        let page = store.surveyed_keys(run, side, after, KEYS_PAGE).await?;
        let is_last = page.len() < KEYS_PAGE;
        candidates.extend(page.into_iter().map(|(id, keys)| {
            let keys = keys.iter();
            let keys = keys.filter_map(|key| MatchKey::parse(&jobs.sync.policy, key));
            let mut keys: Vec<MatchKey> = keys.collect();
            // Stored in the order of strength at that time.
            keys.sort();
            Candidate { id, keys }
        }));
        if is_last {
            return Ok(candidates);
        }
    }
}

/// In order, so that the same records make the same jobs in the same order.
type ById = BTreeMap<RecordId, SurveyedRecord>;

async fn read_back(
    jobs: &Jobs<'_>,
    run: &Run,
    side: Side,
    ids: &[RecordId],
) -> Result<ById, WorkError> {
    let records = jobs.context.store.surveyed(run, side, ids).await?;
    Ok(records
        .into_iter()
        .map(|record| (record.id.clone(), record))
        .collect())
}

async fn push_all(
    jobs: &mut Jobs<'_>,
    run: &Run,
    side: Side,
    ids: &[RecordId],
) -> Result<(), WorkError> {
    for ids in ids.chunks(CHUNK) {
        let let_be = jobs.let_be(side, ids).await?;
        let mut records = read_back(jobs, run, side, ids).await?;
        records.retain(|id, _| !let_be.contains(id));
        for (id, record) in records {
            jobs.push(side, id, record.edited_at).await?;
        }
    }
    Ok(())
}

/// Links clear pairs, with a base of the fields that are equal; the others get a job.
async fn link_pairs(
    jobs: &mut Jobs<'_>,
    run: &Run,
    pairs: &[(RecordId, RecordId)],
    progress: &mut Progress,
) -> Result<(), WorkError> {
    let (ids_a, ids_b): (Vec<RecordId>, Vec<RecordId>) = pairs.iter().cloned().unzip();
    let mut read_a = read_back(jobs, run, Side::A, &ids_a).await?;
    let mut read_b = read_back(jobs, run, Side::B, &ids_b).await?;
    let mut links = Vec::with_capacity(pairs.len());
    let mut differing = Vec::new();
    for (a, b) in pairs {
        let (Some(a), Some(b)) = (read_a.remove(a), read_b.remove(b)) else {
            continue;
        };
        let base = equal_fields(jobs.sync, &a, &b);
        if base.len() < jobs.sync.policy.fields.len() {
            differing.push((a.id.clone(), a.edited_at));
        }
        links.push(NewLink {
            id: LinkId::new(jobs.context.now(), jobs.context.entropy.as_ref()),
            sync: jobs.sync.name.clone(),
            a: a.state,
            b: b.state,
            base,
        });
    }
    progress.matched += links.len() as u64;
    // First, because nobody looks again at a pair that is linked: a process that dies in between would leave it as it is.
    // A job without its link makes the link itself.
    for (a, edited_at) in differing {
        jobs.push(Side::A, a, edited_at).await?;
    }
    jobs.flush().await?;
    let store = &jobs.context.store;
    store.insert_links(links, jobs.context.now()).await?;
    Ok(())
}

/// The fields that are equal. Of one that a listing leaves out nothing is known: the pair's job reads it.
fn equal_fields(
    sync: &SyncDefinition,
    a: &SurveyedRecord,
    b: &SurveyedRecord,
) -> BTreeMap<String, BaseValue> {
    let rules = sync.policy.fields.iter();
    let pairs = rules.filter_map(|rule| {
        let (a, b) = (a.fields.get(&rule.name)?, b.fields.get(&rule.name)?);
        Some((rule, a, b))
    });
    pairs
        .filter(|(rule, a, b)| same(rule.equality, a, b))
        .map(|(rule, a, b)| {
            let (a, b) = (a.clone(), b.clone());
            (rule.name.clone(), BaseValue { a, b })
        })
        .collect()
}

/// Asks about every record of an unclear group, or takes the first of each side, by policy.
async fn settle_unclear(
    jobs: &mut Jobs<'_>,
    run: &Run,
    unclear: &Ambiguity,
    progress: &mut Progress,
) -> Result<(), WorkError> {
    if jobs.sync.policy.ambiguous == Ambiguous::First {
        // One job a group: it links the first of each side, or makes a partner where a side has none.
        let first = unclear.a.first().map(|id| (Side::A, id));
        let first = first.or_else(|| unclear.b.first().map(|id| (Side::B, id)));
        if let Some((side, id)) = first {
            push_all(jobs, run, side, std::slice::from_ref(id)).await?;
        }
        return Ok(());
    }
    // One question a record of the side that has several; the lone partner is named in them.
    let (many_a, many_b) = (unclear.a.len() > 1, unclear.b.len() > 1);
    let heads = Heads {
        a: read_back(jobs, run, Side::A, head(&unclear.a)).await?,
        b: read_back(jobs, run, Side::B, head(&unclear.b)).await?,
    };
    for (side, asked) in [(Side::A, many_a || !many_b), (Side::B, many_b)] {
        if asked {
            progress.held += ask_all(jobs, run, unclear, side, &heads).await?;
        }
    }
    Ok(())
}

/// A question shows so many records at most.
const SHOWN_MAX: usize = NAMED_MAX;

/// The records that every question of a group can show.
struct Heads {
    a: ById,
    b: ById,
}

fn head(ids: &[RecordId]) -> &[RecordId] {
    ids.get(..=SHOWN_MAX).unwrap_or(ids)
}

/// Asks about every record of one side of an unclear group. Returns how many.
async fn ask_all(
    jobs: &Jobs<'_>,
    run: &Run,
    unclear: &Ambiguity,
    side: Side,
    heads: &Heads,
) -> Result<u64, WorkError> {
    let (own, others) = match side {
        Side::A => (&unclear.a, &unclear.b),
        Side::B => (&unclear.b, &unclear.a),
    };
    for ids in own.chunks(CHUNK) {
        let read = read_back(jobs, run, side, ids).await?;
        let ask = |id: &RecordId| NewConflict {
            id: ConflictId::new(jobs.context.now(), jobs.context.entropy.as_ref()),
            sync: jobs.sync.name.clone(),
            link: None,
            side,
            record: id.clone(),
            kind: ConflictKind::ambiguous(
                (others.iter(), others.len()),
                (
                    own.iter().filter(|other| *other != id),
                    own.len().saturating_sub(1),
                ),
                unclear.key.to_string(),
            ),
            shown: shown(side, read.get(id), heads, own, others),
        };
        let questions = ids.iter().map(ask).collect();
        let now = jobs.context.now();
        jobs.context.store.open_conflicts(questions, now).await?;
    }
    Ok(own.len() as u64)
}

/// The record itself, those that it may be the same as, and its rivals.
fn shown(
    side: Side,
    record: Option<&SurveyedRecord>,
    heads: &Heads,
    own: &[RecordId],
    others: &[RecordId],
) -> Vec<ShownRecord> {
    let (own_heads, other_heads) = match side {
        Side::A => (&heads.a, &heads.b),
        Side::B => (&heads.b, &heads.a),
    };
    let show = |(side, record): (Side, &SurveyedRecord)| ShownRecord {
        side,
        id: record.id.clone(),
        fields: record.fields.clone(),
    };
    let itself = record.map(|record| (side, record));
    let candidates = head(others).iter().filter_map(|id| other_heads.get(id));
    let rivals = head(own)
        .iter()
        .filter(|id| record.is_none_or(|record| record.id != **id))
        .filter_map(|id| own_heads.get(id));
    itself
        .into_iter()
        .chain(candidates.map(|one| (side.other(), one)))
        .chain(rivals.map(|one| (side, one)))
        .take(SHOWN_MAX)
        .map(show)
        .collect()
}
