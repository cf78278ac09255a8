//! What became of writes of this pair whose end the journal does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, Fields, Side, Value};
use tandem_engine::{
    FieldRule, NotKept, OpenWrite, Plan, Recovered, Seen, SyncPolicy, WriteOp, base_with,
    is_form_of, is_reduced_form_of, recover, same,
};
use tandem_store::{Intent, IntentState, IntentVerdict, Link, OwnWrite, Unseen};

use super::changed::{self};
use super::lands_again;
use super::looks::pause_within;
use super::open_write::{
    may_land_for, open_write, seen, shows_time_of, shows_time_of_unseen, since_sent, stood_before,
    unseen, write_op,
};
use super::overwritten::CameAfter;
use super::pair::Pair;
use super::under::Shown;
use crate::executor::{Work, verdict};
use crate::readings::Reading;

/// What both systems show of the writes whose end is not known.
pub(super) struct Recovery {
    /// Those whose end is known now.
    pub(super) verdicts: Vec<IntentVerdict>,
    /// What both sides were last known to agree on, with what was written since.
    pub(super) base: BTreeMap<String, BaseValue>,
    /// Those that may still arrive.
    pub(super) under_way: Vec<Intent>,
    /// Values that a system kept in another form than its answer said.
    pub(super) not_kept: Vec<NotKept>,
    /// What the records showed while writes to them had no answer.
    pub(super) shown: Shown,
}

impl Recovery {
    pub(super) fn of(work: Work<'_>, link: &Link, intents: &[Intent], pair: &Pair) -> Self {
        let policy = &work.sync.policy;
        let before: Vec<Fields> = intents.iter().map(stood_before).collect();
        let at_its_time = |intent: &Intent| shows_time_of(work, pair.side(intent.side), intent);
        let writes = intents.iter().zip(&before);
        let open: Vec<OpenWrite<'_>> = writes
            .map(|(intent, before)| open_write(work, intent, before, at_its_time(intent)))
            .collect();
        // What was taken and not shown at first, then what was sent since.
        let values = Side::BOTH.map(|side| unseen_values(work, link, &open, side));
        let unseen = || {
            Side::BOTH.into_iter().zip(&values).map(|(side, values)| {
                let at_its_time = shows_time_of_unseen(work, link, pair, side);
                (unseen(side, values, at_its_time), seen(pair, side))
            })
        };
        let shown_late = base_with(policy, &link.base, unseen());
        let sent = open.iter().map(|write| (*write, seen(pair, write.side)));
        let written: Vec<(OpenWrite<'_>, Seen<'_>)> = unseen().chain(sent).collect();
        let held = Side::BOTH.map(|side| {
            let to_other = written.iter().filter(|(write, _)| write.side != side);
            base_with(policy, &link.base, to_other.copied())
        });
        let mut recovery = Self {
            verdicts: Vec::new(),
            base: base_with(policy, &link.base, written.iter().copied()),
            under_way: Vec::new(),
            not_kept: Vec::new(),
            shown: Shown::of(work, link, &open, pair, &held),
        };
        recovery.uncover_base(link, &held);
        for side in Side::BOTH {
            recovery.tell_shown_late(work, link, pair, &shown_late, side);
            recovery.take_forms(work, link, pair, side);
        }
        for (intent, write) in intents.iter().zip(&open) {
            match recover(policy, &link.base, *write, seen(pair, intent.side)) {
                Recovered::Confirmed => {
                    recovery
                        .verdicts
                        .push(verdict(intent, IntentState::Confirmed, None));
                }
                Recovered::Failed => {
                    let reason = Some(NOT_SEEN.to_owned());
                    recovery
                        .verdicts
                        .push(verdict(intent, IntentState::Failed, reason));
                }
                Recovered::UnderWay => recovery.under_way.push(intent.clone()),
            }
        }
        let moved = recovery.may_have_moved(policy, intents, pair);
        let edited = changed::edits(work, link, &moved, pair).map(|edit| edit.map(|edit| edit.at));
        recovery.shown = recovery.shown.dated(link, edited);
        recovery
    }

    /// What a late write went over was not agreed on by landing: what both last agreed on stays what it was. What was written
    /// to the other side meanwhile, and the form that it has there, is known all the same.
    fn uncover_base(&mut self, link: &Link, held: &[BTreeMap<String, BaseValue>; 2]) {
        for (side, field, _, _) in self.shown.covered() {
            let is_on_both = self.shown.held(side.other(), field).is_some();
            let agreed = match side {
                _ if is_on_both => &link.base,
                Side::A => &held[0],
                Side::B => &held[1],
            };
            match agreed.get(field) {
                Some(agreed) => self.base.insert(field.clone(), agreed.clone()),
                None => self.base.remove(field),
            };
        }
    }

    /// A value that was taken and not shown at first shows now in another form: a person is told.
    fn tell_shown_late(
        &mut self,
        work: Work<'_>,
        link: &Link,
        pair: &Pair,
        shown_late: &BTreeMap<String, BaseValue>,
        side: Side,
    ) {
        let source = pair.side(side.other()).map(|reading| &reading.fields);
        for (field, unseen) in &link.side(side).memory.unseen {
            // What landed long after it was sent, and is not wanted any more, is written over.
            let is_wanted =
                !unseen.lost || source.and_then(|it| it.get(field)) == Some(&unseen.value);
            if !is_wanted {
                continue;
            }
            let (Some(rule), Some(base)) = (work.sync.policy.rule(field), shown_late.get(field))
            else {
                continue;
            };
            let kept = base.side(side);
            if link.base.get(field) != Some(base) && !same(rule.equality, &unseen.value, kept) {
                self.not_kept.push(NotKept {
                    side,
                    field: field.clone(),
                    sent: unseen.value.clone(),
                    kept: kept.clone(),
                });
            }
        }
    }

    /// A system may answer with what it was told and keep something else, or change other fields with those that we wrote.
    /// As long as its time of change is that of our write nobody has edited the record since: what stands in the fields that
    /// we wrote is its form of our values.
    fn take_forms(&mut self, work: Work<'_>, link: &Link, pair: &Pair, side: Side) {
        let (Some(own), Some(reading)) = (&link.side(side).memory.own_write, pair.side(side))
        else {
            return;
        };
        let Some(is_exact) = is_told_apart(link, side, own, reading) else {
            return;
        };
        for rule in &work.sync.policy.fields {
            let is_covered = self.shown.of_side(side).contains_key(&rule.name);
            let Some(base) = self.base.get_mut(&rule.name).filter(|_| !is_covered) else {
                continue;
            };
            let found = reading.fields.get(&rule.name).cloned().unwrap_or_default();
            // What was known to stand there is no form of what a late write to the other side has made of the base.
            let was_known = link.base.get(&rule.name);
            if was_known.is_some_and(|known| same(rule.equality, known.side(side), &found)) {
                continue;
            }
            let is_ours = is_form_since(own, rule, is_exact, (&found, base.side(side)))
                && rule.direction.writes(side);
            if !is_ours || same(rule.equality, base.side(side), &found) {
                continue;
            }
            self.not_kept.push(NotKept {
                side,
                field: rule.name.clone(),
                sent: base.side(side.other()).clone(),
                kept: found.clone(),
            });
            base.set(side, found);
        }
    }

    /// What our write had put into these fields is what both agreed on: what stands there now was typed since.
    pub(super) fn take_for_edited(&mut self, edit: &CameAfter) {
        for (field, written) in &edit.written {
            if let Some(base) = self.base.get_mut(field) {
                base.set(edit.side, written.clone());
            }
        }
    }

    /// Adds what both agree on in fields that have no base yet: a form of a value is told of, and is no edit.
    pub(super) fn agreed_besides(&mut self, policy: &SyncPolicy, forms: Vec<NotKept>) {
        for form in forms {
            if self.base.contains_key(&form.field) {
                continue;
            }
            let mut base = BaseValue {
                a: form.sent.clone(),
                b: form.sent.clone(),
            };
            base.set(form.side, form.kept.clone());
            self.base.insert(form.field.clone(), base);
            let rule = policy.rule(&form.field);
            if rule.is_some_and(|rule| !same(rule.equality, &form.sent, &form.kept)) {
                self.not_kept.push(form);
            }
        }
    }

    /// The writes of which only now is known that they took effect, but for those that went over what is known of a reading.
    pub(super) fn seen_late<'i>(&self, intents: &'i [Intent]) -> Vec<&'i Intent> {
        let is_covered = |side: Side| self.shown.covered().any(|one| one.0 == side);
        let confirmed = intents.iter().filter(|intent| self.is_confirmed(intent));
        confirmed
            .filter(|intent| !is_covered(intent.side))
            .collect()
    }

    fn is_confirmed(&self, intent: &Intent) -> bool {
        let mut verdicts = self.verdicts.iter();
        verdicts.any(|one| one.intent == intent.id && one.state == IntentState::Confirmed)
    }

    /// The writes that may have moved the time of change of their record: those that took effect, and those of which
    /// nothing shows, because the system may have dropped all that they wrote. Where another value stands than before,
    /// somebody typed it, and the time is theirs.
    pub(super) fn may_have_moved<'i>(
        &self,
        policy: &SyncPolicy,
        intents: &'i [Intent],
        pair: &Pair,
    ) -> Vec<&'i Intent> {
        // So it is where another field has changed.
        let is_edited = |intent: &Intent, reading: &Reading| {
            let mut others = policy.fields.iter();
            others.any(|rule| {
                let found = reading.fields.get(&rule.name).unwrap_or(&Value::Null);
                let known = self.base.get(&rule.name).map(|base| base.side(intent.side));
                !intent.fields.contains_key(&rule.name)
                    && known.is_some_and(|known| !same(rule.equality, known, found))
            })
        };
        let shows_nothing = |intent: &Intent| {
            let reading = pair.side(intent.side);
            if reading.is_some_and(|reading| is_edited(intent, reading)) {
                return false;
            }
            let before = stood_before(intent);
            let mut written = intent.fields.keys();
            written.all(|field| {
                let stands = reading.and_then(|reading| reading.fields.get(field));
                before.get(field) == Some(stands.unwrap_or(&Value::Null))
            })
        };
        intents
            .iter()
            .filter(|intent| self.is_confirmed(intent) || shows_nothing(intent))
            .collect()
    }

    /// How long to wait, because something that may still arrive would go over what is planned, or because nothing
    /// is planned that would put it right. The same write may be sent again at once.
    pub(super) fn wait(&self, work: Work<'_>, planned: &Plan) -> Option<Duration> {
        let fits = |intent: &Intent| {
            planned
                .write_to(intent.side)
                .is_some_and(|write| is_same(intent, write.op, &write.fields))
                && losers(intent.decided.iter().map(|one| (&one.field, &one.lost)))
                    == losers_of(planned, intent)
        };
        let now = work.context.now();
        let unfit = self.under_way.iter().filter(|intent| !fits(intent));
        unfit
            .map(|intent| {
                let since = since_sent(intent, now);
                pause_within(since, may_land_for(work, intent).saturating_sub(since))
            })
            .max()
    }

    /// The write that may be under way and is planned again: it is sent again under the same transaction id.
    pub(super) fn again(&self, side: Side) -> Option<&Intent> {
        self.under_way.iter().find(|intent| intent.side == side)
    }
}

/// Whether a record's time of change tells our own last write from an edit right after it, where it is that of the write;
/// `None` where somebody has changed the record since. A time in whole seconds does not tell.
pub(super) fn is_told_apart(
    link: &Link,
    side: Side,
    own: &OwnWrite,
    reading: &Reading,
) -> Option<bool> {
    let (after, changed) = (own.after?, reading.record.updated_at?);
    let versions = (&link.side(side).version, &reading.record.version);
    let is_other_version = matches!(versions, (Some(then), Some(now)) if then != now);
    let is_exact = versions.0.is_some() || changed.as_micros() % 1_000_000 != 0;
    (after == changed && !is_other_version).then_some(is_exact)
}

/// Whether a value is what the system has made of ours, or of what stood beside it.
fn is_form_since(
    own: &OwnWrite,
    rule: &FieldRule,
    is_exact: bool,
    (found, known): (&Value, &Value),
) -> bool {
    if own.fields.contains(&rule.name) {
        return is_exact || is_form_of(found, known);
    }
    let is_emptied = found.is_null() && !known.is_null();
    let is_reduced = is_emptied || is_reduced_form_of(found, known);
    is_exact && !own.wrote.contains(&rule.name) && is_reduced
}

/// A write whose answer was lost lands within this long, or never.
pub(super) const LANDS_WITHIN: Duration = Duration::from_secs(600);

/// What the journal says of a write whose end was never known. It tells it from one that the system refused.
pub(super) const NOT_SEEN: &str = "not seen when read back; planned anew";

/// Values that were taken and not shown count as ours only as long as the other side still agrees to them. Those whose
/// answer was lost do for some minutes: later somebody may have typed the same.
fn unseen_values(work: Work<'_>, link: &Link, open: &[OpenWrite<'_>], side: Side) -> Fields {
    let now = work.context.now();
    let is_sent_to = |field: &String, value: &Value| {
        let other = link.side(side.other()).memory.unseen.get(field);
        other.is_some_and(|other| !other.lost && other.value == *value)
    };
    let is_ours = |field: &String, unseen: &Unseen| {
        let agreed = link.base.get(field).map(|base| base.side(side.other()));
        if unseen.lost {
            return now.since(unseen.since) < LANDS_WITHIN;
        }
        // What was put back was written to both sides, and neither may show it yet.
        agreed == Some(&unseen.value) || is_sent_to(field, &unseen.value)
    };
    let unseen = &link.side(side).memory.unseen;
    unseen
        .iter()
        .filter(|(field, unseen)| is_ours(field, unseen))
        .filter(|(field, _)| lands_again::overtaken_unseen(link, open, side, field).is_none())
        .map(|(field, unseen)| (field.clone(), unseen.value.clone()))
        .collect()
}

/// By field, the value that lost. A write that is sent again must have won over the same values: the journal says
/// what it won over.
fn losers<'d>(
    decided: impl Iterator<Item = (&'d String, &'d Option<Value>)>,
) -> BTreeMap<&'d String, &'d Value> {
    decided
        .filter_map(|(field, lost)| Some((field, lost.as_ref()?)))
        .collect()
}

fn losers_of<'p>(planned: &'p Plan, intent: &Intent) -> BTreeMap<&'p String, &'p Value> {
    let decisions = planned.decisions.iter();
    let about = decisions.filter(|decision| intent.fields.contains_key(&decision.field));
    losers(about.map(|decision| (&decision.field, &decision.lost)))
}

fn is_same(intent: &Intent, op: WriteOp, fields: &Fields) -> bool {
    write_op(intent.op) == op && intent.fields == *fields
}
