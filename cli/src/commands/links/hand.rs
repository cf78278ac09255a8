//! Linking and taking apart by hand: what is meant is shown by name and value, and asked before it is done.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use tandem_domain::line::line;
use tandem_domain::{LinkId, RecordId, Side, SyncName};
use tandem_operator::views::StandingView;

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
    let a = desk.look(&args.sync, Side::A, &args.a).await?;
    let b = desk.look(&args.sync, Side::B, &args.b).await?;
    // What cannot be done is refused before anybody is asked whether it is meant.
    require_possible(&a, &b)?;
    args.yes.require(&format!(
        "{}\n{}\nthese two are to be linked and brought into agreement",
        told(&a),
        told(&b)
    ))?;
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

/// As things stand. Somebody may link one of them before the answer: then linking refuses it.
fn require_possible(a: &StandingView, b: &StandingView) -> anyhow::Result<()> {
    if a.link.is_some() && a.link == b.link && a.ignored {
        // A pair that is left alone takes part again.
        return Ok(());
    }
    for record in [a, b] {
        let (id, system) = (line(record.record.as_str()), &record.connection);
        if record.out_of_use {
            bail!(
                "the record `{id}` of {system} is archived or inactive, which counts as gone: take it into use again there \
                 first. Nothing was done"
            );
        }
        if let Some(link) = record.link {
            let other = if record.side == Side::A { b } else { a };
            let whom = if other.link == Some(link) {
                format!(
                    "with `{}` of {}",
                    line(other.record.as_str()),
                    other.connection
                )
            } else {
                "with another record".to_owned()
            };
            bail!(
                "the record `{id}` of {system} is linked {whom} already ({link}). Nothing was done; `tandem links {} {link}` \
                 shows that pair, and `tandem links unlink {link}` takes it apart",
                record.sync
            );
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAIR: &str = "lnk_00000000000000000000000001";
    const OTHER: &str = "lnk_00000000000000000000000002";

    fn standing(side: &str, link: Option<&str>, ignored: bool, out_of_use: bool) -> StandingView {
        serde_json::from_value(json!({
            "sync": "customers", "side": side, "connection": format!("system-{side}"), "record": format!("{side}1"),
            "out_of_use": out_of_use, "fields": {}, "link": link, "ignored": ignored,
        }))
        .expect("a record")
    }

    #[test]
    fn what_cannot_be_linked_is_refused_with_the_pair_that_stands_in_the_way() {
        let free = |side| standing(side, None, false, false);
        let linked = |side, link| standing(side, Some(link), false, false);
        let refusal = |a, b| require_possible(&a, &b).expect_err("refused").to_string();
        assert!(require_possible(&free("a"), &free("b")).is_ok());
        let left_alone = |side| standing(side, Some(PAIR), true, false);
        assert!(require_possible(&left_alone("a"), &left_alone("b")).is_ok());
        for (said, parts) in [
            (
                refusal(linked("a", PAIR), linked("b", PAIR)),
                ["`a1` of system-a", "with `b1` of system-b already", PAIR],
            ),
            (
                refusal(free("a"), linked("b", OTHER)),
                ["`b1` of system-b", "with another record already", OTHER],
            ),
            (
                refusal(free("a"), standing("b", None, false, true)),
                ["`b1` of system-b", "archived", "Nothing was done"],
            ),
        ] {
            for part in parts {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }
}
