//! The end of a job whose pair waits for a person. Nothing is written, yet what was found out meanwhile is kept: what
//! became of earlier writes, which would otherwise stay open and be looked for again and again, and answers that need
//! no write.

use tandem_domain::{ConflictId, Side};
use tandem_engine::{Plan, Settled};
use tandem_store::{
    Confirmation, HeldAs, IntentState, JobOutcome, Link, LinkState, LinkUpdate, NewConflict,
    Resolution, SideState, Unseen,
};

use super::answered;
use super::change_log::changes;
use super::lands_again;
use super::linked::Open;
use super::out_of_date::REMEMBERED_MAX;
use super::own_write::own_write;
use super::pair::Pair;
use super::questions::conflicts;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// How the pair waits.
pub(super) struct Held {
    /// What is asked now; none when it is asked already.
    pub(super) ask: Option<NewConflict>,
    /// What the job says of itself.
    pub(super) note: String,
    /// The side whose record is gone. A listing that shows it again, as it was, has it looked at.
    pub(super) gone: Option<Side>,
}

/// Ends the job.
pub(super) async fn end(work: Work<'_>, open: &Open, held: Held) -> Result<Performed, WorkError> {
    let Held { ask, note, gone } = held;
    let dismissed: Vec<_> = open
        .context
        .rulings
        .iter()
        .filter(|ruling| ruling.resolution == Resolution::Dismiss)
        .map(|ruling| ruling.conflict)
        .collect();
    let asked = &open.context;
    let question = ask.as_ref().map(|ask| ask.id);
    let question = question
        .or(asked.delete_held)
        .or(asked.not_made)
        .or(asked.back_and_forth);
    let link = link_update(work, open, gone, question);
    // What is known of our earlier writes is told now: nobody looks at it again.
    let plan = Plan::keep();
    let mut asked = conflicts(work, open, &plan, &[]);
    asked.extend(ask);
    let moot = answered::ended(work, open);
    let nothing_ends = dismissed.is_empty() && moot.is_empty();
    if asked.is_empty() && nothing_ends && link.is_none() && open.verdicts.is_empty() {
        return Ok(Performed::done(note));
    }
    let confirmation = Confirmation {
        verdicts: open.verdicts.clone(),
        link,
        conflicts: asked,
        changes: changes(work, open, &plan, &[], &Settled::default()),
        used_rulings: dismissed,
        moot,
        outcome: Some(JobOutcome::Done { note }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// Stores what is known now of earlier writes, before anything else is written: should that fail, what is known of their times
/// would be gone, and an edit that comes then would be taken for theirs. What became of the others the next step finds out
/// again: the journal tells it more of them while they are open. The job goes on.
pub(super) async fn learn(work: Work<'_>, open: &mut Open) -> Result<Performed, WorkError> {
    open.verdicts
        .retain(|verdict| verdict.state == IntentState::Confirmed);
    let open = &*open;
    let plan = Plan::keep();
    let confirmation = Confirmation {
        verdicts: open.verdicts.clone(),
        link: link_update(work, open, None, None),
        conflicts: conflicts(work, open, &plan, &[]),
        changes: changes(work, open, &plan, &[], &Settled::default()),
        moot: answered::ended(work, open),
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// The link with what earlier writes of ours have made of its base; `None` when nothing about it has changed.
fn link_update(
    work: Work<'_>,
    open: &Open,
    gone: Option<Side>,
    question: Option<ConflictId>,
) -> Option<LinkUpdate> {
    let [a, b] = Side::BOTH.map(|side| {
        let mut state = side_state(work, open, side, gone == Some(side));
        state.memory.held = question.and_then(|question| held_as(work, &open.pair, side, question));
        state
    });
    let link = &open.link;
    let is_same = link.a == a && link.b == b && link.base == open.base;
    (!is_same).then(|| LinkUpdate::Update {
        id: link.id,
        expected_revision: link.revision,
        a,
        b,
        base: open.base.clone(),
        state: link.state,
    })
}

fn side_state(work: Work<'_>, open: &Open, side: Side, is_gone: bool) -> SideState {
    let mut state = open.link.side(side).clone();
    if is_gone {
        state.checksum = None;
    }
    remember_writes(work, open, side, &mut state);
    state
}

/// How a record is while its pair waits for a question. Listings that show it so have nothing looked at again.
fn held_as(work: Work<'_>, pair: &Pair, side: Side, question: ConflictId) -> Option<HeldAs> {
    let reading = pair.side(side)?;
    let state = reading.indexed(work.sync).state();
    Some(HeldAs { question, state })
}

/// Has a link know how both its records are while it waits for a question.
pub(super) async fn remember(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    question: ConflictId,
) -> Result<(), WorkError> {
    let [on_a, on_b] = Side::BOTH.map(|side| held_as(work, pair, side, question));
    for _ in 0..REMEMBERED_MAX {
        let newest = work.context.store.link(link.id).await?;
        let Some(link) = newest.filter(|link| link.state == LinkState::Active) else {
            return Ok(());
        };
        let (mut a, mut b) = (link.a.clone(), link.b.clone());
        (a.memory.held, b.memory.held) = (on_a.clone(), on_b.clone());
        if (&a, &b) == (&link.a, &link.b) {
            return Ok(());
        }
        let confirmation = Confirmation {
            link: Some(link.with_sides(a, b)),
            ..Confirmation::default()
        };
        if work.learned(confirmation).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Keeps what became of earlier writes of ours to a side, although nothing is written now: otherwise what they do would be
/// taken for a person's edit.
pub(super) fn remember_writes(work: Work<'_>, open: &Open, side: Side, state: &mut SideState) {
    let is_late = open.late_intents().any(|intent| intent.side == side);
    if let Some(reading) = open.pair.side(side).filter(|_| is_late) {
        state.memory.own_write = own_write(work, open, side, reading, None);
    }
    if open.overwritten.iter().any(|one| one.side == side) {
        // It is told of now, and once.
        state.memory.own_write = None;
    }
    state.memory.shown_under = open.shown.of_side(side).clone();
    state.memory.may_land = lands_again::remembered(work, open, &[], &open.base, side);
    // What was sent and never seen may land yet.
    for intent in open.unseen_intents().filter(|one| one.side == side) {
        for (field, value) in &intent.fields {
            let unseen = Unseen {
                value: value.clone(),
                since: work.context.now(),
                asked: true,
                lost: true,
            };
            state.memory.unseen.insert(field.clone(), unseen);
        }
    }
}
