//! Looks again at what differed in the listings, before it is reported.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_connectors::{ConnectorError, ReadOutcome};
use tandem_domain::{LinkId, RecordId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, Store};

use super::{Comparison, Difference, Standing, Suspect, What, differences, rests};
use crate::failure::WorkError;
use crate::readings::{Reading, read_outcomes};

/// More suspects than this are not edits that are under way: the others are reported as they were listed.
const AGAIN_MAX: usize = 500;

/// Reports what still differs when it is read by its id, after each of `waits`.
pub(super) async fn confirm(
    store: &dyn Store,
    sync: &SyncDefinition,
    mut suspects: Vec<Suspect>,
    mut known: KnownLinks,
    waits: &[Duration],
    comparison: &mut Comparison,
) -> Result<(), WorkError> {
    let as_listed = suspects.split_off(AGAIN_MAX.min(suspects.len()));
    comparison.seen_once = as_listed.len();
    for wait in waits {
        suspects.extend(known.since(store, sync).await?);
        if suspects.is_empty() {
            break;
        }
        tokio::time::sleep(*wait).await;
        let mut still = Vec::new();
        for suspect in suspects {
            let seen = look(store, sync, suspect.what).await?;
            comparison.filtered += usize::from(seen.rests);
            still.push(seen);
        }
        still.retain(|suspect| !suspect.told.is_empty());
        suspects = still;
    }
    for told in suspects
        .into_iter()
        .chain(as_listed)
        .flat_map(|one| one.told)
    {
        // A row that the listing could not read has been told.
        if !comparison.differences.contains(&told) {
            comparison.differences.push(told);
        }
    }
    Ok(())
}

/// What was known of the links when it was last asked.
pub(super) struct KnownLinks {
    newest: Option<LinkId>,
    /// Those that were left alone.
    alone: BTreeSet<LinkId>,
}

impl KnownLinks {
    pub(super) fn new(links: &[Link], alone: BTreeSet<LinkId>) -> Self {
        let newest = links.last().map(|link| link.id);
        Self { newest, alone }
    }

    /// Pairs that were linked, or taken up again, since: nobody has compared them.
    async fn since(
        &mut self,
        store: &dyn Store,
        sync: &SyncDefinition,
    ) -> Result<Vec<Suspect>, WorkError> {
        let new = store.links(&sync.name, self.newest, AGAIN_MAX).await?;
        self.newest = new.last().map(|link| link.id).or(self.newest);
        let new = new.into_iter();
        let active = new.filter(|link| link.state == LinkState::Active);
        let mut pairs: Vec<LinkId> = active.map(|link| link.id).collect();
        let before: Vec<LinkId> = self.alone.iter().copied().collect();
        for page in before.chunks(AGAIN_MAX) {
            let still = store.left_alone(page).await?;
            pairs.extend(page.iter().filter(|id| !still.contains(id)));
        }
        for taken_up in &pairs {
            self.alone.remove(taken_up);
        }
        let suspects = pairs.into_iter().map(|id| Suspect {
            what: What::Pair(id),
            told: Vec::new(),
            rests: false,
        });
        Ok(suspects.collect())
    }
}

/// What a suspect is by now, and what differs of it.
async fn look(store: &dyn Store, sync: &SyncDefinition, what: What) -> Result<Suspect, WorkError> {
    let (side, id) = match what {
        What::Pair(link) => return look_at_link(store, sync, link).await,
        What::Single(side, id) => (side, id),
    };
    // It may have a partner by now, or have lost one, or a person may have it left alone.
    let known = store.pair(&sync.name, side, &id).await?;
    let told = match known.link {
        Some(link) if link.state == LinkState::Active && !known.ignored => {
            return look_at_link(store, sync, link.id).await;
        }
        Some(_) if known.ignored => Vec::new(),
        Some(link) if is_superseded(store, side, &link).await? => {
            look_at_single(sync, side, &id).await?
        }
        Some(_) => Vec::new(),
        None if known.ignored => Vec::new(),
        None => look_at_single(sync, side, &id).await?,
    };
    let what = What::Single(side, id);
    Ok(Suspect {
        what,
        told,
        rests: false,
    })
}

/// Whether another record of the side has the partner of a pair that has ended.
async fn is_superseded(store: &dyn Store, side: Side, link: &Link) -> Result<bool, WorkError> {
    let Some(partner) = link.side(side.other()).id.as_ref() else {
        return Ok(false);
    };
    let pair = store.pair(&link.sync, side.other(), partner).await?;
    let is_linked = pair.link.is_some_and(|it| it.state == LinkState::Active);
    Ok(is_linked && !link.kept_apart)
}

async fn look_at_link(
    store: &dyn Store,
    sync: &SyncDefinition,
    id: LinkId,
) -> Result<Suspect, WorkError> {
    let (told, rests) = match store.link(id).await? {
        // A person may have it left alone since it was listed.
        Some(_) if !store.left_alone(&[id]).await?.is_empty() => (Vec::new(), false),
        Some(link) => look_at_pair(sync, &link).await?,
        None => (Vec::new(), false),
    };
    let what = What::Pair(id);
    Ok(Suspect { what, told, rests })
}

/// What differs of a pair, and whether it rests because the filters leave a record out.
async fn look_at_pair(
    sync: &SyncDefinition,
    link: &Link,
) -> Result<(Vec<Difference>, bool), WorkError> {
    let (Some(a), Some(b)) = (&link.a.id, &link.b.id) else {
        return Ok((Vec::new(), false));
    };
    let (seen_a, seen_b) =
        futures::try_join!(Seen::read(sync, Side::A, a), Seen::read(sync, Side::B, b))?;
    let pair = (seen_a.standing(), seen_b.standing());
    if rests(&pair) {
        return Ok((Vec::new(), link.state == LinkState::Active));
    }
    let mut told = differences(sync, link, &pair);
    told.extend(seen_a.unreadable(Side::A, a));
    told.extend(seen_b.unreadable(Side::B, b));
    Ok((told, false))
}

/// A record that is gone by now differs from nothing.
async fn look_at_single(
    sync: &SyncDefinition,
    side: Side,
    id: &RecordId,
) -> Result<Vec<Difference>, WorkError> {
    let seen = Seen::read(sync, side, id).await?;
    let record = id.clone();
    Ok(match &seen {
        Seen::Here(reading) if !reading.record.archived && reading.takes_part() => {
            vec![Difference::Unlinked { side, record }]
        }
        Seen::Unreadable(_) => seen.unreadable(side, id).into_iter().collect(),
        Seen::Here(_) | Seen::Missing => Vec::new(),
    })
}

/// A record as read by its id.
enum Seen {
    Here(Box<Reading>),
    Missing,
    Unreadable(String),
}

impl Seen {
    async fn read(sync: &SyncDefinition, side: Side, id: &RecordId) -> Result<Self, WorkError> {
        let outcome = match read_outcomes(sync, side, std::slice::from_ref(id)).await {
            Ok(mut outcomes) => outcomes.pop(),
            Err(error) if is_about_the_record(&error) => {
                return Ok(Self::Unreadable(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match outcome {
            Some(ReadOutcome::Found(record)) if record.id != *id => {
                Self::Unreadable(format!("the answer is record {}", record.id))
            }
            Some(ReadOutcome::Found(record)) => {
                Self::Here(Box::new(Reading::new(sync, side, *record, None).whole()))
            }
            Some(ReadOutcome::Unreadable(reason)) => Self::Unreadable(reason),
            Some(ReadOutcome::Missing) | None => Self::Missing,
        })
    }

    fn standing(&self) -> Standing<'_> {
        match self {
            Self::Here(reading) => Standing::of(reading),
            Self::Missing => Standing::Missing,
            Self::Unreadable(_) => Standing::Unreadable,
        }
    }

    /// What to tell of it if it cannot be read.
    fn unreadable(&self, side: Side, id: &RecordId) -> Option<Difference> {
        let Self::Unreadable(reason) = self else {
            return None;
        };
        Some(Difference::Unreadable {
            side,
            record: Some(id.clone()),
            reason: reason.clone(),
        })
    }
}

/// Whether what went wrong says something of the one record that was asked for, and nothing of the others: its system
/// answered, but with another record, or with what is none.
pub const fn is_about_the_record(error: &ConnectorError) -> bool {
    match error {
        ConnectorError::Malformed { .. }
        | ConnectorError::Refused { .. }
        | ConnectorError::NotFound { .. }
        | ConnectorError::Unreadable { .. } => true,
        ConnectorError::Unreachable { .. }
        | ConnectorError::RateLimited { .. }
        | ConnectorError::Unauthorized { .. }
        | ConnectorError::VersionConflict { .. }
        | ConnectorError::ResponseLost { .. }
        | ConnectorError::Endless { .. }
        | ConnectorError::RightEnded { .. }
        | ConnectorError::Misconfigured { .. } => false,
    }
}
