//! The connected systems, as far as an operator's verbs need them: whether a record is there now. What a person
//! says of a record is checked against the system itself, because what is stored may be old.

use async_trait::async_trait;
use tandem_domain::{FieldType, Fields, RecordId, Side, Stays, SyncName, Value};

use crate::OperatorError;

/// A record as its system holds it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The system's id of it.
    pub id: RecordId,
    /// Whether it is archived or inactive in a way that counts as gone for the sync.
    pub out_of_use: bool,
    /// Its mapped fields, under the mapping's names, but those of which its system says nothing.
    pub fields: Fields,
    /// Why the filters of the sync leave it out, in words; `None` where it takes part.
    pub left_out: Option<String>,
}

/// Reads from the connected systems.
#[async_trait]
pub trait Systems: Send + Sync {
    /// The record as it stands now; `None` when its system says that it has none of this id.
    ///
    /// # Errors
    /// [`OperatorError::NotChecked`] when the system does not answer or is not configured here.
    async fn read(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Standing>, OperatorError>;

    /// What a mapped field of a sync holds, where that is known.
    fn field_type(&self, sync: &SyncName, field: &str) -> Option<FieldType>;

    /// Whether two values of a mapped field are the same by its equality.
    fn same(&self, sync: &SyncName, field: &str, one: &Value, other: &Value) -> bool;

    /// Whose value of a mapped field stays where two records hold different ones, by the rules of the sync.
    fn stays(&self, sync: &SyncName, field: &str) -> Stays;

    /// What a side is called: its connection.
    fn name(&self, sync: &SyncName, side: Side) -> String;

    /// Whether a sync makes records on a side; `None` where no configuration is known that says so.
    fn creates(&self, sync: &SyncName, side: Side) -> Option<bool>;
}

/// No system can be read from; says why.
#[derive(Clone, Debug)]
pub struct NoSystems {
    /// Why, in words.
    pub reason: String,
}

impl Default for NoSystems {
    fn default() -> Self {
        Self {
            reason: "no configuration is loaded here".to_owned(),
        }
    }
}

#[async_trait]
impl Systems for NoSystems {
    async fn read(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Standing>, OperatorError> {
        Err(OperatorError::NotChecked {
            problem: format!(
                "the record `{record}` on side {side} of {sync} cannot be read, so nothing was done: {}",
                self.reason
            ),
            advice: "give the configuration and the secrets that `tandem up` has, or ask a running one with --api",
        })
    }

    fn field_type(&self, _sync: &SyncName, _field: &str) -> Option<FieldType> {
        None
    }

    fn same(&self, _sync: &SyncName, _field: &str, one: &Value, other: &Value) -> bool {
        one == other
    }

    fn stays(&self, _sync: &SyncName, _field: &str) -> Stays {
        Stays::Later
    }

    fn name(&self, _sync: &SyncName, side: Side) -> String {
        format!("side {side}")
    }

    fn creates(&self, _sync: &SyncName, _side: Side) -> Option<bool> {
        None
    }
}
