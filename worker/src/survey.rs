//! The whole of both sides, matched: what a first sync would do. Reads only.

use std::collections::BTreeMap;

use tandem_connectors::Listing;
use tandem_domain::{Fields, RecordId, Side};
use tandem_engine::{
    Candidate, FieldQuestion, Matching, Plan, Presence, Ruled, View, WriteOp, match_all,
    match_keys, plan,
};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, RowError, Store};

use crate::failure::WorkError;
use crate::jobs::row_errors;
use crate::listing::Walk;
use crate::readings::{ById, Reading};
use crate::whole::{Unlinked, complete};

/// Links are read in pages of this size.
const LINKS_PAGE: usize = 1_000;

/// One side, listed whole.
#[derive(Debug, Default)]
pub struct Listed {
    /// The records that take part, by id.
    pub records: ById,
    /// What could not be read, and why.
    pub unreadable: Vec<RowError>,
}

impl Listed {
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
    /// The matching of everything else.
    pub matching: Matching,
}

/// What a sync would do to one pair or record.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PreviewItem {
    /// The record on side a, if there is one.
    pub a: Option<RecordId>,
    /// The record on side b, if there is one.
    pub b: Option<RecordId>,
    /// `create`, `update`, `delete`, `ask`, `link` or `hold`.
    pub action: &'static str,
    /// The side that would be written, for writes.
    pub side: Option<Side>,
    /// The mapped fields that would be written.
    pub fields: Fields,
    /// Why, in words.
    pub reason: String,
}

/// What a sync would do, in numbers and item by item.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Preview {
    /// Records listed on side a.
    pub listed_a: usize,
    /// Records listed on side b.
    pub listed_b: usize,
    /// Pairs linked before.
    pub linked: usize,
    /// Pairs found by matching.
    pub matched: usize,
    /// Pairs (linked or matched) that hold the same values already.
    pub equal: usize,
    /// Records that would be created on side a.
    pub create_a: usize,
    /// Records that would be created on side b.
    pub create_b: usize,
    /// Records of side a that would be changed.
    pub update_a: usize,
    /// Records of side b that would be changed.
    pub update_b: usize,
    /// Records that would be deleted.
    pub delete: usize,
    /// Records held for an operator, because the match is not clear.
    pub held: usize,
    /// Fields that an operator would be asked about.
    pub questions: usize,
    /// Rows that could not be read.
    pub unreadable: usize,
    /// Every item, in order of the above.
    pub items: Vec<PreviewItem>,
}

/// Lists both sides, one page at a time, and matches what is not linked.
///
/// # Errors
/// [`WorkError`] when a side cannot be listed whole.
pub async fn survey(
    store: &dyn Store,
    sync: &SyncDefinition,
    progress: &(dyn Fn(Side, usize) + Send + Sync),
) -> Result<Survey, WorkError> {
    let (mut a, mut b) =
        futures::try_join!(list(sync, Side::A, progress), list(sync, Side::B, progress))?;
    let links = all_links(store, sync).await?;
    futures::try_join!(
        complete(sync, Side::A, &mut a, &links, Unlinked::All, usize::MAX),
        complete(sync, Side::B, &mut b, &links, Unlinked::All, usize::MAX),
    )?;
    let matching = match_all(
        &unlinked(store, sync, Side::A, &a, &links).await?,
        &unlinked(store, sync, Side::B, &b, &links).await?,
    );
    Ok(Survey {
        a,
        b,
        links,
        matching,
    })
}

/// Lists one side whole.
pub async fn list(
    sync: &SyncDefinition,
    side: Side,
    progress: &(dyn Fn(Side, usize) + Send + Sync),
) -> Result<Listed, WorkError> {
    let mut listed = Listed::default();
    let mut walk = Walk::new(sync.end(side), Listing::All, None);
    while let Some(page) = walk.next().await? {
        listed.unreadable.extend(row_errors(side, page.unreadable));
        for record in page.records {
            let reading = Reading::new(sync, side, record, None);
            if reading.may_take_part(sync, side) {
                let id = reading.record.id.clone();
                listed.records.insert(id, reading.compact());
            }
        }
        progress(side, listed.records.len());
    }
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

impl Survey {
    /// What carrying it out would do.
    #[must_use]
    pub fn preview(&self, sync: &SyncDefinition) -> Preview {
        let mut preview = Preview {
            listed_a: self.a.records.len(),
            listed_b: self.b.records.len(),
            unreadable: self.a.unreadable.len() + self.b.unreadable.len(),
            ..Preview::default()
        };
        for link in self
            .links
            .iter()
            .filter(|link| link.state == LinkState::Active)
        {
            preview.linked += 1;
            let planned = self.plan_link(sync, link);
            preview.add(&planned, link.a.id.as_ref(), link.b.id.as_ref());
        }
        let nothing = BTreeMap::new();
        for (a, b) in &self.matching.pairs {
            preview.matched += 1;
            let (here, there) = (presence(&self.a, a), presence(&self.b, b));
            let view = View {
                base: Some(&nothing),
                a: &here,
                b: &there,
                ruled: &Ruled::default(),
            };
            preview.add(&plan(&sync.policy, view), Some(a), Some(b));
        }
        self.preview_singles(sync, &mut preview);
        preview
    }

    fn plan_link(&self, sync: &SyncDefinition, link: &Link) -> Plan {
        let side = |listed: &Listed, id: Option<&RecordId>| {
            id.map_or(Presence::Gone(tandem_engine::Gone::Deleted), |id| {
                presence(listed, id)
            })
        };
        let (a, b) = (
            side(&self.a, link.a.id.as_ref()),
            side(&self.b, link.b.id.as_ref()),
        );
        plan(
            &sync.policy,
            View {
                base: Some(&link.base),
                a: &a,
                b: &b,
                ruled: &Ruled::default(),
            },
        )
    }

    fn preview_singles(&self, sync: &SyncDefinition, preview: &mut Preview) {
        for (side, ids, listed) in [
            (Side::A, &self.matching.only_a, &self.a),
            (Side::B, &self.matching.only_b, &self.b),
        ] {
            for id in ids {
                let (mut a, mut b) = (presence(listed, id), Presence::Never);
                if side == Side::B {
                    std::mem::swap(&mut a, &mut b);
                }
                let planned = plan(
                    &sync.policy,
                    View {
                        base: None,
                        a: &a,
                        b: &b,
                        ruled: &Ruled::default(),
                    },
                );
                let (a, b) = crate::executor::both(side, Some(id), None);
                preview.add(&planned, a, b);
            }
        }
        for unclear in &self.matching.ambiguous {
            preview.held += unclear.a.len() + unclear.b.len();
            preview.items.push(PreviewItem {
                a: unclear.a.first().cloned(),
                b: unclear.b.first().cloned(),
                action: "hold",
                side: None,
                fields: Fields::new(),
                reason: format!(
                    "{} records of side a and {} of side b share the key {}",
                    unclear.a.len(),
                    unclear.b.len(),
                    unclear.key
                ),
            });
        }
    }
}

/// A record of a whole listing; one that is not in it counts as gone.
fn presence(listed: &Listed, id: &RecordId) -> Presence {
    listed.records.get(id).map_or(
        Presence::Gone(tandem_engine::Gone::Deleted),
        Reading::presence,
    )
}

impl Preview {
    fn add(&mut self, planned: &Plan, a: Option<&RecordId>, b: Option<&RecordId>) {
        let both_here = a.is_some() && b.is_some();
        if planned.writes.is_empty() && planned.questions.is_empty() && both_here {
            self.equal += 1;
        }
        for write in &planned.writes {
            let (action, count) = match (write.op, write.side) {
                (WriteOp::Create, Side::A) => ("create", &mut self.create_a),
                (WriteOp::Create, Side::B) => ("create", &mut self.create_b),
                (WriteOp::Update, Side::A) => ("update", &mut self.update_a),
                (WriteOp::Update, Side::B) => ("update", &mut self.update_b),
                (WriteOp::Delete, _) => ("delete", &mut self.delete),
            };
            *count += 1;
            let reasons = planned
                .decisions
                .iter()
                .filter(|one| write.fields.contains_key(&one.field));
            let mut reasons: Vec<&str> = reasons.map(|one| one.reason.as_str()).collect();
            reasons.dedup();
            self.items.push(PreviewItem {
                a: a.cloned(),
                b: b.cloned(),
                action,
                side: Some(write.side),
                fields: write.fields.clone(),
                reason: reasons.join("; "),
            });
        }
        for asked in &planned.questions {
            self.questions += 1;
            self.items.push(ask(asked, a, b));
        }
    }
}

fn ask(asked: &FieldQuestion, a: Option<&RecordId>, b: Option<&RecordId>) -> PreviewItem {
    PreviewItem {
        a: a.cloned(),
        b: b.cloned(),
        action: "ask",
        side: None,
        fields: Fields::new(),
        reason: format!("{}: a has `{}`, b has `{}`", asked.field, asked.a, asked.b),
    }
}
