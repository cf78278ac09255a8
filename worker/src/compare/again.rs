//! Looks again at what differed in the listings, before it is reported.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_connectors::{ConnectorError, ReadOutcome};
use tandem_domain::{LinkId, RecordId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{Link, LinkState, Store};

use super::told::About;
use super::{Comparison, Difference, Standing, Suspect, What, differences, rests};
use crate::failure::WorkError;
use crate::open_questions::{OpenQuestions, Question};
use crate::planned::{Answers, LeftBy, PlannedPair};
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
        let questions = OpenQuestions::of(store, &sync.name).await?;
        let answers = Answers::of(store, &sync.name).await?;
        let looking = Looking {
            store,
            sync,
            questions: &questions,
            answers: &answers,
        };
        let mut still = Vec::new();
        for suspect in suspects {
            let seen = looking.at(suspect.what).await?;
            comparison.filtered += usize::from(seen.rests);
            still.push(seen);
        }
        still.retain(|suspect| !suspect.told.is_empty());
        suspects = still;
    }
    let held = suspects.iter().flat_map(|one| one.held.iter().cloned());
    comparison.held = held.collect();
    let left = suspects.iter().flat_map(|one| one.left.iter().cloned());
    comparison.left = left.collect();
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
        let suspects = pairs.into_iter().map(What::Pair);
        Ok(suspects
            .map(|what| Suspect::new(what, Vec::new()))
            .collect())
    }
}

/// What a second look goes by.
#[derive(Clone, Copy)]
struct Looking<'a> {
    store: &'a dyn Store,
    sync: &'a SyncDefinition,
    questions: &'a OpenQuestions,
    answers: &'a Answers,
}

impl Looking<'_> {
    /// What a suspect is by now, and what differs of it.
    async fn at(self, what: What) -> Result<Suspect, WorkError> {
        let (side, id) = match what {
            What::Pair(link) => return self.at_link(link).await,
            What::Single(side, id) => (side, id),
        };
        let (store, sync) = (self.store, self.sync);
        // It may have a partner by now, or have lost one, or a person may have it left alone.
        let known = store.pair(&sync.name, side, &id).await?;
        let told = match known.link {
            Some(link) if link.state == LinkState::Active && !known.ignored => {
                return self.at_link(link.id).await;
            }
            Some(_) if known.ignored => Vec::new(),
            Some(link) if is_superseded(store, side, &link).await? => {
                look_at_single(sync, side, &id).await?
            }
            Some(_) => Vec::new(),
            None if known.ignored => Vec::new(),
            None => look_at_single(sync, side, &id).await?,
        };
        let asked = self.questions.record(side, &id);
        let asked = asked.or_else(|| self.questions.create(side.other()));
        let about = told.iter().map(Difference::about);
        let held = asked.map(|asked| about.map(|about| (about, asked)).collect());
        Ok(Suspect {
            held: held.unwrap_or_default(),
            ..Suspect::new(What::Single(side, id), told)
        })
    }

    async fn at_link(self, id: LinkId) -> Result<Suspect, WorkError> {
        let nothing = Suspect::new(What::Pair(id), Vec::new());
        match self.store.link(id).await? {
            // A person may have it left alone since it was listed.
            Some(_) if !self.store.left_alone(&[id]).await?.is_empty() => Ok(nothing),
            Some(link) => self.at_pair(&link).await,
            None => Ok(nothing),
        }
    }

    /// What differs of a pair, and whether it rests because the filters leave a record out.
    async fn at_pair(self, link: &Link) -> Result<Suspect, WorkError> {
        let mut suspect = Suspect::new(What::Pair(link.id), Vec::new());
        let (Some(a), Some(b)) = (&link.a.id, &link.b.id) else {
            return Ok(suspect);
        };
        let sync = self.sync;
        let (seen_a, seen_b) =
            futures::try_join!(Seen::read(sync, Side::A, a), Seen::read(sync, Side::B, b))?;
        let pair = (seen_a.standing(), seen_b.standing());
        if rests(&pair) {
            suspect.rests = link.state == LinkState::Active;
            return Ok(suspect);
        }
        suspect.told = differences(sync, link, &pair);
        suspect.told.extend(seen_a.unreadable(Side::A, a));
        suspect.told.extend(seen_b.unreadable(Side::B, b));
        suspect.held = self.held(link, &suspect.told, [&seen_a, &seen_b]).await?;
        suspect.left = self.left(link, &suspect, [&seen_a, &seen_b]);
        Ok(suspect)
    }

    /// The answers by which fields that differ stay so. What waits for an open question is told with that.
    fn left(self, link: &Link, suspect: &Suspect, seen: [&Seen; 2]) -> Vec<(About, LeftBy)> {
        if suspect.told.is_empty() || link.state != LinkState::Active {
            return Vec::new();
        }
        let readings = seen.map(Seen::reading);
        let pair = PlannedPair::of(self.questions, self.sync, link, readings);
        let left = pair.left(self.sync, readings);
        let each = suspect.told.iter().filter_map(|one| {
            let about = one.about();
            let field = about.1.as_deref()?;
            let waits = suspect.held.iter().any(|(held, _)| *held == about);
            let stays = !waits && left.iter().any(|(name, _)| *name == field);
            let by = self.answers.get(link, field).filter(|_| stays)?.clone();
            Some((about, by))
        });
        each.collect()
    }

    /// The open questions that what differs of a pair waits for.
    async fn held(
        self,
        link: &Link,
        told: &[Difference],
        seen: [&Seen; 2],
    ) -> Result<Vec<(About, Question)>, WorkError> {
        if told.is_empty() || link.state != LinkState::Active {
            return Ok(Vec::new());
        }
        let (sync, questions) = (self.sync, self.questions);
        let readings = seen.map(Seen::reading);
        let whole = match seen.iter().any(|seen| matches!(seen, Seen::Unreadable(_))) {
            true => questions.merged(link.id),
            false => questions.identity(self.store, sync, link, readings).await?,
        };
        let kept = Side::BOTH.map(|side| questions.kept(sync, link, side, readings));
        let emptied = |field: &str| {
            let mut kept = kept.iter().flatten();
            kept.find_map(|(name, _, asked)| asked.filter(|_| name == field))
        };
        let each = told.iter().filter_map(|one| {
            let about = one.about();
            let field = about.1.as_deref();
            let asked = whole
                .or_else(|| questions.difference(link.id, field))
                .or_else(|| emptied(field?))?;
            Some((about, asked))
        });
        Ok(each.collect())
    }
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

    const fn reading(&self) -> Option<&Reading> {
        match self {
            Self::Here(reading) => Some(reading),
            Self::Missing | Self::Unreadable(_) => None,
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
