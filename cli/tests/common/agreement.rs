//! Whether both sides agree, asked of the simulated systems themselves.

use std::time::Duration;

use serde_json::Value as Json;
use tandem_simulator::{Comparison, SimState, compare};

use super::http::within;
use super::system::System;

/// What both systems hold.
pub struct States {
    pub crm: SimState,
    pub books: SimState,
}

/// What both systems hold.
pub async fn states(crm: &System, books: &System) -> States {
    States {
        crm: crm.state().await,
        books: books.state().await,
    }
}

/// Waits until Tandem has nothing left to do and both systems agree, for so long at most. `status` is what
/// Tandem tells about itself, when it answers. Gives the last verdict, and whether that was so.
pub async fn agreement(
    (crm, books): (&System, &System),
    initial: &States,
    status: impl AsyncFn() -> Option<Json>,
    limit: Duration,
) -> (Comparison, bool) {
    let judge = async || {
        let now = states(crm, books).await;
        compare(&now.crm, &now.books, &initial.crm, &initial.books)
    };
    let settled = within(limit, async || {
        let status = status().await?;
        let idle = open_jobs(&status)? == 0 && dead_jobs(&status)? == 0;
        if !idle {
            return None;
        }
        let verdict = judge().await;
        verdict.agree.then_some(verdict)
    });
    match settled.await {
        Some(verdict) => (verdict, true),
        None => (judge().await, false),
    }
}

/// Jobs that wait or run; `None` while Tandem does not answer.
pub fn open_jobs(status: &Json) -> Option<u64> {
    let queue = &status["queue"];
    Some(queue["available"].as_u64()? + queue["running"].as_u64()?)
}

/// Dead letters.
pub fn dead_jobs(status: &Json) -> Option<u64> {
    status["queue"]["dead"].as_u64()
}
