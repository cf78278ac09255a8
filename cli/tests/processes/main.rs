//! Real processes against each other: two `tandem simulate`, and a `tandem up` on a data folder that is
//! killed, ended, started again, started twice, and started before its systems.
//!
//! Everything goes through files, ports and signals, as it does for a user; what became of the records is
//! asked of the simulated systems themselves. Nothing here waits for a fixed time: conditions have
//! deadlines. The one exception is the kill, which must come at a moment that nothing announces.

#[path = "../common/mod.rs"]
mod common;
mod disk;
mod door;
mod ending;
mod kills;
mod people;
mod reach;
mod site;
mod tandem;
