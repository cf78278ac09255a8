//! How far the clocks of the systems are from ours, for a process that hears from them and asks them nothing: it goes by what
//! those that ask have measured and kept in the storage. A process that asks has its own, which is newer.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tandem_domain::{ConnectionName, MeasuredOffset, Timestamp};
use tandem_store::{ConnectionHealth, Store, StoreError};

use crate::views::doubted_clock;

/// What was kept is believed for so long: nobody asks that system any more, and its clock may have been set since.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// What the storage had when it was last read.
#[derive(Debug, Default)]
pub struct KeptClocks(RwLock<BTreeMap<ConnectionName, ConnectionHealth>>);

impl KeptClocks {
    /// Reads what the storage has. Without an answer, what was read before stays.
    ///
    /// # Errors
    /// [`StoreError`] when the storage does not answer.
    pub async fn read(&self, store: &dyn Store) -> Result<(), StoreError> {
        let health = store.health().await?.into_iter();
        let known = health.map(|known| (known.connection.clone(), known));
        let known = known.collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// The clock of a connection's system minus ours, in microseconds; of what this process measured (`own`) and what was
    /// kept, the later one. Zero where nothing is known or believed.
    #[must_use]
    pub fn offset_micros(
        &self,
        connection: &ConnectionName,
        own: Option<MeasuredOffset>,
        now: Timestamp,
    ) -> i64 {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let kept = known.get(connection).and_then(|known| believed(known, now));
        let latest = own.into_iter().chain(kept).max_by_key(|offset| offset.at);
        latest.map_or(0, |offset| offset.micros)
    }
}

fn believed(known: &ConnectionHealth, now: Timestamp) -> Option<MeasuredOffset> {
    let is_wrong = doubted_clock(known, now).is_some_and(|clock| clock.is_wrong);
    let kept = known.clock_offset.filter(|_| !is_wrong);
    kept.filter(|offset| now.since(offset.at) < BELIEVED)
}

#[cfg(test)]
mod tests {
    use tandem_store::ClockNote;
    use tandem_testkit::{Make, TemporaryStore};

    use super::*;

    const BEHIND: i64 = -95_000_000;

    fn offset(micros: i64, at: Timestamp) -> MeasuredOffset {
        MeasuredOffset { micros, at }
    }

    #[tokio::test]
    async fn a_process_that_asks_a_system_nothing_goes_by_what_others_measured() {
        let (store, make) = (TemporaryStore::open().await, Make::default());
        let (now, kept) = (make.now(), KeptClocks::default());
        let tell = async |offset| {
            let told = store.keep_clock_offset(&Make::crm(), offset).await;
            told.expect("it is kept");
            let read = kept.read(&*store.shared()).await;
            read.expect("it is read");
        };
        assert_eq!(kept.offset_micros(&Make::crm(), None, now), 0);
        tell(offset(BEHIND, now)).await;
        let later = |secs| now.plus(Duration::from_secs(secs));
        for (own, secs, expected) in [
            (None, 0, BEHIND),
            (None, 24 * 60 * 60 - 1, BEHIND),
            // Nobody has measured it for long.
            (None, 24 * 60 * 60, 0),
            (Some(offset(7, later(10))), 10, 7),
            // What this process measured itself is older.
            (
                Some(offset(7, now.minus(Duration::from_secs(1)))),
                10,
                BEHIND,
            ),
        ] {
            let found = kept.offset_micros(&Make::crm(), own, later(secs));
            assert_eq!(found, expected, "{own:?} after {secs} s");
        }
        let other = "books".parse().expect("a name");
        assert_eq!(kept.offset_micros(&other, None, now), 0);
        tell(offset(3, later(60))).await;
        assert_eq!(kept.offset_micros(&Make::crm(), None, later(60)), 3);
    }

    #[tokio::test]
    async fn what_was_kept_of_a_clock_is_not_used_while_it_is_known_to_be_wrong() {
        let (store, make) = (TemporaryStore::open().await, Make::default());
        let (now, kept) = (make.now(), KeptClocks::default());
        let crm = Make::crm();
        let told = store.keep_clock_offset(&crm, offset(BEHIND, now)).await;
        told.expect("it is kept");
        for (is_wrong, expected) in [(true, 0), (false, BEHIND)] {
            let doubt = ClockNote {
                doubt: Some("it jumps".to_owned()),
                is_wrong,
                told_by: "worker-1".to_owned(),
                told_at: now,
            };
            let noted = store.note_clock(&Make::crm(), doubt).await;
            noted.expect("it is noted");
            let read = kept.read(&*store.shared()).await;
            read.expect("it is read");
            assert_eq!(kept.offset_micros(&Make::crm(), None, now), expected);
        }
    }
}
