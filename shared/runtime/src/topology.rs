//! What is configured, ready for use: connections with their connectors, and syncs with their policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_connectors::{Connector, NeededFields, RemoteRecord};
use tandem_domain::{ConnectionName, Fields, RetryPolicy, Side, StreamName, SyncName, Value};
use tandem_engine::{SyncPolicy, mapped, part, same};
use tandem_store::why_left_out;

/// One side of a sync.
#[derive(Clone)]
pub struct End {
    /// The connection.
    pub connection: ConnectionName,
    /// The record type in it.
    pub stream: StreamName,
    /// Speaks to it.
    pub connector: Arc<dyn Connector>,
}

impl End {
    /// The end as the sync uses it: a record with an unreadable field that the sync maps or filters by is set
    /// aside, and what is wrong with the others does not matter.
    #[must_use]
    pub fn needing(self, policy: &SyncPolicy, side: Side) -> Self {
        let mapped = policy.fields.iter().map(|rule| rule.stream_field(side));
        let filters = policy.filters.iter().filter(|filter| filter.side == side);
        let needed = mapped.chain(filters.map(|filter| filter.field.as_str()));
        let needed = needed.map(str::to_owned).collect();
        let connector = NeededFields::new(self.connector, self.connection.as_str(), needed);
        Self {
            connector: Arc::new(connector),
            ..self
        }
    }
}

/// More than this many deletes, and more than this share, of a sync's links are held for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteBrake {
    /// Deletes up to this number always pass.
    pub count: u32,
    /// In percent of the sync's links.
    pub percent: u32,
}

impl Default for DeleteBrake {
    fn default() -> Self {
        Self {
            count: 10,
            percent: 10,
        }
    }
}

/// What a record that is archived or inactive counts as, while its partner is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Archived {
    /// As gone: the delete policy applies.
    #[default]
    Gone,
    /// As a record like any other. For syncs that map the flag itself as a field.
    Kept,
}

/// A sync, ready for use.
#[derive(Clone)]
pub struct SyncDefinition {
    /// Its name.
    pub name: SyncName,
    /// Side a.
    pub a: End,
    /// Side b.
    pub b: End,
    /// The mapping and the policies.
    pub policy: SyncPolicy,
    /// How failed jobs are tried again.
    pub retry: RetryPolicy,
    /// An event waits this long before its job runs, so that a burst of edits is one job.
    pub quiet: Duration,
    /// A poll starts this much before the last one's end, because systems commit late.
    pub overlap: Duration,
    /// See [`DeleteBrake`].
    pub brake: DeleteBrake,
    /// A record that its system does not show is believed to be gone after this long, sooner where an event told of
    /// it; a replica that lags behind shows less for a moment.
    pub confirm_gone: Duration,
    /// See [`Archived`].
    pub archived: Archived,
    /// How many of its jobs run at once.
    pub concurrency: usize,
}

impl SyncDefinition {
    /// One side.
    #[must_use]
    pub const fn end(&self, side: Side) -> &End {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// The mapped fields of a record of a side, but those of which its system says nothing.
    #[must_use]
    pub fn shown_fields(&self, side: Side, record: &RemoteRecord) -> Fields {
        let mut fields = mapped(&self.policy, side, &record.fields);
        for rule in &self.policy.fields {
            if record.left_out.contains(rule.stream_field(side)) {
                fields.remove(&rule.name);
            }
        }
        fields
    }

    /// Why the filters leave a record out that was read by its id, in words; `None` where it takes part.
    #[must_use]
    pub fn why_left_out(&self, side: Side, record: &RemoteRecord) -> Option<String> {
        let part = part(&self.policy, side, &record.fields, &record.left_out);
        let by = part.filtered?;
        Some(why_left_out(&by.field, &by.value))
    }

    /// Whether two values of a mapped field are the same by its equality.
    #[must_use]
    pub fn same(&self, field: &str, one: &Value, other: &Value) -> bool {
        let rule = self.policy.rule(field);
        rule.map_or(one == other, |rule| same(rule.equality, one, other))
    }
}

/// All that is configured. Immutable: a changed configuration is a new one.
#[derive(Clone, Default)]
pub struct Topology {
    /// The syncs.
    pub syncs: BTreeMap<SyncName, Arc<SyncDefinition>>,
    /// The connectors of all connections.
    pub connectors: BTreeMap<ConnectionName, Arc<dyn Connector>>,
}

impl Topology {
    /// The syncs and sides that a stream of a connection feeds.
    pub fn ends_of<'a>(
        &'a self,
        connection: &'a ConnectionName,
        stream: &'a StreamName,
    ) -> impl Iterator<Item = (&'a Arc<SyncDefinition>, Side)> + 'a {
        self.syncs.values().flat_map(move |sync| {
            Side::BOTH.into_iter().filter_map(move |side| {
                let end = sync.end(side);
                (end.connection == *connection && end.stream == *stream).then_some((sync, side))
            })
        })
    }

    /// The connections that a sync needs.
    #[must_use]
    pub fn connections_of(&self, sync: &SyncName) -> Vec<ConnectionName> {
        self.syncs
            .get(sync)
            .map(|sync| vec![sync.a.connection.clone(), sync.b.connection.clone()])
            .unwrap_or_default()
    }
}
