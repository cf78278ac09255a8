//! Rate limits that all processes of a fleet keep together, counted in Redis.
//!
//! [`FleetBudgets`] makes the [`RequestBudget`](tandem_connectors::budget::RequestBudget)s of connections.
//! A request is taken out of all limits of its connection by one script (`lua/take.lua`), by the clock of
//! Redis; requests that wait at the same time are taken together, and where a limit is high a few are taken
//! ahead for the next 200 ms.
//!
//! Redis holds nothing here that cannot be lost. What keeps the limits while it is away:
//!
//! - Every process beats there (`lua/beat.lua`). One that has had no answer for [`Timings::share_after`]
//!   goes by its own share, the limit divided by the size of the fleet; by then the others count it as
//!   away and leave it that share. In between it holds its requests back.
//! - When Redis was empty, or nobody beat for a while, a new span begins: every bucket is empty, and nothing
//!   is given out for [`Timings::settle`], in which the others find Redis again and report
//!   (`lua/report.lua`) what the day's count was and what they have used since.
//!
//! What is not covered: a process that is cut off alone for longer than [`Timings::remembered`] is forgotten
//! by the others while it goes on with its share; and one that has never reached Redis only knows
//! [`FleetSettings::fleet_size_hint`]. Then the limit can be exceeded by that share, and the system's own
//! 429 is heeded. This crate sends no requests to systems and has no SQL.

mod alone;
mod beat;
mod budget;
mod fleet;
mod link;
mod reply;
mod scripts;
mod settings;
mod stock;

pub use fleet::FleetBudgets;
pub use settings::{FleetError, FleetSettings, Timings};
