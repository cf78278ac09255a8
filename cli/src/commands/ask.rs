//! Asking before something is done that is hard to undo, or done to many.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context as _, bail};
use clap::Args;
use tandem_domain::line::lines;

/// The answer given beforehand.
#[derive(Args, Clone, Copy)]
pub struct YesOption {
    /// Do it without asking.
    #[arg(long)]
    pub yes: bool,
}

impl YesOption {
    /// Asks on the terminal, unless the answer was given beforehand. An answer other than yes, and nobody to ask,
    /// is an error: nothing was done. `what` says what is going to be done, and to how many.
    pub fn require(self, what: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            bail!("{what}: nothing was done. Say --yes to do it");
        }
        let mut out = std::io::stderr().lock();
        write!(out, "{}. Go on? [y/N] ", lines(what)).context("asking")?;
        out.flush().context("asking")?;
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .context("reading the answer")?;
        if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        bail!("nothing was done")
    }
}
