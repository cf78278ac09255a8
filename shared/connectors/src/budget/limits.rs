//! What holds for one connection: its own settings before those of the manifest.

use std::time::Duration;

use super::{Bucket, RateLimit};
use crate::manifest::Manifest;
use crate::settings::ConnectionSettings;

/// The bucket made of `requests_per_second`.
const PACE: &str = "pace";

/// The rate limits of one connection, ready for use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// All of them hold at once.
    pub buckets: Vec<Bucket>,
    /// The most requests in any 24 hours.
    pub daily: Option<u64>,
}

impl RateLimits {
    /// What a connection says replaces what its manifest says. A connection that says only how many
    /// requests may start in a second means that and nothing else.
    #[must_use]
    pub fn of(manifest: &Manifest, settings: &ConnectionSettings) -> Self {
        let limit = match (&settings.rate_limit, settings.requests_per_second) {
            (Some(own), _) => Some(own),
            (None, Some(_)) => None,
            (None, None) => manifest.rate_limit.as_ref().map(|limit| &limit.value),
        };
        let per_second = settings
            .requests_per_second
            .unwrap_or(manifest.limits.requests_per_second);
        let mut limits = limit.map(Self::from).unwrap_or_default();
        if per_second > 0.0 {
            limits.buckets.push(Bucket::pace(PACE, per_second));
        }
        limits
    }

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.daily.is_none()
    }
}

impl From<&RateLimit> for RateLimits {
    fn from(limit: &RateLimit) -> Self {
        let bucket = |spec: &super::BucketSpec| {
            let per = Duration::from_secs(u64::from(spec.per_secs));
            Bucket::window(&spec.name, spec.requests, per, spec.burst)
        };
        Self {
            buckets: limit.buckets.iter().map(bucket).collect(),
            daily: limit.daily.map(|daily| daily.requests),
        }
    }
}
