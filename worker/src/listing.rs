//! Walks a listing from page to page, and sees to it that it ends.
//!
//! The connector knows when pages repeat or lead in a circle; here the ids of the whole listing are known,
//! and how many pages it has. One page is held at a time.

use tandem_connectors::{ConnectorError, Listing, ListingGuard, Page, PageToken};
use tandem_runtime::End;

use crate::patience::{self, PAGE_TRIES};

/// No listing has more pages than this.
const PAGES_MAX: u32 = 200_000;

/// One listing under way.
pub struct Walk<'a> {
    end: &'a End,
    listing: Listing,
    at: At,
    guard: ListingGuard,
    pages: u32,
}

/// Where a listing stands.
enum At {
    Beginning,
    Page(PageToken),
    End,
}

impl<'a> Walk<'a> {
    /// A listing that goes on where `token` leads, or that begins.
    pub fn new(end: &'a End, listing: Listing, token: Option<PageToken>) -> Self {
        Self {
            end,
            listing,
            at: token.map_or(At::Beginning, At::Page),
            guard: ListingGuard::new(),
            pages: 0,
        }
    }

    /// The next page; `None` when the listing has ended.
    ///
    /// # Errors
    /// What the system says, or [`ConnectorError::Endless`].
    pub async fn next(&mut self) -> Result<Option<Page>, ConnectorError> {
        let token = match &self.at {
            At::Beginning => None,
            At::Page(token) => Some(token),
            At::End => return Ok(None),
        };
        let (end, listing) = (self.end, &self.listing);
        let page = patience::ask(PAGE_TRIES, || {
            end.connector.list(&end.stream, listing, token)
        })
        .await?;
        self.guard
            .pass(end.connection.as_str(), &end.stream, &page)?;
        self.pages += 1;
        self.at = match &page.next {
            Some(_) if self.pages >= PAGES_MAX => {
                return Err(ConnectorError::Endless {
                    system: end.connection.to_string(),
                    stream: end.stream.to_string(),
                    reason: format!("it has more than {PAGES_MAX} pages"),
                });
            }
            Some(token) => At::Page(token.clone()),
            None => At::End,
        };
        Ok(Some(page))
    }

    /// Where the next page starts; `None` before the first page and after the last.
    pub const fn token(&self) -> Option<&PageToken> {
        match &self.at {
            At::Page(token) => Some(token),
            At::Beginning | At::End => None,
        }
    }

    /// Whether the last page was read.
    pub const fn has_ended(&self) -> bool {
        matches!(self.at, At::End)
    }
}
