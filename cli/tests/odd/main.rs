//! Systems that misbehave in ways that somebody met, each as an HTTP server of its own with a real `tandem up` beside
//! it. What became of the records is asked of the systems. Nothing here waits for a fixed time: conditions have deadlines.

#[expect(dead_code, reason = "the tests of other processes use the rest of it")]
#[path = "../common/mod.rs"]
mod common;
mod kit;

mod edits;
mod forms;
mod gone;
mod hooks;
mod listings;
mod records;
mod waits;
