//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes this long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}

/// Sends bytes and reads until the server closes. `None` when it closed without an answer.
pub async fn exchange(server: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(server)
        .await
        .expect("the server listens");
    // The server may close before all is sent; what it said is what counts.
    let _sent = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

pub async fn read_to_end(stream: &mut TcpStream) -> Option<Reply> {
    let mut answer = Vec::new();
    let _closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server answers or closes in time");
    Reply::parse(&answer)
}

/// Reads one answer with a length from a connection that stays open.
pub async fn read_one(stream: &mut TcpStream) -> Reply {
    let mut answer = Vec::new();
    loop {
        if let Some(reply) = Reply::parse(&answer) {
            let length: usize = reply
                .header("content-length")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0);
            if reply.body.len() >= length {
                return reply;
            }
        }
        let mut chunk = [0; 4_096];
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut chunk))
            .await
            .expect("the server answers in time")
            .expect("the connection holds");
        assert!(count > 0, "the server closed: {answer:?}");
        answer.extend_from_slice(&chunk[..count]);
    }
}

/// A POST with a length, as bytes; the connection is closed after it.
pub fn post(path: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    request("POST", path, headers, body, "close")
}

/// The same on a connection that stays open.
pub fn post_keeping(path: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    request("POST", path, headers, body, "keep-alive")
}

pub fn request(
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
    connection: &str,
) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: tandem\r\nConnection: {connection}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
