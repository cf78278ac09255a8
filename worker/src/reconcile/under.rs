//! What somebody typed into a record while a write of ours to it had no answer. Such a write lands whenever whatever holds
//! it back lets it go, over what was typed meanwhile; and then the record shows nothing but ours. So what a reading shows
//! in those fields, and that is neither what stood there before nor ours, is kept with the link until it is decided upon.
//! Where our write has gone over it, the plan looks at what the record held, and puts it back if that is what both are
//! to have.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{BaseValue, Fields, Side, Timestamp, Value};
use tandem_engine::{
    Covered, FieldRule, OpenWrite, Plan, Presence, edited_under, is_form_of, same,
    stands_because_of,
};
use tandem_store::{Confirmation, Intent, Link, ShownUnder, Waiting};

use super::lands_again;
use super::pair::{Look, Pair, look};
use super::recover::Recovery;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// What was shown, by mapped field, on each side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    a: BTreeMap<String, ShownUnder>,
    b: BTreeMap<String, ShownUnder>,
    /// Where our last write was lost, as what stood there before shows again.
    lost: BTreeSet<(Side, String)>,
}

impl Shown {
    /// What is known of both sides, with what the readings show now. Whether somebody edited them, and when, is not known yet.
    /// `held` is what both sides were last known to agree on, for each of them without what was written to it since.
    pub(super) fn of(
        work: Work<'_>,
        link: &Link,
        writes: &[OpenWrite<'_>],
        pair: &Pair,
        held: &[BTreeMap<String, BaseValue>; 2],
    ) -> Self {
        let [a, b] = Side::BOTH.map(|side| {
            let memory = &link.side(side).memory.shown_under;
            let reading = pair.side(side).filter(|it| !it.record.archived);
            reading.map_or_else(
                || memory.clone(),
                |reading| {
                    let other = pair.side(side.other());
                    let held = match side {
                        Side::A => &held[0],
                        Side::B => &held[1],
                    };
                    shown(work, link, writes, (side, reading), (other, held))
                },
            )
        });
        Self {
            a,
            b,
            lost: BTreeSet::new(),
        }
    }

    /// Takes what stands in a field for what stood there before our last write, which was lost: what both agreed on holds.
    pub(super) fn take_for_lost(&mut self, side: Side, field: &str, agreed: Value, stands: Value) {
        let shown = match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        };
        let covered = ShownUnder {
            value: agreed,
            edited_at: None,
            covered_by: Some(stands),
        };
        shown.insert(field.to_owned(), covered);
        self.lost.insert((side, field.to_owned()));
    }

    /// Why what a record shows is not what it is taken to hold, in words; `None` where nothing went over it.
    pub(super) fn why_covered(&self, field: &str) -> Option<String> {
        let (side, ..) = self.covered().find(|one| one.1 == field)?;
        Some(if self.lost.contains(&(side, field.to_owned())) {
            format!(
                "what side {side} shows stood there before our last write to it, which was lost"
            )
        } else {
            format!("what side {side} shows is an earlier write of ours, which landed late")
        })
    }

    /// With all that was noted before, where a person has said that the partner counts: whatever stands in its place now, be it
    /// what a backup held, nobody has decided to give it up.
    pub(super) fn and_noted(mut self, link: &Link, pair: &Pair) -> Self {
        for (side, shown) in [(Side::A, &mut self.a), (Side::B, &mut self.b)] {
            let Some(reading) = pair.side(side) else {
                continue;
            };
            for (field, noted) in &link.side(side).memory.shown_under {
                let stands = reading.fields.get(field).cloned().unwrap_or_default();
                if stands != noted.value {
                    shown.entry(field.clone()).or_insert(ShownUnder {
                        covered_by: Some(stands),
                        ..noted.clone()
                    });
                }
            }
        }
        self
    }

    pub(super) const fn of_side(&self, side: Side) -> &BTreeMap<String, ShownUnder> {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// What a write of ours has gone over, with the side and the field.
    pub(super) fn covered(&self) -> impl Iterator<Item = (Side, &String, &ShownUnder, &Value)> {
        Side::BOTH.into_iter().flat_map(|side| {
            let shown = self.of_side(side).iter();
            shown.filter_map(move |(field, one)| Some((side, field, one, one.covered_by.as_ref()?)))
        })
    }

    /// What a record held in a field, where a write of ours has gone over it.
    pub(super) fn held(&self, side: Side, field: &str) -> Option<&Value> {
        let shown = self.of_side(side).get(field);
        let covered = shown.filter(|shown| shown.covered_by.is_some());
        covered.map(|shown| &shown.value)
    }

    /// Says when somebody typed what is new here.
    pub(super) fn dated(mut self, link: &Link, edited: [Option<Timestamp>; 2]) -> Self {
        for ((side, edited_at), shown) in Side::BOTH
            .into_iter()
            .zip(edited)
            .zip([&mut self.a, &mut self.b])
        {
            for (field, one) in shown {
                if one.covered_by.is_none() && is_new(link, side, field, one) {
                    one.edited_at = edited_at;
                }
            }
        }
        self
    }

    /// As the engine is to look at the records: what they held, and what stands there.
    pub(super) fn uncover(&self, presences: &mut [Presence; 2]) {
        for (side, field, shown, stands) in self.covered() {
            let presence = match side {
                Side::A => &mut presences[0],
                Side::B => &mut presences[1],
            };
            let Presence::Here(snapshot) = presence else {
                continue;
            };
            let covered = Covered {
                stands: stands.clone(),
                edited_at: shown.edited_at,
            };
            snapshot.covered.insert(field.clone(), covered);
            snapshot.fields.insert(field.clone(), shown.value.clone());
        }
    }

    /// What is still to be decided once this plan was carried out.
    pub(super) fn undecided(&self, planned: &Plan, side: Side) -> BTreeMap<String, ShownUnder> {
        let shown = self.of_side(side).iter();
        let is_asked = |field: &String| planned.questions.iter().any(|asked| asked.field == *field);
        let asked = shown.filter(|(field, _)| is_asked(field));
        asked
            .map(|(field, one)| (field.clone(), one.clone()))
            .collect()
    }
}

fn is_new(link: &Link, side: Side, field: &str, one: &ShownUnder) -> bool {
    let known = link.side(side).memory.shown_under.get(field);
    known.is_none_or(|known| known.value != one.value)
}

fn shown(
    work: Work<'_>,
    link: &Link,
    writes: &[OpenWrite<'_>],
    (side, reading): (Side, &Reading),
    (other, held): (Option<&Reading>, &BTreeMap<String, BaseValue>),
) -> BTreeMap<String, ShownUnder> {
    let policy = &work.sync.policy;
    let of_side = writes.iter().filter(|write| write.side == side);
    let mut edited = Fields::new();
    for write in of_side.clone() {
        edited.extend(edited_under(policy, &link.base, *write, &reading.fields));
    }
    for (field, value) in lands_again::edited_under(work, link, (side, reading)) {
        edited.entry(field).or_insert(value);
    }
    let of_field = |rule: &FieldRule| {
        let field = &rule.name;
        let found = reading.fields.get(field).cloned().unwrap_or_default();
        let known = link.side(side).memory.shown_under.get(field);
        let is_of_open = of_side
            .clone()
            .any(|write| stands_because_of(policy, &link.base, *write, (field, &reading.fields)));
        // What is covered already was gone over before.
        let typed = known.filter(|known| known.covered_by.is_none());
        let typed = typed.map(|known| &known.value);
        let went_over = lands_again::went_over(work, link, writes, (side, reading), (field, typed));
        let is_ours = is_of_open || went_over;
        // What was put back stands there again.
        let puts_back = |write: &OpenWrite<'_>, known: &ShownUnder| {
            write.fields.get(field) == Some(&known.value)
                && stands_because_of(policy, &link.base, *write, (field, &reading.fields))
        };
        if known.is_some_and(|known| of_side.clone().any(|write| puts_back(write, known))) {
            return None;
        }
        let is_put_back = known.is_some_and(|known| same(rule.equality, &known.value, &found));
        if let Some(known) = known.filter(|_| !is_put_back) {
            let is_covered = |by: &Value| same(rule.equality, by, &found);
            if is_ours || known.covered_by.as_ref().is_some_and(is_covered) {
                return Some(ShownUnder {
                    covered_by: Some(found),
                    ..known.clone()
                });
            }
        }
        let is_awaited = lands_again::is_awaited(link, writes, side, rule, &found);
        let held = held.get(field).filter(|_| went_over && !is_awaited);
        if let Some(held) = held {
            return Some(ShownUnder {
                value: held.side(side).clone(),
                edited_at: None,
                covered_by: Some(found),
            });
        }
        // Several writes may be open: what one of them has put there is no edit under the other. Nor is a form of what we sent,
        // or of what the other side has.
        let partner = other.and_then(|other| other.fields.get(field));
        let is_form =
            |value: &Value| is_form_of(&found, value) || same(rule.equality, &found, value);
        if is_of_open
            || partner.is_some_and(is_form)
            || lands_again::is_form(link, side, field, &found)
        {
            return None;
        }
        let value = edited.get(field)?.clone();
        let again = known.filter(|known| same(rule.equality, &known.value, &value));
        Some(ShownUnder {
            edited_at: again.and_then(|known| known.edited_at),
            value: again.map_or(value, |known| known.value.clone()),
            covered_by: None,
        })
    };
    let rules = policy.fields.iter();
    let shown = rules.filter_map(|rule| Some((rule.name.clone(), of_field(rule)?)));
    shown.collect()
}

/// Whether a write of ours may still go over what the records of a pair show.
pub(super) fn may_go_over(link: &Link, intents: &[Intent]) -> bool {
    let of_side = |side: Side| !link.side(side).memory.may_land.is_empty();
    !intents.is_empty() || Side::BOTH.into_iter().any(of_side)
}

/// Stores what a reading shows before anything is done: the process may end at any moment, and then the record may show
/// nothing of it any more.
pub(super) async fn remember(
    work: Work<'_>,
    link: &Link,
    recovery: &Recovery,
) -> Result<Option<Performed>, WorkError> {
    let is_known = Side::BOTH.into_iter().all(|side| {
        let mut shown = recovery.shown.of_side(side).iter();
        shown.all(|(field, one)| one.covered_by.is_some() || !is_new(link, side, field, one))
    });
    if is_known {
        return Ok(None);
    }
    let [mut a, mut b] = [link.a.clone(), link.b.clone()];
    a.memory.shown_under = recovery.shown.a.clone();
    b.memory.shown_under = recovery.shown.b.clone();
    let confirmation = Confirmation {
        link: Some(link.with_sides(a, b)),
        // No step: who edits all the time would use those up. It waits for that write, and is given up as what waits in vain.
        outcome: Some(work.snooze(std::time::Duration::ZERO, Waiting::Elsewhere)),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

/// The same where only one record can be read: what it shows may be gone by the time the other system answers again.
pub(super) async fn remember_one(
    work: Work<'_>,
    link: &Link,
    intents: &[Intent],
) -> Result<(), WorkError> {
    let (mut a, mut b) = (link.a.clone(), link.b.clone());
    for (side, state) in [(Side::A, &mut a), (Side::B, &mut b)] {
        let is_written = intents.iter().any(|intent| intent.side == side);
        if !is_written && link.side(side).memory.may_land.is_empty() {
            continue;
        }
        let Ok(look) = look(work, link, side).await else {
            continue;
        };
        let nothing = Look {
            reading: None,
            merged_into: None,
            began: look.began,
            ended: look.ended,
        };
        let pair = match side {
            Side::A => Pair {
                a: look,
                b: nothing,
            },
            Side::B => Pair {
                a: nothing,
                b: look,
            },
        };
        let shown = Recovery::of(work, link, intents, &pair).shown;
        state.memory.shown_under.clone_from(shown.of_side(side));
    }
    let is_any = link.a != a || link.b != b;
    if is_any {
        let confirmation = Confirmation {
            link: Some(link.with_sides(a, b)),
            ..Confirmation::default()
        };
        work.confirm(confirmation).await?;
    }
    Ok(())
}
