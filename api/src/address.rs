//! Which addresses count as one.

use std::net::{IpAddr, Ipv6Addr};

/// Whoever has one IPv6 address has its whole /64.
const IPV6_PREFIX: u128 = !(u64::MAX as u128);

/// What stands for an address when what comes from it is counted.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & IPV6_PREFIX)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
