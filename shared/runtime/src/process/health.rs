//! A process that asks another one of its kind whether it is ready: the health check of an image that
//! has no other program in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tandem_connectors::http_client;

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `/health/ready` of the process that listens on this address of this machine.
///
/// # Errors
/// The reason, when it is not ready or does not answer.
pub async fn ask_ready(listen: SocketAddr) -> Result<(), String> {
    let url = format!("http://{}/health/ready", reachable(listen));
    let asking = async {
        let answer = http_client()?
            .get(&url)
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(|error| format!("{url} does not answer: {error}"))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        Err(format!("{url} answers {status}: {}", text.trim()))
    };
    asking.await
}

/// Who listens everywhere is reached at the loopback address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
