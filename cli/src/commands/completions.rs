//! `tandem completions SHELL`: the script by which a shell completes commands and options.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

/// For which shell.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell, for example: `tandem completions bash > /etc/bash_completion.d/tandem`.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tandem", &mut script);
    // The generators write the names and help texts of this program, which are UTF-8.
    super::output::say_exactly(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
