//! A tap on the way to a system: passes everything on, and tells when a write arrives.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a request begins that writes a contact.
const WRITE: &[u8] = b"POST /api.xro/2.0/Contacts";
const CHUNK_BYTES: usize = 64 * 1_024;

/// A tap; it closes when this is dropped.
pub struct Tap {
    address: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<Instant>,
    _tasks: JoinSet<()>,
}

impl Tap {
    /// Opens a tap in front of a system.
    pub async fn open(system: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listening on loopback")?;
        let address = listener.local_addr()?;
        let (told, arrivals) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, system, told));
        Ok(Self {
            address,
            arrivals,
            _tasks: tasks,
        })
    }

    /// Where to connect instead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets the writes that have arrived so far.
    pub fn forget(&mut self) {
        while self.arrivals.try_recv().is_ok() {}
    }

    /// When the next write arrived.
    pub async fn arrival(&mut self) -> anyhow::Result<Instant> {
        self.arrivals.recv().await.context("the tap is closed")
    }
}

async fn accept(listener: TcpListener, system: SocketAddr, told: mpsc::UnboundedSender<Instant>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let told = told.clone();
        connections.spawn(async move {
            // Both sides see a broken connection for themselves.
            let _ended = pass(client, system, told).await;
        });
    }
}

/// A client sends its next request only after the answer to the last, so a request begins a chunk.
async fn pass(
    client: TcpStream,
    system: SocketAddr,
    told: mpsc::UnboundedSender<Instant>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(system).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = from_client.read(&mut chunk).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            if chunk[..length].starts_with(WRITE) {
                // Whoever measures is there as long as the tap.
                let _told = told.send(Instant::now());
            }
            to_server.write_all(&chunk[..length]).await?;
        }
    };
    let back = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::try_join!(there, async { back.await.map(|_bytes| ()) })?;
    Ok(())
}
