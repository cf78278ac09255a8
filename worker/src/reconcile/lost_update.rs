//! Updates that were answered and lost. A system, or a form that somebody has open, may save a record as it was before our
//! write, with the edit of another field: then what stood there before shows again, under a new time. Or it has carried
//! nothing out, and the record is as it was, with the time of change that it had. Both look like an edit back to the old
//! value, and nobody made it. Somebody who takes our value back by hand changes nothing else with it.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, Fields, Side, Value};
use tandem_engine::same;
use tandem_store::{IntentOp, IntentState, Link, OwnWrite};

use super::pair::Pair;
use super::recover::Recovery;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// What is saved so long after our write was read before it.
const SAVED_WITHIN: Duration = Duration::from_secs(600);

/// Takes what is so put back for what our write went over. The journal is asked only where that may be.
pub(super) async fn find(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    recovery: &mut Recovery,
) -> Result<(), WorkError> {
    for side in Side::BOTH {
        let (Some(own), Some(reading)) = (&link.side(side).memory.own_write, pair.side(side))
        else {
            continue;
        };
        let suspects = suspects(work, &recovery.base, own, (side, reading));
        if suspects.is_empty() {
            continue;
        }
        let before = stood_before(work, side, &reading.record.id).await?;
        for field in suspects {
            let Some(rule) = work.sync.policy.rule(field) else {
                continue;
            };
            let found = found(reading, field);
            let is_back = before
                .get(field)
                .is_some_and(|stood| same(rule.equality, stood, &found));
            if let Some(base) = recovery.base.get(field).filter(|_| is_back) {
                let agreed = base.side(side).clone();
                recovery.shown.take_for_lost(side, field, agreed, found);
            }
        }
    }
    Ok(())
}

/// The fields of our last write that show something else than it has put there, where another field has changed too. `base`
/// knows what was written since without an answer.
fn suspects<'o>(
    work: Work<'_>,
    base: &BTreeMap<String, BaseValue>,
    own: &'o OwnWrite,
    (side, reading): (Side, &Reading),
) -> Vec<&'o String> {
    let has_changed = |field: &str| {
        let rule = work.sync.policy.rule(field);
        rule.zip(base.get(field)).is_some_and(|(rule, base)| {
            !same(rule.equality, base.side(side), &found(reading, field))
        })
    };
    let mut rules = work.sync.policy.fields.iter();
    let is_recent = work.context.now().since(own.read_at) < SAVED_WITHIN;
    let is_saved_as_before =
        is_recent && rules.any(|rule| !own.wrote.contains(&rule.name) && has_changed(&rule.name));
    let is_lost = is_saved_as_before || is_as_replaced(own, reading);
    let wrote = own.wrote.iter().filter(|_| is_lost);
    wrote.filter(|field| has_changed(field)).collect()
}

/// Whether a record is as it was before our write, by its own time of change too: the system has said yes, with another time,
/// and carried nothing out.
fn is_as_replaced(own: &OwnWrite, reading: &Reading) -> bool {
    own.before.is_some()
        && own.before != own.after
        && reading.record.updated_at == own.before
        && reading.checksum() == own.replaced
}

/// What stood in the fields of our last write before it.
async fn stood_before(
    work: Work<'_>,
    side: Side,
    record: &tandem_domain::RecordId,
) -> Result<Fields, WorkError> {
    let intents = work
        .context
        .store
        .intents_of(&work.sync.name, record)
        .await?;
    let last = intents.into_iter().rev().find(|intent| {
        intent.side == side
            && intent.op == IntentOp::Update
            && intent.state == IntentState::Confirmed
    });
    let decided = last.map(|intent| intent.decided).unwrap_or_default();
    let stood = decided.into_iter().map(|decided| match side {
        Side::A => (decided.field, decided.a),
        Side::B => (decided.field, decided.b),
    });
    Ok(stood.collect())
}

fn found(reading: &Reading, field: &str) -> Value {
    reading.fields.get(field).cloned().unwrap_or_default()
}
