//! The HTTP client of a connection: HTTP/1.1 with kept connections, no redirects, no proxy surprises.

use std::sync::LazyLock;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

/// A connection must stand within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are dropped before most servers drop them, so that a write rarely meets a dead one.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// The machine's certificate authorities (also `SSL_CERT_FILE`), read once.
static TLS: LazyLock<Result<ClientConfig, String>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
});

/// Builds the client of one connection.
pub(super) fn build(concurrency: u32) -> Result<reqwest::Client, String> {
    let tls = TLS.as_ref().map_err(Clone::clone)?.clone();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(concurrency as usize)
        .tcp_nodelay(true)
        .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// A client of the same make, for a request outside any connection.
///
/// # Errors
/// Why the client could not be built, in words.
pub fn http_client() -> Result<reqwest::Client, String> {
    build(1)
}
