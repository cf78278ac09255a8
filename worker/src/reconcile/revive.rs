//! A retired link whose record has come back: restored, made again under its id, taken out of the archive. When both
//! records are seen alive and belong together, the pair is held again, from the values on which both last agreed.

use tandem_domain::{RecordId, Side};
use tandem_engine::{is_known, match_keys};
use tandem_store::{
    Change, Confirmation, ConflictState, Fact, JobOutcome, Link, LinkState, LinkUpdate, Moot,
    Operation, PairContext, SideMemory, SideState,
};

use super::deleted_over;
use super::ending;
use super::filtered;
use super::lost_create::{lost_create, settle_create};
use super::moot::takes_no_part;
use super::not_deleted;
use super::not_there::look_again;
use super::pair::{CLOCK_SLACK, Pair, read_both};
use super::set_back;
use super::unlinked::{self, is_linked, takes_none};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

pub(super) async fn run(
    work: Work<'_>,
    link: Link,
    side: Side,
    record: &RecordId,
    context: PairContext,
) -> Result<Performed, WorkError> {
    if let Some(intent) = lost_create(&context.intents) {
        return settle_create(work, intent, None).await;
    }
    let pair = read_both(work, &link).await?;
    let is_another = |side: Side| {
        let reading = in_use(&pair, side);
        reading.is_some_and(|reading| is_another(work, &link, side, reading))
    };
    if is_another(side) && !is_like_partner(work, &link, &pair, side) {
        // Its id says nothing of it: it is as any new record.
        return unlinked::run(work, side, record, context).await;
    }
    if link.kept_apart {
        return Ok(Performed::done(
            "retired: an operator took this pair apart, and it is left alone",
        ));
    }
    if let Some(waits) = not_deleted::look(work, &link, &pair, &context).await? {
        return Ok(waits);
    }
    // What is in use was not deleted with an edit of it.
    if in_use(&pair, side).is_none()
        && let Some(told) = deleted_over::tell(work, &link, side, record, &pair).await?
    {
        return Ok(told);
    }
    for side in Side::BOTH {
        let was_gone = link.side(side).memory.doubt.is_some();
        if was_gone
            && pair.side(side).is_some()
            && !is_another(side)
            && let Some(left) = set_back::returned(work, &link, side).await?
        {
            return Ok(left);
        }
    }
    match (in_use(&pair, side), in_use(&pair, side.other())) {
        (Some(here), Some(there)) => {
            let partner = &there.record.id;
            let is_pair = belong_together(work, &link, side, here, there)
                && !is_linked(work, side.other(), partner).await?;
            if !is_pair && is_another(side.other()) && link.side(side).memory.doubt.is_none() {
                // What bears the id of its partner now is a record of its own.
                return left_alone(work, &link, side, &pair).await;
            }
            if !is_pair {
                return unlinked::run(work, side, record, context).await;
            }
            let (a, b) = match side {
                Side::A => (here, there),
                Side::B => (there, here),
            };
            hold_again(work, &link, a, b).await
        }
        // It was the one that was gone; its partner has gone since, perhaps by our own delete.
        (Some(_), None) if link.side(side).memory.doubt.is_some() => {
            let is_there = pair.side(side.other()).is_some();
            if !is_there && let Some(again) = look_again(work) {
                // The partner may only be hidden for a moment.
                return Ok(again);
            }
            unlinked::run(work, side, record, context).await
        }
        (None, _) => out_of_use(work, &link, (side, record), &context, &pair).await,
        (Some(_), None) if filtered::rests(&pair) => {
            let note =
                "retired: the sync's filters leave a record of the pair out, and it is left alone";
            looked_at(work, &link, side, &pair, note.to_owned()).await
        }
        (Some(_), None) => left_alone(work, &link, side, &pair).await,
    }
}

/// The record of a side, if it is there and takes part.
pub(super) fn in_use(pair: &Pair, side: Side) -> Option<&Reading> {
    let reading = pair.side(side);
    reading.filter(|reading| !reading.record.archived && reading.takes_part())
}

/// Whether under the id of a retired pair there is another record by now: made at another time, or back after it was gone,
/// and not known by what it holds.
pub(super) fn is_another(work: Work<'_>, link: &Link, side: Side, reading: &Reading) -> bool {
    let memory = &link.side(side).memory;
    let is_deleted_by_us = memory
        .own_write
        .as_ref()
        .is_some_and(|own| own.after.is_none());
    let may_be_another = match (memory.made_at, reading.record.created_at) {
        (Some(then), Some(now)) if then == now => false,
        (Some(then), Some(now)) if then.since(now).max(now.since(then)) > CLOCK_SLACK => true,
        _ => memory.doubt.is_some() || is_deleted_by_us,
    };
    may_be_another && !is_known(&work.sync.policy, &link.base, side, &reading.fields)
}

/// Whether the partner is there, and the same as this record by the match keys.
fn is_like_partner(work: Work<'_>, link: &Link, pair: &Pair, side: Side) -> bool {
    let (here, there) = (in_use(pair, side), in_use(pair, side.other()));
    here.zip(there)
        .is_some_and(|(here, there)| belong_together(work, link, side, here, there))
}

/// What a record that was one of a pair, and takes no part now, was asked about is over.
async fn out_of_use(
    work: Work<'_>,
    link: &Link,
    (side, record): (Side, &RecordId),
    context: &PairContext,
    pair: &Pair,
) -> Result<Performed, WorkError> {
    let is_asked =
        context.held.is_some() || context.doubled.is_some() || !context.rulings.is_empty();
    if !is_asked {
        return left_alone(work, link, side, pair).await;
    }
    let fact = match pair.side(side) {
        Some(here) => takes_none(here).map(|(fact, _)| fact),
        None => match look_again(work) {
            Some(again) => return Ok(again),
            None => Some(Fact::Gone),
        },
    };
    if let Some(fact) = fact {
        takes_no_part(work, side, record, fact).await?;
    }
    left_alone(work, link, side, pair).await
}

/// Nothing is done; the log knows what ended the pair.
async fn left_alone(
    work: Work<'_>,
    link: &Link,
    side: Side,
    pair: &Pair,
) -> Result<Performed, WorkError> {
    let why = ending::known(work, link).await?;
    looked_at(work, link, side, pair, format!("retired: {why}")).await
}

/// Remembers how the record showed itself, so that no listing that shows the same makes another job.
async fn looked_at(
    work: Work<'_>,
    link: &Link,
    side: Side,
    pair: &Pair,
    note: String,
) -> Result<Performed, WorkError> {
    let shown = pair.side(side);
    let shown = shown.map(|reading| reading.indexed(work.sync).looked_at());
    if shown.is_none() || link.side(side).checksum == shown {
        return Ok(Performed::done(note));
    }
    let state = |of: Side| {
        let mut state = link.side(of).clone();
        if of == side {
            state.checksum.clone_from(&shown);
        }
        state
    };
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a: state(Side::A),
            b: state(Side::B),
            base: link.base.clone(),
            state: LinkState::Retired,
        }),
        outcome: Some(JobOutcome::Done { note }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// Whether both records are known by what they agreed on, or share a match key.
fn belong_together(
    work: Work<'_>,
    link: &Link,
    side: Side,
    here: &Reading,
    there: &Reading,
) -> bool {
    let policy = &work.sync.policy;
    let keeps = |side: Side, reading: &Reading| is_known(policy, &link.base, side, &reading.fields);
    let keys = match_keys(policy, &here.fields);
    let shared = match_keys(policy, &there.fields);
    (keeps(side, here) && keeps(side.other(), there)) || keys.iter().any(|key| shared.contains(key))
}

async fn hold_again(
    work: Work<'_>,
    link: &Link,
    a: &Reading,
    b: &Reading,
) -> Result<Performed, WorkError> {
    // Whatever was known of times and versions was of the records before they were gone.
    let state = |side: Side, reading: &Reading| SideState {
        checksum: None,
        memory: SideMemory {
            made_at: reading.record.created_at,
            unseen: link.side(side).memory.unseen.clone(),
            may_land: link.side(side).memory.may_land.clone(),
            ..SideMemory::default()
        },
        ..reading.side_state(&reading.fields)
    };
    let change = Change {
        link: Some(link.id),
        ..work.change(Operation::Revive, link.a.id.as_ref(), link.b.id.as_ref())
    };
    let confirmation = Confirmation {
        moot: asked_apart(work, link).await?,
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a: state(Side::A, a),
            b: state(Side::B, b),
            base: link.base.clone(),
            state: LinkState::Active,
        }),
        changes: vec![change],
        // It goes on in the lane of the link, where it compares both.
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// The questions what the records of a pair match, or whether one is too many: nobody has to answer them once they are a pair
/// again.
async fn asked_apart(work: Work<'_>, link: &Link) -> Result<Vec<Moot>, WorkError> {
    let mut moot = Vec::new();
    for (side, record) in link.records() {
        let pair = work
            .context
            .store
            .pair(&work.sync.name, side, record)
            .await?;
        let asked = [pair.held, pair.doubled].into_iter().flatten();
        moot.extend(asked.map(|question| Moot {
            question,
            was: ConflictState::Open,
            fact: Fact::Linked,
        }));
    }
    Ok(moot)
}
