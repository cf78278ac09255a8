//! tandem-connectors
pub mod webhook;
