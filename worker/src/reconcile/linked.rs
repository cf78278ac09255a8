//! A linked pair: read both records, merge them three ways, write what differs, move the base.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, RecordId, Side};
use tandem_engine::{Plan, PlannedWrite, Ruled, View, WriteOp};
use tandem_store::{Intent, IntentOp, IntentState, IntentVerdict, Link, PairContext, Resolution};

use super::confirm::{finish, seen};
use super::delete_hold::hold;
use super::lost_create::{lost_create, settle_create};
use super::pair::{Pair, presence, read_both};
use super::recover::{base_now, settle_open};
use crate::executor::{About, Sent, Work};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{self, Reading};
use crate::{edits, trace};

/// One write that was carried out.
pub(super) struct Carried {
    pub(super) intent: Intent,
    pub(super) id: RecordId,
    pub(super) after: Option<Reading>,
    pub(super) atomic: bool,
    pub(super) millis: u64,
}

/// Everything that is known before the plan is carried out.
pub(super) struct Open {
    pub(super) link: Link,
    /// See [`base_now`].
    pub(super) base: BTreeMap<String, BaseValue>,
    pub(super) pair: Pair,
    pub(super) verdicts: Vec<IntentVerdict>,
    pub(super) context: PairContext,
}

pub(super) async fn run(
    work: Work<'_>,
    link: Link,
    context: PairContext,
) -> Result<Performed, WorkError> {
    if let Some(intent) = lost_create(&context.intents) {
        return settle_create(work, intent, Some(&link)).await;
    }
    let pair = read_both(work, &link).await?;
    let verdicts = settle_open(work, &context.intents, &pair);
    let base = base_now(work, &link, &context.intents, &pair);
    let ruled = Ruled {
        fields: rulings(&context),
        values: edits::values(work.sync, &work.claimed.job.edits)?,
    };
    let (a, b) = (presence(Side::A, &pair), presence(Side::B, &pair));
    let view = View {
        base: Some(&base),
        a: &a,
        b: &b,
        ruled: &ruled,
    };
    let mut planned = trace::planned(&work.sync.policy, view);
    let open = Open {
        link,
        base,
        pair,
        verdicts,
        context,
    };
    if let Some(held) = hold(work, &open, &mut planned).await? {
        return Ok(held);
    }
    if planned.writes.is_empty() {
        return finish(work, open, planned, Vec::new()).await;
    }
    carry_out(work, open, planned).await
}

pub(super) fn rulings(context: &PairContext) -> BTreeMap<String, Side> {
    let fields =
        context
            .rulings
            .iter()
            .filter_map(|ruling| match (&ruling.field, &ruling.resolution) {
                (Some(field), Resolution::Take { side }) => Some((field.clone(), *side)),
                _ => None,
            });
    fields.collect()
}

pub(super) async fn carry_out(
    work: Work<'_>,
    open: Open,
    planned: Plan,
) -> Result<Performed, WorkError> {
    let intents: Vec<Intent> = planned
        .writes
        .iter()
        .map(|write| intent_for(work, &open, write))
        .collect();
    if let Some(ended) = work
        .journal(Some((open.link.id, open.link.revision).into()), &intents)
        .await?
    {
        return Ok(ended);
    }
    let mut carried = Vec::with_capacity(intents.len());
    for (number, intent) in intents.iter().enumerate() {
        // The journal marked the first as sent; each further one is fenced by the lease again.
        if number > 0
            && !work
                .context
                .store
                .mark_sent(work.claimed.lease, intent.id, work.context.now())
                .await?
        {
            return Err(tandem_store::StoreError::LeaseLost.into());
        }
        let target = if intent.op == IntentOp::Create {
            None
        } else {
            open.pair.side(intent.side)
        };
        match work.send(intent, target).await {
            Sent::Written { written, millis } => {
                carried.push(read_back(work, intent, written, millis).await);
            }
            Sent::NoEffect(error) => {
                let seen = seen(work, &open, &carried);
                return work
                    .give_up_having_seen(intent, IntentState::Failed, seen, error)
                    .await;
            }
            Sent::Unknown(error) => {
                return work.give_up(intent, IntentState::Unknown, error).await;
            }
        }
    }
    finish(work, open, planned, carried).await
}

pub(super) fn intent_for(work: Work<'_>, open: &Open, write: &PlannedWrite) -> Intent {
    let source = open.link.side(write.side.other()).id.as_ref();
    let target = if write.op == WriteOp::Create {
        None
    } else {
        open.pair.side(write.side)
    };
    work.intent(
        write,
        About {
            link: Some(open.link.id),
            source,
            target,
            match_key: None,
        },
    )
}

/// A write whose reading back fails is looked for by the next run.
pub(super) async fn read_back(
    work: Work<'_>,
    intent: &Intent,
    written: tandem_connectors::Written,
    millis: u64,
) -> Carried {
    let hints = work.claimed.job.hints;
    let (after, atomic) = match written.record {
        Some(record) => (
            Some(Reading::new(work.sync, intent.side, *record, None)),
            true,
        ),
        None if intent.op == IntentOp::Delete => (None, true),
        None => (
            readings::read(work.sync, intent.side, &written.id, hints)
                .await
                .ok()
                .flatten(),
            false,
        ),
    };
    Carried {
        intent: intent.clone(),
        id: written.id,
        after,
        atomic,
        millis,
    }
}
