//! Where Redis is, and how long it may take to answer.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisResult};

use super::error::RedisDoorbellError;

/// A new connection is given up after this; signing in is part of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The answer to a command that does not wait is given up after this.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A Redis that can be connected to.
pub(super) struct Place {
    client: Client,
    /// The URL without its password.
    shown: String,
}

impl Place {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, RedisDoorbellError> {
        let mut shown = redis::parse_redis_url(url).ok_or(RedisDoorbellError::Url)?;
        let client = Client::open(shown.clone()).map_err(|_| RedisDoorbellError::Url)?;
        let after_host = [Some(shown.path()), shown.query(), shown.fragment()];
        if after_host
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            // A password with `/`, `?` or `#` ends the host early, and a part of it would be shown.
            return Err(RedisDoorbellError::Url);
        }
        if shown.password().is_some() {
            // Fails for URLs without a host only, which have no password either.
            shown
                .set_password(Some("***"))
                .map_err(|()| RedisDoorbellError::Url)?;
        }
        shown.set_query(None);
        shown.set_fragment(None);
        if matches!(
            client.get_connection_info().addr(),
            ConnectionAddr::TcpTls { .. }
        ) {
            // The client takes the provider of the process. One that was named before stays.
            let _already_named = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Self {
            client,
            shown: shown.into(),
        })
    }

    /// The URL without its password.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A new connection that is signed in; its commands are answered within `answer_timeout` or fail.
    pub(super) async fn connect(
        &self,
        answer_timeout: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(answer_timeout));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Connects once and asks for an answer.
    pub(super) async fn check(&self) -> Result<(), RedisDoorbellError> {
        self.greet()
            .await
            .map_err(|error| RedisDoorbellError::of(error, self.shown.clone()))
    }

    async fn greet(&self) -> RedisResult<()> {
        let mut connection = self.connect(ANSWER_TIMEOUT).await?;
        redis::cmd("PING").exec_async(&mut connection).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Option<String> {
        Place::parse(url).ok().map(|place| place.shown)
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(
            shown("redis://me:s3cret@redis.example:6380/2").as_deref(),
            Some("redis://me:***@redis.example:6380/2")
        );
        assert_eq!(
            shown("redis://127.0.0.1/").as_deref(),
            Some("redis://127.0.0.1/")
        );
    }

    #[test]
    fn a_url_that_is_cut_short_by_its_password_is_refused_and_not_shown() {
        for url in [
            "redis://me:12/s3cret@host",
            "redis://me:12?s3cret@host",
            "redis://me:12#s3cret@host",
            "redis://me:s3#cret@host",
            "http://me:s3cret@host",
            "",
        ] {
            let Err(error) = Place::parse(url) else {
                panic!("{url} is taken");
            };
            assert!(error.is_configuration());
            assert!(!format!("{error} {error:?}").contains("cret"));
        }
    }
}
