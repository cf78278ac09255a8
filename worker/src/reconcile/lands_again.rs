//! Updates that may land once more. One that had no answer is sent again, or seen late, or never; whatever held its first
//! sending back, a queue of a proxy say, may still carry it out, over what somebody typed in that system since. So for
//! some minutes a value of ours that shows again is known to be ours, and the plan puts back what it went over.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Side, Value};
use tandem_engine::same;
use tandem_store::{Intent, IntentOp, IntentState, Link, MayLand};

use super::changed::changed;
use super::linked::Open;
use super::pair::Pair;
use super::recover::LANDS_WITHIN;
use super::sending::{Carried, write_to};
use crate::executor::Work;

/// So many values are remembered for a side: somebody who edits without pause while a system does not answer must not
/// fill the link.
const REMEMBERED_MAX: usize = 32;

/// A value that landed once more.
#[derive(Clone, Debug)]
pub(super) struct Landed {
    pub(super) side: Side,
    pub(super) field: String,
    sent: Value,
    /// What stands there.
    found: Value,
}

impl Landed {
    /// What both sides are taken to have agreed on: then whatever the other side has is what changed.
    pub(super) fn base(&self) -> BaseValue {
        let mut base = BaseValue {
            a: self.sent.clone(),
            b: self.sent.clone(),
        };
        base.set(self.side, self.found.clone());
        base
    }

    /// Why something is written over it, for the change log.
    pub(super) fn why(&self) -> String {
        format!(
            "what side {} shows is an earlier write of ours that had no answer and landed late",
            self.side
        )
    }
}

/// What stands in either record because an earlier sending landed over it. Each may do so once only: who types that value
/// after it was put right has edited.
pub(super) fn landed(work: Work<'_>, link: &Link, open: &[Intent], pair: &Pair) -> Vec<Landed> {
    let of_side = |side: Side| {
        let known = &link.side(side).memory.may_land;
        known
            .iter()
            .filter_map(move |one| has_landed(work, link, open, (pair, side), one))
    };
    Side::BOTH.into_iter().flat_map(of_side).collect()
}

fn has_landed(
    work: Work<'_>,
    link: &Link,
    open: &[Intent],
    (pair, side): (&Pair, Side),
    one: &MayLand,
) -> Option<Landed> {
    let reading = pair.side(side).filter(|it| !it.record.archived)?;
    let rule = work.sync.policy.rule(&one.field)?;
    let known = link.base.get(&one.field)?.side(side);
    let found = reading.fields.get(&one.field).cloned().unwrap_or_default();
    let is_ours = [&one.sent, &one.kept]
        .iter()
        .any(|ours| same(rule.equality, ours, &found));
    // The same may have been written anew, and then that is what landed.
    let is_newer = open.iter().any(|intent| {
        intent.side == side
            && intent
                .fields
                .get(&one.field)
                .is_some_and(|it| *it == one.sent)
    });
    if !is_ours || is_newer || same(rule.equality, known, &found) {
        return None;
    }
    let now = work.context.now();
    let at = changed(work, side, Some(reading)).map_or(now, |it| it.near(one.since).min(now));
    (at.since(one.since) < LANDS_WITHIN).then(|| Landed {
        side,
        field: one.field.clone(),
        sent: one.sent.clone(),
        found,
    })
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
    for landed in open.landed.iter().filter(|one| one.side == side) {
        let is_it = |one: &&mut MayLand| one.field == landed.field && one.sent == landed.sent;
        if let Some(one) = known.iter_mut().find(is_it) {
            one.times = one.times.saturating_sub(1);
        }
    }
    known.retain(|one| one.times > 0 && now.since(one.since) < LANDS_WITHIN);
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
            });
        }
    }
    known.drain(..known.len().saturating_sub(REMEMBERED_MAX));
    known
}

/// How many sendings of a write had no answer. One that was answered, and whose job went on to fail, stays open too.
fn without_answer(intent: &Intent) -> u32 {
    let was_answered = intent.state == IntentState::Sent && intent.error.is_some();
    intent.sends.saturating_sub(u32::from(was_answered))
}
