//! The REST connector against a small server that plays a vendor.

mod auth;
mod budget;
mod ends;
mod failures;
mod held_up;
mod paging;
mod reading;
mod send_right;
mod server;
mod unreadable;
mod writing;
