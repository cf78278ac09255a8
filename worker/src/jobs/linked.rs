//! A linked pair: read both records, merge them three ways, write what differs, move the base.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_connectors::ConnectorError;
use tandem_domain::{BaseValue, ConflictId, Fields, RecordId, Side, Value};
use tandem_engine::{
    Decision, Gone, LinkFate, Plan, PlannedWrite, Presence, Ruled, Settled, SideResult, View,
    WriteOp, settle,
};
use tandem_store::{
    Change, Confirmation, ConflictKind, FieldChange, Intent, IntentOp, IntentState, IntentVerdict,
    JobOutcome, Link, LinkState, LinkUpdate, NewConflict, Operation, Outcome, PairContext,
    Resolution, SideState,
};

use super::{Performed, adopt};
use crate::edits;
use crate::executor::{About, Sent, Work, shows, shows_field, verdict};
use crate::failure::WorkError;
use crate::readings::{self, Reading};
use crate::trace;

/// Both records as first read.
struct Pair {
    a: Option<Reading>,
    b: Option<Reading>,
}

impl Pair {
    const fn side(&self, side: Side) -> Option<&Reading> {
        match side {
            Side::A => self.a.as_ref(),
            Side::B => self.b.as_ref(),
        }
    }
}

/// One write that was carried out.
struct Carried {
    intent: Intent,
    id: RecordId,
    after: Option<Reading>,
    atomic: bool,
    millis: u64,
}

pub async fn run(work: Work<'_>, link: Link, context: PairContext) -> Result<Performed, WorkError> {
    if let Some(intent) = adopt::lost_create(&context.intents) {
        return adopt::settle_create(work, intent, Some(&link)).await;
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
    if let Some(held) = brake(work, &open, &mut planned).await? {
        return Ok(held);
    }
    if planned.writes.is_empty() {
        return finish(work, open, planned, Vec::new()).await;
    }
    carry_out(work, open, planned).await
}

/// Everything that is known before the plan is carried out.
struct Open {
    link: Link,
    /// See [`base_now`].
    base: BTreeMap<String, BaseValue>,
    pair: Pair,
    verdicts: Vec<IntentVerdict>,
    context: PairContext,
}

async fn read_both(work: Work<'_>, link: &Link) -> Result<Pair, ConnectorError> {
    let hints = work.claimed.job.hints;
    let read = async |side: Side| match &link.side(side).id {
        Some(id) => readings::read(work.sync, side, id, hints).await,
        None => Ok(None),
    };
    let (a, b) = futures::try_join!(read(Side::A), read(Side::B))?;
    Ok(Pair { a, b })
}

/// A record that is out of use, and whose partner is deleted, is not made again elsewhere: it counts as
/// gone even where the sync keeps such records in agreement.
fn presence(side: Side, pair: &Pair) -> Presence {
    match pair.side(side) {
        None => Presence::Gone(Gone::Deleted),
        Some(reading) if reading.record.archived && pair.side(side.other()).is_none() => {
            Presence::Gone(Gone::Archived)
        }
        Some(reading) => reading.presence(),
    }
}

/// What the systems show of writes whose end the journal does not know.
fn settle_open(work: Work<'_>, intents: &[Intent], pair: &Pair) -> Vec<IntentVerdict> {
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
fn base_now(
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

fn rulings(context: &PairContext) -> BTreeMap<String, Side> {
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

/// Holds a delete that comes on top of too many; an approved one passes, a rejected one retires the link.
async fn brake(
    work: Work<'_>,
    open: &Open,
    planned: &mut Plan,
) -> Result<Option<Performed>, WorkError> {
    let Some(delete) = planned
        .writes
        .iter()
        .find(|write| write.op == WriteOp::Delete)
    else {
        return Ok(None);
    };
    let gone = delete.side.other();
    let answer = |wanted: Resolution| {
        open.context
            .rulings
            .iter()
            .any(|ruling| ruling.resolution == wanted)
    };
    if answer(Resolution::Reject) {
        planned.writes.clear();
        return Ok(None);
    }
    let links = work.context.store.link_count(&work.sync.name).await?;
    let brakes = &work.context.brakes;
    if answer(Resolution::Approve)
        || brakes.admit(&work.sync.name, work.sync.brake, links, work.context.now())
    {
        return Ok(None);
    }
    let Some(record) = open.link.side(delete.side).id.clone() else {
        return Ok(None);
    };
    let question = question(
        work,
        open,
        delete.side,
        record,
        ConflictKind::DeleteHeld { gone },
    );
    let confirmation = Confirmation {
        verdicts: open.verdicts.clone(),
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: "held: more deletes than the brake allows".to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

fn question(
    work: Work<'_>,
    open: &Open,
    side: Side,
    record: RecordId,
    kind: ConflictKind,
) -> NewConflict {
    NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(open.link.id),
        side,
        record,
        kind,
    }
}

async fn carry_out(work: Work<'_>, open: Open, planned: Plan) -> Result<Performed, WorkError> {
    let intents: Vec<Intent> = planned
        .writes
        .iter()
        .map(|write| intent_for(work, &open, write))
        .collect();
    if let Some(ended) = work
        .journal(Some((open.link.id, open.link.revision)), &intents)
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
                return work.give_up(intent, IntentState::Failed, error).await;
            }
            Sent::Unknown(error) => {
                return work.give_up(intent, IntentState::Unknown, error).await;
            }
        }
    }
    finish(work, open, planned, carried).await
}

fn intent_for(work: Work<'_>, open: &Open, write: &PlannedWrite) -> Intent {
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
async fn read_back(
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

fn verdicts_so_far(open: &Open, carried: &[Carried]) -> Vec<IntentVerdict> {
    let confirmed = carried.iter().map(|one| IntentVerdict {
        intent: one.intent.id,
        state: IntentState::Confirmed,
        target: Some(one.id.clone()),
        error: None,
    });
    open.verdicts.iter().cloned().chain(confirmed).collect()
}

async fn finish(
    work: Work<'_>,
    open: Open,
    planned: Plan,
    carried: Vec<Carried>,
) -> Result<Performed, WorkError> {
    let is_unread = |one: &Carried| one.after.is_none() && one.intent.op != IntentOp::Delete;
    if carried.iter().any(is_unread) {
        // What was written stays open in the journal: without it, the next run would not know whose it is.
        return Ok(work.again_after(Duration::ZERO));
    }
    let settled = settle(
        &work.sync.policy,
        Some(&open.base),
        &planned,
        side_result(&open, &carried, Side::A),
        side_result(&open, &carried, Side::B),
    );
    let outcome = if settled.moved {
        JobOutcome::Snooze {
            run_at: work.context.now(),
            failure: None,
        }
    } else {
        JobOutcome::Done {
            note: note(&open, &planned, &carried),
        }
    };
    let confirmation = Confirmation {
        verdicts: verdicts_so_far(&open, &carried),
        link: link_update(&open, &planned, &carried, &settled),
        seen: seen(work, &open, &carried),
        changes: changes(work, &open, &planned, &carried, &settled),
        conflicts: conflicts(work, &open, &planned, &settled),
        used_rulings: open
            .context
            .rulings
            .iter()
            .map(|ruling| ruling.conflict)
            .collect(),
        settled_fields: moot(work, &open, &settled),
        outcome: Some(outcome),
    };
    work.confirm(confirmation).await
}

fn side_result<'r>(open: &'r Open, carried: &'r [Carried], side: Side) -> SideResult<'r> {
    let write = carried
        .iter()
        .find(|one| one.intent.side == side && one.intent.op != IntentOp::Delete);
    let created = write.is_some_and(|one| one.intent.op == IntentOp::Create);
    SideResult {
        before: open
            .pair
            .side(side)
            .filter(|_| !created)
            .map(|reading| &reading.fields),
        sent: write.map(|one| &one.intent.fields),
        after: write
            .and_then(|one| one.after.as_ref())
            .map(|reading| &reading.fields),
        atomic: write.is_some_and(|one| one.atomic),
    }
}

fn note(open: &Open, planned: &Plan, carried: &[Carried]) -> String {
    if let Some(one) = carried.first() {
        let sides: Vec<&str> = carried.iter().map(|one| one.intent.side.as_str()).collect();
        let verb = match one.intent.op {
            IntentOp::Create => "created",
            IntentOp::Update => "wrote",
            IntentOp::Delete => "deleted",
        };
        return format!("{verb} {}", sides.join(" and "));
    }
    if planned.link != LinkFate::Keep {
        return "retired: one record is gone".to_owned();
    }
    if !planned.questions.is_empty() {
        return "waits for an operator".to_owned();
    }
    if !planned.decisions.is_empty() {
        return "agreed: both sides have the same values".to_owned();
    }
    if open.verdicts.is_empty() {
        "echo: nothing to do"
    } else {
        "wrote: seen when read back"
    }
    .to_owned()
}

/// The link as it is now; `None` when nothing about it has changed.
fn link_update(
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
    settled: &Settled,
) -> Option<LinkUpdate> {
    let link = &open.link;
    let state = if planned.link == LinkFate::Keep {
        LinkState::Active
    } else {
        LinkState::Retired
    };
    let (a, b, base) = match planned.link {
        LinkFate::Keep => (
            side_state(open, carried, settled, Side::A),
            side_state(open, carried, settled, Side::B),
            settled.base.clone(),
        ),
        LinkFate::Retire => (link.a.clone(), link.b.clone(), link.base.clone()),
        LinkFate::Dissolve => (
            SideState::default(),
            SideState::default(),
            link.base.clone(),
        ),
    };
    let same = link.a == a && link.b == b && link.base == base && link.state == state;
    (!same).then_some(LinkUpdate::Update {
        id: link.id,
        expected_revision: link.revision,
        a,
        b,
        base,
        state,
    })
}

fn side_state(open: &Open, carried: &[Carried], settled: &Settled, side: Side) -> SideState {
    let known: &Fields = match side {
        Side::A => &settled.known_a,
        Side::B => &settled.known_b,
    };
    let written = carried
        .iter()
        .find(|one| one.intent.side == side)
        .and_then(|one| one.after.as_ref());
    match written.or_else(|| open.pair.side(side)) {
        Some(reading) => reading.side_state(known),
        None => open.link.side(side).clone(),
    }
}

fn seen(
    work: Work<'_>,
    open: &Open,
    carried: &[Carried],
) -> Vec<(Side, tandem_store::IndexedRecord)> {
    Side::BOTH
        .into_iter()
        .filter_map(|side| {
            let written = carried
                .iter()
                .find(|one| one.intent.side == side)
                .and_then(|one| one.after.as_ref());
            let reading = written.or_else(|| open.pair.side(side))?;
            Some((side, reading.indexed(work.sync)))
        })
        .collect()
}

fn changes(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
    settled: &Settled,
) -> Vec<Change> {
    let mut changes: Vec<Change> = carried
        .iter()
        .map(|one| written(work, open, planned, one, settled))
        .collect();
    let late = open
        .verdicts
        .iter()
        .filter(|verdict| verdict.state == IntentState::Confirmed);
    for verdict in late {
        if let Some(intent) = open
            .context
            .intents
            .iter()
            .find(|intent| intent.id == verdict.intent)
        {
            changes.push(seen_late(work, open, intent));
        }
    }
    let agreed: Vec<&Decision> = planned
        .decisions
        .iter()
        .filter(|decision| decision.from.is_none())
        .collect();
    if !agreed.is_empty() && carried.is_empty() {
        let fields = agreed
            .into_iter()
            .map(|decision| field_change(open, decision))
            .collect();
        changes.push(Change {
            fields,
            ..blank(work, open, Operation::Agree)
        });
    }
    if planned.link != LinkFate::Keep {
        changes.push(blank(work, open, Operation::Unlink));
    }
    if !planned.questions.is_empty() && new_questions(open, planned) {
        changes.push(blank(work, open, Operation::Conflict));
    }
    changes
}

fn blank(work: Work<'_>, open: &Open, operation: Operation) -> Change {
    let change = work.change(operation, open.link.a.id.as_ref(), open.link.b.id.as_ref());
    Change {
        link: Some(open.link.id),
        ..change
    }
}

fn written(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    one: &Carried,
    settled: &Settled,
) -> Change {
    let operation = match one.intent.op {
        IntentOp::Create => Operation::Create,
        IntentOp::Update => Operation::Update,
        IntentOp::Delete => Operation::Delete,
    };
    let decided = planned
        .decisions
        .iter()
        .filter(|decision| one.intent.fields.contains_key(&decision.field));
    let kept = !settled
        .not_kept
        .iter()
        .any(|lost| lost.side == one.intent.side);
    Change {
        written: Some(one.intent.side),
        intent: Some(one.intent.id),
        fields: decided
            .map(|decision| field_change(open, decision))
            .collect(),
        outcome: if kept {
            Outcome::Applied
        } else {
            Outcome::NotKept
        },
        duration_ms: one.millis,
        ..blank(work, open, operation)
    }
}

fn seen_late(work: Work<'_>, open: &Open, intent: &Intent) -> Change {
    let fields = intent.fields.iter().map(|(name, value)| FieldChange {
        field: name.clone(),
        a: Value::Null,
        b: Value::Null,
        base: None,
        chosen: value.clone(),
        from: Some(intent.side.other()),
        lost: None,
        reason: "the answer to this write was lost; it was seen when read back".to_owned(),
    });
    let operation = match intent.op {
        IntentOp::Create => Operation::Create,
        IntentOp::Update => Operation::Update,
        IntentOp::Delete => Operation::Delete,
    };
    Change {
        written: Some(intent.side),
        intent: Some(intent.id),
        fields: fields.collect(),
        ..blank(work, open, operation)
    }
}

fn field_change(open: &Open, decision: &Decision) -> FieldChange {
    let value = |side: Side| -> Value {
        let reading = open.pair.side(side);
        reading
            .and_then(|reading| reading.fields.get(&decision.field))
            .cloned()
            .unwrap_or_default()
    };
    FieldChange {
        field: decision.field.clone(),
        a: value(Side::A),
        b: value(Side::B),
        base: open
            .base
            .get(&decision.field)
            .map(|base| (base.a.clone(), base.b.clone())),
        chosen: decision.chosen.clone(),
        from: decision.from,
        lost: decision.lost.clone(),
        reason: decision.reason.clone(),
    }
}

fn new_questions(open: &Open, planned: &Plan) -> bool {
    planned
        .questions
        .iter()
        .any(|question| !open.context.open_conflict_fields.contains(&question.field))
}

fn conflicts(work: Work<'_>, open: &Open, planned: &Plan, settled: &Settled) -> Vec<NewConflict> {
    let record = |side: Side| open.link.side(side).id.clone();
    let asked = planned.questions.iter().filter_map(|asked| {
        let kind = ConflictKind::Field {
            field: asked.field.clone(),
            a: asked.a.clone(),
            b: asked.b.clone(),
        };
        Some(question(work, open, Side::A, record(Side::A)?, kind))
    });
    let lost = settled.not_kept.iter().filter_map(|lost| {
        let kind = ConflictKind::NotKept {
            field: lost.field.clone(),
            sent: lost.sent.clone(),
            kept: lost.kept.clone(),
        };
        Some(question(work, open, lost.side, record(lost.side)?, kind))
    });
    asked.chain(lost).collect()
}

/// Fields whose open question has answered itself, because both sides agree by now.
fn moot(work: Work<'_>, open: &Open, settled: &Settled) -> Vec<String> {
    let agree = |field: &String| {
        let rule = work
            .sync
            .policy
            .fields
            .iter()
            .find(|rule| rule.name == *field);
        let (a, b) = (settled.known_a.get(field), settled.known_b.get(field));
        match (rule, a, b) {
            (Some(rule), Some(a), Some(b)) => tandem_engine::same(rule.equality, a, b),
            _ => true,
        }
    };
    open.context
        .open_conflict_fields
        .iter()
        .filter(|field| agree(field))
        .cloned()
        .collect()
}
