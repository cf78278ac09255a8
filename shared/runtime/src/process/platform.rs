//! What all parts of a process share.

use std::sync::Arc;

use tandem_domain::{Clock, Entropy};
use tandem_queue::Doorbell;
use tandem_store::Store;
use tokio_util::sync::CancellationToken;

use crate::reload::Reloading;

/// What all parts of a process share.
#[derive(Clone)]
pub struct Platform {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Wakes workers.
    pub doorbell: Arc<dyn Doorbell>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws numbers.
    pub entropy: Arc<dyn Entropy>,
    /// The parts that take over a changed configuration.
    pub reloading: Reloading,
    /// Cancelled when the process is to end.
    pub shutdown: CancellationToken,
}
