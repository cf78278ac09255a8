//! What a record held before. A system may save with our write all that it remembers of a record, and set fields that the
//! write did not name to what they were; nobody has typed that.

use std::collections::BTreeMap;

use tandem_domain::{LinkId, Side, Value};
use tandem_store::IntentOp;

use super::linked::Open;
use super::sending::{Carried, write_to};
use crate::executor::Work;
use crate::failure::WorkError;

/// So many writes are looked through, newest first: what a system remembers of a record may be some edits old.
const LOOKED_THROUGH: usize = 50;

/// By field, what the record of a side held when earlier writes of ours were decided, and what was written there. The
/// journal is only asked where a field that was not written has changed with our write.
pub(super) async fn values(
    work: Work<'_>,
    open: &Open,
    carried: &[Carried],
    side: Side,
) -> Result<BTreeMap<String, Vec<Value>>, WorkError> {
    let mut former: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let Some(write) = write_to(carried, side).filter(|one| one.intent.op == IntentOp::Update)
    else {
        return Ok(former);
    };
    let (Some(before), Some(after)) = (open.pair.side(side), &write.after) else {
        return Ok(former);
    };
    let sent = &write.intent.fields;
    let mut rules = work.sync.policy.fields.iter();
    let is_moved = rules.any(|rule| {
        let name = &rule.name;
        !sent.contains_key(name) && before.fields.get(name) != after.fields.get(name)
    });
    if !is_moved {
        return Ok(former);
    }
    let store = &work.context.store;
    let earlier = store.intents_of(&work.sync.name, &before.record.id).await?;
    let of_link = |link: Option<LinkId>| link.is_none_or(|link| link == open.link.id);
    let earlier = earlier.iter().filter(|it| of_link(it.link));
    let newest_first = earlier.rev().filter(|it| it.id != write.intent.id);
    for intent in newest_first.take(LOOKED_THROUGH) {
        for decided in &intent.decided {
            let (held, base) = match side {
                Side::A => (&decided.a, decided.base.as_ref().map(|base| &base.0)),
                Side::B => (&decided.b, decided.base.as_ref().map(|base| &base.1)),
            };
            // A yes or no may be anybody's.
            let is_yes_or_no = matches!(held, Value::Boolean(_));
            let values = [Some(held), base];
            let values = values.into_iter().flatten().filter(|_| !is_yes_or_no);
            let known = former.entry(decided.field.clone()).or_default();
            known.extend(values.cloned());
        }
    }
    Ok(former)
}
