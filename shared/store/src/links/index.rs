//! The index of what each side holds.

use serde::Serialize;
use tandem_domain::{JobId, LinkId, RecordId, Timestamp};

/// What is seen of a record in a listing or reading, for the index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexedRecord {
    /// The record.
    pub id: RecordId,
    /// Its normalised match keys, strongest first.
    pub keys: Vec<String>,
    /// The checksum of its mapped fields; it begins with `gone:` while the record is out of use.
    pub checksum: String,
    /// Its own time of change.
    pub updated_at: Option<Timestamp>,
    /// Whether it is a listing that leaves out some of its mapped fields, so that they count as empty in the checksum and
    /// are in no key. Then the keys are added to those that are known, and a record that is dated later than when
    /// it was last read is never unchanged: what changed may be what is left out.
    pub in_part: bool,
    /// Whether a filter of the sync leaves it out. Then its checksum says so, and it is only known to the index if it was
    /// before, or if it is linked: of what takes no part nothing is kept.
    pub filtered: bool,
    /// What shows it.
    pub sight: Sight,
}

/// What shows a record as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// A listing or a reading.
    #[default]
    Shown,
    /// Only the answer to a write of ours, and no listing or reading since: its system may have kept nothing of it.
    Answered,
    /// A reading which shows what our last write has put there, whatever else it shows.
    Confirmed,
}

impl IndexedRecord {
    /// One that is not there, as its system says: it has the keys that are known of it, and no state.
    #[must_use]
    pub fn gone(id: RecordId) -> Self {
        Self {
            id,
            keys: Vec::new(),
            checksum: "gone:".to_owned(),
            updated_at: None,
            in_part: true,
            filtered: false,
            sight: Sight::Shown,
        }
    }

    /// Its keys, with those that are known beside what it shows only in part. One that is not true any more goes with the
    /// next reading by its id.
    #[must_use]
    pub fn keys_with(&self, known: Vec<String>) -> Vec<String> {
        let mut keys = self.keys.clone();
        if self.in_part {
            keys.extend(known.into_iter().filter(|key| !self.keys.contains(key)));
        }
        keys
    }

    /// How it is, as it is remembered of a record for which something was refused (`records.refused`). One that was changed and
    /// changed back since has another time.
    #[must_use]
    pub fn state(&self) -> String {
        let time = self.updated_at.map(|at| at.as_micros().to_string());
        format!("{}@{}", self.checksum, time.unwrap_or_default())
    }

    /// How a record of a retired pair was when it was last looked at, as the link remembers it in the place of a checksum:
    /// while it shows the same, there is nothing to look for again.
    #[must_use]
    pub fn looked_at(&self) -> String {
        format!("looked:{}", self.state())
    }

    /// Whether it shows a later state of a record than was read, in whole seconds: some systems tell the time more
    /// exactly in one answer than in another.
    #[must_use]
    pub fn is_later_than(&self, read: Option<Timestamp>) -> bool {
        const SECOND: i64 = 1_000_000;
        let seconds = |at: Timestamp| at.as_micros().div_euclid(SECOND);
        match (self.updated_at, read) {
            (Some(shown), Some(read)) => seconds(shown) > seconds(read),
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

/// The mark in the checksum of a record that a filter leaves out.
pub const FILTERED_MARK: &str = "filtered:";

/// Whether a checksum says that a filter left the record out.
#[must_use]
pub fn says_filtered(checksum: &str) -> bool {
    checksum
        .strip_prefix("gone:")
        .unwrap_or(checksum)
        .starts_with(FILTERED_MARK)
}

/// What the index knew of a record just seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    /// The record.
    pub id: RecordId,
    /// Its active link.
    pub link: Option<LinkId>,
    /// Whether it has no active link, and had one that is retired.
    pub retired: bool,
    /// Whether an operator said to leave it alone.
    pub ignored: bool,
    /// Whether the checksum is the one that its link (or, without a link, the index) had. Of a record whose link is
    /// retired while both its records are in use only where it is as it was when that pair was last looked at, or an
    /// operator said to leave it alone.
    pub unchanged: bool,
    /// The job that stands for it, if one was given and it is new or changed.
    pub job: Option<JobId>,
}

/// A record of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownRecord {
    /// The record.
    pub id: RecordId,
    /// Its normalised match keys.
    pub keys: Vec<String>,
    /// Its active link.
    pub link: Option<LinkId>,
    /// Whether an operator said to leave it alone.
    pub ignored: bool,
}
