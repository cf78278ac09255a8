//! Options that several commands have, and how their words are read.

use std::env::VarError;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use tandem_connectors::read_short_file;
use tandem_domain::{ErrorCode, RecordId};
use tandem_runtime::process::{API_TOKEN_VARIABLE, PostgresUrl, Storage};

use super::desk::Remote;
use crate::embedded::DATABASE;

/// The exit code of a command whose answer is "no": differences were found, a check failed.
pub const NO: u8 = 1;
/// The exit code of a command that could not do what it was told to.
pub const FAILED: u8 = 3;

/// The file in the data folder that holds the token of the API, where `tandem up` has made one.
pub(crate) const API_TOKEN_FILE: &str = "api-token";

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

/// What to do with a kind of things, and where they are kept.
#[derive(Args)]
pub struct Verbs<Action: Subcommand> {
    #[command(subcommand)]
    pub action: Action,
    #[command(flatten)]
    pub data: DataOptions,
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
    /// A running Tandem to work on through its HTTP API, instead of what is kept here: http://host:8080.
    #[arg(
        long,
        env = "TANDEM_API",
        value_name = "URL",
        global = true,
        conflicts_with = "database_url"
    )]
    api: Option<String>,
    /// The file that holds the token of that API; otherwise TANDEM_API_TOKEN, or `api-token` in the data folder.
    #[arg(
        long,
        env = "TANDEM_API_TOKEN_FILE",
        value_name = "FILE",
        global = true
    )]
    api_token_file: Option<PathBuf>,
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

    /// The running Tandem to work on through its HTTP API, if one was named.
    pub fn remote(&self) -> anyhow::Result<Option<Remote>> {
        let Some(address) = self.api.as_deref().filter(|api| !api.is_empty()) else {
            return Ok(None);
        };
        Remote::new(address, self.api_token()?).map(Some)
    }

    /// Refuses `--api` for a command that needs the database or the systems themselves.
    pub fn require_here(&self) -> anyhow::Result<()> {
        if self.api.as_deref().is_some_and(|api| !api.is_empty()) {
            bail!(
                "this command needs the database itself, so it does not work through the API: run it where the \
                 database is, without --api and TANDEM_API"
            );
        }
        Ok(())
    }

    /// The token of the API: of the file that is named, of the environment, or of the data folder.
    fn api_token(&self) -> anyhow::Result<Option<String>> {
        if let Some(file) = &self.api_token_file {
            return token_of(file).map(Some);
        }
        let of_environment = match std::env::var(API_TOKEN_VARIABLE) {
            Ok(token) => Some(token),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => {
                bail!("{API_TOKEN_VARIABLE} holds bytes that are no UTF-8: set it anew")
            }
        };
        if let Some(token) = of_environment.filter(|token| !token.is_empty()) {
            return Ok(Some(token));
        }
        let beside = self.data.join(API_TOKEN_FILE);
        if beside.is_file() {
            return token_of(&beside).map(Some);
        }
        Ok(None)
    }

    /// The address of the PostgreSQL database, if there is one.
    pub fn postgres(&self) -> Option<PostgresUrl> {
        let url = self.database_url.as_deref().filter(|url| !url.is_empty())?;
        Some(PostgresUrl::new(url, self.database_password.as_deref()))
    }
}

/// The longest file with a token, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

fn token_of(file: &Path) -> anyhow::Result<String> {
    let text = read_short_file(file, TOKEN_BYTES_MAX)
        .with_context(|| format!("reading the API token from {}", file.display()))?;
    let token = text.trim();
    if token.is_empty() {
        bail!("{} holds no API token: it is empty", file.display());
    }
    Ok(token.to_owned())
}

/// How a command answers.
#[derive(Args, Clone, Copy)]
pub struct OutputOptions {
    /// Answer with one JSON document on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Why something is paused.
#[derive(Args, Clone)]
pub struct WhyOption {
    /// Why, for whoever looks at it later: it is shown until it goes on.
    #[arg(long, value_name = "TEXT")]
    pub because: Option<String>,
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

/// Reads a whole number from `least` to `most`.
pub fn number<T>(least: T, most: T) -> impl TypedValueParser<Value = T>
where
    T: Copy + Display + FromStr + PartialOrd + Send + Sync + 'static,
{
    NonEmptyStringValueParser::new().try_map(move |text| {
        let number = text
            .parse()
            .map_err(|_| format!("write a whole number from {least} to {most}"))?;
        within(number, least, most)
    })
}

/// Reads a number from `least` to `most`, which may have a fraction.
pub fn decimal(least: f64, most: f64) -> impl TypedValueParser<Value = f64> {
    NonEmptyStringValueParser::new().try_map(move |text| {
        let number = text
            .parse()
            .map_err(|_| format!("write a number from {least} to {most}"))?;
        within(number, least, most)
    })
}

/// `nan` is in no range.
fn within<T: Display + PartialOrd>(number: T, least: T, most: T) -> Result<T, String> {
    if number >= least && number <= most {
        Ok(number)
    } else {
        Err(format!("write a number from {least} to {most}"))
    }
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
