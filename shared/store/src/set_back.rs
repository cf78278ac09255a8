//! What shows that a system was set back: restored from a backup, or emptied and filled anew. That is the state of a side
//! of a sync rather than of single pairs, so what the pairs show is gathered here, for the whole fleet.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{LinkId, Side, SyncName, Timestamp};

use crate::StoreError;

/// What a pair shows of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetBackSign {
    /// An older state, which may be that of a system which is only behind for a moment: it is looked for again.
    Doubted,
    /// An older state, or another record, and that lasts.
    Older,
    /// Its record is not there.
    Missing,
}

impl SetBackSign {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Doubted, Self::Older, Self::Missing];

    /// The word as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Doubted => "doubted",
            Self::Older => "older",
            Self::Missing => "missing",
        }
    }
}

/// How many pairs show what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetBackCount {
    /// See [`SetBackSign::Doubted`].
    pub doubted: u64,
    /// See [`SetBackSign::Older`].
    pub older: u64,
    /// See [`SetBackSign::Missing`].
    pub missing: u64,
}

/// A pair of a side, and what was noted of it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedPair {
    /// The pair.
    pub link: LinkId,
    /// What it showed.
    pub sign: SetBackSign,
}

/// The pairs of a side that show that it was set back.
#[async_trait]
pub trait SetBackStore: Send + Sync {
    /// Notes what a pair shows of a side, instead of what was noted of it before. No more than `limit` pairs are kept of
    /// each sign, so that counting them costs the same however many there are.
    async fn note_set_back(
        &self,
        sync: &SyncName,
        side: Side,
        link: LinkId,
        sign: SetBackSign,
        limit: u64,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// How many pairs of a side have shown something since then.
    async fn set_back_count(
        &self,
        sync: &SyncName,
        side: Side,
        since: Timestamp,
    ) -> Result<SetBackCount, StoreError>;

    /// Pairs of a side that show an older state, another record, or none, in the order of their ids.
    async fn set_back_links(
        &self,
        sync: &SyncName,
        side: Side,
        limit: usize,
    ) -> Result<Vec<NotedPair>, StoreError>;

    /// Forgets what a pair shows of a side, or all pairs, as far as it was noted until then.
    async fn forget_set_back(
        &self,
        sync: &SyncName,
        side: Side,
        link: Option<LinkId>,
        until: Timestamp,
    ) -> Result<(), StoreError>;
}

/// What the question whether a side was set back is about, as text.
#[must_use]
pub fn set_back_subject(sync: &SyncName, side: Side) -> String {
    format!("{sync}/{side}#set_back")
}

/// What pairs of a side that show this are counted by.
#[must_use]
pub fn set_back_counted_by(sync: &SyncName, side: Side, sign: SetBackSign) -> String {
    format!("{}/{}", set_back_subject(sync, side), sign.as_str())
}
