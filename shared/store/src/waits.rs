//! Going back to waiting: for what, how long, and when that has been long enough.
//!
//! Whatever sends a job back names what it waits for, and passes here before it is stored. So no caller can
//! forget the floor of a wait, that it grows, or its end: a job that waits in vain becomes a dead letter that
//! names what it waited for. Pure: the storages call it where they hand a job back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_domain::{ErrorCode, Timestamp};

use crate::jobs::{Failure, JobClass};

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// A system that does not answer, or lets nobody in.
    SystemDown,
    /// A system that asked for less.
    Throttled,
    /// Our own storage, which could not do what was asked.
    Storage,
    /// A record that is being made on the other side.
    Partner,
    /// Another job, which makes a record with the same match key.
    KeyBusy,
    /// Another job, which has changed what was planned upon.
    Superseded,
    /// The first sync.
    FirstSync,
    /// The effect of a write that may still be under way, or a second look at something.
    Elsewhere,
    /// A record that its system does not show, or not yet.
    Missing,
    /// A gate: a limit, or a breaker that is open. It ran not at all.
    Gate,
    /// Another process: this one is ending.
    Stopping,
    /// Nothing: a step was stored, and the next one follows.
    Progress,
}

/// How long a job waits for something.
struct Rule {
    /// The shortest first wait; it doubles with each further one.
    first: Duration,
    /// The floor grows no further.
    most: Duration,
    /// In vain, when it was so long. That takes [`LOOKS_MIN`] looks or more, see [`Rule::pause_max`].
    patience: Option<Duration>,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// No system is believed for longer than this when it names a time.
pub const NAMED_WAIT_MAX: Duration = HOUR;
/// What has waited in vain was looked at so often at least.
const LOOKS_MIN: u32 = 10;
/// So many steps follow each other at once; a job that goes on after these is slowed down.
const STEPS_FREE: u32 = 4;
/// A job that is carried on so often without an end is given to a person: something else writes to the same
/// records, or a system gives another answer each time.
pub const STEPS_MAX: u32 = 40;

const STEP_RULE: Rule = Rule {
    first: Duration::from_millis(20),
    most: Duration::from_secs(5 * 60),
    patience: None,
};

impl Waiting {
    /// All of them, for parsing.
    pub const ALL: [Self; 12] = [
        Self::SystemDown,
        Self::Throttled,
        Self::Storage,
        Self::Partner,
        Self::KeyBusy,
        Self::Superseded,
        Self::FirstSync,
        Self::Elsewhere,
        Self::Missing,
        Self::Gate,
        Self::Stopping,
        Self::Progress,
    ];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SystemDown => "system_down",
            Self::Throttled => "throttled",
            Self::Storage => "storage",
            Self::Partner => "partner",
            Self::KeyBusy => "key_busy",
            Self::Superseded => "superseded",
            Self::FirstSync => "first_sync",
            Self::Elsewhere => "elsewhere",
            Self::Missing => "missing",
            Self::Gate => "gate",
            Self::Stopping => "stopping",
            Self::Progress => "progress",
        }
    }

    /// What is waited for, for people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SystemDown => "a system that does not answer, or lets nobody in",
            Self::Throttled => "a system that asked for fewer requests",
            Self::Storage => "Tandem's own database",
            Self::Partner => "its partner, which is being made on the other side",
            Self::KeyBusy => "another job, which is making a record with the same match key",
            Self::Superseded => "another job, which changed the same pair each time",
            Self::FirstSync => "the first sync to end",
            Self::Elsewhere => "the effect of an earlier write to show",
            Self::Missing => "the record to show in its system",
            Self::Gate => "its turn",
            Self::Stopping => "another process",
            Self::Progress => "its next step",
        }
    }

    /// How urgent a job is at most that waits for this. Thousands of events may tell of records that nobody can read:
    /// the second looks at these go behind fresh work. An event that comes meanwhile makes the job as urgent as itself.
    #[must_use]
    pub const fn most_urgent(self) -> JobClass {
        match self {
            Self::Missing => JobClass::Poll,
            Self::SystemDown
            | Self::Throttled
            | Self::Storage
            | Self::Partner
            | Self::KeyBusy
            | Self::Superseded
            | Self::FirstSync
            | Self::Elsewhere
            | Self::Gate
            | Self::Stopping
            | Self::Progress => JobClass::Interactive,
        }
    }

    /// How long it is waited for at most.
    fn patience(self) -> Duration {
        let patience = self.rule().and_then(|rule| rule.patience);
        patience.unwrap_or(Duration::MAX)
    }

    const fn rule(self) -> Option<Rule> {
        match self {
            Self::SystemDown | Self::Throttled => Some(Rule {
                first: Duration::from_secs(1),
                most: Duration::from_secs(5 * 60),
                patience: None,
            }),
            Self::Storage => Some(Rule {
                first: Duration::from_secs(1),
                most: Duration::from_secs(5 * 60),
                patience: Some(HOUR),
            }),
            Self::Partner | Self::KeyBusy | Self::Superseded | Self::Elsewhere | Self::Missing => {
                Some(Rule {
                    first: Duration::from_millis(20),
                    most: Duration::from_secs(30),
                    patience: Some(HOUR),
                })
            }
            // A first sync takes hours, and its end wakes these.
            Self::FirstSync => Some(Rule {
                first: Duration::from_secs(2),
                most: Duration::from_secs(5 * 60),
                patience: Some(Duration::from_secs(24 * 3_600)),
            }),
            Self::Gate | Self::Stopping | Self::Progress => None,
        }
    }
}

/// How long and for what a job has waited since it last came forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// How often it went back to waiting.
    pub count: u32,
    /// Since when.
    pub since: Option<Timestamp>,
    /// For what, the last time.
    pub reason: Option<Waiting>,
    /// How often it was carried on after a step, since it began.
    pub steps: u32,
}

/// When a job that goes back to waiting had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When it was due. It may have run long after that: a process stood still, or the sync was paused.
    pub due: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// What becomes of a job that goes back to waiting.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It waits.
    Wait {
        /// Until then.
        run_at: Timestamp,
        /// What is stored with it.
        waits: Waits,
    },
    /// It has waited in vain: a dead letter.
    TooLong {
        /// Why.
        failure: Failure,
    },
}

impl Waits {
    /// Goes back to waiting. `named` is when it should run by what the handler knows; `last` is what went
    /// wrong, if something did.
    #[must_use]
    pub fn again(
        self,
        reason: Waiting,
        named: Timestamp,
        last: Option<&Failure>,
        turn: Turn,
    ) -> Verdict {
        match (reason, reason.rule()) {
            (Waiting::Progress, _) => self.step(named, turn.now),
            (_, Some(rule)) => self.wait(reason, &rule, named, last, turn),
            // It did not run, so it has neither waited in vain nor come forward: that time does not count.
            (_, None) => Verdict::Wait {
                run_at: named,
                waits: self.without(named.since(self.due(turn))),
            },
        }
    }

    /// Carries the job on after a step.
    fn step(self, named: Timestamp, now: Timestamp) -> Verdict {
        let steps = self.steps.saturating_add(1);
        if steps > STEPS_MAX {
            return Verdict::TooLong {
                failure: unsettled(steps, self.reason),
            };
        }
        let slowed = steps.saturating_sub(STEPS_FREE);
        let run_at = if slowed == 0 {
            named
        } else {
            named.max(now.plus(STEP_RULE.floor(slowed)))
        };
        // What it waited for stays known: if the steps never end, that is what a person must look at.
        let waits = Self {
            steps,
            reason: self.reason,
            ..Self::default()
        };
        Verdict::Wait { run_at, waits }
    }

    fn wait(
        self,
        reason: Waiting,
        rule: &Rule,
        named: Timestamp,
        last: Option<&Failure>,
        turn: Turn,
    ) -> Verdict {
        let now = turn.now;
        let count = self.count.saturating_add(1);
        // Whoever comes late has not looked meanwhile: that time does not count.
        let late = now.since(self.due(turn));
        let known = self.without(late).since_for(reason);
        let since = known.unwrap_or(now);
        let waited = now.since(since);
        if rule.patience.is_some_and(|patience| waited >= patience) {
            let former = self.reason.filter(|_| self.count > 0);
            return Verdict::TooLong {
                failure: in_vain([Some(reason), former], count, waited, last),
            };
        }
        let named = named.min(now.plus(rule.pause_max()));
        // What went back many times within seconds does not wait for minutes because the next thing has another rule.
        let most = known.map_or(rule.most, |_| rule.first.saturating_add(waited));
        let floor = rule.floor(count).min(most);
        Verdict::Wait {
            run_at: named.max(now.plus(floor)),
            waits: Self {
                count,
                since: Some(since),
                reason: Some(reason),
                steps: self.steps,
            },
        }
    }

    /// Since when its patience counts: the outage of a system, or a long first sync, is not held against what it waits
    /// for next.
    fn since_for(self, reason: Waiting) -> Option<Timestamp> {
        let had = self.reason.map_or(Duration::ZERO, Waiting::patience);
        self.since.filter(|_| had <= reason.patience())
    }

    /// When it was due; a job that it was merged with may have been due before this one began to wait.
    fn due(self, turn: Turn) -> Timestamp {
        self.since.map_or(turn.due, |since| since.max(turn.due))
    }

    /// The same, but so much of the time does not count.
    fn without(self, time: Duration) -> Self {
        Self {
            since: self.since.map(|since| since.plus(time)),
            ..self
        }
    }
}

impl Rule {
    /// The longest pause, whatever was named: what waits in vain is looked at often enough before it is given up.
    fn pause_max(&self) -> Duration {
        let patience = self.patience.unwrap_or(Duration::MAX);
        (patience / (LOOKS_MIN + 2)).min(NAMED_WAIT_MAX)
    }

    /// The shortest wait of this number; the first is 1.
    fn floor(&self, number: u32) -> Duration {
        let doublings = number.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

/// `reasons` are the last one, and the one before it.
fn in_vain(
    reasons: [Option<Waiting>; 2],
    count: u32,
    waited: Duration,
    last: Option<&Failure>,
) -> Failure {
    let minutes = waited.as_secs() / MINUTE.as_secs();
    let mut words: Vec<&str> = reasons
        .into_iter()
        .flatten()
        .map(Waiting::describe)
        .collect();
    words.dedup();
    let head = format!(
        "it waited for {} and looked {count} times in {minutes} minutes; nothing moved. Nothing was lost: see what holds that up, then replay this",
        words.join(", before that for ")
    );
    let chain = last
        .map(|failure| failure.chain.clone())
        .unwrap_or_default();
    Failure {
        code: last.map_or(ErrorCode::Stuck, |failure| failure.code),
        chain: std::iter::once(head).chain(chain).collect(),
    }
}

fn unsettled(steps: u32, waited_for: Option<Waiting>) -> Failure {
    let words = waited_for.map_or_else(
        || {
            "each time there was more to do. Look whether something else writes to the two records, or a field has \
             another value at each reading"
                .to_owned()
        },
        |reason| {
            format!(
                "in between it waited, the last time for {}. See what holds that up, and whether something else writes \
                 to the two records",
                reason.describe()
            )
        },
    );
    Failure {
        code: ErrorCode::Stuck,
        chain: vec![format!(
            "it was carried on {steps} times without an end; {words}; nothing was lost, so then replay this"
        )],
    }
}

#[cfg(test)]
mod tests;
