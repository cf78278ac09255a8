//! A record without a partner: find the one that exists, wait for the one that is being made, or make it.

use std::time::Duration;

use tandem_connectors::{ConnectorError, Lookup};
use tandem_domain::{ConflictId, LinkId, RecordId, Side};
use tandem_engine::{
    Ambiguous, Candidate, Plan, Presence, Ruled, Single, View, match_keys, match_one,
};
use tandem_store::{
    Confirmation, ConflictKind, Intent, IntentState, JobOutcome, LinkState, LinkUpdate,
    NewConflict, NewLink, Operation, PairContext, Resolution, SideState,
};

use super::{Performed, adopt};
use crate::edits;
use crate::executor::{About, KEY_BUSY_PAUSE, Sent, Work, both};
use crate::failure::WorkError;
use crate::first_sync;
use crate::readings::{self, Reading};
use crate::trace;

pub async fn run(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    pair: PairContext,
) -> Result<Performed, WorkError> {
    if let Some(intent) = adopt::lost_create(&pair.intents) {
        return adopt::settle_create(work, intent, None).await;
    }
    if !first_sync::has_ended(work.context, &work.sync.name).await? {
        return Ok(work.again_after(FIRST_SYNC_PAUSE));
    }
    let Some(reading) = readings::read(work.sync, side, record, work.claimed.job.hints).await?
    else {
        return Ok(Performed::done(
            "gone: the record was deleted before it had a partner",
        ));
    };
    if reading.record.archived {
        return Ok(Performed::done(
            "archived: a record out of use gets no partner",
        ));
    }
    if !reading.takes_part(work.sync, side) {
        return Ok(Performed::done(
            "filtered: the sync's filters leave this record out",
        ));
    }
    let here = Here {
        side,
        reading,
        pair,
    };
    if let Some(ended) = ruled(work, &here).await? {
        return Ok(ended);
    }
    if here.pair.held.is_some() {
        return Ok(Performed::done(
            "held: an operator must say what this record matches",
        ));
    }
    if let Some(intent) = own_echo(work, &here).await? {
        return await_partner(work, &here, intent).await;
    }
    if is_linked(work, here.side, here.id()).await? {
        // It is the effect of a create of ours, which was confirmed while the record was being read.
        return Ok(work.again_after(Duration::ZERO));
    }
    match_or_create(work, &here).await
}

/// A record waits so long before it asks again whether the first sync has ended.
const FIRST_SYNC_PAUSE: Duration = Duration::from_secs(2);
/// More records than this with the same key are not looked at one by one: it is unclear anyway.
const SAME_KEY_MAX: usize = 20;

/// The record that the job is about.
struct Here {
    side: Side,
    reading: Reading,
    pair: PairContext,
}

impl Here {
    fn id(&self) -> &RecordId {
        &self.reading.record.id
    }
}

/// Carries out an operator's answer about this record.
async fn ruled(work: Work<'_>, here: &Here) -> Result<Option<Performed>, WorkError> {
    let Some(ruling) = here
        .pair
        .rulings
        .iter()
        .find(|ruling| ruling.field.is_none())
    else {
        return Ok(None);
    };
    match &ruling.resolution {
        Resolution::LinkTo { record } if is_linked(work, here.side.other(), record).await? => {
            Err(WorkError::PartnerTaken {
                record: here.id().clone(),
                partner: record.clone(),
            })
        }
        Resolution::LinkTo { record } => link_to(work, here, record, vec![ruling.conflict])
            .await
            .map(Some),
        Resolution::CreateNew => create(work, here, vec![ruling.conflict]).await.map(Some),
        Resolution::Ignore | Resolution::Take { .. } | Resolution::Approve | Resolution::Reject => {
            Ok(None)
        }
    }
}

/// An open create of ours that this record is, or may be, the effect of.
async fn own_echo(work: Work<'_>, here: &Here) -> Result<Option<Intent>, WorkError> {
    let keys = match_keys(&work.sync.policy, &here.reading.fields);
    let open = work
        .context
        .store
        .open_creates(&work.sync.name, here.side, &keys)
        .await?;
    let by_reference = |intent: &&Intent| {
        here.reading.record.reference.as_deref() == Some(&*intent.id.to_string())
    };
    if let Some(intent) = open.iter().find(by_reference) {
        return Ok(Some(intent.clone()));
    }
    let same_key = |intent: &Intent| {
        intent
            .match_key
            .as_ref()
            .is_some_and(|key| keys.contains(key))
    };
    Ok(open.into_iter().find(same_key))
}

/// The job that made the record links it; only if that job is long gone does this one do it.
async fn await_partner(
    work: Work<'_>,
    here: &Here,
    intent: Intent,
) -> Result<Performed, WorkError> {
    let ours = here.reading.record.reference.as_deref() == Some(&*intent.id.to_string());
    let since = intent.sent_at.unwrap_or(intent.created_at);
    if ours && work.context.now().since(since) > adopt::ABANDONED_AFTER {
        return adopt::link_created(work, &intent, &here.reading, None).await;
    }
    Ok(work.again_after(KEY_BUSY_PAUSE))
}

async fn match_or_create(work: Work<'_>, here: &Here) -> Result<Performed, WorkError> {
    let own = candidate(work, &here.reading);
    let rivals = known(work, here, here.side, &own).await?;
    let mut others = known(work, here, here.side.other(), &own).await?;
    if others.is_empty() {
        others = look_up(work, here).await?;
    }
    let candidates = |readings: &[Reading]| -> Vec<Candidate> {
        readings
            .iter()
            .map(|reading| candidate(work, reading))
            .collect()
    };
    match match_one(&own, &candidates(&others), &candidates(&rivals)) {
        Single::Partner(partner) if is_linked(work, here.side.other(), &partner).await? => {
            let key = own.keys.first().cloned().unwrap_or_default();
            hold(work, here, &others, key, vec![partner], Vec::new()).await
        }
        Single::Partner(partner) => link_to(work, here, &partner, Vec::new()).await,
        Single::NoMatch => create(work, here, Vec::new()).await,
        Single::Unclear {
            key,
            candidates,
            rivals,
        } => hold(work, here, &others, key, candidates, rivals).await,
    }
}

async fn is_linked(work: Work<'_>, side: Side, record: &RecordId) -> Result<bool, WorkError> {
    let pair = work
        .context
        .store
        .pair(&work.sync.name, side, record)
        .await?;
    Ok(pair
        .link
        .is_some_and(|link| link.state == LinkState::Active))
}

/// The records of a side that share a key with this one by the index, read afresh: the index may
/// still name one that is gone, or that has other keys by now.
async fn known(
    work: Work<'_>,
    here: &Here,
    side: Side,
    own: &Candidate,
) -> Result<Vec<Reading>, WorkError> {
    let known = work
        .context
        .store
        .records_by_keys(&work.sync.name, side, &own.keys)
        .await?;
    let ids: Vec<RecordId> = known
        .into_iter()
        .filter(|known| !(known.ignored || side == here.side && known.id == own.id))
        .map(|known| known.id)
        .take(SAME_KEY_MAX)
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(readings::read_all(work.sync, side, &ids)
        .await?
        .into_iter()
        .filter(usable(work, side))
        .collect())
}

fn candidate(work: Work<'_>, reading: &Reading) -> Candidate {
    Candidate {
        id: reading.record.id.clone(),
        keys: match_keys(&work.sync.policy, &reading.fields),
    }
}

/// Asks the other system itself: its record may be too new to be in the index.
async fn look_up(work: Work<'_>, here: &Here) -> Result<Vec<Reading>, WorkError> {
    let other = here.side.other();
    let end = work.sync.end(other);
    let mut found: Vec<Reading> = Vec::new();
    for names in &work.sync.policy.match_keys {
        // A key of several fields is found by its first; the engine compares the others.
        let Some(name) = names.first() else { continue };
        let Some(rule) = work
            .sync
            .policy
            .fields
            .iter()
            .find(|rule| rule.name == *name)
        else {
            continue;
        };
        let Some(value) = here
            .reading
            .fields
            .get(name)
            .filter(|value| !value.is_null())
        else {
            continue;
        };
        let lookup = Lookup::Field {
            name: rule.stream_field(other),
            value,
        };
        let records = end
            .connector
            .find(&end.stream, &lookup)
            .await?
            .unwrap_or_default();
        let records = records
            .into_iter()
            .map(|record| Reading::new(work.sync, other, record, None));
        found.extend(records.filter(usable(work, other)));
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn usable(work: Work<'_>, side: Side) -> impl Fn(&Reading) -> bool {
    move |reading| !reading.record.archived && reading.takes_part(work.sync, side)
}

/// Links first and compares in the link's own lane, so that the jobs of both records cannot both write.
async fn link_to(
    work: Work<'_>,
    here: &Here,
    partner: &RecordId,
    used_rulings: Vec<ConflictId>,
) -> Result<Performed, WorkError> {
    let now = work.context.now();
    let blank = |id: &RecordId| SideState {
        id: Some(id.clone()),
        ..SideState::default()
    };
    let (a, b) = both(here.side, Some(here.id()), Some(partner));
    let link = NewLink {
        id: LinkId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        a: a.map(blank).unwrap_or_default(),
        b: b.map(blank).unwrap_or_default(),
        base: std::collections::BTreeMap::new(),
    };
    let mut change = work.change(Operation::Link, a, b);
    change.link = Some(link.id);
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Insert(link)),
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        changes: vec![change],
        used_rulings,
        outcome: Some(JobOutcome::Snooze {
            run_at: now,
            failure: None,
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// Those of these records that were never linked.
async fn unlinked<'a>(
    work: Work<'_>,
    side: Side,
    records: &'a [RecordId],
) -> Result<Vec<&'a RecordId>, WorkError> {
    let mut unlinked = Vec::new();
    for record in records {
        let pair = work.context.store.pair(&work.sync.name, side, record);
        if pair.await?.link.is_none() {
            unlinked.push(record);
        }
    }
    Ok(unlinked)
}

async fn hold(
    work: Work<'_>,
    here: &Here,
    found: &[Reading],
    key: String,
    candidates: Vec<RecordId>,
    rivals: Vec<RecordId>,
) -> Result<Performed, WorkError> {
    if work.sync.policy.ambiguous == Ambiguous::First
        && rivals.iter().all(|rival| here.id() < rival)
    {
        let free = unlinked(work, here.side.other(), &candidates).await?;
        if let Some(partner) = free.first() {
            return link_to(work, here, partner, Vec::new()).await;
        }
        // Where the other side has none, the first is the one that gets a partner; unless a later one was
        // quicker: one partner is enough for all of them.
        let none_is_linked = unlinked(work, here.side, &rivals).await?.len() == rivals.len();
        if candidates.is_empty() && none_is_linked {
            return create(work, here, Vec::new()).await;
        }
    }
    let kind = ConflictKind::Ambiguous {
        candidates,
        rivals,
        key,
    };
    let question = NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: None,
        side: here.side,
        record: here.id().clone(),
        kind,
    };
    let mut seen = vec![(here.side, here.reading.indexed(work.sync))];
    seen.extend(
        found
            .iter()
            .map(|reading| (here.side.other(), reading.indexed(work.sync))),
    );
    let confirmation = Confirmation {
        seen,
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: "held: the match is not clear".to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

async fn create(
    work: Work<'_>,
    here: &Here,
    used_rulings: Vec<ConflictId>,
) -> Result<Performed, WorkError> {
    let planned = plan_create(work, here)?;
    let Some(write) = planned.writes.first() else {
        return Ok(Performed::done(
            "no partner, and the sync creates none on that side",
        ));
    };
    let match_key = match_keys(&work.sync.policy, &here.reading.fields)
        .into_iter()
        .next();
    let intent = work.intent(
        write,
        About {
            link: None,
            source: Some(here.id()),
            target: None,
            match_key,
        },
    );
    if let Some(ended) = work.journal(None, std::slice::from_ref(&intent)).await? {
        return Ok(ended);
    }
    match work.send(&intent, None).await {
        Sent::Written { written, millis } => {
            let created = read_created(work, write.side, written).await?;
            let source = adopt::Source {
                reading: &here.reading,
                used_rulings,
                millis,
            };
            adopt::link_created(work, &intent, &created, Some(source)).await
        }
        Sent::NoEffect(error) => work.give_up(&intent, IntentState::Failed, error).await,
        Sent::Unknown(error) => work.give_up(&intent, IntentState::Unknown, error).await,
    }
}

fn plan_create(work: Work<'_>, here: &Here) -> Result<Plan, WorkError> {
    let (mut a, mut b) = (here.reading.presence(), Presence::Never);
    if here.side == Side::B {
        std::mem::swap(&mut a, &mut b);
    }
    let ruled = Ruled {
        values: edits::values(work.sync, &work.claimed.job.edits)?,
        ..Ruled::default()
    };
    let view = View {
        base: None,
        a: &a,
        b: &b,
        ruled: &ruled,
    };
    Ok(trace::planned(&work.sync.policy, view))
}

/// Some systems answer a create with the id alone.
async fn read_created(
    work: Work<'_>,
    side: Side,
    written: tandem_connectors::Written,
) -> Result<Reading, WorkError> {
    if let Some(record) = written.record {
        return Ok(Reading::new(work.sync, side, *record, None));
    }
    let read = readings::read(work.sync, side, &written.id, work.claimed.job.hints).await?;
    read.ok_or_else(|| {
        WorkError::from(ConnectorError::ResponseLost {
            system: work.sync.end(side).connection.to_string(),
            operation: format!("create {}", written.id),
            reason: "the new record cannot be read yet".to_owned(),
        })
    })
}
