//! `tandem sync …`: what a sync would do, starting it, whether both sides agree, how it stands.

mod plan;
mod run;
mod status;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tandem_domain::SyncName;
use tandem_operator::Switch;

use super::options::{DataOptions, Verbs, WhyOption};
use super::output::{JsonForm, say, say_json};
use super::storage::{operator, require_sync};
use super::watch::WatchOption;

/// What to do with a sync.
#[derive(Subcommand)]
pub enum Action {
    /// Show what a sync would do now. Reads both sides whole and changes nothing.
    Plan(plan::PlanArgs),
    /// Let the running `tandem up` compare both sides whole and bring them into agreement.
    Run(run::RunArgs),
    /// Read both sides afresh and whole, and list every difference. Exit code 1 when there is one, 3 when a side
    /// could not be seen.
    Verify(verify::VerifyArgs),
    /// List the syncs: what they pair, and whether they run.
    List,
    /// Show how syncs stand: links, jobs, questions, runs, schedules.
    Status(StatusOf),
    /// Stop a sync: its jobs wait, and its events are kept.
    Pause {
        /// The sync.
        name: SyncName,
        #[command(flatten)]
        why: WhyOption,
    },
    /// Let a paused sync go on.
    Resume {
        /// The sync.
        name: SyncName,
    },
}

/// Which sync, and how often.
#[derive(Args)]
pub struct StatusOf {
    /// The sync; all of them when left out.
    name: Option<SyncName>,
    #[command(flatten)]
    watch: WatchOption,
}

/// How everything stands.
#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    of: StatusOf,
    #[command(flatten)]
    data: DataOptions,
}

/// Shows it.
pub async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    show_status(&args.of, &args.data).await
}

async fn show_status(of: &StatusOf, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let form = if of.watch.is_on() {
        JsonForm::Line
    } else {
        JsonForm::Document
    };
    let show = async || status::run(of.name.as_ref(), data, form).await.map(|_| ());
    of.watch.run(show).await?;
    Ok(ExitCode::SUCCESS)
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Plan(plan) => plan::run(&plan, &args.data).await,
        Action::Run(run) => run::run(&run, &args.data).await,
        Action::Verify(verify) => verify::run(&verify, &args.data).await,
        Action::List => status::list(&args.data).await,
        Action::Status(of) => show_status(&of, &args.data).await,
        Action::Pause { name, why } => {
            switch(&name, Switch::Pause, why.because.as_deref(), &args.data).await
        }
        Action::Resume { name } => switch(&name, Switch::Resume, None, &args.data).await,
    }
}

async fn switch(
    name: &SyncName,
    switch: Switch,
    because: Option<&str>,
    data: &DataOptions,
) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    require_sync(&operator, name).await?;
    let sync = operator.switch_sync(name, switch, because).await?;
    if data.output.json {
        say_json(&sync)?;
    } else if let Some(pause) = &sync.pause {
        say(&format!("{name} is {}", pause.words))?;
    } else {
        say(&format!("{name} goes on"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses to compare a sync by a configuration that applying it would refuse: of links that belong to other ends, or to a
/// sync that has another name there, every count would be wrong.
async fn require_same_links(
    store: &dyn tandem_store::Store,
    built: &tandem_runtime::config::Built,
    name: &tandem_domain::SyncName,
    now: tandem_domain::Timestamp,
) -> anyhow::Result<()> {
    crate::removal::require_same_ends(store, built).await?;
    let syncs = store.syncs().await?;
    if syncs.iter().any(|row| row.name == *name) {
        return Ok(());
    }
    let mut dropped = crate::removal::removals(store, &built.documents, now).await?;
    dropped.retain(|one| one.what == "sync" && one.links > 0);
    if dropped.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "the storage knows no sync {name}, and has what this configuration does not name any more:\n{}\nIf {name} is a new name \
         of one of these, put the old name back: links stay with the name. `tandem apply` and `tandem up` refuse this \
         configuration unless they are told --prune",
        crate::removal::listed(&dropped)
    )
}
