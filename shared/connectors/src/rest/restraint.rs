//! How long to stay away from a system that asks to slow down.
//!
//! A system may say `Retry-After: 0`, or name a date that is just past, and refuse the next request all the same.
//! So every wait has a floor, which doubles as long as refusals follow each other, and is back at its beginning
//! once the system serves. Reads and writes count apart: one may be refused while the other goes on. And
//! no long wait is believed on one word, since a header may be wrong: after five minutes the system is looked at again,
//! and only a system that says the same then is believed for longer, up to an hour.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_domain::Timestamp;

/// The shortest wait after a refusal.
const FLOOR: Duration = Duration::from_secs(1);
/// The floor grows up to this.
const FLOOR_MAX: Duration = Duration::from_secs(60);
/// The longest wait that is believed the first time; then it is asked again. It doubles with each refusal in a row.
const BELIEVED: Duration = Duration::from_secs(300);
/// The longest wait that is believed at all.
const BELIEVED_MAX: Duration = Duration::from_secs(3_600);

/// What is remembered of the refusals of a connection.
#[derive(Debug, Default)]
pub(super) struct Restraint([Mutex<Refused>; 2]);

#[derive(Debug, Default)]
struct Refused {
    in_a_row: u32,
    /// The end of the wait after the last one.
    until: Option<Timestamp>,
}

impl Restraint {
    /// The wait after a refusal of a request that was sent at `sent`; `asked` is what the answer says.
    pub(super) fn refused(
        &self,
        writes: bool,
        sent: Timestamp,
        now: Timestamp,
        asked: Duration,
    ) -> Duration {
        self.with(writes, |refused| {
            // Requests that were under way together are refused together: that is one refusal, and the longest
            // of their waits is kept by the budget.
            if refused.until.is_some_and(|until| sent < until) {
                let before = refused.in_a_row.saturating_sub(1);
                return asked.clamp(FLOOR, grown(BELIEVED, before, BELIEVED_MAX));
            }
            let floor = grown(FLOOR, refused.in_a_row, FLOOR_MAX);
            let believed = grown(BELIEVED, refused.in_a_row, BELIEVED_MAX);
            refused.in_a_row = refused.in_a_row.saturating_add(1);
            let wait = asked.clamp(floor, believed);
            refused.until = Some(now.plus(wait));
            wait
        })
    }

    /// The system served a request.
    pub(super) fn served(&self, writes: bool) {
        self.with(writes, |refused| *refused = Refused::default());
    }

    /// An operator has it tried again: what was refused before does not count.
    pub(super) fn forget(&self) {
        self.served(false);
        self.served(true);
    }

    fn with<T>(&self, writes: bool, change: impl FnOnce(&mut Refused) -> T) -> T {
        let refused = &self.0[usize::from(writes)];
        // Two numbers cannot be left half changed.
        change(&mut refused.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A time that has doubled so often, up to a most.
fn grown(first: Duration, doublings: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << doublings.min(16)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// The waits, in seconds, of refusals that each come at once when the wait before is over.
    fn waits(restraint: &Restraint, writes: bool, asked: u64, count: usize) -> Vec<u64> {
        let mut now = START;
        let refused = std::iter::repeat_with(|| {
            let wait = restraint.refused(writes, now, now, Duration::from_secs(asked));
            now = now.plus(wait);
            wait.as_secs()
        });
        refused.take(count).collect()
    }

    #[test]
    fn a_wait_of_nothing_has_a_floor_that_grows() {
        assert_eq!(
            waits(&Restraint::default(), true, 0, 9),
            [1, 2, 4, 8, 16, 32, 60, 60, 60]
        );
    }

    #[test]
    fn a_longer_wait_is_kept_as_asked_but_a_long_one_is_not_believed_on_one_word() {
        assert_eq!(waits(&Restraint::default(), true, 30, 3), [30, 30, 30]);
        assert_eq!(
            waits(&Restraint::default(), true, 999_999, 6),
            [300, 600, 1_200, 2_400, 3_600, 3_600]
        );
    }

    #[test]
    fn being_served_ends_it_for_reads_and_writes_apart() {
        let restraint = Restraint::default();
        waits(&restraint, true, 0, 4);
        restraint.served(false);
        let later = START.plus(Duration::from_secs(1_000));
        let wait = |writes| {
            restraint
                .refused(writes, later, later, Duration::ZERO)
                .as_secs()
        };
        assert_eq!((wait(true), wait(false)), (16, 1));
        restraint.served(true);
        assert_eq!(wait(true), 1);
    }

    #[test]
    fn requests_that_were_under_way_together_are_one_refusal() {
        let restraint = Restraint::default();
        let now = START.plus(Duration::from_millis(100));
        for _ in 0..20 {
            let wait = restraint.refused(true, START, now, Duration::ZERO);
            assert_eq!(wait, FLOOR);
        }
        let after = now.plus(FLOOR);
        let wait = restraint.refused(true, after, after, Duration::ZERO);
        assert_eq!(wait, 2 * FLOOR);
    }
}
