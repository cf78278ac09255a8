//! Why something stands still because it was paused, in words that say how it goes on.

use serde::{Deserialize, Serialize};
use tandem_domain::line::line;
use tandem_domain::{ConnectionName, SyncName, Timestamp};
use tandem_store::{Moved, Pause};

use super::{to_the_second, when_opt};

/// What was seen of the jobs that had begun before a pause.
pub(crate) enum Rest {
    /// So many are still at work.
    AtWork(usize),
    /// Nothing, and why.
    Unseen(String),
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// Since when; null of a pause that is older than its being kept.
    #[serde(with = "when_opt")]
    pub since: Option<Timestamp>,
    /// Why, exactly as it was said.
    pub because: Option<String>,
    /// Of a connection whose records were linked under another address than it has now.
    #[serde(default)]
    pub moved: Option<Moved>,
    /// How many jobs that had begun before it are still at work and may write yet; asked only when it is made.
    #[serde(default)]
    pub in_flight: usize,
    /// Why it could not be seen whether jobs that had begun before it are still at work; asked only when it is made. The pause
    /// is stored and holds all the same.
    #[serde(default)]
    pub unseen: Option<String>,
    /// All of it for people, and what to do: one line, whatever the reason holds.
    pub words: String,
}

impl PauseView {
    /// How a connection is paused.
    #[must_use]
    pub fn of_connection(name: &ConnectionName, pause: Pause) -> Self {
        let moved = pause.moved.as_ref().map(|moved| of_move(name, moved));
        let effect = match (moved, &pause.because) {
            (Some(moved), None) => moved,
            (moved, _) => {
                let besides = moved.map_or_else(String::new, |moved| {
                    format!("; besides, also after that: {moved}")
                });
                format!(
                    "its webhooks are kept and the jobs of its syncs wait until `tandem connections resume {name}`{besides}"
                )
            }
        };
        Self::new(pause, &effect)
    }

    /// How a sync is paused.
    #[must_use]
    pub fn of_sync(name: &SyncName, pause: Pause) -> Self {
        let effect =
            format!("its jobs wait and its events are kept until `tandem sync resume {name}`");
        Self::new(pause, &effect)
    }

    /// With what was seen of the jobs that had begun before it.
    #[must_use]
    pub(crate) fn with(mut self, rest: Rest) -> Self {
        match rest {
            Rest::AtWork(0) => {}
            Rest::AtWork(in_flight) => {
                self.in_flight = in_flight;
                self.words.push_str(&format!(
                    ". NOT YET at rest: {in_flight} jobs that had begun before are still at work, and may write yet (`tandem jobs \
                     list --state running` shows them)"
                ));
            }
            Rest::Unseen(why) => {
                self.words.push_str(&format!(
                    ". NOT KNOWN to be at rest: the pause is stored and holds, but whether jobs that had begun before are still \
                     at work, and may write yet, could not be seen (`tandem jobs list --state running` shows them): {}",
                    line(&why)
                ));
                self.unseen = Some(why);
            }
        }
        self
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
            moved: pause.moved,
            in_flight: 0,
            unseen: None,
        }
    }
}

/// Why a connection that leads to another address stands still, and how it goes on.
fn of_move(name: &ConnectionName, moved: &Moved) -> String {
    let (linked_to, address) = (line(&moved.linked_to), line(&moved.address));
    format!(
        "its address was changed: its records were linked under `{linked_to}`, and now it leads to `{address}`. Nothing is read from \
         it or written to it, and its webhooks are kept, until somebody says which account that is: the same one under a new address, \
         then `tandem connections resume {name}`; another one, then put the old address back, and the pause ends by itself"
    )
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
            moved: None,
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
    fn a_changed_address_is_told_with_both_addresses_and_the_two_ways_on() {
        let crm = "crm".parse().expect("a name");
        let pause = Pause {
            since: Some(Timestamp::from_secs(1_700_000_000)),
            because: None,
            moved: Some(Moved {
                linked_to: "xero at its usual address, tenant_id old".to_owned(),
                address: "xero at its usual address, tenant_id new".to_owned(),
            }),
        };
        let words = PauseView::of_connection(&crm, pause.clone()).words;
        for part in [
            "paused since 2023-11-14T22:13:20Z: its address was changed",
            "linked under `xero at its usual address, tenant_id old`",
            "leads to `xero at its usual address, tenant_id new`",
            "Nothing is read from it or written to it",
            "`tandem connections resume crm`",
            "put the old address back",
        ] {
            assert!(words.contains(part), "{part} is missing: {words}");
        }
        let by_both = Pause {
            because: Some("the audit".to_owned()),
            ..pause
        };
        let words = PauseView::of_connection(&crm, by_both).words;
        assert!(
            words.contains("(the audit)") && words.contains("its address was changed"),
            "{words}"
        );
    }

    #[test]
    fn a_pause_of_which_the_rest_could_not_be_seen_holds_all_the_same_and_says_where_to_look() {
        let customers = "customers".parse().expect("a name");
        let pause = PauseView::of_sync(&customers, Pause::default());
        let pause = pause.with(Rest::Unseen("the database is locked".to_owned()));
        for part in [
            "paused: its jobs wait",
            "NOT KNOWN to be at rest: the pause is stored and holds",
            "`tandem jobs list --state running`",
            "the database is locked",
        ] {
            assert!(pause.words.contains(part), "{part}: {}", pause.words);
        }
        assert_eq!(pause.unseen.as_deref(), Some("the database is locked"));
    }

    #[test]
    fn a_reason_forges_no_line_and_is_kept_as_it_was_said() {
        let reason = "audit\n! connection books: down\u{1b}[2J";
        let pause = Pause {
            since: None,
            because: Some(reason.to_owned()),
            moved: None,
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
