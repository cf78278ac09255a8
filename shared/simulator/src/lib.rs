//! Seeded stand-ins for a CRM (HubSpot-shaped) and a finance system (Xero-shaped), over real HTTP.
//!
//! They exist to judge the product, so they share no code with it: signatures, wire shapes and
//! the comparison of the two sides are written here a second time, from the vendors' descriptions.
//! Each system holds its own records, edits itself through simulated users, tells changes by signed
//! webhooks and goes wrong at a chosen rate in the ways that real systems do, losing the answer
//! to a write that was carried out among them.
//!
//! Absent on purpose: persistence (a simulated system lives as long as its process), TLS, any
//! address but loopback, and knowledge of how the product works.

mod book;
mod chance;
mod clock;
mod compare;
mod config;
mod control;
mod crm;
mod faults;
mod fields;
mod finance;
mod population;
mod server;
mod sim;
mod simulator;
mod state;
mod users;
mod webhooks;
mod world;

pub use clock::SimClock;
pub use compare::{Aspect, Comparison, Difference, compare};
pub use config::{FinanceCredentials, SimConfig, SimKind, WebhookTarget};
pub use control::ControlError;
pub use faults::{Fault, Loss};
pub use fields::{Changes, Field, Fields};
pub use population::{Company, population};
pub use simulator::{SimError, Simulator};
pub use state::{Origin, SimCounters, SimRecord, SimState, SimWrite, WriteOp};
