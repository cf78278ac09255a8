//! Webhooks whose signature is wrong, by connection. One of them is somebody's try; many are a secret that was
//! changed on one side only, which nobody would notice from a 401 that the sender alone sees.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_domain::{Clock, ConnectionName, Timestamp};
use tandem_operator::views::badly_signed_words;
use tandem_store::Store;
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
    told_at: Option<Timestamp>,
}

impl Distrust {
    /// A webhook of this connection was signed wrongly.
    pub fn note(&self, connection: &ConnectionName) {
        metrics::counter!(
            "tandem_webhooks_badly_signed_total",
            "connection" => connection.as_str().to_owned()
        )
        .increment(1);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match counts.get_mut(connection) {
            Some(count) => count,
            None => counts.entry(connection.clone()).or_default(),
        };
        count.untold = count.untold.saturating_add(1);
    }

    /// What is to be told now.
    fn due(&self, now: Timestamp) -> Vec<(ConnectionName, u32)> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (connection, count) in &mut *counts {
            let is_time = count.told_at.is_none_or(|at| now.since(at) >= TELL_EVERY);
            if count.untold > 0 && is_time {
                due.push((connection.clone(), count.untold));
                *count = Count {
                    untold: 0,
                    told_at: Some(now),
                };
            }
        }
        due
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
            let now = clock.now();
            for (connection, count) in self.due(now) {
                tracing::warn!(%connection, count, "{}", badly_signed_words(&connection, count));
                if let Err(error) = store.note_badly_signed(&connection, count, now).await {
                    tracing::debug!(%connection, %error, "wrong signatures were not noted in the storage");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_signatures_are_told_at_once_and_then_at_most_once_a_minute() {
        let distrust = Distrust::default();
        let crm: ConnectionName = "crm".parse().expect("a name");
        let at = Timestamp::from_secs;
        assert_eq!(distrust.due(at(0)), []);
        distrust.note(&crm);
        assert_eq!(distrust.due(at(1)), [(crm.clone(), 1)]);
        for _ in 0..7 {
            distrust.note(&crm);
        }
        assert_eq!(distrust.due(at(60)), []);
        assert_eq!(distrust.due(at(61)), [(crm, 7)]);
        assert_eq!(distrust.due(at(200)), []);
    }
}
