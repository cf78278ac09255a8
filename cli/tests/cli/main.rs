//! The built command line against two simulated systems, as a user runs it: processes, files, exit codes.

mod addresses;
mod configuration;
mod conflicts;
mod dead_letters;
mod filters;
mod hostile;
mod reload;
mod remote;
mod schedules;
mod support;
mod syncs;
mod usage;
mod verbs;
mod webhooks;
