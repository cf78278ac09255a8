//! Whether any process looks after things at all.

use std::time::Duration;

use tandem_domain::Timestamp;
use tandem_domain::line::line;
use tandem_store::ConnectionHealth;

use super::to_the_second;

/// A process that runs tells of one of its connections every minute.
const ATTENDED: Duration = Duration::from_secs(90);

/// What is said when no process has told of any connection for a while; nothing where there is no connection to tell
/// of.
#[must_use]
pub(crate) fn unattended(
    connections: usize,
    known: &[ConnectionHealth],
    now: Timestamp,
) -> Option<String> {
    if connections == 0 {
        return None;
    }
    match last_seen(known) {
        None => Some(
            "no process has looked after the connections yet: does a `tandem up` run, or a worker?"
                .to_owned(),
        ),
        Some((at, _)) if now.since(at) < ATTENDED => None,
        Some(seen) => Some(format!(
            "no process has looked after the connections {}: does a `tandem up` run, or a worker?",
            since_words(seen)
        )),
    }
}

/// What is said when nothing runs on a data folder, whatever was told before.
#[must_use]
pub fn nothing_runs(folder: &str, seen: Option<(Timestamp, &str)>) -> String {
    // A process tells every minute, so it may have run for a while after.
    let last = seen.map_or_else(String::new, |(at, by)| {
        format!(
            " ({} last told of its connections at {})",
            line(by),
            to_the_second(at)
        )
    });
    format!(
        "nothing runs on {}{last}: no webhook is taken, nothing is polled and nothing is written, and what is said of the \
         connections here is how they stood when they were last looked at; start it with `tandem up`",
        line(folder)
    )
}

/// When a process last told of a connection, and which.
pub(crate) fn last_seen(known: &[ConnectionHealth]) -> Option<(Timestamp, &str)> {
    let looks = known
        .iter()
        .filter_map(|one| Some((one.seen_at?, one.seen_by.as_deref().unwrap_or("a process"))));
    let told = known.iter().filter_map(|one| one.held_up.as_ref());
    let told = told.map(|one| (one.told_at, one.told_by.as_str()));
    looks.chain(told).max_by_key(|(at, _)| *at)
}

fn since_words((at, by): (Timestamp, &str)) -> String {
    format!("since {}, when {} last did", to_the_second(at), line(by))
}

#[cfg(test)]
mod tests {
    use tandem_store::{ConnectionState, HeldUp};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_100);

    fn health(seen_at: Option<Timestamp>, told_at: Option<Timestamp>) -> ConnectionHealth {
        ConnectionHealth {
            connection: "crm".parse().expect("a name"),
            state: ConnectionState::Up,
            reason: None,
            since: NOW,
            seen_at,
            seen_by: Some("tandem-worker (process 7)".to_owned()),
            held_up: told_at.map(|told_at| HeldUp {
                asked_until: None,
                unanswered_since: Some(told_at),
                told_by: "tandem-worker (process 8)".to_owned(),
                told_at,
            }),
            clock: None,
            clock_offset: None,
            badly_signed: 0,
            badly_signed_from: None,
            badly_signed_at: None,
            rightly_signed_at: None,
        }
    }

    #[test]
    fn that_no_process_looks_after_things_is_said_from_the_beginning_and_soon_after_its_end() {
        let now = NOW;
        let before = |secs| Some(now.minus(Duration::from_secs(secs)));
        assert_eq!(unattended(0, &[], now), None);
        let never = unattended(2, &[health(None, None)], now).expect("none has");
        assert!(never.contains("yet"), "{never}");
        for fresh in [health(before(60), None), health(None, before(60))] {
            assert_eq!(
                unattended(2, &[health(before(900), None), fresh], now),
                None
            );
        }
        let gone = [health(before(900), None), health(before(95), None)];
        let gone = unattended(2, &gone, now).expect("none does");
        for part in ["since 2023-11-14T22:13:25Z", "tandem-worker (process 7)"] {
            assert!(gone.contains(part), "{part}: {gone}");
        }
    }
}
