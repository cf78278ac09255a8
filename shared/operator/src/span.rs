//! Spans of time in lists. Rows are listed by their ids, the newest first, and ids sort by the time of their
//! making: so a span of time is a span of ids, and needs no index of its own.

use std::time::Duration;

use tandem_domain::Timestamp;

use crate::OperatorError;
use crate::views::Page;

/// The step in which ids tell the time.
const STEP: Duration = Duration::from_millis(1);

/// Refuses a span that ends before it begins: it would look as if there were nothing.
pub(crate) fn check(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(), OperatorError> {
    match (since, until) {
        (Some(since), Some(until)) if since > until => Err(OperatorError::Unmeant(format!(
            "the span ends before it begins: since {since}, until {until}"
        ))),
        _ => Ok(()),
    }
}

/// Where a list begins that goes on after `cursor` and shows nothing made after `until`.
pub(crate) fn before<Id: Ord>(
    cursor: Option<Id>,
    until: Option<Timestamp>,
    least: fn(Timestamp) -> Id,
) -> Option<Id> {
    let until = until.map(|until| least(until.plus(STEP)));
    match (cursor, until) {
        (Some(cursor), Some(until)) => Some(cursor.min(until)),
        (one, other) => one.or(other),
    }
}

/// The part of a page that was made at or after `since`; older ones end the list.
pub(crate) fn since<T>(
    mut page: Page<T>,
    since: Option<Timestamp>,
    made_at: impl Fn(&T) -> Timestamp,
) -> Page<T> {
    let Some(since) = since else { return page };
    // An id tells the time to the millisecond, rounded down.
    let since = Timestamp::from_millis(since.as_millis());
    let whole = page.items.len();
    page.items.retain(|item| made_at(item) >= since);
    if page.items.len() < whole {
        page.next = None;
    }
    page
}

#[cfg(test)]
mod tests {
    use tandem_domain::JobId;
    use tandem_testkit::SeededEntropy;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn the_earlier_of_cursor_and_end_is_where_the_list_begins() {
        let chance = SeededEntropy::new(1);
        let (early, late) = (JobId::new(at(10), &chance), JobId::new(at(20), &chance));
        assert_eq!(before(None, None, JobId::least), None);
        assert_eq!(before(Some(early), Some(at(20)), JobId::least), Some(early));
        let ended = before(Some(late), Some(at(15)), JobId::least).expect("a bound");
        assert!(early < ended && ended < late);
        let with_its_own_instant = before(None, Some(at(20)), JobId::least).expect("a bound");
        assert!(late < with_its_own_instant);
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused() {
        assert!(check(Some(at(10)), Some(at(10))).is_ok());
        assert!(check(Some(at(10)), None).is_ok());
        let refused = check(Some(at(20)), Some(at(10))).expect_err("turned around");
        assert_eq!(
            refused.to_string(),
            "the span ends before it begins: since 1970-01-01T00:00:20Z, until 1970-01-01T00:00:10Z"
        );
    }

    #[test]
    fn a_page_that_reaches_back_too_far_is_the_last() {
        let page = Page {
            items: vec![at(30), at(20), at(10)],
            next: Some("more".to_owned()),
        };
        let all = since(page.clone(), Some(at(10)), |at| *at);
        assert_eq!((all.items.len(), all.next.is_some()), (3, true));
        let some = since(page, Some(at(15)), |at| *at);
        assert_eq!((some.items.len(), some.next), (2, None));
    }
}
