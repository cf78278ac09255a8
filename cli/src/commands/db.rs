//! `tandem db`: the schema of a fleet's database. An embedded Tandem keeps its file up to date by itself.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use tandem_store_postgres::PostgresStore;

use super::options::DataOptions;
use super::output::{say, say_json};

/// What to do with the schema.
#[derive(Args)]
pub struct DbArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Subcommand)]
enum Action {
    /// Bring the schema up to date. Several may do so at once; running processes go on working.
    Migrate,
    /// Undo the migrations after a version; what only the later schema can hold is lost. Stop all
    /// processes first, and make a backup.
    Rollback {
        /// The version that is to be the last; 0 removes everything.
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
        to: i64,
        /// Say that the loss is wanted.
        #[arg(long)]
        yes: bool,
    },
}

/// Does it.
pub async fn run(args: DbArgs) -> anyhow::Result<ExitCode> {
    let Some(url) = args.data.storage.postgres() else {
        bail!(
            "no PostgreSQL database is named: do so with --database-url or TANDEM_DATABASE_URL. The file of an \
             embedded Tandem is kept up to date by `tandem up`"
        );
    };
    match args.action {
        Action::Migrate => {
            let (before, after) = PostgresStore::migrate(url.expose())
                .await
                .context("the database was not migrated")?;
            if args.data.output.json {
                say_json(&json!({ "before": before, "after": after }))?;
            } else if before == after {
                say(&format!("the schema is up to date: version {after}"))?;
            } else {
                say(&format!(
                    "migrated the schema from version {before} to {after}"
                ))?;
            }
        }
        Action::Rollback { yes: false, to } => bail!(
            "rolling back to version {to} loses what only the later schema can hold: stop all processes, make a \
             backup, and say --yes"
        ),
        Action::Rollback { to, yes: true } => {
            PostgresStore::roll_back(url.expose(), to)
                .await
                .context("the schema was not rolled back")?;
            if args.data.output.json {
                say_json(&json!({ "after": to }))?;
            } else {
                say(&format!("rolled the schema back to version {to}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
