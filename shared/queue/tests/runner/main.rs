//! The runner against a small store in memory, on tokio's paused time: waits cost nothing, and every
//! duration can be asserted.

mod breaking;
mod endless;
mod failing;
mod memory;
mod running;
mod stopping;
mod support;
mod traces;
