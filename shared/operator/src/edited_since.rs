//! What an answer about a whole side goes over besides the older values: edits that somebody has made there since.

use tandem_domain::line::line;
use tandem_domain::{RecordId, Side, StreamName};
use tandem_store::{
    Conflict, ConflictKind, ConflictState, Event, EventFilter, EventKind, Link, LinkState,
    PAGE_ROWS_MAX,
};

use crate::story::Ends;
use crate::views::ConflictView;
use crate::{Operator, OperatorError};

/// So many records are named.
const NAMED_MAX: usize = 20;

impl Operator {
    /// The records of a system that was set back of which events have told since their pairs wait for the answer, as far as the
    /// newest events tell.
    pub(crate) async fn edited_since(
        &self,
        conflict: &Conflict,
        ends: &Ends,
    ) -> Result<Vec<RecordId>, OperatorError> {
        let is_asked = matches!(conflict.kind, ConflictKind::SetBack { .. })
            && conflict.state == ConflictState::Open;
        let end = match conflict.side {
            Side::A => ends.a.as_ref(),
            Side::B => ends.b.as_ref(),
        };
        let Some(end) = end.filter(|_| is_asked) else {
            return Ok(Vec::new());
        };
        let filter = EventFilter {
            connection: end.connection.parse().ok(),
            limit: PAGE_ROWS_MAX,
            ..EventFilter::default()
        };
        let mut edited: Vec<RecordId> = Vec::new();
        for event in self.store().events(&filter).await? {
            let Some(record) = &event.record else {
                continue;
            };
            let is_of_stream = |stream: &StreamName| stream.as_str() == end.stream;
            let is_of_another = event.stream.as_ref().is_some_and(|one| !is_of_stream(one));
            if edited.len() == NAMED_MAX || edited.contains(record) || is_of_another {
                continue;
            }
            let pair = self
                .store()
                .pair(&conflict.sync, conflict.side, record)
                .await?;
            let tells = |link: &Link| tells_of_an_edit(conflict, link, &event);
            if pair.link.as_ref().is_some_and(tells) {
                edited.push(record.clone());
            }
        }
        Ok(edited)
    }
}

/// Whether an event tells of an edit that was made while the pair of its record waited for the answer.
fn tells_of_an_edit(conflict: &Conflict, link: &Link, event: &Event) -> bool {
    let memory = &link.side(conflict.side).memory;
    let waits = link.state == LinkState::Active && memory.set_back_asked == Some(conflict.id);
    let is_edit = matches!(event.kind, EventKind::Updated | EventKind::Other);
    let is_later = memory
        .set_back
        .is_some_and(|since| event.received_at > since);
    waits && is_edit && is_later
}

/// The answer that goes over these edits says so.
pub(crate) fn named(mut view: ConflictView, edited: Vec<RecordId>) -> ConflictView {
    if edited.is_empty() {
        return view;
    }
    let records: Vec<String> = edited
        .iter()
        .map(|record| line(record.as_str()).into_owned())
        .collect();
    let take = view.choices.iter_mut().filter(|one| one.answer == "take");
    for choice in take {
        choice.does = format!(
            "{}. Events have told of edits since: {}",
            choice.does,
            records.join(", ")
        )
        .into();
    }
    view.edited_since = edited;
    view
}
