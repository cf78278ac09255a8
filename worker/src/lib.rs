//! What workers do with a claimed job: read both sides, plan, journal, send, read back, confirm.
//!
//! A job is level-triggered: it trusts nothing that an event said but the record's id. Nothing is sent
//! that is not in the journal first, and nothing is believed that was not read back.

mod asked;
mod back_again;
mod brake;
mod compare;
mod context;
mod edits;
mod executor;
mod failure;
mod first_sync;
mod handler;
mod health;
mod jobs;
mod listing;
mod open_questions;
mod patience;
mod planned;
mod preview;
mod readings;
mod reconcile;
pub mod service;
mod standing;
mod survey;
mod trace;
mod whole;
mod witness;

pub use compare::{About, Comparison, Difference, compare};
pub use context::Context;
pub use failure::WorkError;
pub use handler::Worker;
pub use health::Health;
pub use open_questions::Question;
pub use planned::LeftBy;
pub use preview::{Preview, PreviewItem};
pub use survey::{Listed, Progress, Survey, survey};
pub use whole::WHOLE_MAX;
