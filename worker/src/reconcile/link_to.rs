//! Links two records that belong together.

use tandem_domain::{ConflictId, LinkId, RecordId};
use tandem_store::{
    Confirmation, ConflictState, Fact, LinkUpdate, Moot, NewLink, Operation, SideState,
};

use super::unlinked::Here;
use crate::executor::{Work, both};
use crate::failure::WorkError;
use crate::jobs::Performed;

/// What the link does to the questions about the record.
#[derive(Default)]
pub(super) struct Answers {
    used: Vec<ConflictId>,
    moot: Vec<Moot>,
}

impl Answers {
    /// These answers are carried out by it.
    pub(super) fn used(used: Vec<ConflictId>) -> Self {
        Self {
            used,
            ..Self::default()
        }
    }

    /// Nobody has to answer this any more.
    pub(super) fn moot(moot: Moot) -> Self {
        Self {
            moot: vec![moot],
            ..Self::default()
        }
    }
}

/// That either of two records was not deleted needs no answer once they are a pair, nor does what its partner matches, where
/// the job of that one had asked.
async fn over(
    work: Work<'_>,
    here: &Here,
    partner: &RecordId,
) -> Result<impl Iterator<Item = Moot> + use<>, WorkError> {
    let store = &work.context.store;
    let there = store
        .pair(&work.sync.name, here.side.other(), partner)
        .await?;
    let asked = [
        here.pair.not_deleted,
        there.not_deleted,
        there.held,
        there.doubled,
    ];
    Ok(asked.into_iter().flatten().map(|question| Moot {
        question,
        was: ConflictState::Open,
        fact: Fact::Linked,
    }))
}

/// Links first and compares in the link's own lane, so that the jobs of both records cannot both write.
pub(super) async fn link_to(
    work: Work<'_>,
    here: &Here,
    partner: &RecordId,
    answers: Answers,
) -> Result<Performed, WorkError> {
    let now = work.context.now();
    let blank = |id: &RecordId| SideState {
        id: Some(id.clone()),
        ..SideState::default()
    };
    let (a, b) = both(here.side, Some(here.id()), Some(partner));
    let link = NewLink {
        id: LinkId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        a: a.map(blank).unwrap_or_default(),
        b: b.map(blank).unwrap_or_default(),
        base: std::collections::BTreeMap::new(),
    };
    let mut moot = answers.moot;
    moot.extend(over(work, here, partner).await?);
    let mut change = work.change(Operation::Link, a, b);
    change.link = Some(link.id);
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Insert(link)),
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        changes: vec![change],
        used_rulings: answers.used,
        moot,
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
