//! The simulated systems over real HTTP, as a product would meet them.

mod crm;
mod faults;
mod finance;
mod support;
mod users;
mod webhooks;
