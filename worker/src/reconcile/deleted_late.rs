//! What became of a record after our delete of it was answered: its system carried the delete out long after, and took an
//! edit with it; or the record was gone, and somebody has taken it back. Neither may pass in silence.

use tandem_domain::{ConflictId, Fields, RecordId, Side, Value};
use tandem_store::{
    Change, Confirmation, ConflictKind, Deleted, Fact, Link, NewConflict, Operation, ShownRecord,
};

use super::recover::LANDS_WITHIN;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// Stores what a record holds that was edited since our delete was answered: should that land yet, it is all that is known
/// of the edit. And once it can land no more, that the record was still there.
pub(super) async fn remember_edit(
    work: Work<'_>,
    link: &Link,
    (side, deleted): (Side, &Deleted),
    stands: &Reading,
) -> Result<(), WorkError> {
    let is_edited = stands.checksum() != deleted.checksum;
    let edited = is_edited.then(|| stands.fields.clone());
    let outlived = work.context.now().since(deleted.at) >= LANDS_WITHIN;
    if (&edited, outlived) == (&deleted.edited, deleted.outlived) {
        return Ok(());
    }
    let confirmation = Confirmation {
        link: Some(link.remembering(side, |memory| {
            memory.deleted = Some(Deleted {
                edited,
                outlived,
                ..deleted.clone()
            });
        })),
        ..Confirmation::default()
    };
    // Whoever has changed the link meanwhile has seen the record too, or sees it next.
    work.learned(confirmation).await.map(|_| ())
}

/// What is told of a record that stood after our delete was answered, and does not any more.
pub(super) fn told(
    work: Work<'_>,
    link: &Link,
    (side, record): (Side, &RecordId),
    deleted: &Deleted,
    fact: Fact,
) -> (Vec<Change>, Vec<NewConflict>) {
    let now = work.context.now();
    let may_be_ours = !deleted.outlived;
    let is_known = deleted.told || deleted.left || deleted.edited.is_some();
    if !matches!(fact, Fact::Gone | Fact::OutOfUse) || !is_known {
        return (Vec::new(), Vec::new());
    }
    let connection = &work.sync.end(side).connection;
    let how = if fact == Fact::Gone {
        "is gone"
    } else {
        "is out of use"
    };
    let by = if may_be_ours {
        "our delete was carried out late, or somebody deleted it"
    } else {
        "somebody deleted it: it was there when our delete could be carried out no more"
    };
    let change = |operation: Operation, why: String| Change {
        link: Some(link.id),
        error: Some(why),
        ..work.change(operation, link.a.id.as_ref(), link.b.id.as_ref())
    };
    let other = &work.sync.end(side.other()).connection;
    let ended = format!(
        "the partner in {other} is gone, and so is record {record} of {connection} by now: it {how}, though it was there after {connection} had answered our delete at {}; {by}",
        deleted.at
    );
    let mut changes = vec![change(Operation::Unlink, ended)];
    let lost = lost(link, side, deleted).filter(|_| may_be_ours);
    let Some(fields) = lost else {
        return (changes, Vec::new());
    };
    let edits: Vec<String> = edits(link, side, &fields)
        .map(|(field, value)| format!("{field}: \"{value}\""))
        .collect();
    tracing::warn!(sync = %work.sync.name, %connection, %record, answered_at = %deleted.at, "a record that stood after our delete was answered is gone, and so is what was edited since");
    let edits = if edits.is_empty() {
        "a person had said to leave it".to_owned()
    } else {
        format!("it was edited since, and held {}", edits.join(", "))
    };
    changes.push(change(
        Operation::Overwrite,
        format!(
            "record {record} of {connection} {how}, after {connection} had answered our delete at {}: {by}; {edits}",
            deleted.at
        ),
    ));
    let question = NewConflict {
        id: ConflictId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(link.id),
        side,
        record: record.clone(),
        kind: ConflictKind::Overwritten {
            edited_at: None,
            event: None,
            written: Fields::new(),
            met: None,
        },
        shown: vec![ShownRecord {
            side,
            id: record.clone(),
            fields,
        }],
    };
    (changes, vec![question])
}

/// What a late delete took that somebody wanted: an edit, or a record that a person had said to leave.
fn lost(link: &Link, side: Side, deleted: &Deleted) -> Option<Fields> {
    let agreed = || tandem_domain::BaseValue::all_of(&link.base, side);
    deleted.edited.clone().or_else(|| deleted.left.then(agreed))
}

/// The fields that are not as both sides last agreed.
fn edits<'f>(
    link: &'f Link,
    side: Side,
    fields: &'f Fields,
) -> impl Iterator<Item = (&'f String, &'f Value)> {
    fields.iter().filter(move |(field, value)| {
        let agreed = link.base.get(*field).map(|base| base.side(side));
        agreed.unwrap_or(&Value::Null) != *value
    })
}
