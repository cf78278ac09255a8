//! Links a record that a create of ours made with the record that it was made from.

use std::time::Duration;

use tandem_domain::{ConflictId, LinkId, Side};
use tandem_engine::{Between, Plan, Settled, SideResult, settle};
use tandem_store::{
    Confirmation, IndexedRecord, Intent, IntentState, IntentVerdict, JobOutcome, Link, LinkUpdate,
    NewConflict, NewLink, Operation, Outcome, OwnWrite, SideMemory, SideState, Sight,
};

use super::change_log::created_fields;
use super::changed::{could_be_made_so, since_made};
use super::met::{self, Stood};
use super::questions::not_kept_question;
use super::taken;
use crate::executor::{Work, both};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{self, Reading};

/// The record that a create made.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) reading: &'a Reading,
    /// Whether only the answer to the create has shown it.
    pub(super) unread: bool,
}

impl<'a> Made<'a> {
    /// As a listing or a reading shows it.
    pub(super) const fn shown(reading: &'a Reading) -> Self {
        Self {
            reading,
            unread: false,
        }
    }

    const fn sight(&self) -> Sight {
        if self.unread {
            Sight::Answered
        } else {
            Sight::Shown
        }
    }

    fn indexed(&self, work: Work<'_>) -> IndexedRecord {
        IndexedRecord {
            sight: self.sight(),
            ..self.reading.indexed(work.sync)
        }
    }
}

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
    made: Made<'_>,
    source: Option<Source<'_>>,
) -> Result<Performed, WorkError> {
    let created = made.reading;
    if let Some(ended) = taken::refuse(work, intent, created).await? {
        return Ok(ended);
    }
    let now = work.context.now();
    let fresh = source.as_ref().map(|source| source.reading);
    let took = source.as_ref().map_or(0, |source| source.millis);
    let stood = met::look(work, intent, created, Duration::from_millis(took)).await?;
    let settled = settled(work, intent, created, (source.as_ref(), stood.is_some()));
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
    let known = (is_answered, is_last, stood.as_ref());
    let target_state = target_state(intent, made, &settled, known);
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
    let mut seen = vec![(intent.side, made.indexed(work))];
    seen.extend(fresh.map(|reading| (intent.side.other(), reading.indexed(work.sync))));
    let mut shown = vec![created.shown(intent.side)];
    shown.extend(fresh.map(|reading| reading.shown(intent.side.other())));
    let between = source
        .as_ref()
        .map_or(Between::Unknown, |source| source.between);
    let found = (created, between, shown);
    let told = stood.and_then(|stood| stood.told(work, link.id, intent, found, (a, b)));
    let (over, logged) = told.unzip();
    let mut conflicts = questions(work, link.id, (intent, created), &settled);
    conflicts.extend(over);
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        conflicts,
        link: Some(LinkUpdate::Insert(link)),
        seen,
        changes: [change].into_iter().chain(logged).collect(),
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

fn questions(
    work: Work<'_>,
    link: LinkId,
    (intent, created): (&Intent, &Reading),
    settled: &Settled,
) -> Vec<NewConflict> {
    let record = &created.record.id;
    settled
        .not_kept
        .iter()
        .map(|lost| {
            let shown = vec![created.shown(lost.side)];
            let lost = (lost.clone(), met::beside(intent, lost));
            not_kept_question(work, link, record.clone(), lost, shown)
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
    made: Made<'_>,
    settled: &Settled,
    (is_answered, is_last, stood): (bool, bool, Option<&Stood>),
) -> SideState {
    let created = made.reading;
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
            made: stood.is_none(),
            unread: made.unread && stood.is_none(),
            left: created.checksum(),
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
    (source, met): (Option<&Source<'_>>, bool),
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
        former: None,
        met,
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
    met: bool,
) -> Result<Settled, WorkError> {
    let mut settled = settled(work, intent, created, (None, met));
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
    made: Made<'_>,
    link: &Link,
) -> Result<Performed, WorkError> {
    let created = made.reading;
    if let Some(ended) = taken::refuse(work, intent, created).await? {
        return Ok(ended);
    }
    let stood = met::look(work, intent, created, Duration::ZERO).await?;
    let settled = resettled(work, intent, created, link, stood.is_some()).await?;
    let is_last = could_be_made_so(work, intent, created);
    let known = (false, is_last, stood.as_ref());
    let state = target_state(intent, made, &settled, known);
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
    let found = (created, Between::Unknown, vec![created.shown(intent.side)]);
    let pair = (a.id.as_ref(), b.id.as_ref());
    let told = stood.and_then(|stood| stood.told(work, link.id, intent, found, pair));
    let (over, logged) = told.unzip();
    let mut conflicts = questions(work, link.id, (intent, created), &settled);
    conflicts.extend(over);
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        conflicts,
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a,
            b,
            base: settled.base.clone(),
            state: link.state,
        }),
        seen: vec![(intent.side, made.indexed(work))],
        changes: [change].into_iter().chain(logged).collect(),
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
