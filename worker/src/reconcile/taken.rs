//! A create of ours is answered with a record that has another partner. Its system gave an id again, or it joins what it is
//! told with what it has: two records of one side must not share a partner, and what the create has written over the
//! record is no edit of anybody.

use std::time::Duration;

use tandem_domain::{Fields, RecordId, Side, Value};
use tandem_engine::{FieldRule, same};
use tandem_store::{
    Change, Confirmation, Hints, Intent, IntentOp, IntentState, Link, LinkState, LinkUpdate,
    Operation, Resolution, SideState, Trigger, Waiting,
};

use super::lost_create::{is_source_missing, plan_anew};
use super::replaced;
use super::set_back;
use crate::context::Cause;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// Ends the job where what a create is answered with has another partner.
pub(super) async fn refuse(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
) -> Result<Option<Performed>, WorkError> {
    let record = &created.record.id;
    let store = &work.context.store;
    let pair = store.pair(&work.sync.name, intent.side, record).await?;
    let Some(link) = pair.link.filter(|link| link.state == LinkState::Active) else {
        return Ok(None);
    };
    if Some(link.id) == intent.link {
        return Ok(None);
    }
    if link.side(intent.side.other()).id == intent.source {
        // Another job of ours has found it meanwhile.
        let reason = "another job has linked what it made with its source".to_owned();
        work.close(intent, IntentState::Confirmed, Vec::new(), reason)
            .await?;
        return Ok(Some(work.again_after(Duration::ZERO, Waiting::Progress)));
    }
    if is_source_missing(work, intent).await? {
        // It was made again under another id, and that one has found what this create had made.
        let reason = "its source is gone, and what it made has another partner";
        return plan_anew(work, intent, reason).await.map(Some);
    }
    let is_given_anew = is_given_anew(work, intent, &link, created);
    if is_given_anew && let Some(answered) = set_back::answer(work, &link, intent.side).await? {
        if !matches!(answered.resolution, Some(Resolution::Take { .. })) {
            return wait_for_the_one_before(work, intent, record)
                .await
                .map(Some);
        }
        // The one that bore the id before is one of those that were lost.
        take_apart(work, &link, intent.side.other()).await?;
        return Ok(None);
    }
    replaced::overlaid(work, intent, created).await?;
    let error = error(work, &link, intent.side, record);
    // Known by its target: it is not sent again before something has changed.
    let known = Intent {
        target: Some(record.clone()),
        ..intent.clone()
    };
    work.close(&known, IntentState::Failed, Vec::new(), error.to_string())
        .await?;
    Err(error)
}

fn error(work: Work<'_>, link: &Link, side: Side, record: &RecordId) -> WorkError {
    let partner = link.side(side.other()).id.clone();
    WorkError::IdTaken {
        system: work.sync.end(side).connection.to_string(),
        record: record.clone(),
        partner: partner.map_or_else(|| "another record".to_owned(), |id| id.to_string()),
    }
}

/// Whether a system that was set back gave the id of a linked record to what was made now. One that was made when the linked
/// one was is that one, and so is one that holds values of it that were not sent.
fn is_given_anew(work: Work<'_>, intent: &Intent, link: &Link, created: &Reading) -> bool {
    let side = intent.side;
    let known = link.side(side).memory.made_at;
    if let (Some(known), Some(made)) = (known, created.record.created_at) {
        return known != made;
    }
    let is_of_before = |rule: &FieldRule| {
        let sent = intent.fields.get(&rule.name).unwrap_or(&Value::Null);
        let stands = created.fields.get(&rule.name).unwrap_or(&Value::Null);
        let base = link.base.get(&rule.name).map(|base| base.side(side));
        let is_old = base.is_some_and(|base| same(rule.equality, base, stands));
        sent.is_null() && !stands.is_null() && is_old
    };
    !work.sync.policy.fields.iter().any(is_of_before)
}

/// Refuses to send a create again that was answered with the partner of another record, as long as that one has this
/// partner and the values are the same: it would write over it once more. A person who replays the dead letter has it sent.
pub(super) async fn refuse_again(
    work: Work<'_>,
    side: Side,
    source: &RecordId,
    fields: &Fields,
) -> Result<(), WorkError> {
    if work.claimed.job.trigger == Trigger::Manual {
        return Ok(());
    }
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, source).await?;
    let is_create = |intent: &&Intent| {
        let is_of_this = intent.side == side && intent.source.as_ref() == Some(source);
        is_of_this && intent.op == IntentOp::Create
    };
    let creates = intents.iter().filter(is_create);
    let last = creates.max_by_key(|intent| intent.created_at);
    let failed = last.filter(|last| last.state == IntentState::Failed && last.fields == *fields);
    let Some(record) = failed.and_then(|last| last.target.as_ref()) else {
        return Ok(());
    };
    let pair = store.pair(&work.sync.name, side, record).await?;
    let link = pair.link.filter(|link| link.state == LinkState::Active);
    match link.filter(|link| link.side(side.other()).id.as_ref() != Some(source)) {
        Some(link) => Err(error(work, &link, side, record)),
        None => Ok(()),
    }
}

/// The one that bore the id before counts as deleted: what becomes of its partner is settled first. What was made is known
/// by its id meanwhile, and not made again.
async fn wait_for_the_one_before(
    work: Work<'_>,
    intent: &Intent,
    record: &RecordId,
) -> Result<Performed, WorkError> {
    let known = Intent {
        target: Some(record.clone()),
        ..intent.clone()
    };
    let why = "its id is that of a record which counts as deleted; that pair is settled first";
    work.close(&known, IntentState::Unknown, Vec::new(), why.to_owned())
        .await?;
    Ok(work.again_after(set_back::CREATES_PAUSE, Waiting::Elsewhere))
}

/// Dissolves the pair of a record whose id another has by now. Whoever looks at what is left of it finds it without a
/// partner.
async fn take_apart(work: Work<'_>, link: &Link, rest: Side) -> Result<(), WorkError> {
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a: SideState::default(),
            b: SideState::default(),
            base: link.base.clone(),
            state: LinkState::Retired,
        }),
        changes: vec![taken_apart(work, link, rest)],
        ..Confirmation::default()
    };
    work.learn(confirmation).await?;
    let Some(record) = link.side(rest).id.clone() else {
        return Ok(());
    };
    let cause = Cause {
        sync: &work.sync.name,
        side: rest,
        class: work.claimed.job.class,
        trigger: work.claimed.job.trigger,
    };
    // Afterwards: in the lane of that link it would become one with a job that goes with the other record.
    let job = work.context.reconcile_job(cause, record, Hints::default());
    work.context.enqueue(vec![job]).await
}

fn taken_apart(work: Work<'_>, link: &Link, rest: Side) -> Change {
    let before = link.side(rest.other()).id.as_ref();
    let connection = &work.sync.end(rest.other()).connection;
    let why = before.map(|id| {
        format!(
            "{connection} was set back and gave the id {id} to a record that was made since: its partner gets another"
        )
    });
    Change {
        link: Some(link.id),
        error: why,
        ..work.change(Operation::Unlink, link.a.id.as_ref(), link.b.id.as_ref())
    }
}
