//! Collects a story from the store.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tandem_domain::{RecordId, Side, SyncName};
use tandem_store::{
    ChangeFilter, Conflict, ConflictFilter, ConflictKind, ConflictState, EventFilter, JobFilter,
    Link, LinkState, PAGE_ROWS_MAX, PairContext, SyncRow,
};

use super::{End, Ends, Story, WaitsFor};
use crate::views::{ChangeView, EventView, IntentView, JobView, LinkView};
use crate::{Operator, OperatorError};

/// So many of each kind are told, the newest.
const TOLD_MAX: usize = 100;

/// Questions that were closed without an answer are told, so many of them.
const CLOSED_SHOWN: usize = 3;

/// The ids of the record that the story is about, by side.
struct Names {
    a: Option<RecordId>,
    b: Option<RecordId>,
}

impl Names {
    fn new(side: Side, record: &RecordId, context: &PairContext) -> Self {
        let of = |wanted: Side| {
            if wanted == side {
                return Some(record.clone());
            }
            context.link.as_ref()?.side(wanted).id.clone()
        };
        Self {
            a: of(Side::A),
            b: of(Side::B),
        }
    }

    /// What an open question holds of the record or its pair. Each kind is named: a new one must say what it holds.
    fn waits_for(&self, asked: &Conflict) -> Option<WaitsFor> {
        let is_of_it = self.on(asked.side) == Some(&asked.record);
        let (field, holds) = match &asked.kind {
            ConflictKind::Field { field, .. }
            | ConflictKind::NotKept { field, .. }
            | ConflictKind::Emptied { field, .. } => (Some(field.clone()), true),
            // It names others beside the record that it holds.
            ConflictKind::Ambiguous { .. } | ConflictKind::Doubled { .. } => (None, is_of_it),
            ConflictKind::DeleteHeld { .. }
            | ConflictKind::NotDeleted { .. }
            | ConflictKind::NotMade { .. }
            | ConflictKind::Replaced { .. }
            | ConflictKind::SetBack { .. }
            | ConflictKind::BackAndForth { .. } => (None, true),
            // What it asks about has happened.
            ConflictKind::Overwritten { .. } => (None, false),
        };
        let holds = holds && asked.state == ConflictState::Open;
        holds.then(|| WaitsFor {
            question: asked.id,
            kind: asked.kind.as_str().to_owned(),
            field,
        })
    }

    fn on(&self, side: Side) -> Option<&RecordId> {
        match side {
            Side::A => self.a.as_ref(),
            Side::B => self.b.as_ref(),
        }
    }
}

impl Operator {
    /// The story of a record. Without a side, it is looked for on both.
    ///
    /// # Errors
    /// When there is no such sync, nothing is known of the record, both sides have one of that id, or the
    /// storage fails.
    pub async fn explain(
        &self,
        sync: &SyncName,
        side: Option<Side>,
        record: &RecordId,
    ) -> Result<Story, OperatorError> {
        let row = self.known_sync(sync).await?;
        let stories = match side {
            Some(side) => vec![self.story(&row, side, record).await?],
            None => vec![
                self.story(&row, Side::A, record).await?,
                self.story(&row, Side::B, record).await?,
            ],
        };
        let mut told: Vec<Story> = stories.into_iter().filter(is_told).collect();
        if told.is_empty() {
            told = self.left_out(&row, side, record).await?;
        }
        let mut told = told.into_iter();
        match (told.next(), told.next()) {
            (Some(story), None) => Ok(story),
            (Some(_), Some(_)) => Err(OperatorError::Invalid {
                problem: format!("both sides of `{sync}` have a record `{record}`"),
                advice: "say which side is meant: a or b",
            }),
            (None, _)
                if let Some(side) = side
                    && is_told(&self.story(&row, side.other(), record).await?) =>
            {
                Err(OperatorError::Invalid {
                    problem: format!(
                        "the record `{record}` is one of side {} of `{sync}`, not of side {side}",
                        side.other()
                    ),
                    advice: "leave the side out, or name the other",
                })
            }
            (None, _) => Err(OperatorError::not_found(
                "record known to this sync by the id",
                record,
                "check the id in the system; a record that no event, poll or backfill has shown is not known, and of one that the sync's filters leave out only its system tells",
            )),
        }
    }

    /// The story of a record of which nothing is stored because the sync's filters leave it out. A system that cannot be asked
    /// tells nothing.
    async fn left_out(
        &self,
        row: &SyncRow,
        side: Option<Side>,
        record: &RecordId,
    ) -> Result<Vec<Story>, OperatorError> {
        let mut stories = Vec::new();
        for side in Side::BOTH
            .into_iter()
            .filter(|one| side.is_none_or(|side| side == *one))
        {
            let standing = self.parts.systems.read(&row.name, side, record).await;
            let Ok(Some(standing)) = standing else {
                continue;
            };
            if standing.left_out.is_some() {
                stories.push(Story {
                    left_out: standing.left_out,
                    ..self.story(row, side, record).await?
                });
            }
        }
        Ok(stories)
    }

    /// Refuses a list that is narrowed to a record of which nothing is known: a mistyped id would look like a record to
    /// which nothing has happened. Asked only where the list is empty, because it looks everywhere.
    pub(crate) async fn check_record(
        &self,
        record: Option<&RecordId>,
    ) -> Result<(), OperatorError> {
        let Some(record) = record else { return Ok(()) };
        let filter = EventFilter {
            record: Some(record.clone()),
            limit: 1,
            ..EventFilter::default()
        };
        if !self.store().events(&filter).await?.is_empty() {
            return Ok(());
        }
        for row in self.store().syncs().await? {
            for side in Side::BOTH {
                if is_told(&self.story(&row, side, record).await?) {
                    return Ok(());
                }
            }
        }
        Err(OperatorError::Unmeant(format!(
            "nothing is known of a record `{record}`: check the id in the system; a record that no event, poll or whole \
             comparison has shown is not known, and nothing is kept of one that the sync's filters leave out"
        )))
    }

    async fn story(
        &self,
        row: &SyncRow,
        side: Side,
        record: &RecordId,
    ) -> Result<Story, OperatorError> {
        let sync = &row.name;
        let context = self.store().pair(sync, side, record).await?;
        let names = Names::new(side, record, &context);
        let ends = self.ends_by(row);
        let (mut conflicts, mut waits_for) = (Vec::new(), Vec::new());
        for conflict in self.questions(sync, side, &names, &context).await? {
            waits_for.extend(names.waits_for(&conflict));
            conflicts.push(self.offered(conflict).await?);
        }
        let link = match &context.link {
            Some(link) => Some(self.link_told(link, context.ignored).await?),
            None => None,
        };
        Ok(Story {
            changes: self.changes_of(sync, side, record, &context).await?,
            intents: self.intents_of(sync, side, &names).await?,
            jobs: self.jobs_of(sync, &names).await?,
            events: self.events_of(&names, &ends).await?,
            conflicts,
            sync: sync.clone(),
            side,
            record: record.clone(),
            ends,
            ignored: context.ignored,
            left_out: None,
            held: context.held.is_some()
                || context.doubled.is_some()
                || waits_for.iter().any(|one: &WaitsFor| one.field.is_none()),
            waits_for,
            link,
        })
    }

    /// The pair, with how it ended.
    async fn link_told(&self, link: &Link, is_ignored: bool) -> Result<LinkView, OperatorError> {
        let end = match link.state {
            LinkState::Active => None,
            LinkState::Retired => self.store().ends_of(&[link.id]).await?.pop(),
        };
        let mut view = LinkView {
            left_alone: is_ignored && (link.state == LinkState::Active || link.kept_apart),
            ..LinkView::from(link.clone()).with_end(link, end.as_ref())
        };
        if let Some(ended) = view.ended.as_mut().filter(|_| !link.kept_apart)
            && let Some(by_now) = self.linked_by_now(link).await?
        {
            ended.advice = by_now;
        }
        Ok(view)
    }

    /// What became of a pair of which a record has another partner by now: it is not held equal again by itself.
    async fn linked_by_now(&self, link: &Link) -> Result<Option<String>, OperatorError> {
        for (side, record) in link.records() {
            let pair = self.store().pair(&link.sync, side, record).await?;
            let active = pair.link.filter(|it| it.state == LinkState::Active);
            let partner = active.and_then(|it| it.side(side.other()).id.clone());
            if let Some(partner) = partner {
                return Ok(Some(format!(
                    "{record} of side {side} is held equal with {partner} of side {} by now; the other record of this pair is \
                     looked at by itself",
                    side.other()
                )));
            }
        }
        Ok(None)
    }

    /// What the sides of all syncs are called, of those that were removed too.
    pub(crate) async fn ends(&self) -> Result<BTreeMap<SyncName, Ends>, OperatorError> {
        let rows = self.store().syncs().await?;
        let ends = rows.iter().map(|row| (row.name.clone(), self.ends_by(row)));
        Ok(ends.collect())
    }

    /// The ends as the document of a sync names them: `a: {connection, stream}`. Where records are made it says, or what
    /// the streams allow.
    fn ends_by(&self, row: &SyncRow) -> Ends {
        let told = row.document.get("create").and_then(Json::as_str);
        let creates = |side: Side| match told {
            Some(told) => told == "both" || told == side.as_str(),
            None => self.parts.systems.creates(&row.name, side) != Some(false),
        };
        let end = |side: Side| {
            let end = row.document.get(side.as_str())?;
            Some(End {
                connection: end.get("connection")?.as_str()?.to_owned(),
                stream: end.get("stream")?.as_str()?.to_owned(),
                creates: creates(side),
            })
        };
        Ends {
            a: end(Side::A),
            b: end(Side::B),
        }
    }

    /// What the sides of a sync are called.
    pub(crate) async fn ends_of(&self, sync: &SyncName) -> Result<Ends, OperatorError> {
        Ok(self.ends().await?.remove(sync).unwrap_or_default())
    }

    async fn changes_of(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
        context: &PairContext,
    ) -> Result<Vec<ChangeView>, OperatorError> {
        let mut filters = vec![ChangeFilter {
            sync: Some(sync.clone()),
            record: Some(record.clone()),
            limit: TOLD_MAX,
            ..ChangeFilter::default()
        }];
        filters.extend(context.link.as_ref().map(|link| ChangeFilter {
            sync: Some(sync.clone()),
            link: Some(link.id),
            limit: TOLD_MAX,
            ..ChangeFilter::default()
        }));
        let mut changes = BTreeMap::new();
        for filter in filters {
            for change in self.store().changes(&filter).await? {
                let linked = change.link.is_some()
                    && change.link == context.link.as_ref().map(|link| link.id);
                let own = match side {
                    Side::A => change.a.as_ref(),
                    Side::B => change.b.as_ref(),
                };
                if linked || own == Some(record) {
                    changes.insert(change.id, ChangeView::from(change));
                }
            }
        }
        Ok(changes.into_values().collect())
    }

    async fn intents_of(
        &self,
        sync: &SyncName,
        side: Side,
        names: &Names,
    ) -> Result<Vec<IntentView>, OperatorError> {
        let Some(record) = names.on(side) else {
            return Ok(Vec::new());
        };
        let intents = self.store().intents_of(sync, record).await?;
        // A write to one side carries over the record of the other.
        let ours = |intent: &tandem_store::Intent| {
            let source = intent.source.as_ref();
            let target = intent.target.as_ref();
            (source.is_some() && source == names.on(intent.side.other()))
                || (target.is_some() && target == names.on(intent.side))
        };
        Ok(intents
            .into_iter()
            .filter(ours)
            .map(IntentView::from)
            .collect())
    }

    async fn jobs_of(&self, sync: &SyncName, names: &Names) -> Result<Vec<JobView>, OperatorError> {
        let mut jobs = BTreeMap::new();
        for side in Side::BOTH {
            let Some(record) = names.on(side) else {
                continue;
            };
            let filter = JobFilter {
                sync: Some(sync.clone()),
                record: Some(record.clone()),
                limit: TOLD_MAX,
                ..JobFilter::default()
            };
            let found = self.store().jobs(&filter).await?;
            let views = found.into_iter().map(JobView::from);
            jobs.extend(
                views
                    .filter(|job| job.side == Some(side))
                    .map(|job| (job.id, job)),
            );
        }
        Ok(jobs.into_values().collect())
    }

    async fn events_of(&self, names: &Names, ends: &Ends) -> Result<Vec<EventView>, OperatorError> {
        let mut events = BTreeMap::new();
        for (side, end) in [(Side::A, &ends.a), (Side::B, &ends.b)] {
            let (Some(record), Some(end)) = (names.on(side), end) else {
                continue;
            };
            let filter = EventFilter {
                connection: end.connection.parse().ok(),
                record: Some(record.clone()),
                limit: TOLD_MAX,
                ..EventFilter::default()
            };
            for event in self.store().events(&filter).await? {
                let of_stream = event
                    .stream
                    .as_ref()
                    .is_none_or(|stream| stream.as_str() == end.stream);
                if of_stream {
                    events.insert(event.id, EventView::from(event));
                }
            }
        }
        Ok(events.into_values().collect())
    }

    async fn questions(
        &self,
        sync: &SyncName,
        side: Side,
        names: &Names,
        context: &PairContext,
    ) -> Result<Vec<Conflict>, OperatorError> {
        let link = context.link.as_ref().map(|link| link.id);
        let ours = |conflict: &Conflict| {
            let linked = conflict.link.is_some() && conflict.link == link;
            let named = names.on(conflict.side) == Some(&conflict.record);
            let held = context.held == Some(conflict.id) && conflict.side == side;
            let mut shown = conflict.shown.iter();
            let beside = ["ambiguous", "doubled"].contains(&conflict.kind.as_str())
                && shown.any(|one| names.on(one.side) == Some(&one.id));
            linked || named || held || beside || is_waited_for(context.link.as_ref(), conflict)
        };
        let mut questions = Vec::new();
        for state in [ConflictState::Open, ConflictState::Answered] {
            let filter = ConflictFilter {
                sync: Some(sync.clone()),
                state: Some(state),
                kind: None,
                before: None,
                limit: PAGE_ROWS_MAX,
            };
            let found = self.store().conflicts(&filter).await?;
            questions.extend(found.into_iter().filter(ours));
        }
        let closed = ConflictFilter {
            sync: Some(sync.clone()),
            state: Some(ConflictState::Closed),
            limit: PAGE_ROWS_MAX,
            ..ConflictFilter::default()
        };
        // What became of an answer is in the changes; why there was none is said here alone.
        let closed = self.store().conflicts(&closed).await?.into_iter();
        let by_itself = closed.filter(|one| one.closed_because.is_some() && ours(one));
        questions.extend(by_itself.take(CLOSED_SHOWN));
        Ok(questions)
    }
}

/// Whether a pair waits for a question about its whole side, by what its link remembers.
fn is_waited_for(link: Option<&Link>, asked: &Conflict) -> bool {
    let Some(memory) = link.map(|link| &link.side(asked.side).memory) else {
        return false;
    };
    match &asked.kind {
        ConflictKind::SetBack { .. } => memory.set_back_asked == Some(asked.id),
        ConflictKind::Emptied { field, .. } => {
            let missed = memory.left_out.get(field);
            missed.is_some_and(|missed| !missed.settled)
        }
        _ => false,
    }
}

/// Whether the store knows anything of the record.
fn is_told(story: &Story) -> bool {
    story.link.is_some()
        || story.ignored
        || story.held
        || !story.changes.is_empty()
        || !story.intents.is_empty()
        || !story.jobs.is_empty()
        || !story.events.is_empty()
        || !story.conflicts.is_empty()
}
