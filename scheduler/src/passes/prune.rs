//! Removes what has ended and is older than is to be kept. What is open stays, however old.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::Timestamp;
use tandem_store::{Store, StoreError};

use super::{Pass, PassReport};
use crate::settings::Retention;

/// Rows removed in one transaction, so that nobody waits long behind it.
const BATCH_ROWS: usize = 500;
/// Transactions of each kind in one go.
const BATCHES_MAX: usize = 20;
/// When more remains, the next go comes after this.
const PAUSE: Duration = Duration::from_secs(2);

/// See the module.
pub struct Prune {
    store: Arc<dyn Store>,
    retention: Retention,
}

#[derive(Clone, Copy)]
enum Table {
    Events,
    Jobs,
    Changes,
    Runs,
}

impl Prune {
    /// The pass over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, retention: Retention) -> Self {
        Self { store, retention }
    }

    async fn batch(&self, table: Table, now: Timestamp) -> Result<usize, StoreError> {
        let Retention {
            events,
            jobs,
            changes,
            runs,
        } = self.retention;
        match table {
            Table::Events => self.store.prune_events(now.minus(events), BATCH_ROWS).await,
            Table::Jobs => self.store.prune_jobs(now.minus(jobs), BATCH_ROWS).await,
            Table::Changes => {
                self.store
                    .prune_changes(now.minus(changes), BATCH_ROWS)
                    .await
            }
            Table::Runs => self.store.prune_runs(now.minus(runs), BATCH_ROWS).await,
        }
    }

    /// Removes batch after batch; says how many rows went and whether more remain.
    async fn table(&self, table: Table, now: Timestamp) -> Result<(usize, bool), StoreError> {
        let mut removed = 0;
        for _ in 0..BATCHES_MAX {
            let batch = self.batch(table, now).await?;
            removed += batch;
            if batch < BATCH_ROWS {
                return Ok((removed, false));
            }
        }
        Ok((removed, true))
    }
}

#[async_trait]
impl Pass for Prune {
    fn name(&self) -> &'static str {
        "prune"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        let mut report = PassReport::default();
        // Deliveries first: they hold on to the jobs that they caused.
        for table in [Table::Events, Table::Jobs, Table::Changes, Table::Runs] {
            let (removed, more) = self.table(table, now).await?;
            report.handled += removed;
            if more {
                report.next = Some(now.plus(PAUSE));
            }
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use tandem_store::{Progress, RunKind, RunState, Trigger};

    use super::super::support::Fixture;
    use super::*;
    use crate::settings::SchedulerSettings;

    #[tokio::test]
    async fn what_has_ended_long_ago_goes_and_what_is_open_stays() {
        let fixture = Fixture::open().await;
        let old = fixture.begin_run("customers", RunKind::Poll).await;
        let end = |id, state| {
            let (store, now) = (fixture.store.shared(), fixture.now());
            async move {
                let progress = Progress::default();
                store
                    .end_run(id, state, &progress, None, None, now)
                    .await
                    .expect("ended");
            }
        };
        end(old.id, RunState::Failed).await;
        let newest = fixture.begin_run("customers", RunKind::Poll).await;
        end(newest.id, RunState::Succeeded).await;
        let open = fixture.begin_run("customers", RunKind::Sweep).await;
        assert_eq!(open.trigger, Trigger::Schedule);
        let pass = Prune::new(
            fixture.store.shared(),
            SchedulerSettings::default().retention,
        );
        assert_eq!(pass.run(fixture.now()).await.expect("it runs").handled, 0);
        let later = fixture.now().plus(Duration::from_secs(91 * 86_400));
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        assert!(fixture.store.run(old.id).await.expect("asked").is_none());
        assert!(fixture.store.run(newest.id).await.expect("asked").is_some());
        assert!(fixture.store.run(open.id).await.expect("asked").is_some());
    }
}
