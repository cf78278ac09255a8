//! Links a record that a create of ours made with the record that it was made from.

use std::time::Duration;

use tandem_domain::{ConflictId, LinkId, RecordId, Side};
use tandem_engine::{Between, Plan, Settled, SideResult, settle};
use tandem_store::{
    Change, Confirmation, Hints, Intent, IntentState, IntentVerdict, JobOutcome, Link, LinkState,
    LinkUpdate, NewConflict, NewLink, Operation, Outcome, OwnWrite, Resolution, SideMemory,
    SideState, Waiting,
};

use super::change_log::created_fields;
use super::changed::{could_be_made_so, since_made};
use super::lost_create::{is_source_missing, plan_anew};
use super::questions::not_kept_question;
use super::replaced;
use super::set_back;
use crate::context::Cause;
use crate::executor::{Work, both};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{self, Reading};

/// The record that a create carried over, when it was just read.
pub(super) struct Source<'a> {
    pub(super) reading: &'a Reading,
    /// What may have happened between the create and the reading of what it made.
    pub(super) between: Between,
    pub(super) used_rulings: Vec<ConflictId>,
    pub(super) millis: u64,
}

/// Links a created record with its source. What the system made of the values is its form of them, as with any write;
/// what it holds beyond that the next plan sees, in the link's own lane.
pub(super) async fn link_created(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    source: Option<Source<'_>>,
) -> Result<Performed, WorkError> {
    if let Some(anew) = refuse_taken(work, intent, created).await? {
        return Ok(anew);
    }
    let now = work.context.now();
    let fresh = source.as_ref().map(|source| source.reading);
    let settled = settled(work, intent, created, source.as_ref());
    // What an operator gave is still to be written to the source.
    let is_edited = !work.claimed.job.edits.is_empty();
    let is_done = fresh.is_some() && !is_edited && !settled.moved;
    let (here, there) = (intent.source.as_ref(), Some(&created.record.id));
    let (a, b) = both(intent.side.other(), here, there);
    let source_state = match fresh {
        Some(reading) => reading.side_state(settled.known(intent.side.other())),
        None => SideState {
            id: intent.source.clone(),
            ..SideState::default()
        },
    };
    let is_answered = source
        .as_ref()
        .is_some_and(|source| source.between == Between::Nobody);
    let is_last = is_answered || could_be_made_so(work, intent, created);
    let target_state = target_state(intent, created, &settled, (is_answered, is_last));
    let (state_a, state_b) = match intent.side {
        Side::A => (target_state, source_state),
        Side::B => (source_state, target_state),
    };
    let link = NewLink {
        id: LinkId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        a: state_a,
        b: state_b,
        base: settled.base.clone(),
    };
    let mut change = work.change(Operation::Create, a, b);
    change.link = Some(link.id);
    change.written = Some(intent.side);
    change.intent = Some(intent.id);
    change.fields = created_fields(intent, fresh.is_some());
    change.outcome = outcome(&settled);
    change.duration_ms = source.as_ref().map_or(0, |source| source.millis);
    let mut seen = vec![(intent.side, created.indexed(work.sync))];
    seen.extend(fresh.map(|reading| (intent.side.other(), reading.indexed(work.sync))));
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        conflicts: questions(work, link.id, created, &settled),
        link: Some(LinkUpdate::Insert(link)),
        seen,
        changes: vec![change],
        used_rulings: source.map(|source| source.used_rulings).unwrap_or_default(),
        outcome: Some(if is_done {
            JobOutcome::Done {
                note: format!("created {}", intent.side),
            }
        } else {
            work.next_step()
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// A system that gives an id again must not have two records of one side share a partner.
async fn refuse_taken(
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
    if let Some(answered) = set_back::answer(work, &link, intent.side).await? {
        if !matches!(answered.resolution, Some(Resolution::Take { .. })) {
            return wait_for_the_one_before(work, intent, record)
                .await
                .map(Some);
        }
        // The one that bore the id before is one of those that were lost.
        take_apart(work, &link, intent.side.other()).await?;
        return Ok(None);
    }
    replaced::overlaid(work, intent, &link, created).await?;
    let system = work.sync.end(intent.side).connection.to_string();
    let partner = link.side(intent.side.other()).id.clone();
    let error = WorkError::IdTaken {
        system,
        record: record.clone(),
        partner: partner.map_or_else(|| "another record".to_owned(), |id| id.to_string()),
    };
    work.close(intent, IntentState::Failed, Vec::new(), error.to_string())
        .await?;
    Err(error)
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

pub(super) fn questions(
    work: Work<'_>,
    link: LinkId,
    created: &Reading,
    settled: &Settled,
) -> Vec<NewConflict> {
    let record = &created.record.id;
    settled
        .not_kept
        .iter()
        .map(|lost| {
            let shown = vec![created.shown(lost.side)];
            not_kept_question(work, link, record.clone(), lost.clone(), shown)
        })
        .collect()
}

const fn outcome(settled: &Settled) -> Outcome {
    if settled.not_kept.is_empty() {
        Outcome::Applied
    } else {
        Outcome::NotKept
    }
}

/// What is known of the record that a create made: whether its answer held it, and whether nobody may have changed it
/// since.
fn target_state(
    intent: &Intent,
    created: &Reading,
    settled: &Settled,
    (is_answered, is_last): (bool, bool),
) -> SideState {
    let mut state = created.side_state(settled.known(intent.side));
    state.memory = SideMemory {
        made_at: created.record.created_at,
        own_write: Some(OwnWrite {
            before: None,
            after: created.record.updated_at.filter(|_| is_last),
            read_at: intent.created_at,
            replaced: String::new(),
            wrote: intent.fields.keys().cloned().collect(),
            fields: if is_answered {
                intent.fields.keys().cloned().collect()
            } else {
                Vec::new()
            },
            others_moved: false,
        }),
        ..SideMemory::default()
    };
    state
}

pub(super) fn confirmed(intent: &Intent, created: &Reading) -> IntentVerdict {
    IntentVerdict {
        intent: intent.id,
        state: IntentState::Confirmed,
        target: Some(created.record.id.clone()),
        error: None,
        sends: None,
    }
}

/// What both records are known to hold. When the source was read just before the send that made the record, all its
/// fields are known; otherwise only those that were sent.
fn settled(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    source: Option<&Source<'_>>,
) -> Settled {
    let made = SideResult {
        before: None,
        sent: Some(&intent.fields),
        after: Some(&created.fields),
        between: source.map_or_else(
            || since_made(work, intent, created),
            |source| source.between,
        ),
        guarded: false,
    };
    let from = SideResult {
        before: Some(source.map_or(&intent.fields, |source| &source.reading.fields)),
        ..SideResult::default()
    };
    let (a, b) = match intent.side {
        Side::A => (made, from),
        Side::B => (from, made),
    };
    settle(&work.sync.policy, None, &Plan::keep(), a, b)
}

/// As [`settled`], for a record that was made again. What is not ours to write to it the source still holds, and the
/// new record has nothing to say about it.
async fn resettled(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    link: &Link,
) -> Result<Settled, WorkError> {
    let mut settled = settled(work, intent, created, None);
    let side = intent.side.other();
    let Some(id) = &link.side(side).id else {
        return Ok(settled);
    };
    let Some(source) = readings::read(work.sync, side, id, work.claimed.job.hints).await? else {
        return Ok(settled);
    };
    for rule in &work.sync.policy.fields {
        if rule.direction.writes(intent.side) {
            continue;
        }
        let value = source.fields.get(&rule.name).cloned().unwrap_or_default();
        if let Some(base) = settled.base.get_mut(&rule.name) {
            base.set(side, value);
        }
    }
    Ok(settled)
}

/// The effect of making again, for an existing link, a record that was deleted.
pub(super) async fn relink(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    link: &Link,
) -> Result<Performed, WorkError> {
    let settled = resettled(work, intent, created, link).await?;
    let is_last = could_be_made_so(work, intent, created);
    let state = target_state(intent, created, &settled, (false, is_last));
    let (a, b) = match intent.side {
        Side::A => (state, link.b.clone()),
        Side::B => (link.a.clone(), state),
    };
    let mut change = work.change(Operation::Create, a.id.as_ref(), b.id.as_ref());
    change.link = Some(link.id);
    change.written = Some(intent.side);
    change.intent = Some(intent.id);
    change.fields = created_fields(intent, false);
    change.outcome = outcome(&settled);
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        conflicts: questions(work, link.id, created, &settled),
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a,
            b,
            base: settled.base.clone(),
            state: link.state,
        }),
        seen: vec![(intent.side, created.indexed(work.sync))],
        changes: vec![change],
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
