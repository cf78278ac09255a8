//! The scheduler: passes that bring the store back to where it should be, again and again.
//!
//! A pass takes no input but the time, looks at what is stored, and does what is missing. Doing it
//! twice is doing it once, so a pass may be stopped anywhere, run early, or run in two processes.
//! Nothing is remembered here that cannot be lost.
//!
//! The scheduler never reads a clock itself, never does the work of a job, and never ends by an error:
//! what fails is logged once and tried again.

mod leader;
pub mod passes;
mod scheduler;
pub mod service;
mod settings;
mod trace;

pub use leader::Leader;
pub use scheduler::{Scheduler, Waker};
pub use settings::{Retention, SchedulerSettings};
