//! The REST connector against a small server that plays a vendor.

mod auth;
mod budget;
mod failures;
mod paging;
mod reading;
mod server;
mod writing;
