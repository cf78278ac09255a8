//! Dead letters as a table for a spreadsheet.

use super::selection::scan_rows;
use super::{DeadLetter, DeadLetterQuery, Letter};
use crate::{Operator, OperatorError};

const COLUMNS: [&str; 10] = [
    "id", "what", "sync", "side", "record", "attempts", "since", "code", "cause", "message",
];

/// A spreadsheet takes a cell that begins so for a formula, and messages come from outside.
const FORMULA_SIGNS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

impl Operator {
    /// All dead letters that match, or the newest of them where the query has a limit.
    ///
    /// # Errors
    /// When the limit is none, or the storage fails.
    pub async fn all_dead_letters(
        &self,
        query: &DeadLetterQuery,
    ) -> Result<Vec<DeadLetter>, OperatorError> {
        let rows = scan_rows(query.limit)?;
        let mut query = query.clone();
        let mut all = Vec::new();
        loop {
            let scanned = self.scan_from(&query, rows).await?;
            all.extend(scanned.letters);
            if query.limit.is_some() || scanned.older.is_none() {
                return Ok(all);
            }
            query.cursor = scanned.older;
        }
    }

    /// All dead letters that match, as comma-separated values with a head.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn dead_letters_csv(&self, query: &DeadLetterQuery) -> Result<String, OperatorError> {
        let letters = self.all_dead_letters(query).await?;
        let mut table = csv::Writer::from_writer(Vec::new());
        let written = std::iter::once(COLUMNS.map(str::to_owned))
            .chain(letters.iter().map(row))
            .try_for_each(|row| table.write_record(row));
        let text = written.and_then(|()| {
            table
                .into_inner()
                .map_err(|error| error.into_error().into())
        });
        let text = text.map_err(|error| OperatorError::Invalid {
            problem: format!("the table cannot be written: {error}"),
            advice: "ask for JSON",
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn row(letter: &DeadLetter) -> [String; 10] {
    let text = |value: Option<String>| value.unwrap_or_default();
    let (what, sync, side, record, attempts) = match &letter.letter {
        Letter::Job(job) => (
            job.kind.clone().into_owned(),
            text(job.sync.as_ref().map(ToString::to_string)),
            text(job.side.map(|side| side.to_string())),
            text(job.record.as_ref().map(ToString::to_string)),
            job.attempt.to_string(),
        ),
        Letter::Event(event) => (
            format!("event from {}", event.connection),
            String::new(),
            String::new(),
            text(event.record.as_ref().map(ToString::to_string)),
            String::new(),
        ),
    };
    [
        letter.id.to_string(),
        what,
        sync,
        side,
        plain(record),
        attempts,
        letter.since.to_string(),
        letter.code.to_string(),
        plain(letter.cause.clone()),
        plain(letter.message.clone()),
    ]
}

fn plain(text: String) -> String {
    if text.starts_with(FORMULA_SIGNS) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        assert_eq!(plain("=HYPERLINK(1)".to_owned()), "'=HYPERLINK(1)");
        assert_eq!(
            plain("the name is missing".to_owned()),
            "the name is missing"
        );
    }
}
