//! Webhooks whose signature is wrong, by connection. One of them is somebody's try; many are a secret that was
//! changed on one side only, which nobody would notice from a 401 that the sender alone sees. One that is signed
//! rightly ends the complaint, whichever process made it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_domain::{Clock, ConnectionName, Timestamp};
use tandem_operator::views::{badly_signed_words, rightly_signed_words};
use tandem_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Of one connection it is told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Counts them. Only connections that are configured have a count, so there are few.
#[derive(Debug, Default)]
pub struct Distrust {
    counts: Mutex<BTreeMap<ConnectionName, Count>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    untold: u32,
    refused_at: Timestamp,
    told_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
    /// Whether one was verified, or something was told, since the last look.
    has_news: bool,
}

impl Distrust {
    /// A webhook of this connection was signed wrongly.
    pub fn note(&self, connection: &ConnectionName, now: Timestamp) {
        metrics::counter!(
            "tandem_webhooks_badly_signed_total",
            "connection" => connection.as_str().to_owned()
        )
        .increment(1);
        self.change(connection, |count| {
            count.untold = count.untold.saturating_add(1);
            count.refused_at = now;
        });
    }

    /// A webhook of this connection was signed rightly.
    pub fn trust(&self, connection: &ConnectionName, now: Timestamp) {
        self.change(connection, |count| {
            count.verified_at = Some(now);
            count.has_news = true;
        });
    }

    fn change(&self, connection: &ConnectionName, change: impl FnOnce(&mut Count)) {
        let mut counts = self.lock();
        match counts.get_mut(connection) {
            Some(count) => change(count),
            None => change(counts.entry(connection.clone()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionName, Count>> {
        // Nothing panics while it is held.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be told now: how many, and when the last of them came.
    fn due(&self, now: Timestamp) -> Vec<(ConnectionName, u32, Timestamp)> {
        let mut due = Vec::new();
        for (connection, count) in &mut *self.lock() {
            let is_time = count.told_at.is_none_or(|at| now.since(at) >= TELL_EVERY);
            if count.untold > 0 && is_time {
                due.push((connection.clone(), count.untold, count.refused_at));
                count.untold = 0;
                count.told_at = Some(now);
                count.has_news = true;
            }
        }
        due
    }

    /// When the last webhook was verified, of connections of which there is news.
    fn verified(&self) -> BTreeMap<ConnectionName, Timestamp> {
        let mut verified = BTreeMap::new();
        for (connection, count) in &mut *self.lock() {
            if std::mem::take(&mut count.has_news) {
                verified.extend(count.verified_at.map(|at| (connection.clone(), at)));
            }
        }
        verified
    }

    /// Tells of them, in the log and to whoever looks at the connection, until `shutdown`.
    pub async fn watch(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.tell(&*store, clock.now()).await {
                tracing::debug!(%error, "how webhooks are signed was not noted in the storage");
            }
        }
    }

    async fn tell(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        for (connection, count, last_at) in self.due(now) {
            tracing::warn!(%connection, count, "{}", badly_signed_words(&connection, count));
            store.note_badly_signed(&connection, count, last_at).await?;
        }
        let verified = self.verified();
        if verified.is_empty() {
            return Ok(());
        }
        for known in store.health().await? {
            let Some(last_at) = known.badly_signed_at.filter(|_| known.badly_signed > 0) else {
                continue;
            };
            let connection = &known.connection;
            if verified.get(connection).is_some_and(|at| *at > last_at) {
                tracing::info!(%connection, "{}", rightly_signed_words(connection, last_at));
                store.note_badly_signed(connection, 0, last_at).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tandem_testkit::TemporaryStore;

    use super::*;

    fn crm() -> ConnectionName {
        "crm".parse().expect("a name")
    }

    #[test]
    fn wrong_signatures_are_told_at_once_and_then_at_most_once_a_minute() {
        let distrust = Distrust::default();
        let at = Timestamp::from_secs;
        assert_eq!(distrust.due(at(0)), []);
        distrust.note(&crm(), at(1));
        assert_eq!(distrust.due(at(1)), [(crm(), 1, at(1))]);
        for second in 2..9 {
            distrust.note(&crm(), at(second));
        }
        assert_eq!(distrust.due(at(60)), []);
        assert_eq!(distrust.due(at(61)), [(crm(), 7, at(8))]);
        assert_eq!(distrust.due(at(200)), []);
    }

    #[tokio::test]
    async fn a_webhook_that_is_signed_rightly_ends_the_complaint_also_of_another_process() {
        let kept = TemporaryStore::open().await;
        let store = kept.shared();
        let at = Timestamp::from_secs;
        let known = async || {
            let known = store.health().await.expect("asked").remove(0);
            (known.badly_signed, known.badly_signed_at)
        };
        let (one, other) = (Distrust::default(), Distrust::default());
        one.note(&crm(), at(10));
        one.tell(&*store, at(15)).await.expect("told");
        assert_eq!(known().await, (1, Some(at(10))));

        other.trust(&crm(), at(9));
        other.tell(&*store, at(20)).await.expect("told");
        assert_eq!(known().await, (1, Some(at(10))), "that was before");
        other.trust(&crm(), at(21));
        other.tell(&*store, at(25)).await.expect("told");
        assert_eq!(known().await, (0, Some(at(10))));

        one.note(&crm(), at(80));
        one.tell(&*store, at(85)).await.expect("told");
        assert_eq!(known().await, (1, Some(at(80))));
    }
}
