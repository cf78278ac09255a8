//! Named lives: what once went wrong in a seeded one, and what must hold whatever the seed.

mod creates;
mod deletes;
mod edits;
mod questions;
mod runs;
