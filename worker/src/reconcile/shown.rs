//! A record that its system does not have under its id, and shows all the same: in a search, or in a listing that began
//! after it was first missed. Such a record is not gone, whatever its address answers: the credentials may not read it one
//! by one, or a replica or a cache may have lost it.

use std::time::Duration;

use tandem_connectors::Lookup;
use tandem_domain::{BaseValue, RecordId, Side, Timestamp};
use tandem_engine::match_keys;
use tandem_store::{IntentOp, Link};

use super::lookup::find_by_key;
use super::not_there::look_for;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// So much longer than a record that is nowhere is looked for one that is only shown elsewhere.
const PATIENCE: Duration = Duration::from_secs(300);

/// What shows a record that cannot be read, in words.
pub(super) async fn elsewhere(
    work: Work<'_>,
    link: &Link,
    side: Side,
    missed_since: Timestamp,
) -> Result<Option<String>, WorkError> {
    let Some(record) = &link.side(side).id else {
        return Ok(None);
    };
    let store = &work.context.store;
    let listed = store.listed_at(&work.sync.name, side, record).await?;
    if let Some(listed) = listed.filter(|listed| *listed > missed_since) {
        return Ok(Some(format!("the listing that began at {listed} has it")));
    }
    if let Some(key) = found_by_key(work, link, side, record).await? {
        return Ok(Some(format!("its search by {key} finds it")));
    }
    let is_found = is_found_by_reference(work, side, record).await?;
    Ok(is_found.then(|| "its search by our reference finds it".to_owned()))
}

/// Whether to go on looking, or to give up with a dead letter that says so.
pub(super) fn is_over(work: Work<'_>) -> bool {
    work.looked_for() >= work.sync.confirm_gone + PATIENCE
}

pub(super) fn given_up(work: Work<'_>, link: &Link, side: Side, how: String) -> WorkError {
    let record = link.side(side).id.clone();
    WorkError::ShownElsewhere {
        system: work.sync.end(side).connection.to_string(),
        record: record.unwrap_or_else(|| RecordId::new("")),
        how,
    }
}

/// Looks again for a record that its system's search shows in part and does not have under its id: nothing is made or
/// linked on its word, and none is made beside it. Gives up with a dead letter that says so.
pub(super) fn wait_until_whole(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Performed, WorkError> {
    look_for(work, work.sync.confirm_gone + PATIENCE).ok_or_else(|| WorkError::ShownInPart {
        system: work.sync.end(side).connection.to_string(),
        record: record.clone(),
    })
}

/// The match key by which the system finds the record, with what it was last known to hold.
async fn found_by_key(
    work: Work<'_>,
    link: &Link,
    side: Side,
    record: &RecordId,
) -> Result<Option<String>, WorkError> {
    let known = BaseValue::all_of(&link.base, side);
    let policy = &work.sync.policy;
    for key in match_keys(policy, &known) {
        let found = find_by_key(work, side, &key, &known).await?;
        if found.iter().any(|one| one.id == *record && !one.archived) {
            let names = policy.match_keys.get(key.rank());
            return Ok(Some(
                names.map_or_else(String::new, |names| names.join(" and ")),
            ));
        }
    }
    Ok(None)
}

async fn is_found_by_reference(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<bool, WorkError> {
    let intents = work
        .context
        .store
        .intents_of(&work.sync.name, record)
        .await?;
    let made = intents.iter().find(|intent| {
        intent.op == IntentOp::Create
            && intent.side == side
            && intent.target.as_ref() == Some(record)
    });
    let Some(made) = made else { return Ok(false) };
    let end = work.sync.end(side);
    let reference = made.id.to_string();
    let lookup = Lookup::Reference(&reference);
    let found = end.connector.find(&end.stream, &lookup).await?;
    let mut found = found.into_iter().flatten();
    Ok(found.any(|one| one.id == *record && !one.archived))
}
