//! Webhooks whose signature is wrong, by connection. One of them is somebody's try; many are a secret that was
//! changed on one side only, which nobody would notice from a 401 that the sender alone sees. One that is signed
//! rightly is noted beside them, whichever process had the others: two senders may sign by turns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_domain::{Clock, ConnectionName, Timestamp};
use tandem_operator::views::{BADLY_SIGNED_SHOWN, Signed};
use tandem_store::{ConnectionHealth, Refused, Store, StoreError};
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
    untold: Option<Refused>,
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
            let before = count.untold;
            count.untold = Some(Refused {
                count: before.map_or(0, |before| before.count).saturating_add(1),
                first_at: before.map_or(now, |before| before.first_at),
                last_at: now,
            });
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

    /// What is to be told now.
    fn due(&self, now: Timestamp) -> Vec<(ConnectionName, Refused)> {
        let mut due = Vec::new();
        for (connection, count) in &mut *self.lock() {
            let is_time = !count
                .told_at
                .is_some_and(|at| at.is_within(TELL_EVERY, now));
            if let Some(refused) = count.untold.take_if(|_| is_time) {
                due.push((connection.clone(), refused));
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
        let due = self.due(now);
        for (connection, refused) in &due {
            let anew = now.minus(BADLY_SIGNED_SHOWN);
            store.note_badly_signed(connection, *refused, anew).await?;
        }
        let verified = self.verified();
        if due.is_empty() && verified.is_empty() {
            return Ok(());
        }
        for known in store.health().await? {
            let connection = &known.connection;
            let is_news = due.iter().any(|(of, _)| of == connection);
            let known = match verified.get(connection) {
                Some(at) if Signed::of(&known, now).is_some() => {
                    store.note_rightly_signed(connection, *at).await?;
                    ConnectionHealth {
                        rightly_signed_at: known.rightly_signed_at.max(Some(*at)),
                        ..known.clone()
                    }
                }
                _ => known.clone(),
            };
            if let Some(signed) = Signed::of(&known, now).filter(|_| is_news) {
                tracing::warn!(connection = %known.connection, count = known.badly_signed, "{}", signed.words(&known.connection));
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
        let refused = |count, first, last| Refused {
            count,
            first_at: at(first),
            last_at: at(last),
        };
        assert_eq!(distrust.due(at(0)), []);
        distrust.note(&crm(), at(1));
        assert_eq!(distrust.due(at(1)), [(crm(), refused(1, 1, 1))]);
        for second in 2..9 {
            distrust.note(&crm(), at(second));
        }
        assert_eq!(distrust.due(at(60)), []);
        assert_eq!(distrust.due(at(61)), [(crm(), refused(7, 2, 8))]);
        assert_eq!(distrust.due(at(200)), []);
    }

    #[tokio::test]
    async fn what_is_signed_rightly_is_noted_beside_what_is_not_whichever_process_had_either() {
        let kept = TemporaryStore::open().await;
        let store = kept.shared();
        let at = Timestamp::from_secs;
        let known = async || {
            let known = store.health().await.expect("asked").remove(0);
            (
                known.badly_signed,
                known.badly_signed_at,
                known.rightly_signed_at,
            )
        };
        let (one, other) = (Distrust::default(), Distrust::default());
        one.note(&crm(), at(10));
        one.tell(&*store, at(15)).await.expect("told");
        assert_eq!(known().await, (1, Some(at(10)), None));

        other.trust(&crm(), at(21));
        other.tell(&*store, at(25)).await.expect("told");
        assert_eq!(known().await, (1, Some(at(10)), Some(at(21))));

        one.note(&crm(), at(80));
        one.tell(&*store, at(85)).await.expect("told");
        assert_eq!(known().await, (2, Some(at(80)), Some(at(21))));

        let late = 80 + 20 * 60;
        other.trust(&crm(), at(late));
        other.tell(&*store, at(late)).await.expect("told");
        assert_eq!(
            known().await,
            (2, Some(at(80)), Some(at(21))),
            "nobody asks any more"
        );
    }
}
