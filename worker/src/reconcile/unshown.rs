//! Values that a system took and does not show. It may have dropped them, or it shows late what it keeps: so it is
//! looked at again after a moment before a person is asked, and a value that shows up later is known to be ours.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{Side, Value};
use tandem_engine::{Between, NotKept, Settled};
use tandem_store::Unseen;

use super::linked::Open;
use super::sending::{Carried, write_to};
use crate::executor::Work;

/// A system is given so long to show what it was told.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// What is to be remembered, asked, and looked at again.
#[derive(Default)]
pub(super) struct Unshown {
    a: BTreeMap<String, Unseen>,
    b: BTreeMap<String, Unseen>,
    /// What a person is to be asked about now.
    pub(super) ask: Vec<NotKept>,
    /// After how long to look again.
    pub(super) wait: Option<Duration>,
}

impl Unshown {
    pub(super) fn of(work: Work<'_>, open: &Open, carried: &[Carried], settled: &Settled) -> Self {
        let mut unshown = Self::default();
        for side in Side::BOTH {
            let write = write_to(carried, side);
            unshown.look_at_earlier(work, open, write, settled, side);
        }
        // What was sent and never seen may land yet, over whatever stands there: rather than what was answered before.
        for intent in open.unseen_intents() {
            for (field, value) in &intent.fields {
                let unseen = Unseen {
                    value: value.clone(),
                    since: work.context.now(),
                    asked: true,
                    lost: true,
                };
                unshown.keep(intent.side, field, unseen);
            }
        }
        for lost in &settled.not_kept {
            let write = write_to(carried, lost.side);
            unshown.look_at_new(work, open, write, lost);
        }
        unshown
    }

    /// What a side is to remember.
    pub(super) const fn of_side(&self, side: Side) -> &BTreeMap<String, Unseen> {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn keep(&mut self, side: Side, field: &str, unseen: Unseen) {
        let fields = match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        };
        fields.insert(field.to_owned(), unseen);
    }

    /// Earlier values whose field was not written since, and still shows what it did then.
    fn look_at_earlier(
        &mut self,
        work: Work<'_>,
        open: &Open,
        write: Option<&Carried>,
        settled: &Settled,
        side: Side,
    ) {
        let now = work.context.now();
        for (field, unseen) in &open.link.side(side).memory.unseen {
            let then = open.link.base.get(field).map(|base| base.side(side));
            let known = settled.known(side).get(field);
            let is_written = write.is_some_and(|one| one.intent.fields.contains_key(field));
            let agreed = settled.known(side.other()).get(field);
            let is_taken_back = !unseen.lost && agreed != Some(&unseen.value);
            if is_written || is_taken_back || then != known {
                continue;
            }
            let mut unseen = unseen.clone();
            let since = now.since(unseen.since);
            if !unseen.asked && since >= SECOND_LOOK {
                unseen.asked = true;
                self.ask.push(NotKept {
                    side,
                    field: field.clone(),
                    sent: unseen.value.clone(),
                    kept: known.cloned().unwrap_or_default(),
                });
            } else if !unseen.asked {
                self.look_again_after(SECOND_LOOK.saturating_sub(since));
            }
            self.keep(side, field, unseen);
        }
    }

    fn look_at_new(
        &mut self,
        work: Work<'_>,
        open: &Open,
        write: Option<&Carried>,
        lost: &NotKept,
    ) {
        let before = open.pair.side(lost.side);
        let before = before.and_then(|before| before.fields.get(&lost.field));
        let is_unchanged = before.unwrap_or(&Value::Null) == &lost.kept;
        let is_certain = write.is_some_and(|one| one.between == Between::Nobody);
        let asked = is_certain || !is_unchanged;
        if asked {
            self.ask.push(lost.clone());
        } else {
            self.look_again_after(SECOND_LOOK);
        }
        if is_unchanged {
            let unseen = Unseen {
                value: lost.sent.clone(),
                since: work.context.now(),
                asked,
                lost: false,
            };
            self.keep(lost.side, &lost.field, unseen);
        }
    }

    fn look_again_after(&mut self, wait: Duration) {
        self.wait = Some(self.wait.unwrap_or(wait).max(wait));
    }
}
