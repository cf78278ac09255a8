//! The first sync, and every later whole comparison: list both sides, match, link, and record what
//! differs as jobs. It writes to no system itself.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, ConflictId, LinkId, RecordId, RunId, Side};
use tandem_engine::{Ambiguity, Ambiguous, same};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    ClaimedJob, ConflictKind, JobClass, LinkState, NewConflict, NewJob, NewLink, NewRun, Progress,
    Run, RunKind, RunState, ShownRecord, Trigger,
};

use super::Performed;
use crate::context::{Cause, Context};
use crate::failure::WorkError;
use crate::readings::{Reading, hints_of};
use crate::survey::{Listed, Survey, survey};

/// Rows stored in one transaction.
const CHUNK: usize = 500;
/// A question shows so many records at most; it names all.
const SHOWN_MAX: usize = 20;

pub async fn run(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
) -> Result<Performed, WorkError> {
    let now = context.now();
    let run = NewRun {
        id: RunId::new(now, context.entropy.as_ref()),
        sync: sync.name.clone(),
        kind: RunKind::Backfill,
        side: None,
        trigger: claimed.job.trigger,
    };
    let run = super::begin::begin(context, claimed, run).await?;
    if run.state == RunState::Skipped {
        return Ok(Performed::done(
            "skipped: the run before it is still under way",
        ));
    }
    let mut progress = Progress::default();
    let result = compare_all(context, sync, claimed, &run, &mut progress).await;
    let state = match &result {
        Err(_) => RunState::Failed,
        Ok(()) if progress.unreadable > 0 => RunState::Partial,
        Ok(()) => RunState::Succeeded,
    };
    let error = result.as_ref().err().map(ToString::to_string);
    context
        .store
        .end_run(
            run.id,
            state,
            &progress,
            error.as_deref(),
            None,
            context.now(),
        )
        .await?;
    result.map(|()| Performed::done(format!("compared {} records", progress.listed)))
}

async fn compare_all(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    run: &Run,
    progress: &mut Progress,
) -> Result<(), WorkError> {
    let survey = survey(context.store.as_ref(), sync, &|_, _| ()).await?;
    refuse_emptied(sync, &survey)?;
    progress.listed = (survey.a.records.len() + survey.b.records.len()) as u64;
    progress.unreadable = (survey.a.unreadable.len() + survey.b.unreadable.len()) as u64;
    progress.problems = survey
        .a
        .unreadable
        .iter()
        .chain(&survey.b.unreadable)
        .take(20)
        .cloned()
        .collect();
    let mut jobs = Jobs {
        context,
        sync,
        trigger: trigger(claimed),
        waiting: Vec::new(),
        queued: 0,
    };
    for side in Side::BOTH {
        index(&mut jobs, &survey, side, run).await?;
    }
    link_pairs(&mut jobs, &survey, progress).await?;
    for (side, ids) in [
        (Side::A, &survey.matching.only_a),
        (Side::B, &survey.matching.only_b),
    ] {
        if sync.policy.creates.on(side.other()) {
            for id in ids {
                jobs.push(side, listed(&survey, side).records.get(id))
                    .await?;
            }
        }
    }
    for unclear in &survey.matching.ambiguous {
        settle_unclear(&mut jobs, &survey, unclear, progress).await?;
    }
    jobs.flush().await?;
    progress.queued = jobs.queued;
    progress.unchanged = progress.listed.saturating_sub(jobs.queued + progress.held);
    Ok(())
}

fn trigger(claimed: &ClaimedJob) -> Trigger {
    match claimed.job.trigger {
        Trigger::Manual => Trigger::Manual,
        Trigger::Webhook | Trigger::Poll | Trigger::Backfill | Trigger::Schedule => {
            Trigger::Backfill
        }
    }
}

const fn listed(survey: &Survey, side: Side) -> &Listed {
    match side {
        Side::A => &survey.a,
        Side::B => &survey.b,
    }
}

/// A side with links that suddenly lists nothing is taken for broken, not for emptied.
fn refuse_emptied(sync: &SyncDefinition, survey: &Survey) -> Result<(), WorkError> {
    let links = survey
        .links
        .iter()
        .filter(|link| link.state == LinkState::Active)
        .count() as u64;
    for side in Side::BOTH {
        if links > 10 && listed(survey, side).records.is_empty() {
            return Err(WorkError::EmptiedSide {
                system: sync.end(side).connection.to_string(),
                links,
            });
        }
    }
    Ok(())
}

/// Collects reconcile jobs and stores them in chunks.
struct Jobs<'a> {
    context: &'a Context,
    sync: &'a SyncDefinition,
    trigger: Trigger,
    waiting: Vec<NewJob>,
    queued: u64,
}

impl Jobs<'_> {
    async fn push(&mut self, side: Side, reading: Option<&Reading>) -> Result<(), WorkError> {
        let Some(reading) = reading else {
            return Ok(());
        };
        self.push_id(side, &reading.record.id, hints_of(side, reading.edited_at))
            .await
    }

    async fn push_id(
        &mut self,
        side: Side,
        id: &RecordId,
        hints: tandem_store::Hints,
    ) -> Result<(), WorkError> {
        let cause = Cause {
            sync: &self.sync.name,
            side,
            class: JobClass::Backfill,
            trigger: self.trigger,
        };
        self.waiting
            .push(self.context.reconcile_job(cause, id.clone(), hints));
        self.queued += 1;
        if self.waiting.len() >= CHUNK {
            self.flush().await
        } else {
            Ok(())
        }
    }

    async fn flush(&mut self) -> Result<(), WorkError> {
        self.context
            .enqueue(std::mem::take(&mut self.waiting))
            .await
    }
}

/// Puts a side into the index; a linked record that is not as its link knows it gets a job, and so
/// does one whose link has a partner that vanished.
async fn index(
    jobs: &mut Jobs<'_>,
    survey: &Survey,
    side: Side,
    run: &Run,
) -> Result<(), WorkError> {
    let readings: Vec<&Reading> = listed(survey, side).records.values().collect();
    for chunk in readings.chunks(CHUNK) {
        let indexed = chunk
            .iter()
            .map(|reading| reading.indexed(jobs.sync))
            .collect();
        let store = &jobs.context.store;
        let now = jobs.context.now();
        let known = store
            .index_records(&jobs.sync.name, side, indexed, Vec::new(), run.number, now)
            .await?;
        let changed = known
            .into_iter()
            .filter(|record| record.link.is_some() && !record.unchanged);
        for record in changed {
            jobs.push(side, listed(survey, side).records.get(&record.id))
                .await?;
        }
    }
    let gone = survey
        .links
        .iter()
        .filter(|link| link.state == LinkState::Active);
    for id in gone.filter_map(|link| link.side(side).id.as_ref()) {
        if !listed(survey, side).records.contains_key(id) {
            jobs.push_id(side, id, hints_of(side, Some(jobs.context.now())))
                .await?;
        }
    }
    Ok(())
}

/// Links clear pairs, with a base of the fields that are equal; the others get a job.
async fn link_pairs(
    jobs: &mut Jobs<'_>,
    survey: &Survey,
    progress: &mut Progress,
) -> Result<(), WorkError> {
    for chunk in survey.matching.pairs.chunks(CHUNK) {
        let mut links = Vec::with_capacity(chunk.len());
        let mut differing = Vec::new();
        for (a, b) in chunk {
            let (Some(a), Some(b)) = (survey.a.records.get(a), survey.b.records.get(b)) else {
                continue;
            };
            let base = equal_fields(jobs.sync, a, b);
            if base.len() < jobs.sync.policy.fields.len() {
                differing.push(a);
            }
            links.push(new_link(jobs, a, b, base));
        }
        progress.matched += links.len() as u64;
        jobs.context
            .store
            .insert_links(links, jobs.context.now())
            .await?;
        for a in differing {
            jobs.push(Side::A, Some(a)).await?;
        }
    }
    Ok(())
}

fn equal_fields(sync: &SyncDefinition, a: &Reading, b: &Reading) -> BTreeMap<String, BaseValue> {
    let value =
        |reading: &Reading, name: &str| reading.fields.get(name).cloned().unwrap_or_default();
    let pairs = sync
        .policy
        .fields
        .iter()
        .map(|rule| (rule, value(a, &rule.name), value(b, &rule.name)));
    pairs
        .filter(|(rule, a, b)| same(rule.equality, a, b))
        .map(|(rule, a, b)| (rule.name.clone(), BaseValue { a, b }))
        .collect()
}

fn new_link(
    jobs: &Jobs<'_>,
    a: &Reading,
    b: &Reading,
    base: BTreeMap<String, BaseValue>,
) -> NewLink {
    NewLink {
        id: LinkId::new(jobs.context.now(), jobs.context.entropy.as_ref()),
        sync: jobs.sync.name.clone(),
        a: a.side_state(&a.fields),
        b: b.side_state(&b.fields),
        base,
    }
}

/// Asks about every record of an unclear group, or takes the first of each side, by policy.
async fn settle_unclear(
    jobs: &mut Jobs<'_>,
    survey: &Survey,
    unclear: &Ambiguity,
    progress: &mut Progress,
) -> Result<(), WorkError> {
    if jobs.sync.policy.ambiguous == Ambiguous::First {
        // One job a group: it links the first of each side, or makes a partner where a side has none.
        if let Some(first) = unclear.a.first() {
            jobs.push(Side::A, survey.a.records.get(first)).await?;
        } else if let Some(first) = unclear.b.first() {
            jobs.push(Side::B, survey.b.records.get(first)).await?;
        }
        return Ok(());
    }
    let shown = |side: Side, id: &RecordId| -> Option<ShownRecord> {
        let listed = match side {
            Side::A => &survey.a,
            Side::B => &survey.b,
        };
        listed.records.get(id).map(|reading| reading.shown(side))
    };
    // The record itself, those that it may be the same as, and its rivals.
    let all_shown = |side: Side, id: &RecordId, own: &[RecordId], others: &[RecordId]| {
        let candidates = others.iter().map(|other| (side.other(), other));
        let rivals = own.iter().filter(|rival| *rival != id);
        std::iter::once((side, id))
            .chain(candidates)
            .chain(rivals.map(|rival| (side, rival)))
            .take(SHOWN_MAX)
            .filter_map(|(side, id)| shown(side, id))
            .collect()
    };
    let ask = |side: Side, id: &RecordId, own: &[RecordId], others: &[RecordId]| NewConflict {
        id: ConflictId::new(jobs.context.now(), jobs.context.entropy.as_ref()),
        sync: jobs.sync.name.clone(),
        link: None,
        side,
        record: id.clone(),
        kind: ConflictKind::Ambiguous {
            candidates: others.to_vec(),
            rivals: own.iter().filter(|other| *other != id).cloned().collect(),
            key: unclear.key.to_string(),
        },
        shown: all_shown(side, id, own, others),
    };
    // One question a record of the side that has several; the lone partner is named in them.
    let mut questions = Vec::new();
    if unclear.a.len() > 1 || unclear.b.len() <= 1 {
        questions.extend(
            unclear
                .a
                .iter()
                .map(|id| ask(Side::A, id, &unclear.a, &unclear.b)),
        );
    }
    if unclear.b.len() > 1 {
        questions.extend(
            unclear
                .b
                .iter()
                .map(|id| ask(Side::B, id, &unclear.b, &unclear.a)),
        );
    }
    progress.held += questions.len() as u64;
    jobs.context
        .store
        .open_conflicts(questions, jobs.context.now())
        .await?;
    Ok(())
}
