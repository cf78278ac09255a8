//! The configured systems, for the operator's verbs that look at records where they live.

use std::sync::Arc;

use async_trait::async_trait;
use tandem_connectors::ReadOutcome;
use tandem_domain::{FieldType, RecordId, Side, Stays, SyncName, Value};
use tandem_operator::{OperatorError, Standing, Systems};
use tandem_runtime::reload::LiveTopology;
use tandem_runtime::{Archived, SyncDefinition, Topology};

/// Reads from the systems of a configuration.
pub struct ConfiguredSystems {
    topology: LiveTopology,
}

impl ConfiguredSystems {
    /// The systems of this configuration.
    #[must_use]
    pub const fn new(topology: Arc<Topology>) -> Self {
        Self {
            topology: LiveTopology::new(topology),
        }
    }

    /// Takes over a changed configuration, whole.
    pub fn replace(&self, topology: Arc<Topology>) {
        self.topology.replace(topology);
    }

    fn sync(&self, name: &SyncName) -> Result<Arc<SyncDefinition>, OperatorError> {
        let found = self.topology.current().syncs.get(name).map(Arc::clone);
        found.ok_or_else(|| OperatorError::NotChecked {
            problem: format!(
                "the configuration of this process has no sync `{name}`, so nothing was done"
            ),
            advice: "let it read the configuration that was applied: reload or start it again",
        })
    }
}

#[async_trait]
impl Systems for ConfiguredSystems {
    async fn read(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Standing>, OperatorError> {
        let sync = self.sync(sync)?;
        let end = sync.end(side);
        let ids = std::slice::from_ref(record);
        let read = end.connector.read(&end.stream, ids).await;
        let mut outcomes = read.map_err(|error| OperatorError::NotChecked {
            problem: format!(
                "the record `{record}` cannot be checked, so nothing was done: {error}"
            ),
            advice: "try again when the system answers",
        })?;
        let found = match outcomes.pop() {
            // Another than was asked for: this one was merged into it.
            Some(ReadOutcome::Found(found)) if found.id != *record => return Ok(None),
            Some(ReadOutcome::Found(found)) => found,
            Some(ReadOutcome::Missing) | None => return Ok(None),
            Some(ReadOutcome::Unreadable(reason)) => {
                return Err(OperatorError::NotChecked {
                    problem: format!(
                        "the record `{record}` of {} cannot be read, so nothing was done: {reason}",
                        end.connection
                    ),
                    advice: "mend the record in its system, or the manifest",
                });
            }
        };
        Ok(Some(Standing {
            out_of_use: found.archived && sync.archived == Archived::Gone,
            fields: sync.shown_fields(side, &found),
            left_out: sync.why_left_out(side, &found),
            id: found.id,
        }))
    }

    fn field_type(&self, sync: &SyncName, field: &str) -> Option<FieldType> {
        let topology = self.topology.current();
        let rule = topology.syncs.get(sync)?.policy.rule(field)?;
        Some(rule.field_type)
    }

    fn same(&self, sync: &SyncName, field: &str, one: &Value, other: &Value) -> bool {
        let topology = self.topology.current();
        let sync = topology.syncs.get(sync);
        sync.map_or(one == other, |sync| sync.same(field, one, other))
    }

    fn stays(&self, sync: &SyncName, field: &str) -> Stays {
        let topology = self.topology.current();
        let sync = topology.syncs.get(sync);
        sync.map_or(Stays::Later, |sync| sync.policy.stays(field))
    }

    fn name(&self, sync: &SyncName, side: Side) -> String {
        self.topology.current().syncs.get(sync).map_or_else(
            || format!("side {side}"),
            |sync| sync.end(side).connection.to_string(),
        )
    }

    fn creates(&self, sync: &SyncName, side: Side) -> Option<bool> {
        let topology = self.topology.current();
        let sync = topology.syncs.get(sync)?;
        Some(sync.policy.creates.on(side))
    }
}
