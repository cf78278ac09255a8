//! Questions in words: what is asked, and of which records, so that they can be answered where they stand.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tandem_domain::called as known_as;
use tandem_domain::line::{json, line};
use tandem_domain::{Fields, RecordId, Side, Value};
use tandem_store::{Alike, Conflict, ConflictKind, Earlier, ShownRecord};

use super::plain_fields;
use crate::story::Ends;

/// A sentence names so many records one by one.
const NAMED_MAX: usize = 5;

/// What a record is in a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The one that it is about.
    Record,
    /// Its partner.
    Partner,
    /// One that it may be the same as.
    Candidate,
    /// Another of its own side that may be the same as the candidates.
    Rival,
    /// One that is gone; shown as it was when both sides last agreed.
    Gone,
}

impl Part {
    /// The word as shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Partner => "partner",
            Self::Candidate => "candidate",
            Self::Rival => "rival",
            Self::Gone => "gone",
        }
    }
}

/// A record that a question is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownView {
    /// What it is in the question.
    pub part: Part,
    /// Its side.
    pub side: Side,
    /// Its id.
    pub id: RecordId,
    /// What people call it, if it has a name.
    pub name: Option<String>,
    /// Its mapped fields.
    pub fields: Json,
}

/// The records of a question.
pub(super) fn records(conflict: &Conflict) -> Vec<ShownView> {
    let shown = conflict.shown.iter().map(|record| ShownView {
        part: part(conflict, record),
        side: record.side,
        id: record.id.clone(),
        name: known_as(&record.fields),
        fields: plain_fields(&record.fields),
    });
    shown.collect()
}

fn part(conflict: &Conflict, record: &ShownRecord) -> Part {
    let own = record.side == conflict.side;
    match &conflict.kind {
        _ if own && record.id == conflict.record => Part::Record,
        ConflictKind::SetBack { .. } if own => Part::Record,
        ConflictKind::DeleteHeld { gone, .. } if record.side == *gone => Part::Gone,
        ConflictKind::NotDeleted { .. } | ConflictKind::NotMade { .. } => Part::Gone,
        ConflictKind::Ambiguous { .. } | ConflictKind::Doubled { .. } if own => Part::Rival,
        ConflictKind::Ambiguous { .. } => Part::Candidate,
        ConflictKind::Field { .. }
        | ConflictKind::NotKept { .. }
        | ConflictKind::DeleteHeld { .. }
        | ConflictKind::Overwritten { .. }
        | ConflictKind::Emptied { .. }
        | ConflictKind::Replaced { .. }
        | ConflictKind::SetBack { .. }
        | ConflictKind::BackAndForth { .. }
        | ConflictKind::Doubled { .. } => Part::Partner,
    }
}

/// What is asked, in a sentence on one line.
pub(super) fn sentence(conflict: &Conflict, ends: &Ends) -> String {
    let (side, other) = (conflict.side, conflict.side.other());
    let [here, there] = [side, other].map(|side| ends.side(side));
    let record = called(conflict, side, &conflict.record);
    match &conflict.kind {
        ConflictKind::Field { field, a, b, again } => {
            format!(
                "the sides differ in `{field}` of {record}, and a person must say which is right: side {} has {}, side {} has {}{}",
                ends.side(Side::A),
                quoted(a),
                ends.side(Side::B),
                quoted(b),
                asked_again(again.as_ref())
            )
        }
        ConflictKind::Ambiguous {
            candidates,
            more_candidates,
            rivals,
            more_rivals,
            ..
        } => {
            let theirs = listed(conflict, other, candidates, *more_candidates);
            let own = listed(conflict, side, rivals, *more_rivals);
            match (candidates.as_slice(), rivals.as_slice()) {
                ([], _) => format!(
                    "{record} on side {here} is alike to {own} of its own side: are they one?"
                ),
                (_, []) => {
                    format!("{record} on side {here} could be the same as {theirs} on side {there}")
                }
                _ => format!(
                    "{record} on side {here} could be the same as {theirs} on side {there}, but so could {own}"
                ),
            }
        }
        ConflictKind::NotKept {
            field,
            sent,
            kept,
            beside,
        } => format!(
            "side {here} was to have {} for `{field}` of {record}, and has {} now{}",
            quoted(sent),
            quoted(kept),
            may_have_met(&here, beside)
        ),
        ConflictKind::NotDeleted {
            system,
            answered_at,
            seen_at,
            edited,
            gone_at,
        } => {
            let partner = conflict.shown.iter().find(|shown| shown.side == other);
            let partner = partner.map_or_else(
                || "its partner".to_owned(),
                |shown| format!("its partner {}", called(conflict, other, &shown.id)),
            );
            let since = if *edited {
                ", and it was edited since"
            } else {
                ""
            };
            if let Some(gone_at) = gone_at {
                return format!(
                    "{record} on side {here} is there again: {system} answered our delete of it at {answered_at}, because {partner} on side {there} is gone, it was gone or out of use at {gone_at}, and {system} showed it again at {seen_at}{since}: somebody has taken it back. Nothing was made again on side {there}, and the delete is not sent again by itself"
                );
            }
            format!(
                "{record} on side {here} was to be deleted, because {partner} on side {there} is gone: {system} answered our delete with success at {answered_at}, and still showed the record at {seen_at}{since}. Nothing was made again on side {there}, and the delete is not sent again by itself: delete the record in {system} by hand, or answer"
            )
        }
        ConflictKind::NotMade {
            system,
            made,
            sent_at,
            missed_at,
        } => format!(
            "{record} on side {here} was to get a partner on side {there}: {system} answered our create of {sent_at} with the id {}, and has never shown that record, in no reading and no listing until {missed_at}. It is not sent again by itself: look for it in {system}, then answer",
            line(made.as_str())
        ),
        ConflictKind::Overwritten { .. } => overwritten(conflict, &record, &here),
        ConflictKind::Replaced {
            reason,
            known,
            found,
            overlaid: true,
            ..
        } => format!(
            "{record} on side {here} may hold values of another record ({reason}): it had {}, it has {}",
            pairs(known),
            pairs(found)
        ),
        ConflictKind::Replaced {
            reason,
            known,
            found,
            overlaid: false,
            merged: true,
        } => format!(
            "{record} on side {here} was merged into another record of its system ({reason}): it had {}, the other one has {}",
            pairs(known),
            pairs(found)
        ),
        ConflictKind::Replaced {
            reason,
            known,
            found,
            overlaid: false,
            merged: false,
        } => format!(
            "under the id of {record} on side {here} stands another record now, or an older state of it ({reason}): it had {}, it has {}",
            pairs(known),
            pairs(found)
        ),
        ConflictKind::SetBack { .. } => set_back(conflict),
        ConflictKind::Emptied {
            field,
            records,
            value,
        } => format!(
            "`{field}` is not in the answers of side {here} any more, in {} of {} that had a value there, such as {record} with {}: was it emptied in all of them, or may the sign-in not see it any more, or has it another name? Until this is answered these values stand on side {there}; only what was missing in single records before, while others showed the field, was taken for emptied",
            at_least(*records),
            conflict.sync,
            quoted(value)
        ),
        ConflictKind::BackAndForth {
            a,
            b,
            writes,
            since,
            again,
        } => {
            let partner = conflict.shown.iter().find(|shown| shown.side == other);
            let partner = partner.map_or_else(
                || "its partner".to_owned(),
                |shown| called(conflict, other, &shown.id),
            );
            format!(
                "{record} on side {here} and {partner} on side {there} are changed back after each write: {writes} writes of ours since {since}; side {} has {}, side {} has {}. Probably an automation in each system sets its own value: nothing more is written to the pair; turn one of them off, then answer{}",
                ends.side(Side::A),
                pairs(a),
                ends.side(Side::B),
                pairs(b),
                asked_again(again.as_ref())
            )
        }
        ConflictKind::Doubled {
            first,
            source,
            intent,
            sent,
            alike,
        } => {
            let first = called(conflict, side, first);
            let source = source.as_ref().map_or_else(
                || format!("one record on side {there}"),
                |source| format!("{} on side {there}", called(conflict, other, source)),
            );
            if let Some(Alike { key, made }) = alike {
                let (made, key) = (called(conflict, side, made), line(key));
                return format!(
                    "{record} and {first} on side {here} are the same by `{key}`: our create ({intent}) made {made}, and the other was there, or came, unseen; {first} is linked with {source}, {record} gets no partner: delete one of the two, or merge them, in their system"
                );
            }
            format!(
                "{record} and {first} on side {here} both bear the reference of our create ({intent}) for {source}; {}; {first} is linked, {record} gets no partner: delete or merge {record} in its system",
                how_doubled(*sent)
            )
        }
        ConflictKind::DeleteHeld { gone, reason } => {
            let partner = conflict.shown.iter().find(|shown| shown.side == *gone);
            let partner = partner.map_or_else(
                || "its partner".to_owned(),
                |shown| format!("its partner {}", called(conflict, *gone, &shown.id)),
            );
            // Questions from before the reason was kept were all of the brake's.
            let reason = if reason.is_empty() {
                "more were deleted within the hour than `deletes.brake` of the sync allows"
            } else {
                reason
            };
            format!(
                "{record} on side {here} would be deleted, because {partner} on side {} is gone; held: {reason}",
                ends.side(*gone)
            )
        }
    }
}

/// That an answer was given before, for other values.
fn asked_again(again: Option<&Earlier>) -> String {
    let Some(Earlier { took, a, b }) = again else {
        return String::new();
    };
    format!(
        ". The answer `take {took}` was not carried out: it was given for {} on side a and {} on side b, and one of them has changed since",
        pairs(a),
        pairs(b)
    )
}

/// What else a value may mean that stands in a new record where we sent none.
fn may_have_met(here: &str, beside: &Fields) -> String {
    if beside.is_empty() {
        return String::new();
    }
    format!(
        ": either side {here} fills it in by itself, or a record stood there before, with which it answered our create. Then what that held went under our {}, and is not known: enter it again there if it is missing",
        pairs(beside)
    )
}

/// What a write of ours went over, in a sentence.
fn overwritten(conflict: &Conflict, record: &str, here: &str) -> String {
    let ConflictKind::Overwritten {
        edited_at,
        event,
        written,
        met,
    } = &conflict.kind
    else {
        return String::new();
    };
    let told = event.map_or_else(String::new, |event| {
        format!("; the event {event} may say what the edit was")
    });
    let edit = edited_at.map_or_else(|| "an edit".to_owned(), |at| format!("an edit of {at}"));
    match met {
        Some(how) => format!(
            "our create on side {here} was answered with {record}, which stood there before ({how}): we wrote {}; what it held in these fields is not known{}: enter it again there if it is missing",
            pairs(written),
            event.map_or_else(String::new, |event| format!(
                "; the event {event} may say it"
            ))
        ),
        None if written.is_empty() => format!(
            "our delete of {record} on side {here}, because its partner was deleted, went over {edit}{told}: make the record again if it is to stay"
        ),
        None => format!(
            "our write to {record} on side {here} went over {edit}: we wrote {}{told}: enter it again there if it is missing",
            pairs(written)
        ),
    }
}

/// What is known of how one create came to two records.
fn how_doubled(sent: Option<u32>) -> String {
    match sent {
        Some(0 | 1) => "it was sent once, so its system carried it out twice, or somebody copied a record with our reference".to_owned(),
        Some(times) => format!("it was sent {times} times, because an answer was lost, and more than one landed, or somebody copied a record with our reference"),
        None => "its system carried it out twice, or it was sent again after its answer was lost, or somebody copied a record with our reference".to_owned(),
    }
}

/// Whether a whole side was set back, in a sentence.
fn set_back(conflict: &Conflict) -> String {
    let ConflictKind::SetBack {
        system,
        older,
        missing,
        reason,
    } = &conflict.kind
    else {
        return String::new();
    };
    let (side, other) = (conflict.side, conflict.side.other());
    let others = conflict.shown.iter().take(NAMED_MAX);
    let names: Vec<String> = others
        .filter(|shown| shown.id != conflict.record)
        .map(|shown| called(conflict, side, &shown.id))
        .collect();
    let and_others = if names.is_empty() {
        String::new()
    } else {
        format!(", and {}", names.join(", "))
    };
    format!(
        "{system}, the system of side {side}, looks as if it had been restored from a backup, or emptied and filled anew; noticed at {}. Of the linked records {older} show an older state or are other records now, and {missing} are missing, as far as is known: {} ({reason}){and_others}. Until this is answered nothing is written over them, and nothing that is missing on side {side} is deleted on side {other}; all other pairs go on",
        conflict.created_at,
        called(conflict, side, &conflict.record)
    )
}

/// A record by its name and id.
fn called(conflict: &Conflict, side: Side, id: &RecordId) -> String {
    let shown = conflict
        .shown
        .iter()
        .find(|shown| shown.side == side && shown.id == *id);
    match shown.and_then(|shown| known_as(&shown.fields)) {
        Some(name) => format!("\"{}\" ({})", line(&name), line(id.as_str())),
        None => line(id.as_str()).into_owned(),
    }
}

fn listed(conflict: &Conflict, side: Side, ids: &[RecordId], more: usize) -> String {
    let mut names: Vec<String> = ids
        .iter()
        .take(NAMED_MAX)
        .map(|id| called(conflict, side, id))
        .collect();
    let more = more + ids.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(" or ")
}

/// Fields and their values in a sentence.
fn pairs(fields: &Fields) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .take(NAMED_MAX)
        .map(|(name, value)| format!("{name} {}", quoted(value)))
        .collect();
    if pairs.is_empty() {
        return "nothing".to_owned();
    }
    pairs.join(", ")
}

pub(crate) fn quoted(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Text(text) => format!("\"{}\"", line(text)),
        other => json(super::plain(other).to_string().trim_matches('"')).into_owned(),
    }
}

/// In how many records at least, in words.
fn at_least(records: u64) -> String {
    if records == 1 {
        "a record".to_owned()
    } else {
        format!("at least {records} records")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_two_records_came_of_one_create_is_told_by_how_often_it_was_sent() {
        let once = how_doubled(Some(1));
        assert!(
            once.starts_with("it was sent once") && !once.contains("again"),
            "{once}"
        );
        let twice = how_doubled(Some(2));
        assert!(twice.starts_with("it was sent 2 times"), "{twice}");
        let unknown = how_doubled(None);
        assert!(
            !unknown.contains("once") && !unknown.contains("times"),
            "{unknown}"
        );
    }
}
