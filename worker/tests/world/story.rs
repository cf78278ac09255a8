//! All that happened in a world, as text: what was said to the systems, and what the storage keeps of it. The same
//! seed tells the same story, to the byte.

use std::fmt::Debug;

use tandem_domain::Timestamp;
use tandem_store::{ChangeFilter, JobFilter};

use super::World;

/// More than any world has.
const ALL: usize = 10_000;

impl World {
    /// What was asked and answered, the log, the journal, the pairs, the questions, the jobs.
    pub async fn story(&self) -> String {
        let filter = ChangeFilter {
            limit: ALL,
            ..ChangeFilter::default()
        };
        let changes = self.store.changes(&filter).await;
        let links = self.store.links(&self.sync, None, ALL).await;
        let ever = Timestamp::from_micros(i64::MAX);
        let open = self.store.stale_intents(ever, None, ALL).await;
        let filter = JobFilter {
            limit: ALL,
            ..JobFilter::default()
        };
        let jobs = self.store.jobs(&filter).await;
        let parts = [
            self.ledger.story(),
            lines(&self.ledger.all()),
            lines(&changes.expect("the storage answers")),
            lines(&links.expect("the storage answers")),
            lines(&open.expect("the storage answers")),
            lines(&self.questions().await),
            lines(&jobs.expect("the storage answers")),
        ];
        parts.join("\n\n")
    }
}

fn lines<T: Debug>(rows: &[T]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.join("\n")
}
