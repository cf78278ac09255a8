//! The questions of a sync, gone through page by page: there may be thousands, and each shows whole records.

use tandem_domain::{ConflictId, RecordId, Side, SyncName};
use tandem_store::{
    Conflict, ConflictFilter, ConflictKind, ConflictState, PAGE_ROWS_MAX, QuestionKind, Store,
    StoreError,
};

/// A walk through the questions of one kind that stand so, the newest first.
pub struct Asked<'a> {
    sync: &'a SyncName,
    kind: QuestionKind,
    state: ConflictState,
    before: Option<ConflictId>,
}

impl<'a> Asked<'a> {
    /// Those that nobody has answered.
    pub const fn open(sync: &'a SyncName, kind: QuestionKind) -> Self {
        Self::standing(sync, kind, ConflictState::Open)
    }

    /// Those in this state.
    pub const fn standing(sync: &'a SyncName, kind: QuestionKind, state: ConflictState) -> Self {
        Self {
            sync,
            kind,
            state,
            before: None,
        }
    }

    /// The next of them; `None` after the last.
    pub async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<Conflict>>, StoreError> {
        let filter = ConflictFilter {
            sync: Some(self.sync.clone()),
            state: Some(self.state),
            kind: Some(self.kind.as_str().to_owned()),
            before: self.before,
            limit: PAGE_ROWS_MAX,
        };
        let page = store.conflicts(&filter).await?;
        self.before = page.last().map(|last| last.id);
        // One that is not full may be followed by others: it leaves out what only a newer version can read.
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

/// The kinds that ask which records belong together, or which of two is too many. Until one is answered nothing is made or
/// linked for the record that it is about.
pub const ABOUT_PARTNERS: [QuestionKind; 2] = [QuestionKind::Ambiguous, QuestionKind::Doubled];

/// The records that such a question names beside the one that it is about.
pub fn named(asked: &Conflict) -> Vec<(Side, &RecordId)> {
    let (own, others): (Vec<&RecordId>, Vec<&RecordId>) = match &asked.kind {
        ConflictKind::Ambiguous {
            candidates, rivals, ..
        } => (rivals.iter().collect(), candidates.iter().collect()),
        ConflictKind::Doubled { first, source, .. } => (vec![first], source.iter().collect()),
        _ => (Vec::new(), Vec::new()),
    };
    let own = own.into_iter().map(|id| (asked.side, id));
    own.chain(others.into_iter().map(|id| (asked.side.other(), id)))
        .collect()
}

/// How many questions are open about which records belong together.
pub async fn count_unclear(store: &dyn Store, sync: &SyncName) -> Result<usize, StoreError> {
    let mut count = 0;
    for kind in ABOUT_PARTNERS {
        let mut pages = Asked::open(sync, kind);
        while let Some(page) = pages.next(store).await? {
            count += page.len();
        }
    }
    Ok(count)
}
