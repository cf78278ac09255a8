//! What a listing says of times of change, and where the next poll may start because of them.

use std::time::Duration;

use tandem_connectors::{ClockState, RemoteRecord};
use tandem_domain::{RecordId, Timestamp};

/// A time of change may be this much ahead of the system's clock, which is measured to about a second.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// The times of change in one listing, by the clock of its system.
pub struct Dates {
    system: String,
    started_at: Timestamp,
    offset_micros: i64,
    clock: ClockState,
    /// Where the listing starts.
    start: Option<Timestamp>,
    latest: Option<Timestamp>,
    ahead: u64,
    first_ahead: Option<(RecordId, Timestamp)>,
}

impl Dates {
    /// For a listing that began then, by our clock.
    pub fn new(system: &str, started_at: Timestamp) -> Self {
        Self {
            system: system.to_owned(),
            started_at,
            offset_micros: 0,
            clock: ClockState::Measured,
            start: None,
            latest: None,
            ahead: 0,
            first_ahead: None,
        }
    }

    /// Takes note of a time that was seen before this listing.
    pub fn note(&mut self, time: Option<Timestamp>) {
        self.latest = self.latest.max(time);
    }

    /// The listing shows what has changed since.
    pub fn starts_at(&mut self, cursor: Option<Timestamp>) {
        self.start = cursor;
        self.note(cursor);
    }

    /// Takes note of a record that was listed when the system's clock showed `their_now`. One that is dated
    /// after that says nothing about when it changed.
    pub fn take(&mut self, record: &RemoteRecord, their_now: Timestamp) {
        match record.updated_at {
            Some(time) if time > their_now.plus(AHEAD_MAX) => {
                self.ahead += 1;
                self.first_ahead.get_or_insert((record.id.clone(), time));
            }
            time => self.latest = self.latest.max(time),
        }
    }

    /// The clock of the system minus ours, as it is measured now, and what is known of that clock.
    pub const fn measured(&mut self, offset_micros: i64, clock: ClockState) {
        self.offset_micros = offset_micros;
        self.clock = clock;
    }

    /// The latest of them.
    pub const fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// Where the next poll starts: at the latest of them, yet not after the beginning of this listing. What
    /// changes while a long one is under way may be on a page that has passed. Where the system's clock is wrong, nobody
    /// knows what it showed then, only that it was less by as long as the listing took.
    pub fn cursor(&self, now: Timestamp) -> Option<Timestamp> {
        let latest = self.latest?;
        if !self.clock.has_usable_times() {
            let began = latest.minus(now.since(self.started_at));
            return Some(self.start.map_or(began, |start| start.max(began)));
        }
        let began = self.started_at.shifted(self.offset_micros);
        Some(latest.min(began))
    }

    /// What to tell of records that are dated in the future.
    pub fn problem(&self) -> Option<String> {
        let (record, time) = self.first_ahead.as_ref()?;
        let system = &self.system;
        let others = match self.ahead - 1 {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        };
        if let Some(doubt) = self.clock.doubt() {
            return Some(format!(
                "record {record} of {system} is dated {time}, which has not come yet{others}. It was taken in; the next poll \
                 lists what has changed since this one's start again. Of {system}: {doubt}"
            ));
        }
        Some(format!(
            "record {record} of {system} is dated {time}, after {system}'s own clock{others}. It was taken in; later \
             changes of other records are found all the same. Correct its date in {system}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use tandem_connectors::ClockDoubt;

    use super::*;

    fn record(id: &str, time: Timestamp) -> RemoteRecord {
        RemoteRecord {
            id: RecordId::new(id),
            fields: tandem_domain::Fields::new(),
            unreadable: std::collections::BTreeMap::new(),
            left_out: std::collections::BTreeSet::new(),
            in_part: false,
            version: None,
            updated_at: Some(time),
            updated_again: None,
            created_at: None,
            archived: false,
            reference: None,
            raw: tandem_connectors::RawRecord::default(),
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    #[test]
    fn a_record_dated_in_the_future_moves_no_cursor_and_is_told() {
        let mut dates = Dates::new("crm", at(1_000));
        dates.take(&record("c1", at(900)), at(1_001));
        dates.take(&record("c2", at(9_000)), at(1_001));
        dates.take(&record("c3", at(9_999)), at(1_001));
        assert_eq!(dates.cursor(at(1_010)), Some(at(900)));
        let problem = dates.problem().expect("it is told");
        assert!(
            problem.contains("c2") && problem.contains("and 1 more"),
            "{problem}"
        );
    }

    #[test]
    fn a_cursor_never_passes_the_beginning_of_the_listing_by_the_systems_clock() {
        let mut dates = Dates::new("crm", at(1_000));
        dates.measured(140_000_000, ClockState::Measured);
        dates.take(&record("c1", at(1_150)), at(1_160));
        assert_eq!(dates.cursor(at(1_010)), Some(at(1_140)));
        assert_eq!(dates.problem(), None);
    }

    #[test]
    fn while_the_clock_is_wrong_a_cursor_stays_behind_by_as_long_as_the_listing_took() {
        let wrong = ClockState::Doubted(ClockDoubt::Jumps);
        let mut dates = Dates::new("crm", at(90_000));
        dates.starts_at(Some(at(700)));
        dates.measured(0, wrong);
        assert_eq!(dates.cursor(at(90_050)), Some(at(700)), "nothing is new");
        dates.take(&record("c1", at(1_000)), at(90_020));
        assert_eq!(dates.cursor(at(90_050)), Some(at(950)));
        dates.take(&record("c2", at(95_000)), at(90_020));
        let problem = dates.problem().expect("it is told");
        assert!(
            problem.contains("c2") && problem.contains("jumps"),
            "{problem}"
        );
    }
}
