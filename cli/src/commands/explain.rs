//! `tandem explain`: the story of a record.

use std::process::ExitCode;

use clap::Args;
use tandem_domain::{RecordId, Side, SyncName};

use super::hooks::HookOptions;
use super::options::{DataOptions, record_id, words};
use super::output::{say, say_json};
use super::storage::{operator_with_systems, require_sync};

/// Which record.
#[derive(Args)]
pub struct ExplainArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    name: SyncName,
    /// The record, by the id that its system gave it.
    #[arg(value_parser = record_id)]
    record: RecordId,
    /// The side on which to look for it; both when left out.
    #[arg(long, value_parser = words(&Side::BOTH, Side::as_str))]
    side: Option<Side>,
    #[command(flatten)]
    config: HookOptions,
    #[command(flatten)]
    data: DataOptions,
}

/// Tells it, the newest last.
pub async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let operator = operator_with_systems(&args.data.storage, &args.config).await?;
    require_sync(&operator, &args.name).await?;
    let story = operator
        .explain(&args.name, args.side, &args.record)
        .await?;
    if args.data.output.json {
        say_json(&story)?;
    } else {
        say(&story.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
