//! What an operator can ask of Tandem and tell it: the use cases behind the HTTP API, the dashboard
//! and the command line, each verb once. Also the hooks: how a webhook body becomes events, which the
//! ingress and a replay do alike.
//!
//! This crate knows no HTTP and no SQL, and never reads a clock: time and chance come in with
//! [`OperatorParts`].

mod answers;
mod by_hand;
mod conflicts;
mod control;
mod dead_letters;
mod edited_since;
mod error;
pub mod hooks;
mod inbox;
mod linking;
mod lists;
mod offered;
mod operator;
mod reasons;
mod span;
mod status;
mod still_shown;
mod story;
mod systems;
pub mod views;

pub use answers::{LeftOpen, Resolved};
pub use conflicts::{Confirmed, ConflictQuery};
pub use control::{Start, Switch};
pub use dead_letters::{
    CauseGroup, DeadLetter, DeadLetterDetail, DeadLetterGroups, DeadLetterId, DeadLetterQuery,
    Discarded, Letter, Offers, Replayed, Selection, Skipped,
};
pub use error::OperatorError;
pub use inbox::EventQuery;
pub use linking::{LinkingView, WrittenOverView};
pub use lists::{ChangeQuery, JobQuery, RunQuery};
pub use offered::NotOffered;
pub use operator::{Operator, OperatorParts, PAGE_ROWS};
pub use status::{
    ConnectionStatus, Counted, FilteredSide, NoticeView, OpenWrites, QueueStatus, SetBackNotice,
    Status, SyncStatus,
};
pub use story::{End, Ends, Story, WaitsFor};
pub use systems::{NoSystems, Standing, Systems};
