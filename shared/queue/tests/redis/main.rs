//! The doorbell over a real Redis that is stopped, stalled and emptied.

mod outages;
mod ringing;
mod running;
mod starting;
mod support;
