//! One sync between two fake systems.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_connectors::Connector;
use tandem_domain::{RetryPolicy, Side, SyncName};
use tandem_engine::SyncPolicy;
use tandem_runtime::{Archived, DeleteBrake, End, SyncDefinition, Topology};

use super::system::FakeSystem;

pub fn topology(
    sync: &SyncName,
    policy: SyncPolicy,
    archived: Archived,
    a: &Arc<FakeSystem>,
    b: &Arc<FakeSystem>,
) -> Arc<Topology> {
    let end = |name: &str, system: &Arc<FakeSystem>| End {
        connection: name.parse().expect("a name"),
        stream: "things".parse().expect("a name"),
        connector: Arc::clone(system) as Arc<dyn Connector>,
    };
    let definition = SyncDefinition {
        name: sync.clone(),
        a: end("a", a).needing(&policy, Side::A),
        b: end("b", b).needing(&policy, Side::B),
        policy,
        retry: RetryPolicy {
            retries: 20,
            base_secs: 1,
            max_secs: 10,
        },
        quiet: Duration::ZERO,
        overlap: Duration::from_secs(60),
        confirm_gone: std::time::Duration::from_secs(30),
        brake: DeleteBrake::default(),
        archived,
        concurrency: 8,
    };
    let (one, other) = (definition.a.clone(), definition.b.clone());
    Arc::new(Topology {
        syncs: BTreeMap::from([(sync.clone(), Arc::new(definition))]),
        connectors: BTreeMap::from([
            (one.connection, one.connector),
            (other.connection, other.connector),
        ]),
    })
}
