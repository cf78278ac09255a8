//! A port that stays ours while its server is stopped.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of 127.0.0.1, held by a socket that is bound but does not listen.
///
/// Linux lets a server with `SO_REUSEADDR` (PostgreSQL and Redis set it) listen on such a port, and gives
/// it neither to another test that asks for a free one nor to an outgoing connection. The latter matters
/// most: a client that keeps trying a stopped server could else be given the server's own port and
/// connect to itself.
pub(super) struct Port {
    number: u16,
    _held: TcpSocket,
}

impl Port {
    pub(super) fn reserve() -> Self {
        let (number, held) = Self::bind().expect("a port of 127.0.0.1 is free");
        Self {
            number,
            _held: held,
        }
    }

    /// The socket takes its port without `SO_REUSEADDR`, so as not to share one that is taken already,
    /// and only then lets the server in.
    fn bind() -> std::io::Result<(u16, TcpSocket)> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        socket.set_reuseaddr(true)?;
        Ok((socket.local_addr()?.port(), socket))
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}
