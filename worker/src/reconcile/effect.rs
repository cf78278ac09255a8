//! Looks for what a create without an answer has made.

use tandem_connectors::{Lookup, RemoteRecord};
use tandem_domain::{RecordId, Side, Value};
use tandem_engine::{MatchKey, is_form_of, match_keys, stored_as};
use tandem_store::{Intent, KnownRecord, Resolution};

use super::lookup::{SAME_KEY_MAX, find_by_key, may_have_key};
use super::met;
use crate::asked::named;
use crate::executor::{Work, shows_field};
use crate::failure::WorkError;
use crate::readings::{self, Reading};

/// What a create has made.
pub(super) enum Effect {
    /// As it is now.
    Whole(Box<Reading>),
    /// It is there, or may be: a search shows a part of it, and its system does not have it under its id.
    InPart(RecordId),
    /// It was made, and cannot be read now.
    Hidden,
}

impl Effect {
    fn of(reading: Reading) -> Self {
        if reading.record.in_part {
            Self::InPart(reading.record.id)
        } else {
            Self::Whole(Box::new(reading))
        }
    }
}

/// Looks for the effect by external reference, then by each match key: in the system's search, and in the index of what
/// listings and readings have shown. A search may be behind them by minutes.
pub(super) async fn find_effect(
    work: Work<'_>,
    intent: &Intent,
) -> Result<Option<Effect>, WorkError> {
    let end = work.sync.end(intent.side);
    let transaction = intent.id.to_string();
    if let Some(id) = &intent.target {
        // The system has told its id: nothing else is the effect.
        let found = readings::read(work.sync, intent.side, id, work.claimed.job.hints).await?;
        return Ok(Some(found.map_or(Effect::Hidden, Effect::of)));
    }
    let by_reference = end
        .connector
        .find(&end.stream, &Lookup::Reference(&transaction))
        .await?;
    if let Some(record) = by_reference.and_then(|records| records.into_iter().next()) {
        let found = Reading::new(work.sync, intent.side, record, None);
        return Ok(Some(Effect::of(found)));
    }
    if let Some(found) = shown_with_reference(work, intent).await? {
        return Ok(Some(found));
    }
    let wanted = match_keys(&work.sync.policy, &intent.fields);
    for key in &wanted {
        let records = find_by_key(work, intent.side, key, &intent.fields).await?;
        if let Some(found) = free_effect(work, intent, &wanted, records).await? {
            return Ok(Some(found));
        }
    }
    let Some(strongest) = wanted.first() else {
        return Ok(None);
    };
    let keys = stored_as(&[String::from(strongest.clone())]);
    let mut known = indexed_by(work, intent.side, &keys).await?;
    known.retain(|known| known.link.is_none());
    let ids: Vec<RecordId> = known.into_iter().map(|known| known.id).collect();
    let shown = readings::read_all(work.sync, intent.side, &ids).await?;
    let records = shown.into_iter().map(|reading| reading.record).collect();
    free_effect(work, intent, &wanted, records).await
}

/// The record that a listing or a reading has shown with the reference of a create, as it is now.
async fn shown_with_reference(
    work: Work<'_>,
    intent: &Intent,
) -> Result<Option<Effect>, WorkError> {
    let keys = [readings::reference_key(intent.id)];
    let mut is_hidden = false;
    for known in indexed_by(work, intent.side, &keys).await? {
        let hints = work.claimed.job.hints;
        let reading = readings::read(work.sync, intent.side, &known.id, hints).await?;
        match reading {
            // An answer that shows no reference says nothing of it.
            Some(found) if found.made_by().is_none_or(|id| id == intent.id) => {
                return Ok(Some(Effect::of(found)));
            }
            Some(_) => {}
            None => is_hidden = true,
        }
    }
    Ok(is_hidden.then_some(Effect::Hidden))
}

/// The first records of a side that the index has with one of these keys.
async fn indexed_by(
    work: Work<'_>,
    side: Side,
    keys: &[String],
) -> Result<Vec<KnownRecord>, WorkError> {
    let store = &work.context.store;
    let mut known = store.records_by_keys(&work.sync.name, side, keys).await?;
    known.truncate(SAME_KEY_MAX);
    Ok(known)
}

/// A record found by a natural key is the effect only if it belongs to nobody else, and shows what was sent.
async fn free_effect(
    work: Work<'_>,
    intent: &Intent,
    wanted: &[MatchKey],
    records: Vec<RemoteRecord>,
) -> Result<Option<Effect>, WorkError> {
    let free = free_of_key(work, intent, wanted, records).await?;
    for reading in free {
        if is_effect(work, intent, &reading).await? {
            return Ok(Some(Effect::of(reading)));
        }
    }
    Ok(None)
}

/// Whether a record is taken for what a create made. One that bears no reference and was there before, or of which a person
/// has decided that it is another, is not.
pub(super) async fn is_effect(
    work: Work<'_>,
    intent: &Intent,
    reading: &Reading,
) -> Result<bool, WorkError> {
    if !could_be_effect(work, intent, reading) {
        return Ok(false);
    }
    if reading.record.in_part || reading.made_by() == Some(intent.id) {
        return Ok(true);
    }
    if is_out_of_question(work, intent, reading).await? {
        return Ok(false);
    }
    // Where references are shown, one that stood there was gone over by ours.
    let shows_references = work.can(intent.side, |stream| stream.external_reference);
    Ok(shows_references || !met::stood_before(work, intent, reading).await?)
}

/// Whether a record is no partner for the source of a create, whatever it is like: it is out of use, left alone, or a person
/// was asked about it and had another made.
async fn is_out_of_question(
    work: Work<'_>,
    intent: &Intent,
    reading: &Reading,
) -> Result<bool, WorkError> {
    if reading.record.archived || !reading.may_take_part() {
        return Ok(true);
    }
    let (store, sync) = (&work.context.store, &work.sync.name);
    let own = store.pair(sync, intent.side, &reading.record.id).await?;
    if own.ignored {
        return Ok(true);
    }
    let Some(source) = &intent.source else {
        return Ok(false);
    };
    let pair = store.pair(sync, intent.side.other(), source).await?;
    let mut rulings = pair.rulings.iter();
    let Some(another) = rulings.find(|ruling| ruling.resolution == Resolution::CreateNew) else {
        return Ok(false);
    };
    let asked = store.conflict(another.conflict).await?;
    Ok(asked.is_some_and(|asked| named(&asked).contains(&(intent.side, &reading.record.id))))
}

/// Whether a record can be what a create made. A system that keeps our reference shows it with what we made; elsewhere a
/// person may have made its like at that moment, and no value that stands there may say otherwise.
fn could_be_effect(work: Work<'_>, intent: &Intent, reading: &Reading) -> bool {
    if reading.record.in_part {
        return true;
    }
    if work.can(intent.side, |stream| stream.external_reference) {
        let transaction = intent.id.to_string();
        return reading.record.reference.as_deref() == Some(&*transaction)
            || met::went_over(work, intent, reading);
    }
    intent.fields.iter().all(|(name, sent)| {
        let found = reading.fields.get(name).unwrap_or(&Value::Null);
        found.is_null()
            || shows_field(work.sync, name, sent, &reading.fields)
            || is_form_of(found, sent)
    })
}

/// Whether somebody else has made a record with the same match key meanwhile, which has no partner.
pub(super) async fn is_made_by_others(work: Work<'_>, intent: &Intent) -> Result<bool, WorkError> {
    let wanted = match_keys(&work.sync.policy, &intent.fields);
    for key in &wanted {
        let records = find_by_key(work, intent.side, key, &intent.fields).await?;
        if !free_of_key(work, intent, &wanted, records)
            .await?
            .is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those of these records that have the strongest key of a create, no reference of another, and no partner.
async fn free_of_key(
    work: Work<'_>,
    intent: &Intent,
    wanted: &[MatchKey],
    records: Vec<RemoteRecord>,
) -> Result<Vec<Reading>, WorkError> {
    let transaction = intent.id.to_string();
    let mut free = Vec::new();
    for record in records {
        let others = record.reference.as_ref().is_some_and(|reference| {
            *reference != transaction && reference.parse::<tandem_domain::IntentId>().is_ok()
        });
        let reading = Reading::new(work.sync, intent.side, record, None);
        let has_strongest = wanted.first().is_some_and(|wanted| {
            if reading.record.in_part {
                return may_have_key(&work.sync.policy, &reading, wanted);
            }
            match_keys(&work.sync.policy, &reading.fields).first() == Some(wanted)
        });
        if others || !has_strongest {
            continue;
        }
        let is_ours = reading.made_by() == Some(intent.id);
        if !is_ours && !reading.record.in_part && is_out_of_question(work, intent, &reading).await?
        {
            continue;
        }
        let store = &work.context.store;
        if store
            .pair(&work.sync.name, intent.side, &reading.record.id)
            .await?
            .link
            .is_none()
        {
            free.push(reading);
        }
    }
    Ok(free)
}
