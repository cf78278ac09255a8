//! Answering: one question, or many alike. What cannot be taken back, or only with trouble, is named and asked first.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use clap::builder::PossibleValuesParser;
use tandem_domain::line::line;
use tandem_domain::{ConflictId, RecordId, Side, SyncName};
use tandem_operator::views::ConflictView;
use tandem_operator::{Confirmed, ConflictQuery};
use tandem_store::{ConflictKind, ConflictState, Resolution};

use crate::commands::ask::YesOption;
use crate::commands::desk::Desk;
use crate::commands::hooks::HookOptions;
use crate::commands::options::{DataOptions, NO, record_id, words};
use crate::commands::output::{say, say_json};
use crate::commands::span::SpanOptions;
use crate::commands::storage::{operator_with_systems, require_sync};

/// So many questions that are to be answered alike are named before that is done.
const NAMED_MAX: usize = 20;

/// Which questions, and what is answered.
#[derive(Args)]
pub struct Resolve {
    /// The question.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<ConflictId>,
    /// All open questions, or those that --sync, --kind, --since and --until choose. They are counted first.
    #[arg(long)]
    all: bool,
    /// Only of this sync.
    #[arg(long)]
    sync: Option<SyncName>,
    /// Only of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(ConflictKind::WORDS))]
    kind: Option<String>,
    #[command(flatten)]
    span: SpanOptions,
    #[command(flatten)]
    answer: Answer,
    #[command(flatten)]
    yes: YesOption,
    #[command(flatten)]
    config: HookOptions,
}

impl Resolve {
    /// The filters that were given, as they were written.
    fn filters(&self) -> Vec<&'static str> {
        let given = [
            ("--sync", self.sync.is_some()),
            ("--kind", self.kind.is_some()),
            ("--since", self.span.since.is_some()),
            ("--until", self.span.until.is_some()),
        ];
        given
            .into_iter()
            .filter_map(|(name, is_given)| is_given.then_some(name))
            .collect()
    }
}

/// Exactly one answer.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// The values of this side are right: a or b. Of a system that was set back, name the other one; that asks first, because
    /// it goes over what was edited there since.
    #[arg(long, value_name = "SIDE", value_parser = words(&Side::BOTH, Side::as_str))]
    take: Option<Side>,
    /// The record is the same as this one of the other side. One that is no candidate, and holds other values, needs
    /// --yes: what would be written over is named.
    #[arg(long, value_name = "RECORD", value_parser = record_id)]
    link: Option<RecordId>,
    /// The record is none of those of the other side: make a new one there.
    #[arg(long)]
    create: bool,
    /// Leave the record alone from now on, and its partner too if it is linked. Asks first; `conflicts reopen` takes
    /// it back.
    #[arg(long)]
    ignore: bool,
    /// Carry out the held delete; or it is the same record after all; or what a system that was set back shows is what
    /// counts. Asks first.
    #[arg(long)]
    approve: bool,
    /// Do not carry out the held delete; or it is another record: take the pair apart.
    #[arg(long)]
    reject: bool,
    /// Leave both records as they are; only the question closes.
    #[arg(long)]
    dismiss: bool,
}

impl Answer {
    fn resolution(self) -> Resolution {
        match self {
            Self {
                take: Some(side), ..
            } => Resolution::Take { side },
            Self {
                link: Some(record), ..
            } => Resolution::LinkTo { record },
            Self { create: true, .. } => Resolution::CreateNew,
            Self { approve: true, .. } => Resolution::Approve,
            Self { reject: true, .. } => Resolution::Reject,
            Self { dismiss: true, .. } => Resolution::Dismiss,
            // The parser lets exactly one through, and this is the one that is left.
            Self { .. } => Resolution::Ignore,
        }
    }
}

/// Answers.
pub async fn run(args: Resolve, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let filters = args.filters();
    if let (Some(id), false) = (args.id, filters.is_empty()) {
        bail!(
            "{id} names one question, and {} would choose among many: nothing was done. Leave the id out and say \
             --all, or leave the filter out",
            filters.join(" and ")
        );
    }
    let desk = operator_with_systems(&data.storage, &args.config).await?;
    match args.id {
        Some(id) => answer(&desk, id, args, data.output.json).await,
        None => answer_all(&desk, args, data.output.json).await,
    }
}

async fn answer(
    desk: &Desk,
    id: ConflictId,
    args: Resolve,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let resolution = args.answer.resolution();
    if asks_first(&resolution) || matches!(resolution, Resolution::Take { .. }) {
        let asked = desk.conflict(id).await?;
        // What does not fit is refused below, with the reason. Who takes a value of one pair has seen both.
        if asked.state != ConflictState::Closed
            && (asks_first(&resolution) || asked.kind == SET_BACK)
            && let Some(does) = does(&asked, &resolution)
        {
            args.yes
                .require(&format!("{}\nthe answer would {does}", line(&asked.asks)))?;
        }
    }
    let confirmed = Confirmed(args.yes.yes);
    let conflict = desk.resolve(id, resolution, confirmed).await?;
    if json {
        say_json(&conflict)?;
        return Ok(ExitCode::SUCCESS);
    }
    let back = if conflict.resolution == Some(Resolution::Ignore) {
        format!("; `tandem conflicts reopen {id}` takes it back")
    } else if let Some(words) = &conflict.waits {
        format!(". The answer is kept, and WAITS: {}", line(words))
    } else {
        "; a running `tandem up` carries the answer out".to_owned()
    };
    say(&format!("{id} is {}{back}", conflict.state.as_str()))?;
    Ok(ExitCode::SUCCESS)
}

/// The question whose `take` goes over more than it shows.
const SET_BACK: &str = "set_back";

/// Answers after which a record is deleted, written over or left alone.
const fn asks_first(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Ignore | Resolution::Approve)
}

/// What an answer does to a question that it fits, with the side that it names.
fn does<'a>(conflict: &'a ConflictView, resolution: &Resolution) -> Option<&'a str> {
    let mut choices = conflict.choices.iter();
    let choice = choices.find(|choice| choice.is(resolution));
    choice.map(|choice| choice.does.as_ref())
}

/// What is answered is exactly what was counted, and only what the answer fits.
async fn answer_all(desk: &Desk, args: Resolve, json: bool) -> anyhow::Result<ExitCode> {
    if let Some(sync) = &args.sync {
        require_sync(desk, sync).await?;
    }
    let query = ConflictQuery {
        sync: args.sync,
        state: Some(ConflictState::Open),
        kind: args.kind,
        since: args.span.since,
        until: args.span.until,
        ..ConflictQuery::default()
    };
    let open = desk.all_conflicts(&query).await?;
    let resolution = args.answer.resolution();
    let plan = Many::of(open, &resolution)?;
    if !plan.fitting.is_empty() {
        args.yes.require(&plan.told(&resolution))?;
    }
    let ids: Vec<ConflictId> = plan.fitting.iter().map(|one| one.id).collect();
    let outcome = desk.resolve_all(&ids, &resolution).await?;
    if json {
        say_json(&outcome)?;
    } else if ids.is_empty() {
        say("no open question matches")?;
    } else {
        let left = outcome.skipped.iter();
        let left = left.map(|one| {
            let reason = line(&one.reason);
            format!("left as it is: {}, because {reason}", one.id)
        });
        let (done, all) = (outcome.resolved.len(), ids.len() + plan.unfitting.len());
        let first = format!("{done} of {all} open questions answered{}", plan.left());
        let waits = outcome.waits.iter();
        let waits = waits.map(|words| format!("the answers are kept, and WAIT: {}", line(words)));
        let lines: Vec<String> = std::iter::once(first).chain(left).chain(waits).collect();
        say(&lines.join("\n"))?;
    }
    Ok(if outcome.skipped.is_empty() && plan.unfitting.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

/// Questions that are to be answered alike.
struct Many {
    /// Those that the answer fits.
    fitting: Vec<ConflictView>,
    /// Those that it does not fit.
    unfitting: Vec<ConflictView>,
}

impl Many {
    /// Refuses an answer that fits none of them.
    fn of(open: Vec<ConflictView>, resolution: &Resolution) -> anyhow::Result<Self> {
        let fits = |one: &ConflictView| does(one, resolution).is_some();
        let (fitting, unfitting): (Vec<_>, Vec<_>) = open.into_iter().partition(fits);
        if fitting.is_empty() && !unfitting.is_empty() {
            bail!(
                "`{}` answers none of the questions that match: {}. `tandem conflicts show ID` tells the answers that fit; \
                 nothing was done",
                resolution.as_str(),
                counted(&unfitting)
            );
        }
        Ok(Self { fitting, unfitting })
    }

    /// Each of them with the records and values that it is about, and what the answer does to it.
    fn told(&self, resolution: &Resolution) -> String {
        let mut lines = Vec::new();
        for one in self.fitting.iter().take(NAMED_MAX) {
            let effect = does(one, resolution).unwrap_or_default();
            lines.push(format!("  {} {}: {}", one.id, one.sync, line(&one.asks)));
            lines.push(format!("    the answer would {}", line(effect)));
        }
        if self.fitting.len() > NAMED_MAX {
            lines.push(format!(
                "  and {} more: `tandem conflicts list` names them; --sync, --kind, --since and --until choose fewer",
                self.fitting.len() - NAMED_MAX
            ));
        }
        lines.push(format!(
            "open questions to be answered alike: {}{}",
            counted(&self.fitting),
            self.left()
        ));
        lines.join("\n")
    }

    /// What is said of those that it does not fit.
    fn left(&self) -> String {
        if self.unfitting.is_empty() {
            return String::new();
        }
        format!(
            ". It does not fit these, which stay open: {}",
            counted(&self.unfitting)
        )
    }
}

/// `3 (2 ambiguous, 1 field)`.
fn counted(open: &[ConflictView]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for conflict in open {
        *kinds.entry(&conflict.kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!("{} ({})", open.len(), kinds.join(", "))
}

/// What is said when an answer was taken back.
pub fn reopened(conflict: &ConflictView) -> String {
    let ConflictView { id, sync, side, .. } = conflict;
    let record = line(conflict.record.as_str());
    let next = conflict.waits.as_ref().map_or_else(
        || "a running `tandem up` looks at it".to_owned(),
        |words| format!("it is not looked at for the time being: {}", line(words)),
    );
    format!(
        "`{record}` on side {side} of {sync} takes part again, and {id} is {}; {next}",
        conflict.state.as_str()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_is_asked_to_confirm_an_answer_with_a_side_that_cannot_be_taken() {
        let asked: ConflictView = serde_json::from_value(json!({
            "id": "cfl_00000000000000000000000000", "sync": "customers", "link": null, "side": "a", "record": "17",
            "kind": "set_back", "asks": "which?", "question": {}, "records": [], "answers": ["take"],
            "choices": [{ "answer": "take", "does": "give it the values of this side", "side": "b" }],
            "state": "open", "resolution": null, "created_at": "2026-01-01T00:00:00Z", "answered_at": null,
        }))
        .expect("a question");
        let take = |side| Resolution::Take { side };
        assert_eq!(does(&asked, &take(Side::A)), None, "it is refused unasked");
        assert!(does(&asked, &take(Side::B)).is_some());
    }
}
