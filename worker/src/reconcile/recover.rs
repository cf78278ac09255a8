//! What became of writes of this pair whose end the journal does not know.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Side};
use tandem_store::{Intent, IntentOp, IntentState, IntentVerdict, Link};

use super::pair::Pair;
use crate::executor::{Work, shows, shows_field, verdict};

/// What the systems show of writes whose end the journal does not know.
pub(super) fn settle_open(work: Work<'_>, intents: &[Intent], pair: &Pair) -> Vec<IntentVerdict> {
    intents
        .iter()
        .map(|intent| {
            let reading = pair.side(intent.side);
            let seen = match intent.op {
                IntentOp::Create | IntentOp::Update => {
                    reading.is_some_and(|reading| shows(work.sync, intent, &reading.fields))
                }
                IntentOp::Delete => reading.is_none_or(|reading| reading.record.archived),
            };
            if seen && intent.state != IntentState::Planned {
                verdict(intent, IntentState::Confirmed, None)
            } else {
                verdict(
                    intent,
                    IntentState::Failed,
                    Some("not seen when read back; planned anew".to_owned()),
                )
            }
        })
        .collect()
}

/// What both sides were last known to agree on. That is the link's base, and beyond it what was written since
/// without an answer: a value that was sent and stands there now is what the other side had as it was sent.
/// By the older base it would look like an edit, and could win over one that somebody has made since.
pub(super) fn base_now(
    work: Work<'_>,
    link: &Link,
    intents: &[Intent],
    pair: &Pair,
) -> BTreeMap<String, BaseValue> {
    let mut base = link.base.clone();
    let updates = intents
        .iter()
        .filter(|intent| intent.op == IntentOp::Update && intent.state != IntentState::Planned);
    for intent in updates {
        let Some(reading) = pair.side(intent.side) else {
            continue;
        };
        for (field, sent) in &intent.fields {
            if shows_field(work.sync, field, sent, &reading.fields) {
                let written = reading.fields.get(field).unwrap_or(sent).clone();
                let (a, b) = match intent.side {
                    Side::A => (written, sent.clone()),
                    Side::B => (sent.clone(), written),
                };
                base.insert(field.clone(), BaseValue { a, b });
            }
        }
    }
    base
}
