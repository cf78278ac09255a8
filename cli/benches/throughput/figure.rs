//! A measured figure beside its baseline, as a line of JSON and as a row of the table.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use serde_json::Value;

/// A measured figure.
#[derive(Serialize)]
pub struct Figure {
    /// Its name, which does not change.
    pub figure: &'static str,
    /// What was measured, what is aimed at on a machine of two cores, and the same without Tandem.
    #[serde(flatten)]
    pub measured: Measured,
    /// What is counted.
    pub unit: &'static str,
    /// What the baseline does.
    pub baseline: String,
    /// What else was seen.
    pub details: Value,
}

/// What was measured, what is aimed at, and the same without Tandem.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Measured {
    /// So many a second.
    Rate {
        per_second: f64,
        aim_per_second: f64,
        baseline_per_second: f64,
    },
    /// How long one takes.
    Latency {
        p50_ms: Value,
        p99_ms: Value,
        aim_p50_ms: f64,
        aim_p99_ms: f64,
        baseline_p50_ms: Value,
        baseline_p99_ms: Value,
    },
    /// How many times as many a second as one worker does.
    Speedup {
        times: f64,
        aim_times: f64,
        baseline_per_second: f64,
    },
}

impl Measured {
    /// As the table shows them: what was measured, what is aimed at, the baseline, the share of it.
    fn columns(&self) -> [String; 4] {
        match self {
            Self::Rate {
                per_second,
                aim_per_second,
                baseline_per_second,
            } => [
                format!("{per_second:.0} /s"),
                format!("{aim_per_second:.0} /s"),
                format!("{baseline_per_second:.0} /s"),
                format!("{:.0} %", 100.0 * per_second / baseline_per_second),
            ],
            Self::Latency {
                p50_ms,
                p99_ms,
                aim_p50_ms,
                aim_p99_ms,
                baseline_p50_ms,
                baseline_p99_ms,
            } => [
                format!("p50 {p50_ms} ms\np99 {p99_ms} ms"),
                format!("p50 {aim_p50_ms} ms\np99 {aim_p99_ms} ms"),
                format!("p50 {baseline_p50_ms} ms\np99 {baseline_p99_ms} ms"),
                String::new(),
            ],
            Self::Speedup {
                times,
                aim_times,
                baseline_per_second,
            } => [
                format!("{times:.2} times"),
                format!("{aim_times:.1} times"),
                format!("{baseline_per_second:.0} /s"),
                String::new(),
            ],
        }
    }
}

impl Figure {
    /// Prints it as one line of JSON.
    pub fn print_json(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }

    /// All figures, to be read by a person.
    pub fn table(figures: &[Self]) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["", "measured", "aim", "baseline", "share", "details"]);
        for one in figures {
            let [measured, aim, baseline, share] = one.measured.columns();
            table.add_row([
                wrapped(one.unit),
                measured,
                aim,
                format!("{baseline}\n{}", wrapped(&one.baseline)),
                share,
                details(&one.details),
            ]);
        }
        table
    }
}

/// How many a second, for `count` in `took`.
pub fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// A duration as milliseconds with two decimal places.
pub fn millis(duration: Duration) -> Value {
    rounded(duration.as_secs_f64() * 1_000.0)
}

/// A number with two decimal places.
pub fn rounded(number: f64) -> Value {
    Value::from((number * 100.0).round() / 100.0)
}

/// The time that this share (0 to 1) of the sorted times does not exceed.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(place - 1).copied().unwrap_or_default()
}

fn details(details: &Value) -> String {
    let named = details.as_object().into_iter().flatten();
    let lines: Vec<String> = named
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    lines.join("\n")
}

/// Words in lines that leave room for the other columns.
fn wrapped(text: &str) -> String {
    const LINE_CHARS_MAX: usize = 34;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.len() + word.len() > LINE_CHARS_MAX {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
