//! Reading a file that a configuration names, where anything may stand instead of it: a pipe that nobody writes
//! into would hold the process, a device would be read without end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file for reading and waits for nothing; with `follow` also through a symbolic link.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open_regular(path: &Path, follow: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let links = if follow {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | links;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    #[cfg(not(unix))]
    let _ = follow;
    let file = options.open(path)?;
    // Of what was opened: the name may stand for something else by now.
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a pipe, a socket or a device; a regular file is needed here",
        ))
    }
}

/// Reads an opened file of at most so many bytes, whatever size it says it has.
///
/// # Errors
/// When it cannot be read, is longer, or is no text in UTF-8.
pub fn read_at_most(file: &File, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes, the most that are read here"),
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// Reads a regular file of at most so many bytes.
///
/// # Errors
/// As [`open_regular`] and [`read_at_most`].
pub fn read_short_file(path: &Path, bytes_max: u64) -> io::Result<String> {
    read_at_most(&open_regular(path, true)?, bytes_max)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_device_are_refused_at_once() {
        let folder = std::env::temp_dir().join(format!("tandem-short-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let pipe = folder.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read_short_file(path, 10).expect_err("it is refused");
            assert!(
                error.to_string().contains("a regular file is needed"),
                "{error}"
            );
        }
        let file = folder.join("file");
        std::fs::write(&file, "0123456789").expect("written");
        assert_eq!(read_short_file(&file, 10).expect("it fits"), "0123456789");
        let error = read_short_file(&file, 9).expect_err("it is longer");
        assert!(error.to_string().contains("more than 9 bytes"), "{error}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_file_that_says_it_is_empty_is_read_to_the_limit_and_no_further() {
        let error = read_short_file(Path::new("/proc/self/maps"), 10).expect_err("it is longer");
        assert!(error.to_string().contains("more than 10 bytes"), "{error}");
    }
}
