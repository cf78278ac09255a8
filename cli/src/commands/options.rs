//! Options that several commands have, and how their words are read.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tandem_domain::{ErrorCode, RecordId};
use tandem_runtime::process::{PostgresUrl, Storage};

use crate::embedded::DATABASE;

/// The exit code of a command whose answer is "no": differences were found, a check failed.
pub const NO: u8 = 1;
/// The exit code of a command that could not do what it was told to.
pub const FAILED: u8 = 3;

/// Connections of a command to PostgreSQL at most.
const CONNECTIONS_MAX: u32 = 8;

/// Where Tandem keeps everything, and how a command answers.
#[derive(Args, Clone)]
pub struct DataOptions {
    #[command(flatten)]
    pub storage: StorageOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Where Tandem keeps everything.
#[derive(Args, Clone)]
pub struct StorageOptions {
    /// The folder that holds the database.
    #[arg(
        long,
        env = "TANDEM_DATA",
        default_value = "tandem-data",
        value_name = "DIR",
        global = true
    )]
    pub data: PathBuf,
    /// The PostgreSQL database of a fleet, instead of a folder: postgres://user:password@host:5432/database.
    #[arg(
        long,
        env = "TANDEM_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true
    )]
    database_url: Option<String>,
    /// Takes the place of the password in the database's address.
    #[arg(
        long,
        env = "TANDEM_DATABASE_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD",
        global = true
    )]
    database_password: Option<String>,
}

impl StorageOptions {
    /// The storage. Of a file, `exclusive` says whether this process is the one that runs on it.
    pub fn storage(&self, exclusive: bool) -> Storage {
        match self.postgres() {
            Some(url) => Storage::Postgres {
                url,
                connections_max: CONNECTIONS_MAX,
            },
            None => Storage::Sqlite {
                file: self.data.join(DATABASE),
                exclusive,
            },
        }
    }

    /// The address of the PostgreSQL database, if there is one.
    pub fn postgres(&self) -> Option<PostgresUrl> {
        let url = self.database_url.as_deref().filter(|url| !url.is_empty())?;
        Some(PostgresUrl::new(url, self.database_password.as_deref()))
    }
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
