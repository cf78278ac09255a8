//! The operator's desk: the same verbs on what is kept here, or on a Tandem elsewhere through its HTTP API.
//! A command does not know which of the two it works on.
//!
//! Not here: what needs the database itself (`db`, `apply`, `export`) or the systems (`check`, `sync plan`,
//! `sync verify`).

mod glance;
mod letters;
mod questions;
mod records;
mod remote;

use std::sync::Arc;

use serde::Serialize;
use tandem_operator::Operator;

pub use remote::Remote;

/// Where an operator's verbs are carried out.
#[derive(Clone)]
pub enum Desk {
    /// On the storage, by this process.
    Local(Box<Operator>),
    /// By a Tandem elsewhere.
    Remote(Arc<Remote>),
}

/// Nothing to choose.
#[derive(Serialize)]
struct Whole {}
