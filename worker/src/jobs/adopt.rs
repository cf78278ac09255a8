//! A create whose end the journal does not know: look for its effect before anything is sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_connectors::{ConnectorError, Lookup, RemoteRecord};
use tandem_domain::{BaseValue, ConflictId, Fields, LinkId, Side, Value, checksum};
use tandem_engine::match_keys;
use tandem_store::{
    Confirmation, FieldChange, Intent, IntentOp, IntentState, IntentVerdict, JobOutcome, Link,
    LinkUpdate, NewLink, Operation, SideState,
};

use super::Performed;
use crate::executor::{Sent, Work, both};
use crate::failure::WorkError;
use crate::readings::{self, Reading};

/// A system without idempotency keys is sent a create again only when the first can no longer be under
/// way: after this many times as long as an answer is waited for.
const RESEND_TIMEOUTS: u32 = 2;
/// How soon the effect is looked for again meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The job that sent a create is taken for dead after this long.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// The record that a create carried over, when it was just read.
pub struct Source<'a> {
    pub reading: &'a Reading,
    pub used_rulings: Vec<ConflictId>,
    pub millis: u64,
}

/// The create among these whose effect may have happened.
pub fn lost_create(intents: &[Intent]) -> Option<&Intent> {
    intents
        .iter()
        .find(|intent| intent.op == IntentOp::Create && intent.state != IntentState::Planned)
}

/// Finds out what became of a create that was sent, and either links its effect or sends it again
/// under the same transaction id.
pub async fn settle_create(
    work: Work<'_>,
    intent: &Intent,
    link: Option<&Link>,
) -> Result<Performed, WorkError> {
    if let Some(found) = find_effect(work, intent).await? {
        return match link {
            None => link_created(work, intent, &found, None).await,
            Some(link) => relink(work, intent, &found, link).await,
        };
    }
    let end = work.sync.end(intent.side);
    let idempotent = end
        .connector
        .stream(&end.stream)
        .is_some_and(|stream| stream.capabilities.idempotent_create);
    let since = work
        .context
        .now()
        .since(intent.sent_at.unwrap_or(intent.created_at));
    if !idempotent && since < end.connector.timeout() * RESEND_TIMEOUTS {
        return Ok(work.again_after(LOOK_AGAIN));
    }
    resend(work, intent, link).await
}

/// Looks for the effect by external reference, then by each match key.
async fn find_effect(work: Work<'_>, intent: &Intent) -> Result<Option<Reading>, WorkError> {
    let end = work.sync.end(intent.side);
    let transaction = intent.id.to_string();
    let by_reference = end
        .connector
        .find(&end.stream, &Lookup::Reference(&transaction))
        .await?;
    if let Some(record) = by_reference.and_then(|records| records.into_iter().next()) {
        return Ok(Some(Reading::new(work.sync, intent.side, record, None)));
    }
    let wanted = match_keys(&work.sync.policy, &intent.fields);
    for names in &work.sync.policy.match_keys {
        let Some(name) = names.first() else { continue };
        let Some(rule) = work
            .sync
            .policy
            .fields
            .iter()
            .find(|rule| rule.name == *name)
        else {
            continue;
        };
        let Some(value) = intent.fields.get(name) else {
            continue;
        };
        let lookup = Lookup::Field {
            name: rule.stream_field(intent.side),
            value,
        };
        let records = end
            .connector
            .find(&end.stream, &lookup)
            .await?
            .unwrap_or_default();
        if let Some(found) = free_effect(work, intent, &wanted, records).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A record found by a natural key is the effect only if it belongs to nobody else.
async fn free_effect(
    work: Work<'_>,
    intent: &Intent,
    wanted: &[String],
    records: Vec<RemoteRecord>,
) -> Result<Option<Reading>, WorkError> {
    let transaction = intent.id.to_string();
    for record in records {
        let others = record.reference.as_ref().is_some_and(|reference| {
            *reference != transaction && reference.parse::<tandem_domain::IntentId>().is_ok()
        });
        let reading = Reading::new(work.sync, intent.side, record, None);
        let strongest = match_keys(&work.sync.policy, &reading.fields)
            .into_iter()
            .next();
        if others || strongest.is_none() || strongest.as_ref() != wanted.first() {
            continue;
        }
        let store = &work.context.store;
        if store
            .pair(&work.sync.name, intent.side, &reading.record.id)
            .await?
            .link
            .is_none()
        {
            return Ok(Some(reading));
        }
    }
    Ok(None)
}

async fn resend(
    work: Work<'_>,
    intent: &Intent,
    link: Option<&Link>,
) -> Result<Performed, WorkError> {
    if !work
        .context
        .store
        .mark_sent(work.claimed.lease, intent.id, work.context.now())
        .await?
    {
        return Err(tandem_store::StoreError::LeaseLost.into());
    }
    match work.send(intent, None).await {
        Sent::Written { written, .. } => {
            let created = match written.record {
                Some(record) => Some(Reading::new(work.sync, intent.side, *record, None)),
                None => {
                    readings::read(work.sync, intent.side, &written.id, work.claimed.job.hints)
                        .await?
                }
            };
            match (created, link) {
                (Some(created), None) => link_created(work, intent, &created, None).await,
                (Some(created), Some(link)) => relink(work, intent, &created, link).await,
                (None, _) => Ok(work.again_after(LOOK_AGAIN)),
            }
        }
        Sent::Unknown(error) => work.give_up(intent, IntentState::Unknown, error).await,
        // The first sending may have had its effect; a system that is down says nothing about it.
        Sent::NoEffect(
            error @ (ConnectorError::Unreachable { .. }
            | ConnectorError::RateLimited { .. }
            | ConnectorError::Unauthorized { .. }),
        ) => work.give_up(intent, IntentState::Unknown, error).await,
        Sent::NoEffect(error) => work.give_up(intent, IntentState::Failed, error).await,
    }
}

/// Links a created record with its source. The base is what was sent: what either side holds beyond
/// that is an edit, which the next plan, in the link's own lane, sees as one.
pub async fn link_created(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    source: Option<Source<'_>>,
) -> Result<Performed, WorkError> {
    let now = work.context.now();
    let fresh = source.as_ref().map(|source| source.reading);
    let (source_known, target_known) = known(work, intent, created, fresh);
    // What an operator gave is still to be written to the source.
    let is_edited = !work.claimed.job.edits.is_empty();
    let settled =
        fresh.is_some() && !is_edited && checksum(&created.fields) == checksum(&target_known);
    let (here, there) = (intent.source.as_ref(), Some(&created.record.id));
    let (a, b) = both(intent.side.other(), here, there);
    let source_state = match fresh {
        Some(reading) => reading.side_state(&source_known),
        None => SideState {
            id: intent.source.clone(),
            ..SideState::default()
        },
    };
    let target_state = created.side_state(&target_known);
    let (state_a, state_b) = match intent.side {
        Side::A => (target_state, source_state),
        Side::B => (source_state, target_state),
    };
    let link = NewLink {
        id: LinkId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        a: state_a,
        b: state_b,
        base: base(intent.side, &source_known, &target_known),
    };
    let mut change = work.change(Operation::Create, a, b);
    change.link = Some(link.id);
    change.written = Some(intent.side);
    change.intent = Some(intent.id);
    change.fields = created_fields(intent, fresh.is_some());
    change.duration_ms = source.as_ref().map_or(0, |source| source.millis);
    let mut seen = vec![(intent.side, created.indexed(work.sync))];
    seen.extend(fresh.map(|reading| (intent.side.other(), reading.indexed(work.sync))));
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        link: Some(LinkUpdate::Insert(link)),
        seen,
        changes: vec![change],
        used_rulings: source.map(|source| source.used_rulings).unwrap_or_default(),
        outcome: Some(if settled {
            JobOutcome::Done {
                note: format!("created {}", intent.side),
            }
        } else {
            JobOutcome::Snooze {
                run_at: now,
                failure: None,
            }
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

fn confirmed(intent: &Intent, created: &Reading) -> IntentVerdict {
    IntentVerdict {
        intent: intent.id,
        state: IntentState::Confirmed,
        target: Some(created.record.id.clone()),
        error: None,
    }
}

/// What source and created record are known to hold. When the source was read just before the send
/// that made the record, all its fields are known; otherwise only those that were sent.
fn known(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    fresh: Option<&Reading>,
) -> (Fields, Fields) {
    let source = fresh.map_or_else(|| intent.fields.clone(), |reading| reading.fields.clone());
    let target = work
        .sync
        .policy
        .fields
        .iter()
        .map(|rule| {
            let sent = intent.fields.get(&rule.name).cloned().unwrap_or_default();
            let stored = created.fields.get(&rule.name).cloned().unwrap_or_default();
            let kept = tandem_engine::same(rule.equality, &sent, &stored);
            (rule.name.clone(), if kept { stored } else { sent })
        })
        .collect();
    (source, target)
}

fn base(target_side: Side, source: &Fields, target: &Fields) -> BTreeMap<String, BaseValue> {
    target
        .iter()
        .map(|(name, value)| {
            let source = source.get(name).cloned().unwrap_or_default();
            let base = match target_side {
                Side::A => BaseValue {
                    a: value.clone(),
                    b: source,
                },
                Side::B => BaseValue {
                    a: source,
                    b: value.clone(),
                },
            };
            (name.clone(), base)
        })
        .collect()
}

fn created_fields(intent: &Intent, direct: bool) -> Vec<FieldChange> {
    let reason = if direct {
        format!("only on side {}", intent.side.other())
    } else {
        "the answer to this create was lost; its effect was found and linked".to_owned()
    };
    let change = |(name, value): (&String, &Value)| FieldChange {
        field: name.clone(),
        a: if intent.side == Side::B {
            value.clone()
        } else {
            Value::Null
        },
        b: if intent.side == Side::A {
            value.clone()
        } else {
            Value::Null
        },
        base: None,
        chosen: value.clone(),
        from: Some(intent.side.other()),
        lost: None,
        reason: reason.clone(),
    };
    intent.fields.iter().map(change).collect()
}

/// The effect of making again, for an existing link, a record that was deleted.
async fn relink(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    link: &Link,
) -> Result<Performed, WorkError> {
    let (_, target_known) = known(work, intent, created, None);
    let state = created.side_state(&target_known);
    let (a, b) = match intent.side {
        Side::A => (state, link.b.clone()),
        Side::B => (link.a.clone(), state),
    };
    let mut change = work.change(Operation::Create, a.id.as_ref(), b.id.as_ref());
    change.link = Some(link.id);
    change.written = Some(intent.side);
    change.intent = Some(intent.id);
    change.fields = created_fields(intent, false);
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a,
            b,
            base: base(intent.side, &intent.fields, &target_known),
            state: link.state,
        }),
        seen: vec![(intent.side, created.indexed(work.sync))],
        changes: vec![change],
        outcome: Some(JobOutcome::Snooze {
            run_at: work.context.now(),
            failure: None,
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
