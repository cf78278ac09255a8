//! A system that was set back: restored from a backup, or emptied and filled anew. Many linked records of its side show an
//! older state then, are other records, or are not there. That is the state of a side rather than of single pairs, so from
//! the third pair on one question is asked for the whole side. Pairs that show it wait until it is answered; whatever else
//! the sync holds goes on. Nothing that is missing on such a side is taken for deleted meanwhile.

use std::time::Duration;

use tandem_domain::{ConflictId, LinkId, RecordId, Side, Timestamp};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Conflict, ConflictFilter, ConflictKind, ConflictState, Doubt, Fact, Hints, Link, PairContext,
    Resolution, SetBackSign, ShownRecord, Store, Waiting, set_back_subject,
};

use super::changed::has_usable_times;
use super::held;
use super::out_of_date::{Shows, remember, still_shows};
use super::pair::{CLOCK_SLACK, Pair};
use super::replaced::REPLACED;
use super::set_back_asked::{ask, renew, shown};
use crate::context::{Cause, Context};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// So many pairs of a side, and it is asked about the side.
const ASK_AT: u64 = 3;
/// No more pairs are kept than this, of each sign.
const KEPT_MAX: u64 = 1_000;
/// Questions about single pairs that are looked at: of a side there are two at most.
const QUESTIONS_MAX: usize = 200;
/// What was seen longer ago says nothing of what is seen now.
pub(super) const TOGETHER_WITHIN: Duration = Duration::from_secs(3_600);
/// An older state that is looked for again is believed or not within so long after the time that the sync gives it.
const BELIEVED_WITHIN: Duration = Duration::from_secs(60);
/// What is to be made on a side that was set back waits for no longer than this at once.
pub(super) const CREATES_PAUSE: Duration = Duration::from_secs(30);

/// What speaks for a side having been set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nothing.
    None,
    /// Other pairs show an older state, which is looked for again or about to be asked about.
    Perhaps,
    /// A person is asked, about the side or a pair of it.
    Asked,
}

/// Has a pair wait that shows what a question about its side is about. It is not looked for again: the answer does that.
pub(super) async fn hold(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    context: &PairContext,
) -> Result<Option<Performed>, WorkError> {
    let mut rulings = context.rulings.iter();
    if rulings.any(|ruling| ruling.asked == REPLACED) {
        // A person has answered for this very pair.
        return Ok(None);
    }
    for side in Side::BOTH {
        if pair.merged_into(side).is_some() {
            // Somebody merges records in a system that was not set back.
            continue;
        }
        let reading = pair.side(side);
        let shows = still_shows(work.store(), work.sync, link, side, reading).await?;
        let Some(shows) = shows else { continue };
        let asked = asked(work.store(), work.sync, side).await?;
        if let Some(open) = asked.filter(|asked| asked.state == ConflictState::Open) {
            note(work, link.id, side, shows.sign()).await?;
            remember(work, link.id, side, None).await?;
            held::remember(work, link, pair, open.id).await?;
            if let Some(own) = context.replaced {
                close_as_part(work, own).await?;
            }
            let shown = shown(link, side, reading);
            renew(work, side, &open, shown).await?;
            return Ok(Some(waits(work, side)));
        }
    }
    Ok(None)
}

fn waits(work: Work<'_>, side: Side) -> Performed {
    let connection = &work.sync.end(side).connection;
    Performed::done(format!(
        "held: a person must say whether {connection} was set back to an older state"
    ))
}

/// Has a pair wait whose record is missing or out of date while others of its side are too, and asks about the side once
/// there are enough of them. `None`: there are fewer.
pub(super) async fn gather(
    work: Work<'_>,
    link: &Link,
    (side, shows): (Side, &Shows),
    pair: &Pair,
) -> Result<Option<Performed>, WorkError> {
    // First, so that of several at once the last one knows of all.
    note(work, link.id, side, shows.sign()).await?;
    let since = work.context.now().minus(TOGETHER_WITHIN);
    let mut singly = asked_singly(work.store(), work.sync, side).await?;
    singly.retain(|one| one.created_at >= since);
    let store = &work.context.store;
    let count = store.set_back_count(&work.sync.name, side, since).await?;
    // One of them that somebody edited since may not be noted any more. This pair is none of them yet.
    let own_older = u64::from(shows.sign() == SetBackSign::Older);
    let older = count.older.max(singly.len() as u64 + own_older);
    if older + count.missing < ASK_AT {
        return Ok(None);
    }
    if let Some(asked) = asked(work.store(), work.sync, side).await?
        && asked.state == ConflictState::Answered
    {
        // That one was about what was before.
        close(work.context, &asked, None).await?;
    }
    for one in singly.iter().filter_map(|one| one.link) {
        note(work, one, side, SetBackSign::Older).await?;
    }
    let own = shown(link, side, pair.side(side));
    let theirs = singly.iter().flat_map(|one| one.shown.clone());
    let shown: Vec<ShownRecord> = own
        .into_iter()
        .chain(theirs.filter(|record| record.side == side))
        .collect();
    ask(work, link, (side, shows.reason()), shown).await?;
    remember(work, link.id, side, None).await?;
    for one in singly {
        // What was asked about it by itself is part of the question from now on, and has waited since it was asked.
        if let Some(link) = one.link {
            remember(work, link, side, Some(one.created_at)).await?;
        }
        close_as_part(work, one.id).await?;
    }
    Ok(Some(waits(work, side)))
}

/// Whether a record that is missing on a side, or has come back there, may be so because the side was set back.
pub(super) async fn suspicion(work: Work<'_>, side: Side) -> Result<Suspicion, WorkError> {
    let asked = asked(work.store(), work.sync, side).await?;
    let is_open = asked.is_some_and(|asked| asked.state == ConflictState::Open);
    if is_open
        || !asked_singly(work.store(), work.sync, side)
            .await?
            .is_empty()
    {
        return Ok(Suspicion::Asked);
    }
    let since = work
        .context
        .now()
        .minus(work.sync.confirm_gone + BELIEVED_WITHIN);
    let store = &work.context.store;
    let count = store.set_back_count(&work.sync.name, side, since).await?;
    // One that is believed by now is about to be asked about.
    Ok(if count.doubted + count.older > 0 {
        Suspicion::Perhaps
    } else {
        Suspicion::None
    })
}

/// For how long what other pairs show can delay what is known of one.
pub(super) fn patience(sync: &SyncDefinition) -> Duration {
    3 * (sync.confirm_gone + BELIEVED_WITHIN)
}

/// What a person said of a side, where it holds for a pair: one that was linked before it was asked, and of which nothing
/// newer was seen since, as far as times say.
pub(super) async fn answer(
    work: Work<'_>,
    link: &Link,
    side: Side,
) -> Result<Option<Conflict>, WorkError> {
    let Some(asked) = asked(work.store(), work.sync, side).await? else {
        return Ok(None);
    };
    // Until it is closed: what it is about may come up days later, where the sync was paused or a system down.
    if asked.state != ConflictState::Answered {
        return Ok(None);
    }
    let is_of_before = link.id.made_at() < asked.created_at
        && seen_at(work, link, side).is_none_or(|seen| seen <= asked.created_at.plus(CLOCK_SLACK));
    Ok(Some(asked).filter(|_| is_of_before))
}

/// When the change was made that was last seen of a record, by our clock. One that is still to come says nothing, nor does
/// any of a system whose clock is wrong: by it nothing would ever be of before.
fn seen_at(work: Work<'_>, link: &Link, side: Side) -> Option<Timestamp> {
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let seen = link.side(side).updated_at?.shifted(-offset);
    let is_past = seen <= work.context.now().plus(CLOCK_SLACK);
    (is_past && has_usable_times(work, side)).then_some(seen)
}

/// What became of a record that has come back after its pair was retired: it may be there only because its side was set
/// back, and then nothing is made or held equal for it.
pub(super) async fn returned(
    work: Work<'_>,
    link: &Link,
    side: Side,
) -> Result<Option<Performed>, WorkError> {
    if let Some(asked) = answer(work, link, side).await? {
        let is_left = matches!(asked.resolution, Some(Resolution::Take { .. }));
        forget(work, link, side).await?;
        let connection = &work.sync.end(side).connection;
        return Ok(is_left.then(|| {
            Performed::done(format!(
                "retired: the record is back because {connection} was set back, and a person said that its partners count"
            ))
        }));
    }
    if suspicion(work, side).await? != Suspicion::Asked {
        return Ok(None);
    }
    note(work, link.id, side, SetBackSign::Older).await?;
    Ok(Some(held_with_others(work, side)))
}

/// Has these records of a side looked at: they may show that it was set back.
pub(super) async fn look_at_records(
    work: Work<'_>,
    side: Side,
    records: Vec<RecordId>,
) -> Result<(), WorkError> {
    let cause = Cause {
        sync: &work.sync.name,
        side,
        class: work.claimed.job.class,
        trigger: work.claimed.job.trigger,
    };
    let job = |record| work.context.reconcile_job(cause, record, Hints::default());
    let jobs = records.into_iter().map(job).collect();
    work.context.enqueue(jobs).await
}

/// The end of a job whose pair waits for what a person says of others of its side.
pub(super) fn held_with_others(work: Work<'_>, side: Side) -> Performed {
    let connection = &work.sync.end(side).connection;
    Performed::done(format!(
        "held: other records of {connection} are out of date, and a person must say why"
    ))
}

/// A system that was set back gives ids again that the links of missing records bear: nothing is made there before those
/// are settled.
pub(super) async fn refuse_create(
    work: Work<'_>,
    side: Side,
) -> Result<Option<Performed>, WorkError> {
    let Some(asked) = asked(work.store(), work.sync, side).await? else {
        return Ok(None);
    };
    let Some(at) = asked.answered_at else {
        // Whole comparisons find a record without a partner again, and who closes the question those of which a person has
        // said that they get one.
        return Ok(Some(waits(work, side)));
    };
    let settled_at = at.plus(2 * work.sync.confirm_gone + BELIEVED_WITHIN);
    let left = settled_at.since(work.context.now());
    Ok((!left.is_zero()).then(|| work.again_after(left.min(CREATES_PAUSE), Waiting::Elsewhere)))
}

/// Remembers what a pair shows of a side.
pub(super) async fn note(
    work: Work<'_>,
    link: LinkId,
    side: Side,
    sign: SetBackSign,
) -> Result<(), WorkError> {
    let now = work.context.now();
    let store = &work.context.store;
    store
        .note_set_back(&work.sync.name, side, link, sign, KEPT_MAX, now)
        .await?;
    Ok(())
}

/// A pair shows nothing of it any more.
pub(super) async fn forget(work: Work<'_>, link: &Link, side: Side) -> Result<(), WorkError> {
    let now = work.context.now();
    let store = &work.context.store;
    store
        .forget_set_back(&work.sync.name, side, Some(link.id), now)
        .await?;
    Ok(())
}

/// A pair is as it was known. That one which showed an older state is right again speaks for its side: where it is asked about
/// that, it is forgotten only with the question.
pub(super) async fn dispel(
    work: Work<'_>,
    link: &Link,
    side: Side,
    doubt: Doubt,
) -> Result<(), WorkError> {
    let asked = asked(work.store(), work.sync, side).await?;
    let is_open = asked.is_some_and(|asked| asked.state == ConflictState::Open);
    if doubt.is_older && is_open {
        return Ok(());
    }
    forget(work, link, side).await
}

/// The question about a side, if it is not closed.
pub(super) async fn asked(
    store: &dyn Store,
    sync: &SyncDefinition,
    side: Side,
) -> Result<Option<Conflict>, WorkError> {
    let subject = set_back_subject(&sync.name, side);
    Ok(store.question_about(&subject).await?)
}

/// The open questions about single pairs of a side.
pub(super) async fn asked_singly(
    store: &dyn Store,
    sync: &SyncDefinition,
    side: Side,
) -> Result<Vec<Conflict>, WorkError> {
    let filter = ConflictFilter {
        sync: Some(sync.name.clone()),
        state: Some(ConflictState::Open),
        kind: Some(REPLACED.to_owned()),
        limit: QUESTIONS_MAX,
        ..ConflictFilter::default()
    };
    let mut open = store.conflicts(&filter).await?;
    open.retain(|question| question.side == side && says_of_side(&question.kind));
    Ok(open)
}

/// Whether a question about a single pair says something of its side. What a create of ours went over does not, nor does what
/// somebody merged.
pub const fn says_of_side(kind: &ConflictKind) -> bool {
    match kind {
        ConflictKind::Replaced {
            overlaid, merged, ..
        } => !*overlaid && !*merged,
        _ => true,
    }
}

/// Closes a question about a single pair, unless it was answered since.
async fn close_as_part(work: Work<'_>, question: ConflictId) -> Result<(), WorkError> {
    let now = work.context.now();
    let (store, state) = (&work.context.store, ConflictState::Open);
    store
        .close_question(question, state, Some(Fact::PartOfOne.because()), now)
        .await?;
    Ok(())
}

/// Closes the question about a side, unless it was answered since it was seen.
pub(super) async fn close(
    context: &Context,
    question: &Conflict,
    why: Option<&'static str>,
) -> Result<(), WorkError> {
    let (store, now) = (&context.store, context.now());
    store
        .close_question(question.id, question.state, why, now)
        .await?;
    Ok(())
}
