//! Updates that may land once more. One that had no answer is sent again, or seen late, or never; whatever held its first
//! sending back, a queue of a proxy say, may still carry it out, over what somebody typed in that system since. So for
//! some minutes a value of ours that shows again is known to be ours, and the plan puts back what it went over. The same
//! holds for some seconds of a value that was answered, that no reading has shown, and that was written over a moment later:
//! many systems carry out later than they answer, and not always in the order in which they were told.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, Fields, Side, Value};
use tandem_engine::{FieldRule, OpenWrite, is_form_of, is_reduced_form_of, same};
use tandem_store::{Intent, IntentOp, IntentState, Link, MayLand, Unseen};

use super::changed::changed;
use super::linked::Open;
use super::recover::{LANDS_WITHIN, is_told_apart};
use super::sending::{Carried, write_to};
use crate::executor::Work;
use crate::readings::Reading;

/// So many values are remembered for a side: somebody who edits without pause while a system does not answer must not
/// fill the link.
const REMEMBERED_MAX: usize = 32;

/// What was answered and not shown is carried out within this long, even by a system that answers before it does so. Later
/// somebody may have typed it.
const SHOWN_WITHIN: Duration = Duration::from_secs(50);

/// A write that went out so long after another one may be carried out before it.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(60);

/// Whether an earlier sending of ours has landed over what the record was last known to hold in a field: what both sides had
/// agreed on, or what somebody typed since (`typed`). Each may do so once only: who types that value after it was put right
/// has edited.
pub(super) fn went_over(
    work: Work<'_>,
    link: &Link,
    writes: &[OpenWrite<'_>],
    (side, reading): (Side, &Reading),
    (field, typed): (&str, Option<&Value>),
) -> bool {
    let Some(agreed) = link.base.get(field) else {
        return false;
    };
    let held = typed.unwrap_or(agreed.side(side));
    let known = &link.side(side).memory.may_land;
    let overtaken = overtaken_unseen(link, writes, side, field);
    let mut of_field = known
        .iter()
        .filter(|one| one.field == field)
        .chain(&overtaken);
    of_field.any(|one| has_landed(work, link, writes, (side, reading), (one, held)))
}

/// A value that was answered and did not show yet, where a write that is open has brought the source a newer one since.
pub(super) fn overtaken_unseen(
    link: &Link,
    writes: &[OpenWrite<'_>],
    side: Side,
    field: &str,
) -> Option<MayLand> {
    let unseen = link.side(side).memory.unseen.get(field)?;
    let mut newer = writes
        .iter()
        .filter(|write| write.side == side.other() && write.was_sent)
        .filter_map(|write| write.fields.get(field));
    let is_overtaken = !unseen.lost && newer.any(|newer| *newer != unseen.value);
    is_overtaken.then(|| late(field, unseen))
}

/// Whether a value is what was answered and is waited for, so that it goes over nothing when it shows: that an earlier sending
/// of it may land as well says nothing of what stood there.
pub(super) fn is_awaited(
    link: &Link,
    writes: &[OpenWrite<'_>],
    side: Side,
    rule: &FieldRule,
    found: &Value,
) -> bool {
    let field = &rule.name;
    let unseen = link.side(side).memory.unseen.get(field);
    unseen.is_some_and(|unseen| !unseen.lost && same(rule.equality, &unseen.value, found))
        && overtaken_unseen(link, writes, side, field).is_none()
}

/// What was answered and not seen, as what may land yet.
fn late(field: &str, unseen: &Unseen) -> MayLand {
    MayLand {
        field: field.to_owned(),
        sent: unseen.value.clone(),
        kept: unseen.value.clone(),
        since: unseen.since,
        times: 1,
        answered: true,
        never_shown: true,
    }
}

fn has_landed(
    work: Work<'_>,
    link: &Link,
    writes: &[OpenWrite<'_>],
    (side, reading): (Side, &Reading),
    (one, held): (&MayLand, &Value),
) -> bool {
    let Some(rule) = work.sync.policy.rule(&one.field) else {
        return false;
    };
    let found = reading.value(&one.field);
    // The same may have been written anew, and then that is what landed.
    let is_newer = writes
        .iter()
        .any(|write| write.side == side && write.fields.get(&one.field) == Some(&one.sent));
    if !is_ours(one, rule, &found) || is_newer || same(rule.equality, held, &found) {
        return false;
    }
    // What lands moves the time of change. A record that is older than it was seen shows an earlier state of it.
    let times = link.side(side).updated_at.zip(reading.record.updated_at);
    if times.is_some_and(|(known, now)| now < known) {
        return false;
    }
    let now = work.context.now();
    let at = changed(work, side, Some(reading)).map_or(now, |it| it.near(one.since).min(now));
    at.since(one.since) < lands_within(one)
}

/// How long after it was sent a value may land.
const fn lands_within(one: &MayLand) -> Duration {
    if one.answered {
        SHOWN_WITHIN
    } else {
        LANDS_WITHIN
    }
}

/// What somebody typed into fields over which an earlier sending of ours may land yet, and that nobody has decided upon.
pub(super) fn edited_under(
    work: Work<'_>,
    link: &Link,
    (side, reading): (Side, &Reading),
) -> Fields {
    let now = work.context.now();
    let own = link.side(side).memory.own_write.as_ref();
    if own.is_some_and(|own| is_told_apart(link, side, own, reading).is_some()) {
        // Nobody has, as its time of change says.
        return Fields::new();
    }
    let may_land = link.side(side).memory.may_land.iter();
    let may_land = may_land.filter(|one| now.since(one.since) < lands_within(one));
    let edited = may_land.filter_map(|one| {
        let rule = work.sync.policy.rule(&one.field)?;
        let known = link.base.get(&one.field)?.side(side);
        let found = reading.value(&one.field);
        let is_edit = !is_ours(one, rule, &found) && !same(rule.equality, known, &found);
        is_edit.then(|| (one.field.clone(), found))
    });
    edited.collect()
}

/// Whether a value is a form of what may land there yet.
pub(super) fn is_form(link: &Link, side: Side, field: &str, found: &Value) -> bool {
    let mut may_land = link.side(side).memory.may_land.iter();
    may_land.any(|one| one.field == field && is_form_of(found, &one.sent))
}

/// Whether a value is what was sent, or what its system made of it. What that is nobody knows of a value that had no answer
/// and never showed: then it may be any form of it that a person would hardly type.
fn is_ours(one: &MayLand, rule: &FieldRule, found: &Value) -> bool {
    let ours = [&one.sent, &one.kept];
    let is_known = ours.iter().any(|ours| same(rule.equality, ours, found));
    is_known || !one.answered && one.never_shown && is_reduced_form_of(found, &one.sent)
}

/// What is remembered of a side from now on.
pub(super) fn remembered(
    work: Work<'_>,
    open: &Open,
    carried: &[Carried],
    base: &BTreeMap<String, BaseValue>,
    side: Side,
) -> Vec<MayLand> {
    let now = work.context.now();
    let mut known = open.link.side(side).memory.may_land.clone();
    // What was covered before has landed once only, however often it was looked at since.
    let was_covered = |field: &String, stands: &Value| {
        let earlier = open.link.side(side).memory.shown_under.get(field);
        earlier.is_some_and(|earlier| earlier.covered_by.as_ref() == Some(stands))
    };
    let covered = open.shown.covered().filter(|one| one.0 == side);
    for (_, field, _, stands) in covered.filter(|one| !was_covered(one.1, one.3)) {
        let Some(rule) = work.sync.policy.rule(field) else {
            continue;
        };
        let is_it = |one: &&mut MayLand| one.field == *field && is_ours(one, rule, stands);
        if let Some(one) = known.iter_mut().find(is_it) {
            one.times = one.times.saturating_sub(1);
        }
    }
    known.retain(|one| one.times > 0 && now.since(one.since) < LANDS_WITHIN);
    for one in taken_back(open, base, side).chain(overtaken(work, open, carried, side)) {
        let is_same = |other: &MayLand| other.field == one.field && other.sent == one.sent;
        // What had no answer may land for longer; what its system made of it is known better by now.
        let unanswered = known
            .iter_mut()
            .find(|other| is_same(other) && !other.answered);
        if let Some(unanswered) = unanswered {
            if one.kept != one.sent {
                unanswered.kept = one.kept;
            }
            unanswered.never_shown &= one.never_shown;
            continue;
        }
        known.retain(|other| other.field != one.field || other.sent != one.sent);
        known.push(one);
    }
    let again = write_to(carried, side).map(|one| (&one.intent, one.intent.sends, base));
    let settled = open.late_intents().chain(open.unseen_intents());
    let settled = settled.map(|intent| (intent, without_answer(intent), &open.base));
    for (intent, times, base) in again.into_iter().chain(settled) {
        if times == 0 || intent.side != side || intent.op != IntentOp::Update {
            continue;
        }
        // A system that compares versions refuses whatever comes after another write.
        if intent.expected_version.is_some() && work.can(side, |stream| stream.expected_version) {
            continue;
        }
        for (field, sent) in &intent.fields {
            known.retain(|one| one.field != *field || one.sent != *sent);
            let agreed = base.get(field);
            let agreed = agreed.filter(|base| base.side(side.other()) == sent);
            known.push(MayLand {
                field: field.clone(),
                sent: sent.clone(),
                kept: agreed.map_or(sent, |base| base.side(side)).clone(),
                since: intent.sent_at.unwrap_or(intent.created_at),
                times,
                answered: false,
                never_shown: agreed.is_none(),
            });
        }
    }
    known.drain(..known.len().saturating_sub(REMEMBERED_MAX));
    known
}

/// What we wrote a moment before a write that was carried out now, or before somebody typed over it, and that no reading has
/// shown: it may be carried out after that. What was shown was carried out, and who types it again has edited.
fn overtaken(work: Work<'_>, open: &Open, carried: &[Carried], side: Side) -> Vec<MayLand> {
    let now = work.context.now();
    let memory = &open.link.side(side).memory;
    let own = memory.own_write.as_ref();
    let Some(own) = own.filter(|own| now.since(own.read_at) <= OVERTAKEN_WITHIN) else {
        return Vec::new();
    };
    let written = write_to(carried, side).map(|one| &one.intent.fields);
    let reading = open.pair.side(side);
    let rules = work.sync.policy.fields.iter();
    let ours = rules.filter(|rule| {
        let unseen = memory.unseen.get(&rule.name);
        let is_unseen = unseen.is_some_and(|unseen| !unseen.lost);
        is_unseen && (own.fields.contains(&rule.name) || own.wrote.contains(&rule.name))
    });
    let overtaken = ours.filter_map(|rule| {
        let field = &rule.name;
        let earlier = open.base.get(field)?;
        let (sent, kept) = (earlier.side(side.other()), earlier.side(side));
        let typed = reading.map(|reading| reading.value(field));
        let base = open.link.base.get(field);
        let stood = base.map_or(kept, |base| base.side(side));
        let typed = typed.filter(|typed| !same(rule.equality, typed, stood));
        let newer = written.and_then(|written| written.get(field)).cloned();
        let is_over = newer.or(typed).is_some_and(|newer| newer != *sent);
        // It may not have shown yet, and then what stands there stood there before.
        let is_form = !kept.is_null() && !sent.is_null() && is_form_of(kept, sent);
        is_over.then(|| MayLand {
            field: field.clone(),
            sent: sent.clone(),
            kept: if is_form { kept } else { sent }.clone(),
            since: own.read_at,
            times: 1,
            answered: true,
            never_shown: true,
        })
    });
    overtaken.collect()
}

/// Values that were answered and did not show, and of which the source has another by now: a system that is behind may show
/// them a moment later.
fn taken_back<'o>(
    open: &'o Open,
    base: &'o BTreeMap<String, BaseValue>,
    side: Side,
) -> impl Iterator<Item = MayLand> + 'o {
    let unseen = open.link.side(side).memory.unseen.iter();
    let taken_back = unseen.filter(move |(field, unseen)| {
        let agreed = base.get(*field).map(|base| base.side(side.other()));
        !unseen.lost && agreed != Some(&unseen.value)
    });
    taken_back.map(|(field, unseen)| late(field, unseen))
}

/// How many sendings of a write had no answer. One that was answered, and whose job went on to fail, stays open too.
fn without_answer(intent: &Intent) -> u32 {
    let was_answered = intent.state == IntentState::Sent && intent.error.is_some();
    intent.sends.saturating_sub(u32::from(was_answered))
}
