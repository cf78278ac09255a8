//! How a listing has gone so far, kept in its page tokens: enough to tell its end from a listing that goes round
//! and round.
//!
//! Systems end listings in more ways than one: the last page names its own cursor, an empty page comes with the
//! same token for ever, the page after the last is the last one again, or does not exist. Others never come to
//! an end, because they do not heed the parameter that names the page. What tells the two apart is whether
//! something new came. A page is known by the ids of its rows, and a circle of pages is found with one remembered
//! page (R. P. Brent, An improved Monte Carlo factorization algorithm, BIT 20, 1980).
//!
//! Nothing here performs I/O. Listings that bring the same rows in ever new company are not seen here but by
//! [`crate::ListingGuard`].

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::path::Path;

/// So many empty pages in a row, each with another token, are no listing.
const EMPTY_PAGES_MAX: u32 = 100;

/// What is remembered of the pages so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Trail {
    /// How many pages there were.
    pages: u32,
    /// The rows of the page before.
    rows: u64,
    /// The most rows that a page had.
    most: u64,
    /// What the page before is known by.
    print: u64,
    /// Whether a page ever held other rows than the one before, which shows that the system heeds the token.
    moved: bool,
    /// Empty pages in a row, at the end.
    empty: u32,
    /// The remembered page, its number, and how far one goes on before another is remembered.
    anchor: u64,
    anchor_page: u32,
    reach: u32,
}

/// What a page shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Its rows.
    pub(super) rows: u64,
    /// What it is known by, see [`print`].
    pub(super) print: u64,
    /// The rows that were asked for.
    pub(super) size: Option<u64>,
    /// Whether it says that the listing goes on where this very page was asked for.
    pub(super) same_place: bool,
    /// Whether the manifest says that a page that comes again is the end.
    pub(super) repeats_end: bool,
}

impl Trail {
    /// The trail with a page that names a further one; `None` when it was the last all the same.
    ///
    /// # Errors
    /// Why the listing would go on for ever.
    pub(super) fn with(&self, seen: &Seen) -> Result<Option<Self>, String> {
        let page = self.pages + 1;
        if seen.rows == 0 {
            return self.after_empty(page, seen);
        }
        if self.pages > 0 && seen.print == self.print {
            return self.after_repeat(page, seen);
        }
        if seen.same_place {
            // The rows are new, and this page is its own successor: asking again brings nothing more.
            return Ok(None);
        }
        if self.pages > 0 && seen.print == self.anchor {
            return Err(format!(
                "its pages go in a circle: page {page} holds the rows of page {} again",
                self.anchor_page
            ));
        }
        Ok(Some(self.extended(page, seen)))
    }

    fn after_empty(&self, page: u32, seen: &Seen) -> Result<Option<Self>, String> {
        let empty = self.empty + 1;
        if seen.same_place {
            return Ok(None);
        }
        if empty > EMPTY_PAGES_MAX {
            return Err(format!(
                "after page {} came {EMPTY_PAGES_MAX} empty pages, each of which named a further one",
                page - empty
            ));
        }
        Ok(Some(Self {
            pages: page,
            empty,
            rows: 0,
            moved: true,
            ..self.clone()
        }))
    }

    fn after_repeat(&self, page: u32, seen: &Seen) -> Result<Option<Self>, String> {
        let short = seen.size.is_some_and(|size| seen.rows < size);
        if seen.repeats_end || self.moved || short {
            return Ok(None);
        }
        Err(format!(
            "page {page} holds the same rows as page {}, so the next page would be the same page again. Either \
             the system does not heed what the manifest sends to name a page, or this is all there is: then \
             write `ends: {{ repeats: true }}`",
            self.pages
        ))
    }

    fn extended(&self, page: u32, seen: &Seen) -> Self {
        let anchor_moves = self.pages == 0 || page - self.anchor_page > self.reach;
        let mut next = Self {
            pages: page,
            rows: seen.rows,
            most: self.most.max(seen.rows),
            print: seen.print,
            moved: self.pages > 0,
            empty: 0,
            ..self.clone()
        };
        if anchor_moves {
            next.anchor = seen.print;
            next.anchor_page = page;
            next.reach = self.reach.saturating_mul(2).max(1);
        }
        next
    }

    /// Whether the page before had fewer rows than the system gives when there are more.
    pub(super) fn was_short(&self, size: Option<u64>) -> bool {
        let full = if self.pages > 1 {
            Some(self.most)
        } else {
            size
        };
        self.pages > 0 && full.is_some_and(|full| self.rows < full)
    }
}

/// What a page is known by: the ids of its rows, in any order, or the rows themselves where they have none.
pub(super) fn print(id: &Path, rows: &[Json]) -> u64 {
    let mut prints: Vec<u64> = rows
        .iter()
        .map(|row| {
            let mut hasher = DefaultHasher::new();
            id.first(row).unwrap_or(row).to_string().hash(&mut hasher);
            hasher.finish()
        })
        .collect();
    prints.sort_unstable();
    let mut hasher = DefaultHasher::new();
    prints.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: u64, print: u64) -> Seen {
        Seen {
            rows,
            print,
            size: None,
            same_place: false,
            repeats_end: false,
        }
    }

    /// Goes through pages; the number of the last one, or why there is none.
    fn walk(pages: impl IntoIterator<Item = Seen>) -> Result<Option<u32>, String> {
        let mut trail = Trail::default();
        for (number, page) in (1..).zip(pages) {
            match trail.with(&page)? {
                Some(next) => trail = next,
                None => return Ok(Some(number)),
            }
        }
        Ok(None)
    }

    fn own(page: Seen) -> Seen {
        Seen {
            same_place: true,
            ..page
        }
    }

    #[test]
    fn a_last_page_that_names_itself_ends_the_listing() {
        assert_eq!(
            walk([seen(10, 1), seen(10, 2), own(seen(5, 3))]),
            Ok(Some(3))
        );
        assert_eq!(walk([seen(10, 1), own(seen(0, 0))]), Ok(Some(2)));
    }

    #[test]
    fn a_page_that_comes_again_ends_the_listing_once_pages_were_seen_to_differ() {
        assert_eq!(walk([seen(2, 1), seen(2, 2), seen(2, 2)]), Ok(Some(3)));
    }

    #[test]
    fn a_first_page_that_comes_again_is_the_end_only_if_it_was_not_full() {
        let error =
            walk([seen(10, 1), seen(10, 1)]).expect_err("it may be all, or always the first page");
        assert!(
            error.contains("page 2 holds the same rows as page 1"),
            "{error}"
        );
        let asked_for = |size| Seen {
            size: Some(size),
            ..seen(10, 1)
        };
        assert!(walk([asked_for(10), asked_for(10)]).is_err());
        assert_eq!(walk([asked_for(100), asked_for(100)]), Ok(Some(2)));
        let said = Seen {
            repeats_end: true,
            ..seen(10, 1)
        };
        assert_eq!(walk([said, said]), Ok(Some(2)));
    }

    #[test]
    fn a_circle_of_any_length_is_found_within_few_rounds() {
        for lead in 0..6_u64 {
            for round in 2..20_u64 {
                let page = |at: u64| {
                    if at < lead {
                        at
                    } else {
                        lead + (at - lead) % round
                    }
                };
                let longest = 4 * (lead + round) as usize;
                let pages = (0..).map(|at| seen(10, 1_000 + page(at))).take(longest);
                let error = walk(pages).expect_err("it goes in a circle");
                assert!(error.contains("in a circle"), "{lead} {round}: {error}");
            }
        }
    }

    #[test]
    fn empty_pages_that_name_further_ones_have_an_end() {
        let few = std::iter::repeat_n(seen(0, 0), 50);
        assert_eq!(walk(few.chain([seen(3, 7), own(seen(3, 8))])), Ok(Some(52)));
        let error = walk(std::iter::repeat_n(seen(0, 0), 500)).expect_err("no end");
        assert!(error.contains("100 empty pages"), "{error}");
    }

    #[test]
    fn a_page_is_known_by_its_ids_in_any_order() {
        let id: Path = "/id".parse().expect("a path");
        let row = |id: u32, name: &str| serde_json::json!({"id": id, "name": name});
        let first = print(&id, &[row(1, "a"), row(2, "b")]);
        assert_eq!(first, print(&id, &[row(2, "b"), row(1, "changed")]));
        assert_ne!(first, print(&id, &[row(1, "a")]));
        let nameless = |name: &str| serde_json::json!({"name": name});
        assert_ne!(print(&id, &[nameless("a")]), print(&id, &[nameless("b")]));
    }
}
