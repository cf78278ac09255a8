//! What a job is to do, in which lane, how urgently, and because of what.

use serde::{Deserialize, Serialize};
use tandem_domain::{LinkId, RecordId, Side, SyncName};

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobKind {
    /// Reads both records of a pair and brings them into agreement.
    Reconcile {
        /// The sync.
        sync: SyncName,
        /// The side whose record is named.
        side: Side,
        /// The record.
        record: RecordId,
    },
    /// Lists what changed on one side since the cursor, and records it as reconcile jobs.
    Poll {
        /// The sync.
        sync: SyncName,
        /// The side to list.
        side: Side,
    },
    /// Lists one side whole, compares checksums, and looks for what has vanished.
    Sweep {
        /// The sync.
        sync: SyncName,
        /// The side to list.
        side: Side,
    },
    /// Lists both sides whole, matches what is not linked, and records what differs as jobs.
    Backfill {
        /// The sync.
        sync: SyncName,
    },
    /// Does nothing; measures the queue itself.
    Noop {
        /// Makes its lane its own.
        number: u64,
    },
}

impl JobKind {
    /// The sync that the job belongs to.
    #[must_use]
    pub const fn sync(&self) -> Option<&SyncName> {
        match self {
            Self::Reconcile { sync, .. }
            | Self::Poll { sync, .. }
            | Self::Sweep { sync, .. }
            | Self::Backfill { sync } => Some(sync),
            Self::Noop { .. } => None,
        }
    }

    /// The word for the kind, as stored and shown.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reconcile { .. } => "reconcile",
            Self::Poll { .. } => "poll",
            Self::Sweep { .. } => "sweep",
            Self::Backfill { .. } => "backfill",
            Self::Noop { .. } => "noop",
        }
    }
}

/// A lane: jobs in one lane never run at the same time, and those waiting in it are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(String);

impl Lane {
    /// The lane of a linked pair: the link's id.
    #[must_use]
    pub fn of_link(link: LinkId) -> Self {
        Self(link.to_string())
    }

    /// The lane of a record without a link: `sync/side/record`.
    #[must_use]
    pub fn of_record(sync: &SyncName, side: Side, record: &RecordId) -> Self {
        Self(format!("{sync}/{side}/{record}"))
    }

    /// The lane of a job that is not looked up by link. A reconcile job gets the lane of its record;
    /// storages replace it by the link's lane where there is a link.
    #[must_use]
    pub fn of_job(kind: &JobKind) -> Self {
        match kind {
            JobKind::Reconcile { sync, side, record } => Self::of_record(sync, *side, record),
            JobKind::Poll { sync, side } => Self(format!("{sync}/{side}#poll")),
            JobKind::Sweep { sync, side } => Self(format!("{sync}/{side}#sweep")),
            JobKind::Backfill { sync } => Self(format!("{sync}#backfill")),
            JobKind::Noop { number } => Self(format!("noop/{number}")),
        }
    }

    /// As stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps what was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

/// How urgent a job is. Lower overtakes higher; claims leave a share for each, so none starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobClass {
    /// Webhooks and what a person asked for.
    Interactive,
    /// What polling found.
    Poll,
    /// First syncs and full sweeps.
    Backfill,
}

impl JobClass {
    /// All, most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Poll, Self::Backfill];

    /// As stored: 0 is most urgent.
    #[must_use]
    pub const fn rank(self) -> i64 {
        match self {
            Self::Interactive => 0,
            Self::Poll => 1,
            Self::Backfill => 2,
        }
    }

    /// The word as shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Poll => "poll",
            Self::Backfill => "backfill",
        }
    }
}

/// What caused a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A webhook.
    Webhook,
    /// A poll or sweep found a difference.
    Poll,
    /// A person asked.
    Manual,
    /// The first sync.
    Backfill,
    /// A schedule.
    Schedule,
}

impl Trigger {
    /// All of them, for parsing.
    pub const ALL: [Self; 5] = [
        Self::Webhook,
        Self::Poll,
        Self::Manual,
        Self::Backfill,
        Self::Schedule,
    ];

    /// Whether a listing that nobody asked for caused it: that it shows what it showed before is no news.
    #[must_use]
    pub const fn is_listing(self) -> bool {
        match self {
            Self::Poll | Self::Backfill | Self::Schedule => true,
            Self::Webhook | Self::Manual => false,
        }
    }

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
            Self::Schedule => "schedule",
        }
    }
}
