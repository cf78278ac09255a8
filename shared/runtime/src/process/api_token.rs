//! The token of the API that lies in the data folder: made at the first start, readable for the owner
//! alone, so that whoever may read the database may use the API, and nobody else needs to be guessed at.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tandem_connectors::{open_regular, read_at_most};
use tandem_domain::Entropy;

/// The name of the file in the data folder.
pub const API_TOKEN_FILE: &str = "api-token";

/// The longest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Draws of 64 bits in a token.
const TOKEN_DRAWS: usize = 4;

/// The file with the token cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token of the API cannot be kept in {}: {reason}; is the folder this user's, and is there room?",
    path.display()
)]
pub struct ApiTokenFileError {
    path: PathBuf,
    /// It is part of the message, so it is no source as well.
    reason: io::Error,
}

/// The token in a data folder, for a program that wants to use the API; `None` where none was made yet.
///
/// # Errors
/// [`ApiTokenFileError`] when there is a file and it cannot be read.
pub fn read_api_token(folder: &Path) -> Result<Option<String>, ApiTokenFileError> {
    let path = folder.join(API_TOKEN_FILE);
    let failed = |reason| ApiTokenFileError {
        path: path.clone(),
        reason,
    };
    match open_token(&path).map_err(failed)? {
        Some(file) => token_in(&file).map_err(failed),
        None => Ok(None),
    }
}

/// The file, if there is one. Where a link leads is for whoever made it to say, so none is followed.
fn open_token(path: &Path) -> io::Result<Option<File>> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::other(
            "it is a symbolic link, and those are not followed: remove it, and a token is made",
        ));
    }
    match open_regular(path, false) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whoever owns the file knows what is in it, and may change it. Root may open every file, so that opening it says nothing
/// of who put it there. A program that only shows the token may read another user's, as root does for a service's.
#[cfg(unix)]
fn refuse_strangers(file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (owner, we) = (file.metadata()?.uid(), rustix::process::geteuid().as_raw());
    is_ours(owner, we).map_err(io::Error::other)
}

#[cfg(not(unix))]
fn refuse_strangers(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Whether a file of this owner is one that this user put there.
#[cfg(unix)]
fn is_ours(owner: u32, we: u32) -> Result<(), String> {
    if owner == we {
        return Ok(());
    }
    Err(format!(
        "the file belongs to the user with the id {owner}, and this program runs as the one with the id {we}: \
         whoever owns it knows the token. Run Tandem as the user who owns the data folder, or remove the file, and a \
         token is made"
    ))
}

fn token_in(file: &File) -> io::Result<Option<String>> {
    let text = read_at_most(file, FILE_BYTES_MAX)?;
    Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// The token in a data folder; made if there is none. The folder is there already.
///
/// # Errors
/// [`ApiTokenFileError`] when it can be neither read nor made.
pub fn keep_api_token(folder: &Path, entropy: &dyn Entropy) -> Result<String, ApiTokenFileError> {
    let path = folder.join(API_TOKEN_FILE);
    let failed = |reason| ApiTokenFileError {
        path: path.clone(),
        reason,
    };
    if let Some(file) = open_token(&path).map_err(failed)? {
        refuse_strangers(&file).map_err(failed)?;
        let open_to_others = mode_for_others(&file).map_err(failed)?;
        let token = token_in(&file).map_err(failed)?;
        match token {
            Some(token) if open_to_others == 0 => return Ok(token),
            // Others may have read it, or put one there that they know.
            Some(_) => tracing::warn!(
                path = %path.display(),
                "others could read or write the token of the API (mode {open_to_others:03o} for them), so it is \
                 replaced by a new one; whoever used the old one reads this file again"
            ),
            None => {}
        }
    }
    let token = draw(entropy);
    write(&path, &token).map_err(failed)?;
    Ok(token)
}

fn draw(entropy: &dyn Entropy) -> String {
    let draws = (0..TOKEN_DRAWS).map(|_| format!("{:016x}", entropy.next_u64()));
    draws.collect()
}

/// Whole or not at all: half a token would be taken for one.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    // Left by a process that died; opened anew it would keep the mode of then.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

/// What group and others may do with it.
#[cfg(unix)]
fn mode_for_others(file: &File) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077)
}

#[cfg(not(unix))]
fn mode_for_others(_file: &File) -> io::Result<u32> {
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn a_token_is_made_once_and_read_by_whoever_may_read_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(
            read_api_token(folder.path()).expect("it is looked for"),
            None
        );
        let made = keep_api_token(folder.path(), &SystemEntropy).expect("it is made");
        assert_eq!(made.len(), 64);
        let again = keep_api_token(folder.path(), &SystemEntropy).expect("it is read");
        assert_eq!(again, made);
        assert_eq!(
            read_api_token(folder.path()).expect("it is read"),
            Some(made)
        );
    }

    #[test]
    fn a_file_that_holds_nothing_is_made_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(API_TOKEN_FILE), "\n").expect("it is written");
        let made = keep_api_token(folder.path(), &SystemEntropy).expect("it is made");
        assert_eq!(made.len(), 64);
    }

    #[cfg(unix)]
    #[test]
    fn a_token_that_others_could_read_is_replaced_by_one_that_they_cannot() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(API_TOKEN_FILE);
        let mode = || {
            std::fs::metadata(&path)
                .expect("it is there")
                .permissions()
                .mode()
                & 0o777
        };
        let read_by_others = keep_api_token(folder.path(), &SystemEntropy).expect("it is made");
        assert_eq!(mode(), 0o600);
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open).expect("it is ours");
        let made = keep_api_token(folder.path(), &SystemEntropy).expect("it is made anew");
        assert_ne!(made, read_by_others);
        assert_eq!(mode(), 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_token_of_another_user_is_refused_also_by_root() {
        assert_eq!(is_ours(1_000, 1_000), Ok(()));
        assert_eq!(is_ours(0, 0), Ok(()));
        for (owner, we) in [(1_000, 0), (0, 1_000), (1_000, 1_001)] {
            let refused = is_ours(owner, we).expect_err("it is another's");
            assert!(
                refused.contains(&format!("id {owner}")) && refused.contains("remove the file"),
                "{refused}"
            );
        }
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        keep_api_token(folder.path(), &SystemEntropy).expect("it is made");
        let path = folder.path().join(API_TOKEN_FILE);
        std::os::unix::fs::chown(&path, Some(12_345), None).expect("root may give it away");
        let refused = keep_api_token(folder.path(), &SystemEntropy).expect_err("another's");
        assert!(refused.to_string().contains("id 12345"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_token_is_refused_and_what_it_leads_to_left_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("other");
        std::fs::write(&target, "known to others").expect("it is written");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&target, open).expect("it is ours");
        std::os::unix::fs::symlink(&target, folder.path().join(API_TOKEN_FILE)).expect("a link");
        let refused = keep_api_token(folder.path(), &SystemEntropy).expect_err("it is refused");
        assert!(
            refused
                .to_string()
                .contains("remove it, and a token is made"),
            "{refused}"
        );
        let mode = std::fs::metadata(&target)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}
