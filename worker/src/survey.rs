//! The whole of both sides, matched. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use tandem_connectors::Listing;
use tandem_domain::{LinkId, RecordId, Side};
use tandem_engine::{Candidate, MatchKey, Matching, match_all, match_keys};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, RowError, Store, why_left_out};

use crate::failure::WorkError;
use crate::jobs::{counts_as_emptied, row_errors};
use crate::listing::Walk;
use crate::open_questions::{OpenQuestions, Question};
use crate::planned::{Answers, may_be_left};
use crate::readings::{ById, Reading};
use crate::whole::{Unlinked, complete, look_up_unlisted};

/// Links are read in pages of this size.
const LINKS_PAGE: usize = 1_000;

/// One side, listed whole.
#[derive(Debug, Default)]
pub struct Listed {
    /// The records that take part, by id.
    pub records: ById,
    /// The records that the filters leave out.
    pub filtered: BTreeMap<RecordId, LeftOutRecord>,
    /// What could not be read, and why.
    pub unreadable: Vec<RowError>,
    /// How many linked records the listing did not show.
    pub unlisted: usize,
    /// Those of them that were not read by their ids, because they are too many.
    pub unasked: BTreeSet<RecordId>,
}

/// A record that the sync's filters leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOutRecord {
    /// Why, in words.
    pub because: String,
    /// Its match keys, while it is in use: nothing is made beside it then.
    keys: Vec<MatchKey>,
}

impl LeftOutRecord {
    fn of(sync: &SyncDefinition, reading: &Reading) -> Self {
        let by = reading.filtered();
        Self {
            because: by.map_or_else(String::new, |by| why_left_out(&by.field, &by.value)),
            keys: match reading.record.archived {
                true => Vec::new(),
                false => match_keys(&sync.policy, &reading.fields),
            },
        }
    }
}

impl Listed {
    /// Adds a record that was read, where it belongs.
    pub(crate) fn add(&mut self, sync: &SyncDefinition, reading: Reading) {
        let id = reading.record.id.clone();
        if reading.may_take_part() {
            self.records.insert(id, reading.compact());
        } else {
            self.filtered.insert(id, LeftOutRecord::of(sync, &reading));
        }
    }

    /// The records in use that the filters leave out, by their match keys: beside one of them nothing is made for a record
    /// whose strongest key it has.
    pub(crate) fn left_out_likes(&self) -> BTreeMap<&MatchKey, &RecordId> {
        let each = self.filtered.iter();
        each.flat_map(|(id, left_out)| left_out.keys.iter().map(move |key| (key, id)))
            .collect()
    }

    /// Whether the listing showed the record, be it only as one that takes no part or cannot be read.
    pub(crate) fn shows(&self, id: &RecordId) -> bool {
        self.records.contains_key(id) || self.filtered.contains_key(id) || self.is_unreadable(id)
    }

    /// How many records of it are shown only in part.
    pub(crate) fn shown_in_part(&self) -> usize {
        let mut readings = self.records.values();
        let is_in_part =
            |reading: &&Reading| !reading.left_out.is_empty() || reading.hides_filtered();
        readings.by_ref().filter(is_in_part).count()
    }

    /// Whether there is nothing in it, so that nothing is known of the side.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.filtered.is_empty()
    }

    /// Whether the record is there and cannot be read.
    pub(crate) fn is_unreadable(&self, id: &RecordId) -> bool {
        let mut rows = self.unreadable.iter();
        rows.any(|row| row.record.as_ref() == Some(id))
    }
}

/// Both sides, listed and matched.
pub struct Survey {
    /// Side a.
    pub a: Listed,
    /// Side b.
    pub b: Listed,
    /// Links that were there before, by the record of side a.
    pub links: Vec<Link>,
    /// Those of them that a person said to leave alone.
    pub alone: BTreeSet<LinkId>,
    /// The matching of everything else.
    pub matching: Matching,
    /// What a person is asked.
    pub(crate) questions: OpenQuestions,
    /// What they have answered, and left different.
    pub(crate) answers: Answers,
    /// The pairs of which nothing is done before they have answered, whatever would be planned.
    pub(crate) held: BTreeMap<LinkId, Question>,
}

/// How far the listing of a side is, in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many, and there are more.
    Read(usize),
    /// All of them.
    Whole(usize),
}

/// Lists both sides, one page at a time, and matches what is not linked.
///
/// # Errors
/// [`WorkError`] when a side cannot be listed whole.
pub async fn survey(
    store: &dyn Store,
    sync: &SyncDefinition,
    progress: &(dyn Fn(Side, Progress) + Send + Sync),
) -> Result<Survey, WorkError> {
    let (mut a, mut b) =
        futures::try_join!(list(sync, Side::A, progress), list(sync, Side::B, progress))?;
    let links = all_links(store, sync).await?;
    futures::try_join!(
        look_closer(sync, Side::A, &mut a, &links),
        look_closer(sync, Side::B, &mut b, &links),
    )?;
    let matching = match_all(
        &unlinked(store, sync, Side::A, &a, &links).await?,
        &unlinked(store, sync, Side::B, &b, &links).await?,
    );
    let alone = left_alone(store, &links).await?;
    let answers = match links.iter().any(|link| may_be_left(sync, link)) {
        true => Answers::of(store, &sync.name).await?,
        false => Answers::default(),
    };
    let mut survey = Survey {
        answers,
        a,
        b,
        links,
        alone,
        matching,
        questions: OpenQuestions::of(store, &sync.name).await?,
        held: BTreeMap::new(),
    };
    survey.held = survey.held(store, sync).await?;
    Ok(survey)
}

impl Survey {
    /// The pairs that wait whatever would be planned for them.
    async fn held(
        &self,
        store: &dyn Store,
        sync: &SyncDefinition,
    ) -> Result<BTreeMap<LinkId, Question>, WorkError> {
        let mut held = BTreeMap::new();
        if is_emptied(&self.a, &self.links) || is_emptied(&self.b, &self.links) {
            // What is in no listing was not looked for.
            return Ok(held);
        }
        let active = self.links.iter();
        for link in active.filter(|link| link.state == LinkState::Active) {
            let listed = |side: Side| match side {
                Side::A => &self.a,
                Side::B => &self.b,
            };
            let mut records = link.records();
            let is_unknown = records.any(|(side, id)| {
                let listed = listed(side);
                listed.unasked.contains(id) || listed.is_unreadable(id)
            });
            let asked = match is_unknown {
                // A record that answers with another one cannot be read either.
                true => self.questions.merged(link.id),
                false => {
                    let readings = self.readings(link);
                    let questions = &self.questions;
                    questions.identity(store, sync, link, readings).await?
                }
            };
            held.extend(asked.map(|asked| (link.id, asked)));
        }
        Ok(held)
    }
}

/// Reads by their ids what the listing of a side shows only in part, or not at all. A side that lists nothing is taken
/// for broken, as a run takes it.
async fn look_closer(
    sync: &SyncDefinition,
    side: Side,
    listed: &mut Listed,
    links: &[Link],
) -> Result<(), WorkError> {
    complete(sync, side, listed, links, Unlinked::All).await?;
    if !is_emptied(listed, links) {
        look_up_unlisted(sync, side, listed, links).await?;
    }
    Ok(())
}

/// Whether a run would end here, because a side with links lists nothing.
pub(crate) fn is_emptied(listed: &Listed, links: &[Link]) -> bool {
    let active = links.iter().filter(|link| link.state == LinkState::Active);
    listed.is_empty() && counts_as_emptied(0, active.count() as u64)
}

/// Lists one side whole.
pub async fn list(
    sync: &SyncDefinition,
    side: Side,
    progress: &(dyn Fn(Side, Progress) + Send + Sync),
) -> Result<Listed, WorkError> {
    sync.end(side).connector.settle_clock().await;
    let mut listed = Listed::default();
    let mut walk = Walk::new(sync.end(side), Listing::All, None);
    while let Some(page) = walk.next().await? {
        listed.unreadable.extend(row_errors(side, page.unreadable));
        for record in page.records {
            listed.add(sync, Reading::new(sync, side, record, None));
        }
        progress(side, Progress::Read(listed.records.len()));
    }
    progress(side, Progress::Whole(listed.records.len()));
    Ok(listed)
}

/// All links of a sync, retired ones too.
pub async fn all_links(store: &dyn Store, sync: &SyncDefinition) -> Result<Vec<Link>, WorkError> {
    let mut links: Vec<Link> = Vec::new();
    loop {
        let after = links.last().map(|link| link.id);
        let page = store.links(&sync.name, after, LINKS_PAGE).await?;
        let full = page.len() == LINKS_PAGE;
        links.extend(page);
        if !full {
            return Ok(links);
        }
    }
}

/// Those of these links that a person said to leave alone.
pub async fn left_alone(store: &dyn Store, links: &[Link]) -> Result<BTreeSet<LinkId>, WorkError> {
    let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
    let mut alone = BTreeSet::new();
    for page in ids.chunks(LINKS_PAGE) {
        alone.extend(store.left_alone(page).await?);
    }
    Ok(alone)
}

/// The records of a side that no link names, nobody ignores, and that are in use.
async fn unlinked(
    store: &dyn Store,
    sync: &SyncDefinition,
    side: Side,
    listed: &Listed,
    links: &[Link],
) -> Result<Vec<Candidate>, WorkError> {
    let linked: std::collections::BTreeSet<&RecordId> = links
        .iter()
        .filter_map(|link| link.side(side).id.as_ref())
        .collect();
    let mut free = Vec::new();
    for (id, reading) in &listed.records {
        if !linked.contains(id) && !reading.record.archived {
            free.push(Candidate {
                id: id.clone(),
                keys: match_keys(&sync.policy, &reading.fields),
            });
        }
    }
    let keys: Vec<String> = free
        .iter()
        .flat_map(|one| one.keys.iter().map(ToString::to_string))
        .collect();
    let ignored: std::collections::BTreeSet<RecordId> = store
        .records_by_keys(&sync.name, side, &keys)
        .await?
        .into_iter()
        .filter(|known| known.ignored)
        .map(|known| known.id)
        .collect();
    free.retain(|one| !ignored.contains(&one.id));
    Ok(free)
}
