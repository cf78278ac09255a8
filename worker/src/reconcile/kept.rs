//! What the link keeps of a plan that was carried out.

use tandem_domain::Side;
use tandem_engine::{Between, LinkFate, Plan, Settled};
use tandem_store::{Doubt, LinkState, LinkUpdate, SideMemory, SideState};

use super::back_and_forth;
use super::deleted_over;
use super::lands_again;
use super::linked::Open;
use super::not_deleted;
use super::own_write::own_write;
use super::sending::{Carried, write_to};
use super::touched;
use super::unshown::Unshown;
use crate::executor::Work;

/// The link as it is now; `None` when nothing about it has changed.
pub(super) fn link_update(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
    known: (&Settled, &Unshown),
) -> Option<LinkUpdate> {
    let link = &open.link;
    let state = if planned.link == LinkFate::Keep {
        LinkState::Active
    } else {
        LinkState::Retired
    };
    let (a, b, base) = match planned.link {
        LinkFate::Keep => (
            side_state(work, open, planned, carried, known, Side::A),
            side_state(work, open, planned, carried, known, Side::B),
            known.0.base.clone(),
        ),
        LinkFate::Retire => (
            retired(work, open, carried, known, Side::A),
            retired(work, open, carried, known, Side::B),
            link.base.clone(),
        ),
        LinkFate::Dissolve => (
            SideState::default(),
            SideState::default(),
            link.base.clone(),
        ),
    };
    let same = link.a == a && link.b == b && link.base == base && link.state == state;
    (!same).then_some(LinkUpdate::Update {
        id: link.id,
        expected_revision: link.revision,
        a,
        b,
        base,
        state,
    })
}

/// What a retired link keeps of a side: which record it was, and whether that one was gone. Should it come back, it is
/// known by that.
pub(super) fn retired(
    work: Work<'_>,
    open: &Open,
    carried: &[Carried],
    (settled, unshown): (&Settled, &Unshown),
    side: Side,
) -> SideState {
    let mut state = open.link.side(side).clone();
    state.memory.filtered = None;
    state.memory.unseen = unshown.of_side(side).clone();
    state.memory.may_land = lands_again::remembered(work, open, carried, &settled.base, side);
    // What is told of now is not told again when its event comes.
    let is_told = !std::mem::take(&mut state.memory.shown_under).is_empty();
    let delete = deleted_over::remembered(open, carried, side);
    state.memory.own_write = delete.filter(|_| !is_told);
    state.memory.deleted = not_deleted::remembered(work, open, carried, side);
    let is_gone = open
        .pair
        .side(side)
        .is_none_or(|reading| reading.record.archived || reading.counts_as_gone);
    state.memory.doubt = is_gone.then(|| {
        let now = work.context.now();
        state.memory.doubt.unwrap_or(Doubt {
            since: now,
            looks: 1,
            last: now,
            is_older: false,
        })
    });
    state
}

pub(super) fn side_state(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
    (settled, unshown): (&Settled, &Unshown),
    side: Side,
) -> SideState {
    let write = write_to(carried, side);
    let written = write.and_then(|one| one.after.as_ref());
    let Some(reading) = written.or_else(|| open.pair.side(side)) else {
        return open.link.side(side).clone();
    };
    let mut state = reading.side_state(settled.known(side));
    state.memory = SideMemory {
        made_at: reading
            .record
            .created_at
            .or(open.link.side(side).memory.made_at),
        doubt: None,
        own_write: own_write(
            work,
            open,
            side,
            reading,
            write.filter(|one| one.after.is_some()),
        )
        // What was read back shows an edit that may have come after our write: then the time of change is theirs.
        // What came with the answer shows only what was there before.
        .filter(|_| {
            write.is_none_or(|one| one.between == Between::Nobody)
                || state.checksum == Some(reading.checksum())
        }),
        unseen: unshown.of_side(side).clone(),
        may_land: lands_again::remembered(work, open, carried, &settled.base, side),
        shown_under: open.shown.undecided(planned, side),
        left_out: reading.kept.clone(),
        overlaid: None,
        set_back: None,
        set_back_asked: None,
        held: None,
        filtered: None,
        deleted: None,
        writes: back_and_forth::tally(work, open, side, is_written(open, write, side)),
        touched: touched::remembered(open, planned, carried, side),
    };
    if reading.kept.values().any(|one| !one.settled) {
        // Whole listings look at it again, whether they show the field or not.
        state.checksum = None;
    }
    state
}

/// Whether a write of ours to a side is known of now.
pub(super) fn is_written(open: &Open, write: Option<&Carried>, side: Side) -> bool {
    write.is_some() || open.late_intents().any(|intent| intent.side == side)
}
