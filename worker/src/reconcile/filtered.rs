//! A pair of which the sync's filters leave a record out. It rests: nothing of it is written in either direction, and
//! nothing is deleted for it, be the other record gone or not. The base stays, so that edits of both sides are merged as
//! usual once the filters let it in again.

use tandem_domain::line::line;
use tandem_domain::{RecordId, Side};
use tandem_engine::{FilteredBy, Plan, Settled};
use tandem_store::{
    Confirmation, Filtered, JobOutcome, LinkState, LinkUpdate, PairContext, SideState, Waiting,
};

use super::change_log::changes;
use super::confirm::{seen, verdicts_so_far};
use super::held;
use super::linked::Open;
use super::overwritten;
use super::pair::Pair;
use super::questions::conflicts;
use super::recover::Recovery;
use super::under;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// Whether the filters leave a record of the pair out.
pub(super) fn rests(pair: &Pair) -> bool {
    by(pair).is_some()
}

/// The first record that is left out, and why.
fn by(pair: &Pair) -> Option<(Side, &RecordId, &FilteredBy)> {
    let of = |side: Side| {
        let reading = pair.side(side)?;
        Some((side, &reading.record.id, reading.filtered()?))
    };
    Side::BOTH.into_iter().find_map(of)
}

/// Lets it rest. What was sent before, and may yet arrive, is waited for and taken down.
pub(super) async fn rest(
    work: Work<'_>,
    link: tandem_store::Link,
    context: PairContext,
    pair: Pair,
) -> Result<Performed, WorkError> {
    let recovery = Recovery::of(work, &link, &context.intents, &pair);
    let late = recovery.seen_late(&context.intents);
    let around = overwritten::find(work, &link, &pair, (&recovery, &late)).await?;
    if let Some(stored) = under::remember(work, &link, &recovery).await? {
        return Ok(stored);
    }
    if let Some(pause) = recovery.wait(work, &Plan::keep()) {
        return Ok(work.again_after(pause, Waiting::Elsewhere));
    }
    let note = told(work, &pair);
    let is_settled = !recovery.verdicts.is_empty();
    let open = Open {
        base: if is_settled {
            recovery.base
        } else {
            link.base.clone()
        },
        verdicts: recovery.verdicts,
        overwritten: around.overwritten,
        not_kept: if is_settled {
            recovery.not_kept
        } else {
            Vec::new()
        },
        shown: recovery.shown,
        found: Vec::new(),
        is_taken_apart: false,
        link,
        pair,
        context,
        outdated: Vec::new(),
    };
    let [a, b] = Side::BOTH.map(|side| side_state(work, &open, side));
    let is_new = open.link.a != a || open.link.b != b || open.link.base != open.base;
    if !is_new && !is_settled && open.overwritten.is_empty() {
        return Ok(Performed::done(note));
    }
    let plan = Plan::keep();
    let confirmation = Confirmation {
        verdicts: verdicts_so_far(&open, &[]),
        link: Some(LinkUpdate::Update {
            id: open.link.id,
            expected_revision: open.link.revision,
            a,
            b,
            base: open.base.clone(),
            state: LinkState::Active,
        }),
        seen: seen(work, &open, &[]),
        changes: changes(work, &open, &plan, &[], &Settled::default()),
        conflicts: conflicts(work, &open, &plan, &[]),
        outcome: Some(JobOutcome::Done { note }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// What the job's note says.
fn told(work: Work<'_>, pair: &Pair) -> String {
    by(pair).map_or_else(String::new, |(side, record, by)| {
        format!(
            "filtered: the sync's filters leave record {} of side {side} out, because {}; nothing of the pair is written",
            line(record.as_str()),
            filtered(work, None, by).words()
        )
    })
}

/// As it was known, but for what the listings show of it from now on, so that only a change makes a job. Its times and
/// version stay those that both sides last agreed on.
fn side_state(work: Work<'_>, open: &Open, side: Side) -> SideState {
    let mut state = open.link.side(side).clone();
    let reading = open.pair.side(side);
    state.memory.doubt = None;
    state.memory.filtered = reading
        .and_then(Reading::filtered)
        .map(|by| filtered(work, state.memory.filtered.take(), by));
    if let Some(reading) = reading {
        state.checksum = Some(reading.shown_checksum());
    }
    held::remember_writes(work, open, side, &mut state);
    state
}

fn filtered(work: Work<'_>, before: Option<Filtered>, by: &FilteredBy) -> Filtered {
    Filtered {
        field: by.field.clone(),
        value: by.value.clone(),
        since: before.map_or_else(|| work.context.now(), |before| before.since),
    }
}
