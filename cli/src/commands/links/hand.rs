//! Linking and taking apart by hand: what is meant is shown by name and value, and asked before it is done.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use tandem_domain::line::line;
use tandem_domain::{LinkId, RecordId, SyncName};
use tandem_operator::LinkingView;
use tandem_operator::views::StandingView;
use tandem_store::LinkState;

use crate::commands::ask::YesOption;
use crate::commands::hooks::HookOptions;
use crate::commands::options::{DataOptions, record_id};
use crate::commands::output::{or_dash, say, say_json, shown};
use crate::commands::storage::{operator_with_systems, require_sync};

/// Which records to link.
#[derive(Args)]
pub struct LinkArgs {
    /// The sync.
    sync: SyncName,
    /// The record on side a.
    #[arg(value_parser = record_id)]
    a: RecordId,
    /// The record on side b.
    #[arg(value_parser = record_id)]
    b: RecordId,
    #[command(flatten)]
    config: HookOptions,
    #[command(flatten)]
    yes: YesOption,
}

/// Which pair to take apart.
#[derive(Args)]
pub struct UnlinkArgs {
    /// The link.
    link: LinkId,
    #[command(flatten)]
    config: HookOptions,
    #[command(flatten)]
    yes: YesOption,
}

/// Links two records.
pub async fn link(args: &LinkArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let desk = operator_with_systems(&data.storage, &args.config).await?;
    require_sync(&desk, &args.sync).await?;
    // What cannot be done is refused before anybody is asked whether it is meant.
    let linking = desk.linking(&args.sync, &args.a, &args.b).await?;
    args.yes.require(&what(&linking))?;
    let LinkingView { a, b, .. } = linking;
    let link = desk.link_by_hand(&args.sync, &args.a, &args.b).await?;
    if data.output.json {
        say_json(&link)?;
    } else {
        say(&format!(
            "{}: `{}` of {} and `{}` of {} are linked; a running `tandem up` compares them",
            link.id,
            line(args.a.as_str()),
            a.connection,
            line(args.b.as_str()),
            b.connection
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes a pair apart.
pub async fn unlink(args: &UnlinkArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let desk = operator_with_systems(&data.storage, &args.config).await?;
    let link = desk.link(args.link).await?;
    if link.state != LinkState::Active {
        bail!(
            "the pair {} is not linked any more; nothing is left to do",
            link.id
        );
    }
    let (a, b) = (or_dash(link.a.id.as_ref()), or_dash(link.b.id.as_ref()));
    args.yes.require(&format!(
        "the pair {} of {}, `{a}` on side a and `{b}` on side b, is to be taken apart: both records stay as they \
         are, and are left alone from then on",
        link.id, link.sync
    ))?;
    let link = desk.unlink_by_hand(args.link).await?;
    if data.output.json {
        say_json(&link)?;
    } else {
        say(&format!(
            "{} is taken apart; `{a}` and `{b}` are left alone until `tandem links link {} {a} {b}`",
            link.id, link.sync
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What linking does, with all that is needed to see whether it is meant.
fn what(linking: &LinkingView) -> String {
    let mut lines = vec![told(&linking.a), told(&linking.b)];
    if !linking.told.is_empty() {
        lines.push("this would be written over:".to_owned());
        let over = linking.told.iter();
        lines.extend(over.map(|told| format!("  {}", line(told))));
    }
    lines.push("these two are to be linked and brought into agreement".to_owned());
    lines.join("\n")
}

fn told(record: &StandingView) -> String {
    let fields = record.fields.as_object().into_iter().flatten();
    let values: Vec<String> = fields
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{}: {}", line(name), shown(value)))
        .collect();
    format!(
        "{} {}: {}",
        record.connection,
        line(record.record.as_str()),
        values.join(", ")
    )
}
