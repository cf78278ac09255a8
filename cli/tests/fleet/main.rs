//! The fleet: real `tandem-api`, `tandem-scheduler` and `tandem-worker` processes over a PostgreSQL and a
//! Redis of the test's own, between two simulated systems; and what production does to it.
//!
//! Everything goes through files, ports and signals, as it does in production. Whatever ends is started
//! again, as systemd or Kubernetes would, unless a test says otherwise; webhooks come through a balancer.
//! What became of the records is asked of the simulated systems, what became of the events of the
//! database. Nothing here waits for a fixed time, except for disturbances, whose length is their point.

mod balancer;
mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod database;
mod edits;
mod ending;
mod events;
mod fleet;
mod leader;
mod leases;
mod member;
mod operator;
mod polls;
mod redis;
mod refusals;
mod schedule;
mod site;
mod traces;
mod webhooks;
