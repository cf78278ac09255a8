//! `tandem sync status`: how syncs stand, from what is stored.

use std::process::ExitCode;

use tandem_domain::SyncName;
use tandem_domain::line::line;
use tandem_operator::views::{RunView, ScheduleView, SyncView};
use tandem_operator::{ConnectionStatus, Counted, Status, SyncStatus};

use crate::commands::filters;
use crate::commands::options::DataOptions;
use crate::commands::output::{JsonForm, fitted, moment, say, say_json, say_json_as, table};
use crate::commands::runs::runs_table;
use crate::commands::storage::{operator, require_sync, unattended};

/// Shows one sync, or all.
pub async fn run(
    name: Option<&SyncName>,
    data: &DataOptions,
    form: JsonForm,
) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    let Some(name) = name else {
        let mut status = operator.status().await?;
        status.unattended = unattended(&data.storage, &status).await?;
        if data.output.json {
            say_json_as(&status, form)?;
        } else {
            let mut texts = warnings(&status);
            texts.extend(status.syncs.iter().map(told));
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
                texts.push(NONE.to_owned());
            }
            say(&texts.join("\n\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    require_sync(&operator, name).await?;
    let status = operator.sync_status(name).await?;
    if data.output.json {
        say_json_as(&status, form)?;
    } else {
        let mut whole = operator.status().await?;
        whole.unattended = unattended(&data.storage, &whole).await?;
        let lines: Vec<String> = status.connections.iter().map(connection).collect();
        let mut texts = warnings(&whole);
        texts.extend([told(&status), lines.join("\n")]);
        say(&texts.join("\n\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What comes first, because nothing else counts where it is so.
fn warnings(status: &Status) -> Vec<String> {
    let not_kept = status.not_kept.iter();
    let not_kept = not_kept.map(|why| format!("! NOTHING IS KEPT: {}", line(why)));
    let unattended = status.unattended.iter().map(|why| format!("! {why}"));
    not_kept.chain(unattended).collect()
}

/// A connection in a line, with what to do when it is in trouble.
fn connection(status: &ConnectionStatus) -> String {
    let name = &status.name;
    let mark = if status.health.in_trouble || status.paused {
        "! "
    } else {
        ""
    };
    let paused = status.pause.as_ref();
    let paused = paused.map_or_else(String::new, |pause| {
        format!("PAUSED: {}\n    ", pause.words)
    });
    format!("{mark}connection {name}: {paused}{}", status.health.words)
}

/// Why no job of a sync runs, if that was said by a person or by Tandem itself.
fn standstill(status: &SyncStatus) -> Vec<String> {
    let sync = status.sync.pause.iter();
    let sync = sync.map(|pause| format!("  ! PAUSED: {}", pause.words));
    let of = |connection: &ConnectionStatus| {
        let words = &connection.pause.as_ref()?.words;
        Some(format!(
            "  ! STANDS STILL: connection {} is {words}",
            connection.name
        ))
    };
    sync.chain(status.connections.iter().filter_map(of))
        .collect()
}

/// Lists all syncs, one a line.
pub async fn list(data: &DataOptions) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    let status = operator.status().await?;
    if data.output.json {
        let syncs: Vec<&SyncView> = status.syncs.iter().map(|one| &one.sync).collect();
        say_json(&syncs)?;
        return Ok(ExitCode::SUCCESS);
    }
    if status.syncs.is_empty() {
        say(NONE)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["sync", "side a", "side b", "links", "use", "why"]);
    for one in &status.syncs {
        let still = standstill(one);
        let end = |side| {
            format!(
                "{} {}",
                end(one, side, "connection"),
                end(one, side, "stream")
            )
        };
        rows.add_row([
            one.sync.name.to_string(),
            end("a"),
            end("b"),
            one.links.to_string(),
            if still.is_empty() { "in use" } else { "PAUSED" }.to_owned(),
            still.join("; ").replace("  ! ", ""),
        ]);
    }
    say(&fitted(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// A word of the configuration of a side.
fn end(status: &SyncStatus, side: &str, part: &str) -> String {
    let value = status.sync.document.get(side).and_then(|end| end.get(part));
    value
        .and_then(serde_json::Value::as_str)
        .unwrap_or(side)
        .to_owned()
}

/// What is said when there is no sync.
const NONE: &str = "no sync is configured; see `tandem apply --help`";

fn told(status: &SyncStatus) -> String {
    let end = |side: &str, part: &str| end(status, side, part);
    let (a, b) = (end("a", "connection"), end("b", "connection"));
    let (queue, totals) = (&status.queue, &status.totals);
    let oldest = queue
        .oldest_due_secs
        .map_or_else(String::new, |secs| format!(", the oldest due for {secs} s"));
    let mut lines = vec![format!(
        "{}: {a} {} <-> {b} {}",
        status.sync.name,
        end("a", "stream"),
        end("b", "stream")
    )];
    lines.extend(standstill(status));
    lines.extend(status.set_back.iter().map(|one| {
        let (asks, id) = (line(&one.asks), one.conflict);
        format!("  ! SET BACK: {asks}; `tandem conflicts show {id}` lists the answers")
    }));
    lines.extend([format!("  links      {}", status.links)]);
    lines.extend(filtered(status));
    lines.extend(left_alone(status));
    lines.extend(partnerless(status));
    lines.extend([
        format!(
            "  jobs       {} waiting{oldest}, {} running, {} dead",
            queue.available, queue.running, queue.dead
        ),
        format!("  questions  {}", questions(status)),
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
    ]);
    lines.extend(status.open_writes.as_ref().map(|open| {
        let (count, more) = (open.count, if open.more { " or more" } else { "" });
        let oldest = open.oldest.map_or_else(String::new, |at| {
            format!(", the oldest since {}", moment(at))
        });
        format!("  unknown    {count}{more} writes were sent or are being sent, and no answer has come yet{oldest}")
    }));
    lines.extend(status.set_aside.as_ref().map(set_aside));
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

/// How many wait for a person, and how many answers for a job.
fn questions(status: &SyncStatus) -> String {
    let open = counted(status.open_conflicts);
    let answered = status.answered_conflicts;
    if answered.count == 0 {
        return format!("{open} open");
    }
    format!(
        "{open} open, {} answered and not carried out yet",
        counted(answered)
    )
}

/// What does not take part because of the filters.
fn filtered(status: &SyncStatus) -> Vec<String> {
    let sides = status.filtered.iter();
    let told = sides.filter_map(|one| {
        let system = end(status, one.side.as_str(), "connection");
        let told = filters::told(&system, one.listed, one.left_out)?;
        Some(format!("  {told} (as of {})", moment(one.at)))
    });
    told.collect()
}

/// What is not held equal because a person said so, and the ways to find it and to take that back.
fn left_alone(status: &SyncStatus) -> Option<String> {
    let (count, sync) = (status.left_alone, &status.sync.name);
    let records = if count == 1 {
        "record is"
    } else {
        "records are"
    };
    (count > 0).then(|| {
        format!(
            "  left alone {count} {records} not held equal, as a person said; `tandem links {sync}` and `tandem conflicts \
             list --sync {sync} --state closed` list them, `tandem links link {sync} A B` or `tandem conflicts reopen ID` \
             takes that back"
        )
    })
}

/// What is not held equal because its partner is gone.
fn partnerless(status: &SyncStatus) -> Option<String> {
    let (in_a, in_b) = (status.partnerless_a, status.partnerless_b);
    let (a, b) = (
        end(status, "a", "connection"),
        end(status, "b", "connection"),
    );
    (in_a + in_b > 0).then(|| {
        format!(
            "  no partner {in_a} records in {a} and {in_b} in {b} are held equal with nothing, because their partner is \
             gone; `tandem links {} --state retired` says which, and why",
            status.sync.name
        )
    })
}

/// What could not be read, and where it is told one by one.
fn set_aside(run: &RunView) -> String {
    let (count, id) = (run.progress.unreadable, run.id);
    let records = if count == 1 { "record" } else { "records" };
    let first = run.progress.row_errors.first();
    let first = first.map_or_else(String::new, |row| {
        format!(", the first: {}", line(&row.reason))
    });
    let kind = run.kind.as_str();
    format!(
        "  set aside  {count} {records} that could not be read, by the {kind} {id} (`tandem runs {id}`){first}"
    )
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
