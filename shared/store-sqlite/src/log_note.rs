//! What the lock file says of the write-ahead log. SQLite takes a log that is gone, or ends early, for one that was
//! never longer: after a kill, what was accepted last would be missing without a word. So the process that runs on the
//! database notes after each commit how long the log is, and at an orderly end that the file holds everything.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tandem_store::StoreError;

use crate::lost::{Lost, MARK, bytes};
use crate::place::beside;

/// Before the length of the log.
const RUNNING: &str = "it runs; bytes of the log: ";
const CLOSED: &str = "it was closed whole";
/// Each note is as long as every other, so that none leaves something of the one before.
const NOTE_CHARS: usize = 48;
/// As much of the lock file as is looked at.
const LOCK_BYTES_MAX: u64 = 4_096;
/// So much room has what is said of a storage that takes nothing. It is made at the start, when the disk has room.
const REFUSAL_BYTES: usize = 2_000;
/// Before the reason, where the files are wrong, and where a later try may do.
const UNUSABLE: &str = "it keeps nothing until it is mended: ";
const UNAVAILABLE: &str = "it keeps nothing now: ";

/// Notes how long the log is. It need not reach the disk at once: what is behind the truth only warns less.
pub(crate) fn note_length(lock: &File, bytes: u64) -> io::Result<()> {
    note(lock, &format!("{RUNNING}{bytes}"))
}

/// Notes that the file holds everything.
pub(crate) fn note_closed(lock: &File) -> io::Result<()> {
    note(lock, CLOSED)
}

/// Notes why nothing is kept, or that all is. Other processes on this machine, such as the one that shows the status,
/// learn it from there: to them the files may look well.
pub(crate) fn note_refusal(mut lock: &File, refusal: Option<&StoreError>) -> io::Result<()> {
    let said = match refusal {
        None => String::new(),
        Some(StoreError::Unusable(said)) => format!("{UNUSABLE}{said}"),
        Some(StoreError::Unavailable(said)) => format!("{UNAVAILABLE}{said}"),
        Some(other) => format!("{UNAVAILABLE}{other}"),
    };
    let mut said = said.replace('\n', " ");
    said.truncate(said.floor_char_boundary(REFUSAL_BYTES));
    // The room is counted in bytes.
    said.push_str(&" ".repeat(REFUSAL_BYTES - said.len()));
    said.push('\n');
    lock.seek(SeekFrom::Start((MARK.len() + NOTE_CHARS + 1) as u64))?;
    lock.write_all(said.as_bytes())
}

/// Why the process that runs on a database keeps nothing, if it said so.
pub(crate) fn noted_refusal(path: &Path) -> Option<StoreError> {
    let text = lock_text(&beside(path, ".lock"))?;
    let said = text.lines().nth(2)?.trim();
    let unusable = said.strip_prefix(UNUSABLE).map(str::to_owned);
    let unavailable = said.strip_prefix(UNAVAILABLE).map(str::to_owned);
    unusable
        .map(StoreError::Unusable)
        .or(unavailable.map(StoreError::Unavailable))
}

fn note(mut lock: &File, text: &str) -> io::Result<()> {
    lock.seek(SeekFrom::Start(MARK.len() as u64))?;
    lock.write_all(format!("{text:<NOTE_CHARS$}\n").as_bytes())
}

/// Whether the log of a database that was not closed in good order is gone, or shorter than it was. Looking changes
/// nothing; a process that runs on the database begins a new note.
#[must_use]
pub fn cut_log(path: &Path) -> Option<Lost> {
    let lock = beside(path, ".lock");
    let noted = noted_length(&lock)?;
    let log = beside(path, "-wal");
    let found = bytes(&log);
    if found >= noted || was_moved_since(path, &lock) {
        return None;
    }
    let (database, log) = (path.display(), log.display());
    let state = match found {
        0 => "is missing or empty".to_owned(),
        some => format!("has {some} bytes"),
    };
    Some(Lost {
        what: format!(
            "the last process on {database} was killed, or lost its power, and its write-ahead log {log} {state}, where it \
             had {noted} bytes: what was accepted last may be missing, such as webhooks, answers and links"
        ),
        advice: format!(
            "If you have the log, stop Tandem and put it back as {log}, beside the {database} that it belongs to. Otherwise \
             let `tandem sync run NAME` compare both sides of each sync whole, which finds what they hold. Never remove or \
             cut that file: it is a part of the database"
        ),
    })
}

fn noted_length(lock: &Path) -> Option<u64> {
    let text = lock_text(lock)?;
    let note = text.lines().nth(1)?.strip_prefix(RUNNING)?;
    note.trim().parse().ok()
}

fn lock_text(lock: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(lock).ok()?;
    file.take(LOCK_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether the file was written after the last note: then somebody moved the log into it, or put a backup in its place.
fn was_moved_since(path: &Path, lock: &Path) -> bool {
    let written = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified());
    matches!((written(path), written(lock)), (Ok(file), Ok(note)) if file > note)
}
