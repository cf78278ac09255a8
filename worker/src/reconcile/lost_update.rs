//! Updates that were answered and lost. A system may have carried nothing out: the record is as it was, with the time of
//! change that it had. That looks like an edit back to the old value, and nobody made it: the write is sent again. Or a
//! system, or a form that somebody has open, saves the record as it was before our write, with the edit of another field:
//! then what stood there before shows again, under a new time. Somebody may have taken our value back and edited the other
//! field, too: so both sides keep what they have, and a person is asked. So it is where a system has moved the time and kept
//! nothing, and its times are too coarse to say that nobody has edited since.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, Fields, Side};
use tandem_engine::{NotKept, same};
use tandem_store::{IntentOp, IntentState, Link, OwnWrite, PairContext};

use super::doubt::mistake;
use super::never_shown;
use super::open_write::stood_before;
use super::pair::Pair;
use super::recover::{Recovery, is_told_apart};
use super::replaced::REPLACED;
use super::set_back;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// What is saved so long after our write was read before it.
const SAVED_WITHIN: Duration = Duration::from_secs(600);

/// Takes what is so put back for lost, or asks about it. The journal is asked only where that may be. What a person has said of
/// a record that went back holds.
pub(super) async fn find(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    context: &PairContext,
    recovery: &mut Recovery,
) -> Result<(), WorkError> {
    if context
        .rulings
        .iter()
        .any(|ruling| ruling.asked == REPLACED)
    {
        return Ok(());
    }
    for side in Side::BOTH {
        let (Some(own), Some(reading)) = (&link.side(side).memory.own_write, pair.side(side))
        else {
            continue;
        };
        let is_undone = is_as_replaced(work, link, own, (side, reading));
        let never_shown = never_shown::fields((work, link), &recovery.base, pair, side).await?;
        // What a person is asked about was not saved just now.
        let is_asked = |field: &str| context.open_fields.iter().any(|open| open.field == field);
        let how = (own, is_undone, &*never_shown);
        let suspects = suspects((work, link), &recovery.base, how, (side, reading), is_asked);
        if suspects.is_empty() || set_back::answer(work, link, side).await?.is_some() {
            continue;
        }
        let before = stood_before_last(work, link, own, (side, reading)).await?;
        for field in suspects {
            let Some(rule) = work.sync.policy.rule(field) else {
                continue;
            };
            let found = reading.value(field);
            let stood = before.get(field);
            let is_back = stood.is_some_and(|stood| same(rule.equality, stood, &found));
            let Some(base) = recovery.base.get_mut(field).filter(|_| is_back) else {
                continue;
            };
            if is_undone {
                let agreed = base.side(side).clone();
                recovery.shown.take_for_lost(side, field, agreed, found);
                continue;
            }
            recovery.not_kept.push(NotKept {
                side,
                field: field.clone(),
                sent: base.side(side.other()).clone(),
                kept: found.clone(),
            });
            base.set(side, found);
        }
    }
    Ok(())
}

/// The fields of our last write that show something else than it has put there, where another field has changed too, or
/// where only the answer has ever said that they were written, and either the record shows the time of that write still, or no
/// listing and no reading has shown them since. `base` knows what was written since without an answer.
fn suspects<'o>(
    (work, link): (Work<'_>, &Link),
    base: &BTreeMap<String, BaseValue>,
    (own, is_undone, never_shown): (&'o OwnWrite, bool, &[String]),
    (side, reading): (Side, &Reading),
    is_asked: impl Fn(&str) -> bool,
) -> Vec<&'o String> {
    let has_changed = |field: &str| {
        let rule = work.sync.policy.rule(field);
        rule.zip(base.get(field)).is_some_and(|(rule, base)| {
            !same(rule.equality, base.side(side), &reading.value(field))
        })
    };
    let mut rules = work.sync.policy.fields.iter();
    let is_recent = work.context.now().since(own.read_at) < SAVED_WITHIN;
    let is_saved_as_before = is_recent
        && rules.any(|rule| {
            !own.wrote.contains(&rule.name) && has_changed(&rule.name) && !is_asked(&rule.name)
        });
    let is_lost = is_saved_as_before || is_undone;
    let is_unmoved = is_told_apart(link, side, own, reading).is_some();
    let wrote = own.wrote.iter();
    let may_be_lost = |field: &&String| {
        is_lost || is_unmoved && own.fields.contains(*field) || never_shown.contains(*field)
    };
    wrote
        .filter(may_be_lost)
        .filter(|field| has_changed(field))
        .collect()
}

/// Whether a record is as it was before our write, by its own time of change too: the system has said yes, with another time,
/// and carried nothing out. Where that time is long before our write, its system may have been set back as well, and a
/// person is asked.
fn is_as_replaced(
    work: Work<'_>,
    link: &Link,
    own: &OwnWrite,
    (side, reading): (Side, &Reading),
) -> bool {
    own.before.is_some()
        && own.before != own.after
        && reading.record.updated_at == own.before
        && reading.checksum() == own.replaced
        && mistake(work.sync, link, side, reading).is_none()
}

/// What stood in the fields of our last write before it.
async fn stood_before_last(
    work: Work<'_>,
    link: &Link,
    own: &OwnWrite,
    (side, reading): (Side, &Reading),
) -> Result<Fields, WorkError> {
    let record = &reading.record.id;
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, record).await?;
    // The same id may be another record's in the other system.
    let last = intents.into_iter().rev().find(|intent| {
        intent.side == side
            && intent.link == Some(link.id)
            && intent.op == IntentOp::Update
            && intent.state == IntentState::Confirmed
            && intent.fields.keys().eq(own.wrote.iter())
    });
    Ok(last.as_ref().map(stood_before).unwrap_or_default())
}
