//! A load generator's HTTP client: sends bytes that were made beforehand over a kept connection, and
//! reads no more of the answer than it needs. Cheap, because it shares the machine with what it loads.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What ends the head of a message.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1_024 * 1_024;

/// The bytes of a request.
pub fn request(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4_096),
        })
    }

    /// Sends a request, and gives the body of its answer, which must be a success.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (mut scanned, mut whole) = (0, None);
        while whole.is_none_or(|(_, end)| self.buffer.len() < end) {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if whole.is_none() {
                whole = head_end(&self.buffer, scanned)
                    .map(|end| extent(&self.buffer[..end]))
                    .transpose()?;
                scanned = self.buffer.len();
            }
            if self.buffer.len() > ANSWER_BYTES_MAX {
                bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
            }
        }
        // The loop ends only once the extent is known.
        let (start, end) = whole.unwrap_or_default();
        Ok(&self.buffer[start..end])
    }
}

/// Where the head ends, if it does; what was scanned before is not scanned again.
fn head_end(buffer: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(HEAD_END.len() - 1);
    let place = buffer[from..]
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)?;
    Some(from + place + HEAD_END.len())
}

/// Where the body begins and ends, by a head that tells of success.
fn extent(head: &[u8]) -> anyhow::Result<(usize, usize)> {
    let text = std::str::from_utf8(head).context("the head of an answer is not text")?;
    let status = text.split(' ').nth(1).unwrap_or("none");
    if !status.starts_with('2') {
        bail!("a request was answered {status}, not with success: {text}");
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    let length = length
        .context("an answer without a length")?
        .context("the length of an answer")?;
    Ok((head.len(), head.len() + length))
}
