//! The kinds of questions, without what each of them holds.

/// A kind of question, see [`crate::ConflictKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    /// Both sides changed a field whose policy is to ask.
    Field,
    /// Which record of the other side is the same.
    Ambiguous,
    /// A value was taken and not kept.
    NotKept,
    /// Whether the partner of a record that is gone is to be deleted.
    DeleteHeld,
    /// A delete was answered with success and not carried out.
    NotDeleted,
    /// A create was answered with a record that its system never showed.
    NotMade,
    /// An edit that a write of ours went over.
    Overwritten,
    /// Whether a field that vanished was emptied.
    Emptied,
    /// Whether it is still the record that was linked.
    Replaced,
    /// Whether the system of a side was set back to an older state.
    SetBack,
    /// Who changes a pair back.
    BackAndForth,
    /// Which of two records that we made is too many.
    Doubled,
}

impl QuestionKind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 12] = [
        Self::Field,
        Self::Ambiguous,
        Self::NotKept,
        Self::DeleteHeld,
        Self::NotDeleted,
        Self::NotMade,
        Self::Overwritten,
        Self::Emptied,
        Self::Replaced,
        Self::SetBack,
        Self::BackAndForth,
        Self::Doubled,
    ];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Ambiguous => "ambiguous",
            Self::NotKept => "not_kept",
            Self::DeleteHeld => "delete_held",
            Self::NotDeleted => "not_deleted",
            Self::NotMade => "not_made",
            Self::Overwritten => "overwritten",
            Self::Emptied => "emptied",
            Self::Replaced => "replaced",
            Self::SetBack => "set_back",
            Self::BackAndForth => "back_and_forth",
            Self::Doubled => "doubled",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}
