//! What tests share: a clock that stands still, seeded chance, makers of rows, a throw-away
//! storage, the contract that every storage must pass ([`contract`], [`contract_suite!`]), and
//! throw-away servers ([`servers`]).
//!
//! Only for tests; nothing here is in a binary.

mod chance;
mod clock;
pub mod contract;
mod heard;
mod make;
mod otlp;
pub mod servers;
mod temporary;
pub mod upgrade;

pub use chance::SeededEntropy;
pub use clock::TestClock;
pub use heard::HeardSpans;
pub use make::Make;
pub use otlp::{OtlpReceiver, ReceivedSpan};
pub use temporary::TemporaryStore;
