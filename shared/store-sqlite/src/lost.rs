//! A database that has lost its contents: nothing is in it, and beside it lies what only an earlier one leaves. To
//! begin anew there would link all records afresh without a word, and SQLite itself removes a write-ahead log that
//! lies beside an empty file. So this looks at the files first, and opens nothing where it need not.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tandem_store::StoreError;

use crate::place::{API_TOKEN, beside};
use crate::upkeep::is_without_tables;

/// What the lock file holds once a schema was made. The lock is taken before that, so an empty one may be of a first
/// start that was killed, and says nothing.
pub(crate) const MARK: &[u8] = b"a database was made beside this file\n";

/// What every SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where the head of the first page says of what kind that page is, and how many entries it has.
const KIND_AT: usize = 100;
const ENTRIES_AT: std::ops::Range<usize> = 103..105;
/// A page that holds its entries itself.
const LEAF: u8 = 13;
/// As much of the file as is looked at.
const HEAD_BYTES: usize = 105;

/// What was found, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Names the folder and the files.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl From<Lost> for StoreError {
    fn from(lost: Lost) -> Self {
        Self::Unusable(format!("{}. {}", lost.what, lost.advice))
    }
}

/// Whether a database has lost its contents. Nothing is made, changed or removed by looking.
///
/// # Errors
/// When a file is there and cannot be read.
pub async fn lost(path: &Path) -> Result<Option<Lost>, StoreError> {
    // First, because a first start that goes on meanwhile leaves these only when there is a schema.
    let left = left_behind(path);
    if left.is_empty() {
        return Ok(None);
    }
    let head = contents(path).await?;
    let state = match head {
        Head::Missing => "is not there".to_owned(),
        Head::Empty => "is empty (0 bytes)".to_owned(),
        // The log alone may be of a first start that was killed before anything was whole.
        Head::NoTables if left.iter().all(|left| left.is_log) => return Ok(None),
        Head::NoTables => format!("holds no tables ({} bytes)", bytes(path)),
        Head::Other => return Ok(None),
    };
    Ok(Some(say(path, &state, &left)))
}

/// Whether there is a database of Tandem in a file, or something that is to be looked at. Looking makes nothing.
///
/// # Errors
/// When it has lost its contents, or cannot be opened.
pub async fn is_made(path: &Path) -> Result<bool, StoreError> {
    if let Some(lost) = lost(path).await? {
        return Err(lost.into());
    }
    Ok(matches!(contents(path).await?, Head::Other))
}

/// What is in a database, its log taken in.
async fn contents(path: &Path) -> Result<Head, StoreError> {
    match head(path) {
        Ok(Head::NoTables) if bytes(&beside(path, "-wal")) > 0 => {
            Ok(if is_without_tables(path).await? {
                Head::NoTables
            } else {
                Head::Other
            })
        }
        Ok(head) => Ok(head),
        // Whoever opens it says what is wrong with it.
        Err(_) => Ok(Head::Other),
    }
}

fn say(path: &Path, state: &str, left: &[Left]) -> Lost {
    let folder = path.parent().unwrap_or(Path::new("."));
    let shown: Vec<String> = left.iter().map(|left| left.shown.clone()).collect();
    let files: Vec<String> = left
        .iter()
        .map(|left| left.file.display().to_string())
        .collect();
    let (database, files) = (path.display(), files.join(" and "));
    Lost {
        what: format!(
            "the folder {} looks like that of a database that has lost its contents: {database} {state}, and beside it \
             lies what an earlier one left: {}. Nothing was changed",
            folder.display(),
            shown.join(", ")
        ),
        advice: format!(
            "Keep a copy of the whole folder. Then put the last backup in the place of {database}: what `tandem db backup` \
             made (move {database}-wal and {database}-shm away first, they belong to another one), or tandem.db and \
             its -wal together, as they were copied. Or, to begin anew, remove {files}"
        ),
    }
}

/// Something that a database leaves beside it.
struct Left {
    file: PathBuf,
    shown: String,
    is_log: bool,
}

fn left_behind(path: &Path) -> Vec<Left> {
    let (log, lock) = (beside(path, "-wal"), beside(path, ".lock"));
    let token = path.with_file_name(API_TOKEN);
    let mut left = Vec::new();
    let mut note = |file: PathBuf, shown: String, is_log| {
        left.push(Left {
            file,
            shown,
            is_log,
        });
    };
    let size = bytes(&log);
    if size > 0 {
        let shown = format!("the write-ahead log {} ({size} bytes)", log.display());
        note(log, shown, true);
    }
    if bytes(&token) > 0 {
        let shown = format!("the token of the API {}", token.display());
        note(token, shown, false);
    }
    if bytes(&lock) >= MARK.len() as u64 {
        let shown = format!("the lock file {}", lock.display());
        note(lock, shown, false);
    }
    left
}

/// The size of a file; 0 of what is not there, or is no file.
pub(crate) fn bytes(path: &Path) -> u64 {
    std::fs::symlink_metadata(path)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map_or(0, |found| found.len())
}

/// What the beginning of a database says.
enum Head {
    Missing,
    Empty,
    /// One of SQLite, whose own list of tables is empty; the log may hold more.
    NoTables,
    /// One with tables, or something else altogether.
    Other,
}

fn head(path: &Path) -> io::Result<Head> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::Missing),
        Err(error) => return Err(error),
        // A pipe must not be opened, and a link not followed.
        Ok(found) if !found.is_file() => return Ok(Head::Other),
        Ok(found) if found.len() == 0 => return Ok(Head::Empty),
        Ok(_) => {}
    }
    let mut head = Vec::with_capacity(HEAD_BYTES);
    File::open(path)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    let is_empty_list = head.starts_with(MAGIC)
        && head.get(KIND_AT) == Some(&LEAF)
        && head.get(ENTRIES_AT) == Some(&[0, 0]);
    Ok(if is_empty_list {
        Head::NoTables
    } else {
        Head::Other
    })
}

/// Notes in the lock file that there is a database now.
pub(crate) fn mark(mut lock: &File) -> io::Result<()> {
    if lock.metadata()?.len() >= MARK.len() as u64 {
        return Ok(());
    }
    lock.write_all(MARK)?;
    lock.sync_all()
}
