//! The wish to end, as a token that everything long-running watches.

use tokio_util::sync::CancellationToken;

/// A token that is cancelled when the process is asked to end (SIGTERM, SIGINT). Nothing is torn down
/// here: each part watches the token and ends by itself in its own bounded time.
///
/// Must be called inside a Tokio runtime.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn shutdown_token() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let signal = Signals::install()?;
    tokio::spawn(async move {
        signal.first().await;
        tracing::info!("asked to end: finishing what is under way");
        cancelled.cancel();
    });
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn first(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn first(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
