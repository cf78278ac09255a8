//! How many connections each address has open: one that opens many must leave room for others. A loopback address
//! may have more: it is often that of a proxy on this machine, behind which all senders are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::network;

/// A loopback address may have so many times the connections of another.
const LOOPBACK_FACTOR: usize = 3;

/// The connections that are open.
#[derive(Debug)]
pub struct Peers {
    /// 0 for no limit.
    limit: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection, which counts until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Peers {
    /// With so many connections for each address at most; 0 for no limit.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Arc::default(),
        }
    }

    /// Counts one more; `None` when the address has as many as it may have.
    pub fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let address = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        let limit = if address.is_loopback() {
            self.limit.saturating_mul(LOOPBACK_FACTOR)
        } else {
            self.limit
        };
        if limit > 0 && count >= limit {
            return None;
        }
        open.insert(address, count + 1);
        Some(Admitted {
            address,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_others_have_theirs() {
        let peers = Peers::new(2);
        let (one, another) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let held = (peers.admit(one), peers.admit(one));
        assert!(held.0.is_some() && held.1.is_some());
        assert!(peers.admit(one).is_none());
        assert!(peers.admit(another).is_some());
        drop(held.0);
        assert!(peers.admit(one).is_some());
        drop(held.1);
        assert!(peers.open.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn a_loopback_address_has_three_times_as_many() {
        let peers = Peers::new(2);
        let here = IpAddr::from([127, 0, 0, 1]);
        let held: Vec<_> = (0..6).map(|_| peers.admit(here)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(peers.admit(here).is_none());
    }

    #[test]
    fn without_a_limit_all_are_admitted() {
        let peers = Peers::new(0);
        let one = IpAddr::from([192, 0, 2, 1]);
        let held: Vec<_> = (0..1_000).map(|_| peers.admit(one)).collect();
        assert!(held.iter().all(Option::is_some));
    }
}
