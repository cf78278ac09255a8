//! What commands print: tables and sentences for people, JSON for programs, progress on standard error.

use std::io::{ErrorKind, Write};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tandem_domain::line::{json, line, lines};
use tandem_domain::{Side, Timestamp};
use tandem_operator::views::Page;
use tandem_runtime::SyncDefinition;
use tandem_worker::Progress;
use tokio::time::Instant;

/// A column is wrapped to no fewer characters than this.
const WRAPPED_CHARS_MIN: u16 = 24;
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Prints text for a person. What is from outside in it went through `line` already, so that it forges no line of
/// its own; whatever did not still cannot steer the terminal.
pub fn say(text: &str) -> anyhow::Result<()> {
    say_exactly(&lines(text.trim_end()))
}

/// Prints one JSON document. It holds the exact values, written so that none steers the terminal.
pub fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say_json_as(value, JsonForm::Document)
}

/// How a JSON document is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// For reading.
    Document,
    /// In one line, because others follow.
    Line,
}

/// Prints a JSON document in a form.
pub fn say_json_as(value: &impl Serialize, form: JsonForm) -> anyhow::Result<()> {
    let document = match form {
        JsonForm::Document => serde_json::to_string_pretty(value),
        JsonForm::Line => serde_json::to_string(value),
    };
    say_exactly(&json(&document.context("making JSON of the answer")?))
}

/// Prints text as it is. A reader that has seen enough (`tandem links customers | head`) is no failure.
pub fn say_exactly(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// A table whose cells are one line each, whatever is in them.
#[derive(Clone)]
pub struct Rows(Table);

impl Rows {
    /// Adds a row.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let cells = cells.into_iter();
        self.0
            .add_row(cells.map(|cell| line(cell.as_ref()).into_owned()));
    }
}

/// A table with this header, in capitals.
pub fn table(header: &[&str]) -> Rows {
    let capitals: Vec<String> = header.iter().map(|title| title.to_uppercase()).collect();
    table_headed(&capitals)
}

/// A table with this very header: an id in it is one in small letters only if it is written so.
pub fn table_headed(header: &[String]) -> Rows {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(header.iter().map(|title| line(title).into_owned()));
    // Lines begin at the margin, so that `cut` and `^` find what is first.
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    Rows(table)
}

/// Prints a page of a list: the table, or what there is instead, and how to go on.
pub fn say_page<T>(page: &Page<T>, table: &Rows, nothing: &str) -> anyhow::Result<()> {
    if page.items.is_empty() {
        return say(nothing);
    }
    let more = page
        .next
        .as_ref()
        .map_or_else(String::new, |next| format!("\n\nmore: --cursor {next}"));
    say(&format!("{}{more}", fitted(table)))
}

/// A table as it fits where it is printed: on a terminal its widest column is wrapped; into a pipe or a file
/// each row is one line, whole.
pub fn fitted(table: &Rows) -> String {
    let terminal = console::Term::stdout();
    fit(table, terminal.is_term().then(|| terminal.size().1))
}

fn fit(Rows(table): &Rows, width: Option<u16>) -> String {
    let widths = table.column_max_content_widths();
    let widest = widths.iter().enumerate().max_by_key(|(_, width)| **width);
    let (Some(width), Some((widest, _))) = (width, widest) else {
        return table.trim_fmt();
    };
    let others: u16 = widths
        .iter()
        .enumerate()
        .filter(|(column, _)| *column != widest)
        // Each has a space on both sides, but for the first: one column stays free.
        .map(|(_, width)| width.saturating_add(2))
        .fold(0, u16::saturating_add);
    let left = width.saturating_sub(others).saturating_sub(2);
    let left = left.max(WRAPPED_CHARS_MIN);
    let mut table = table.clone();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(others.saturating_add(left).saturating_add(2));
    for (column, cells) in table.column_iter_mut().enumerate() {
        if column != widest {
            cells.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// What there may not be; of what is from outside, as one line.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| line(&value.to_string()).into_owned(),
    )
}

/// An instant to the second.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// The word that a value is stored and shown with.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Plain JSON as a person writes it, on one line: no escapes in a text that needs none, `nothing` for null.
pub fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "nothing".to_owned(),
        serde_json::Value::String(text) => format!("\"{}\"", line(text)),
        other => json(&other.to_string()).into_owned(),
    }
}

/// A spinner on standard error; nothing at all where that is no terminal.
pub fn spinner(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(message.into());
    bar.enable_steady_tick(TICK);
    bar
}

/// A bar on standard error; nothing at all where that is no terminal.
pub fn bar(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:32}] {pos}/{len} ({elapsed})") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(message.into());
    bar
}

/// So long nothing is said of a system that does not answer; then it is, again and again.
const QUIET: Duration = Duration::from_secs(5);

/// Shows how many records of each side have been read, and which system is waited for.
pub struct ReadingProgress {
    spinner: ProgressBar,
    names: [String; 2],
    sides: Mutex<[Heard; 2]>,
}

/// What was heard of a side last.
#[derive(Clone, Copy)]
struct Heard {
    progress: Progress,
    at: Instant,
}

impl ReadingProgress {
    /// A progress of reading both sides of a sync.
    pub fn new(sync: &SyncDefinition) -> Self {
        let names = Side::BOTH.map(|side| sync.end(side).connection.to_string());
        let nothing = Heard {
            progress: Progress::Read(0),
            at: Instant::now(),
        };
        Self {
            spinner: spinner("reading both sides"),
            names,
            sides: Mutex::new([nothing; 2]),
        }
    }

    /// So far is the reading of this side.
    pub fn report(&self, side: Side, progress: Progress) {
        let mut sides = self.sides();
        let at = Instant::now();
        sides[usize::from(side == Side::B)] = Heard { progress, at };
        let [a, b] = &self.names;
        let [of_a, of_b] = sides.map(|heard| records(heard.progress));
        self.spinner
            .set_message(format!("reading: {a} {of_a} records, {b} {of_b} records"));
    }

    /// Waits for the work, and says every few seconds which system does not answer.
    pub async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                ended = &mut work => return ended,
                () = tokio::time::sleep(QUIET) => self.tell_waits(),
            }
        }
    }

    fn tell_waits(&self) {
        let sides = self
            .sides()
            .map(|heard| (heard.progress, heard.at.elapsed()));
        for said in waits(&self.names, sides) {
            self.spinner.suspend(|| {
                // A standard error that nobody reads is no reason to stop.
                let _ = writeln!(std::io::stderr(), "{said}");
            });
        }
    }

    fn sides(&self) -> MutexGuard<'_, [Heard; 2]> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it from the screen.
    pub fn finish(&self) {
        self.spinner.finish_and_clear();
    }
}

const fn records(progress: Progress) -> usize {
    match progress {
        Progress::Read(records) | Progress::Whole(records) => records,
    }
}

/// What is waited for, and since when.
fn waits(names: &[String; 2], sides: [(Progress, Duration); 2]) -> Vec<String> {
    let told = |(name, (progress, silent)): (&String, &(Progress, Duration))| match progress {
        Progress::Read(read) if *silent >= QUIET => Some(format!(
            "waiting for {name}, which has not answered for {} s; {read} records were read from it so far",
            silent.as_secs()
        )),
        Progress::Read(_) | Progress::Whole(_) => None,
    };
    let are_whole = sides
        .iter()
        .all(|(progress, silent)| matches!(progress, Progress::Whole(_)) && *silent >= QUIET);
    if are_whole {
        let [a, b] = names;
        return vec![format!(
            "both lists are read; {a} and {b} are asked once more for what looks different or is missing"
        )];
    }
    names.iter().zip(&sides).filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_does_not_answer_is_named_after_a_few_seconds_with_since_when() {
        let names = ["crm".to_owned(), "books".to_owned()];
        let secs = Duration::from_secs;
        let told = |a, b| waits(&names, [a, b]).join("\n");
        let (young, old) = (secs(4), secs(31));
        assert_eq!(
            told((Progress::Read(0), young), (Progress::Read(9), young)),
            ""
        );
        let told_of_one = told((Progress::Whole(7), old), (Progress::Read(200), old));
        assert_eq!(
            told_of_one,
            "waiting for books, which has not answered for 31 s; 200 records were read from it so far"
        );
        let again = told((Progress::Whole(7), old), (Progress::Whole(9), old));
        assert!(again.contains("asked once more"), "{again}");
    }

    #[test]
    fn a_cell_is_one_line_whatever_a_system_calls_its_records() {
        let mut rows = table(&["id", "name"]);
        rows.add_row(["1", "x\n2   forged\u{202e}\u{1b}[2J"]);
        let told = fit(&rows, None);
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(told.contains("x\\n2   forged\\u{202e}\\u{1b}[2J"), "{told}");
    }

    #[test]
    fn a_long_text_is_whole_in_a_pipe_and_wrapped_on_a_terminal() {
        let mut rows = table(&["id", "reason", "since"]);
        let reason = "the system refuses this record because its number is taken by another one";
        rows.add_row(["job_01j00000000000000000000000", reason, "today"]);
        let piped = fit(&rows, None);
        assert_eq!(piped.lines().count(), 2, "{piped}");
        assert!(piped.contains(reason), "{piped}");
        assert!(piped.starts_with("ID "), "{piped}");
        let shown = fit(&rows, Some(80));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.len() > 2, "{shown}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
        assert!(
            lines[1].starts_with("job_01j00000000000000000000000 "),
            "{shown}"
        );
        let words = |text: &str| {
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(words(&shown), words(&piped), "nothing is cut");
        let narrow = fit(&rows, Some(20));
        assert_eq!(words(&narrow), words(&piped), "{narrow}");
    }

    #[test]
    fn an_instant_is_shown_to_the_second() {
        assert_eq!(
            moment(Timestamp::from_micros(1_700_000_000_123_456)),
            "2023-11-14T22:13:20Z"
        );
        assert_eq!(
            moment(Timestamp::from_micros(1_700_000_000_000_000)),
            "2023-11-14T22:13:20Z"
        );
    }
}
