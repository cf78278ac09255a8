//! Options that several commands have, and how their words are read.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tandem_domain::{ErrorCode, RecordId};

/// The exit code of a command whose answer is "no": differences were found, a check failed.
pub const NO: u8 = 1;
/// The exit code of a command that could not do what it was told to.
pub const FAILED: u8 = 3;

/// Where Tandem keeps everything, and how a command answers.
#[derive(Args, Clone)]
pub struct DataOptions {
    /// The folder that holds the database.
    #[arg(
        long,
        env = "TANDEM_DATA",
        default_value = "tandem-data",
        value_name = "DIR",
        global = true
    )]
    pub data: PathBuf,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// How a command answers.
#[derive(Args, Clone, Copy)]
pub struct OutputOptions {
    /// Answer with one JSON document on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The configuration, for commands that talk to the systems.
#[derive(Args, Clone)]
pub struct ConfigOptions {
    /// The configuration file.
    #[arg(long, env = "TANDEM_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

/// Which part of a list.
#[derive(Args, Clone)]
pub struct PageOptions {
    /// How many rows at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on where the page before ended; that page says with what.
    #[arg(long)]
    pub cursor: Option<String>,
}

impl PageOptions {
    /// How many rows to ask for.
    pub fn limit(&self) -> Option<usize> {
        Some(usize::from(self.limit))
    }

    /// Where the page begins.
    pub fn cursor<T>(&self) -> anyhow::Result<Option<T>>
    where
        T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        use anyhow::Context as _;
        self.cursor
            .as_deref()
            .map(str::parse)
            .transpose()
            .context("--cursor")
    }
}

/// Reads one of the words that a set of values is shown with.
pub fn words<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let known = PossibleValuesParser::new(all.iter().map(|one| word(*one)));
    known.try_map(move |text| {
        all.iter()
            .copied()
            .find(|one| word(*one) == text)
            .ok_or_else(|| format!("`{text}` is not known"))
    })
}

/// Reads the word for a failure.
pub fn error_code() -> impl TypedValueParser<Value = ErrorCode> {
    words(&ErrorCode::ALL, ErrorCode::as_str)
}

/// Reads the id that a system gave a record; any text but none.
pub fn record_id(text: &str) -> Result<RecordId, String> {
    if text.is_empty() {
        Err("a record's id is not empty".to_owned())
    } else {
        Ok(RecordId::new(text))
    }
}
