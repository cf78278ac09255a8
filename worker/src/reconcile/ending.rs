//! Why a pair ended, in words: for its job, for the change log, and for whoever asks about it later. This module never
//! decides anything.

use tandem_domain::Side;
use tandem_engine::{DeletePolicy, LinkFate, Plan};
use tandem_store::{ChangeFilter, IntentOp, Link, Operation, QuestionKind, Resolution};

use super::linked::Open;
use super::replaced::REPLACED;
use super::sending::Carried;
use crate::executor::Work;
use crate::failure::WorkError;

/// How a record stands when its pair ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Here,
    OutOfUse,
    Gone,
}

/// What ended a pair of which one record is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Its delete was carried over.
    Deleted { approved: bool },
    /// A person said to keep the other.
    Rejected,
    /// A create of ours was answered and made nothing, and a person said what becomes of the record that it was for.
    NotMade { again: bool },
    /// A person said that the records are no pair.
    Answered,
    /// A person said that what the partner of a record holds counts, and that record is gone, or somebody else has its id.
    Taken,
    /// It was made again under another id.
    MadeAgain,
    /// Nobody said anything: the policy holds.
    Policy(DeletePolicy),
}

/// Why the pair of a plan ends.
pub(super) fn why(work: Work<'_>, open: &Open, planned: &Plan, carried: &[Carried]) -> String {
    let names = Side::BOTH.map(|side| {
        let id = open.link.side(side).id.as_ref();
        let connection = &work.sync.end(side).connection;
        id.map_or_else(
            || format!("the record of {connection}"),
            |id| format!("record {id} of {connection}"),
        )
    });
    let stands = Side::BOTH.map(|side| stands(open, side));
    let gone = if stands[0] == Stands::Here {
        Side::B
    } else {
        Side::A
    };
    let cause = cause(work, open, planned, carried, gone);
    words(&names, stands, cause)
}

/// Why a pair that was retired before ended, as the log has it.
pub(super) async fn known(work: Work<'_>, link: &Link) -> Result<String, WorkError> {
    let filter = ChangeFilter {
        link: Some(link.id),
        operation: Some(Operation::Unlink),
        limit: 1,
        ..ChangeFilter::default()
    };
    let ended = work.context.store.changes(&filter).await?.pop();
    let why = ended.and_then(|ended| ended.error);
    // What ended before the log said why, or so long ago that the log is pruned.
    Ok(why.unwrap_or_else(|| format!("the pair had ended by {}", link.updated_at)))
}

fn stands(open: &Open, side: Side) -> Stands {
    match open.pair.side(side) {
        None => Stands::Gone,
        Some(reading) if reading.record.archived || reading.counts_as_gone => Stands::OutOfUse,
        Some(_) => Stands::Here,
    }
}

fn cause(work: Work<'_>, open: &Open, planned: &Plan, carried: &[Carried], gone: Side) -> Cause {
    let answered = |asked: &str, resolution: &Resolution| {
        let mut rulings = open.context.rulings.iter();
        rulings.any(|ruling| ruling.asked == asked && ruling.resolution == *resolution)
    };
    let held = QuestionKind::DeleteHeld.as_str();
    if carried.iter().any(|one| one.intent.op == IntentOp::Delete) {
        let again = QuestionKind::NotDeleted.as_str();
        let approved = [held, again]
            .iter()
            .any(|asked| answered(asked, &Resolution::Approve));
        return Cause::Deleted { approved };
    }
    let not_made = QuestionKind::NotMade.as_str();
    for (answer, again) in [(Resolution::CreateNew, true), (Resolution::Dismiss, false)] {
        if answered(not_made, &answer) {
            return Cause::NotMade { again };
        }
    }
    let policy = work.sync.policy.deletes.when_gone(gone);
    match planned.link {
        LinkFate::Dissolve if answered(REPLACED, &Resolution::Reject) => Cause::Answered,
        LinkFate::Dissolve if open.is_taken_apart => Cause::Taken,
        LinkFate::Dissolve if !open.found.is_empty() => Cause::MadeAgain,
        _ if answered(held, &Resolution::Reject) => Cause::Rejected,
        _ => Cause::Policy(policy),
    }
}

fn words([a, b]: &[String; 2], stands: [Stands; 2], cause: Cause) -> String {
    let (gone, side, rest, how) = match stands {
        [Stands::Here, Stands::Here] if cause == Cause::Taken => {
            return format!(
                "a person said which side counts, and under the id of {a} or {b} there is another record by now: each is looked at \
                 by itself"
            );
        }
        [Stands::Here, Stands::Here] => {
            return format!(
                "a person said that {a} and {b} are no pair: each is looked at by itself"
            );
        }
        [Stands::Here, how] => (b, Side::B, a, how),
        [how, Stands::Here] => (a, Side::A, b, how),
        _ => return format!("{a} and {b} are both gone, or out of use"),
    };
    let is_gone = match how {
        Stands::OutOfUse => "is out of use (archived or inactive)",
        Stands::Here | Stands::Gone if matches!(cause, Cause::NotMade { .. }) => "was never shown",
        Stands::Here | Stands::Gone => "is gone",
    };
    let so = match cause {
        Cause::Deleted { approved: true } => {
            format!("{rest} was deleted too, as a person approved")
        }
        Cause::Deleted { approved: false } => {
            format!("{rest} was deleted too (`deletes.{side}_gone: propagate`)")
        }
        Cause::Rejected => format!("a person said to keep {rest}: it is left alone"),
        Cause::NotMade { again: true } => {
            format!(
                "our create of it was answered, and a person said to send it again: {rest} is looked at by itself"
            )
        }
        Cause::NotMade { again: false } => {
            format!(
                "our create of it was answered, and a person said to leave {rest} without a partner"
            )
        }
        Cause::Answered => {
            format!("a person said that the two are no pair: {rest} is looked at by itself")
        }
        Cause::Taken => {
            format!(
                "a person said that what {rest} holds counts: it gets a partner again, like any record without one"
            )
        }
        Cause::MadeAgain => {
            format!("was made again under another id, which {rest} is compared with")
        }
        Cause::Policy(DeletePolicy::Ignore) => {
            format!("{rest} is left alone (`deletes.{side}_gone: ignore`)")
        }
        Cause::Policy(DeletePolicy::Unlink) => {
            format!("{rest} is a record without a partner now (`deletes.{side}_gone: unlink`)")
        }
        Cause::Policy(DeletePolicy::Propagate) if how == Stands::OutOfUse => {
            format!("{rest} is left alone: nothing takes a record into use again")
        }
        Cause::Policy(DeletePolicy::Propagate) => format!(
            "{rest} was edited since, so it is not deleted; `create` of the sync lets no partner be made for it: it is \
             left alone"
        ),
    };
    format!("{gone} {is_gone}; {so}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stands: [Stands; 2], cause: Cause) -> String {
        let names = ["record a1 of crm", "record b1 of books"].map(str::to_owned);
        words(&names, stands, cause)
    }

    #[test]
    fn the_end_of_a_pair_is_told_by_what_ended_it_and_not_by_a_policy_that_did_not() {
        let gone = [Stands::Gone, Stands::Here];
        let ignored = told(gone, Cause::Policy(DeletePolicy::Ignore));
        assert_eq!(
            ignored,
            "record a1 of crm is gone; record b1 of books is left alone (`deletes.a_gone: ignore`)"
        );
        for cause in [
            Cause::Deleted { approved: true },
            Cause::Rejected,
            Cause::Answered,
            Cause::Taken,
        ] {
            let told = told(gone, cause);
            assert!(told.contains("a person"), "{told}");
            assert!(!told.contains("deletes."), "{told}");
        }
        let both_here = told([Stands::Here, Stands::Here], Cause::Taken);
        for told in [told(gone, Cause::Taken), both_here] {
            assert!(!told.contains("no pair"), "nobody said that: {told}");
        }
        let carried = told(gone, Cause::Deleted { approved: false });
        assert!(carried.contains("`deletes.a_gone: propagate`"), "{carried}");
        assert!(!carried.contains("left alone"), "{carried}");
        let archived = [Stands::Here, Stands::OutOfUse];
        let archived = told(archived, Cause::Policy(DeletePolicy::Unlink));
        assert!(
            archived.contains("record b1 of books is out of use"),
            "{archived}"
        );
        assert!(archived.contains("`deletes.b_gone: unlink`"), "{archived}");
        let both = told([Stands::Gone, Stands::OutOfUse], Cause::Rejected);
        assert!(both.contains("both gone"), "{both}");
    }
}
