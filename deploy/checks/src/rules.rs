//! Rules for the alert rules of Prometheus.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::documents::{list_at, text_at};
use crate::metrics::Metrics;
use crate::{Problems, demand, query};

const SEVERITIES: [&str; 2] = ["critical", "warning"];

/// What is wrong with a file of alert rules.
#[must_use]
pub fn problems(file: &Value, metrics: &Metrics) -> Problems {
    let mut found = Problems::new();
    let mut names = BTreeSet::new();
    let alerts: Vec<&Value> = list_at(file, "/groups")
        .iter()
        .flat_map(|group| list_at(group, "/rules"))
        .collect();
    demand(&mut found, !alerts.is_empty(), || {
        "there is no alert".to_owned()
    });
    for alert in alerts {
        let name = text_at(alert, "/alert");
        demand(&mut found, !name.is_empty() && names.insert(name), || {
            format!("the alert `{name}` has no name, or one of another")
        });
        found.extend(
            one(alert, metrics)
                .into_iter()
                .map(|problem| format!("alert {name}: {problem}")),
        );
    }
    found
}

fn one(alert: &Value, metrics: &Metrics) -> Problems {
    let expression = text_at(alert, "/expr");
    let mut found = query::problems(expression, metrics);
    demand(&mut found, !expression.is_empty(), || {
        "has no expression".to_owned()
    });
    let severity = text_at(alert, "/labels/severity");
    demand(&mut found, SEVERITIES.contains(&severity), || {
        format!("`{severity}` is no severity")
    });
    for note in ["/annotations/summary", "/annotations/description"] {
        demand(&mut found, !text_at(alert, note).is_empty(), || {
            format!("has no {note}")
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::one_yaml;
    use crate::metrics::collect;

    const GOOD: &str = "groups: [{ rules: [{ alert: A, expr: tandem_leader == 0, \
        labels: { severity: warning }, annotations: { summary: s, description: d } }] }]";

    fn told(text: &str) -> Problems {
        let mut metrics = Metrics::new();
        collect("gauge!(\"tandem_leader\")", &mut metrics);
        problems(&one_yaml(text).expect("it is YAML"), &metrics)
    }

    #[test]
    fn a_good_file_has_no_problem() {
        assert_eq!(told(GOOD), Problems::new());
    }

    #[test]
    fn each_thing_that_is_broken_is_told() {
        for (good, broken) in [
            ("tandem_leader", "tandem_boss"),
            ("severity: warning", "severity: page"),
            ("alert: A", "record: A"),
            ("summary: s", "title: s"),
            ("rules:", "rule:"),
        ] {
            assert_eq!(told(&GOOD.replace(good, broken)).len(), 1, "{broken}");
        }
    }
}
