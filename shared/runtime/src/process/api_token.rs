//! The token of the API that lies in the data folder: made at the first start, readable for the owner
//! alone, so that whoever may read the database may use the API, and nobody else needs to be guessed at.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tandem_domain::Entropy;

/// The name of the file in the data folder.
pub const API_TOKEN_FILE: &str = "api-token";

/// Draws of 64 bits in a token.
const TOKEN_DRAWS: usize = 4;

/// The file with the token cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token of the API cannot be kept in {}: {source}; is the folder this user's, and is there room?",
    path.display()
)]
pub struct ApiTokenFileError {
    path: PathBuf,
    source: io::Error,
}

/// The token in a data folder, for a program that wants to use the API; `None` where none was made yet.
///
/// # Errors
/// [`ApiTokenFileError`] when there is a file and it cannot be read.
pub fn read_api_token(folder: &Path) -> Result<Option<String>, ApiTokenFileError> {
    let path = folder.join(API_TOKEN_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ApiTokenFileError { path, source }),
    }
}

/// The token in a data folder; made if there is none. The folder is there already.
///
/// # Errors
/// [`ApiTokenFileError`] when it can be neither read nor made.
pub fn keep_api_token(folder: &Path, entropy: &dyn Entropy) -> Result<String, ApiTokenFileError> {
    let path = folder.join(API_TOKEN_FILE);
    let failed = |source| ApiTokenFileError {
        path: path.clone(),
        source,
    };
    if let Some(token) = read_api_token(folder)? {
        // A copied folder may have lost the mode.
        owner_only(&path).map_err(failed)?;
        return Ok(token);
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

#[cfg(unix)]
fn owner_only(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn owner_only(_path: &Path) -> io::Result<()> {
    Ok(())
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
    fn only_the_owner_may_read_the_token_also_after_the_mode_was_lost() {
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
        keep_api_token(folder.path(), &SystemEntropy).expect("it is made");
        assert_eq!(mode(), 0o600);
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open).expect("it is ours");
        keep_api_token(folder.path(), &SystemEntropy).expect("it is read");
        assert_eq!(mode(), 0o600);
    }
}
