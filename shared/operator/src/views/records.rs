//! Links, writes, changes and questions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tandem_domain::{
    BaseValue, ChangeId, ConflictId, IntentId, JobId, LinkId, RecordId, RunId, Side, SyncName,
    Timestamp, called,
};
use tandem_store::{
    Change, Conflict, ConflictKind, ConflictState, Earlier, FieldChange, Intent, IntentOp,
    IntentState, Link, LinkStanding, LinkState, Operation, Outcome, Resolution, SideState, Trigger,
};

use super::questions::{self, ShownView};
use super::{plain, plain_fields, when, when_opt};
use crate::NotOffered;
use crate::story::Ends;

/// One side of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideView {
    /// The record; null when it is gone.
    pub id: Option<RecordId>,
    /// Its version when last seen.
    pub version: Option<String>,
    /// The checksum of its mapped fields when last seen.
    pub checksum: Option<String>,
    /// Its own time of change when last seen.
    #[serde(with = "when_opt")]
    pub updated_at: Option<Timestamp>,
}

impl From<SideState> for SideView {
    fn from(side: SideState) -> Self {
        Self {
            id: side.id,
            version: side.version,
            checksum: side.checksum,
            updated_at: side.updated_at,
        }
    }
}

/// The values on which both sides last agreed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseView {
    /// On side a.
    pub a: Json,
    /// On side b.
    pub b: Json,
}

impl From<&BaseValue> for BaseView {
    fn from(base: &BaseValue) -> Self {
        Self {
            a: plain(&base.a),
            b: plain(&base.b),
        }
    }
}

/// A pair of records held equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkView {
    /// Its id.
    pub id: LinkId,
    /// The sync.
    pub sync: SyncName,
    /// Side a.
    pub a: SideView,
    /// Side b.
    pub b: SideView,
    /// The base, by mapped field.
    pub base: BTreeMap<String, BaseView>,
    /// How it stands.
    pub state: LinkState,
    /// Whether a person said to leave its records alone: then they are not held equal.
    #[serde(default)]
    pub left_alone: bool,
    /// The filter of the sync that leaves a record of it out: then nothing of it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<FilteredView>,
    /// That a record of it is looked at less often, and why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed: Option<String>,
    /// What people call the pair, by the values on which both sides last agreed.
    #[serde(default)]
    pub name: Option<String>,
    /// How it ended, of one that is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndView>,
    /// Rises with each change.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "when")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(with = "when")]
    pub updated_at: Timestamp,
}

/// How a pair ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndView {
    /// The record that side a had, also where the link forgot it because the record goes on by itself.
    pub a: Option<RecordId>,
    /// The same of side b.
    pub b: Option<RecordId>,
    /// When.
    #[serde(with = "when")]
    pub at: Timestamp,
    /// Why, in words.
    pub because: String,
    /// What has the pair held equal again, in words.
    pub advice: String,
}

impl EndView {
    fn of(link: &Link, logged: Option<&Change>) -> Self {
        let id = |side: Side| {
            let known = link.side(side).id.as_ref();
            let logged = logged.and_then(|change| match side {
                Side::A => change.a.as_ref(),
                Side::B => change.b.as_ref(),
            });
            known.or(logged).cloned()
        };
        let (a, b) = (id(Side::A), id(Side::B));
        let logged_why = logged.and_then(|change| change.error.clone());
        Self {
            because: logged_why.unwrap_or_else(|| why_ended(link)),
            advice: how_to_go_on(link, a.as_ref(), b.as_ref()),
            at: logged.map_or(link.updated_at, |change| change.at),
            a,
            b,
        }
    }
}

/// Of pairs whose end the log does not explain: it is pruned, or from before it did.
fn why_ended(link: &Link) -> String {
    if link.kept_apart {
        return "a person took the pair apart".to_owned();
    }
    let mut gone = Side::BOTH
        .into_iter()
        .filter(|side| link.side(*side).memory.doubt.is_some());
    match (gone.next(), gone.next()) {
        (Some(side), None) => format!("the record of side {side} was gone"),
        (Some(_), Some(_)) => "both records were gone".to_owned(),
        (None, _) => "not known any more: the change log of that time does not say".to_owned(),
    }
}

fn are_both_gone(link: &Link) -> bool {
    let mut sides = Side::BOTH.into_iter();
    sides.all(|side| {
        let memory = &link.side(side).memory;
        // One that we deleted was not gone yet when the pair ended.
        let deleted = memory.deleted.as_ref();
        memory.doubt.is_some() || deleted.is_some_and(|it| !it.outlived && !it.left)
    })
}

fn how_to_go_on(link: &Link, a: Option<&RecordId>, b: Option<&RecordId>) -> String {
    let sync = &link.sync;
    let (Some(a), Some(b)) = (a, b) else {
        return format!("link what is left by hand: `tandem links link {sync} A B`");
    };
    if !link.kept_apart && are_both_gone(link) {
        return "nothing: both records are gone. One that comes back is looked at by itself"
            .to_owned();
    }
    let by_hand = format!("`tandem links link {sync} {a} {b}`");
    if link.kept_apart {
        return format!("{by_hand} holds the two equal again");
    }
    if link.a.id.is_none() || link.b.id.is_none() {
        return format!(
            "each of the two is looked at by itself now; `tandem explain {sync} {a}` and `tandem explain {sync} {b}` show \
             what became of them"
        );
    }
    format!(
        "when the one that is gone is there again, the pair is held equal again by itself; {by_hand} does it at once"
    )
}

impl LinkView {
    /// The same, with how it ended as the log has it.
    #[must_use]
    pub fn with_end(mut self, link: &Link, logged: Option<&Change>) -> Self {
        self.ended = (link.state == LinkState::Retired).then(|| EndView::of(link, logged));
        self
    }

    /// How it stands, in a word or two.
    #[must_use]
    pub const fn standing(&self) -> LinkStanding {
        match (self.state, self.left_alone) {
            (_, true) => LinkStanding::LeftAlone,
            (LinkState::Active, false) if self.filtered.is_some() => LinkStanding::Filtered,
            (LinkState::Active, false) => LinkStanding::Active,
            (LinkState::Retired, false) => LinkStanding::Retired,
        }
    }
}

/// Which record a filter leaves out, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilteredView {
    /// Its side.
    pub side: Side,
    /// The record.
    pub record: Option<RecordId>,
    /// The field that the filter looks at.
    pub field: String,
    /// Why, in words.
    pub because: String,
    /// Since when.
    #[serde(with = "when")]
    pub since: Timestamp,
}

impl FilteredView {
    fn of(link: &Link, side: Side) -> Option<Self> {
        let filtered = link.side(side).memory.filtered.as_ref()?;
        Some(Self {
            side,
            record: link.side(side).id.clone(),
            field: filtered.field.clone(),
            because: filtered.words(),
            since: filtered.since,
        })
    }

    /// That the pair rests, and until when.
    #[must_use]
    pub fn words(&self) -> String {
        let record = self.record.as_ref();
        let record = record.map_or_else(|| "the record".to_owned(), |id| format!("record {id}"));
        format!(
            "The sync's filters leave {record} of side {} out, because {}: since {} nothing of the pair is written or \
             deleted. It goes on from the values on which both sides last agreed, once the record matches again.",
            self.side, self.because, self.since
        )
    }
}

/// That its system changes a record whenever it is read, so that events about it would never end.
fn slowed(link: &Link) -> Option<String> {
    let touched = |side: Side| {
        let touched = link.side(side).memory.touched?;
        let pause = touched.pause();
        let record = link.side(side).id.as_ref()?;
        (!pause.is_zero()).then(|| {
            format!(
                "The system of side {side} changes record {record} whenever it is read ({} times in a row, and nothing that is \
                 mapped), so it is looked at every {} s at most: an edit of the pair may take so long.",
                touched.times,
                pause.as_secs()
            )
        })
    };
    Side::BOTH.into_iter().find_map(touched)
}

/// What people call a pair, by its base.
fn name_of(base: &BTreeMap<String, BaseValue>) -> Option<String> {
    let of_side = |side: Side| {
        let fields = base.iter();
        let fields = fields.map(|(field, base)| (field.clone(), base.side(side).clone()));
        called(&fields.collect())
    };
    of_side(Side::A).or_else(|| of_side(Side::B))
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        let mut sides = Side::BOTH.into_iter();
        let filtered = sides.find_map(|side| FilteredView::of(&link, side));
        let slowed = slowed(&link);
        let base = link.base.iter();
        Self {
            id: link.id,
            sync: link.sync,
            base: base
                .map(|(field, base)| (field.clone(), base.into()))
                .collect(),
            a: link.a.into(),
            b: link.b.into(),
            state: link.state,
            left_alone: false,
            filtered,
            slowed,
            name: name_of(&link.base),
            ended: None,
            revision: link.revision,
            created_at: link.created_at,
            updated_at: link.updated_at,
        }
    }
}

/// A record as its system holds it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingView {
    /// The sync.
    pub sync: SyncName,
    /// The side.
    pub side: Side,
    /// The connection of that side.
    pub connection: String,
    /// The record.
    pub record: RecordId,
    /// Whether it is archived or inactive in a way that counts as gone.
    pub out_of_use: bool,
    /// Its mapped fields.
    pub fields: Json,
    /// Its active link.
    pub link: Option<LinkId>,
    /// Whether an operator said to leave it alone.
    pub ignored: bool,
}

/// A journalled write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntentView {
    /// The transaction id.
    pub id: IntentId,
    /// The link, if any.
    pub link: Option<LinkId>,
    /// The side written.
    pub side: Side,
    /// What is done.
    pub op: IntentOp,
    /// The record that it carries over.
    pub source: Option<RecordId>,
    /// The record written.
    pub target: Option<RecordId>,
    /// The fields, under the mapping's names.
    pub fields: Json,
    /// The version that the record was to have.
    pub expected_version: Option<String>,
    /// Where it stands.
    pub state: IntentState,
    /// How often it was sent.
    pub sends: u32,
    /// The job that planned it.
    pub job: Option<JobId>,
    /// When it was planned.
    #[serde(with = "when")]
    pub created_at: Timestamp,
    /// When it was last sent.
    #[serde(with = "when_opt")]
    pub sent_at: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<String>,
}

impl From<Intent> for IntentView {
    fn from(intent: Intent) -> Self {
        Self {
            id: intent.id,
            link: intent.link,
            side: intent.side,
            op: intent.op,
            source: intent.source,
            target: intent.target,
            fields: plain_fields(&intent.fields),
            expected_version: intent.expected_version,
            state: intent.state,
            sends: intent.sends,
            job: intent.job,
            created_at: intent.created_at,
            sent_at: intent.sent_at,
            error: intent.error,
        }
    }
}

/// One field of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldView {
    /// The mapped field.
    pub field: String,
    /// The value on side a before.
    pub a: Json,
    /// The value on side b before.
    pub b: Json,
    /// The base before; null when there was none.
    pub base: Option<BaseView>,
    /// The value that both are to have.
    pub chosen: Json,
    /// The side whose value won.
    pub from: Option<Side>,
    /// The value that lost a conflict.
    pub lost: Option<Json>,
    /// Why, in words.
    pub reason: String,
}

impl From<FieldChange> for FieldView {
    fn from(change: FieldChange) -> Self {
        let base = change.base.as_ref();
        Self {
            field: change.field,
            a: plain(&change.a),
            b: plain(&change.b),
            base: base.map(|(a, b)| BaseView {
                a: plain(a),
                b: plain(b),
            }),
            chosen: plain(&change.chosen),
            from: change.from,
            lost: change.lost.as_ref().map(plain),
            reason: change.reason,
        }
    }
}

/// An entry of the change log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Its id.
    pub id: ChangeId,
    /// The sync.
    pub sync: SyncName,
    /// The link.
    pub link: Option<LinkId>,
    /// The record on side a.
    pub a: Option<RecordId>,
    /// The record on side b.
    pub b: Option<RecordId>,
    /// What was done.
    pub operation: Operation,
    /// The side written.
    pub written: Option<Side>,
    /// The transaction id of the write.
    pub intent: Option<IntentId>,
    /// What caused it.
    pub trigger: Trigger,
    /// The job.
    pub job: Option<JobId>,
    /// The run.
    pub run: Option<RunId>,
    /// The fields.
    pub fields: Vec<FieldView>,
    /// How it ended.
    pub outcome: Outcome,
    /// The error.
    pub error: Option<String>,
    /// How long the write took, in milliseconds.
    pub duration_ms: u64,
    /// When it was confirmed.
    #[serde(with = "when")]
    pub at: Timestamp,
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        Self {
            id: change.id,
            sync: change.sync,
            link: change.link,
            a: change.a,
            b: change.b,
            operation: change.operation,
            written: change.written,
            intent: change.intent,
            trigger: change.trigger,
            job: change.job,
            run: change.run,
            fields: change.fields.into_iter().map(FieldView::from).collect(),
            outcome: change.outcome,
            error: change.error,
            duration_ms: change.duration_ms,
            at: change.at,
        }
    }
}

/// An answer that fits a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its word.
    pub answer: Cow<'static, str>,
    /// What it does; completes "the answer would …".
    pub does: Cow<'static, str>,
    /// The only side that can be named with it, where not each can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
}

impl Choice {
    /// Whether this is the answer, and with a side that can be named.
    #[must_use]
    pub fn is(&self, resolution: &Resolution) -> bool {
        let is_side = match (self.side, resolution) {
            (Some(only), Resolution::Take { side }) => only == *side,
            _ => true,
        };
        self.answer == resolution.as_str() && is_side
    }
}

/// A question for an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConflictView {
    /// Its id.
    pub id: ConflictId,
    /// The sync.
    pub sync: SyncName,
    /// The link.
    pub link: Option<LinkId>,
    /// The side of the record.
    pub side: Side,
    /// The record that it is about.
    pub record: RecordId,
    /// One of [`ConflictKind::WORDS`].
    pub kind: Cow<'static, str>,
    /// What is asked, in a sentence.
    pub asks: String,
    /// What is asked, by kind.
    pub question: Json,
    /// The records that it is about, as they were read when it was asked.
    pub records: Vec<ShownView>,
    /// The answers that fit this kind.
    pub answers: Vec<Cow<'static, str>>,
    /// The same, with what each does.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// The candidates that cannot be chosen now, and why. Not looked up in lists.
    #[serde(default)]
    pub not_offered: Vec<NotOffered>,
    /// Records of a system that was set back that somebody has edited since, as events tell: `take` goes over these edits. Not
    /// looked up in lists.
    #[serde(default)]
    pub edited_since: Vec<RecordId>,
    /// Where it stands.
    pub state: ConflictState,
    /// The answer.
    pub resolution: Option<Resolution>,
    /// Why an answer is not carried out for the time being, and what ends that; null when nothing stands in its way, or
    /// it is closed. Not looked up in lists.
    #[serde(default)]
    pub waits: Option<String>,
    /// When it was opened.
    #[serde(with = "when")]
    pub created_at: Timestamp,
    /// When it was answered.
    #[serde(with = "when_opt")]
    pub answered_at: Option<Timestamp>,
    /// Why it was closed without anybody's answer having been carried out.
    #[serde(default)]
    pub closed_because: Option<String>,
}

impl ConflictView {
    /// A question in words, with what the sides of its sync are called.
    pub(crate) fn new(conflict: Conflict, ends: &Ends) -> Self {
        let makes = ends.creates(conflict.side.other());
        let choices: Vec<Choice> = crate::conflicts::choices(&conflict.kind)
            .iter()
            .filter(|(answer, _)| makes || *answer != "create_new")
            .map(|(answer, does)| Choice {
                answer: Cow::Borrowed(answer),
                does: Cow::Borrowed(does),
                // A system that was set back has no values to give to itself.
                side: match conflict.kind {
                    ConflictKind::SetBack { .. } if *answer == "take" => {
                        Some(conflict.side.other())
                    }
                    _ => None,
                },
            })
            .collect();
        Self {
            kind: conflict.kind.as_str().into(),
            asks: questions::sentence(&conflict, ends),
            records: questions::records(&conflict),
            question: question(&conflict.kind),
            answers: choices.iter().map(|choice| choice.answer.clone()).collect(),
            choices,
            id: conflict.id,
            sync: conflict.sync,
            link: conflict.link,
            side: conflict.side,
            record: conflict.record,
            state: conflict.state,
            resolution: conflict.resolution,
            created_at: conflict.created_at,
            answered_at: conflict.answered_at,
            closed_because: conflict.closed_because.clone(),
            not_offered: Vec::new(),
            edited_since: Vec::new(),
            waits: None,
        }
    }
}

fn question(kind: &ConflictKind) -> Json {
    match kind {
        ConflictKind::Field { field, a, b, again } => {
            json!({ "field": field, "a": plain(a), "b": plain(b), "again": again.as_ref().map(earlier) })
        }
        ConflictKind::Ambiguous {
            candidates,
            more_candidates,
            rivals,
            more_rivals,
            key,
        } => json!({
            "candidates": candidates, "more_candidates": more_candidates,
            "rivals": rivals, "more_rivals": more_rivals, "key": key,
        }),
        ConflictKind::NotKept {
            field,
            sent,
            kept,
            beside,
        } => {
            json!({ "field": field, "sent": plain(sent), "kept": plain(kept), "beside": plain_fields(beside) })
        }
        ConflictKind::Emptied {
            field,
            records,
            value,
        } => json!({ "field": field, "records": records, "value": plain(value) }),
        ConflictKind::DeleteHeld { gone, reason } => json!({ "gone": gone, "reason": reason }),
        ConflictKind::NotDeleted {
            system,
            answered_at,
            seen_at,
            edited,
            gone_at,
        } => {
            json!({ "system": system, "answered_at": answered_at, "seen_at": seen_at, "edited": edited, "gone_at": gone_at })
        }
        ConflictKind::NotMade {
            system,
            made,
            sent_at,
            missed_at,
        } => {
            json!({ "system": system, "made": made, "sent_at": sent_at, "missed_at": missed_at })
        }
        ConflictKind::Overwritten {
            edited_at,
            event,
            written,
            met,
        } => {
            json!({ "edited_at": edited_at, "event": event, "written": plain_fields(written), "met": met })
        }
        ConflictKind::Replaced {
            reason,
            known,
            found,
            overlaid: _,
            merged: _,
        } => {
            json!({ "reason": reason, "known": plain_fields(known), "found": plain_fields(found) })
        }
        ConflictKind::SetBack {
            system,
            older,
            missing,
            reason,
        } => {
            json!({ "system": system, "older": older, "missing": missing, "reason": reason })
        }
        ConflictKind::BackAndForth {
            a,
            b,
            writes,
            since,
            again,
        } => json!({
            "a": plain_fields(a), "b": plain_fields(b), "writes": writes, "since": since,
            "again": again.as_ref().map(earlier),
        }),
        ConflictKind::Doubled {
            first,
            source,
            intent,
            sent,
            alike,
        } => json!({
            "first": first, "source": source, "intent": intent, "sent": sent, "alike": alike,
        }),
    }
}

/// An earlier answer, and what it was given for.
fn earlier(again: &Earlier) -> Json {
    json!({ "took": again.took, "a": plain_fields(&again.a), "b": plain_fields(&again.b) })
}

#[cfg(test)]
mod tests {
    use tandem_domain::Value;
    use tandem_store::SideMemory;

    use super::*;

    fn link(a: Option<&str>, b: Option<&str>) -> Link {
        let side = |id: Option<&str>| SideState {
            id: id.map(RecordId::new),
            ..SideState::default()
        };
        let acme = || Value::Text("Acme".to_owned());
        Link {
            id: LinkId::least(Timestamp::from_micros(0)),
            sync: "customers".parse().expect("a name"),
            a: side(a),
            b: side(b),
            base: [(
                "name".to_owned(),
                BaseValue {
                    a: acme(),
                    b: acme(),
                },
            )]
            .into(),
            state: LinkState::Retired,
            revision: 2,
            created_at: Timestamp::from_micros(0),
            updated_at: Timestamp::from_micros(5),
            kept_apart: false,
        }
    }

    #[test]
    fn what_is_to_be_done_about_a_pair_that_ended_says_how_it_is_held_equal_again() {
        let mut apart = link(Some("1"), Some("2"));
        apart.kept_apart = true;
        let end = EndView::of(&apart, None);
        assert_eq!(end.because, "a person took the pair apart");
        assert!(
            end.advice.contains("tandem links link customers 1 2"),
            "{}",
            end.advice
        );
        let mut gone = link(Some("1"), Some("2"));
        gone.b.memory = SideMemory {
            doubt: Some(tandem_store::Doubt {
                since: Timestamp::from_micros(1),
                looks: 1,
                last: Timestamp::from_micros(1),
                is_older: false,
            }),
            ..SideMemory::default()
        };
        let end = EndView::of(&gone, None);
        assert_eq!(end.because, "the record of side b was gone");
        assert!(end.advice.contains("by itself"), "{}", end.advice);
        let mut both = gone.clone();
        both.a.memory = gone.b.memory.clone();
        let end = EndView::of(&both, None);
        assert_eq!(end.because, "both records were gone");
        assert!(!end.advice.contains("links link"), "{}", end.advice);
        let view = LinkView::from(gone.clone()).with_end(&gone, None);
        assert_eq!(view.name.as_deref(), Some("Acme"));
        let end = EndView::of(&link(None, None), None);
        assert_eq!((end.a, end.b), (None, None));
        assert!(end.because.contains("does not say"), "{}", end.because);
    }
}
