//! What must be true of a world at rest, by the systems' own accounts and the ledger of what people typed: nothing is
//! lost or doubled, nobody's value gave way to a system's form of it, and who lost against whom is in the change log.

use std::collections::BTreeSet;

use tandem_domain::{RecordId, Side, Timestamp, Value};
use tandem_store::{Change, ChangeFilter, Conflict, ConflictKind, Operation};

use super::World;
use super::ledger::Typed;
use super::system::FakeSystem;
use super::system::faults::Effect;

/// The fields whose values are judged; the e-mail tells things apart.
const JUDGED: [&str; 3] = ["name", "city", "note"];

/// No system of these worlds lags behind for longer.
const LAG_MAX: std::time::Duration = std::time::Duration::from_secs(4);

/// Edits less apart than this are made at the same time.
const CLOCK_SLACK: std::time::Duration = std::time::Duration::from_secs(2);

/// What there is to judge by.
pub struct Judge<'w> {
    world: &'w World,
    seed: u64,
    typed: Vec<Typed>,
    changes: Vec<Change>,
    questions: Vec<Conflict>,
}

/// One thing, on both sides.
struct Pair {
    thing: String,
    a: RecordId,
    b: RecordId,
}

impl World {
    /// Judges a world at rest in which nobody deleted anything.
    pub async fn judge(&self, seed: u64) {
        let filter = ChangeFilter {
            limit: 10_000,
            ..ChangeFilter::default()
        };
        let changes = self.store.changes(&filter).await;
        let judge = Judge {
            world: self,
            seed,
            typed: self.ledger.all(),
            changes: changes.expect("the storage answers"),
            questions: self.questions().await,
        };
        judge.values_stand();
        judge.who_lost_is_told();
    }
}

impl Judge<'_> {
    /// Each thing is once on each side, and the values of its fields are somebody's and the other system's form of it.
    fn values_stand(&self) {
        let things: BTreeSet<&str> = self.typed.iter().map(|one| one.thing.as_str()).collect();
        for thing in &things {
            let pair = self.pair(thing);
            for field in JUDGED {
                self.value_stands(&pair, field);
            }
        }
        for side in Side::BOTH {
            let count = self.world.system(side).ids().len();
            let seed = self.seed;
            assert_eq!(
                count,
                things.len(),
                "seed {seed}: nothing is on {side} unasked"
            );
        }
    }

    fn pair(&self, thing: &str) -> Pair {
        let only = |side: Side| {
            let ids = self.world.system(side).about(thing);
            let seed = self.seed;
            let story = || self.story(thing);
            assert_eq!(
                ids.len(),
                1,
                "seed {seed}: {thing} is once on {side}: {ids:?}. {}",
                story()
            );
            ids.into_iter().next().expect("one")
        };
        Pair {
            thing: thing.to_owned(),
            a: only(Side::A),
            b: only(Side::B),
        }
    }

    fn value_stands(&self, pair: &Pair, field: &str) {
        let (a, b) = (&*self.world.a, &*self.world.b);
        let text = |system: &FakeSystem, id: &RecordId| {
            let texts = system.texts(id).expect("it is there");
            texts.get(field).cloned().unwrap_or_default()
        };
        let (in_a, in_b) = (text(a, &pair.a), text(b, &pair.b));
        // Behind a default that is shown there is nothing, and that is what a person may have wanted.
        let (under_a, under_b) = (a.kept(&pair.a, field), b.kept(&pair.b, field));
        let from_a = [&in_a, &under_a]
            .into_iter()
            .any(|it| is_form_of(b, field, it, &in_b));
        let from_b = [&in_b, &under_b]
            .into_iter()
            .any(|it| is_form_of(a, field, it, &in_a));
        let stands = match (a.stands(&pair.a, field), b.stands(&pair.b, field)) {
            (true, true) => from_a || from_b,
            (true, false) => from_a,
            (false, true) => from_b,
            (false, false) => self.may_stand_nowhere(pair, field, &in_a, &in_b),
        };
        // What stands where nothing was sent is a default, or somebody's who was quick: where the answer was lost, or the
        // system does not say when a record was made, nothing tells the two apart. Then a person is asked.
        // In a record that was made again a default is a value like any: nothing tells it from one that was typed.
        let is_default =
            under_a.is_empty() != in_a.is_empty() || under_b.is_empty() != in_b.is_empty();
        // Where both show the same default for nothing, they agree.
        let is_nothing = in_a == in_b && under_a.is_empty() && under_b.is_empty();
        let stands = stands
            || is_nothing
            || is_default && self.has_had_several(&pair.thing)
            || self.is_asked_what_nothing_left(pair, field)
            || self.is_asked_whose_it_is(pair, field)
            || self.is_asked_what_was_not_carried_out(pair, field)
            || self.is_asked_whether_it_was_emptied(pair, field);
        let seed = self.seed;
        let thing = &pair.thing;
        assert!(
            stands,
            "seed {seed}: {field} of {thing} is `{in_a}` on a and `{in_b}` on b. {}",
            self.story(thing)
        );
        let empty = if from_a { &under_a } else { &under_b };
        let is_emptied = self.is_asked_whether_it_was_emptied(pair, field);
        if in_a != in_b && !empty.is_empty() && !is_emptied {
            self.is_asked(pair, field);
        }
    }

    /// What a system shows where nothing was sent, or nothing where something was sent, and never showed it: it may have
    /// dropped the value, or somebody may have taken it away before it was seen. Then a person is asked.
    fn is_asked_what_nothing_left(&self, pair: &Pair, field: &str) -> bool {
        self.questions.iter().any(|question| {
            let here = question.record == pair.a || question.record == pair.b;
            here && matches!(&question.kind, ConflictKind::NotKept { field: name, sent, kept, .. }
                    if name == field
                        && (sent.is_null()
                            || kept.is_null()
                                && question.state == tandem_store::ConflictState::Open))
        })
    }

    /// What stands there was typed about when we wrote to the record: it may be what the system made of our value.
    /// Without an event nothing tells the two apart. Then a person is asked, by exactly what stands there.
    fn is_asked_whose_it_is(&self, pair: &Pair, field: &str) -> bool {
        self.questions.iter().any(|question| {
            let here = question.record == pair.a || question.record == pair.b;
            let is_about = matches!(&question.kind, ConflictKind::NotKept { field: name, kept, .. }
                if name == field && (self.was_typed_beside_a_write(pair, field, &kept.to_string())
                    || self.was_left_by_a_late_write(pair, field, kept)));
            here && is_about && question.state == tandem_store::ConflictState::Open
        })
    }

    /// A system that leaves out what is empty shows the field in no other record either: a person is asked whether it was
    /// emptied.
    fn is_asked_whether_it_was_emptied(&self, pair: &Pair, field: &str) -> bool {
        self.questions.iter().any(|question| {
            let here = question.record == pair.a || question.record == pair.b;
            let is_open = question.state == tandem_store::ConflictState::Open;
            here && is_open
                && matches!(&question.kind, ConflictKind::Emptied { field: name, .. } if name == field)
        })
    }

    /// A write was answered and never carried out: what it was to bring stands where it was typed, and a person is asked.
    fn is_asked_what_was_not_carried_out(&self, pair: &Pair, field: &str) -> bool {
        let (a, b) = (&self.world.a, &self.world.b);
        let was_ignored = a.has_ignored(&pair.a) || b.has_ignored(&pair.b);
        was_ignored
            && self.questions.iter().any(|question| {
                let here = question.record == pair.a || question.record == pair.b;
                let is_open = question.state == tandem_store::ConflictState::Open;
                here && is_open
                    && matches!(&question.kind, ConflictKind::NotKept { field: name, .. } if name == field)
            })
    }

    /// An earlier sending of a write of ours landed over a later one.
    fn was_left_by_a_late_write(&self, pair: &Pair, field: &str, kept: &Value) -> bool {
        let (a, b) = (&self.world.a, &self.world.b);
        let mut landed = a.landed_late(&pair.a);
        landed.extend(b.landed_late(&pair.b));
        landed.iter().any(|landing| match &landing.effect {
            Effect::Update { fields, .. } => fields.get(field) == Some(kept),
            Effect::Create { .. } | Effect::Delete { .. } => false,
        })
    }

    fn was_typed_beside_a_write(&self, pair: &Pair, field: &str, value: &str) -> bool {
        let mut typed = self.about(&pair.thing, field);
        typed.any(|one| {
            let mut writes = self.changes.iter().filter(|change| {
                change.written == Some(one.side)
                    && (change.a.as_ref() == Some(&pair.a) || change.b.as_ref() == Some(&pair.b))
            });
            let is_beside = |change: &Change| {
                let apart = change.at.since(one.at).max(one.at.since(change.at));
                apart < LAG_MAX + CLOCK_SLACK
            };
            one.value == value && writes.any(is_beside)
        })
    }

    /// Nobody typed it; or somebody deleted the record in which it was typed; or a write that landed late took its
    /// place, and Tandem put the value back.
    fn may_stand_nowhere(&self, pair: &Pair, field: &str, in_a: &str, in_b: &str) -> bool {
        let (a, b) = (&*self.world.a, &*self.world.b);
        let mut typed = self.about(&pair.thing, field).peekable();
        if typed.peek().is_none() || self.has_had_several(&pair.thing) {
            return is_form_of(b, field, in_a, in_b) || is_form_of(a, field, in_b, in_a);
        }
        let late = self
            .about(&pair.thing, field)
            .any(|one| one.overwritten.as_ref().is_some_and(|by| by.late));
        let forms = |one: &Typed| {
            let original = |side: Side, text: &str, system: &FakeSystem| {
                one.side == side && one.value == text || system.form_of(field, &one.value) == text
            };
            original(Side::A, in_a, a) && original(Side::B, in_b, b)
        };
        late && typed.any(forms)
    }

    /// Whether a record about the thing was deleted and made again.
    fn has_had_several(&self, thing: &str) -> bool {
        let (a, b) = (&self.world.a, &self.world.b);
        a.has_had_several(thing) || b.has_had_several(thing)
    }

    /// A difference between both sides is shown to a person, once.
    fn is_asked(&self, pair: &Pair, field: &str) {
        let about = self.questions.iter().filter(|question| {
            let here = question.record == pair.a || question.record == pair.b;
            let kind = &question.kind;
            here && matches!(kind, ConflictKind::NotKept { field: name, .. } if name == field)
        });
        let open = about
            .clone()
            .filter(|question| question.state == tandem_store::ConflictState::Open);
        let (seed, thing) = (self.seed, &pair.thing);
        assert!(
            about.count() > 0,
            "seed {seed}: nobody is told that {field} of {thing} differs. {}",
            self.story(thing)
        );
        assert!(
            open.count() <= 1,
            "seed {seed}: {field} of {thing} is asked twice"
        );
    }

    /// What was overwritten before Tandem had carried it over has lost against a later edit, and the log has it with
    /// the reason.
    fn who_lost_is_told(&self) {
        for lost in self.typed.iter().filter(|one| one.overwritten.is_some()) {
            let by = lost.overwritten.as_ref().expect("filtered");
            let seed = self.seed;
            let story = || self.story(&lost.thing);
            if by.late {
                // What was read before it was carried over may also have lost by the policy, and that is told. A record that is
                // read once may have been asked for the sake of another one.
                let is_told = !lost.carried
                    && (self.was_the_base(lost)
                        || self.was_typed_on_both(lost)
                        || self.was_asked_whether_it_is_a_form(lost)
                        || self.is_logged_as_lost(lost, ""));
                assert!(
                    !(lost.carried || lost.read > 1) || self.is_still_known(lost) || is_told,
                    "seed {seed}: `{}` was known, and gave way to a write of ours that landed late. {}",
                    lost.value,
                    story()
                );
                continue;
            }
            // What both had agreed on is no edit, whatever stood there in between.
            if self.was_the_base(lost) {
                continue;
            }
            // A record that was made again is compared with its partner for the first time, and so are two that people made
            // on both sides: there a value beats an empty field.
            let was_compared_first =
                self.has_had_several(&lost.thing) || self.is_said_to_be_empty(lost);
            if lost.value.is_empty() && was_compared_first {
                continue;
            }
            // Nobody has seen what a create of ours went over, be it typed at that very moment, and that is told.
            if !lost.shown && self.is_told_that_a_create_met_it(lost) {
                continue;
            }
            // Or nothing tells that the create has landed, because its answer was lost and somebody has typed there since.
            if !lost.shown && self.is_edited_before_it_was_found(lost) {
                continue;
            }
            // A system that lags behind does not show what was typed a moment ago.
            let is_fresh = by.at.since(lost.at) < LAG_MAX;
            if (!lost.shown || is_fresh) && self.world.system(lost.side).is_blind() {
                continue;
            }
            // Of a local time that comes twice nobody knows which it is. The log says by what it was decided then.
            if self.tells_local_times() && self.is_logged_as_lost(lost, "no time of edit") {
                continue;
            }
            // Where our own writes have moved both times of change, nothing says who was later.
            if self.is_logged_as_lost(lost, "edited at the same time") {
                continue;
            }
            // That of a record which is compared with its partner for the first time tells nothing of our late writes.
            if self.has_had_several(&lost.thing) && self.is_moved_late(lost) {
                continue;
            }
            assert!(
                self.is_earlier(lost),
                "seed {seed}: `{}` gave way to nothing later. {}",
                lost.value,
                story()
            );
            if lost.carried || self.was_typed_on_both(lost) {
                continue;
            }
            assert!(
                lost.shown,
                "seed {seed}: `{}` was overwritten unseen. {}",
                lost.value,
                story()
            );
            assert!(
                self.is_logged_as_lost(lost, ""),
                "seed {seed}: nobody is told that `{}` was lost. {}",
                lost.value,
                story()
            );
        }
    }

    /// Whether a person was asked what it is: nothing told it from what the system had made of our value.
    fn was_asked_whether_it_is_a_form(&self, lost: &Typed) -> bool {
        self.questions.iter().any(|question| {
            question.record == lost.record
                && matches!(&question.kind, ConflictKind::NotKept { field, kept, .. }
                    if *field == lost.field && kept.to_string() == lost.value)
        })
    }

    /// Whether a value that was carried over stands on either side, or somebody typed another one at the same time or later.
    fn is_still_known(&self, lost: &Typed) -> bool {
        let mut others = self.about(&lost.thing, &lost.field);
        let is_replaced = others.any(|one| one != lost && one.at.plus(CLOCK_SLACK) >= lost.at);
        is_replaced
            || Side::BOTH.into_iter().any(|side| {
                let system = self.world.system(side);
                let form = system.form_of(&lost.field, &lost.value);
                let mut ids = system.about(&lost.thing).into_iter();
                ids.any(|id| {
                    let texts = system.texts(&id).unwrap_or_default();
                    let stands = texts.get(&lost.field).map_or("", String::as_str);
                    stands == lost.value || stands == form
                })
            })
    }

    fn tells_local_times(&self) -> bool {
        let systems = [&self.world.a, &self.world.b];
        systems
            .iter()
            .any(|system| system.oddities().clock_put_back.is_some())
    }

    /// Whether somebody edited the record on the other side later, and before it was overwritten. Systems keep one
    /// time a record, so any field counts; and clocks are known to about a second, so what is closer is simultaneous.
    fn is_earlier(&self, lost: &Typed) -> bool {
        let until = lost.overwritten.as_ref().map(|by| by.at);
        let from = self.known_since(lost, until);
        self.typed.iter().any(|one| {
            one.thing == lost.thing
                && one.side != lost.side
                && one.at.plus(CLOCK_SLACK) >= from
                && Some(one.at) <= until
        })
    }

    /// Whether a write of ours that landed late has moved the time of what is on the other side, or has made the record there:
    /// what its system shows where nothing was sent is as old as that.
    fn is_moved_late(&self, lost: &Typed) -> bool {
        let other = self.world.system(lost.side.other());
        let mut others = other.about(&lost.thing).into_iter();
        others.any(|id| {
            let mut landed = other.landed_late(&id);
            let made = other.made_late(&id).filter(|one| match &one.effect {
                Effect::Create { fields, .. } => !fields.contains_key(&lost.field),
                Effect::Update { .. } | Effect::Delete { .. } => false,
            });
            landed.extend(made);
            landed.iter().any(|one| one.at.plus(CLOCK_SLACK) >= lost.at)
        })
    }

    /// Since when an edit is known to have been made: a write of ours that landed late has moved the record's time, and
    /// then it may have been made at any time since that was sent.
    fn known_since(&self, lost: &Typed, until: Option<Timestamp>) -> Timestamp {
        let landed = self.world.system(lost.side).landed_late(&lost.record);
        let over = landed
            .iter()
            .filter(|landing| landing.at >= lost.at && Some(landing.at) <= until);
        over.map(|landing| landing.sent)
            .fold(lost.at, Timestamp::min)
    }

    /// Whether a write was decided when this value was what both had last agreed on.
    fn was_the_base(&self, lost: &Typed) -> bool {
        let form = self
            .world
            .system(lost.side)
            .form_of(&lost.field, &lost.value);
        self.logged(lost)
            .filter(|change| change.field == lost.field)
            .any(|change| {
                change.base.as_ref().is_some_and(|(a, b)| {
                    let base = match lost.side {
                        Side::A => a,
                        Side::B => b,
                    };
                    [&lost.value, &form].contains(&&base.to_string())
                })
            })
    }

    /// Who types what the other side has too agrees with it.
    fn was_typed_on_both(&self, one: &Typed) -> bool {
        self.about(&one.thing, &one.field)
            .any(|other| other.side != one.side && other.value == one.value)
    }

    fn is_logged_as_lost(&self, lost: &Typed, reason: &str) -> bool {
        let is_value = |value: &Value| value.to_string() == lost.value;
        self.logged(lost).any(|field| {
            field.field == lost.field
                && field.lost.as_ref().is_some_and(is_value)
                && !field.reason.is_empty()
                && field.reason.contains(reason)
        })
    }

    /// Somebody has edited what was written over a value before Tandem found the record, which it then took for one that
    /// people made on both sides.
    fn is_edited_before_it_was_found(&self, lost: &Typed) -> bool {
        let over = lost.overwritten.as_ref().map(|by| by.at);
        let found = self.changes.iter().filter(|change| {
            let of_record = [&change.a, &change.b].contains(&&Some(lost.record.clone()));
            change.operation == Operation::Link && of_record
        });
        let found = found.map(|change| change.at).max();
        let mut typed = self.typed.iter().filter(|one| one.record == lost.record);
        typed.any(|one| one != lost && Some(one.at) >= over && Some(one.at) <= found)
    }

    /// The log says that a value was carried over because its side had none.
    fn is_said_to_be_empty(&self, lost: &Typed) -> bool {
        let reason = format!("side {} had no value", lost.side);
        self.logged(lost)
            .any(|field| field.field == lost.field && field.reason.contains(&reason))
    }

    /// A system answered a create of ours with the record, and what the create wrote is named in a question and the log.
    fn is_told_that_a_create_met_it(&self, lost: &Typed) -> bool {
        let is_asked = self.questions.iter().any(|question| {
            let here = question.side == lost.side && question.record == lost.record;
            here && matches!(&question.kind, ConflictKind::Overwritten { written, met: Some(_), .. }
                if written.contains_key(&lost.field))
        });
        let is_logged = self.changes.iter().any(|change| {
            let of_record = [&change.a, &change.b].contains(&&Some(lost.record.clone()));
            let said = change.error.as_deref().unwrap_or_default();
            change.operation == Operation::Overwrite && of_record && said.contains(&*lost.field)
        });
        is_asked && is_logged
    }

    /// What the log says of fields of the record.
    fn logged<'l>(&'l self, one: &'l Typed) -> impl Iterator<Item = &'l tandem_store::FieldChange> {
        let of_record = |change: &&Change| match one.side {
            Side::A => change.a.as_ref() == Some(&one.record),
            Side::B => change.b.as_ref() == Some(&one.record),
        };
        self.changes
            .iter()
            .filter(of_record)
            .flat_map(|change| &change.fields)
    }

    fn about(&self, thing: &str, field: &str) -> impl Iterator<Item = &Typed> {
        self.typed
            .iter()
            .filter(move |one| one.thing == thing && one.field == field)
    }

    /// All that people typed into the record, and what Tandem says that it did.
    fn story(&self, thing: &str) -> String {
        let about = || self.typed.iter().filter(|one| one.thing == thing);
        let typed: Vec<String> = about().map(|one| format!("{one:?}")).collect();
        let records: BTreeSet<&RecordId> = about().map(|one| &one.record).collect();
        let logged: Vec<String> = self
            .changes
            .iter()
            .rev()
            .filter(|change| {
                [&change.a, &change.b]
                    .iter()
                    .any(|id| id.as_ref().is_some_and(|id| records.contains(id)))
            })
            .map(|change| {
                format!(
                    "{} {:?} to {:?} {:?} {:#?}",
                    change.at, change.operation, change.written, change.outcome, change.fields
                )
            })
            .collect();
        format!(
            "\nTyped:\n  {}\nLogged:\n  {}\nOddities: a {:?}\n b {:?}",
            typed.join("\n  "),
            logged.join("\n  "),
            self.world.a.oddities(),
            self.world.b.oddities()
        )
    }
}

/// Whether `there` is what the system makes of `here`.
fn is_form_of(system: &FakeSystem, field: &str, here: &str, there: &str) -> bool {
    system.drops(field) || system.form_of(field, here) == there
}
