//! Two systems at work are told of the same customer at one moment, and the search of neither finds the one by the key of the
//! other: it compares letter by letter, or is behind. Then the index is where their jobs meet. Each puts its record there
//! before it looks for the like of it, and looks there once more before it makes a partner: whichever of them is second
//! finds the other. Where one was so late that the partner of the other is on its way, a person is asked.

use tandem_engine::Candidate;
use tandem_store::Confirmation;

use super::lookup::{Indexed, indexed};
use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;

/// Puts a record into the index, unless it is there with the keys that it has now.
pub(super) async fn announce(
    work: Work<'_>,
    here: &Here,
    own: &Candidate,
    known: &Indexed,
) -> Result<(), WorkError> {
    if known.has_own || own.keys.is_empty() {
        return Ok(());
    }
    let announced = Confirmation {
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        ..Confirmation::default()
    };
    work.learn(announced).await
}

/// Puts a record into the index that is, or may be, what a create of ours has made whose answer is missing: who looks for that
/// may search a system that is behind. It is there already where a listing has shown it.
pub(super) async fn announce_effect(work: Work<'_>, here: &Here) -> Result<(), WorkError> {
    let seen = here.reading.indexed(work.sync);
    let store = &work.context.store;
    let known = store.records_by_keys(&work.sync.name, here.side, &seen.keys);
    let known = known.await?;
    let mut of_it = known.iter().filter(|known| known.id == seen.id);
    if of_it.any(|known| known.keys == seen.keys) {
        return Ok(());
    }
    let announced = Confirmation {
        seen: vec![(here.side, seen)],
        ..Confirmation::default()
    };
    work.learn(announced).await
}

/// Whether the like of a record has come into the index since that was looked for there.
pub(super) async fn has_appeared(
    work: Work<'_>,
    here: &Here,
    own: &Candidate,
    before: &Indexed,
) -> Result<bool, WorkError> {
    if own.keys.is_empty() {
        return Ok(false);
    }
    let now = indexed(work, here, here.side.other(), own).await?;
    Ok(now.ids.iter().any(|id| !before.ids.contains(id)))
}
