//! Reads a side page by page. What is held in memory is one page a side.

use std::sync::{Mutex, PoisonError};

use tandem_connectors::{ConnectorError, Listing, Page, PageToken, ReadOutcome};
use tandem_domain::{RecordId, Side, Timestamp};
use tandem_store::{ListingPlace, Progress, RowError, Run, SeenRecord, StoredPage, SurveyedRecord};

use super::jobs::Jobs;
use crate::context::Context;
use crate::failure::WorkError;
use crate::jobs::vanished::{ids_of, row_errors};
use crate::listing::Walk;
use crate::readings::Reading;
use crate::whole::read_apart;

/// How far both sides are read.
pub struct Sides {
    places: Mutex<[ListingPlace; 2]>,
}

impl Sides {
    /// As the last stored page of each left it.
    pub async fn resumed(context: &Context, run: &Run) -> Result<Self, WorkError> {
        let mut places = [ListingPlace::default(), ListingPlace::default()];
        for (place, side) in places.iter_mut().zip(Side::BOTH) {
            let stored = context.store.listing_place(run, side).await?;
            *place = stored.unwrap_or_default();
        }
        Ok(Self {
            places: Mutex::new(places),
        })
    }

    pub fn place(&self, side: Side) -> ListingPlace {
        self.locked()[index(side)].clone()
    }

    /// What both have come to.
    pub fn progress(&self) -> Progress {
        let [a, b] = &*self.locked();
        a.progress.clone().plus(&b.progress)
    }

    fn set(&self, side: Side, place: ListingPlace) {
        self.locked()[index(side)] = place;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, [ListingPlace; 2]> {
        // A poisoned lock only means that the other side's reading panicked; both places are still whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::A => 0,
        Side::B => 1,
    }
}

/// Reads what is left of a side. A process before this one may have left it in the middle, and the system may
/// not know the place any more; then it begins again, once.
pub async fn read_side(
    jobs: &mut Jobs<'_>,
    run: &Run,
    side: Side,
    sides: &Sides,
) -> Result<(), WorkError> {
    let place = sides.place(side);
    if place.has_ended {
        return Ok(());
    }
    let is_resumed = place.token.is_some();
    match read_on(jobs, run, side, sides).await {
        Err(WorkError::Connector(error)) if is_resumed && is_about_the_place(&error) => {
            tracing::warn!(%side, run = %run.id, %error, "a listing cannot go on where it stood; it begins again");
            let afresh = ListingPlace {
                mapping: place.mapping,
                ..ListingPlace::default()
            };
            sides.set(side, afresh);
            read_on(jobs, run, side, sides).await
        }
        result => result,
    }
}

/// Whether the system may have refused because of where the listing was to go on.
const fn is_about_the_place(error: &ConnectorError) -> bool {
    match error {
        ConnectorError::Refused { .. }
        | ConnectorError::NotFound { .. }
        | ConnectorError::Malformed { .. }
        | ConnectorError::Misconfigured { .. }
        | ConnectorError::Endless { .. } => true,
        ConnectorError::Unreachable { .. }
        | ConnectorError::RateLimited { .. }
        | ConnectorError::Unauthorized { .. }
        | ConnectorError::VersionConflict { .. }
        | ConnectorError::ResponseLost { .. }
        | ConnectorError::Unreadable { .. }
        | ConnectorError::RightEnded { .. } => false,
    }
}

async fn read_on(
    jobs: &mut Jobs<'_>,
    run: &Run,
    side: Side,
    sides: &Sides,
) -> Result<(), WorkError> {
    let token = sides.place(side).token.map(PageToken);
    let mut walk = Walk::new(jobs.sync.end(side), Listing::All, token);
    while let Some(page) = walk.next().await? {
        let mut place = sides.place(side);
        place.token = walk.token().map(|token| token.0.clone());
        place.has_ended = walk.has_ended();
        place.mapping = super::super::begin::mapping_of(jobs.sync);
        take_page(jobs, run, side, page, place, sides).await?;
    }
    Ok(())
}

/// Puts a page into the index, records the jobs of what is linked and differs, and keeps what has no partner. The
/// place comes last: a page whose place is not stored is read again.
async fn take_page(
    jobs: &mut Jobs<'_>,
    run: &Run,
    side: Side,
    page: Page,
    mut place: ListingPlace,
    sides: &Sides,
) -> Result<(), WorkError> {
    let sync = jobs.sync;
    let mut unreadable = ids_of(&page.unreadable);
    for error in row_errors(side, page.unreadable) {
        place.progress.add_unreadable(error);
    }
    let readings: Vec<Reading> = page
        .records
        .into_iter()
        .map(|record| Reading::new(sync, side, record, None))
        .collect();
    let out = readings.iter().filter(|reading| !reading.may_take_part());
    let filtered = out.count() as u64;
    let listed = readings.len() as u64 - filtered;
    place.progress.add_listed(side, listed, filtered);
    let indexed = readings.iter().map(|reading| reading.listed(sync));
    let store = &jobs.context.store;
    let seen = store
        .index_records(
            &sync.name,
            side,
            indexed.collect(),
            Vec::new(),
            run.number,
            jobs.context.now(),
        )
        .await?;
    let before = jobs.queued;
    let mut records = Vec::new();
    let (mut unclear, mut differing) = (Vec::new(), Vec::new());
    for (reading, seen) in readings.into_iter().zip(&seen) {
        if has_no_partner(seen) && !reading.record.archived && reading.may_take_part() {
            if reading.is_unclear(sync) {
                unclear.push(reading);
            } else {
                records.push(surveyed(jobs, reading));
            }
        } else if !seen.unchanged
            && (seen.link.is_some() || seen.retired || !reading.may_take_part())
        {
            // Of a stranger that the filters leave out since it was last seen, a person may be asked. And under the id of a
            // pair that has ended there may be another record.
            differing.push((reading.record.id, reading.edited_at));
        }
    }
    push_all(jobs, side, differing).await?;
    for found in read_by_id(jobs, run, side, unclear).await? {
        match found {
            Ok(reading) => records.push(surveyed(jobs, reading)),
            Err(row) => {
                unreadable.extend(row.record.clone());
                place.progress.add_unreadable(row);
            }
        }
    }
    jobs.flush().await?;
    place.progress.queued += jobs.queued - before;
    sides.set(side, place.clone());
    let page = StoredPage {
        side,
        records,
        unreadable,
        place,
    };
    store.keep_page(run, page).await?;
    store.progress_run(run.id, &sides.progress()).await?;
    Ok(())
}

/// Jobs for records that differ, but for those that a person has let be.
async fn push_all(
    jobs: &mut Jobs<'_>,
    side: Side,
    differing: Vec<(RecordId, Option<Timestamp>)>,
) -> Result<(), WorkError> {
    let ids: Vec<RecordId> = differing.iter().map(|(id, _)| id.clone()).collect();
    let let_be = jobs.let_be(side, &ids).await?;
    for (id, edited_at) in differing {
        if !let_be.contains(&id) {
            jobs.push(side, id, edited_at).await?;
        }
    }
    Ok(())
}

/// Records of which the listing leaves out what they are matched or filtered by: they are read by their ids before
/// anything is concluded. One that the system refuses is a bad row, and the others go on. One that is not there by then gets a job, which finds out whether it is gone.
async fn read_by_id(
    jobs: &mut Jobs<'_>,
    run: &Run,
    side: Side,
    unclear: Vec<Reading>,
) -> Result<Vec<Result<Reading, RowError>>, WorkError> {
    if unclear.is_empty() {
        return Ok(Vec::new());
    }
    let sync = jobs.sync;
    let ids: Vec<RecordId> = unclear.iter().map(|one| one.record.id.clone()).collect();
    let mut found = Vec::with_capacity(ids.len());
    for (listed, outcome) in unclear.into_iter().zip(read_apart(sync, side, &ids).await?) {
        let id = listed.record.id;
        match outcome {
            ReadOutcome::Found(record) if record.id == id => {
                let reading = Reading::new(sync, side, *record, None).whole();
                if reading.takes_part() && !reading.record.archived {
                    found.push(Ok(reading));
                }
            }
            ReadOutcome::Found(_) | ReadOutcome::Missing => {
                jobs.push(side, id, listed.edited_at).await?;
            }
            ReadOutcome::Unreadable(reason) => found.push(Err(RowError {
                side,
                record: Some(id),
                reason,
            })),
        }
    }
    let read = found.iter().flatten();
    let indexed = read.map(|reading| reading.indexed(sync)).collect();
    let (store, now) = (&jobs.context.store, jobs.context.now());
    store
        .index_records(&sync.name, side, indexed, Vec::new(), run.number, now)
        .await?;
    Ok(found)
}

const fn has_no_partner(seen: &SeenRecord) -> bool {
    seen.link.is_none() && !seen.retired && !seen.ignored
}

/// What a listing leaves out is not taken for empty. What was read by its id is whole.
fn surveyed(jobs: &Jobs<'_>, reading: Reading) -> SurveyedRecord {
    SurveyedRecord {
        keys: reading.indexed(jobs.sync).keys,
        state: reading.side_state(&reading.fields),
        edited_at: reading.edited_at,
        fields: reading.shown_fields(),
        id: reading.record.id,
    }
}
