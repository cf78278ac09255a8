//! Whether the syncs of a configuration keep the ends between which their records were linked.
//!
//! A sync whose side is given another connection or stream would take that one's records for the linked ones: most would
//! count as gone, and their partners be deleted. Nobody can mean that by a word, so such a configuration is not taken.

use std::fmt;

use serde::Serialize;
use tandem_domain::{Side, SyncName};
use tandem_store::{ConnectionRow, Store, StoreError, SyncRow};

use crate::config::Built;

/// A sync with linked records whose side a configuration points elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherEnd {
    /// Which.
    pub sync: SyncName,
    /// Its side.
    pub side: Side,
    /// The connection and the stream between which its records were linked, as `connection/stream`.
    pub linked_to: String,
    /// Those of the configuration.
    pub now: String,
    /// How many pairs of records are linked.
    pub links: u64,
}

impl fmt::Display for OtherEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sync,
            side,
            linked_to,
            now,
            links,
        } = self;
        write!(
            f,
            "sync {sync}: its side {side} is {now}, and {links} pairs of records were linked with {linked_to}; those of {now} would be \
             taken for them, and most would count as deleted"
        )
    }
}

/// What to do about it.
pub const OTHER_END_ADVICE: &str = "Nothing was changed. Put the old connection and stream back; or give the sync another \
                                    name, and it begins anew: its old links stay with the old name. A connection may get \
                                    another name as long as its address stays.";

/// The sides of linked syncs that a configuration points elsewhere. A connection that has another name by now, and leads to
/// the same address, is the same.
///
/// # Errors
/// When the storage fails.
pub async fn other_ends(store: &dyn Store, built: &Built) -> Result<Vec<OtherEnd>, StoreError> {
    let connections = store.connections().await?;
    let mut found = Vec::new();
    for row in store.syncs().await? {
        let wanted = built.documents.syncs.iter();
        let Some((_, wanted)) = wanted.into_iter().find(|(name, _)| *name == row.name) else {
            continue;
        };
        for side in Side::BOTH {
            let ends = [&row.document, wanted].map(|document| end(document, side));
            let [Some(before), Some(now)] = ends else {
                continue;
            };
            if before == now || is_renamed(&connections, built, (&before, &now)) {
                continue;
            }
            let links = store.link_count(&row.name).await?;
            if links > 0 {
                found.push(other_end(&row, side, (&before, &now), links));
            }
        }
    }
    Ok(found)
}

/// A connection and a stream.
type End = (String, String);

fn end(document: &serde_json::Value, side: Side) -> Option<End> {
    let end = &document[side.as_str()];
    let word = |name: &str| end[name].as_str().map(ToOwned::to_owned);
    Some((word("connection")?, word("stream")?))
}

fn is_renamed(
    connections: &[ConnectionRow],
    built: &Built,
    ((before, of_stream), (now, stream)): (&End, &End),
) -> bool {
    let mut setups = built.connections.iter();
    let is_named_still = built.connections.keys().any(|name| name.as_str() == before);
    let setup = setups.find(|(name, _)| name.as_str() == now);
    let linked_to = connections.iter().find(|row| row.name.as_str() == before);
    let linked_to = linked_to.and_then(|row| row.linked_to.as_ref());
    let is_same_address = setup.is_some_and(|(_, setup)| linked_to == Some(&setup.address));
    of_stream == stream && is_same_address && !is_named_still
}

fn other_end(row: &SyncRow, side: Side, (before, now): (&End, &End), links: u64) -> OtherEnd {
    let words = |end: &End| format!("{}/{}", end.0, end.1);
    OtherEnd {
        sync: row.name.clone(),
        side,
        linked_to: words(before),
        now: words(now),
        links,
    }
}

/// One line each, indented.
#[must_use]
pub fn listed(ends: &[OtherEnd]) -> String {
    let lines: Vec<String> = ends.iter().map(|one| format!("  {one}")).collect();
    lines.join("\n")
}
