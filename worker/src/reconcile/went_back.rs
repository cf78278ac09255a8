//! A system that was restored by an import which dates every record anew: no time and no version goes back, only values do.
//! One record that holds again what it held before says little: people take back what they have typed. So others are asked,
//! the newest that are known first. What was restored has lost the newest of all; where that one stands, nothing was.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_connectors::ReadOutcome;
use tandem_domain::{LinkId, RecordId, Side, Timestamp, Value};
use tandem_engine::same;
use tandem_runtime::SyncDefinition;
use tandem_store::{Change, ChangeFilter, Link, LinkState, Operation, Store};

use super::changed::has_usable_times;
use super::pair::CLOCK_SLACK;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;
use crate::whole::read_apart;

/// Changes of one pair that are looked through for what its records held before.
const HISTORY: usize = 100;
/// Changes of a sync that are looked through for others to ask, of each kind.
const NEWEST: usize = 50;
/// So many others are asked at most, of each kind: pairs that were made last, and pairs that were changed last.
const ASKED_MAX: usize = 6;
/// So many that are dated anew say something.
const ASK_AT: usize = 3;
/// What was written more recently may not show yet.
const SHOWS_AFTER: Duration = Duration::from_secs(5);
/// A pair that was carried back longer ago says nothing of what is missing now.
const CARRIED_WITHIN: Duration = Duration::from_secs(3_600);

/// When a record last held something else, where all that is not as both sides agreed is as it was before that.
pub(super) async fn holds_again(
    store: &dyn Store,
    sync: &SyncDefinition,
    link: &Link,
    side: Side,
    reading: &Reading,
) -> Result<Option<Timestamp>, WorkError> {
    let found = moved(sync, link, side, reading);
    // Whoever says yes and no in turn holds again what was there before each time.
    if found.iter().all(|(_, value)| is_yes_or_no(value)) {
        return Ok(None);
    }
    let history = history(store, link.id).await?;
    let is_former =
        |(field, value): &(&str, Value)| held_before(sync, &history, side, field, value);
    if !found.iter().all(is_former) {
        return Ok(None);
    }
    let is_about = |change: &&Change| {
        let mut fields = change.fields.iter();
        fields.any(|one| found.iter().any(|(field, _)| one.field == *field))
    };
    Ok(history.iter().find(is_about).map(|change| change.at))
}

/// The fields that are not as both sides last agreed, and what stands there.
fn moved<'s>(
    sync: &'s SyncDefinition,
    link: &Link,
    side: Side,
    reading: &Reading,
) -> Vec<(&'s str, Value)> {
    let rules = sync.policy.fields.iter();
    let moved = rules.filter_map(|rule| {
        let known = link.base.get(&rule.name)?.side(side);
        let found = reading.fields.get(&rule.name).cloned().unwrap_or_default();
        let is_shown = !reading.left_out.contains(&rule.name);
        (is_shown && !same(rule.equality, known, &found)).then(|| (&*rule.name, found))
    });
    moved.collect()
}

const fn is_yes_or_no(value: &Value) -> bool {
    matches!(value, Value::Boolean(_))
}

/// What was done to a pair, newest first.
async fn history(store: &dyn Store, link: LinkId) -> Result<Vec<Change>, WorkError> {
    let filter = ChangeFilter {
        link: Some(link),
        limit: HISTORY,
        ..ChangeFilter::default()
    };
    Ok(store.changes(&filter).await?)
}

/// Whether the record of a side held this value before one of these changes.
fn held_before(
    sync: &SyncDefinition,
    history: &[Change],
    side: Side,
    field: &str,
    value: &Value,
) -> bool {
    let mut rules = sync.policy.fields.iter();
    let Some(rule) = rules.find(|rule| rule.name == field) else {
        return false;
    };
    let decided = history.iter().flat_map(|change| &change.fields);
    let mut held = decided.filter(|one| one.field == field).flat_map(|one| {
        let (then, base) = match side {
            Side::A => (&one.a, one.base.as_ref().map(|base| &base.0)),
            Side::B => (&one.b, one.base.as_ref().map(|base| &base.1)),
        };
        [Some(then), base]
    });
    held.any(|held| held.is_some_and(|held| same(rule.equality, held, value)))
}

/// Whether the newest change of a pair has carried over values of this side that it had held before that.
fn was_carried_back(sync: &SyncDefinition, history: &[Change], side: Side, now: Timestamp) -> bool {
    let Some((newest, before)) = history.split_first() else {
        return false;
    };
    let mut fields = newest.fields.iter();
    newest.operation == Operation::Update
        && newest.at >= now.minus(CARRIED_WITHIN)
        && !newest.fields.is_empty()
        && fields.all(|one| {
            one.from == Some(side)
                && !is_yes_or_no(&one.chosen)
                && held_before(sync, before, side, &one.field, &one.chosen)
        })
}

/// What others of a side show.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// One stands as it was known after the moment in question: nothing was lost since.
    pub(super) stands: bool,
    /// Pairs whose records are not there.
    pub(super) missing: usize,
    /// Records that hold again what they held before, and are not carried over.
    pub(super) back: Vec<RecordId>,
    /// How many hold again what they held before, and were carried over like edits.
    pub(super) carried: usize,
    /// How many are as they were known, and say that they were changed since.
    pub(super) dated_anew: usize,
    /// How many are as they were known, and do not say that.
    pub(super) untouched: usize,
}

impl Others {
    /// What says that a record which is missing was not deleted, but lost by a restore, in words. Where its system told that
    /// it was deleted, that others are dated anew is no reason to doubt it.
    pub(super) fn evidence(&self, is_told: bool) -> Option<String> {
        let again = self.back.len() + self.carried;
        if again > 0 {
            return Some(format!(
                "of the {} records that were made or changed last {again} hold again what they held before, and {} are \
                 missing",
                self.asked(),
                self.missing
            ));
        }
        if is_told {
            return None;
        }
        (self.dated_anew >= ASK_AT && self.untouched == 0).then(|| {
            format!(
                "{} others that were asked are as they were, and all say that they were changed since",
                self.dated_anew
            )
        })
    }

    const fn asked(&self) -> usize {
        self.missing + self.back.len() + self.carried + self.dated_anew + self.untouched
    }
}

/// Asks others of a side, the newest first, until one stands that was made or changed since this moment.
pub(super) async fn ask_others(
    work: Work<'_>,
    own: LinkId,
    side: Side,
    since: Timestamp,
) -> Result<Others, WorkError> {
    let mut others = Others::default();
    for link in newest(work, own).await? {
        ask(work, link, side, since, &mut others).await?;
        if others.stands {
            break;
        }
    }
    Ok(others)
}

/// Pairs that were made or changed last, the newest first.
async fn newest(work: Work<'_>, own: LinkId) -> Result<Vec<LinkId>, WorkError> {
    let until = work.context.now().minus(SHOWS_AFTER);
    let mut found: Vec<(Timestamp, LinkId)> = Vec::new();
    for operation in [Operation::Create, Operation::Update] {
        let filter = ChangeFilter {
            sync: Some(work.sync.name.clone()),
            operation: Some(operation),
            limit: NEWEST,
            ..ChangeFilter::default()
        };
        let changes = work.context.store.changes(&filter).await?;
        let mut seen = BTreeSet::from([own]);
        let others = changes
            .iter()
            .filter(|change| change.at <= until)
            .filter_map(|change| Some((change.at, change.link?)))
            .filter(|(_, link)| seen.insert(*link));
        found.extend(others.take(ASKED_MAX));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    let mut seen = BTreeSet::new();
    let links = found.into_iter().map(|(_, link)| link);
    Ok(links.filter(|link| seen.insert(*link)).collect())
}

async fn ask(
    work: Work<'_>,
    link: LinkId,
    side: Side,
    since: Timestamp,
    others: &mut Others,
) -> Result<(), WorkError> {
    let (context, sync) = (work.context, work.sync);
    let link = context.store.link(link).await?;
    let Some(link) = link.filter(|link| link.state == LinkState::Active && !link.is_filtered())
    else {
        return Ok(());
    };
    let Some(id) = link.side(side).id.clone() else {
        return Ok(());
    };
    let outcome = read_apart(sync, side, std::slice::from_ref(&id))
        .await?
        .pop();
    let reading = match outcome {
        Some(ReadOutcome::Found(record)) => Reading::new(sync, side, *record, None).whole(),
        Some(ReadOutcome::Missing) => {
            others.missing += 1;
            return Ok(());
        }
        Some(ReadOutcome::Unreadable(_)) | None => return Ok(()),
    };
    if !moved(sync, &link, side, &reading).is_empty() {
        let again = holds_again(context.store.as_ref(), sync, &link, side, &reading).await?;
        others.back.extend(again.map(|_| id));
        return Ok(());
    }
    let history = history(context.store.as_ref(), link.id).await?;
    if was_carried_back(sync, &history, side, context.now()) {
        others.carried += 1;
        return Ok(());
    }
    let known = link.side(side).updated_at;
    let is_later = |(known, found): (Timestamp, Timestamp)| found > known.plus(CLOCK_SLACK);
    if known.zip(reading.record.updated_at).is_some_and(is_later) {
        others.dated_anew += 1;
    } else {
        others.untouched += 1;
    }
    let changed = history.iter().find(|change| !change.fields.is_empty());
    others.stands = changed.is_some_and(|change| change.at > since);
    Ok(())
}

/// Whether a record that is dated anew shows an older state: it holds again what it held before, and what was made since
/// its backup is gone.
pub(super) async fn is_restored(
    work: Work<'_>,
    link: &Link,
    side: Side,
    reading: &Reading,
) -> Result<bool, WorkError> {
    let again = holds_again(work.store(), work.sync, link, side, reading).await?;
    let Some(since) = again else {
        return Ok(false);
    };
    let others = ask_others(work, link.id, side, since).await?;
    Ok(!others.stands && others.missing > 0)
}

/// By when a record that is missing had come to be, by our clock, as far as is known.
pub(super) fn made_at(work: Work<'_>, link: &Link, side: Side) -> Timestamp {
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let made = link.side(side).memory.made_at;
    let made = made.filter(|_| has_usable_times(work, side));
    let linked = link.created_at;
    let made = made.map(|made| made.shifted(-offset).plus(CLOCK_SLACK));
    made.map_or(linked, |made| made.min(linked))
}
