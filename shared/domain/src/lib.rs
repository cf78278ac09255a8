//! The words of Tandem: ids, instants, canonical values, names, and what an error asks for next.
//!
//! This crate never performs I/O, never reads a clock, never draws a random number, and is
//! never async. Time and chance come in as arguments ([`Timestamp`], [`Entropy`]).

mod called;
mod checksum;
mod clock_watch;
mod day;
mod disposition;
mod id;
pub mod line;
mod names;
mod normal;
mod retry;
mod stays;
pub mod suggest;
mod time;
mod value;

pub use called::called;
pub use checksum::checksum;
pub use clock_watch::ClockWatch;
pub use day::Day;
pub use disposition::{Disposition, ErrorCode};
pub use id::{
    ChangeId, ConflictId, DeliveryId, Entropy, EventId, IdParseError, IntentId, JobId, LeaseToken,
    LinkId, RunId,
};
pub use names::{ConnectionName, NameError, RecordId, Side, StreamName, SyncName};
pub use normal::{canonical, decomposed, is_same_text, normal};
pub use retry::RetryPolicy;
pub use stays::Stays;
pub use time::{Clock, MeasuredOffset, Timestamp, TimestampError};
pub use value::{BaseValue, FieldType, Fields, Money, Value, ValueError};
