//! `tandem links`: the pairs that are held equal; making and taking apart pairs by hand.

mod hand;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use tandem_domain::line::line;
use tandem_domain::{LinkId, SyncName};
use tandem_operator::views::LinkView;
use tandem_store::LinkStanding;

use super::nothing::Filters;
use super::options::{DataOptions, PageOptions, words};
use super::output::{Rows, moment, or_dash, say, say_json, say_page, shown, table};
use super::storage::{operator, require_sync};

/// Which links, or what to do with one.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct LinksArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// The sync.
    #[arg(required = true)]
    sync: Option<SyncName>,
    /// One link with the values on which both sides last agreed; a list when left out.
    link: Option<LinkId>,
    /// Only those that stand so: `active` are held equal, of `filtered` the sync's filters leave a record out, `left-alone`
    /// a person had left alone, of `retired` a record is gone.
    #[arg(long, value_parser = words(&LinkStanding::ALL, LinkStanding::as_str))]
    state: Option<LinkStanding>,
    #[command(flatten)]
    page: PageOptions,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Subcommand)]
enum Action {
    /// Link two records by hand. Both must be there now, and linked to nothing else; a job then compares them. A pair
    /// that is left alone is held equal again.
    Link(hand::LinkArgs),
    /// Take a pair apart. Both records stay, and are left alone until they are linked by hand again.
    Unlink(hand::UnlinkArgs),
}

/// Shows them, or does it.
pub async fn run(args: LinksArgs) -> anyhow::Result<ExitCode> {
    match (args.action, args.sync) {
        (Some(Action::Link(link)), _) => hand::link(&link, &args.data).await,
        (Some(Action::Unlink(unlink)), _) => hand::unlink(&unlink, &args.data).await,
        (None, Some(sync)) => show(&sync, (args.link, args.state), &args.page, &args.data).await,
        // The parser asks for one of the two.
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

async fn show(
    sync: &SyncName,
    (link, state): (Option<LinkId>, Option<LinkStanding>),
    page: &PageOptions,
    data: &DataOptions,
) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    require_sync(&operator, sync).await?;
    let json = data.output.json;
    if let Some(id) = link {
        let link = operator.link(id).await?;
        if link.sync != *sync {
            bail!(
                "the link {id} is one of the sync `{}`, not of `{sync}`",
                link.sync
            );
        }
        if json {
            say_json(&link)?;
        } else {
            say(&told(&link))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let args_cursor = page.cursor.as_ref();
    let page = operator
        .links(sync, state, page.cursor()?, page.limit())
        .await?;
    if json {
        say_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = if state == Some(LinkStanding::Retired) {
        of_retired(&page.items)
    } else {
        of_all(&page.items)
    };
    let filters = Filters::default()
        .and("--state", state.map(LinkStanding::as_str))
        .and("--cursor", args_cursor);
    let nothing = if filters.is_empty() {
        format!(
            "no records of {sync} are linked yet; `tandem sync run {sync}` compares both sides and links what matches"
        )
    } else {
        let any = operator.links(sync, None, None, Some(1)).await?;
        let others = !any.items.is_empty();
        filters.nothing("links", others, &format!("tandem links {sync}"))
    };
    say_page(&page, &rows, &nothing)?;
    if state == Some(LinkStanding::LeftAlone) && operator.sync_status(sync).await?.left_alone > 0 {
        say(&format!(
            "\nrecords that a person left alone one by one have no link: `tandem conflicts list --sync {sync} --state closed` \
             lists them, and `tandem conflicts reopen ID` or `tandem links link {sync} A B` takes that back"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn of_all(links: &[LinkView]) -> Rows {
    let mut rows = table(&["link", "a", "b", "name", "state", "made", "changed"]);
    for link in links {
        let [a, b] = ids(link);
        rows.add_row([
            link.id.to_string(),
            a,
            b,
            or_dash(link.name.as_ref()),
            standing(link),
            moment(link.created_at),
            moment(link.updated_at),
        ]);
    }
    rows
}

/// Why they ended is what one looks for here.
fn of_retired(links: &[LinkView]) -> Rows {
    let mut rows = table(&["link", "a", "b", "name", "ended", "because"]);
    for link in links {
        let [a, b] = ids(link);
        let ended = link.ended.as_ref();
        rows.add_row([
            link.id.to_string(),
            a,
            b,
            or_dash(link.name.as_ref()),
            or_dash(ended.map(|ended| moment(ended.at))),
            or_dash(ended.map(|ended| &ended.because)),
        ]);
    }
    rows
}

/// Both ids, of a pair that ended as they were last known.
fn ids(link: &LinkView) -> [String; 2] {
    let ended = link.ended.as_ref();
    let a = link.a.id.as_ref().or(ended.and_then(|end| end.a.as_ref()));
    let b = link.b.id.as_ref().or(ended.and_then(|end| end.b.as_ref()));
    [or_dash(a), or_dash(b)]
}

/// How it stands, in a word or two.
fn standing(link: &LinkView) -> String {
    link.standing().as_str().replace('-', " ")
}

fn told(link: &LinkView) -> String {
    let [a, b] = ids(link);
    let mut lines = vec![
        format!("{} of {}: {}", link.id, link.sync, standing(link)),
        format!(
            "  a        {a}, changed {}",
            or_dash(link.a.updated_at.map(moment))
        ),
        format!(
            "  b        {b}, changed {}",
            or_dash(link.b.updated_at.map(moment))
        ),
        format!("  made     {}", moment(link.created_at)),
        format!("  changed  {}", moment(link.updated_at)),
    ];
    lines.extend(
        link.name
            .iter()
            .map(|name| format!("  name     {}", line(name))),
    );
    if let Some(ended) = &link.ended {
        lines.push(format!("  ended    {}", moment(ended.at)));
        lines.push(format!("  because  {}", line(&ended.because)));
        lines.push(format!("  next     {}", line(&ended.advice)));
    }
    lines.push("\nBoth sides last agreed on".to_owned());
    let base = link.base.iter().map(|(field, base)| {
        if base.a == base.b {
            format!("  {}: {}", line(field), shown(&base.a))
        } else {
            format!(
                "  {}: {} on side a, {} on side b",
                line(field),
                shown(&base.a),
                shown(&base.b)
            )
        }
    });
    lines.extend(base);
    lines.extend(
        link.filtered
            .iter()
            .map(|filtered| format!("\n{}", line(&filtered.words()))),
    );
    lines.extend(
        link.slowed
            .iter()
            .map(|slowed| format!("\n{}", line(slowed))),
    );
    if link.left_alone {
        lines.push(format!(
            "\nA person said to leave both alone. To hold them equal again: tandem links link {} {a} {b}",
            link.sync
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A pair of which the link forgot the records, because what is left goes on by itself.
    fn dissolved() -> LinkView {
        let side = json!({ "id": null, "version": null, "checksum": null, "updated_at": null });
        serde_json::from_value(json!({
            "id": "lnk_00000000000000000000000000", "sync": "customers", "a": side, "b": side,
            "base": { "name": { "a": "Acme", "b": "Acme" } }, "state": "retired", "name": "Acme",
            "ended": {
                "a": "17", "b": "c-4", "at": "2026-01-02T00:00:00Z", "because": "record 17 of crm is gone",
                "advice": "link it by hand",
            },
            "revision": 3, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-03T00:00:00Z",
        }))
        .expect("a link")
    }

    #[test]
    fn a_pair_that_ended_is_shown_with_the_ids_and_the_name_last_known_and_why_and_when_it_ended() {
        let link = dissolved();
        for told in [
            super::super::output::fitted(&of_retired(std::slice::from_ref(&link))),
            told(&link),
        ] {
            for part in [
                "17",
                "c-4",
                "Acme",
                "2026-01-02T00:00:00Z",
                "record 17 of crm is gone",
            ] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        assert!(told(&link).contains("next     link it by hand"));
        let all = super::super::output::fitted(&of_all(&[link]));
        assert!(
            all.contains("17") && all.contains("c-4") && all.contains("Acme"),
            "{all}"
        );
    }
}
