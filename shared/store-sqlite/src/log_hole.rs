//! Whether the write-ahead log has a part that was never written. Its frames are named by the page that each holds, and
//! no page has the number 0: <https://www.sqlite.org/fileformat2.html#walformat>.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// The head of the log, and of each frame in it.
pub(crate) const LOG_HEAD_BYTES: u32 = 32;
pub(crate) const FRAME_HEAD_BYTES: u32 = 24;
/// Where the head of the log says how long a page is.
const PAGE_BYTES_AT: usize = 8;

/// Whether there is one. What cannot be read is told of by SQLite.
pub(crate) fn is_in(log: &Path) -> bool {
    look(log).unwrap_or(false)
}

fn look(log: &Path) -> io::Result<bool> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    if length < u64::from(LOG_HEAD_BYTES) {
        return Ok(false);
    }
    let mut head = [0; LOG_HEAD_BYTES as usize];
    file.read_exact(&mut head)?;
    let page = word_at(&head, PAGE_BYTES_AT);
    if page == 0 {
        return Ok(true);
    }
    let frame = u64::from(FRAME_HEAD_BYTES) + u64::from(page);
    let mut at = u64::from(LOG_HEAD_BYTES);
    while at + frame <= length {
        let mut head = [0; FRAME_HEAD_BYTES as usize];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        if word_at(&head, 0) == 0 {
            return Ok(true);
        }
        at += frame;
    }
    Ok(false)
}

/// A number of four bytes, big-endian; 0 of what is not there.
fn word_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_be_bytes(*word))
}
