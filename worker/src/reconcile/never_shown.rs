//! Fields of which only the answer to our last write has ever shown what it wrote, and that show something else now. Either the
//! system has kept nothing, and has moved the record's time of change since, or somebody has edited the record before anything
//! could show our value.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Side, Value};
use tandem_engine::{Direction, FieldRule, same};
use tandem_store::{Event, EventKind, Link, OwnWrite};

use super::events_around::APART_FROM_ECHO;
use super::pair::Pair;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// Those fields of a side. Where the other record has changed, too, or is gone, an edit is none the less taken for one: the
/// contest decides, and a delete waits for it. So it is with a field that goes one way, which is put right in either case, and with
/// yes and no: who says one of them says what stood there before.
pub(super) async fn fields(
    (work, link): (Work<'_>, &Link),
    base: &BTreeMap<String, BaseValue>,
    pair: &Pair,
    side: Side,
) -> Result<Vec<String>, WorkError> {
    let (Some(own), Some(reading), Some(other)) = (
        &link.side(side).memory.own_write,
        pair.side(side),
        pair.side(side.other()),
    ) else {
        return Ok(Vec::new());
    };
    let is_suspect = |rule: &&FieldRule| {
        let Some(known) = base.get(&rule.name) else {
            return false;
        };
        let found = reading.value(&rule.name);
        own.fields.contains(&rule.name)
            && rule.direction == Direction::Both
            && !matches!(found, Value::Boolean(_))
            && !same(rule.equality, known.side(side), &found)
            && same(
                rule.equality,
                known.side(side.other()),
                &other.value(&rule.name),
            )
    };
    let rules = work.sync.policy.fields.iter().filter(is_suspect);
    let suspects: Vec<String> = rules.map(|rule| rule.name.clone()).collect();
    if own.made || own.left.is_empty() || other.record.archived || suspects.is_empty() {
        return Ok(Vec::new());
    }
    let (store, record) = (&work.context.store, &reading.record.id);
    let answered = store.answered_only(&work.sync.name, side, record).await?;
    if answered.is_none_or(|answered| answered != own.left)
        || was_told_of_both(work, side, own, reading).await?
    {
        return Ok(Vec::new());
    }
    Ok(suspects)
}

/// Whether the system has told of two changes since the record was read for our write: it was carried out, and then somebody has
/// edited the record, who was heard before our own event had it read.
async fn was_told_of_both(
    work: Work<'_>,
    side: Side,
    own: &OwnWrite,
    reading: &Reading,
) -> Result<bool, WorkError> {
    let mut events = work.events_of(side, &reading.record.id).await?;
    events.retain(|event| event.received_at >= own.read_at && event.kind != EventKind::Deleted);
    let Some((last, earlier)) = events.split_last() else {
        return Ok(false);
    };
    // One change may be told of more than once.
    let is_another = |one: &Event| match (one.said_at(), last.said_at()) {
        (Some(one), Some(last)) => one.since(last).max(last.since(one)) > APART_FROM_ECHO,
        _ => true,
    };
    Ok(earlier.iter().any(is_another))
}
