//! Why something stands still because it was paused, in words that say how it goes on.

use serde::{Deserialize, Serialize};
use tandem_domain::line::line;
use tandem_domain::{ConnectionName, SyncName, Timestamp};
use tandem_store::Pause;

use super::{to_the_second, when_opt};

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// Since when; null of a pause that is older than its being kept.
    #[serde(with = "when_opt")]
    pub since: Option<Timestamp>,
    /// Why, exactly as it was said.
    pub because: Option<String>,
    /// All of it for people, and what to do: one line, whatever the reason holds.
    pub words: String,
}

impl PauseView {
    /// How a connection is paused.
    #[must_use]
    pub fn of_connection(name: &ConnectionName, pause: Pause) -> Self {
        let effect = format!(
            "its webhooks are kept and the jobs of its syncs wait until `tandem connections resume {name}`"
        );
        Self::new(pause, &effect)
    }

    /// How a sync is paused.
    #[must_use]
    pub fn of_sync(name: &SyncName, pause: Pause) -> Self {
        let effect =
            format!("its jobs wait and its events are kept until `tandem sync resume {name}`");
        Self::new(pause, &effect)
    }

    fn new(pause: Pause, effect: &str) -> Self {
        let since = pause.since.map(to_the_second);
        let since = since.map_or_else(String::new, |since| format!(" since {since}"));
        let because = pause.because.as_deref();
        let because = because.map_or_else(String::new, |because| format!(" ({})", line(because)));
        Self {
            words: format!("paused{since}{because}: {effect}"),
            since: pause.since,
            because: pause.because,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_with_since_when_why_and_how_it_ends() {
        let crm = "crm".parse().expect("a name");
        let pause = Pause {
            since: Some(Timestamp::from_secs(1_700_000_000)),
            because: Some("the audit".to_owned()),
        };
        assert_eq!(
            PauseView::of_connection(&crm, pause).words,
            "paused since 2023-11-14T22:13:20Z (the audit): its webhooks are kept and the jobs of its syncs wait \
             until `tandem connections resume crm`"
        );
        let customers = "customers".parse().expect("a name");
        assert_eq!(
            PauseView::of_sync(&customers, Pause::default()).words,
            "paused: its jobs wait and its events are kept until `tandem sync resume customers`"
        );
    }

    #[test]
    fn a_reason_forges_no_line_and_is_kept_as_it_was_said() {
        let reason = "audit\n! connection books: down\u{1b}[2J";
        let pause = Pause {
            since: None,
            because: Some(reason.to_owned()),
        };
        let view = PauseView::of_sync(&"customers".parse().expect("a name"), pause);
        assert_eq!(
            view.words,
            "paused (audit\\n! connection books: down\\u{1b}[2J): its jobs wait and its events are kept until \
             `tandem sync resume customers`"
        );
        assert_eq!(view.because.as_deref(), Some(reason));
    }
}
