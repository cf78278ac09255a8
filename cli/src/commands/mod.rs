//! The commands, one a file.

pub mod simulate;
pub mod up;
pub mod webhook;
