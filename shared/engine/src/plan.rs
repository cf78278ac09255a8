//! The three-way plan of one pair: what to write where, so that both sides agree and no edit is lost.
//!
//! Each side is compared with the base, never with the other's clock. The truth table, per field
//! (· unchanged against the base, ∆ changed, ✕ record gone):
//!
//! | A | B | plan |
//! | --- | --- | --- |
//! | · | · | nothing |
//! | ∆ | · | write B |
//! | · | ∆ | write A |
//! | ∆ | ∆ equal | agree: move the base |
//! | ∆ | ∆ other | the field's conflict policy |
//! | ✕ | · | the delete policy |
//! | ✕ | ∆ | make A again from B: an edit beats a delete |

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Fields, Side, Timestamp, Value};

use crate::equality::same;
use crate::policy::{ConflictPolicy, DeletePolicy, Direction, FieldRule, SyncPolicy};

/// A record as just read, in mapped fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its mapped fields.
    pub fields: Fields,
    /// When it was last edited, corrected to our clock; `None` where the system does not say.
    pub edited_at: Option<Timestamp>,
}

/// What there is on one side.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// There was never a record of this pair here.
    Never,
    /// There was one, and the system says for certain that it is gone or archived.
    Gone(Gone),
    /// This record.
    Here(Snapshot),
}

/// How a record is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It cannot be read any more.
    Deleted,
    /// It is out of use; it cannot be told from a delete by its partner.
    Archived,
}

/// What was decided before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ruled {
    /// By field, the side whose value is right: a person's answer to a question that an earlier plan asked.
    pub fields: BTreeMap<String, Side>,
    /// By field, a value that a person wants on both sides, whatever they hold.
    pub values: BTreeMap<String, Value>,
    /// By field, who won a contest in a plan that may not have been carried out to its end.
    pub contests: BTreeMap<String, Contest>,
}

/// A contest that an earlier plan has decided. Between the same values it is not decided anew: our own writes may have
/// moved the times since.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// The value on side a.
    pub a: Value,
    /// The value on side b.
    pub b: Value,
    /// The side that won.
    pub winner: Side,
    /// Why, in words.
    pub reason: String,
}

/// Everything that a plan looks at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The base; `None` when the records are not linked.
    pub base: Option<&'a BTreeMap<String, BaseValue>>,
    /// Side a.
    pub a: &'a Presence,
    /// Side b.
    pub b: &'a Presence,
    /// Answers.
    pub ruled: &'a Ruled,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// Makes the record.
    Create,
    /// Changes fields of it.
    Update,
    /// Deletes or archives it.
    Delete,
}

/// One write to one side.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedWrite {
    /// The side written.
    pub side: Side,
    /// What is done.
    pub op: WriteOp,
    /// The mapped fields to write.
    pub fields: Fields,
}

/// Why a field is written, or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The mapped field.
    pub field: String,
    /// The value that both are to have.
    pub chosen: Value,
    /// The side that it comes from; `None` when both had it.
    pub from: Option<Side>,
    /// The value that lost, when both sides had changed.
    pub lost: Option<Value>,
    /// Why, in words.
    pub reason: String,
}

/// A field that a person must decide.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldQuestion {
    /// The mapped field.
    pub field: String,
    /// The value on side a.
    pub a: Value,
    /// The value on side b.
    pub b: Value,
}

/// What becomes of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFate {
    /// It stays, or is made.
    Keep,
    /// It is retired: the remaining record is left alone from now on.
    Retire,
    /// It is dissolved: the remaining record is then without a partner.
    Dissolve,
}

/// What to do with a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// At most one write a side.
    pub writes: Vec<PlannedWrite>,
    /// What was decided for fields that are written, agreed or contested; unchanged ones are absent.
    pub decisions: Vec<Decision>,
    /// Fields that a person must decide; neither side is written.
    pub questions: Vec<FieldQuestion>,
    /// Why a person must approve the delete among the writes before it is carried out, in words.
    pub held: Option<String>,
    /// What becomes of the link.
    pub link: LinkFate,
}

impl Plan {
    /// Whether both sides agree, and nothing has to be written, asked, or moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.decisions.is_empty()
            && self.questions.is_empty()
            && self.link == LinkFate::Keep
    }

    /// A plan that leaves everything as it is.
    #[must_use]
    pub const fn keep() -> Self {
        Self::nothing(LinkFate::Keep)
    }

    /// A plan that only says what becomes of the link.
    #[must_use]
    pub const fn nothing(link: LinkFate) -> Self {
        Self {
            writes: Vec::new(),
            decisions: Vec::new(),
            questions: Vec::new(),
            held: None,
            link,
        }
    }

    /// The write to `side`, if there is one.
    #[must_use]
    pub fn write_to(&self, side: Side) -> Option<&PlannedWrite> {
        self.writes.iter().find(|write| write.side == side)
    }
}

/// Plans one pair. Deterministic; a plan made after this one was carried out is empty.
#[must_use]
pub fn plan(policy: &SyncPolicy, view: View<'_>) -> Plan {
    match (view.a, view.b) {
        (Presence::Here(a), Presence::Here(b)) => merge(policy, view, a, b),
        (Presence::Here(a), Presence::Never) => {
            create(policy, view.ruled, Side::B, a, "only on side a")
        }
        (Presence::Never, Presence::Here(b)) => {
            create(policy, view.ruled, Side::A, b, "only on side b")
        }
        (Presence::Here(a), Presence::Gone(_)) => one_gone(policy, view, Side::B, a),
        (Presence::Gone(_), Presence::Here(b)) => one_gone(policy, view, Side::A, b),
        (Presence::Never | Presence::Gone(_), Presence::Never | Presence::Gone(_)) => {
            Plan::nothing(LinkFate::Retire)
        }
    }
}

fn merge(policy: &SyncPolicy, view: View<'_>, a: &Snapshot, b: &Snapshot) -> Plan {
    let mut plan = Plan::nothing(LinkFate::Keep);
    let mut to_a = Fields::new();
    let mut to_b = Fields::new();
    for rule in &policy.fields {
        let field = FieldView::new(rule, view, a, b);
        match decide(policy, &field) {
            Verdict::Unchanged => {}
            Verdict::Ask => plan.questions.push(field.question()),
            Verdict::Settle(decision) => {
                if !same(rule.equality, field.a, &decision.chosen) && rule.direction.writes(Side::A)
                {
                    to_a.insert(rule.name.clone(), decision.chosen.clone());
                }
                if !same(rule.equality, field.b, &decision.chosen) && rule.direction.writes(Side::B)
                {
                    to_b.insert(rule.name.clone(), decision.chosen.clone());
                }
                plan.decisions.push(decision);
            }
        }
    }
    for (side, fields) in [(Side::A, to_a), (Side::B, to_b)] {
        if !fields.is_empty() {
            plan.writes.push(PlannedWrite {
                side,
                op: WriteOp::Update,
                fields,
            });
        }
    }
    plan
}

/// One field of a pair, on both sides and in the base.
struct FieldView<'a> {
    rule: &'a FieldRule,
    base: Option<&'a BaseValue>,
    a: &'a Value,
    b: &'a Value,
    a_edited: Option<Timestamp>,
    b_edited: Option<Timestamp>,
    ruled: Option<Side>,
    given: Option<&'a Value>,
    contest: Option<&'a Contest>,
}

static NO_VALUE: Value = Value::Null;

impl<'a> FieldView<'a> {
    fn new(rule: &'a FieldRule, view: View<'a>, a: &'a Snapshot, b: &'a Snapshot) -> Self {
        Self {
            rule,
            base: view.base.and_then(|base| base.get(&rule.name)),
            a: a.fields.get(&rule.name).unwrap_or(&NO_VALUE),
            b: b.fields.get(&rule.name).unwrap_or(&NO_VALUE),
            a_edited: a.edited_at,
            b_edited: b.edited_at,
            ruled: view.ruled.fields.get(&rule.name).copied(),
            given: view.ruled.values.get(&rule.name),
            contest: view.ruled.contests.get(&rule.name),
        }
    }

    fn value(&self, side: Side) -> &'a Value {
        match side {
            Side::A => self.a,
            Side::B => self.b,
        }
    }

    fn equal(&self) -> bool {
        same(self.rule.equality, self.a, self.b)
    }

    fn changed(&self, side: Side) -> bool {
        self.base
            .is_none_or(|base| !same(self.rule.equality, base.side(side), self.value(side)))
    }

    fn question(&self) -> FieldQuestion {
        FieldQuestion {
            field: self.rule.name.clone(),
            a: self.a.clone(),
            b: self.b.clone(),
        }
    }

    fn agreed(&self, reason: &str) -> Verdict {
        Verdict::Settle(Decision {
            field: self.rule.name.clone(),
            chosen: self.a.clone(),
            from: None,
            lost: None,
            reason: reason.to_owned(),
        })
    }

    fn take(&self, from: Side, reason: String) -> Verdict {
        Verdict::Settle(Decision {
            field: self.rule.name.clone(),
            chosen: self.value(from).clone(),
            from: Some(from),
            lost: None,
            reason,
        })
    }

    fn win(&self, from: Side, reason: String) -> Verdict {
        Verdict::Settle(Decision {
            field: self.rule.name.clone(),
            chosen: self.value(from).clone(),
            from: Some(from),
            lost: Some(self.value(from.other()).clone()),
            reason,
        })
    }
}

enum Verdict {
    Unchanged,
    Settle(Decision),
    Ask,
}

fn decide(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    if let Some(value) = field.given
        && Side::BOTH
            .into_iter()
            .any(|side| !same(field.rule.equality, field.value(side), value))
    {
        return Verdict::Settle(given(field.rule, value));
    }
    if let (Some(side), false) = (field.ruled, field.equal()) {
        return field.win(side, format!("an operator chose side {side}"));
    }
    match field.rule.direction {
        Direction::Both => decide_two_way(policy, field),
        Direction::AToB => decide_one_way(field, Side::A),
        Direction::BToA => decide_one_way(field, Side::B),
    }
}

fn given(rule: &FieldRule, value: &Value) -> Decision {
    Decision {
        field: rule.name.clone(),
        chosen: value.clone(),
        from: None,
        lost: None,
        reason: "an operator gave this value".to_owned(),
    }
}

fn decide_two_way(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    if field.base.is_none() {
        return decide_without_base(policy, field);
    }
    match (field.changed(Side::A), field.changed(Side::B)) {
        (false, false) => Verdict::Unchanged,
        (_, _) if field.equal() => field.agreed("both sides came to the same value"),
        (true, false) => field.take(Side::A, "only side a changed".to_owned()),
        (false, true) => field.take(Side::B, "only side b changed".to_owned()),
        (true, true) => contest(policy, field, "both sides changed"),
    }
}

/// The first comparison of two records: a value beats an empty field; two values are a contest.
fn decide_without_base(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    if field.equal() {
        return field.agreed("equal at first comparison");
    }
    match (field.a.is_null(), field.b.is_null()) {
        (false, true) => field.take(Side::A, "side b had no value".to_owned()),
        (true, false) => field.take(Side::B, "side a had no value".to_owned()),
        _ => contest(policy, field, "different at first comparison"),
    }
}

/// A one-way field: the authority's value is written whenever either side moved away from the base.
fn decide_one_way(field: &FieldView<'_>, authority: Side) -> Verdict {
    if field.base.is_some() && !field.changed(Side::A) && !field.changed(Side::B) {
        return Verdict::Unchanged;
    }
    if field.equal() {
        return field.agreed("both sides have the same value");
    }
    field.take(
        authority,
        format!("side {authority} is the authority of this field"),
    )
}

fn contest(policy: &SyncPolicy, field: &FieldView<'_>, what: &str) -> Verdict {
    match field.rule.conflict.unwrap_or(policy.conflict) {
        ConflictPolicy::Manual => Verdict::Ask,
        ConflictPolicy::PreferA => field.win(Side::A, format!("{what}; side a is preferred")),
        ConflictPolicy::PreferB => field.win(Side::B, format!("{what}; side b is preferred")),
        ConflictPolicy::LastWriteWins => {
            if let Some(earlier) = field.contest
                && (&earlier.a, &earlier.b) == (field.a, field.b)
            {
                return field.win(earlier.winner, earlier.reason.clone());
            }
            let (side, why) = later(policy.prefer, field.a_edited, field.b_edited);
            field.win(side, format!("{what}; {why}"))
        }
    }
}

fn later(prefer: Side, a: Option<Timestamp>, b: Option<Timestamp>) -> (Side, String) {
    match (a, b) {
        (Some(a), Some(b)) if a > b => (Side::A, format!("the later edit wins (a {a}, b {b})")),
        (Some(a), Some(b)) if b > a => (Side::B, format!("the later edit wins (b {b}, a {a})")),
        (Some(_), Some(_)) => (
            prefer,
            format!("edited at the same time; side {prefer} is preferred"),
        ),
        _ => (
            prefer,
            format!("no time of edit on both sides; side {prefer} is preferred"),
        ),
    }
}

fn create(policy: &SyncPolicy, ruled: &Ruled, side: Side, source: &Snapshot, reason: &str) -> Plan {
    if !policy.creates.on(side) {
        return Plan::nothing(LinkFate::Retire);
    }
    let mut plan = Plan::nothing(LinkFate::Keep);
    let mut fields = Fields::new();
    for rule in policy
        .fields
        .iter()
        .filter(|rule| rule.direction.writes(side))
    {
        let operators = ruled.values.get(&rule.name);
        let own = source.fields.get(&rule.name).unwrap_or(&NO_VALUE);
        let value = operators.unwrap_or(own);
        if value.is_null() {
            continue;
        }
        fields.insert(rule.name.clone(), value.clone());
        if operators.is_some() {
            plan.decisions.push(given(rule, value));
            continue;
        }
        plan.decisions.push(Decision {
            field: rule.name.clone(),
            chosen: value.clone(),
            from: Some(side.other()),
            lost: None,
            reason: reason.to_owned(),
        });
    }
    plan.writes.push(PlannedWrite {
        side,
        op: WriteOp::Create,
        fields,
    });
    plan
}

/// `gone` is the side whose record is gone; `rest` is the other record.
fn one_gone(policy: &SyncPolicy, view: View<'_>, gone: Side, rest: &Snapshot) -> Plan {
    let presence = match gone {
        Side::A => view.a,
        Side::B => view.b,
    };
    match policy.deletes.when_gone(gone) {
        DeletePolicy::Ignore => Plan::nothing(LinkFate::Retire),
        DeletePolicy::Unlink => Plan::nothing(LinkFate::Dissolve),
        DeletePolicy::Propagate => propagate(
            policy,
            view,
            gone,
            *presence == Presence::Gone(Gone::Deleted),
            rest,
        ),
    }
}

/// A delete is carried over only where the pair is known to have agreed, and the remaining record is as it was then.
fn propagate(
    policy: &SyncPolicy,
    view: View<'_>,
    gone: Side,
    is_deleted: bool,
    rest: &Snapshot,
) -> Plan {
    let delete = |held: Option<String>| Plan {
        writes: vec![PlannedWrite {
            side: gone.other(),
            op: WriteOp::Delete,
            fields: Fields::new(),
        }],
        held,
        ..Plan::nothing(LinkFate::Retire)
    };
    match since_agreed(policy, view.base, gone.other(), rest) {
        Since::Unedited => delete(None),
        Since::NeverAgreed(what) => delete(Some(what)),
        // An archived record is still there: making another beside it would double it.
        Since::Edited(fields) if !is_deleted => delete(Some(format!(
            "the record that is left was edited since both agreed ({})",
            fields.join(", ")
        ))),
        Since::Edited(_) => create(
            policy,
            view.ruled,
            gone,
            rest,
            "deleted on one side, edited on the other: the edit wins",
        ),
    }
}

/// How a record stands against what both sides last agreed on.
enum Since {
    /// As it was.
    Unedited,
    /// These fields have changed.
    Edited(Vec<String>),
    /// It is not known that both ever agreed; in what, in words.
    NeverAgreed(String),
}

fn since_agreed(
    policy: &SyncPolicy,
    base: Option<&BTreeMap<String, BaseValue>>,
    side: Side,
    record: &Snapshot,
) -> Since {
    let Some(base) = base.filter(|base| !base.is_empty()) else {
        return Since::NeverAgreed("the two records were never seen to agree".to_owned());
    };
    let (mut edited, mut unknown) = (Vec::new(), Vec::new());
    for rule in &policy.fields {
        let value = record.fields.get(&rule.name).unwrap_or(&NO_VALUE);
        match base.get(&rule.name) {
            Some(base) if same(rule.equality, base.side(side), value) => {}
            Some(_) => edited.push(rule.name.clone()),
            None if value.is_null() => {}
            None => unknown.push(rule.name.clone()),
        }
    }
    if !edited.is_empty() {
        return Since::Edited(edited);
    }
    if unknown.is_empty() {
        return Since::Unedited;
    }
    Since::NeverAgreed(format!(
        "both sides were never seen to agree in {}",
        unknown.join(", ")
    ))
}
