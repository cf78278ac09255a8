//! Notices that a listing brings nothing new any more, whatever its pages look like.
//!
//! The connector itself ends or fails listings whose pages repeat or go in a circle. What it cannot see from one
//! page to the next is a system that serves the same records in ever new company; for that one must know
//! the ids of the whole listing. Whoever reads a listing to its end gives each page to a guard.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use tandem_domain::StreamName;

use crate::connector::{ConnectorError, Page};

/// So many pages in a row may bring nothing new, besides [`STALE_FOR_EACH`] of them for each that did.
const STALE_PAGES: u64 = 20;
/// A listing by offset may start afresh some times, and then goes over all its pages again.
const STALE_FOR_EACH: u64 = 4;

/// The ids of one listing so far, eight bytes each.
#[derive(Debug, Default)]
pub struct ListingGuard {
    seen: HashSet<u64>,
    fresh_pages: u64,
    stale_pages: u64,
}

impl ListingGuard {
    /// For a new listing, or one that goes on after a restart.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many different records came.
    #[must_use]
    pub fn records(&self) -> usize {
        self.seen.len()
    }

    /// Takes note of a page.
    ///
    /// # Errors
    /// [`ConnectorError::Endless`] when for long no page has brought a record that was not there before.
    pub fn pass(
        &mut self,
        system: &str,
        stream: &StreamName,
        page: &Page,
    ) -> Result<(), ConnectorError> {
        let known = self.seen.len();
        let rows = page.unreadable.iter().filter_map(|row| row.id.as_ref());
        self.seen.extend(
            page.records
                .iter()
                .map(|record| &record.id)
                .chain(rows)
                .map(|id| {
                    let mut hasher = DefaultHasher::new();
                    id.hash(&mut hasher);
                    hasher.finish()
                }),
        );
        if self.seen.len() > known {
            self.fresh_pages += 1;
            self.stale_pages = 0;
            return Ok(());
        }
        self.stale_pages += 1;
        if page.next.is_none()
            || self.stale_pages <= STALE_PAGES + STALE_FOR_EACH * self.fresh_pages
        {
            return Ok(());
        }
        Err(ConnectorError::Endless {
            system: system.to_owned(),
            stream: stream.to_string(),
            reason: format!(
                "the last {} pages held none but records that came before; {} came in all",
                self.stale_pages,
                self.seen.len()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::{Fields, RecordId};

    use super::*;
    use crate::connector::{PageToken, RemoteRecord};

    fn page(ids: &[u64]) -> Page {
        let record = |id: &u64| RemoteRecord {
            id: RecordId::new(id.to_string()),
            fields: Fields::new(),
            unreadable: Default::default(),
            left_out: std::collections::BTreeSet::new(),
            in_part: false,
            version: None,
            updated_at: None,
            updated_again: None,
            created_at: None,
            archived: false,
            reference: None,
            raw: crate::RawRecord::default(),
        };
        Page {
            records: ids.iter().map(record).collect(),
            next: Some(PageToken(serde_json::Value::Null)),
            unreadable: Vec::new(),
        }
    }

    fn pages_until_it_fails(pages: impl Iterator<Item = Page>) -> Option<usize> {
        let stream = "items".parse().expect("a name");
        let mut guard = ListingGuard::new();
        let mut pages = pages.take(10_000);
        pages.position(|page| guard.pass("crm", &stream, &page).is_err())
    }

    #[test]
    fn the_same_records_in_ever_new_company_are_no_listing() {
        let shuffled = (0..).map(|number| page(&[number % 7, number % 5, number % 3]));
        let failed = pages_until_it_fails(shuffled).expect("it fails");
        assert!(failed < 60, "{failed}");
    }

    #[test]
    fn a_long_listing_that_starts_afresh_three_times_is_one() {
        let once = || (0..200).map(|number| page(&[number]));
        let four_times = once().chain(once()).chain(once()).chain(once());
        assert_eq!(pages_until_it_fails(four_times), None);
    }
}
