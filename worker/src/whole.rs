//! Listings that show less of a record than a reading by its id. A field that a listing leaves out may hold anything,
//! so nothing is concluded of it: the record is read by its id, or the field counts as not compared.

use std::collections::{BTreeMap, BTreeSet};

use tandem_connectors::{ConnectorError, ReadOutcome};
use tandem_domain::{RecordId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, RowError};

use crate::compare::is_about_the_record;
use crate::failure::WorkError;
use crate::readings::{Reading, read_batch, read_outcomes};
use crate::survey::Listed;

/// Of each side so many records are read by their ids because the listing shows them only in part, or not at all. A
/// system that is asked about may be at work.
pub const WHOLE_MAX: usize = 1_000;

/// Which of the records that no link names are to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// Those of which it is not even known whether they take part.
    IfUnclear,
    /// All that are compared with others.
    All,
}

/// Reads by their ids what the listing of a side shows only in part, at most [`WHOLE_MAX`] records. What is left out of
/// the others stays in [`Reading::left_out`].
///
/// Nothing is read where the base says that the field is empty and the listing shows it of other records: then it is one
/// that does not show empty fields.
pub async fn complete(
    sync: &SyncDefinition,
    side: Side,
    listed: &mut Listed,
    links: &[Link],
    unlinked: Unlinked,
) -> Result<(), WorkError> {
    trust_what_is_empty(sync, side, listed, links);
    let linked: BTreeSet<&RecordId> = links
        .iter()
        .filter_map(|link| link.side(side).id.as_ref())
        .collect();
    let is_open = |(id, reading): &(&RecordId, &Reading)| {
        reading.hides_filtered()
            || !reading.left_out.is_empty() && (unlinked == Unlinked::All || linked.contains(id))
    };
    let open = listed.records.iter().filter(is_open);
    let ids: Vec<RecordId> = open.map(|(id, _)| id.clone()).take(WHOLE_MAX).collect();
    for (id, outcome) in ids.iter().zip(read_apart(sync, side, &ids).await?) {
        take(sync, side, listed, id, outcome);
    }
    Ok(())
}

/// Reads by their ids the linked records that the listing of a side does not show, at most [`WHOLE_MAX`]: some systems
/// list only a part of what they hold. Those that cannot be asked about any more are [`Listed::unasked`].
pub async fn look_up_unlisted(
    sync: &SyncDefinition,
    side: Side,
    listed: &mut Listed,
    links: &[Link],
) -> Result<(), WorkError> {
    let active = links.iter().filter(|link| link.state == LinkState::Active);
    let linked = active.filter_map(|link| link.side(side).id.as_ref());
    let mut missed: Vec<RecordId> = linked.filter(|id| !listed.shows(id)).cloned().collect();
    listed.unlisted = missed.len();
    listed.unasked = missed
        .split_off(WHOLE_MAX.min(missed.len()))
        .into_iter()
        .collect();
    for (id, outcome) in missed.iter().zip(read_apart(sync, side, &missed).await?) {
        take(sync, side, listed, id, outcome);
    }
    Ok(())
}

/// Reads any number of records; the answers are in the order of `ids`. What goes wrong with one of them says nothing of
/// the others: where a system refuses several at once, they are read one by one.
pub async fn read_apart(
    sync: &SyncDefinition,
    side: Side,
    ids: &[RecordId],
) -> Result<Vec<ReadOutcome>, ConnectorError> {
    let mut outcomes = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(read_batch(sync, side)) {
        match read_outcomes(sync, side, chunk).await {
            Ok(read) => outcomes.extend(read),
            Err(error) if is_about_the_record(&error) && chunk.len() > 1 => {
                for id in chunk {
                    outcomes.push(read_alone(sync, side, id).await?);
                }
            }
            Err(error) => outcomes.push(refused(error)?),
        }
    }
    Ok(outcomes)
}

async fn read_alone(
    sync: &SyncDefinition,
    side: Side,
    id: &RecordId,
) -> Result<ReadOutcome, ConnectorError> {
    match read_outcomes(sync, side, std::slice::from_ref(id)).await {
        Ok(mut read) => Ok(read.pop().unwrap_or(ReadOutcome::Missing)),
        Err(error) => refused(error),
    }
}

/// One record that is refused cannot be read, if that is all that the error says.
fn refused(error: ConnectorError) -> Result<ReadOutcome, ConnectorError> {
    if is_about_the_record(&error) {
        Ok(ReadOutcome::Unreadable(error.to_string()))
    } else {
        Err(error)
    }
}

fn take(
    sync: &SyncDefinition,
    side: Side,
    listed: &mut Listed,
    id: &RecordId,
    outcome: ReadOutcome,
) {
    listed.records.remove(id);
    match outcome {
        ReadOutcome::Found(record) if record.id == *id => {
            let reading = Reading::new(sync, side, *record, None).whole();
            listed.add(sync, reading);
        }
        ReadOutcome::Found(record) => listed.unreadable.push(RowError {
            side,
            record: Some(id.clone()),
            reason: format!("the answer is record {}", record.id),
        }),
        ReadOutcome::Unreadable(reason) => listed.unreadable.push(RowError {
            side,
            record: Some(id.clone()),
            reason,
        }),
        ReadOutcome::Missing => {}
    }
}

/// A field that the base says is empty is empty, if the listing shows it where it is not.
fn trust_what_is_empty(sync: &SyncDefinition, side: Side, listed: &mut Listed, links: &[Link]) {
    let readings = || listed.records.values();
    if readings().all(|reading| reading.left_out.is_empty()) {
        return;
    }
    let rules = sync.policy.fields.iter().map(|rule| rule.name.as_str());
    let shown: BTreeSet<&str> = rules
        .filter(|name| readings().any(|reading| !reading.left_out.contains(*name)))
        .collect();
    let by_id: BTreeMap<&RecordId, &Link> = links
        .iter()
        .filter_map(|link| Some((link.side(side).id.as_ref()?, link)))
        .collect();
    for (id, reading) in &mut listed.records {
        let Some(link) = by_id.get(id) else { continue };
        let is_empty = |name: &str| {
            let base = link.base.get(name);
            base.is_some_and(|base| base.side(side).is_null())
        };
        reading
            .left_out
            .retain(|name| !(shown.contains(name.as_str()) && is_empty(name)));
    }
}
