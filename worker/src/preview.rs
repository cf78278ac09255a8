//! What a sync would do, item by item: the dry run. It decides by the same functions as a run.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::line::line;
use tandem_domain::{Fields, RecordId, Side};
use tandem_engine::{
    Ambiguity, FieldQuestion, Gone, MatchKey, Plan, Presence, Ruled, View, WriteOp, match_keys,
    plan,
};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState};

use crate::asked::Question;
use crate::readings::Reading;
use crate::survey::{Listed, Survey, is_emptied};

/// What a sync would do to one pair or record.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PreviewItem {
    /// The record on side a, if there is one.
    pub a: Option<RecordId>,
    /// The record on side b, if there is one.
    pub b: Option<RecordId>,
    /// `create`, `update`, `delete`, `ask`, `link`, `hold`, or `rest` where the filters leave its like out.
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
    /// Records of side a that the filters leave out; they are not among those that are listed.
    pub left_out_a: usize,
    /// The same of side b.
    pub left_out_b: usize,
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
    /// Records and pairs for which nothing is written, because an open question about them waits for an answer.
    pub waiting: usize,
    /// Fields that an operator would be asked about.
    pub questions: usize,
    /// Rows that could not be read.
    pub unreadable: usize,
    /// Linked pairs that rest, because the filters leave a record out.
    pub filtered: usize,
    /// Records without a partner whose like on the other side the filters leave out: nothing is made for them.
    pub beside_left_out: usize,
    /// Linked pairs that are left alone, as a person said.
    pub left_alone: usize,
    /// Linked pairs of which nothing is planned, because a record of theirs is in no listing, and too many are not to
    /// read each by its id; or because it cannot be read.
    pub not_looked_at: usize,
    /// Records of which the listing shows only a part, and that are too many to read each by its id.
    pub in_part: usize,
    /// The sides that list nothing though they have linked records: a run would end there, and nothing is planned of them.
    pub emptied: Vec<Side>,
    /// Every item, in order of the above.
    pub items: Vec<PreviewItem>,
}

impl Survey {
    /// What carrying it out would do.
    #[must_use]
    pub fn preview(&self, sync: &SyncDefinition) -> Preview {
        let mut preview = Preview {
            listed_a: self.a.records.len(),
            listed_b: self.b.records.len(),
            left_out_a: self.a.filtered.len(),
            left_out_b: self.b.filtered.len(),
            unreadable: self.a.unreadable.len() + self.b.unreadable.len(),
            ..Preview::default()
        };
        preview.in_part = [&self.a, &self.b].map(Listed::shown_in_part).iter().sum();
        preview.emptied = self.emptied();
        let links = self.links.iter();
        for link in links.filter(|link| link.state == LinkState::Active) {
            preview.linked += 1;
            match self.standing(link) {
                Stands::LeftAlone => preview.left_alone += 1,
                Stands::Filtered => preview.filtered += 1,
                Stands::Unknown => preview.not_looked_at += 1,
                Stands::Seen => {
                    let planned = self.plan_link(sync, link);
                    let (a, b) = (link.a.id.as_ref(), link.b.id.as_ref());
                    match self.waiting.pair(link.id) {
                        Some(asked) if !planned.writes.is_empty() => preview.wait(asked, a, b),
                        _ => preview.add(&planned, a, b),
                    }
                }
            }
        }
        if !preview.emptied.is_empty() {
            return preview;
        }
        let nothing = BTreeMap::new();
        for (a, b) in &self.matching.pairs {
            preview.matched += 1;
            let asked = self.waiting.record(Side::A, a);
            if let Some(asked) = asked.or_else(|| self.waiting.record(Side::B, b)) {
                preview.wait(asked, Some(a), Some(b));
                continue;
            }
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

    fn emptied(&self) -> Vec<Side> {
        let sides = Side::BOTH.into_iter();
        sides
            .filter(|side| is_emptied(self.listed(*side), &self.links))
            .collect()
    }

    const fn listed(&self, side: Side) -> &Listed {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// How a pair stands. What the filters leave out rests, whatever the other record is.
    fn standing(&self, link: &Link) -> Stands {
        if self.alone.contains(&link.id) {
            return Stands::LeftAlone;
        }
        let any = |is: &dyn Fn(&Listed, &RecordId) -> bool| {
            link.records().any(|(side, id)| is(self.listed(side), id))
        };
        if any(&|listed, id| listed.filtered.contains_key(id)) {
            return Stands::Filtered;
        }
        let is_emptied = |listed: &Listed| is_emptied(listed, &self.links);
        if any(&|listed, id| listed.unasked.contains(id) || listed.is_unreadable(id))
            || Side::BOTH
                .into_iter()
                .any(|side| is_emptied(self.listed(side)))
        {
            return Stands::Unknown;
        }
        Stands::Seen
    }

    fn plan_link(&self, sync: &SyncDefinition, link: &Link) -> Plan {
        let side = |side: Side| {
            let id = link.side(side).id.as_ref();
            id.map_or(Presence::Gone(Gone::Deleted), |id| {
                presence(self.listed(side), id)
            })
        };
        let (a, b) = (side(Side::A), side(Side::B));
        let view = View {
            base: Some(&link.base),
            a: &a,
            b: &b,
            ruled: &Ruled::default(),
        };
        let hidden: BTreeSet<&String> = link
            .records()
            .filter_map(|(side, id)| self.listed(side).records.get(id))
            .flat_map(|reading| &reading.left_out)
            .collect();
        if hidden.is_empty() {
            return plan(&sync.policy, view);
        }
        // Of what no answer shows nothing is known: it is no edit.
        let mut policy = sync.policy.clone();
        policy.fields.retain(|rule| !hidden.contains(&rule.name));
        plan(&policy, view)
    }

    /// A question about a record of a group, if one is open.
    fn waiting_among(&self, unclear: &Ambiguity) -> Option<Question> {
        let of_side = |side: Side, ids: &[RecordId]| {
            let mut ids = ids.iter();
            ids.find_map(|id| self.waiting.record(side, id))
        };
        of_side(Side::A, &unclear.a).or_else(|| of_side(Side::B, &unclear.b))
    }

    fn preview_singles(&self, sync: &SyncDefinition, preview: &mut Preview) {
        for (side, ids, listed) in [
            (Side::A, &self.matching.only_a, &self.a),
            (Side::B, &self.matching.only_b, &self.b),
        ] {
            let likes = self.listed(side.other()).left_out_likes();
            for id in ids {
                if let Some(asked) = self.waiting.record(side, id) {
                    let (a, b) = crate::executor::both(side, Some(id), None);
                    preview.wait(asked, a, b);
                    continue;
                }
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
                let like = like(sync, listed, id, &likes).filter(|_| !planned.writes.is_empty());
                let (a, b) = crate::executor::both(side, Some(id), like);
                match like {
                    Some(like) => self.rest(preview, (side.other(), like), (a, b)),
                    None => preview.add(&planned, a, b),
                }
            }
        }
        for unclear in &self.matching.ambiguous {
            if let Some(asked) = self.waiting_among(unclear) {
                preview.wait(asked, unclear.a.first(), unclear.b.first());
                preview.waiting += unclear.a.len() + unclear.b.len() - 1;
                continue;
            }
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

    /// A run makes nothing beside a record that the filters leave out.
    fn rest(
        &self,
        preview: &mut Preview,
        (side, like): (Side, &RecordId),
        (a, b): (Option<&RecordId>, Option<&RecordId>),
    ) {
        let left_out = self.listed(side).filtered.get(like);
        let because = left_out.map_or("", |one| one.because.as_str());
        preview.beside_left_out += 1;
        preview.items.push(PreviewItem {
            a: a.cloned(),
            b: b.cloned(),
            action: "rest",
            side: None,
            fields: Fields::new(),
            reason: format!(
                "nothing is made: record {} of side {side} has the same key, and the sync's filters leave it out, because {because}",
                line(like.as_str())
            ),
        });
    }
}

/// The record of the other side that the filters leave out, and that has the strongest key of this one.
fn like<'a>(
    sync: &SyncDefinition,
    listed: &Listed,
    id: &RecordId,
    likes: &BTreeMap<&MatchKey, &'a RecordId>,
) -> Option<&'a RecordId> {
    let reading = listed.records.get(id)?;
    let keys = match_keys(&sync.policy, &reading.fields);
    likes.get(keys.first()?).copied()
}

/// A record of a whole listing. One that is not in it was looked for by its id, and is gone.
fn presence(listed: &Listed, id: &RecordId) -> Presence {
    let reading = listed.records.get(id);
    reading.map_or(Presence::Gone(Gone::Deleted), Reading::presence)
}

/// How a linked pair stands for a plan.
enum Stands {
    /// A person said to leave it alone.
    LeftAlone,
    /// The filters leave a record of it out.
    Filtered,
    /// Nobody knows.
    Unknown,
    /// Both records were looked at.
    Seen,
}

impl Preview {
    /// Nothing is done for a record or a pair before a person has answered.
    fn wait(&mut self, asked: Question, a: Option<&RecordId>, b: Option<&RecordId>) {
        self.waiting += 1;
        self.items.push(PreviewItem {
            a: a.cloned(),
            b: b.cloned(),
            action: "hold",
            side: None,
            fields: Fields::new(),
            reason: asked.to_string(),
        });
    }

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
