//! Records that their system changes whenever they are read: it notes who looked at them last, and tells of that as of any
//! change. Each look would cause the next one, as fast as both systems answer. So after some in a row such a record is
//! looked at less often, down to once a minute.

use std::time::Duration;

use tandem_domain::Side;
use tandem_engine::Plan;
use tandem_store::{Intent, Link, Touched, Trigger};

use super::linked::Open;
use super::pair::CLOCK_SLACK;
use super::sending::Carried;
use super::under;
use crate::executor::Work;

/// How long a record of a pair is left alone still. Who asks for it by hand does not wait; nor is a record left alone that a
/// write of ours may still go over, because what somebody has typed there must be seen before.
pub(super) fn pause(work: Work<'_>, link: &Link, intents: &[Intent]) -> Option<Duration> {
    let job = &work.claimed.job;
    let is_by_hand = job.trigger == Trigger::Manual || !job.edits.is_empty();
    if is_by_hand || under::may_go_over(link, intents) {
        return None;
    }
    let now = work.context.now();
    let touched = [&link.a, &link.b].map(|side| side.memory.touched);
    let pauses = touched.into_iter().flatten().filter_map(|touched| {
        let left = touched.pause().checked_sub(now.since(touched.read_at))?;
        (!left.is_zero()).then_some(left)
    });
    pauses.max()
}

/// What is remembered of the looks at a side, this one counted. Where nothing has moved the link is not stored for it.
pub(super) fn remembered(
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
    side: Side,
) -> Option<Touched> {
    let is_quiet = carried.is_empty() && planned.decisions.is_empty() && open.verdicts.is_empty();
    let look = open.pair.look(side);
    let (known, reading) = (open.link.side(side), look.reading.as_ref()?);
    let earlier = known.memory.touched;
    let record = &reading.record;
    if !is_quiet {
        return None;
    }
    if record.updated_at == known.updated_at && record.version == known.version {
        return earlier;
    }
    // Without a time the change came at any moment since the last look. Where that was as long ago as we wait, it counts.
    let is_by_look = |earlier: &Touched| match reading.edited_at {
        Some(changed) => {
            let since = changed.since(earlier.read_at);
            since.max(earlier.read_at.since(changed)) <= CLOCK_SLACK
        }
        None => look.began.since(earlier.read_at) <= earlier.pause() + CLOCK_SLACK,
    };
    let touched = Touched {
        times: earlier.filter(is_by_look).map_or(0, |it| it.times + 1),
        read_at: look.began,
    };
    if touched.times == Touched::CHANCE {
        tracing::warn!(
            sync = %open.link.sync, %side, record = %record.id,
            "its system changes this record whenever it is read, and nothing that is mapped: it is looked at once a minute from now on"
        );
    }
    Some(touched)
}
