//! What a sync would do, item by item: the dry run. It decides by the same functions as a run.

mod told;

pub use told::{Preview, PreviewItem};

use std::collections::BTreeMap;

use tandem_domain::line::line;
use tandem_domain::{RecordId, Side};
use tandem_engine::{Ambiguity, Gone, MatchKey, Presence, Ruled, View, WriteOp, match_keys, plan};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState};

use self::told::{Ids, item};
use crate::open_questions::{HeldFields, Question};
use crate::planned::PlannedPair;
use crate::readings::Reading;
use crate::survey::{Listed, Survey, is_emptied};

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
            let ids = (link.a.id.as_ref(), link.b.id.as_ref());
            match self.standing(link) {
                Stands::LeftAlone => preview.left_alone += 1,
                Stands::Filtered => preview.filtered += 1,
                Stands::Held(asked) => preview.wait(asked, ids),
                Stands::Unknown => preview.not_looked_at += 1,
                Stands::Seen => self.preview_link(sync, link, &mut preview),
            }
        }
        if !preview.emptied.is_empty() {
            return preview;
        }
        let nothing = BTreeMap::new();
        for (a, b) in &self.matching.pairs {
            preview.matched += 1;
            let asked = self.questions.record(Side::A, a);
            if let Some(asked) = asked.or_else(|| self.questions.record(Side::B, b)) {
                preview.wait(asked, (Some(a), Some(b)));
                continue;
            }
            let (here, there) = (presence(&self.a, a), presence(&self.b, b));
            let view = View {
                base: Some(&nothing),
                a: &here,
                b: &there,
                ruled: &Ruled::default(),
            };
            let planned = plan(&sync.policy, view);
            preview.add(&planned, &HeldFields::new(), (Some(a), Some(b)), false);
        }
        self.preview_retired(&mut preview);
        self.preview_singles(sync, &mut preview);
        self.preview_groups(&mut preview);
        preview
    }

    /// What is left of pairs that have ended, where a person is asked about it.
    fn preview_retired(&self, preview: &mut Preview) {
        let links = self.links.iter();
        let retired = links.filter(|link| link.state == LinkState::Retired);
        for (side, id) in retired.flat_map(Link::records) {
            let here = self.listed(side).records.get(id);
            let is_here = here.is_some_and(|here| !here.record.archived);
            if let Some(asked) = self.questions.record(side, id).filter(|_| is_here) {
                preview.wait(asked, both(side, id));
            }
        }
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
        if let Some(asked) = self.held.get(&link.id) {
            return Stands::Held(*asked);
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

    fn preview_link(&self, sync: &SyncDefinition, link: &Link, preview: &mut Preview) {
        let readings = self.readings(link);
        let pair = PlannedPair::of(&self.questions, sync, link, readings);
        let planned = &pair.planned;
        let [a, b] = &pair.sides;
        let ids = (link.a.id.as_ref(), link.b.id.as_ref());
        if let Some(asked) = self.questions.pair(link, planned, [a, b]) {
            preview.wait(asked, ids);
            return;
        }
        let of_fields = self.questions.fields(sync, link.id, planned, [a, b]);
        let mut held = pair.emptied.clone();
        held.extend(of_fields);
        let left = pair.left(sync, readings);
        let left = left.iter().filter(|(field, _)| !held.contains_key(*field));
        for (field, [a, b]) in left.clone() {
            let by = self.answers.get(link, field);
            let why = by.map_or_else(
                || "nothing has changed it since the two sides last agreed".to_owned(),
                ToString::to_string,
            );
            preview.leave(
                ids,
                format!("{field}: a has `{a}`, b has `{b}`; it {why}"),
                by.map(|by| by.question),
            );
        }
        preview.add(planned, &held, ids, left.count() > 0);
    }

    /// The records of a pair, as far as they are there.
    pub(crate) fn readings(&self, link: &Link) -> [Option<&Reading>; 2] {
        Side::BOTH.map(|side| self.listed(side).records.get(link.side(side).id.as_ref()?))
    }

    /// A question about a record of a group, if one is open.
    fn waiting_among(&self, unclear: &Ambiguity) -> Option<Question> {
        let of_side = |side: Side, ids: &[RecordId]| {
            let mut ids = ids.iter();
            ids.find_map(|id| self.questions.record(side, id))
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
                if let Some(asked) = self.questions.record(side, id) {
                    preview.wait(asked, both(side, id));
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
                let is_made = planned.writes.iter().any(|it| it.op == WriteOp::Create);
                let asked = self.questions.create(side.other()).filter(|_| is_made);
                match (like, asked) {
                    (Some(like), _) => {
                        let ids = crate::executor::both(side, Some(id), Some(like));
                        self.rest(preview, (side.other(), like), ids);
                    }
                    (None, Some(asked)) => preview.wait(asked, both(side, id)),
                    (None, None) => {
                        preview.add(&planned, &HeldFields::new(), both(side, id), false);
                    }
                }
            }
        }
    }

    /// Records of which more than two have one key: a person is asked about each of them.
    fn preview_groups(&self, preview: &mut Preview) {
        for unclear in &self.matching.ambiguous {
            let of_group = self.waiting_among(unclear);
            let why = format!(
                "{} records of side a and {} of side b share the key {}",
                unclear.a.len(),
                unclear.b.len(),
                unclear.key
            );
            for (side, ids) in [(Side::A, &unclear.a), (Side::B, &unclear.b)] {
                for id in ids {
                    match self.questions.record(side, id).or(of_group) {
                        Some(asked) => preview.wait(asked, both(side, id)),
                        None => {
                            preview.held += 1;
                            let held = item("hold", both(side, id), why.clone());
                            preview.items.push(held);
                        }
                    }
                }
            }
        }
    }

    /// A run makes nothing beside a record that the filters leave out.
    fn rest(&self, preview: &mut Preview, (side, like): (Side, &RecordId), ids: Ids<'_>) {
        let left_out = self.listed(side).filtered.get(like);
        let because = left_out.map_or("", |one| one.because.as_str());
        preview.beside_left_out += 1;
        let why = format!(
            "nothing is made: record {} of side {side} has the same key, and the sync's filters leave it out, because {because}",
            line(like.as_str())
        );
        preview.items.push(item("rest", ids, why));
    }
}

/// A record without a partner, where the items name two.
fn both(side: Side, id: &RecordId) -> Ids<'_> {
    crate::executor::both(side, Some(id), None)
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
    /// Nothing is done before this is answered, whatever would be planned.
    Held(Question),
    /// Nobody knows.
    Unknown,
    /// Both records were looked at.
    Seen,
}
