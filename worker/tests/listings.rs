//! Listings and matching: which records a sync finds to be the same, what it makes of listings that behave
//! oddly, and what it holds and keeps meanwhile.

#[expect(dead_code, reason = "the simulation uses the rest of it")]
mod world;

mod listed;
