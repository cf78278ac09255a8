//! What tests share: a clock that stands still, seeded chance, makers of rows, a throw-away
//! storage, and the contract that every storage must pass ([`contract`], [`contract_suite!`]).
//!
//! Only for tests; nothing here is in a binary.

mod chance;
mod clock;
pub mod contract;
mod make;
mod temporary;

pub use chance::SeededEntropy;
pub use clock::TestClock;
pub use make::Make;
pub use temporary::TemporaryStore;
