//! `tandem links`: the pairs that are held equal.

use std::process::ExitCode;

use clap::Args;
use tandem_domain::{LinkId, SyncName};
use tandem_operator::views::LinkView;

use super::options::{DataOptions, PageOptions};
use super::output::{moment, or_dash, say, say_json, say_page, shown, table, word};
use super::storage::{operator, require_sync};

/// Which links.
#[derive(Args)]
pub struct LinksArgs {
    /// The sync.
    sync: SyncName,
    /// One link with the values on which both sides last agreed; a list when left out.
    link: Option<LinkId>,
    #[command(flatten)]
    page: PageOptions,
    #[command(flatten)]
    data: DataOptions,
}

/// Shows them.
pub async fn run(args: LinksArgs) -> anyhow::Result<ExitCode> {
    let operator = operator(&args.data.storage).await?;
    require_sync(&operator, &args.sync).await?;
    let json = args.data.output.json;
    if let Some(id) = args.link {
        let link = operator.link(id).await?;
        if json {
            say_json(&link)?;
        } else {
            say(&told(&link))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let page = operator
        .links(&args.sync, args.page.cursor()?, args.page.limit())
        .await?;
    if json {
        say_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["link", "a", "b", "state", "made", "changed"]);
    for link in &page.items {
        rows.add_row([
            link.id.to_string(),
            or_dash(link.a.id.as_ref()),
            or_dash(link.b.id.as_ref()),
            word(&link.state),
            moment(link.created_at),
            moment(link.updated_at),
        ]);
    }
    say_page(&page, &rows, "no links")?;
    Ok(ExitCode::SUCCESS)
}

fn told(link: &LinkView) -> String {
    let (a, b) = (or_dash(link.a.id.as_ref()), or_dash(link.b.id.as_ref()));
    let mut lines = vec![
        format!("{} of {}: {}", link.id, link.sync, word(&link.state)),
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
        "\nBoth sides last agreed on".to_owned(),
    ];
    let base = link.base.iter().map(|(field, base)| {
        if base.a == base.b {
            format!("  {field}: {}", shown(&base.a))
        } else {
            format!(
                "  {field}: {} on side a, {} on side b",
                shown(&base.a),
                shown(&base.b)
            )
        }
    });
    lines.extend(base);
    lines.join("\n")
}
