//! What answers say about rate limits.
//!
//! Besides plain numbers the `RateLimit` field of draft-ietf-httpapi-ratelimit-headers is understood, in
//! its present form (`"default";r=50;t=30`) and in that of earlier drafts
//! (`limit=100, remaining=50, reset=5`).

use std::time::Duration;

use http::HeaderMap;
use tandem_domain::Timestamp;

use super::{Observation, RateHeader, RateLimit};

/// A greater number of seconds is an instant, not a time to wait.
const SECS_MAX: u64 = 1_000_000_000;
/// No header is believed for longer, since it may be wrong: then a request asks again. Of a bucket it is not believed
/// for longer than the bucket's own time either.
const RESET_MAX: Duration = Duration::from_secs(300);

/// What the headers say about limits; what is missing or cannot be read is left out.
#[must_use]
pub fn observations(limit: &RateLimit, headers: &HeaderMap, now: Timestamp) -> Vec<Observation> {
    let observed = limit.headers.iter().filter_map(|rule| {
        let bucket = limit.buckets.iter().find(|one| one.name == rule.limit);
        let longest = bucket.map_or(RESET_MAX, |one| Duration::from_secs(one.per_secs.into()));
        observation(rule, headers, now, longest.min(RESET_MAX))
    });
    observed.collect()
}

fn observation(
    rule: &RateHeader,
    headers: &HeaderMap,
    now: Timestamp,
    longest: Duration,
) -> Option<Observation> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let field = text(&rule.remaining)?;
    let remaining = whole(field).or_else(|| parameter(field, ["r", "remaining"]))?;
    let named = |header: &Option<String>| whole(text(header.as_deref()?)?);
    let secs = named(&rule.reset_secs).or_else(|| parameter(field, ["t", "reset"]));
    let resets_in = match (secs, named(&rule.reset_millis)) {
        (Some(secs), _) => Some(until(secs, now)),
        (None, Some(millis)) if millis / 1_000 > SECS_MAX => Some(until(millis / 1_000 + 1, now)),
        (None, Some(millis)) => Some(Duration::from_millis(millis)),
        (None, None) => None,
    };
    Some(Observation {
        limit: rule.limit.clone(),
        remaining,
        resets_in: resets_in.map(|wait| wait.min(longest)),
    })
}

fn until(secs: u64, now: Timestamp) -> Duration {
    if secs <= SECS_MAX {
        return Duration::from_secs(secs);
    }
    i64::try_from(secs).map_or(RESET_MAX, |secs| Timestamp::from_secs(secs).since(now))
}

/// A number; a fraction is rounded down, and below zero there is nothing left.
fn whole(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number.max(0.0) as u64)
}

/// The least of the parameters of that name: of several limits in one field the tightest counts.
fn parameter(field: &str, names: [&str; 2]) -> Option<u64> {
    field
        .split([',', ';'])
        .filter_map(|part| part.split_once('='))
        .filter(|(name, _)| names.contains(&name.trim()))
        .filter_map(|(_, value)| whole(value.trim()))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn rule(remaining: &str, reset_secs: Option<&str>, reset_millis: Option<&str>) -> RateHeader {
        RateHeader {
            limit: "minute".to_owned(),
            remaining: remaining.to_owned(),
            reset_secs: reset_secs.map(str::to_owned),
            reset_millis: reset_millis.map(str::to_owned),
        }
    }

    fn read(
        rule: RateHeader,
        headers: &[(&'static str, &'static str)],
    ) -> Option<(u64, Option<u64>)> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_static(value))
            })
            .collect();
        let limit = RateLimit {
            headers: vec![rule],
            ..RateLimit::default()
        };
        let mut seen = observations(&limit, &headers, NOW);
        let seen = seen.pop()?;
        Some((seen.remaining, seen.resets_in.map(|wait| wait.as_secs())))
    }

    #[test]
    fn every_vendors_way_of_saying_it_is_read() {
        let hubspot = rule(
            "X-HubSpot-RateLimit-Remaining",
            None,
            Some("X-HubSpot-RateLimit-Interval-Milliseconds"),
        );
        let answer = [
            ("x-hubspot-ratelimit-remaining", "99"),
            ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
        ];
        assert_eq!(read(hubspot, &answer), Some((99, Some(10))));
        let xero = rule("X-MinLimit-Remaining", None, None);
        assert_eq!(
            read(xero, &[("x-minlimit-remaining", "59")]),
            Some((59, None))
        );
        let common = || rule("X-RateLimit-Remaining", Some("X-RateLimit-Reset"), None);
        let answer = |reset| [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)];
        assert_eq!(read(common(), &answer("30")), Some((0, Some(30))));
        assert_eq!(read(common(), &answer("1800000045")), Some((0, Some(45))));
        // Milliseconds where seconds were meant: not believed for longer than five minutes.
        let wrong = answer("1800000045000");
        assert_eq!(read(common(), &wrong), Some((0, Some(300))));
        let ietf = || rule("RateLimit", None, None);
        let answer = [("ratelimit", "\"default\";r=50;t=30, \"day\";r=900;t=3600")];
        assert_eq!(read(ietf(), &answer), Some((50, Some(30))));
        let answer = [("ratelimit", "limit=100, remaining=7, reset=5")];
        assert_eq!(read(ietf(), &answer), Some((7, Some(5))));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let plain = || rule("X-Remaining", None, None);
        assert_eq!(read(plain(), &[]), None);
        assert_eq!(read(plain(), &[("x-remaining", "plenty")]), None);
        assert_eq!(read(plain(), &[("x-remaining", "-1")]), Some((0, None)));
    }
}
