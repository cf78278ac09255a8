//! The end of a question whether a side was set back, looked for after each whole listing of that side: what waited for
//! it is looked at when it is answered, and it closes by itself when no pair shows it any more.

use std::time::Duration;

use tandem_connectors::ReadOutcome;
use tandem_domain::{JobId, LinkId, RecordId, RunId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Conflict, ConflictState, Fact, Hints, JobClass, JobKind, LinkState, NewJob, QuestionKind,
    Resolution, RunFilter, RunKind, RunState, SetBackSign, Trigger,
};

use super::out_of_date::{Shows, is_made_anew, still_shows};
use super::set_back::{asked, asked_singly, close};
use crate::asked::Asked;
use crate::context::{Cause, Context};
use crate::failure::WorkError;
use crate::readings::Reading;
use crate::whole::read_apart;

/// Pairs that are looked at: as many as are noted at most.
const ANSWERED_PAIRS: usize = 2_000;
/// An answer holds for so long after the first whole listing that came after it.
const ANSWER_HOLDS: Duration = Duration::from_secs(24 * 3_600);
/// Runs that are looked through for such a listing.
const RUNS: usize = 50;
/// What nobody asks about is forgotten after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub async fn close_moot(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
) -> Result<(), WorkError> {
    let side = cause.side;
    let Some(question) = asked(context.store.as_ref(), sync, side).await? else {
        if asked_singly(context.store.as_ref(), sync, side)
            .await?
            .is_empty()
        {
            // Those that waited for an answer about another one.
            for link in look_at_all(context, sync, cause).await? {
                let now = context.now();
                let store = &context.store;
                store
                    .forget_set_back(&sync.name, side, Some(link), now)
                    .await?;
            }
        }
        let until = context.now().minus(FORGOTTEN_AFTER);
        let store = &context.store;
        store.forget_set_back(&sync.name, side, None, until).await?;
        return Ok(());
    };
    if question.state == ConflictState::Answered {
        look_at_all(context, sync, cause).await?;
        look_at_answered(context, cause).await?;
        let had_its_day = was_compared_since(context, sync, &question).await?;
        if had_its_day && is_carried_out(context, sync, side).await? {
            close(context, &question, None).await?;
        }
        return Ok(());
    }
    if is_over(context, sync, cause).await? {
        // What was to be made on that side meanwhile was left for a comparison to find. Before it is closed, because the
        // process may die right after, and nobody looks at a closed question again.
        compare_whole(context, sync).await?;
        look_at_answered(context, cause).await?;
        close(context, &question, Some(Fact::UpToDate.because())).await?;
        // And afterwards, because such a job may have found the question open still.
        look_at_answered(context, cause).await?;
    }
    Ok(())
}

/// Whether a whole listing of the side that began after the answer ended a day ago. The answer is not over before: a sync
/// may be paused, or a system down, for longer than a day, and what is missing would count as deleted then.
async fn was_compared_since(
    context: &Context,
    sync: &SyncDefinition,
    question: &Conflict,
) -> Result<bool, WorkError> {
    let Some(answered) = question.answered_at else {
        return Ok(false);
    };
    let until = context.now().minus(ANSWER_HOLDS);
    for kind in [RunKind::Sweep, RunKind::Backfill] {
        for state in [RunState::Succeeded, RunState::Partial] {
            let filter = RunFilter {
                sync: Some(sync.name.clone()),
                kind: Some(kind),
                state: Some(state),
                before: Some(RunId::new(until, context.entropy.as_ref())),
                limit: RUNS,
            };
            let runs = context.store.runs(&filter).await?;
            let is_any = runs.iter().any(|run| {
                let is_of_side = run.side.is_none_or(|side| side == question.side);
                let has_ended = run.ended_at.is_some_and(|at| at <= until);
                is_of_side && run.started_at >= answered && has_ended
            });
            if is_any {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn compare_whole(context: &Context, sync: &SyncDefinition) -> Result<(), WorkError> {
    let now = context.now();
    let job = NewJob {
        id: JobId::new(now, context.entropy.as_ref()),
        kind: JobKind::Backfill {
            sync: sync.name.clone(),
        },
        class: JobClass::Backfill,
        trigger: Trigger::Backfill,
        run_at: now,
        hints: Hints::default(),
        traceparent: None,
    };
    context.enqueue(vec![job]).await
}

/// A listing does not find all that waited: one may show what it showed before.
async fn look_at_all(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
) -> Result<Vec<LinkId>, WorkError> {
    let store = &context.store;
    let noted = store
        .set_back_links(&sync.name, cause.side, ANSWERED_PAIRS)
        .await?;
    let links: Vec<LinkId> = noted.iter().map(|noted| noted.link).collect();
    look_at(context, cause, &links).await?;
    Ok(links)
}

async fn look_at(context: &Context, cause: Cause<'_>, links: &[LinkId]) -> Result<(), WorkError> {
    let mut jobs = Vec::new();
    for id in links {
        let link = context.store.link(*id).await?;
        let record = link.and_then(|link| link.side(cause.side).id.clone());
        jobs.extend(record.map(|id| context.reconcile_job(cause, id, Hints::default())));
    }
    context.enqueue(jobs).await
}

/// Records that a person said get a partner on the side, and that were held back: a comparison takes them for settled.
async fn look_at_answered(context: &Context, cause: Cause<'_>) -> Result<(), WorkError> {
    let source = Cause {
        side: cause.side.other(),
        ..cause
    };
    let kinds = QuestionKind::ALL.into_iter();
    for kind in kinds.filter(|kind| Fact::NoneMade.ends(*kind)) {
        let mut pages = Asked::standing(cause.sync, kind, ConflictState::Answered);
        while let Some(page) = pages.next(context.store.as_ref()).await? {
            let makes = page.iter().filter(|answered| {
                answered.side == source.side && answered.resolution == Some(Resolution::CreateNew)
            });
            let jobs = makes.map(|answered| {
                context.reconcile_job(source, answered.record.clone(), Hints::default())
            });
            context.enqueue(jobs.collect()).await?;
        }
    }
    Ok(())
}

/// What a noted pair shows now.
enum Now {
    /// Its record is as it was known, or later.
    Right,
    /// It shows nothing of its side: it is no pair any more, or its record was made anew.
    Nothing,
    /// Its record is not there.
    Missing,
    /// An older state, or nobody knows.
    Older,
}

/// What noted pairs show now.
#[derive(Default)]
struct Found {
    /// They showed an older state, and their records are right again.
    right: Vec<LinkId>,
    /// They say nothing of their side. A record that was missing may be back because somebody fills the system anew, and
    /// then what is still missing follows.
    others: Vec<LinkId>,
    /// Their records are not there.
    missing: Vec<LinkId>,
}

/// What the noted pairs show; `None` while one shows an older state, or nobody knows what it shows.
async fn look_through(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
) -> Result<Option<Found>, WorkError> {
    let store = &context.store;
    let noted = store
        .set_back_links(&sync.name, side, ANSWERED_PAIRS)
        .await?;
    let mut found = Found::default();
    for noted in noted {
        match look_at_one(context, sync, side, noted.link).await? {
            Now::Older => return Ok(None),
            Now::Missing => found.missing.push(noted.link),
            Now::Right if noted.sign == SetBackSign::Older => found.right.push(noted.link),
            Now::Right | Now::Nothing => found.others.push(noted.link),
        }
    }
    Ok(Some(found))
}

/// Whether all pairs have come to what a person said.
async fn is_carried_out(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
) -> Result<bool, WorkError> {
    let Some(found) = look_through(context, sync, side).await? else {
        return Ok(false);
    };
    forget(context, sync, side, &found.right).await?;
    forget(context, sync, side, &found.others).await?;
    Ok(found.missing.is_empty())
}

/// Whether nobody has to say any more what became of the side: no record shows an older state, and one that did is right
/// again. What is missing then was deleted, and its pair goes on as any.
async fn is_over(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
) -> Result<bool, WorkError> {
    let side = cause.side;
    let Some(found) = look_through(context, sync, side).await? else {
        return Ok(false);
    };
    if found.right.is_empty() && !found.missing.is_empty() {
        return Ok(false);
    }
    look_at(context, cause, &found.missing).await?;
    for links in [&found.right, &found.others, &found.missing] {
        forget(context, sync, side, links).await?;
    }
    Ok(true)
}

async fn forget(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
    links: &[LinkId],
) -> Result<(), WorkError> {
    let (store, now) = (&context.store, context.now());
    for id in links {
        store
            .forget_set_back(&sync.name, side, Some(*id), now)
            .await?;
    }
    Ok(())
}

async fn look_at_one(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
    id: LinkId,
) -> Result<Now, WorkError> {
    let Some(link) = context.store.link(id).await? else {
        return Ok(Now::Nothing);
    };
    let Some(record) = link.side(side).id.clone() else {
        return Ok(Now::Nothing);
    };
    let Ok(reading) = read_one(sync, side, &record).await? else {
        return Ok(Now::Older);
    };
    if reading.as_ref().is_some_and(|it| it.record.id != record) {
        // It was merged into that one, which says nothing of its system having been set back.
        return Ok(Now::Nothing);
    }
    if link.state == LinkState::Retired {
        // It was deleted before. Where it is there, it is back.
        return Ok(reading.map_or(Now::Nothing, |_| Now::Older));
    }
    let shows = still_shows(context.store.as_ref(), sync, &link, side, reading.as_ref()).await?;
    Ok(match (shows, reading) {
        (Some(Shows::Missing), _) | (None, None) => Now::Missing,
        (Some(Shows::Older(_) | Shows::Other(_)), _) => Now::Older,
        (None, Some(reading)) if is_made_anew(&link, side, &reading) => Now::Nothing,
        (None, Some(_)) => Now::Right,
    })
}

/// A record, or nothing where it cannot be read for a reason of its own.
async fn read_one(
    sync: &SyncDefinition,
    side: Side,
    record: &RecordId,
) -> Result<Result<Option<Reading>, ()>, WorkError> {
    let outcome = read_apart(sync, side, std::slice::from_ref(record)).await?;
    Ok(match outcome.into_iter().next() {
        Some(ReadOutcome::Found(record)) => Ok(Some(Reading::new(sync, side, *record, None))),
        Some(ReadOutcome::Missing) | None => Ok(None),
        Some(ReadOutcome::Unreadable(_)) => Err(()),
    })
}
