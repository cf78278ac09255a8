//! The folder and the files of the database: made for their owner alone, and kept so. They hold the mapped
//! values of records and the raw bodies of webhooks.

use std::fs::{File, FileType, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tandem_store::StoreError;

use crate::locked::LOCKED;
use crate::sql::{DAMAGED_ADVICE, is_damage, is_locked};

/// What SQLite and the lock put beside the database.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// The token of the API, which the running process keeps in the same folder, with a mode of its own.
pub(crate) const API_TOKEN: &str = "api-token";

/// Makes the folder and the file if they are not there, and sees to it that others cannot read them.
pub(crate) fn prepare(path: &Path) -> Result<(), StoreError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        make_folder(folder).map_err(|error| no_access(folder, &error))?;
        close_folder(folder, path);
    }
    require_files(path)?;
    // SQLite gives what it makes beside the file the rights of the file.
    open_private_here(path).map_err(|error| no_access(path, &error))?;
    close_file(path);
    for suffix in BESIDE {
        close_file(&beside(path, suffix));
    }
    Ok(())
}

/// The file of this suffix beside the database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Refuses a database, or something beside it, that is a link or no file. To open a pipe waits for ever, and through
/// a link the database lies somewhere else than its lock and what SQLite keeps beside it. A folder that is a link is
/// whole, and allowed.
pub(crate) fn require_files(path: &Path) -> Result<(), StoreError> {
    require_file(path)?;
    for suffix in BESIDE {
        require_file(&beside(path, suffix))?;
    }
    Ok(())
}

/// What is not there is no obstacle; what cannot be looked at is told of when it is opened.
fn require_file(path: &Path) -> Result<(), StoreError> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let (shown, kind) = (path.display(), found.file_type());
    if kind.is_file() {
        return Ok(());
    }
    Err(StoreError::Unusable(if kind.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        format!(
            "cannot open {shown}: it is a symbolic link (to {}), and those are not followed. Move the file itself here; or \
             keep the whole data folder elsewhere, and name that one, or a link to it, with --data or TANDEM_DATA",
            target.display()
        )
    } else {
        format!(
            "cannot open {shown}: it is {}, and no regular file. Nothing was read or written; move it away, or name another \
             folder with --data or TANDEM_DATA",
            named(kind)
        )
    }))
}

#[cfg(unix)]
fn named(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn named(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

/// Opens a file to write to it, and makes it for its owner alone if it is not there. Never through a symbolic link:
/// what that leads to would be made, or held, in its place.
pub(crate) fn open_private_here(path: &Path) -> std::io::Result<File> {
    let mut options = private();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        // What was a file, or was not there, when it was looked at may have become a link or a pipe since.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).map_err(std::io::Error::other)?;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    options.open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A folder that holds other things too is not ours to close; its files are closed one by one.
fn close_folder(folder: &Path, database: &Path) {
    let Some(name) = database.file_name().and_then(|name| name.to_str()) else {
        return;
    };
    let ours = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let entry = entry.file_name();
            let entry = entry.to_string_lossy();
            entry.starts_with(name) || entry == API_TOKEN
        })
    };
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.all(ours)) {
        close(folder, 0o700);
    }
}

fn close_file(path: &Path) {
    close(path, 0o600);
}

/// Takes rights away from others, and says so. A file that is not there has none.
#[cfg(unix)]
fn close(path: &Path, wanted: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(found) = std::fs::metadata(path) else {
        return;
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & !wanted == 0 {
        return;
    }
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        // What a link leads to may be somebody else's.
        tracing::warn!(
            path = %path.display(),
            "this is a symbolic link, and others can read what it leads to ({mode:03o}); let its owner run `chmod go=` on that"
        );
        return;
    }
    let closed = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & wanted));
    match closed {
        Ok(()) => tracing::warn!(
            path = %path.display(),
            "others could read this ({mode:03o}); it is its owner's alone now ({:03o})",
            mode & wanted
        ),
        Err(error) => tracing::warn!(
            path = %path.display(),
            %error,
            "others can read this ({mode:03o}), and it could not be changed; let its owner run `chmod go=` on it"
        ),
    }
}

/// Who may read what is not a matter of modes here.
#[cfg(not(unix))]
fn close(_path: &Path, _wanted: u32) {}

/// A file or folder that the system does not let this process use, with what to do about it.
pub(crate) fn no_access(path: &Path, error: &std::io::Error) -> StoreError {
    let shown = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::Unusable(format!(
                "cannot open {shown}: {error}. The data folder and its files must belong to the user that runs Tandem: \
             give them to it (`ls -la` shows whose they are), or name another folder with --data or TANDEM_DATA"
            ))
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            StoreError::Unusable(format!(
                "cannot open {shown}: {error}. Something else stands there; name another folder with --data or TANDEM_DATA"
            ))
        }
        _ => StoreError::Unavailable(format!("cannot open {shown}: {error}")),
    }
}

/// A database that SQLite does not open.
pub(crate) fn cannot_open(path: &Path, error: &sqlx::Error) -> StoreError {
    let shown = path.display();
    match error {
        sqlx::Error::Database(found) if is_damage(&**found) => StoreError::Unusable(format!(
            "{shown} is damaged, or is no database of Tandem ({}): {DAMAGED_ADVICE}",
            found.message()
        )),
        sqlx::Error::Database(found) if is_locked(&**found) => {
            StoreError::Unavailable(LOCKED.to_owned())
        }
        sqlx::Error::Io(error) => no_access(path, error),
        other => StoreError::Unavailable(format!("cannot open {shown}: {other}")),
    }
}
