//! A field that had a value and that a system says nothing of any more. Where systems leave out what is empty, somebody
//! may have emptied it; or the sign-in sees less than it did, or the field has another name. So it is looked at again
//! after a moment, and only a few records in a while may lose a value so, and only while another record shows that the
//! sign-in still sees the field. Otherwise one question is asked for all, and until it is answered the values stand.

use std::time::Duration;

use tandem_connectors::ReadOutcome;
use tandem_domain::{ConflictId, Fields, RecordId, Side, Timestamp, Value};
use tandem_engine::emptied;
use tandem_store::{
    Confirmation, Conflict, ConflictKind, ConflictState, LeftOut, Link, LinkState, NewConflict,
    Resolution, Waiting, emptied_subject,
};

use super::emptied_moot::{close, is_missed};
use super::out_of_date::{self, Shows};
use super::pair::Pair;
use super::set_back;
use crate::brake;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;
use crate::whole::read_apart;

/// The word of the question.
pub(super) const ASKED: &str = "emptied";

/// It is looked at again after this long: long enough for a field that vanished everywhere to be missed in many records.
const SECOND_LOOK: Duration = Duration::from_secs(10);
/// What was seen longer ago says nothing: the field may have been there in between.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// So many other records are asked whether they still show the field.
const PROBES: usize = 5;
/// Links are looked through in pages of this size, and in so many of them for other records that had a value.
pub(super) const LINKS_PAGE: usize = 200;
const PROBED_PAGES: usize = 10;
/// Questions of this kind that are looked through: there is one for a side and field.
pub(super) const QUESTIONS_MAX: usize = 1_000;
/// An answer holds for so long for records that lose the field after it.
pub(super) const ANSWER_HOLDS: Duration = Duration::from_secs(24 * 3_600);

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
        if is_set_back(work, link, pair, side).await? {
            continue;
        }
        let is_bare = pair
            .side(side)
            .is_some_and(|reading| shows_nothing(link, side, reading));
        for (field, value) in gone(work, link, pair, side) {
            match stand(work, link, pair, (side, &field, &value), is_bare).await? {
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

/// Whether what a record leaves out is that of an older state. Then it is asked whether its system was set back, and what
/// a person says of that decides about the record as a whole. A record that lacks what it was known by says nothing of its
/// age: a sign-in with narrower rights shows the same.
async fn is_set_back(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    side: Side,
) -> Result<bool, WorkError> {
    if pair
        .side(side)
        .is_none_or(|reading| reading.left_out.is_empty())
    {
        return Ok(false);
    }
    let reading = pair.side(side);
    let shows = out_of_date::still_shows(work.store(), work.sync, link, side, reading).await?;
    Ok(match shows {
        Some(Shows::Older(_)) => true,
        Some(Shows::Other(_)) => set_back::answer(work, link, side).await?.is_some(),
        Some(Shows::Missing) | None => false,
    })
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

/// Whether a record shows nothing of all that it held. People who want that delete the record: an ailing system answers so.
/// Where only one field had a value, somebody may have emptied it as any other.
pub(super) fn shows_nothing(link: &Link, side: Side, reading: &Reading) -> bool {
    let base = link.base.iter();
    let mut held = base.filter(|(_, base)| !base.side(side).is_null());
    let is_empty = |(field, _): (&String, _)| reading.fields.get(field).is_none_or(Value::is_null);
    held.clone().nth(1).is_some() && held.all(is_empty)
}

async fn stand(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (side, field, value): (Side, &str, &Value),
    is_bare: bool,
) -> Result<Stand, WorkError> {
    let now = work.context.now();
    let known = link.side(side).memory.left_out.get(field).cloned();
    let known = match known {
        Some(known) if known.settled => return Ok(Stand::Keep(known)),
        Some(known) if now.since(known.last) < FORGOTTEN_AFTER => known,
        known => {
            brake::count_emptied(work.context, work.sync, (side, field), link.id).await?;
            let first = LeftOut {
                since: now,
                last: now,
                first: known.map(|known| known.first.unwrap_or(known.since)),
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
    let missed = held.first.unwrap_or(held.since);
    match answer(work, side, field, missed).await? {
        Some(Resolution::Approve) => return Ok(Stand::Gone),
        Some(_) => {
            return Ok(Stand::Keep(LeftOut {
                settled: true,
                ..held
            }));
        }
        None => {}
    }
    if asked(work, side, field).await?.is_some() {
        return Ok(Stand::Keep(held));
    }
    let records = brake::count_emptied(work.context, work.sync, (side, field), link.id).await?;
    if !is_bare
        && records <= u64::from(work.sync.brake.count)
        && is_shown_in_others(work, link, side, field).await?
    {
        return Ok(Stand::Gone);
    }
    ask(work, link, pair, (side, field, value), records).await?;
    Ok(Stand::Keep(held))
}

/// Whether the sign-in still sees the field: another record that had a value there shows it now.
async fn is_shown_in_others(
    work: Work<'_>,
    link: &Link,
    side: Side,
    field: &str,
) -> Result<bool, WorkError> {
    let has_value = |other: &&Link| {
        let is_known = other
            .base
            .get(field)
            .is_some_and(|base| !base.side(side).is_null());
        let own = other.side(side);
        let is_shown = is_known && !own.memory.left_out.contains_key(field);
        other.id != link.id && other.state == LinkState::Active && is_shown
    };
    let mut ids: Vec<RecordId> = Vec::new();
    let mut after = None;
    for _ in 0..PROBED_PAGES {
        let page = work
            .context
            .store
            .links(&work.sync.name, after, LINKS_PAGE)
            .await?;
        let others = page.iter().filter(has_value);
        ids.extend(others.filter_map(|other| other.side(side).id.clone()));
        after = page.last().map(|last| last.id);
        if ids.len() >= PROBES || page.len() < LINKS_PAGE {
            break;
        }
    }
    ids.truncate(PROBES);
    let outcomes = read_apart(work.sync, side, &ids).await?;
    Ok(outcomes.into_iter().any(|outcome| match outcome {
        ReadOutcome::Found(record) => {
            let reading = Reading::new(work.sync, side, *record, None);
            // An ailing system may put nothing in its place everywhere.
            let has_value = reading.fields.get(field).is_some_and(|it| !it.is_null());
            has_value && !reading.left_out.contains(field)
        }
        ReadOutcome::Missing | ReadOutcome::Unreadable(_) => false,
    }))
}

/// The question about this field, if it is not closed.
async fn asked(work: Work<'_>, side: Side, field: &str) -> Result<Option<Conflict>, WorkError> {
    let subject = emptied_subject(&work.sync.name, side, field);
    Ok(work.context.store.question_about(&subject).await?)
}

/// What a person said of this field. An answer says nothing of a record that showed the field still when it was given, nor long
/// after.
async fn answer(
    work: Work<'_>,
    side: Side,
    field: &str,
    missed: Timestamp,
) -> Result<Option<Resolution>, WorkError> {
    let Some(asked) = asked(work, side, field).await? else {
        return Ok(None);
    };
    let (ConflictState::Answered, Some(at)) = (asked.state, asked.answered_at) else {
        return Ok(None);
    };
    if missed <= at && work.context.now().since(at) < ANSWER_HOLDS {
        return Ok(asked.resolution);
    }
    close(work.context, &asked).await?;
    Ok(None)
}

/// Where the last record shows a field again that was missing, nobody has to say any more what became of it. Where there
/// are more links than are looked through for each record, the next sweep finds that out.
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
        let Some(asked) = asked(work, side, field).await? else {
            continue;
        };
        if asked.state != ConflictState::Open {
            continue;
        }
        let store = &work.context.store;
        let mut links = store.links(&work.sync.name, None, LINKS_PAGE).await?;
        let are_all = links.len() < LINKS_PAGE;
        links.retain(|other| other.id != link.id);
        if are_all && !is_missed(&links, side, field) {
            close(work.context, &asked).await?;
        }
    }
    Ok(())
}

/// Asks once for all records.
async fn ask(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (side, field, value): (Side, &str, &Value),
    records: u64,
) -> Result<(), WorkError> {
    let Some(record) = link.side(side).id.clone() else {
        return Ok(());
    };
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
            value: value.clone(),
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
