//! What an operator can ask of Tandem and tell it: the use cases behind the HTTP API, the dashboard
//! and the command line, each verb once. Also the hooks: how a webhook body becomes events, which the
//! ingress and a replay do alike.
//!
//! This crate knows no HTTP and no SQL, and never reads a clock: time and chance come in with
//! [`Operator::new`].

pub mod hooks;
