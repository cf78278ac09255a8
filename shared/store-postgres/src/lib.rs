//! The production storage: PostgreSQL, shared by as many processes as one likes.
//!
//! Each verb is one transaction (module `txn`), committed with `synchronous_commit` as the server has
//! it: a call returns after the server has it on disk, never before. Verbs of different processes meet
//! here, so each names what it locks: rows are locked in the order of their lanes or ids, a claim skips
//! what another claim holds, unique indexes decide who was first, and whoever loses a race is run again.
//!
//! This crate never reads a clock, never draws a random number, and has no opinion on what to do: it
//! keeps rows.

mod alone;
mod brake;
mod changes;
mod config;
mod conflicts;
mod events;
mod group;
mod health;
mod jobs;
mod leases;
mod links;
mod listings;
mod open;
#[cfg(test)]
mod plans;
mod rows;
mod runs;
mod schema;
mod set_back;
mod singly;
mod sql;
mod tally;
mod txn;

use async_trait::async_trait;
use sqlx::PgPool;
use tandem_store::{Change, Conflict, Event, JournalError, PairContext, Store, StoreError};

use group::Group;

pub use open::PostgresOptions;

/// A PostgreSQL database as a [`Store`].
pub struct PostgresStore {
    pool: PgPool,
    pairs: Group<links::Asked, PairContext>,
    journalled: Group<links::Entry, Result<(), JournalError>>,
    confirmations: Group<links::Step, Result<(), JournalError>>,
    questions: Group<String, Option<Conflict>>,
    events: Group<singly::OfRecord, Option<Vec<Event>>>,
    changes: Group<singly::OfLink, Option<Vec<Change>>>,
}

impl PostgresStore {
    fn new(pool: PgPool) -> Self {
        Self {
            pairs: Group::start(pool.clone(), links::pairs),
            journalled: Group::start(pool.clone(), links::journal_linked),
            confirmations: Group::start(pool.clone(), links::confirm_all),
            questions: Group::start(pool.clone(), singly::questions_about),
            events: Group::start(pool.clone(), singly::events_of),
            changes: Group::start(pool.clone(), singly::changes_of),
            pool,
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        const PROBE: &str = "-- probe
INSERT INTO leases (name, holder, held_until) VALUES ('storage-probe', '', 0)
ON CONFLICT (name) DO UPDATE SET held_until = leases.held_until + 1";
        // A write, because reading goes on when the disk is full; and of something new, because what is there
        // already is not written again.
        alone::run(&self.pool, sqlx::query(PROBE)).await?;
        let mut conn = alone::acquire(&self.pool).await?;
        schema::check(&mut conn).await
    }

    /// The server has everything, and sees to it that a connection ends.
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
