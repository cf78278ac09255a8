//! A measured figure beside its baseline, as a line of JSON and as a row of the table.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use serde_json::{Map, Value};

/// What was measured.
#[derive(Serialize)]
pub struct Figure {
    /// Its name, which does not change.
    pub figure: &'static str,
    /// So many a second.
    pub per_second: f64,
    /// What is counted.
    pub unit: &'static str,
    /// What is aimed at on a machine of two cores.
    pub aim_per_second: f64,
    /// The same work without Tandem, in the same unit.
    pub baseline_per_second: f64,
    /// What the baseline does.
    pub baseline: String,
    /// What else was seen.
    pub details: Map<String, Value>,
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
        table.set_header(["", "a second", "aim", "baseline", "share", "details"]);
        for one in figures {
            table.add_row([
                one.unit.to_owned(),
                whole(one.per_second),
                whole(one.aim_per_second),
                format!(
                    "{}\n{}",
                    whole(one.baseline_per_second),
                    wrapped(&one.baseline)
                ),
                format!("{:.0} %", 100.0 * one.per_second / one.baseline_per_second),
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

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn details(details: &Map<String, Value>) -> String {
    let lines: Vec<String> = details
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    lines.join("\n")
}

/// Words in lines that leave room for the other columns.
fn wrapped(text: &str) -> String {
    const LINE_CHARS_MAX: usize = 36;
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
