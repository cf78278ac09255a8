//! Whether a process can do its work, for health checks. Looking writes to the storage, so what was seen holds
//! for some seconds: anybody may ask as often as they like.

use std::sync::Arc;
use std::time::Duration;

use tandem_store::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long what was seen holds.
const HOLDS: Duration = Duration::from_secs(2);
/// A storage that has not answered by then does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Looks whether the storage takes writes.
#[derive(Clone)]
pub struct Readiness(Arc<Looked>);

struct Looked {
    store: Arc<dyn Store>,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Readiness {
    /// Of a process that works with this storage.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Looked {
            store,
            last: Mutex::new(None),
        }))
    }

    /// Whether the storage takes writes now, or did a moment ago.
    ///
    /// # Errors
    /// What the storage says, in words.
    pub async fn check(&self) -> Result<(), String> {
        let mut last = self.0.last.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < HOLDS
        {
            return seen.clone();
        }
        let seen = self.look().await;
        let changed = last.as_ref().map(|(_, before)| before.is_ok()) != Some(seen.is_ok());
        match &seen {
            Err(reason) if changed => tracing::error!(%reason, "not ready"),
            Ok(()) if changed && last.is_some() => tracing::info!("ready again"),
            Ok(()) | Err(_) => {}
        }
        metrics::gauge!("tandem_storage_takes_writes").set(f64::from(u8::from(seen.is_ok())));
        *last = Some((Instant::now(), seen.clone()));
        seen
    }

    async fn look(&self) -> Result<(), String> {
        match tokio::time::timeout(ANSWER_MAX, self.0.store.ping()).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "the storage has not answered for {} s",
                ANSWER_MAX.as_secs()
            )),
        }
    }
}
