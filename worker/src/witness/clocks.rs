//! Tells of clocks that are not used: the times of such a system decide nothing, and a person should know why. How far the
//! others are off is kept for the processes that hear from the systems and ask them nothing.

use std::time::Duration;

use tandem_connectors::{ClockDoubt, ClockState};
use tandem_domain::{ConnectionName, MeasuredOffset, Timestamp};
use tandem_store::ClockNote;

use super::{TELL_AGAIN, Witness};

/// The words of the doubts, for metrics.
const DOUBTS: [&str; 3] = ["far_off", "jumps", "cached"];

/// A clock that is off by so much more, in microseconds, was set.
const SET_MICROS: u64 = 2_000_000;
/// What moves it less is a better measure, or another server of the system, and is kept after a while: by this much, in
/// microseconds …
const MOVED_MICROS: u64 = 250_000;
/// … after so long.
const MOVED_KEPT_AFTER: Duration = Duration::from_secs(60);
/// A measure that has not moved is kept again after this, so that it is known to be a new one.
const KEPT_AGAIN: Duration = Duration::from_secs(600);

impl Witness {
    /// Keeps how far clocks are off, seldom: it hardly moves.
    pub(super) async fn keep_offsets(&mut self) {
        let topology = self.topology.current();
        for (connection, connector) in &topology.connectors {
            let kept = self.offsets.get(connection).copied();
            let measured = connector.clock_measured();
            let Some(measured) = measured.filter(|measured| is_worth_keeping(kept, *measured))
            else {
                continue;
            };
            match self.store.keep_clock_offset(connection, measured).await {
                Ok(()) => {
                    self.offsets.insert(connection.clone(), measured);
                }
                Err(error) => {
                    tracing::debug!(%connection, %error, "how far the clock of the connection is off was not kept; it is tried again");
                }
            }
        }
    }

    /// Tells of each change, and of a doubt again and again while it stands.
    pub(super) async fn look_at_clocks(&mut self) {
        let now = self.clock.now();
        let topology = self.topology.current();
        for (connection, connector) in &topology.connectors {
            let state = connector.clock_state();
            let told = self.clocks.get(connection).copied();
            let doubt = state.doubt();
            if state == ClockState::Unsettled || !is_news(told, doubt, now) {
                continue;
            }
            let noted = self.store.note_clock(
                connection,
                ClockNote {
                    doubt: doubt.map(|doubt| doubt.to_string()),
                    is_wrong: doubt.is_some_and(ClockDoubt::is_wrong),
                    told_by: self.process.clone(),
                    told_at: now,
                },
            );
            if let Err(error) = noted.await {
                tracing::debug!(%connection, %error, "how the clock of the connection stands was not stored; it is tried again");
                continue;
            }
            count(connection, doubt);
            log(connection, told.and_then(|(told, _)| told), doubt);
            self.clocks.insert(connection.clone(), (doubt, now));
        }
    }
}

fn is_worth_keeping(kept: Option<MeasuredOffset>, measured: MeasuredOffset) -> bool {
    kept.is_none_or(|kept| {
        let moved = measured.micros.abs_diff(kept.micros);
        moved >= SET_MICROS
            || (moved >= MOVED_MICROS && !kept.at.is_within(MOVED_KEPT_AFTER, measured.at))
            || !kept.at.is_within(KEPT_AGAIN, measured.at)
    })
}

fn is_news(
    told: Option<(Option<ClockDoubt>, Timestamp)>,
    doubt: Option<ClockDoubt>,
    now: Timestamp,
) -> bool {
    told.is_none_or(|(told, at)| {
        told.map(word) != doubt.map(word) || (doubt.is_some() && !at.is_within(TELL_AGAIN, now))
    })
}

const fn word(doubt: ClockDoubt) -> &'static str {
    match doubt {
        ClockDoubt::FarOff(_) => "far_off",
        ClockDoubt::Jumps => "jumps",
        ClockDoubt::Cached => "cached",
    }
}

fn log(connection: &ConnectionName, before: Option<ClockDoubt>, doubt: Option<ClockDoubt>) {
    match (before, doubt) {
        (before, Some(doubt)) if before.map(word) != Some(word(doubt)) => {
            tracing::warn!(%connection, "of connection {connection}: {doubt}");
        }
        (Some(_), None) => tracing::info!(
            %connection,
            "the clock of connection {connection} is believed again: its answers agree how far it is from ours"
        ),
        _ => {}
    }
}

/// For metrics: 1 for the reason why a clock is not used, 0 for the others.
fn count(connection: &ConnectionName, doubt: Option<ClockDoubt>) {
    for one in DOUBTS {
        metrics::gauge!(
            "tandem_connection_clock_doubted",
            "connection" => connection.as_str().to_owned(),
            "reason" => one,
        )
        .set(if doubt.map(word) == Some(one) {
            1.0
        } else {
            0.0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_clock_is_off_is_kept_when_it_is_set_or_better_known_and_now_and_then() {
        let measured = |micros, secs| MeasuredOffset {
            micros,
            at: Timestamp::from_secs(1_800_000_000).plus(Duration::from_secs(secs)),
        };
        assert!(is_worth_keeping(None, measured(0, 0)));
        let kept = measured(-95_000_000, 0);
        for (micros, secs, expected) in [
            (-95_000_000, 599, false),
            (-95_000_000, 600, true),
            // Two servers, whose clocks differ by a second, answer by turns.
            (-94_000_000, 59, false),
            (-94_000_000, 60, true),
            (-94_800_000, 60, false),
            (-93_000_000, 1, true),
            // Nothing was heard since, however long ago that is.
            (-95_000_000, 0, false),
        ] {
            let is_kept = is_worth_keeping(Some(kept), measured(micros, secs));
            assert_eq!(is_kept, expected, "{micros} after {secs} s");
        }
    }
}
