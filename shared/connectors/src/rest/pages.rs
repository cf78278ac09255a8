//! Listing: one page, and whether another one follows.

use minijinja::value::Value as TemplateValue;
use tandem_domain::StreamName;

use super::RestConnector;
use super::errors::{Operation, PastEnd};
use super::listing::{Keep, Rows, no_list, object_for_list, places, take_rows};
use super::paging::{self, Outlook, Position};
use super::response::Answer;
use super::trail::{self, Seen, Trail};
use crate::connector::{ConnectorError, Listing, Page, PageToken};
use crate::manifest::{List, Stream};
use crate::path::Path;
use crate::template::Scope;

/// Where a listing stands, and how it has gone so far.
struct Place<'a> {
    list: &'a List,
    position: Option<Position>,
    trail: Trail,
}

impl Place<'_> {
    /// Which failures of the request for this page say that the listing has ended.
    fn past_end(&self) -> Option<PastEnd<'_>> {
        self.position.as_ref()?;
        match &self.list.ends.status {
            Some(statuses) => Some(PastEnd::Said(statuses)),
            None => self
                .trail
                .was_short(paging::size(self.list.paging.as_ref()))
                .then_some(PastEnd::Likely),
        }
    }

    /// Whether the manifest says that this answer is the last page.
    fn is_said_to_be_last(&self, answer: &Answer) -> bool {
        let Some(when) = &self.list.ends.when else {
            return false;
        };
        let rows = answer
            .json()
            .map_or(0, |body| self.list.records.count(body));
        let limit = paging::size(self.list.paging.as_ref());
        let scope = answer.parts().with("rows", rows).with(
            "limit",
            limit.map_or(TemplateValue::from(()), TemplateValue::from),
        );
        when.holds(&scope.value())
    }

    /// The token of the page at `next`; `None` when this page was the last all the same.
    fn goes_on(&self, id: &Path, next: Position, page: &Rows) -> Result<Option<PageToken>, String> {
        if next.is_fresh_start() {
            return Ok(Some(next.into_token(Trail::default())));
        }
        let seen = Seen {
            rows: page.rows.len() as u64,
            print: trail::print(id, &page.rows),
            size: paging::size(self.list.paging.as_ref()),
            same_place: self.position.as_ref() == Some(&next),
            repeats_end: self.list.ends.repeats,
        };
        let full = seen.size.is_some_and(|size| seen.rows >= size);
        if seen.same_place && full && matches!(next, Position::Keyset(_)) {
            return Err(
                "a full page ends with the same key as the page before, so further rows with that key are never \
                 reached. Put a field into `last`, and into the system's order, that differs in every row"
                    .to_owned(),
            );
        }
        let trail = self.trail.with(&seen)?;
        Ok(trail.map(|trail| next.into_token(trail)))
    }
}

impl RestConnector {
    pub(super) async fn list_page(
        &self,
        name: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        let stream = self.manifest_stream(name)?;
        let mut scope = self.scope.clone();
        let list = match (listing, &stream.changed_since) {
            (Listing::Since(since), Some(list)) => {
                let stamp = stream.updated_at.as_ref();
                let since = stamp.map_or(*since, |stamp| stamp.asked_from(*since));
                scope.add("since", since.to_string());
                list
            }
            // Without a way to ask for changes, every listing is a full one.
            (Listing::All, _) | (Listing::Since(_), None) => &stream.list,
        };
        let (position, trail) = Position::from_token(list.paging.as_ref(), token)
            .map_err(|reason| self.exchange.misconfigured(reason))?;
        paging::add_to_scope(&mut scope, list.paging.as_ref(), position.as_ref());
        let at = Place {
            list,
            position,
            trail,
        };
        let operation = Operation {
            verb: "list",
            subject: name.as_str(),
            writes: false,
            id: None,
            accept: None,
            past_end: at.past_end(),
        };
        let mut answer = self.ask_for_page(&operation, &at, &scope).await?;
        if answer.accepted && list.ends.status.is_none() {
            // The manifest does not say that listings end so, and a single answer may be a hiccup. The first gives its
            // memory back before the second asks for some.
            drop(answer);
            answer = self.ask_for_page(&operation, &at, &scope).await?;
        }
        if answer.accepted {
            return Ok(Page {
                records: Vec::new(),
                next: None,
                unreadable: Vec::new(),
            });
        }
        self.read_page(&operation, stream, &at, answer)
    }

    async fn ask_for_page(
        &self,
        operation: &Operation<'_>,
        at: &Place<'_>,
        scope: &Scope,
    ) -> Result<Answer, ConnectorError> {
        let request = &at.list.request;
        let link = paging::link(at.position.as_ref(), &self.exchange.base_url);
        match link.map_err(|reason| self.malformed(operation, reason))? {
            Some(url) => self.exchange.follow(operation, request, url).await,
            None => self.exchange.send(operation, request, scope).await,
        }
    }

    fn read_page(
        &self,
        operation: &Operation<'_>,
        stream: &Stream,
        at: &Place<'_>,
        answer: Answer,
    ) -> Result<Page, ConnectorError> {
        let list = at.list;
        let paging = list.paging.as_ref();
        let outlook = Outlook::of(paging, &answer);
        let last = at.is_said_to_be_last(&answer);
        let mut whole = answer.into_whole();
        let body = &mut whole.json;
        if let Some(found) = no_list(&list.records, body) {
            return Err(self.malformed(operation, found));
        }
        let single = object_for_list(&list.records, body);
        let taken = take_rows(&list.records, body);
        if !taken.found {
            return Err(self.malformed(
                operation,
                format!("there is nothing at {}", places(&list.records)),
            ));
        }
        let position = at.position.as_ref();
        let next = match last {
            true => None,
            false => outlook
                .next(paging, position, taken.longest, taken.rows.last())
                .map_err(|reason| self.malformed(operation, reason))?,
        };
        let next = match next {
            None => None,
            Some(next) => at
                .goes_on(&stream.id.path, next, &taken)
                .map_err(|reason| self.endless(operation, reason))?,
        };
        let (records, unreadable) =
            self.decode_all(stream, taken.rows, Keep::of_listing(whole.is_long));
        if let (Some(place), true, [row]) = (single, records.is_empty(), &*unreadable)
            && row.id.is_none()
        {
            let reason = &row.reason;
            return Err(self.malformed(
                operation,
                format!("at `{place}` there is an object, not a list of records, and {reason}"),
            ));
        }
        Ok(Page {
            records,
            next,
            unreadable,
        })
    }

    fn endless(&self, operation: &Operation<'_>, reason: String) -> ConnectorError {
        ConnectorError::Endless {
            system: self.exchange.system.clone(),
            stream: operation.subject.to_owned(),
            reason: self.exchange.redactor().clean(&reason),
        }
    }
}
