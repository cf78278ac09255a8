//! Rules for the dashboard of Grafana.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::documents::{list_at, text_at};
use crate::metrics::Metrics;
use crate::{Problems, demand, query};

/// How many columns a dashboard has.
const COLUMNS: u64 = 24;
const DATASOURCE: &str = "${datasource}";

/// What is wrong with a dashboard.
#[must_use]
pub fn problems(dashboard: &Value, metrics: &Metrics) -> Problems {
    let mut found = variables(dashboard, metrics);
    let panels = list_at(dashboard, "/panels");
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        let title = text_at(panel, "/title");
        let mut told = Problems::new();
        let new_id = panel["id"].as_u64().is_some_and(|id| ids.insert(id));
        demand(&mut told, new_id, || "has no id of its own".to_owned());
        let placed = area(panel).is_some_and(|area| area.into_iter().all(|at| cells.insert(at)));
        demand(&mut told, placed, || {
            "lies outside, or over another".to_owned()
        });
        if text_at(panel, "/type") != "row" {
            told.extend(content(panel, metrics));
        }
        found.extend(
            told.into_iter()
                .map(|problem| format!("panel `{title}`: {problem}")),
        );
    }
    demand(&mut found, !panels.is_empty(), || {
        "there is no panel".to_owned()
    });
    found
}

/// The cells that a panel covers; `None` when it is not on the board.
fn area(panel: &Value) -> Option<Vec<(u64, u64)>> {
    let side = |name: &str| panel["gridPos"][name].as_u64();
    let (x, y, wide, high) = (side("x")?, side("y")?, side("w")?, side("h")?);
    if wide == 0 || high == 0 || x + wide > COLUMNS {
        return None;
    }
    let rows = y..y + high;
    Some(
        rows.flat_map(|row| (x..x + wide).map(move |column| (column, row)))
            .collect(),
    )
}

fn content(panel: &Value, metrics: &Metrics) -> Problems {
    let mut found = Problems::new();
    demand(&mut found, !text_at(panel, "/title").is_empty(), || {
        "has no title".to_owned()
    });
    demand(
        &mut found,
        !text_at(panel, "/description").is_empty(),
        || "does not say what it shows".to_owned(),
    );
    let targets = list_at(panel, "/targets");
    demand(&mut found, !targets.is_empty(), || "is empty".to_owned());
    for target in targets {
        let expression = text_at(target, "/expr");
        found.extend(query::problems(expression, metrics));
        demand(&mut found, !expression.is_empty(), || {
            "has an empty query".to_owned()
        });
        let source = text_at(target, "/datasource/uid");
        demand(&mut found, source == DATASOURCE, || {
            format!("asks `{source}`, which other installations do not have")
        });
    }
    found
}

/// Every `$name` of a query is a variable of the dashboard, and what fills it exists.
fn variables(dashboard: &Value, metrics: &Metrics) -> Problems {
    let mut found = Problems::new();
    let variables = list_at(dashboard, "/templating/list");
    let names: BTreeSet<&str> = variables
        .iter()
        .map(|variable| text_at(variable, "/name"))
        .collect();
    let queries = list_at(dashboard, "/panels")
        .iter()
        .flat_map(|panel| list_at(panel, "/targets"))
        .map(|target| text_at(target, "/expr"));
    for name in queries.flat_map(used) {
        demand(
            &mut found,
            names.contains(name) || name.starts_with("__"),
            || format!("the variable `${name}` is not defined"),
        );
    }
    for filled in variables.iter().map(|one| text_at(one, "/definition")) {
        let Some(inside) = filled.strip_prefix("label_values(") else {
            continue;
        };
        let (metric, label) = inside
            .trim_end_matches(')')
            .split_once(", ")
            .unwrap_or_default();
        let asked = format!("count by ({label}) ({metric})");
        found.extend(query::problems(&asked, metrics));
    }
    found
}

fn used(query: &str) -> impl Iterator<Item = &str> {
    query.split('$').skip(1).map(|after| {
        let after = after.trim_start_matches('{');
        let end = after
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(after.len());
        &after[..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::collect;

    const GOOD: &str = r#"{
        "templating": { "list": [
            { "name": "datasource" },
            { "name": "sync", "definition": "label_values(tandem_jobs_total, sync)" } ] },
        "panels": [
            { "id": 1, "type": "row", "title": "Jobs", "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 } },
            { "id": 2, "type": "stat", "title": "Jobs", "description": "All.",
              "gridPos": { "x": 0, "y": 1, "w": 12, "h": 8 },
              "targets": [ { "expr": "rate(tandem_jobs_total{sync=~'$sync'}[$__rate_interval])",
                             "datasource": { "uid": "${datasource}" } } ] } ] }"#;

    fn told(text: &str) -> Problems {
        let mut metrics = Metrics::new();
        collect(
            "counter!(\"tandem_jobs_total\", \"sync\" => s)",
            &mut metrics,
        );
        problems(&serde_json::from_str(text).expect("it is JSON"), &metrics)
    }

    #[test]
    fn a_good_dashboard_has_no_problem() {
        assert_eq!(told(GOOD), Problems::new());
    }

    #[test]
    fn each_thing_that_is_broken_is_told() {
        for (good, broken) in [
            ("rate(tandem_jobs_total", "rate(tandem_job_total"),
            (
                "label_values(tandem_jobs_total, sync)",
                "label_values(tandem_jobs_total, syncs)",
            ),
            ("$sync'", "$sink'"),
            ("\"id\": 2", "\"id\": 1"),
            ("\"y\": 1", "\"y\": 0"),
            ("\"w\": 12", "\"w\": 25"),
            (
                "\"uid\": \"${datasource}\"",
                "\"uid\": \"P1809F7CD0C75ACF3\"",
            ),
            ("All.", ""),
        ] {
            let told = told(&GOOD.replace(good, broken));
            assert_eq!(told.len(), 1, "{broken}: {told:?}");
        }
    }
}
