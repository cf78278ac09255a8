//! `tandem schedules …`: when syncs run by themselves.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use tandem_domain::SyncName;
use tandem_operator::Switch;
use tandem_store::{ScheduleKey, SchedulePurpose};

use super::desk::Desk;
use super::options::{DataOptions, Verbs, words};
use super::output::{fitted, moment, or_dash, say, say_json, table};
use super::storage::{operator, require_sync};

/// What to do with schedules.
#[derive(Subcommand)]
pub enum Action {
    /// List schedules.
    List {
        /// Only of this sync.
        #[arg(long)]
        sync: Option<SyncName>,
    },
    /// Stop a schedule; it is never due while paused.
    Pause(Which),
    /// Let a paused schedule go on.
    Resume(Which),
    /// Start now what a schedule starts, and leave its times as they are.
    Trigger(Which),
}

/// Names a schedule.
#[derive(Args)]
pub struct Which {
    /// The sync.
    sync: SyncName,
    /// What the schedule starts.
    #[arg(value_parser = words(&SchedulePurpose::ALL, SchedulePurpose::as_str))]
    purpose: SchedulePurpose,
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    let operator = operator(&args.data.storage).await?;
    match args.action {
        Action::List { sync } => list(&operator, sync.as_ref(), &args.data).await,
        Action::Pause(which) => switch(&operator, which, Switch::Pause, &args.data).await,
        Action::Resume(which) => switch(&operator, which, Switch::Resume, &args.data).await,
        Action::Trigger(which) => trigger(&operator, which, &args.data).await,
    }
}

async fn list(
    operator: &Desk,
    sync: Option<&SyncName>,
    data: &DataOptions,
) -> anyhow::Result<ExitCode> {
    if let Some(sync) = sync {
        require_sync(operator, sync).await?;
    }
    let schedules = operator.schedules(sync).await?;
    if data.output.json {
        say_json(&schedules)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["sync", "starts", "when", "paused", "next", "last"]);
    for schedule in &schedules {
        rows.add_row([
            schedule.sync.to_string(),
            schedule.purpose.as_str().to_owned(),
            schedule.spec.clone(),
            if schedule.paused { "paused" } else { "" }.to_owned(),
            or_dash(schedule.next_at.filter(|_| !schedule.paused).map(moment)),
            or_dash(schedule.last_at.map(moment)),
        ]);
    }
    say(&if schedules.is_empty() {
        match sync {
            Some(sync) => format!("{sync} has no schedules: it runs only by hand and by webhooks"),
            None => {
                "there are no schedules; each applied sync has some (`tandem sync list`)".to_owned()
            }
        }
    } else {
        fitted(&rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn switch(
    operator: &Desk,
    which: Which,
    switch: Switch,
    data: &DataOptions,
) -> anyhow::Result<ExitCode> {
    require_sync(operator, &which.sync).await?;
    let key = ScheduleKey {
        sync: which.sync,
        purpose: which.purpose,
    };
    let schedule = operator.switch_schedule(&key, switch).await?;
    if data.output.json {
        say_json(&schedule)?;
    } else {
        let state = if schedule.paused {
            "is paused"
        } else {
            "goes on"
        };
        say(&format!(
            "{} of {} {state}",
            schedule.purpose.as_str(),
            schedule.sync
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn trigger(operator: &Desk, which: Which, data: &DataOptions) -> anyhow::Result<ExitCode> {
    require_sync(operator, &which.sync).await?;
    let key = ScheduleKey {
        sync: which.sync,
        purpose: which.purpose,
    };
    let job = operator.trigger_schedule(&key).await?;
    if data.output.json {
        say_json(&json!({ "sync": key.sync, "purpose": key.purpose, "job": job }))?;
    } else {
        say(&format!("started: {job}; a running `tandem up` does it"))?;
    }
    Ok(ExitCode::SUCCESS)
}
