//! When a value was seen first. A record has one time of change, and that is of its newest edit; a contest is about
//! one field. The journal keeps the readings by which writes were decided: a value that stood there then, and stands there
//! still, was typed before, however late the record was changed. What a write of ours has put there was typed before that
//! was decided, however late it landed.

use std::collections::BTreeMap;

use tandem_domain::{Fields, RecordId, Side, Timestamp, Value};
use tandem_engine::{FieldRule, NotKept, is_form_of, same};
use tandem_store::{Intent, IntentOp, IntentState, Link};

use super::changed::{changed, could_be_of, is_as_made};
use super::doubled;
use super::pair::Pair;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// What the journal tells of the values of each record of a pair: its open writes, and at the first comparison, when there
/// is no base yet, all that was ever planned for the record.
pub(super) struct Known {
    a: Vec<Intent>,
    b: Vec<Intent>,
}

impl Known {
    pub(super) async fn of(
        work: Work<'_>,
        link: &Link,
        pair: &Pair,
        open: &[Intent],
    ) -> Result<Self, WorkError> {
        let is_first = is_contest_without_base(work, link, pair);
        let [mut a, mut b] = [open.to_vec(), open.to_vec()];
        for (side, known) in Side::BOTH.into_iter().zip([&mut a, &mut b]) {
            let Some(record) = link.side(side).id.as_ref().filter(|_| is_first) else {
                continue;
            };
            let of_record = work.context.store.intents_of(&work.sync.name, record);
            // It may have had other partners; and the same id may be another record's in the other system.
            let about = |intent: &Intent| here(intent, side) == Some(record);
            known.extend(of_record.await?.into_iter().filter(about));
            if let Some(reading) = pair.side(side) {
                known.extend(maker(work, side, reading).await?);
            }
        }
        Ok(Self { a, b })
    }

    /// Of two records that are compared for the first time, what one of them holds because a write of ours carried it over
    /// to it, for an earlier partner: the same value, in that system's form.
    pub(super) fn carried_over(&self, work: Work<'_>, pair: &Pair) -> Vec<NotKept> {
        let rules = work.sync.policy.fields.iter();
        let of_side = |side| {
            let forms = rules.clone();
            forms.filter_map(move |rule| self.form_in(work, pair, side, rule))
        };
        Side::BOTH.into_iter().flat_map(of_side).collect()
    }

    fn form_in(
        &self,
        work: Work<'_>,
        pair: &Pair,
        side: Side,
        rule: &FieldRule,
    ) -> Option<NotKept> {
        let here = pair.side(side)?;
        let kept = here.fields.get(&rule.name)?;
        let value = pair.side(side.other())?.fields.get(&rule.name)?;
        let write = self.last_written(side, &rule.name)?;
        let sent = write.fields.get(&rule.name)?;
        let is_untouched = is_untouched(work, write, here);
        let is_form = !kept.is_null() && is_form_of(kept, sent);
        (is_untouched && is_form && same(rule.equality, sent, value)).then(|| NotKept {
            side,
            field: rule.name.clone(),
            sent: value.clone(),
            kept: kept.clone(),
        })
    }

    /// Our last write to a field that took effect.
    fn last_written(&self, side: Side, field: &str) -> Option<&Intent> {
        let writes = self.about(side).iter().filter(|intent| {
            intent.side == side
                && intent.state == IntentState::Confirmed
                && intent.fields.contains_key(field)
        });
        writes.max_by_key(|intent| intent.created_at)
    }

    /// Between which times the values that stand there were typed.
    pub(super) fn typed(&self, work: Work<'_>, side: Side, reading: &Reading) -> Typed {
        typed(self.about(side), side, &reading.fields, |intent| {
            // Whoever has edited the record since may have typed what looks like a form.
            is_untouched(work, intent, reading)
        })
    }

    fn about(&self, side: Side) -> &[Intent] {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// The create whose answer named no record, and whose reference a record bears. Its job has not found the record yet, or has
/// ended without it because its source is gone: it has taken effect all the same, and what it brought was typed before it was
/// sent.
async fn maker(work: Work<'_>, side: Side, reading: &Reading) -> Result<Option<Intent>, WorkError> {
    let made = doubled::create_of(work, side, reading).await?;
    let made = made.filter(|made| made.target.is_none());
    Ok(made.map(|made| Intent {
        target: Some(reading.record.id.clone()),
        state: IntentState::Confirmed,
        ..made
    }))
}

/// Whether the last change of a record can be this write to it.
fn is_untouched(work: Work<'_>, intent: &Intent, reading: &Reading) -> bool {
    let changed = changed(work, intent.side, Some(reading));
    changed.is_some_and(|changed| could_be_of(work, intent, changed))
        || intent.op == IntentOp::Create && is_as_made(reading)
}

/// The record of a side that a write is about.
fn here(intent: &Intent, side: Side) -> Option<&RecordId> {
    if intent.side == side {
        intent.target.as_ref()
    } else {
        intent.source.as_ref()
    }
}

fn is_contest_without_base(work: Work<'_>, link: &Link, pair: &Pair) -> bool {
    let (Some(a), Some(b)) = (pair.side(Side::A), pair.side(Side::B)) else {
        return false;
    };
    let mut rules = work.sync.policy.fields.iter();
    rules.any(|rule| {
        let values = [a, b].map(|reading| reading.fields.get(&rule.name).unwrap_or(&Value::Null));
        !link.base.contains_key(&rule.name)
            && values.iter().all(|value| !value.is_null())
            && !same(rule.equality, values[0], values[1])
    })
}

/// Between which times the values of a record were typed, by field.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// They were there already.
    pub(super) seen_at: BTreeMap<String, Timestamp>,
    /// They were not there yet.
    pub(super) unseen_at: BTreeMap<String, Timestamp>,
}

impl Typed {
    fn see(&mut self, field: &str, until: Timestamp) {
        let seen = self.seen_at.entry(field.to_owned()).or_insert(until);
        *seen = until.min(*seen);
    }
}

fn typed(
    intents: &[Intent],
    side: Side,
    fields: &Fields,
    is_untouched: impl Fn(&Intent) -> bool,
) -> Typed {
    let mut typed = Typed::default();
    let mut in_order: Vec<&Intent> = intents.iter().collect();
    in_order.sort_by_key(|intent| intent.created_at);
    for intent in in_order {
        let stands = |field: &String| fields.get(field).unwrap_or(&Value::Null);
        for (field, then, until) in read_then(intent, side) {
            if then == stands(field) {
                typed.see(field, until);
            } else {
                // Something else stood there meanwhile: whoever typed the same again did so since.
                typed.seen_at.remove(field);
                typed.unseen_at.insert(field.clone(), intent.created_at);
            }
        }
        for (field, sent, until) in put_there(intent, side) {
            let found = stands(field);
            let is_form = || !found.is_null() && is_form_of(found, sent) && is_untouched(intent);
            if found == sent || is_form() {
                typed.see(field, until);
                typed.unseen_at.remove(field);
            } else if !is_form_of(found, sent) {
                // Ours stood there meanwhile.
                typed.seen_at.remove(field);
                typed.unseen_at.insert(field.clone(), intent.created_at);
            }
        }
    }
    typed
}

/// What a write that took effect has put there, and until when that was typed on the other side.
fn put_there(intent: &Intent, side: Side) -> Vec<(&String, &Value, Timestamp)> {
    let at = intent.created_at;
    let is_known = intent.side == side && intent.state == IntentState::Confirmed;
    let fields = intent.fields.iter().filter(|_| is_known);
    let until = |field: &String| {
        let mut decided = intent.decided.iter();
        let decided = decided.find(|one| one.field == *field && one.from == Some(side.other()));
        let until = decided.and_then(|one| match side.other() {
            Side::A => one.a_until,
            Side::B => one.b_until,
        });
        until.map_or(at, |until| until.min(at))
    };
    fields
        .map(|(field, value)| (field, value, until(field)))
        .collect()
}

/// What stood on a side when a write was decided, as far as the journal keeps it, and until when it was typed. A create
/// carries over what its source held.
fn read_then(intent: &Intent, side: Side) -> Vec<(&String, &Value, Timestamp)> {
    let at = intent.created_at;
    if intent.op == IntentOp::Create {
        let is_source = intent.side == side.other();
        let fields = intent.fields.iter().filter(|_| is_source);
        return fields.map(|(field, value)| (field, value, at)).collect();
    }
    let decided = intent.decided.iter();
    let of_side = decided.map(|decided| match side {
        Side::A => (&decided.field, &decided.a, decided.a_until),
        Side::B => (&decided.field, &decided.b, decided.b_until),
    });
    let until = |known: Option<Timestamp>| known.map_or(at, |known| known.min(at));
    of_side
        .map(|(field, value, known)| (field, value, until(known)))
        .collect()
}

#[cfg(test)]
mod tests {
    use tandem_store::FieldChange;
    use tandem_testkit::Make;

    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    /// A write to side b that was decided at this second, when side a held this.
    fn write(make: &Make, second: i64, held: &str) -> Intent {
        let decided = FieldChange {
            field: "city".to_owned(),
            a: text(held),
            b: text("Rome"),
            base: None,
            chosen: text(held),
            from: Some(Side::A),
            lost: None,
            a_until: None,
            b_until: None,
            reason: String::new(),
        };
        Intent {
            op: IntentOp::Update,
            decided: vec![decided],
            created_at: Timestamp::from_secs(second),
            ..make.create("1", None)
        }
    }

    #[test]
    fn a_value_that_was_another_meanwhile_was_seen_first_when_it_came_back() {
        let make = Make::default();
        let now = Fields::from([("city".to_owned(), text("Ghent"))]);
        let seen = |held: &[(i64, &str)]| {
            let intents: Vec<Intent> = held
                .iter()
                .map(|(second, held)| write(&make, *second, held))
                .collect();
            let typed = typed(&intents, Side::A, &now, |_| false);
            typed.seen_at.get("city").copied()
        };
        assert_eq!(
            seen(&[(20, "Ghent"), (10, "Ghent")]),
            Some(Timestamp::from_secs(10))
        );
        assert_eq!(seen(&[(10, "Ghent"), (20, "Bruges")]), None);
        let back = [(30, "Ghent"), (10, "Ghent"), (20, "Bruges")];
        assert_eq!(seen(&back), Some(Timestamp::from_secs(30)));
    }

    #[test]
    fn a_value_was_typed_after_the_last_reading_that_shows_another_and_before_the_time_of_the_first_that_shows_it()
     {
        let make = Make::default();
        let now = Fields::from([("city".to_owned(), text("Ghent"))]);
        let mut shown = write(&make, 30, "Ghent");
        shown.decided[0].a_until = Some(Timestamp::from_secs(25));
        let intents = [write(&make, 20, "Bruges"), shown];
        let typed = typed(&intents, Side::A, &now, |_| false);
        assert_eq!(typed.unseen_at["city"], Timestamp::from_secs(20));
        assert_eq!(typed.seen_at["city"], Timestamp::from_secs(25));
    }
}
