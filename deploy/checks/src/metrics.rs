//! Which metrics the sources record, found where they are recorded: in the macros of the crate `metrics`.

use std::collections::{BTreeMap, BTreeSet};

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Shown as `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// A metric as the sources record it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels, over all places that record it.
    pub labels: BTreeSet<String>,
}

/// All metrics, by name.
pub type Metrics = BTreeMap<String, Metric>;

const MACROS: [(&str, Kind); 3] = [
    ("counter!", Kind::Counter),
    ("gauge!", Kind::Gauge),
    ("histogram!", Kind::Histogram),
];

/// The part of a source file that is not its tests.
#[must_use]
pub fn without_tests(source: &str) -> &str {
    source
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
}

/// Adds the metrics that a source file records.
pub fn collect(source: &str, metrics: &mut Metrics) {
    let source = without_tests(source);
    for (call, kind) in MACROS {
        for (at, _) in source.match_indices(call) {
            let arguments = balanced(&source[at + call.len()..]);
            let mut parts = arguments.splitn(2, ',');
            let Some(name) = parts.next().and_then(|part| literal(part, source)) else {
                continue;
            };
            let metric = metrics.entry(name).or_insert_with(|| Metric {
                kind,
                labels: BTreeSet::new(),
            });
            let rest = parts.next().unwrap_or_default();
            metric.labels.extend(label_names(rest, source));
        }
    }
}

/// What is between the first bracket of a text and the one that closes it.
fn balanced(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => {
                if depth == 0 {
                    start = at + 1;
                }
                depth += 1;
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &text[start..at];
                }
            }
            _ => {}
        }
    }
    ""
}

/// A text in quotes, or the value of a constant of the same file.
fn literal(expression: &str, source: &str) -> Option<String> {
    let expression = expression.trim();
    if let Some(quoted) = expression.strip_prefix('"') {
        return quoted.split('"').next().map(str::to_owned);
    }
    let name = expression.rsplit("::").next()?.trim();
    let defined = source.split(&format!("const {name}: &str")).nth(1)?;
    defined.split('"').nth(1).map(str::to_owned)
}

fn label_names(arguments: &str, source: &str) -> Vec<String> {
    arguments
        .split("=>")
        .take(arguments.matches("=>").count())
        .filter_map(|before| literal(before.rsplit(',').next()?, source))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(source: &str) -> Metrics {
        let mut metrics = Metrics::new();
        collect(source, &mut metrics);
        metrics
    }

    #[test]
    fn names_kinds_and_labels_are_found_over_several_lines() {
        let metrics = collected(
            r#"
            counter!(
                "tandem_webhooks_total",
                "connection" => connection.to_owned(),
                "outcome" => word(answer, 1),
            )
            .increment(1);
            metrics::histogram!("tandem_commit_seconds").record(0.1);
            "#,
        );
        let webhooks = &metrics["tandem_webhooks_total"];
        assert_eq!(webhooks.kind, Kind::Counter);
        assert!(webhooks.labels.iter().eq(["connection", "outcome"]));
        assert_eq!(metrics["tandem_commit_seconds"].kind, Kind::Histogram);
    }

    #[test]
    fn names_may_be_constants() {
        let source = "const LEADER: &str = \"tandem_leader\";\nfn f() { gauge!(LEADER).set(1.0); }";
        assert_eq!(collected(source)["tandem_leader"].kind, Kind::Gauge);
    }

    #[test]
    fn what_only_a_test_records_does_not_count() {
        let source = "#[cfg(test)]\nmod tests { fn f() { counter!(\"tandem_test_total\"); } }";
        assert!(collected(source).is_empty());
    }
}
