//! How a connection stands, in words that say what to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_domain::line::line;
use tandem_domain::{ConnectionName, Timestamp};
use tandem_store::{ConnectionHealth, ConnectionState};

use super::{to_the_second, when_opt};

/// Webhooks that were signed wrongly are told of for so long.
const BADLY_SIGNED_SHOWN: Duration = Duration::from_secs(15 * 60);

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// The word for programs.
    pub state: ConnectionState,
    /// Since when it stands so.
    #[serde(with = "when_opt")]
    pub since: Option<Timestamp>,
    /// What was answered, or happened instead.
    pub reason: Option<String>,
    /// How it stands and what to do, for people.
    pub words: String,
    /// Webhooks signed wrongly in the last minute of trouble; 0 when there was none of late.
    pub badly_signed: u32,
    /// When that was counted.
    #[serde(with = "when_opt")]
    pub badly_signed_at: Option<Timestamp>,
    /// Whether somebody should do something.
    pub in_trouble: bool,
}

impl HealthView {
    /// How a connection stands by what is known of it.
    #[must_use]
    pub fn new(
        connection: &ConnectionName,
        known: Option<&ConnectionHealth>,
        now: Timestamp,
    ) -> Self {
        let state = known.map_or(ConnectionState::Unknown, |known| known.state);
        let lately = known.filter(|known| {
            known
                .badly_signed_at
                .is_some_and(|at| now.since(at) < BADLY_SIGNED_SHOWN)
        });
        let badly_signed = lately.map_or(0, |known| known.badly_signed);
        let mut words = state_words(state, known);
        if badly_signed > 0 {
            words.push_str("; ");
            words.push_str(&badly_signed_words(connection, badly_signed));
        }
        let is_down = matches!(
            state,
            ConnectionState::Unreachable | ConnectionState::Unauthorized
        );
        Self {
            state,
            since: known
                .filter(|known| known.state != ConnectionState::Unknown)
                .map(|known| known.since),
            reason: known.and_then(|known| known.reason.clone()),
            words,
            badly_signed,
            badly_signed_at: lately.and_then(|known| known.badly_signed_at),
            in_trouble: is_down || badly_signed > 0,
        }
    }
}

fn state_words(state: ConnectionState, known: Option<&ConnectionHealth>) -> String {
    let since = known.map_or_else(String::new, |known| to_the_second(known.since));
    let reason = known.and_then(|known| known.reason.as_deref());
    let reason = reason.map_or_else(String::new, |reason| format!(" ({})", line(reason)));
    match state {
        ConnectionState::Unknown => "nothing was asked of it yet".to_owned(),
        ConnectionState::Up => format!("answers, since {since}"),
        ConnectionState::Unreachable => format!(
            "unreachable since {since}{reason}: its jobs wait, and go on by themselves when it answers; check its \
             address (`base_url`) and whether it runs, `tandem check` tries it"
        ),
        ConnectionState::Unauthorized => format!(
            "refuses the credentials since {since}{reason}: its jobs wait; correct what `credentials` of this \
             connection names, `tandem check` tries it, and start Tandem again"
        ),
    }
}

/// What is said of webhooks with wrong signatures.
#[must_use]
pub fn badly_signed_words(connection: &ConnectionName, count: u32) -> String {
    format!(
        "webhooks for {connection} are signed wrongly: {count} in the last minute; check `webhook.secrets` of this \
         connection against the secret with which its system signs"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(state: ConnectionState) -> ConnectionHealth {
        ConnectionHealth {
            connection: "crm".parse().expect("a name"),
            state,
            reason: Some("connection refused".to_owned()),
            since: Timestamp::from_secs(1_700_000_000),
            badly_signed: 3,
            badly_signed_at: Some(Timestamp::from_secs(1_700_000_060)),
        }
    }

    #[test]
    fn a_connection_in_trouble_is_told_with_since_when_and_what_to_do() {
        let crm = "crm".parse().expect("a name");
        let soon = Timestamp::from_secs(1_700_000_070);
        let late = Timestamp::from_secs(1_700_009_000);
        let down = HealthView::new(&crm, Some(&health(ConnectionState::Unreachable)), soon);
        assert!(down.in_trouble);
        for part in [
            "unreachable since 2023-11-14T22:13:20Z",
            "connection refused",
            "base_url",
            "3 in the last minute",
            "webhook.secrets",
        ] {
            assert!(down.words.contains(part), "{part}: {}", down.words);
        }
        let refused = HealthView::new(&crm, Some(&health(ConnectionState::Unauthorized)), late);
        assert!(refused.words.contains("credentials"), "{}", refused.words);
        assert!(
            !refused.words.contains("signed wrongly"),
            "that was long ago"
        );
        let up = HealthView::new(&crm, Some(&health(ConnectionState::Up)), late);
        assert!(!up.in_trouble && up.words.starts_with("answers"), "{up:?}");
        assert_eq!(
            HealthView::new(&crm, None, soon).state,
            ConnectionState::Unknown
        );
    }
}
