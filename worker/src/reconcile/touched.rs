//! Records that their system changes whenever they are read: it notes who looked at them last, and tells of that as of any
//! change. Each look would cause the next one, as fast as both systems answer. So after some in a row such a record is
//! looked at less often, down to once a minute.

use std::time::Duration;

use tandem_domain::Side;
use tandem_engine::Plan;
use tandem_store::{Link, Touched, Trigger};

use super::linked::Open;
use super::pair::CLOCK_SLACK;
use super::sending::Carried;
use crate::executor::Work;

/// How long a record of a pair is left alone still. Who asks for it by hand does not wait.
pub(super) fn pause(work: Work<'_>, link: &Link) -> Option<Duration> {
    let job = &work.claimed.job;
    if job.trigger == Trigger::Manual || !job.edits.is_empty() {
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
    // Without a time the change came since the last look: right after it where this one follows at once.
    let changed = reading.edited_at.unwrap_or(look.began);
    let is_by_look = |earlier: &Touched| {
        let since = changed.since(earlier.read_at);
        since.max(earlier.read_at.since(changed)) <= CLOCK_SLACK
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
