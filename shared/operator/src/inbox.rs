//! The inbox: looking at events, reading them again after a fix, discarding them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, DeliveryId, EventId, JobId, RecordId, Timestamp};
use tandem_store::{Event, EventFilter, EventState, NewDelivery, NewEvent};

use crate::dead_letters::check_reason;
use crate::error::after;
use crate::hooks::{Arrival, is_same, new_events};
use crate::operator::checked;
use crate::span::{self, before};
use crate::views::{EventDetail, EventView, Page};
use crate::{Operator, OperatorError};

/// Which events to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// Only of this connection.
    pub connection: Option<ConnectionName>,
    /// Only in this state.
    pub state: Option<EventState>,
    /// Only about this record.
    pub record: Option<RecordId>,
    /// Only since this instant.
    #[serde(with = "crate::views::when_opt")]
    pub since: Option<Timestamp>,
    /// Only until this instant.
    #[serde(with = "crate::views::when_opt")]
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<EventId>,
    /// How many.
    pub limit: Option<usize>,
}

impl Operator {
    /// Events, newest first.
    ///
    /// # Errors
    /// When nothing is known of what the list is narrowed to, or the storage fails.
    pub async fn events(&self, query: EventQuery) -> Result<Page<EventView>, OperatorError> {
        let checks = [
            span::check(query.since, query.until),
            self.check_connection(query.connection.as_ref()).await,
        ];
        let limit = checked(query.limit, checks)?;
        let filter = EventFilter {
            connection: query.connection,
            state: query.state,
            record: query.record.clone(),
            before: before(query.cursor, query.until, EventId::least),
            limit,
        };
        let events = self.store().events(&filter).await?;
        if events.is_empty() {
            self.check_record(query.record.as_ref()).await?;
        }
        let views = events.into_iter().map(EventView::from).collect();
        let page = Page::new(views, limit, |event: &EventView| event.id.to_string());
        Ok(span::since(page, query.since, |event| event.id.made_at()))
    }

    /// One event with its raw body.
    ///
    /// # Errors
    /// When there is no such event, or the storage fails.
    pub async fn event(&self, id: EventId) -> Result<EventDetail, OperatorError> {
        self.stored_event(id).await.map(EventDetail::from)
    }

    /// Reads the raw body of an event again and puts it to work. Returns its jobs.
    ///
    /// # Errors
    /// When there is no such event, its connection cannot be read for, it still cannot be understood, or
    /// the storage fails. Then it stays as it was.
    pub async fn replay_event(&self, id: EventId) -> Result<Vec<JobId>, OperatorError> {
        let event = self.stored_event(id).await?;
        let readings = self.read_again(&event)?;
        let same = |reading: &&NewEvent| is_same(&reading.dedupe_key, &event.dedupe_key);
        let jobs = match readings.iter().find(same) {
            Some(reading) => self.put_to_work(&event, reading.clone()).await?,
            None => self.take_apart(event, readings).await?,
        };
        self.ring(&jobs);
        tracing::info!(event = %id, jobs = jobs.len(), "an operator replayed an event");
        Ok(jobs)
    }

    /// Discards events in quarantine, and keeps why if that is said. Returns how many were.
    ///
    /// # Errors
    /// When the reason is too long or no sentence, or the storage fails.
    pub async fn discard_events(
        &self,
        ids: &[EventId],
        because: Option<&str>,
    ) -> Result<usize, OperatorError> {
        because.map_or(Ok(()), check_reason)?;
        let now = self.now();
        let count = self.store().discard_events(ids, because, now).await?;
        tracing::info!(
            events = count,
            reason = because,
            "an operator discarded events"
        );
        Ok(count)
    }

    pub(crate) async fn stored_event(&self, id: EventId) -> Result<Event, OperatorError> {
        let event = self.store().event(id).await?;
        event.ok_or_else(|| {
            OperatorError::not_found("event", id, "events that are done with are pruned in time")
        })
    }

    fn read_again(&self, event: &Event) -> Result<Vec<NewEvent>, OperatorError> {
        let connection = &event.connection;
        let state = self
            .parts
            .hooks
            .lookup(connection.as_str())
            .filter(|state| state.hook().is_some())
            .ok_or_else(|| OperatorError::NotNow {
                problem: format!("the connection `{connection}` has no webhook that could read it"),
                advice: "mend or add the webhook of the connection first",
            })?;
        let arrival = Arrival {
            at: self.now(),
            entropy: self.entropy(),
        };
        Ok(new_events(
            &state,
            event.body.as_deref().unwrap_or_default(),
            arrival,
        ))
    }

    async fn put_to_work(
        &self,
        event: &Event,
        reading: NewEvent,
    ) -> Result<Vec<JobId>, OperatorError> {
        if let Some(problem) = &reading.problem {
            return Err(not_understood(event.id, problem));
        }
        let reading = NewEvent {
            id: event.id,
            ..reading
        };
        Ok(self.store().replay_event(reading, self.now()).await?)
    }

    /// A body that could not be taken apart before is stored again, now as the events in it; events that
    /// are stored already cause nothing. The quarantined whole is done with then.
    async fn take_apart(
        &self,
        event: Event,
        readings: Vec<NewEvent>,
    ) -> Result<Vec<JobId>, OperatorError> {
        let now = self.now();
        let mut jobs = Vec::new();
        if !readings.is_empty() {
            let delivery = NewDelivery {
                id: DeliveryId::new(now, self.entropy()),
                connection: event.connection,
                headers: event.headers,
                body: Arc::from(event.body.unwrap_or_default()),
                received_at: event.received_at,
                secret_index: 0,
                traceparent: None,
                events: readings,
            };
            let outcomes = self.store().record_deliveries(vec![delivery], now).await?;
            jobs.extend(outcomes.into_iter().flat_map(|outcome| outcome.jobs));
        }
        let because = "it was read again, and the events in it are stored one by one now";
        let whole = [event.id];
        let discarded = self.store().discard_events(&whole, Some(because), now);
        after(
            "the events in it are stored and put to work",
            discarded.await.map_err(OperatorError::from),
        )?;
        Ok(jobs)
    }
}

fn not_understood(id: EventId, problem: &str) -> OperatorError {
    OperatorError::NotNow {
        problem: format!("the event {id} still cannot be understood: {problem}"),
        advice: "mend the webhook section of the manifest, or discard the event",
    }
}
