//! `tandem connections …`: the configured systems; pausing them, and trying one again at once.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tandem_domain::ConnectionName;
use tandem_operator::Switch;
use tandem_operator::views::ConnectionView;

use super::desk::Desk;
use super::options::DataOptions;
use super::output::{fitted, or_dash, say, say_json, shown, table};
use super::storage::operator;

/// What to do with connections.
#[derive(Args)]
pub struct ConnectionsArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Subcommand)]
enum Action {
    /// List the configured systems.
    List,
    /// Show one with its configuration; secrets are references.
    Show {
        /// The connection.
        name: ConnectionName,
    },
    /// Leave a system alone: its webhooks are kept, the jobs of its syncs wait.
    Pause {
        /// The connection.
        name: ConnectionName,
    },
    /// Let a paused system be worked with again.
    Resume {
        /// The connection.
        name: ConnectionName,
    },
    /// Close the breaker of a system that did not answer, in all workers: it is tried again at once.
    Reset {
        /// The connection.
        name: ConnectionName,
    },
}

/// Does it.
pub async fn run(args: ConnectionsArgs) -> anyhow::Result<ExitCode> {
    let desk = operator(&args.data.storage).await?;
    let json = args.data.output.json;
    match args.action {
        Action::List => list(&desk, json).await?,
        Action::Show { name } => {
            let connection = desk.connection(&name).await?;
            if json {
                say_json(&connection)?;
            } else {
                say(&told(&connection))?;
            }
        }
        Action::Pause { name } => switch(&desk, &name, Switch::Pause, json).await?,
        Action::Resume { name } => switch(&desk, &name, Switch::Resume, json).await?,
        Action::Reset { name } => {
            let connection = desk.reset_connection(&name).await?;
            if json {
                say_json(&connection)?;
            } else {
                say(&format!(
                    "{name} is tried again: every running worker closes its breaker within a second"
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(desk: &Desk, json: bool) -> anyhow::Result<()> {
    let connections = desk.connections().await?;
    if json {
        return say_json(&connections);
    }
    if connections.is_empty() {
        return say("no connection is configured; see `tandem apply --help`");
    }
    let mut rows = table(&["connection", "connector", "address", "use", "state"]);
    for connection in &connections {
        rows.add_row([
            connection.name.to_string(),
            text_of(connection, "connector"),
            text_of(connection, "base_url"),
            state(connection).to_owned(),
            connection.health.words.clone(),
        ]);
    }
    say(&fitted(&rows))
}

async fn switch(
    desk: &Desk,
    name: &ConnectionName,
    switch: Switch,
    json: bool,
) -> anyhow::Result<()> {
    let connection = desk.switch_connection(name, switch).await?;
    if json {
        return say_json(&connection);
    }
    if connection.paused {
        return say(&format!(
            "{name} is paused: its webhooks are kept and the jobs of its syncs wait until `tandem connections resume \
             {name}`"
        ));
    }
    say(&format!("{name} goes on"))
}

const fn state(connection: &ConnectionView) -> &'static str {
    if connection.paused {
        "paused"
    } else {
        "in use"
    }
}

/// A text of the configuration; what is a reference is not a text.
fn text_of(connection: &ConnectionView, key: &str) -> String {
    or_dash(
        connection
            .document
            .get(key)
            .and_then(|value| value.as_str()),
    )
}

fn told(connection: &ConnectionView) -> String {
    let mut lines = vec![format!(
        "{}: {}, version {}",
        connection.name,
        state(connection),
        connection.version
    )];
    lines.extend(
        connection
            .reset_at
            .map(|at| format!("  last reset by hand  {at}")),
    );
    let keys = connection.document.as_object().into_iter().flatten();
    lines.extend(keys.map(|(key, value)| format!("  {key}: {}", shown(value))));
    lines.join("\n")
}
