//! A pair that is changed back after each write of ours, by an automation of either system. Each write carries over a real
//! edit, so no comparison finds an echo. The writes of an hour are counted with the link; from the tenth on the journal is
//! asked whether they lead anywhere. If not, nothing more is written to the pair until a person has said what is right.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{ConflictId, Fields, Side, Timestamp};
use tandem_engine::{Plan, WriteOp, back_and_forth};
use tandem_store::{ConflictKind, Intent, IntentOp, NewConflict, PairContext, Resolution, Tally};

use super::answered;
use super::held::{Held, end};
use super::linked::Open;
use super::questions::question;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// Writes are counted over this long.
const WINDOW: Duration = Duration::from_secs(3_600);
/// With fewer writes in it the journal is not asked.
const WRITES_MIN: u32 = 10;
/// Writes that are looked at.
const WRITES_MAX: usize = 200;

/// The word of the question.
const BACK_AND_FORTH: &str = "back_and_forth";

/// Holds writes to a pair that goes back and forth, and asks.
pub(super) async fn hold(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
) -> Result<Option<Performed>, WorkError> {
    let is_written = planned
        .writes
        .iter()
        .any(|write| write.op == WriteOp::Update);
    // What a person gave with a replay is written in any case.
    let is_given = !work.claimed.job.edits.is_empty();
    if !is_written || is_given {
        return Ok(None);
    }
    let note = "held: the pair was changed back after each write; a person must say what is right";
    if let Some(anew) = answered::back_and_forth(work, open) {
        return held(work, open, Some(anew), note).await.map(Some);
    }
    if is_ruled(&open.context) {
        return Ok(None);
    }
    if let Some(asked) = open.context.back_and_forth {
        let newer = with_values_of_now(work, open, asked).await?;
        return held(work, open, newer, note).await.map(Some);
    }
    let Some(since) = counted_since(work, open) else {
        return Ok(None);
    };
    let store = &work.context.store;
    let writes = store.writes_of(open.link.id, since, WRITES_MAX).await?;
    let made = writes
        .iter()
        .filter(|intent| intent.op == IntentOp::Update)
        .map(|intent| (intent.side, &intent.fields));
    let due = planned
        .writes
        .iter()
        .map(|write| (write.side, &write.fields));
    let endless = back_and_forth(made.chain(due));
    if endless.is_empty() {
        return Ok(None);
    }
    let [a, b] = Side::BOTH.map(|side| shown(open, side, endless.iter().copied()));
    ask(work, open, since, &writes, a, b).await
}

/// What a record shows in these fields.
fn shown<'f>(open: &Open, side: Side, fields: impl Iterator<Item = &'f str>) -> Fields {
    let reading = open.pair.side(side);
    let value = |field: &str| {
        let value = reading.and_then(|reading| reading.fields.get(field));
        (field.to_owned(), value.cloned().unwrap_or_default())
    };
    fields.map(value).collect()
}

/// The open question, with what both records show now: who answers decides about that.
async fn with_values_of_now(
    work: Work<'_>,
    open: &Open,
    asked: ConflictId,
) -> Result<Option<NewConflict>, WorkError> {
    let Some(asked) = work.context.store.conflict(asked).await? else {
        return Ok(None);
    };
    let ConflictKind::BackAndForth {
        a,
        b,
        writes,
        since,
        again,
    } = asked.kind
    else {
        return Ok(None);
    };
    let [now_a, now_b] = Side::BOTH.map(|side| shown(open, side, a.keys().map(String::as_str)));
    if (&now_a, &now_b) == (&a, &b) {
        return Ok(None);
    }
    let kind = ConflictKind::BackAndForth {
        a: now_a,
        b: now_b,
        writes,
        since,
        again,
    };
    Ok(Some(question(work, open, asked.side, asked.record, kind)))
}

async fn ask(
    work: Work<'_>,
    open: &Open,
    since: Timestamp,
    writes: &[Intent],
    a: Fields,
    b: Fields,
) -> Result<Option<Performed>, WorkError> {
    let Some(record) = open.link.a.id.clone() else {
        return Ok(None);
    };
    let fields: Vec<&str> = a.keys().map(String::as_str).collect();
    tracing::warn!(
        sync = %work.sync.name, %record, fields = fields.join(", "), writes = writes.len(),
        "each write of ours to a pair is changed back; nothing more is written to it until a person has answered"
    );
    let kind = ConflictKind::BackAndForth {
        writes: writes.len(),
        since,
        a,
        b,
        again: None,
    };
    let asked = question(work, open, Side::A, record, kind);
    let note = "held: each write is changed back";
    held(work, open, Some(asked), note).await.map(Some)
}

async fn held(
    work: Work<'_>,
    open: &Open,
    ask: Option<NewConflict>,
    note: &str,
) -> Result<Performed, WorkError> {
    let held = Held {
        ask,
        note: note.to_owned(),
        gone: None,
    };
    end(work, open, held).await
}

/// Since when the writes to both records are counted, where there were enough to look at.
fn counted_since(work: Work<'_>, open: &Open) -> Option<Timestamp> {
    let now = work.context.now();
    let counted = Side::BOTH.map(|side| open.link.side(side).memory.writes);
    let recent: Vec<Tally> = counted
        .into_iter()
        .flatten()
        .filter(|tally| now.since(tally.since) < WINDOW)
        .collect();
    let count: u32 = recent.iter().map(|tally| tally.count).sum();
    let since = recent.iter().map(|tally| tally.since).min();
    since.filter(|_| count >= WRITES_MIN)
}

/// Whether a person has said something of the pair that a write carries out, be it to another question: what they have
/// decided does not wait until this is answered too. Should the pair be changed back again it is held again.
fn is_ruled(context: &PairContext) -> bool {
    let mut rulings = context.rulings.iter();
    rulings.any(|ruling| {
        let is_of_record = ["ambiguous", "doubled", "emptied", "set_back", "delete_held"]
            .contains(&&*ruling.asked);
        !is_of_record && ruling.resolution != Resolution::Dismiss
    })
}

fn is_answered(context: &PairContext) -> bool {
    let mut rulings = context.rulings.iter();
    rulings.any(|ruling| ruling.asked == BACK_AND_FORTH)
}

/// The writes to one side that the link remembers. An answer begins the count anew, and so does a pair that agrees while
/// it is asked about.
pub(super) fn tally(work: Work<'_>, open: &Open, side: Side, wrote: bool) -> Option<Tally> {
    let now = work.context.now();
    let before = open.link.side(side).memory.writes;
    let is_anew = is_answered(&open.context) || open.context.back_and_forth.is_some();
    if !wrote {
        // One that is out of date stays: an echo writes nothing.
        return before.filter(|_| !is_anew);
    }
    let counted = before.filter(|tally| !is_anew && now.since(tally.since) < WINDOW);
    let fresh = Tally {
        since: now,
        count: 0,
    };
    let counted = counted.unwrap_or(fresh);
    Some(Tally {
        count: counted.count.saturating_add(1),
        ..counted
    })
}

/// The side whose values a person chose, for each field that was asked about.
pub(super) async fn chosen(
    work: Work<'_>,
    context: &PairContext,
) -> Result<BTreeMap<String, Side>, WorkError> {
    let mut chosen = BTreeMap::new();
    for ruling in &context.rulings {
        let (BACK_AND_FORTH, Resolution::Take { side }) = (&*ruling.asked, &ruling.resolution)
        else {
            continue;
        };
        let asked = work.context.store.conflict(ruling.conflict).await?;
        if let Some(ConflictKind::BackAndForth { a, .. }) = asked.map(|asked| asked.kind) {
            chosen.extend(a.into_keys().map(|field| (field, *side)));
        }
    }
    Ok(chosen)
}
