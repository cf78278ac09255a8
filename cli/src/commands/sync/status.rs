//! `tandem sync status`: how syncs stand, from what is stored.

use std::process::ExitCode;

use tandem_domain::SyncName;
use tandem_operator::views::ScheduleView;
use tandem_operator::{ConnectionStatus, Counted, SyncStatus};

use crate::commands::options::DataOptions;
use crate::commands::output::{fitted, moment, say, say_json};
use crate::commands::runs::runs_table;
use crate::commands::storage::{operator, require_sync};

/// Shows one sync, or all.
pub async fn run(name: Option<&SyncName>, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    let Some(name) = name else {
        let status = operator.status().await?;
        if data.output.json {
            say_json(&status)?;
        } else {
            let mut texts: Vec<String> = status.syncs.iter().map(told).collect();
            let lines: Vec<String> = status.connections.iter().map(connection).collect();
            texts.push(lines.join("\n"));
            texts.extend(
                status
                    .notices
                    .iter()
                    .map(|one| format!("{}, since {}: {}", one.process, moment(one.at), one.text)),
            );
            if status.quarantined_events.count > 0 {
                let waiting = counted(status.quarantined_events);
                texts.push(format!(
                    "{waiting} events could not be understood; see `tandem dlq list`"
                ));
            }
            if status.syncs.is_empty() {
                texts.push("no sync is configured; see `tandem apply --help`".to_owned());
            }
            say(&texts.join("\n\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    require_sync(&operator, name).await?;
    let status = operator.sync_status(name).await?;
    if data.output.json {
        say_json(&status)?;
    } else {
        let lines: Vec<String> = status.connections.iter().map(connection).collect();
        say(&format!("{}\n\n{}", told(&status), lines.join("\n")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A connection in a line, with what to do when it is in trouble.
fn connection(status: &ConnectionStatus) -> String {
    let mark = if status.health.in_trouble { "! " } else { "" };
    let paused = if status.paused { "PAUSED; " } else { "" };
    format!(
        "{mark}connection {}: {paused}{}",
        status.name, status.health.words
    )
}

fn told(status: &SyncStatus) -> String {
    let end = |side: &str, part: &str| {
        let value = status.sync.document.get(side).and_then(|end| end.get(part));
        value
            .and_then(serde_json::Value::as_str)
            .unwrap_or(side)
            .to_owned()
    };
    let (a, b) = (end("a", "connection"), end("b", "connection"));
    let (queue, totals) = (&status.queue, &status.totals);
    let paused = if status.sync.paused { "  PAUSED" } else { "" };
    let oldest = queue
        .oldest_due_secs
        .map_or_else(String::new, |secs| format!(", the oldest due for {secs} s"));
    let mut lines = vec![
        format!(
            "{}: {a} {} <-> {b} {}{paused}",
            status.sync.name,
            end("a", "stream"),
            end("b", "stream")
        ),
        format!("  links      {}", status.links),
        format!(
            "  jobs       {} waiting{oldest}, {} running, {} dead",
            queue.available, queue.running, queue.dead
        ),
        format!("  questions  {} open", counted(status.open_conflicts)),
        format!(
            "  so far     {} events, {} jobs done, {} coalesced, {} echoes stopped, {} retries, {} conflicts",
            totals.events,
            totals.jobs_done,
            totals.coalesced,
            totals.echoes,
            totals.retries,
            totals.conflicts
        ),
        format!(
            "  writes     {} to {a}, {} to {b}",
            totals.writes_a, totals.writes_b
        ),
    ];
    lines.extend(
        status
            .schedules
            .iter()
            .map(|schedule| format!("  schedule   {}", planned(schedule))),
    );
    if status.runs.is_empty() {
        lines.push("  runs       none yet".to_owned());
    } else {
        let table = fitted(&runs_table(&status.runs));
        lines.extend(table.lines().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

fn planned(schedule: &ScheduleView) -> String {
    let next = match (schedule.paused, schedule.next_at) {
        (true, _) => "paused".to_owned(),
        (false, Some(at)) => format!("next {}", moment(at)),
        (false, None) => "only by hand".to_owned(),
    };
    format!("{} {}, {next}", schedule.purpose.as_str(), schedule.spec)
}

fn counted(counted: Counted) -> String {
    format!(
        "{}{}",
        counted.count,
        if counted.more { " or more" } else { "" }
    )
}
