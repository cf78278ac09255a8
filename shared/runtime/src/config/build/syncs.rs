//! Makes the syncs: both ends, the mapping, the policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_connectors::StreamInfo;
use tandem_domain::{Side, SyncName};

use super::Builder;
use crate::config::error::FieldPath;
use crate::config::sync::{EndConfig, SyncConfig};
use crate::topology::{DeleteBrake, End, SyncDefinition};
use tandem_domain::suggest::advice;

/// Both streams of a sync, for looking things up while it is checked.
pub(super) struct Ends {
    pub(super) a: Stream,
    pub(super) b: Stream,
}

/// A stream and how it is called in messages.
pub(super) struct Stream {
    pub(super) info: StreamInfo,
    pub(super) shown: String,
}

impl Ends {
    pub(super) const fn side(&self, side: Side) -> &Stream {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

impl Builder<'_> {
    pub(super) fn build_syncs(&mut self) -> BTreeMap<SyncName, Arc<SyncDefinition>> {
        let configuration = self.configuration;
        let mut syncs = BTreeMap::new();
        for (name, config) in &configuration.syncs {
            let at = FieldPath::of("syncs").key(name);
            if let Some(sync) = self.sync(name, config, &at) {
                syncs.insert(name.clone(), Arc::new(sync));
            }
        }
        syncs
    }

    fn sync(
        &mut self,
        name: &SyncName,
        config: &SyncConfig,
        at: &FieldPath,
    ) -> Option<SyncDefinition> {
        let a = self.end(&config.a, &at.key("a"));
        let b = self.end(&config.b, &at.key("b"));
        if config.a == config.b {
            let message =
                "both sides are the same stream; a sync holds two different ones in agreement";
            self.problems.add(at.key("b"), message);
        }
        let ((end_a, a), (end_b, b)) = match (a, b) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => {
                let known = [(Side::A, a), (Side::B, b)];
                let known = known
                    .into_iter()
                    .filter_map(|(side, end)| Some((side, end?.1)));
                self.check_without_ends(config, &known.collect::<Vec<_>>(), at);
                return None;
            }
        };
        let policy = self.policy(config, &Ends { a, b }, at);
        Some(SyncDefinition {
            name: name.clone(),
            a: end_a.needing(&policy, Side::A),
            b: end_b.needing(&policy, Side::B),
            policy,
            retry: config.retry,
            quiet: Duration::from_secs(u64::from(config.quiet_secs)),
            overlap: Duration::from_secs(u64::from(config.overlap_secs)),
            confirm_gone: Duration::from_secs(u64::from(config.deletes.confirm_secs)),
            brake: DeleteBrake {
                count: config.deletes.brake.count,
                percent: config.deletes.brake.percent,
            },
            archived: config.deletes.archived,
            concurrency: config.concurrency,
        })
    }

    /// One end; `None` when it is wrong, or when its connection could not be opened, which is
    /// reported there.
    fn end(&mut self, config: &EndConfig, at: &FieldPath) -> Option<(End, Stream)> {
        let EndConfig { connection, stream } = config;
        if !self.configuration.connections.contains_key(connection) {
            let known = self.configuration.connections.keys();
            let message = format!(
                "there is no connection `{connection}`{}",
                advice(connection.as_str(), known.map(|name| name.as_str()))
            );
            self.problems.add(at.key("connection"), message);
            return None;
        }
        let connector = self.opened.get(connection)?.connector.clone();
        let Some(info) = connector.stream(stream).cloned() else {
            let streams = connector.streams();
            let known = streams.iter().map(|name| name.as_str());
            let message = format!(
                "`{connection}` has no stream `{stream}`{}",
                advice(stream.as_str(), known)
            );
            self.problems.add(at.key("stream"), message);
            return None;
        };
        let end = End {
            connection: connection.clone(),
            stream: stream.clone(),
            connector,
        };
        let shown = format!("{connection}.{stream}");
        Some((end, Stream { info, shown }))
    }
}
