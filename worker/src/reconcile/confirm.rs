//! The end of a plan: what the store is to keep of it, in one transaction.

use std::time::Duration;

use tandem_domain::{Fields, Side};
use tandem_engine::{LinkFate, Plan, Settled, SideResult, settle};
use tandem_store::{
    Confirmation, IntentOp, IntentState, IntentVerdict, JobOutcome, LinkState, LinkUpdate,
    SideState, Waiting,
};

use super::change_log::changes;
use super::linked::{Carried, Open};
use super::questions::conflicts;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

pub(super) async fn finish(
    work: Work<'_>,
    open: Open,
    planned: Plan,
    carried: Vec<Carried>,
) -> Result<Performed, WorkError> {
    let is_unread = |one: &Carried| one.after.is_none() && one.intent.op != IntentOp::Delete;
    if carried.iter().any(is_unread) {
        // What was written stays open in the journal: without it, the next run would not know whose it is.
        return Ok(work.again_after(Duration::ZERO, Waiting::Elsewhere));
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
            reason: Waiting::Progress,
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

pub(super) fn verdicts_so_far(open: &Open, carried: &[Carried]) -> Vec<IntentVerdict> {
    let confirmed = carried.iter().map(|one| IntentVerdict {
        intent: one.intent.id,
        state: IntentState::Confirmed,
        target: Some(one.id.clone()),
        error: None,
    });
    open.verdicts.iter().cloned().chain(confirmed).collect()
}

pub(super) fn side_result<'r>(
    open: &'r Open,
    carried: &'r [Carried],
    side: Side,
) -> SideResult<'r> {
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

pub(super) fn note(open: &Open, planned: &Plan, carried: &[Carried]) -> String {
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
pub(super) fn link_update(
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

pub(super) fn side_state(
    open: &Open,
    carried: &[Carried],
    settled: &Settled,
    side: Side,
) -> SideState {
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

pub(super) fn seen(
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

/// Fields whose open question has answered itself, because both sides agree by now.
pub(super) fn moot(work: Work<'_>, open: &Open, settled: &Settled) -> Vec<String> {
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
