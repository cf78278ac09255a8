//! A load generator's HTTP client: sends bytes that were made beforehand over a kept connection, and
//! reads no more of the answer than it needs. Cheap, because it shares the machine with what it loads.

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What ends the head of a message.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The status of a server that cannot take a request now.
const BUSY: u16 = 503;
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
        let answer = self.send(request).await?;
        let body = &self.buffer[answer.body.clone()];
        if !answer.is_success() {
            bail!("{}", answer.told(body));
        }
        Ok(body)
    }

    /// Sends a request, and says whether it was taken; if not, it is to be sent again later.
    pub async fn offer(&mut self, request: &[u8]) -> anyhow::Result<bool> {
        let answer = self.send(request).await?;
        if !answer.is_success() && answer.status != BUSY {
            bail!("{}", answer.told(&self.buffer[answer.body.clone()]));
        }
        Ok(answer.is_success())
    }

    async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (mut scanned, mut answer) = (0, None::<Answer>);
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if answer.is_none() {
                answer = head_end(&self.buffer, scanned)
                    .map(|end| Answer::read(&self.buffer[..end]))
                    .transpose()?;
                scanned = self.buffer.len();
            }
            match answer {
                Some(answer) if self.buffer.len() >= answer.body.end => return Ok(answer),
                _ if self.buffer.len() > ANSWER_BYTES_MAX => {
                    bail!("an answer of more than {ANSWER_BYTES_MAX} bytes")
                }
                unfinished => answer = unfinished,
            }
        }
    }
}

/// What the head of an answer says.
struct Answer {
    status: u16,
    /// Where the body is, counted from the beginning of the head.
    body: Range<usize>,
}

impl Answer {
    fn read(head: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(head).context("the head of an answer is not text")?;
        let status = text.split(' ').nth(1).unwrap_or("none");
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>())
        });
        let length = length
            .context("an answer without a length")?
            .context("the length of an answer")?;
        Ok(Self {
            status: status.parse().context("the status of an answer")?,
            body: head.len()..head.len() + length,
        })
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn told(&self, body: &[u8]) -> String {
        let body = String::from_utf8_lossy(body);
        format!("a request was answered {}: {body}", self.status)
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
