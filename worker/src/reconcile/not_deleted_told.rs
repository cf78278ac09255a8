//! What a person is told of a delete that was answered and not carried out, and what is done with the answer.

use tandem_domain::{ConflictId, Side};
use tandem_store::{
    Confirmation, ConflictKind, ConflictState, Deleted, Fact, JobOutcome, Link, LinkState,
    LinkUpdate, NewConflict, Ruling, SideState, Waiting,
};

use super::moot::give_up;
use super::not_deleted::{Watched, late_for, taken_back, there_again};
use super::questions::shown_as_agreed;
use super::unlinked::is_linked;
use crate::executor::{SUPERSEDED_PAUSE, Work};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// Tells a person, and has the log say so.
pub(super) async fn ask(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    stands: &Reading,
) -> Result<Performed, WorkError> {
    let (side, record, deleted) = (watched.side, watched.record, &watched.deleted);
    let now = work.context.now();
    let connection = &work.sync.end(side).connection;
    let mut shown = vec![stands.shown(side)];
    let partner = link.side(side.other()).id.clone();
    shown.extend(partner.map(|partner| shown_as_agreed(partner, side.other(), &link.base)));
    let edited = stands.checksum() != deleted.checksum;
    let question = NewConflict {
        id: ConflictId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        // The pair has ended: it is about the record alone.
        link: None,
        side,
        record: record.clone(),
        kind: ConflictKind::NotDeleted {
            system: connection.to_string(),
            answered_at: deleted.at,
            seen_at: now,
            edited,
            gone_at: deleted.gone_at,
        },
        shown,
    };
    let left = if edited {
        "it was edited since, and is left alone unless a person says otherwise"
    } else {
        "it is left alone unless a person says otherwise"
    };
    let confirmation = Confirmation {
        conflicts: vec![question],
        changes: match deleted.gone_at {
            Some(gone_at) => vec![there_again(work, link, watched, gone_at, left)],
            None => taken_back(work, link, watched, left).into(),
        },
        link: Some(link.remembering(side, |memory| {
            memory.own_write = None;
            memory.deleted = Some(Deleted {
                told: true,
                gone_at: None,
                edited: edited.then(|| stands.fields.clone()),
                ..deleted.clone()
            });
        })),
        outcome: Some(JobOutcome::Done {
            note: match deleted.gone_at {
                Some(_) => {
                    format!("held: record {record} of {connection} is there again after our delete")
                }
                None => {
                    format!("held: {connection} did not delete record {record}, though it said so")
                }
            },
        }),
        ..Confirmation::default()
    };
    // It is no write that was carried over: what measures those does not count it.
    if work.learned(confirmation).await? {
        tracing::warn!(sync = %work.sync.name, %connection, %record, answered_at = %deleted.at, "a system answered our delete with success and shows the record still, or again; it is not sent again until a person says so");
        Ok(Performed::Settled)
    } else {
        Ok(work.again_after(SUPERSEDED_PAUSE, Waiting::Superseded))
    }
}

/// A person has said to leave the record as it is.
pub(super) async fn left_alone(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    question: ConflictId,
) -> Result<Performed, WorkError> {
    let connection = &work.sync.end(watched.side).connection;
    let confirmation = Confirmation {
        // A delete that is carried out late may take it yet.
        link: Some(link.remembering(watched.side, |memory| {
            memory.deleted = Some(Deleted {
                told: false,
                left: true,
                ..watched.deleted.clone()
            });
        })),
        used_rulings: vec![question],
        outcome: Some(match late_for(work, &watched.deleted) {
            Some(wait) => work.snooze(wait, Waiting::Elsewhere),
            None => JobOutcome::Done {
                note: format!(
                    "retired: a person said to leave record {} of {connection} as it is",
                    watched.record
                ),
            },
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// The pair is one again, and the next step carries the delete over as any: where the partner is there after all, or the
/// record was edited, it ends as it does for others.
pub(super) async fn send_again(
    work: Work<'_>,
    link: &Link,
    ruling: &Ruling,
) -> Result<Performed, WorkError> {
    for (side, record) in link.records() {
        if is_linked(work, side, record).await? {
            let answered = (ruling.conflict, ConflictState::Answered);
            return give_up(work, answered, Fact::PairEnded).await;
        }
    }
    let state = |side: Side| {
        let mut state: SideState = link.side(side).clone();
        state.memory.deleted = None;
        state.memory.own_write = None;
        state
    };
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a: state(Side::A),
            b: state(Side::B),
            base: link.base.clone(),
            state: LinkState::Active,
        }),
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
