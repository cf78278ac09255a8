//! A field that had a value and that a system says nothing of any more. Where systems leave out what is empty, somebody
//! may have emptied it; or the sign-in sees less than it did, or the field has another name. So it is looked at again
//! after a moment, and only a few records in a while may lose a value so: of more, one question is asked for all, and
//! until it is answered the values stand.

use std::time::Duration;

use tandem_domain::{ConflictId, Fields, Side, Value};
use tandem_engine::emptied;
use tandem_store::{
    Confirmation, Conflict, ConflictKind, ConflictState, LeftOut, Link, NewConflict, Resolution,
    Waiting, emptied_subject,
};

use super::pair::Pair;
use crate::brake;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// The word of the question.
pub(super) const ASKED: &str = "emptied";

/// It is looked at again after this long: long enough for a field that vanished everywhere to be missed in many records.
const SECOND_LOOK: Duration = Duration::from_secs(10);
/// What was seen longer ago says nothing: the field may have been there in between.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// An answer holds for so long for records that lose the field after it.
const ANSWER_HOLDS: Duration = Duration::from_secs(24 * 3_600);

/// What becomes of a value whose field is left out.
enum Stand {
    /// It is looked at again, after this long.
    Wait(Duration, LeftOut),
    /// It stands.
    Keep(LeftOut),
    /// It is gone.
    Gone,
}

/// Looks again later, or lets the values stand that nobody may take for emptied. Asks the storage nothing where nothing is
/// missing.
pub(super) async fn hold(
    work: Work<'_>,
    link: &Link,
    pair: &mut Pair,
) -> Result<Option<Performed>, WorkError> {
    let mut states = [link.a.clone(), link.b.clone()];
    let mut wait: Option<Duration> = None;
    for (side, state) in Side::BOTH.into_iter().zip(&mut states) {
        close_if_shown(work, link, pair, side).await?;
        for (field, value) in gone(work, link, pair, side) {
            match stand(work, link, pair, side, &field).await? {
                Stand::Wait(again, known) => {
                    state.memory.left_out.insert(field, known);
                    wait = Some(wait.unwrap_or(again).max(again));
                }
                Stand::Keep(known) => {
                    if let Some(reading) = pair.side_mut(side) {
                        reading.keep(&field, value, known);
                    }
                }
                Stand::Gone => {}
            }
        }
    }
    let Some(wait) = wait else { return Ok(None) };
    let [a, b] = states;
    let is_new = link.a != a || link.b != b;
    let confirmation = Confirmation {
        link: is_new.then(|| link.with_sides(a, b)),
        outcome: Some(work.snooze(wait, Waiting::Elsewhere)),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

/// The values that would go, by field.
fn gone(work: Work<'_>, link: &Link, pair: &Pair, side: Side) -> Fields {
    let Some(reading) = pair.side(side) else {
        return Fields::new();
    };
    if reading.left_out.is_empty() || reading.counts_as_gone {
        return Fields::new();
    }
    let other = pair.side(side.other()).map(|other| &other.fields);
    let policy = &work.sync.policy;
    emptied(
        policy,
        &link.base,
        side,
        &reading.left_out,
        &reading.fields,
        other,
    )
}

async fn stand(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    side: Side,
    field: &str,
) -> Result<Stand, WorkError> {
    let now = work.context.now();
    let known = link.side(side).memory.left_out.get(field).cloned();
    let known = match known {
        Some(known) if known.settled => return Ok(Stand::Keep(known)),
        Some(known) if now.since(known.last) < FORGOTTEN_AFTER => known,
        Some(_) | None => {
            brake::count_emptied(work.context, work.sync, (side, field), link.id).await?;
            let first = LeftOut {
                since: now,
                last: now,
                settled: false,
            };
            return Ok(Stand::Wait(SECOND_LOOK, first));
        }
    };
    let passed = now.since(known.since);
    if passed < SECOND_LOOK {
        return Ok(Stand::Wait(SECOND_LOOK.saturating_sub(passed), known));
    }
    let held = LeftOut { last: now, ..known };
    match answer(work, side, field).await? {
        Some(Resolution::Approve) => return Ok(Stand::Gone),
        Some(_) => {
            return Ok(Stand::Keep(LeftOut {
                settled: true,
                ..held
            }));
        }
        None => {}
    }
    let records = brake::count_emptied(work.context, work.sync, (side, field), link.id).await?;
    let asked = asked(work, side, field).await?;
    if asked.is_none() && records <= u64::from(work.sync.brake.count) {
        return Ok(Stand::Gone);
    }
    ask(work, link, pair, (side, field), records, asked).await?;
    Ok(Stand::Keep(held))
}

/// The question about this field, if it is not closed.
async fn asked(work: Work<'_>, side: Side, field: &str) -> Result<Option<Conflict>, WorkError> {
    let subject = emptied_subject(&work.sync.name, side, field);
    Ok(work.context.store.question_about(&subject).await?)
}

/// What a person said of this field. An answer from long ago says nothing of what goes now.
async fn answer(work: Work<'_>, side: Side, field: &str) -> Result<Option<Resolution>, WorkError> {
    let Some(asked) = asked(work, side, field).await? else {
        return Ok(None);
    };
    let (ConflictState::Answered, Some(at)) = (asked.state, asked.answered_at) else {
        return Ok(None);
    };
    if work.context.now().since(at) < ANSWER_HOLDS {
        return Ok(asked.resolution);
    }
    close(work, asked.id).await?;
    Ok(None)
}

/// Where a record shows a field again that was missing, nobody has to say any more what became of it. Should it be
/// missing in others, it is asked anew.
async fn close_if_shown(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    side: Side,
) -> Result<(), WorkError> {
    let Some(reading) = pair.side(side) else {
        return Ok(());
    };
    for field in link.side(side).memory.left_out.keys() {
        if reading.left_out.contains(field) {
            continue;
        }
        if let Some(asked) = asked(work, side, field).await?
            && asked.state == ConflictState::Open
        {
            close(work, asked.id).await?;
        }
    }
    Ok(())
}

async fn close(work: Work<'_>, question: ConflictId) -> Result<(), WorkError> {
    let confirmation = Confirmation {
        used_rulings: vec![question],
        ..Confirmation::default()
    };
    let (store, now) = (&work.context.store, work.context.now());
    let closed = store.confirm(&work.sync.name, work.claimed.lease, confirmation, now);
    closed
        .await?
        .map_err(|_| tandem_store::StoreError::LeaseLost.into())
}

/// Asks once for all records. The number in the question grows with them, by steps.
async fn ask(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (side, field): (Side, &str),
    records: u64,
    asked: Option<Conflict>,
) -> Result<(), WorkError> {
    let told = match asked.map(|asked| asked.kind) {
        Some(ConflictKind::Emptied { records, .. }) => records,
        Some(_) | None => 0,
    };
    let Some(record) = link.side(side).id.clone() else {
        return Ok(());
    };
    if records < told.saturating_mul(2) || records == 0 {
        return Ok(());
    }
    let (sync, connection) = (&work.sync.name, &work.sync.end(side).connection);
    tracing::warn!(%sync, %connection, field, records, "a field is not in the answers any more, in records that had a value there; the values stand until a person has said what it is (`tandem conflicts list`)");
    let now = work.context.now();
    let question = NewConflict {
        id: ConflictId::new(now, work.context.entropy.as_ref()),
        sync: sync.clone(),
        link: None,
        side,
        record,
        kind: ConflictKind::Emptied {
            field: field.to_owned(),
            records,
            value: link
                .base
                .get(field)
                .map_or(Value::Null, |base| base.side(side).clone()),
        },
        shown: Side::BOTH
            .into_iter()
            .filter_map(|side| Some(pair.side(side)?.shown(side)))
            .collect(),
    };
    work.context
        .store
        .open_conflicts(vec![question], now)
        .await?;
    Ok(())
}
