//! Tells of clocks that are not used: the times of such a system decide nothing, and a person should know why.

use tandem_connectors::{ClockDoubt, ClockState};
use tandem_domain::{ConnectionName, Timestamp};
use tandem_store::ClockNote;

use super::{TELL_AGAIN, Witness};

/// The words of the doubts, for metrics.
const DOUBTS: [&str; 3] = ["far_off", "jumps", "cached"];

impl Witness {
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

fn is_news(
    told: Option<(Option<ClockDoubt>, Timestamp)>,
    doubt: Option<ClockDoubt>,
    now: Timestamp,
) -> bool {
    told.is_none_or(|(told, at)| {
        told.map(word) != doubt.map(word) || (doubt.is_some() && now.since(at) >= TELL_AGAIN)
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
