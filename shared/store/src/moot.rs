//! When nobody has to answer a question any more, for all kinds in one place: the storages, the workers and the
//! operator's verbs tell what they found out, and ask here which questions that ends. A question that stayed open
//! would be counted for ever, and would offer what cannot be done any more; an answer that stayed would be carried out
//! when everybody has forgotten it.

use tandem_domain::ConflictId;

use crate::conflicts::ConflictState;
use crate::question_kind::QuestionKind;

/// What was found out about the records of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The record has a partner.
    Linked,
    /// A person said to leave the record, or one of its pair, alone.
    LeftAlone,
    /// The record is gone from its system, and had no partner.
    Gone,
    /// The record is out of use: archived or inactive. It gets no partner then.
    OutOfUse,
    /// The filters of the sync leave the record out.
    Filtered,
    /// The other record, beside which it was one too many, is not there any more.
    Alone,
    /// The record that a person chose as its partner has another one by now, or is left alone.
    ChoiceTaken,
    /// The record that a person chose as its partner is gone, or out of use.
    ChoiceGone,
    /// A new record was to be made, and the sync makes none on that side.
    NoneMade,
    /// A new record was to be made, and there is no value to make it of.
    Empty,
    /// The pair is no pair any more.
    PairEnded,
    /// A person took the pair apart by hand.
    TakenApart,
    /// Both records of the pair are there, so that nothing is deleted.
    Whole,
    /// Which record of the pair is gone is not the one that was asked about.
    OtherGone,
    /// Both records of the pair are the ones that were linked.
    Same,
    /// A value that the question showed when it was answered has changed since.
    Outdated,
    /// Both sides agree: in the field that is asked about, or in all.
    Agree,
    /// Each side has again what it had when both were last settled, though that is not the same.
    Unmoved,
    /// No record lacks the field any more.
    Shown,
    /// The whole system was set back, and that is asked once for all.
    PartOfOne,
    /// No linked record is older or missing any more.
    UpToDate,
}

impl Fact {
    /// What a person is told of a question that this ended.
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::Linked => "the record has a partner by now",
            Self::LeftAlone => "it is left alone by now, as a person said",
            Self::Gone => "the record is gone",
            Self::OutOfUse => {
                "the record is archived or inactive by now, and gets no partner; it is looked at again when it is in use"
            }
            Self::Filtered => {
                "the filters of the sync leave the record out by now; it is looked at again when they do not"
            }
            Self::Alone => "the other record is not there any more, so this one is not too many",
            Self::ChoiceTaken => {
                "the answer was not carried out: the record that it names has another partner by now, or is left alone; it is asked anew if it is still unclear"
            }
            Self::ChoiceGone => {
                "the answer was not carried out: the record that it names is gone, archived or inactive by now; it is asked anew if it is still unclear"
            }
            Self::NoneMade => {
                "the answer was not carried out: by `creates` the sync makes no records on the other side"
            }
            Self::Empty => {
                "the answer was not carried out: the record has no value in the fields of the sync, so there is nothing to make; it is looked at again when it has one"
            }
            Self::PairEnded => "the pair is no pair any more",
            Self::TakenApart => "the pair was taken apart by hand",
            Self::Whole => "both records of the pair are there, so nothing is to be deleted",
            Self::OtherGone => "the record that was gone is there again, and its partner is gone",
            Self::Same => "both records are the ones that were linked, after all",
            Self::Outdated => {
                "the answer was not carried out: a value that the question showed has changed since; it is asked anew with the values of now"
            }
            Self::Agree => "both sides agree by now",
            Self::Unmoved => {
                "the answer was not carried out: each side has again what it had before the edits that were asked about, so there is nothing to decide"
            }
            Self::Shown => "no record lacks the field any more",
            Self::PartOfOne => "it is part of the question whether the whole system was set back",
            Self::UpToDate => "no linked record is older or missing any more",
        }
    }

    /// Whether a question of this kind needs no answer, or its answer cannot be carried out, once this is known.
    #[must_use]
    pub const fn ends(self, kind: QuestionKind) -> bool {
        match kind {
            QuestionKind::Field | QuestionKind::NotKept => self.is_of_pair() || self.is_of_values(),
            QuestionKind::Ambiguous => self.is_of_record(),
            QuestionKind::Doubled => self.is_of_record() || matches!(self, Self::Alone),
            QuestionKind::DeleteHeld | QuestionKind::NotMade => {
                self.is_of_pair() || matches!(self, Self::Whole | Self::OtherGone)
            }
            QuestionKind::NotDeleted => {
                self.is_of_pair()
                    || matches!(
                        self,
                        Self::Linked | Self::Gone | Self::OutOfUse | Self::Filtered | Self::Whole
                    )
            }
            QuestionKind::Replaced => {
                self.is_of_pair() || matches!(self, Self::Same | Self::PartOfOne)
            }
            // It is about a whole side, whatever becomes of the record that it names.
            QuestionKind::SetBack => matches!(self, Self::UpToDate),
            QuestionKind::BackAndForth => self.is_of_pair() || self.is_of_values(),
            // It is about all records that lack the field, whatever becomes of the one that it names.
            QuestionKind::Emptied => matches!(self, Self::Shown),
            // No pair brings the edit back: only a person knows whether it is missed.
            QuestionKind::Overwritten => false,
        }
    }

    /// The words of the kinds that this ends.
    #[must_use]
    pub fn kinds(self) -> Vec<&'static str> {
        let all = QuestionKind::ALL.into_iter();
        all.filter(|kind| self.ends(*kind))
            .map(QuestionKind::as_str)
            .collect()
    }

    /// What ends any question about a pair: there is no pair to carry an answer out for.
    const fn is_of_pair(self) -> bool {
        matches!(self, Self::LeftAlone | Self::PairEnded | Self::TakenApart)
    }

    /// What ends any question about which of two values is right, or its answer.
    const fn is_of_values(self) -> bool {
        matches!(self, Self::Outdated | Self::Agree | Self::Unmoved)
    }

    /// What ends any question about which partner a record has, or its answer.
    const fn is_of_record(self) -> bool {
        matches!(
            self,
            Self::Linked
                | Self::LeftAlone
                | Self::Gone
                | Self::OutOfUse
                | Self::Filtered
                | Self::ChoiceTaken
                | Self::ChoiceGone
                | Self::NoneMade
                | Self::Empty
        )
    }
}

/// A question to close, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moot {
    /// The question.
    pub question: ConflictId,
    /// How it stood when that was found out. One that was answered since is looked at again, with its answer.
    pub was: ConflictState,
    /// What is known.
    pub fact: Fact,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Fact; 21] = [
        Fact::Linked,
        Fact::LeftAlone,
        Fact::Gone,
        Fact::OutOfUse,
        Fact::Filtered,
        Fact::Alone,
        Fact::ChoiceTaken,
        Fact::ChoiceGone,
        Fact::NoneMade,
        Fact::Empty,
        Fact::PairEnded,
        Fact::TakenApart,
        Fact::Whole,
        Fact::OtherGone,
        Fact::Same,
        Fact::Outdated,
        Fact::Agree,
        Fact::Unmoved,
        Fact::Shown,
        Fact::PartOfOne,
        Fact::UpToDate,
    ];

    fn ends(kind: QuestionKind) -> Vec<Fact> {
        ALL.into_iter().filter(|fact| fact.ends(kind)).collect()
    }

    #[test]
    fn that_an_edit_was_overwritten_is_never_moot_and_all_others_are_some_day() {
        for kind in QuestionKind::ALL {
            assert_eq!(
                ends(kind).is_empty(),
                kind == QuestionKind::Overwritten,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_held_delete_is_moot_once_both_records_are_there_and_a_question_about_a_field_is_not() {
        assert!(Fact::Whole.ends(QuestionKind::DeleteHeld));
        assert!(!Fact::Whole.ends(QuestionKind::Field));
        assert!(!Fact::Whole.ends(QuestionKind::BackAndForth));
    }

    #[test]
    fn what_a_record_matches_is_moot_once_it_has_a_partner_or_takes_no_part() {
        for fact in [
            Fact::Linked,
            Fact::LeftAlone,
            Fact::Gone,
            Fact::OutOfUse,
            Fact::Filtered,
        ] {
            assert!(fact.ends(QuestionKind::Ambiguous) && fact.ends(QuestionKind::Doubled));
            let is_of_record_alone = fact != Fact::LeftAlone;
            assert_eq!(!fact.ends(QuestionKind::Field), is_of_record_alone);
        }
    }

    #[test]
    fn that_a_record_was_not_deleted_is_moot_once_it_is_gone_or_has_another_partner() {
        for fact in [Fact::Gone, Fact::OutOfUse, Fact::Linked, Fact::TakenApart] {
            assert!(fact.ends(QuestionKind::NotDeleted), "{fact:?}");
        }
        assert!(!Fact::Agree.ends(QuestionKind::NotDeleted));
    }

    #[test]
    fn that_a_record_was_never_shown_is_moot_once_it_shows() {
        assert!(Fact::Whole.ends(QuestionKind::NotMade));
        assert!(!Fact::Agree.ends(QuestionKind::NotMade));
    }

    #[test]
    fn a_field_that_vanished_from_many_records_is_asked_about_whatever_becomes_of_one_of_them() {
        assert_eq!(ends(QuestionKind::Emptied), [Fact::Shown]);
    }
}
