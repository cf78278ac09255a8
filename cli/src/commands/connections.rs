//! `tandem connections …`: the configured systems; pausing them, and trying one again at once.

use std::process::ExitCode;

use clap::Subcommand;
use tandem_domain::ConnectionName;
use tandem_operator::Switch;
use tandem_operator::views::ConnectionView;

use super::desk::Desk;
use super::options::{Verbs, WhyOption};
use super::output::{fitted, or_dash, say, say_json, shown, table};
use super::storage::{operator, unattended};

/// What to do with connections.
#[derive(Subcommand)]
pub enum Action {
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
        #[command(flatten)]
        why: WhyOption,
    },
    /// Let a paused system be worked with again.
    Resume {
        /// The connection.
        name: ConnectionName,
    },
    /// Have a system that did not answer, refused the credentials or asked to wait tried again at once, by all workers.
    Reset {
        /// The connection.
        name: ConnectionName,
    },
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    let desk = operator(&args.data.storage).await?;
    let json = args.data.output.json;
    match args.action {
        Action::List => {
            let status = desk.status().await?;
            let unattended = unattended(&args.data.storage, &status).await?;
            list(&desk, unattended, json).await?;
        }
        Action::Show { name } => {
            let connection = desk.connection(&name).await?;
            if json {
                say_json(&connection)?;
            } else {
                say(&told(&connection))?;
            }
        }
        Action::Pause { name, why } => {
            let because = why.because.as_deref();
            let connection = desk.switch_connection(&name, Switch::Pause, because);
            say_switched(&connection.await?, json)?;
        }
        Action::Resume { name } => {
            let connection = desk.switch_connection(&name, Switch::Resume, None);
            say_switched(&connection.await?, json)?;
        }
        Action::Reset { name } => {
            let connection = desk.reset_connection(&name).await?;
            if json {
                say_json(&connection)?;
            } else {
                say(&format!(
                    "{name} is tried again: within a second every running worker closes its breaker, and forgets until when {name} \
                     asked to wait"
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(desk: &Desk, unattended: Option<String>, json: bool) -> anyhow::Result<()> {
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
            in_use(connection).to_owned(),
            state(connection),
        ]);
    }
    let unattended = unattended.map_or_else(String::new, |why| format!("! {why}\n\n"));
    say(&format!("{unattended}{}", fitted(&rows)))
}

fn say_switched(connection: &ConnectionView, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(connection);
    }
    let name = &connection.name;
    match &connection.pause {
        Some(pause) => say(&format!("{name} is {}", pause.words)),
        None => say(&format!("{name} goes on")),
    }
}

/// How a connection is used, and how its system stands.
fn state(connection: &ConnectionView) -> String {
    match &connection.pause {
        Some(pause) => format!("{}; {}", pause.words, connection.health.words),
        None => connection.health.words.clone(),
    }
}

const fn in_use(connection: &ConnectionView) -> &'static str {
    if connection.paused {
        "PAUSED"
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
    let mut lines = vec![
        format!(
            "{}: {}, version {}",
            connection.name,
            in_use(connection),
            connection.version
        ),
        format!("  {}", state(connection)),
    ];
    lines.extend(
        connection
            .reset_at
            .map(|at| format!("  last reset by hand  {at}")),
    );
    let keys = connection.document.as_object().into_iter().flatten();
    lines.extend(keys.map(|(key, value)| format!("  {key}: {}", shown(value))));
    lines.join("\n")
}
