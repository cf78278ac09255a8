//! Decides; never acts. Matching of records, the three-way plan of a pair, and the policies that
//! both follow are pure functions here: no I/O, no clock, no randomness, nothing async.

mod back_and_forth;
mod emptied;
mod equality;
mod filter;
mod form;
mod identity;
mod matching;
mod plan;
mod policy;
mod project;
mod recover;
mod settle;

pub use back_and_forth::back_and_forth;
pub use emptied::emptied;
pub use equality::same;
pub use filter::{FilteredBy, Part, part};
pub use form::{is_form_of, is_reduced_form_of};
pub use identity::{Marks, Mistaken, is_known, is_made_anew, keeps_most, mistaken};
pub use matching::{
    Ambiguity, Candidate, MatchKey, Matching, Single, contradicts, key_texts, match_all,
    match_form, match_keys, match_one, stored_as,
};
pub use plan::{
    Contest, Covered, Decision, FieldQuestion, Gone, LinkFate, Plan, PlannedWrite, Presence, Ruled,
    Snapshot, View, WriteOp, plan,
};
pub use policy::{
    Ambiguous, ConflictPolicy, Creates, DeletePolicies, DeletePolicy, Direction, Equality,
    FieldRule, Filter, SyncPolicy, Transform,
};
pub use project::{mapped, to_stream};
pub use recover::{
    OpenWrite, Recovered, Seen, base_with, edited_under, recover, stands_because_of,
};
pub use settle::{Between, NotKept, Settled, SideResult, settle};
