//! How rate limits are written, in a manifest and in the limits of a connection.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The name by which headers refer to the daily budget.
pub const DAILY: &str = "daily";
/// Longer windows are what the daily budget is for, in seconds.
const WINDOW_SECS_MAX: u32 = 3_600;

/// The rate limits of a system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Limits on requests in seconds to an hour; all of them hold at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<BucketSpec>,
    /// The limit on requests in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<DailySpec>,
    /// Where answers say what is left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RateHeader>,
}

/// So many requests in so many seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    /// Its name, such as `minute`.
    pub name: String,
    /// At most so many requests …
    pub requests: u32,
    /// … in any so many seconds.
    pub per_secs: u32,
    /// How many of them may start at once; a tenth when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// So many requests in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailySpec {
    /// At most so many requests in any 24 hours.
    pub requests: u64,
}

/// The headers in which answers say what is left of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateHeader {
    /// The bucket's name, or `daily`.
    pub limit: String,
    /// The header with the number of requests left: a number, or the `RateLimit` field of the IETF draft.
    pub remaining: String,
    /// The header with the seconds until there are more, or with that instant in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_secs: Option<String>,
    /// The same in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_millis: Option<String>,
}

impl RateLimit {
    /// What is wrong with it, in words that say what to write instead.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for bucket in &self.buckets {
            bucket.check()?;
            if !names.insert(bucket.name.as_str()) {
                return Err(format!("two buckets are named `{}`", bucket.name));
            }
        }
        if self.daily.is_some_and(|daily| daily.requests == 0) {
            return Err("`daily.requests` must be at least 1; leave `daily` out for none".into());
        }
        Ok(())
    }

    /// As [`RateLimit::check`], and that the headers refer to limits of this section.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check_whole(&self) -> Result<(), String> {
        self.check()?;
        for header in &self.headers {
            let known = match header.limit.as_str() {
                DAILY => self.daily.is_some(),
                name => self.buckets.iter().any(|bucket| bucket.name == name),
            };
            if !known {
                return Err(format!(
                    "`headers` names the limit `{}`, which is neither a bucket nor `{DAILY}`",
                    header.limit
                ));
            }
        }
        Ok(())
    }
}

impl BucketSpec {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) || name == DAILY {
            return Err(format!(
                "`{name}` cannot be the name of a bucket; use lower-case letters, digits, `-` and `_`, and not `{DAILY}`"
            ));
        }
        if self.requests == 0 {
            return Err(format!("bucket `{name}`: `requests` must be at least 1"));
        }
        if !(1..=WINDOW_SECS_MAX).contains(&self.per_secs) {
            return Err(format!(
                "bucket `{name}`: `per_secs` must be 1 to {WINDOW_SECS_MAX}; longer limits belong in `{DAILY}`"
            ));
        }
        if self
            .burst
            .is_some_and(|burst| burst == 0 || burst > self.requests)
        {
            return Err(format!("bucket `{name}`: `burst` must be 1 to `requests`"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> BucketSpec {
        BucketSpec {
            name: "minute".into(),
            requests: 60,
            per_secs: 60,
            burst: None,
        }
    }

    #[test]
    fn mistakes_say_what_to_write_instead() {
        let of = |bucket: BucketSpec| RateLimit {
            buckets: vec![minute(), bucket],
            ..RateLimit::default()
        };
        let named = |name: &str| BucketSpec {
            name: name.into(),
            ..minute()
        };
        let mistakes = [
            (of(minute()), "two buckets are named `minute`"),
            (of(named("daily")), "cannot be the name of a bucket"),
            (
                of(BucketSpec {
                    per_secs: 86_400,
                    ..named("x")
                }),
                "longer limits belong in `daily`",
            ),
            (
                of(BucketSpec {
                    burst: Some(61),
                    ..named("x")
                }),
                "`burst` must be 1 to `requests`",
            ),
        ];
        for (limit, message) in mistakes {
            let mistake = limit.check().expect_err("a mistake");
            assert!(mistake.contains(message), "{mistake}");
        }
    }
}
