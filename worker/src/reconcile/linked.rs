//! A linked pair: read both records, merge them three ways, write what differs, move the base.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, LinkId, Side};
use tandem_engine::{Contest, LinkFate, NotKept, Plan, Presence, Ruled, View};
use tandem_store::{
    Causes, IndexedRecord, Intent, IntentState, IntentVerdict, JobKind, Link, LinkState,
    PairContext, Resolution, Waiting,
};

use super::answered::{self, Outdated};
use super::back_and_forth;
use super::confirm::finish;
use super::delete_hold::hold;
use super::doubt;
use super::emptied;
use super::filtered;
use super::held;
use super::late_delete;
use super::lost_create::{lost_create, settle_create};
use super::lost_update;
use super::made_again;
use super::not_made;
use super::overwritten::{self, Overwritten};
use super::pair::{Pair, presences, read_both};
use super::recover::Recovery;
use super::replaced::{self, Sameness};
use super::restored::{self, Chosen};
use super::seen::Known;
use super::sending::carry_out;
use super::set_back;
use super::under::{self, Shown};
use crate::context::Cause;
use crate::edits;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{Reading, hints_of};
use crate::trace;

/// A pair that changes while it is read is read again so often before it is written all the same: somebody who edits
/// without pause must not keep everybody waiting.
const ROUNDS_MAX: usize = 4;
/// After these rounds the pair rests for a moment.
const RESTLESS_PAUSE: Duration = Duration::from_millis(100);

/// Everything that is known before the plan is carried out.
pub(super) struct Open {
    pub(super) link: Link,
    /// What both sides were last known to agree on, see [`Recovery`].
    pub(super) base: BTreeMap<String, BaseValue>,
    pub(super) pair: Pair,
    pub(super) verdicts: Vec<IntentVerdict>,
    pub(super) overwritten: Vec<Overwritten>,
    /// Values that a system kept in another form than its answer to an earlier write said.
    pub(super) not_kept: Vec<NotKept>,
    /// What the records showed while writes to them had no answer.
    pub(super) shown: Shown,
    /// Other records that were found on the way; the index has them from now on.
    pub(super) found: Vec<(Side, IndexedRecord)>,
    /// Whether an answer takes the pair apart, whatever the policy says.
    pub(super) is_taken_apart: bool,
    pub(super) context: PairContext,
    /// Answers that were given for other values.
    pub(super) outdated: Vec<Outdated>,
}

impl Open {
    /// Writes of which only now is known that they took effect.
    pub(super) fn late_intents(&self) -> impl Iterator<Item = &Intent> {
        self.settled_as(IntentState::Confirmed)
    }

    /// Writes that were sent, and are not seen now that they can no longer be under way.
    pub(super) fn unseen_intents(&self) -> impl Iterator<Item = &Intent> {
        let failed = self.settled_as(IntentState::Failed);
        failed.filter(|intent| intent.state != IntentState::Planned)
    }

    fn settled_as(&self, state: IntentState) -> impl Iterator<Item = &Intent> {
        let settled = self
            .verdicts
            .iter()
            .filter(move |verdict| verdict.state == state);
        settled.filter_map(|verdict| {
            let mut intents = self.context.intents.iter();
            intents.find(|intent| intent.id == verdict.intent)
        })
    }
}

/// How a round ended.
pub(super) enum Round {
    /// The job has ended, or is handed back.
    Ended(Performed),
    /// Something has changed since both sides were read.
    Overtaken,
}

pub(super) async fn run(
    work: Work<'_>,
    link: Link,
    context: PairContext,
) -> Result<Performed, WorkError> {
    let (mut link, mut context) = (link, context);
    for round in 1..=ROUNDS_MAX {
        if let Some(intent) = lost_create(&context.intents) {
            return settle_create(work, intent, Some(&link)).await;
        }
        let causes = if round < ROUNDS_MAX {
            Causes::Only(context.waiting)
        } else {
            Causes::Any
        };
        match attempt(work, link, context, causes).await? {
            Round::Ended(performed) => return Ok(performed),
            Round::Overtaken => {}
        }
        let Some((newer, known)) = look_up(work).await? else {
            break;
        };
        (link, context) = (newer, known);
    }
    Ok(work.again_after(RESTLESS_PAUSE, Waiting::Superseded))
}

/// The link of the job's record as it is now, if it is held.
async fn look_up(work: Work<'_>) -> Result<Option<(Link, PairContext)>, WorkError> {
    let JobKind::Reconcile { sync, side, record } = &work.claimed.job.kind else {
        return Ok(None);
    };
    let mut context = work.context.store.pair(sync, *side, record).await?;
    let link = context.link.take();
    let held = link.filter(|link| link.state == LinkState::Active);
    Ok(held.map(|link| (link, context)))
}

async fn attempt(
    work: Work<'_>,
    link: Link,
    context: PairContext,
    causes: Causes,
) -> Result<Round, WorkError> {
    let mut pair = match read_both(work, &link).await {
        Ok(pair) => pair,
        Err(error) => {
            under::remember_one(work, &link, &context.intents).await?;
            return Err(error.into());
        }
    };
    if filtered::rests(&pair) {
        return filtered::rest(work, link, context, pair)
            .await
            .map(Round::Ended);
    }
    // Before anything waits: by the time it goes on the record may show nothing of it any more.
    if under::may_go_over(&link, &context.intents) {
        let recovery = Recovery::of(work, &link, &context.intents, &pair);
        if let Some(stored) = under::remember(work, &link, &recovery).await? {
            return Ok(Round::Ended(stored));
        }
    }
    if let Some(held) = set_back::hold(work, &link, &pair, &context).await? {
        return Ok(Round::Ended(held));
    }
    if let Some(waiting) = emptied::hold(work, &link, &mut pair).await? {
        return Ok(Round::Ended(waiting));
    }
    if let Some(waiting) = doubt::wait(work, &link, &pair).await? {
        return Ok(Round::Ended(waiting));
    }
    let sameness = replaced::check(work, &link, &pair, &context).await?;
    if let Sameness::Asked(asked) = sameness {
        if let Some(question) = context.replaced {
            held::remember(work, &link, &pair, question).await?;
        }
        return Ok(Round::Ended(asked));
    }
    let heir = match sameness {
        Sameness::Gone(side) => pair.take(side).map(|other| (side, other)),
        Sameness::Same
        | Sameness::Apart
        | Sameness::Restore(_)
        | Sameness::Ended
        | Sameness::Asked(_) => None,
    };
    let id = link.id;
    let round = settle(work, link, context, (pair, sameness), causes).await?;
    if let Some((side, other)) = heir {
        look_at_heir(work, id, side, &other).await?;
    }
    Ok(round)
}

/// Another record has the id of one that is gone. It is looked at once the pair of that one is none any more.
async fn look_at_heir(
    work: Work<'_>,
    link: LinkId,
    side: Side,
    heir: &Reading,
) -> Result<(), WorkError> {
    let link = work.context.store.link(link).await?;
    if link.is_none_or(|link| link.state == LinkState::Active) {
        return Ok(());
    }
    let cause = Cause {
        sync: &work.sync.name,
        side,
        class: work.claimed.job.class,
        trigger: work.claimed.job.trigger,
    };
    let hints = hints_of(side, heir.edited_at);
    let job = work
        .context
        .reconcile_job(cause, heir.record.id.clone(), hints);
    work.context.enqueue(vec![job]).await
}

/// Plans a pair of which it is known what its records are, and carries the plan out.
async fn settle(
    work: Work<'_>,
    link: Link,
    context: PairContext,
    (pair, sameness): (Pair, Sameness),
    causes: Causes,
) -> Result<Round, WorkError> {
    let mut context = context;
    let mut recovery = Recovery::of(work, &link, &context.intents, &pair);
    let late = recovery.seen_late(&context.intents);
    let around = overwritten::find(work, &link, &pair, (&recovery, &late)).await?;
    for edit in &around.came_after {
        recovery.take_for_edited(edit);
    }
    lost_update::find(work, &link, &pair, &context, &mut recovery).await?;
    let outdated = answered::set_aside(work, &link, &mut context, &recovery, &pair).await?;
    let is_taken_apart = matches!(sameness, Sameness::Apart);
    let mut planned = match sameness {
        Sameness::Apart => Plan::nothing(LinkFate::Dissolve),
        Sameness::Ended => Plan::nothing(LinkFate::Retire),
        Sameness::Restore(side) if restored::is_out_of_use(&pair, side) => {
            // Nothing takes it into use again, and its partner is not to follow it.
            Plan::nothing(LinkFate::Retire)
        }
        Sameness::Restore(side) => {
            recovery.shown = recovery.shown.and_noted(&link, &pair);
            let chosen = restored::chosen(work, side);
            let seen = restored::presences(&link, &pair, side);
            plan(work, seen, (&context, chosen), &recovery)?
        }
        Sameness::Same | Sameness::Gone(_) | Sameness::Asked(_) => {
            let mut chosen = Chosen {
                fields: back_and_forth::chosen(work, &context).await?,
                ..Chosen::default()
            };
            chosen.at_first_sight(work, &link, &pair).await?;
            chosen.ask_still(work, &context);
            let asked_anew = outdated.iter().flat_map(Outdated::fields);
            chosen.asked.extend(asked_anew.cloned());
            let known = Known::of(work, &link, &pair, &context.intents).await?;
            recovery.agreed_besides(&work.sync.policy, known.carried_over(work, &pair));
            let moved = recovery.may_have_moved(&work.sync.policy, &context.intents, &pair);
            let mut seen = presences(work, &link, (&moved, &known), &pair);
            recovery.shown.uncover(&mut seen);
            chosen.taken_by_us = late_delete::took(work, &link, &seen, &context).await?;
            plan(work, seen, (&context, chosen), &recovery)?
        }
    };
    if let Some(pause) = recovery.wait(work, &planned) {
        return Ok(Round::Ended(work.again_after(pause, Waiting::Elsewhere)));
    }
    let mut open = Open {
        overwritten: around.overwritten,
        base: recovery.base.clone(),
        verdicts: recovery.verdicts.clone(),
        not_kept: recovery.not_kept.clone(),
        shown: recovery.shown.clone(),
        found: Vec::new(),
        is_taken_apart,
        link,
        pair,
        context,
        outdated,
    };
    if let Some(waiting) = made_again::look(work, &mut open, &mut planned).await? {
        return Ok(Round::Ended(waiting));
    }
    if let Some(held) = not_made::hold(work, &open, &mut planned).await? {
        return Ok(Round::Ended(held));
    }
    if let Some(held) = hold(work, &open, &mut planned).await? {
        return Ok(Round::Ended(held));
    }
    if let Some(held) = back_and_forth::hold(work, &open, &planned).await? {
        return Ok(Round::Ended(held));
    }
    if planned.writes.is_empty() {
        return finish(work, open, planned, Vec::new())
            .await
            .map(Round::Ended);
    }
    carry_out(work, open, planned, &recovery, causes).await
}

fn plan(
    work: Work<'_>,
    [a, b]: [Presence; 2],
    (context, chosen): (&PairContext, Chosen),
    recovery: &Recovery,
) -> Result<Plan, WorkError> {
    let Chosen {
        mut fields,
        asked,
        taken_by_us,
    } = chosen;
    fields.extend(rulings(context));
    let ruled = Ruled {
        fields,
        asked,
        values: edits::values(work.sync, &work.claimed.job.edits)?,
        contests: contests(&context.intents),
        taken_by_us,
    };
    let view = View {
        base: Some(&recovery.base),
        a: &a,
        b: &b,
        ruled: &ruled,
    };
    Ok(trace::planned(&work.sync.policy, view))
}

/// Who won contests in plans of which nobody knows how far they came.
fn contests(intents: &[Intent]) -> BTreeMap<String, Contest> {
    let decided = intents.iter().flat_map(|intent| &intent.decided);
    let contests = decided.filter(|decided| decided.lost.is_some());
    contests
        .filter_map(|decided| {
            let contest = Contest {
                a: decided.a.clone(),
                b: decided.b.clone(),
                winner: decided.from?,
                reason: decided.reason.clone(),
            };
            Some((decided.field.clone(), contest))
        })
        .collect()
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
