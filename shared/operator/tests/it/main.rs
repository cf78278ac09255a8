//! The operator's use cases over a real, throw-away storage.

mod control;
mod dead_letters;
mod inbox;
mod linking;
mod outdated;
mod questions;
mod story;
mod support;
