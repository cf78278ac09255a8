//! Queries of Prometheus: do they ask for what there is? Their grammar is promtool's to check.

use std::collections::BTreeSet;

use crate::Problems;
use crate::metrics::{Kind, Metric, Metrics};

/// Labels that Prometheus or Kubernetes put on every series.
const GIVEN_LABELS: [&str; 4] = ["job", "instance", "namespace", "pod"];
/// After these words comes a list of labels.
const LABEL_LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
const HISTOGRAM_ENDS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// What a query asks for that the sources do not record.
#[must_use]
pub fn problems(query: &str, metrics: &Metrics) -> Problems {
    let mut found = Problems::new();
    let mut reading = Reading::default();
    for token in tokens(query) {
        reading.take(token, metrics, &mut found);
    }
    let known = reading.labels;
    for label in reading.listed {
        if !known.contains(label) && !GIVEN_LABELS.contains(&label) {
            found.push(format!("no metric of `{query}` has the label `{label}`"));
        }
    }
    if reading.open != 0 {
        found.push(format!("brackets of `{query}` are not closed"));
    }
    found
}

/// The metric that a name in a query stands for.
#[must_use]
pub fn metric_of<'a>(name: &str, metrics: &'a Metrics) -> Option<&'a Metric> {
    if let Some(metric) = metrics.get(name) {
        return (metric.kind != Kind::Histogram).then_some(metric);
    }
    let base = HISTOGRAM_ENDS
        .iter()
        .find_map(|end| name.strip_suffix(end))?;
    metrics
        .get(base)
        .filter(|metric| metric.kind == Kind::Histogram)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Expression,
    /// After a word such as `by`, before or in its bracket.
    LabelList,
    /// Between the braces of a series.
    Selector,
}

struct Reading<'q, 'm> {
    place: Place,
    series: Option<(&'q str, &'m Metric)>,
    labels: BTreeSet<&'m str>,
    listed: Vec<&'q str>,
    open: i64,
}

impl Default for Reading<'_, '_> {
    fn default() -> Self {
        Self {
            place: Place::Expression,
            series: None,
            labels: BTreeSet::new(),
            listed: Vec::new(),
            open: 0,
        }
    }
}

impl<'q, 'm> Reading<'q, 'm> {
    fn take(&mut self, token: &'q str, metrics: &'m Metrics, found: &mut Problems) {
        match token {
            "{" | "(" | "[" => self.open += 1,
            "}" | ")" | "]" => self.open -= 1,
            _ => {}
        }
        match (self.place, token) {
            (_, "{") => self.place = Place::Selector,
            (Place::Selector, "}") | (Place::LabelList, ")") => self.place = Place::Expression,
            (Place::Selector, label) if is_word(label) => self.check_selected(label, found),
            (Place::LabelList, label) if is_word(label) => self.listed.push(label),
            (Place::Expression, word) if LABEL_LISTS.contains(&word) => {
                self.place = Place::LabelList;
            }
            (Place::Expression, name) if name.starts_with("tandem_") => {
                self.enter(name, metrics, found);
            }
            (Place::Expression, word) if is_word(word) => self.series = None,
            (Place::Expression | Place::LabelList | Place::Selector, _) => {}
        }
    }

    fn enter(&mut self, name: &'q str, metrics: &'m Metrics, found: &mut Problems) {
        self.series = None;
        let Some(metric) = metric_of(name, metrics) else {
            found.push(format!("the sources record no metric `{name}`"));
            return;
        };
        self.series = Some((name, metric));
        self.labels.extend(metric.labels.iter().map(String::as_str));
        if metric.kind == Kind::Histogram {
            self.labels.insert("le");
        }
    }

    fn check_selected(&self, label: &str, found: &mut Problems) {
        let Some((name, metric)) = self.series else {
            return;
        };
        if !metric.labels.contains(label) && !GIVEN_LABELS.contains(&label) {
            found.push(format!("`{name}` has no label `{label}`"));
        }
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// Words and brackets; texts in quotes, numbers and operators are left out.
fn tokens(query: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => quoted_length(rest, first),
            _ if first.is_ascii_alphanumeric() || first == '_' => rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if is_word(token) || "(){}[]".contains(token) {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

fn quoted_length(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::collect;

    fn metrics() -> Metrics {
        let mut metrics = Metrics::new();
        collect(
            r#"gauge!("tandem_queue_jobs", "state" => s); histogram!("tandem_wait_seconds", "class" => c); gauge!("tandem_leader");"#,
            &mut metrics,
        );
        metrics
    }

    #[test]
    fn a_query_for_what_there_is_is_good() {
        for query in [
            r#"sum by (state) (tandem_queue_jobs{state="dead", job=~"x.*"} and on (job, instance) (tandem_leader == 1)) > 5"#,
            r#"histogram_quantile(0.9, sum by (le, class) (rate(tandem_wait_seconds_bucket{class=~"$class"}[$__rate_interval])))"#,
            r#"absent(up{job="tandem-api"} == 1)"#,
        ] {
            assert_eq!(problems(query, &metrics()), Problems::new(), "{query}");
        }
    }

    #[test]
    fn a_query_for_what_there_is_not_is_told() {
        for query in [
            "tandem_gone",
            "rate(tandem_wait_seconds[5m])",
            "tandem_queue_jobs_count",
            r#"tandem_queue_jobs{stat="dead"}"#,
            "sum by (kind) (tandem_queue_jobs)",
            "sum(tandem_leader",
        ] {
            assert_eq!(problems(query, &metrics()).len(), 1, "{query}");
        }
    }
}
