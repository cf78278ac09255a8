//! A database that another program holds: who that is, where the operating system tells, and what to do.

use std::path::Path;
use std::time::Duration;

use tandem_store::StoreError;

use crate::place::beside;

/// What an error says of such a database before it is known whose it is.
pub(crate) const LOCKED: &str = "the database is locked";
/// Where Linux tells which process holds which file.
const LOCKS: &str = "/proc/locks";

/// The same error; of a database that somebody holds, with all that is known of it after it was waited for so long.
pub(crate) fn explained(error: StoreError, database: &Path, waited: Duration) -> StoreError {
    match error {
        StoreError::Unavailable(said) if said == LOCKED => {
            StoreError::Unavailable(told(database, waited))
        }
        error => error,
    }
}

/// All that is known of it.
fn told(database: &Path, waited: Duration) -> String {
    let (file, secs) = (database.display(), waited.as_secs());
    let (who, find) = match holders(database).as_slice() {
        [] => (
            "another program, or another task of this one,".to_owned(),
            format!(" (`fuser {file}` or `lsof {file}` names it)"),
        ),
        holders => (holders.join(", "), String::new()),
    };
    format!(
        "{LOCKED}: {who} holds {file} and did not let go for {secs} s{find}, so nothing was written. End what it does there (an \
         open transaction in `sqlite3`, a copy, a backup by another tool), or end that program; where Tandem runs, it goes on by \
         itself then"
    )
}

/// What is said when nothing could be written for so long, and SQLite has not said yet why.
pub(crate) fn not_answered(database: &Path, waited: Duration) -> StoreError {
    StoreError::Unavailable(match holders(database).is_empty() {
        false => told(database, waited),
        true => format!(
            "nothing could be written to {file} for {secs} s: the disk is slow, or another program holds the database \
             (`fuser {file}` or `lsof {file}` names it)",
            file = database.display(),
            secs = waited.as_secs()
        ),
    })
}

/// The other processes that hold a lock on the database or on the files beside it.
fn holders(database: &Path) -> Vec<String> {
    let files = ["-shm", "-wal"].map(|end| beside(database, end));
    let files = std::iter::once(database.to_owned()).chain(files);
    let inodes: Vec<u64> = files.filter_map(|file| inode(&file)).collect();
    let locks = std::fs::read_to_string(LOCKS).unwrap_or_default();
    let others = holders_in(&locks, &inodes, std::process::id());
    others.into_iter().map(named).collect()
}

#[cfg(unix)]
fn inode(file: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(std::fs::metadata(file).ok()?.ino())
}

#[cfg(not(unix))]
const fn inode(_file: &Path) -> Option<u64> {
    None
}

/// The processes that by these lines may keep us from writing one of these files. A line reads `1: POSIX ADVISORY WRITE
/// <process> <device>:<inode> <from> <to>`.
fn holders_in(locks: &str, inodes: &[u64], own: u32) -> Vec<u32> {
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "WRITE")?;
        let process: u32 = words.get(at + 1)?.parse().ok()?;
        let inode: u64 = words.get(at + 2)?.rsplit(':').next()?.parse().ok()?;
        (process != own && inodes.contains(&inode)).then_some(process)
    };
    let mut holders: Vec<u32> = locks.lines().filter_map(holder).collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

fn named(process: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => format!("the process {process} (`{}`)", name.trim().escape_default()),
        Err(_) => format!("the process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_file_is_read_from_the_locks_of_the_system() {
        let locks = "1: POSIX  ADVISORY  WRITE 4242 fd:01:77 120 120\n\
                     2: POSIX  ADVISORY  READ  4243 fd:01:77 124 124\n\
                     3: FLOCK  ADVISORY  WRITE 10 fd:01:77 0 EOF\n\
                     4: POSIX  ADVISORY  WRITE 4244 fd:01:78 0 EOF\n\
                     5: -> POSIX  ADVISORY  WRITE 4245 fd:01:77 120 120\n";
        assert_eq!(holders_in(locks, &[77], 10), [4242, 4245]);
        assert_eq!(holders_in("", &[77], 10), [0_u32; 0]);
        let told = told(Path::new("/nowhere/tandem.db"), Duration::from_secs(7));
        for part in [
            "another program",
            "for 7 s",
            "`fuser /nowhere/tandem.db`",
            "goes on by itself",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
