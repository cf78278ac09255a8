//! The end of a plan: what the store is to keep of it, in one transaction.

use tandem_connectors::ConnectorError;
use tandem_domain::{Side, Value};
use tandem_engine::{Between, LinkFate, Plan, SideResult, settle};
use tandem_store::{
    Change, Confirmation, IndexedRecord, Intent, IntentOp, IntentState, IntentVerdict, JobOutcome,
    NewConflict, Sight, Waiting,
};

use super::answered;
use super::change_log::changes;
use super::create::keep_id;
use super::ending;
use super::former;
use super::kept::link_update;
use super::linked::Open;
use super::moot;
use super::not_deleted;
use super::own_write::shows_own_write;
use super::questions::conflicts;
use super::sending::{Carried, write_to};
use super::taken;
use super::unshown::Unshown;
use super::went_under;
use crate::context::Cause;
use crate::executor::{Work, both};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{Reading, hints_of};

pub(super) async fn finish(
    work: Work<'_>,
    open: Open,
    planned: Plan,
    mut carried: Vec<Carried>,
) -> Result<Performed, WorkError> {
    let is_unread = |one: &Carried| one.after.is_none() && one.intent.op != IntentOp::Delete;
    if let Some(made) = carried
        .iter()
        .find(|one| is_unread(one) && one.intent.op == IntentOp::Create)
    {
        let error = ConnectorError::ResponseLost {
            system: work.sync.end(made.intent.side).connection.to_string(),
            operation: format!("create {}", made.id),
            reason: "the new record cannot be read yet".to_owned(),
        };
        return keep_id(work, &made.intent, &made.id, error.into()).await;
    }
    for made in carried
        .iter()
        .filter(|one| one.intent.op == IntentOp::Create)
    {
        let Some(created) = &made.after else { continue };
        if let Some(ended) = taken::refuse(work, &made.intent, created).await? {
            return Ok(ended);
        }
    }
    // The system has taken it: what cannot be read back for the moment is as if it did not show yet.
    let is_unread = |one: &Carried| is_unread(one) || shows_nothing(&open, one);
    for one in carried.iter_mut().filter(|one| is_unread(one)) {
        one.after = open.pair.side(one.intent.side).cloned();
    }
    for one in &mut carried {
        if let (Some(before), Some(after)) = (open.pair.side(one.intent.side), &mut one.after) {
            after.keep_as(before, Some(&one.intent.fields));
            after.keep_forms(work.sync, before, &one.intent.fields);
        }
    }
    let [former_a, former_b] = [
        former::values(work, &open, &carried, Side::A).await?,
        former::values(work, &open, &carried, Side::B).await?,
    ];
    let settled = settle(
        &work.sync.policy,
        Some(&open.base),
        &planned,
        SideResult {
            former: Some(&former_a),
            ..side_result(work, &open, &carried, Side::A)
        },
        SideResult {
            former: Some(&former_b),
            ..side_result(work, &open, &carried, Side::B)
        },
    );
    let unshown = Unshown::of(work, &open, &carried, &settled);
    let outcome = if settled.moved {
        work.next_step()
    } else if let Some(wait) = unshown.wait.or(not_deleted::first_look(&carried)) {
        work.snooze(wait, Waiting::Elsewhere)
    } else {
        JobOutcome::Done {
            note: note(work, &open, &planned, &carried),
        }
    };
    let dissolved = planned.link == LinkFate::Dissolve;
    let ended = moot::ended(work, &open, &planned, &settled);
    let over = met(work, &open, &carried).into_iter();
    let (over, logged): (Vec<_>, Vec<_>) =
        over.chain(went_under::ended(work, &open, &planned)).unzip();
    let mut logs = changes(work, &open, &planned, &carried, &settled);
    logs.extend(went_under::lost(work, &open, &planned, &carried));
    logs.extend(logged);
    let mut asked = conflicts(work, &open, &planned, &unshown.ask);
    asked.retain(|one| !moot::is_kept(work, &settled, one));
    asked.extend(over);
    let confirmation = Confirmation {
        verdicts: verdicts_so_far(&open, &carried),
        link: link_update(work, &open, &planned, &carried, (&settled, &unshown)),
        seen: seen(work, &open, &carried)
            .into_iter()
            .chain(gone(&open, &planned))
            .collect(),
        changes: logs,
        conflicts: asked,
        used_rulings: ended.used,
        moot: ended.moot,
        outcome: Some(outcome),
    };
    let both_are_in_use = Side::BOTH
        .into_iter()
        .all(|side| in_use(&open, side).is_some());
    if dissolved && !both_are_in_use {
        // Also before, because the process may die right after. In the lane of the link, where it waits, there is room for
        // one: it may become one with a job for the record that is gone.
        look_at_the_rest(work, &open).await?;
    }
    let performed = work.confirm(confirmation).await?;
    if dissolved {
        look_at_the_rest(work, &open).await?;
    }
    Ok(performed)
}

/// Whether what was read back of an update shows neither what was written nor anything that stood beside it: some systems
/// answer so for a while when they fail. It says nothing of what the record holds.
fn shows_nothing(open: &Open, one: &Carried) -> bool {
    let (Some(before), Some(after)) = (open.pair.side(one.intent.side), &one.after) else {
        return false;
    };
    let sent = &one.intent.fields;
    let has_value = |value: &Value| !value.is_null();
    let stood_beside = before.fields.iter();
    let mut stood_beside = stood_beside.filter(|(field, _)| !sent.contains_key(*field));
    let is_any_due =
        sent.values().any(has_value) && stood_beside.any(|(_, value)| has_value(value));
    one.intent.op == IntentOp::Update && is_any_due && !after.fields.values().any(has_value)
}

/// What is said of records that creates met.
fn met(work: Work<'_>, open: &Open, carried: &[Carried]) -> Vec<(NewConflict, Change)> {
    let told = carried.iter().filter_map(|one| {
        let (stood, after) = (one.met.as_ref()?, one.after.as_ref()?);
        let side = one.intent.side;
        let partner = open.pair.side(side.other());
        let mut shown = vec![after.shown(side)];
        shown.extend(partner.map(|partner| partner.shown(side.other())));
        let pair = both(
            side,
            Some(&one.id),
            partner.map(|partner| &partner.record.id),
        );
        let found = (after, one.between, shown);
        stood.told(work, open.link.id, &one.intent, found, pair)
    });
    told.collect()
}

/// A record that is there, and not out of use.
fn in_use(open: &Open, side: Side) -> Option<&Reading> {
    let reading = open.pair.side(side);
    reading.filter(|reading| !reading.record.archived)
}

/// The records of a link that is dissolved are like any without a partner: somebody must look at them. One that is out of
/// use gets none, and its job must not take the place of the other's.
async fn look_at_the_rest(work: Work<'_>, open: &Open) -> Result<(), WorkError> {
    let jobs = Side::BOTH.into_iter().filter_map(|side| {
        let reading = in_use(open, side)?;
        let cause = Cause {
            sync: &work.sync.name,
            side,
            class: work.claimed.job.class,
            trigger: work.claimed.job.trigger,
        };
        let hints = hints_of(side, reading.edited_at);
        Some(
            work.context
                .reconcile_job(cause, reading.record.id.clone(), hints),
        )
    });
    work.context.enqueue(jobs.collect()).await
}

pub(super) fn verdicts_so_far(open: &Open, carried: &[Carried]) -> Vec<IntentVerdict> {
    let confirmed = carried.iter().map(|one| IntentVerdict {
        intent: one.intent.id,
        state: IntentState::Confirmed,
        target: Some(one.id.clone()),
        error: None,
        sends: None,
    });
    open.verdicts.iter().cloned().chain(confirmed).collect()
}

/// Whether the system would have refused the write had anybody edited the record since it was read.
fn is_guarded(work: Work<'_>, open: &Open, intent: &Intent) -> bool {
    let read = open.pair.side(intent.side);
    work.can(intent.side, |stream| stream.expected_version)
        && intent.expected_version.is_some()
        && read.is_some_and(|read| read.record.version == intent.expected_version)
}

fn side_result<'r>(
    work: Work<'_>,
    open: &'r Open,
    carried: &'r [Carried],
    side: Side,
) -> SideResult<'r> {
    let write = write_to(carried, side).filter(|one| one.intent.op != IntentOp::Delete);
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
        between: write.map_or(Between::Unknown, |one| one.between),
        guarded: write.is_some_and(|one| is_guarded(work, open, &one.intent)),
        former: None,
        met: write.is_some_and(|one| one.met.is_some()),
    }
}

pub(super) fn note(work: Work<'_>, open: &Open, planned: &Plan, carried: &[Carried]) -> String {
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
        return format!("retired: {}", ending::why(work, open, planned, carried));
    }
    if let Some(note) = answered::note(open) {
        return note.to_owned();
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

pub(super) fn seen(
    work: Work<'_>,
    open: &Open,
    carried: &[Carried],
) -> Vec<(Side, tandem_store::IndexedRecord)> {
    Side::BOTH
        .into_iter()
        .filter_map(|side| {
            let write = write_to(carried, side);
            let written = write.and_then(|one| one.after.as_ref());
            let reading = written.or_else(|| open.pair.side(side))?;
            let indexed = IndexedRecord {
                sight: sight(work, open, (side, reading), write),
                ..reading.indexed(work.sync)
            };
            Some((side, indexed))
        })
        .chain(open.found.iter().cloned())
        .collect()
}

/// What shows a record of the pair as it is now.
fn sight(
    work: Work<'_>,
    open: &Open,
    (side, now): (Side, &Reading),
    write: Option<&Carried>,
) -> Sight {
    match write {
        Some(one) if one.unread => Sight::Answered,
        Some(_) => Sight::Confirmed,
        None if shows_own_write(work, open, side, now) => Sight::Confirmed,
        None => Sight::Shown,
    }
}

/// The records of a pair that ends which are not there. The index has them as gone from now on, so that one that is shown again
/// has changed, whatever it holds: it may stand beside what has taken its place.
fn gone<'o>(
    open: &'o Open,
    planned: &Plan,
) -> impl Iterator<Item = (Side, IndexedRecord)> + use<'o> {
    let ends = planned.link == LinkFate::Retire;
    let records = open
        .link
        .records()
        .filter(move |(side, _)| ends && open.pair.side(*side).is_none());
    records.map(|(side, id)| (side, IndexedRecord::gone(id.clone())))
}
