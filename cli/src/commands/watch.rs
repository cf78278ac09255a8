//! Showing something again and again, until Ctrl-C.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

/// Takes the cursor to the upper left and clears the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Whether to go on showing it.
#[derive(Args, Clone, Copy)]
pub struct WatchOption {
    /// Show it again every few seconds, 2 unless said otherwise, until Ctrl-C; with --json one document a line.
    #[arg(
        long,
        value_name = "SECS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = seconds
    )]
    watch: Option<u16>,
}

fn seconds(text: &str) -> Result<u16, String> {
    let secs = text.parse().ok().filter(|secs| (1..=3600).contains(secs));
    secs.ok_or_else(|| {
        "write whole seconds from 1 to 3600; a name comes before it, as in `tandem status NAME --watch`".to_owned()
    })
}

impl WatchOption {
    /// Whether it is shown again and again.
    pub const fn is_on(self) -> bool {
        self.watch.is_some()
    }

    /// Shows it once, or until Ctrl-C.
    pub async fn run(self, show: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(secs) = self.watch else {
            return show().await;
        };
        let on_screen = std::io::stdout().is_terminal();
        let every = Duration::from_secs(u64::from(secs));
        loop {
            if on_screen {
                let mut out = std::io::stdout().lock();
                out.write_all(CLEAR.as_bytes())
                    .and_then(|()| out.flush())
                    .context("writing to the terminal")?;
            }
            show().await?;
            tokio::select! {
                asked = tokio::signal::ctrl_c() => return asked.context("waiting for Ctrl-C"),
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}
