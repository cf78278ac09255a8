//! Whether a person's answer still holds. Who takes one of two values gives up the other, and has decided about both. So an
//! answer holds for the values that its question showed: if either has changed before the answer is carried out, it is set
//! aside, nothing is written, and it is asked anew with the values of now.

use std::collections::BTreeMap;

use tandem_domain::line::line;
use tandem_domain::{BaseValue, ConflictId, Fields, Side, Timestamp, Value};
use tandem_engine::{FieldRule, same};
use tandem_store::{
    Change, Conflict, ConflictKind, ConflictState, Earlier, Fact, Intent, Link, Moot, NewConflict,
    Operation, PairContext, QuestionKind, Resolution,
};

use super::change_log::blank;
use super::linked::Open;
use super::pair::Pair;
use super::questions::question;
use super::recover::Recovery;
use super::under::Shown;
use crate::executor::Work;
use crate::failure::WorkError;

static NO_VALUE: Value = Value::Null;

/// An answer that was given for other values.
pub(super) struct Outdated {
    asked: Conflict,
    earlier: Earlier,
    /// What both sides have now, in the fields that were asked about.
    a: Fields,
    b: Fields,
    /// The sides and fields in which that is something else.
    changed: Vec<(Side, String)>,
    /// Whether there is still something to decide.
    differs: bool,
}

/// What is known of a pair when its answers are looked at.
#[derive(Clone, Copy)]
struct Known<'a> {
    link: &'a Link,
    intents: &'a [Intent],
    base: &'a BTreeMap<String, BaseValue>,
    pair: &'a Pair,
    shown: &'a Shown,
}

/// Takes the answers that do not hold any more out of what the plan is made of.
pub(super) async fn set_aside(
    work: Work<'_>,
    link: &Link,
    context: &mut PairContext,
    recovery: &Recovery,
    pair: &Pair,
) -> Result<Vec<Outdated>, WorkError> {
    let mut outdated = Vec::new();
    // What becomes of a record that is gone is not decided by a value.
    let both_are_here = Side::BOTH.into_iter().all(|side| {
        let reading = pair.side(side);
        reading.is_some_and(|reading| !reading.counts_as_gone)
    });
    if !both_are_here {
        return Ok(outdated);
    }
    for ruling in &context.rulings {
        let Resolution::Take { side } = &ruling.resolution else {
            continue;
        };
        if !is_about_values(QuestionKind::of(&ruling.asked)) {
            continue;
        }
        let Some(asked) = work.context.store.conflict(ruling.conflict).await? else {
            continue;
        };
        let known = Known {
            link,
            intents: &context.intents,
            base: &recovery.base,
            pair,
            shown: &recovery.shown,
        };
        outdated.extend(known.look(work, asked, *side));
    }
    let is_outdated = |id: ConflictId| outdated.iter().any(|one: &Outdated| one.asked.id == id);
    context
        .rulings
        .retain(|ruling| !is_outdated(ruling.conflict));
    Ok(outdated)
}

/// Whether an answer says which of two values is right.
const fn is_about_values(kind: Option<QuestionKind>) -> bool {
    matches!(
        kind,
        Some(QuestionKind::Field | QuestionKind::NotKept | QuestionKind::BackAndForth)
    )
}

impl Known<'_> {
    fn look(self, work: Work<'_>, asked: Conflict, took: Side) -> Option<Outdated> {
        let [a, b] = shown(&asked, self.link)?;
        let earlier = Earlier { took, a, b };
        let rules = work.sync.policy.fields.iter();
        let rules: Vec<&FieldRule> = rules
            .filter(|rule| earlier.a.contains_key(&rule.name))
            .collect();
        let of_side = |side: Side| -> Fields {
            let names = rules.iter().map(|rule| &rule.name);
            names
                .map(|name| (name.clone(), self.value(side, name).clone()))
                .collect()
        };
        let mut changed = Vec::new();
        for rule in rules.iter().filter(|rule| !self.agrees(rule)) {
            let is_other = |side: &Side| self.is_other(rule, *side, &earlier, asked.answered_at);
            let sides = Side::BOTH.into_iter().filter(is_other);
            changed.extend(sides.map(|side| (side, rule.name.clone())));
        }
        if changed.is_empty() {
            return None;
        }
        let differs = rules
            .iter()
            .any(|rule| !self.agrees(rule) && self.is_edited(rule));
        Some(Outdated {
            a: of_side(Side::A),
            b: of_side(Side::B),
            changed,
            differs,
            asked,
            earlier,
        })
    }

    fn value(&self, side: Side, field: &str) -> &Value {
        let reading = self.pair.side(side);
        let stands = reading.and_then(|reading| reading.fields.get(field));
        let held = self.shown.held(side, field);
        held.or(stands).unwrap_or(&NO_VALUE)
    }

    fn agrees(&self, rule: &FieldRule) -> bool {
        let [a, b] = Side::BOTH.map(|side| self.value(side, &rule.name));
        same(rule.equality, a, b)
    }

    fn is_edited(&self, rule: &FieldRule) -> bool {
        self.base.get(&rule.name).is_none_or(|base| {
            let is_new = |side| !same(rule.equality, base.side(side), self.value(side, &rule.name));
            Side::BOTH.into_iter().any(is_new)
        })
    }

    /// Whether a side has another value than the question showed, and not because this very answer was begun to be carried
    /// out.
    fn is_other(
        &self,
        rule: &FieldRule,
        side: Side,
        earlier: &Earlier,
        answered_at: Option<Timestamp>,
    ) -> bool {
        let shown = earlier.of(side).get(&rule.name).unwrap_or(&NO_VALUE);
        let now = self.value(side, &rule.name);
        if same(rule.equality, shown, now) {
            return false;
        }
        let base = self.base.get(&rule.name);
        let is_form = base != self.link.base.get(&rule.name)
            && base.is_some_and(|base| base.side(side) == now);
        let mut ours = self.intents.iter().filter(|intent| {
            intent.side == side && answered_at.is_some_and(|at| intent.created_at >= at)
        });
        let is_ours = ours.any(|intent| {
            let sent = intent.fields.get(&rule.name);
            sent.is_some_and(|sent| is_form || same(rule.equality, sent, now))
        });
        !is_ours
    }
}

/// The values that a question shows, of both sides. Of a value that was not kept it shows what both had when they were last
/// looked at.
fn shown(asked: &Conflict, link: &Link) -> Option<[Fields; 2]> {
    let [mut a, mut b] = asked.values()?;
    if let ConflictKind::NotKept { field, .. } = &asked.kind
        && let Some(base) = link.base.get(field)
    {
        a.insert(field.clone(), base.a.clone());
        b.insert(field.clone(), base.b.clone());
    }
    Some([a, b])
}

impl Outdated {
    /// The fields of which it is asked one by one. Those of a pair that goes back and forth are held with the pair.
    pub(super) fn fields(&self) -> impl Iterator<Item = &String> {
        let one_by_one = self.differs && self.asked.kind.field().is_some();
        self.a.keys().filter(move |_| one_by_one)
    }

    fn question(&self, work: Work<'_>, open: &Open) -> Option<NewConflict> {
        let record = open.link.a.id.clone().filter(|_| self.differs)?;
        let again = Some(self.earlier.clone());
        let kind = self.asked.asked_anew(&self.a, &self.b, again)?;
        Some(question(work, open, Side::A, record, kind))
    }

    fn is_of_pair(&self) -> bool {
        self.asked.kind.kind() == QuestionKind::BackAndForth
    }

    /// What became of the answer, for the change log.
    fn why(&self) -> String {
        let given = self.earlier.a.keys().map(|field| {
            let [a, b] = [&self.earlier.a, &self.earlier.b].map(|fields| quoted(fields.get(field)));
            format!("{a} on side a and {b} on side b in `{field}`")
        });
        let now = self.changed.iter().map(|(side, field)| {
            let fields = match side {
                Side::A => &self.a,
                Side::B => &self.b,
            };
            let value = quoted(fields.get(field));
            format!("side {side} has {value} in `{field}` now")
        });
        format!(
            "the answer `take {}` was not carried out: it was given for {}; {}",
            self.earlier.took,
            given.collect::<Vec<_>>().join(", "),
            now.collect::<Vec<_>>().join(", ")
        )
    }
}

fn quoted(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(value) => format!("\"{}\"", line(&value.to_string())),
    }
}

/// The questions that are asked anew, of single fields.
pub(super) fn questions(work: Work<'_>, open: &Open) -> Vec<NewConflict> {
    let of_fields = open.outdated.iter().filter(|one| !one.is_of_pair());
    of_fields
        .filter_map(|one| one.question(work, open))
        .collect()
}

/// The question about a pair that goes back and forth, if that is asked anew.
pub(super) fn back_and_forth(work: Work<'_>, open: &Open) -> Option<NewConflict> {
    let mut of_pair = open.outdated.iter().filter(|one| one.is_of_pair());
    of_pair.find_map(|one| one.question(work, open))
}

/// The questions whose answer was set aside.
pub(super) fn ended(work: Work<'_>, open: &Open) -> Vec<Moot> {
    let ended = open.outdated.iter().map(|one| {
        let fields: Vec<&str> = one.a.keys().map(String::as_str).collect();
        tracing::info!(
            sync = %work.sync.name, conflict = %one.asked.id, record = %one.asked.record,
            fields = fields.join(", "), took = %one.earlier.took,
            "an answer was not carried out: the values that its question showed have changed since"
        );
        Moot {
            question: one.asked.id,
            was: ConflictState::Answered,
            fact: if one.differs {
                Fact::Outdated
            } else {
                // Where both agreed, the answer would not have been set aside.
                Fact::Unmoved
            },
        }
    });
    ended.collect()
}

/// What the change log says of answers that were set aside.
pub(super) fn changes(work: Work<'_>, open: &Open) -> Vec<Change> {
    let changes = open.outdated.iter().map(|one| Change {
        error: Some(one.why()),
        ..blank(work, open, Operation::Conflict)
    });
    changes.collect()
}

/// What the job says of itself.
pub(super) fn note(open: &Open) -> Option<&'static str> {
    let mut asked = open.outdated.iter().filter(|one| one.differs);
    asked
        .next()
        .map(|_| "an answer was given for other values: asked anew")
}
