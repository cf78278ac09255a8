//! Counts requests without a valid signature by the address they come from, in fixed windows of time.
//! An address with too many is refused before its next body is read. A loopback address is never
//! refused: it is that of a proxy on this machine, behind which are all senders, good and bad.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tandem_domain::Timestamp;

use crate::address::network;

/// Addresses remembered at once. When they are too many, all are forgotten: rather that than growth.
const ADDRESSES_MAX: usize = 10_000;
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How many failures an address may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimit {
    /// Failures in one window; 0 for no limit.
    pub count: u32,
    /// The length of the window.
    pub window: Duration,
}

impl Default for FailureLimit {
    fn default() -> Self {
        Self {
            count: 600,
            window: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began_at: Timestamp,
    failures: u32,
}

/// The failures of late.
#[derive(Debug)]
pub struct Failures {
    limit: FailureLimit,
    windows: Mutex<HashMap<IpAddr, Window>>,
}

impl Failures {
    pub fn new(limit: FailureLimit) -> Self {
        Self {
            limit,
            windows: Mutex::new(HashMap::new()),
        }
    }

    /// How long the address has to wait; `None` when it need not.
    pub fn blocked_for(&self, address: IpAddr, now: Timestamp) -> Option<Duration> {
        if self.limit.count == 0 || address.to_canonical().is_loopback() {
            return None;
        }
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&network(address))?;
        let is_full = window.failures >= self.limit.count;
        let ends = window.began_at.plus(self.limit.window);
        (is_full && self.lasts(window, now)).then(|| ends.since(now))
    }

    /// Counts one failure.
    pub fn note(&self, address: IpAddr, now: Timestamp) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= ADDRESSES_MAX {
            windows.retain(|_, window| self.lasts(window, now));
            if windows.len() >= ADDRESSES_MAX {
                windows.clear();
            }
        }
        let window = windows.entry(network(address)).or_insert(Window {
            began_at: now,
            failures: 0,
        });
        if !self.lasts(window, now) {
            *window = Window {
                began_at: now,
                failures: 0,
            };
        }
        window.failures = window.failures.saturating_add(1);
    }

    fn lasts(&self, window: &Window, now: Timestamp) -> bool {
        window.began_at.is_within(self.limit.window, now)
    }
}

/// The address of the sender: behind `proxies` trusted proxies each of which appends the address of its
/// peer to `X-Forwarded-For`, the entry that the outermost one wrote. What stands before that is hearsay.
pub fn sender_address(peer: IpAddr, headers: &HeaderMap, proxies: usize) -> IpAddr {
    let Some(from_the_end) = proxies.checked_sub(1) else {
        return peer;
    };
    let entries: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .collect();
    entries
        .into_iter()
        .rev()
        .nth(from_the_end)
        .and_then(|entry| entry.trim().parse().ok())
        .unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    const LIMIT: FailureLimit = FailureLimit {
        count: 2,
        window: Duration::from_secs(60),
    };

    #[test]
    fn an_address_is_blocked_until_its_window_ends() {
        let failures = Failures::new(LIMIT);
        let start = Timestamp::from_secs(1_000);
        failures.note(HERE, start);
        assert_eq!(failures.blocked_for(HERE, start), None);
        failures.note(HERE, start);
        assert_eq!(
            failures.blocked_for(HERE, Timestamp::from_secs(1_020)),
            Some(Duration::from_secs(40))
        );
        assert_eq!(
            failures.blocked_for(HERE, Timestamp::from_secs(1_060)),
            None
        );
    }

    #[test]
    fn an_address_that_a_clock_ahead_has_blocked_is_let_in_once_the_clock_is_right() {
        let failures = Failures::new(LIMIT);
        let ahead = Timestamp::from_secs(4_600);
        failures.note(HERE, ahead);
        failures.note(HERE, ahead);
        assert!(failures.blocked_for(HERE, ahead).is_some());
        assert_eq!(
            failures.blocked_for(HERE, Timestamp::from_secs(1_000)),
            None
        );
    }

    #[test]
    fn a_proxy_on_this_machine_is_never_blocked() {
        let failures = Failures::new(LIMIT);
        let proxy = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..3 {
            failures.note(proxy, Timestamp::default());
        }
        assert_eq!(failures.blocked_for(proxy, Timestamp::default()), None);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let failures = Failures::new(LIMIT);
        let now = Timestamp::from_secs(1);
        for address in ["2001:db8::1", "2001:db8::2"] {
            failures.note(address.parse().expect("an address"), now);
        }
        let third = "2001:db8::3".parse().expect("an address");
        assert!(failures.blocked_for(third, now).is_some());
        assert!(failures.blocked_for(HERE, now).is_none());
    }

    #[test]
    fn only_trusted_proxies_name_the_sender() {
        let mut headers = HeaderMap::new();
        headers.append(
            FORWARDED_FOR,
            "6.6.6.6, 1.2.3.4".parse().expect("a header value"),
        );
        assert_eq!(sender_address(HERE, &headers, 0), HERE);
        assert_eq!(
            sender_address(HERE, &headers, 1),
            IpAddr::V4(Ipv4Addr::new(1, 2, 3, 4))
        );
    }

    #[test]
    fn memory_stays_bounded() {
        let failures = Failures::new(LIMIT);
        for number in 0..2 * ADDRESSES_MAX as u32 {
            failures.note(
                IpAddr::V4(Ipv4Addr::from_bits(number)),
                Timestamp::default(),
            );
        }
        let windows = failures.windows.lock().expect("not poisoned");
        assert!(windows.len() <= ADDRESSES_MAX);
    }
}
