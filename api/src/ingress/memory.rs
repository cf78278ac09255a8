//! The memory that bodies may take up together, in bytes, and who has how much of it.
//!
//! It is counted as it is allocated, not as it arrives. A quarter of it is for the beginnings of bodies: those of
//! most webhooks are no longer, so that however many long ones are held, short ones are taken. Of the rest an
//! address may have a quarter.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::network;

/// The beginning of a body, in bytes.
pub const BEGINNING_BYTES: usize = 16 * 1_024;
/// The beginnings of all bodies have this part of the memory.
const BEGINNINGS_PART: usize = 4;
/// The rests of all bodies from one address have this part of what is left.
const ADDRESS_PART: usize = 4;

/// All the memory for bodies, or all that this sender may have, is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// The memory for bodies.
#[derive(Clone, Debug)]
pub struct BodyMemory(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    beginnings: Arc<Semaphore>,
    rests: Arc<Semaphore>,
    address_bytes_max: usize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// What one body has of the memory. Given back when dropped.
#[derive(Debug)]
pub struct BodyShare {
    pools: Arc<Pools>,
    address: IpAddr,
    bytes: usize,
    beginning: Option<OwnedSemaphorePermit>,
    rest: Option<OwnedSemaphorePermit>,
    rest_bytes: usize,
}

impl BodyMemory {
    /// Memory of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        let beginnings = bytes_max / BEGINNINGS_PART;
        let rests = bytes_max - beginnings;
        Self(Arc::new(Pools {
            beginnings: Arc::new(Semaphore::new(beginnings)),
            rests: Arc::new(Semaphore::new(rests)),
            address_bytes_max: rests / ADDRESS_PART,
            addresses: Mutex::default(),
        }))
    }

    /// Nothing yet, for a body from this address.
    pub fn share(&self, address: IpAddr) -> BodyShare {
        BodyShare {
            pools: Arc::clone(&self.0),
            address: network(address),
            bytes: 0,
            beginning: None,
            rest: None,
            rest_bytes: 0,
        }
    }
}

impl BodyShare {
    /// What it has.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Has the body take up `bytes` in all, before it is allocated.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let beginning = bytes.min(BEGINNING_BYTES).saturating_sub(self.bytes);
        let rest = bytes.saturating_sub(self.bytes.max(BEGINNING_BYTES));
        if beginning > 0 {
            add(&self.pools.beginnings, &mut self.beginning, beginning)?;
        }
        if rest > 0 {
            self.pools.count(self.address, rest)?;
            self.rest_bytes += rest;
            add(&self.pools.rests, &mut self.rest, rest)?;
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        if self.rest_bytes > 0 {
            self.pools.give_back(self.address, self.rest_bytes);
        }
    }
}

impl Pools {
    fn count(&self, address: IpAddr, bytes: usize) -> Result<(), NoMemory> {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let held = addresses.get(&address).copied().unwrap_or(0);
        if held + bytes > self.address_bytes_max {
            return Err(NoMemory);
        }
        addresses.insert(address, held + bytes);
        Ok(())
    }

    fn give_back(&self, address: IpAddr, bytes: usize) {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = addresses.get_mut(&address) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                addresses.remove(&address);
            }
        }
    }
}

fn add(
    pool: &Arc<Semaphore>,
    held: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> Result<(), NoMemory> {
    let count = u32::try_from(bytes).map_err(|_| NoMemory)?;
    let more = Arc::clone(pool)
        .try_acquire_many_owned(count)
        .map_err(|_| NoMemory)?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1_024 * 1_024;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn taken(memory: &BodyMemory, from: u8, bytes: usize) -> Result<BodyShare, NoMemory> {
        let mut share = memory.share(address(from));
        share.grow_to(bytes).map(|()| share)
    }

    #[test]
    fn long_bodies_of_one_address_leave_room_for_those_of_others_and_for_all_short_ones() {
        // 4 MiB for beginnings, 12 for the rests, 3 of them for one address.
        let memory = BodyMemory::new(16 * MIB);
        let _first = [
            taken(&memory, 1, MIB),
            taken(&memory, 1, MIB),
            taken(&memory, 1, MIB),
        ];
        assert!(taken(&memory, 1, MIB).is_err(), "the address has its share");
        assert!(taken(&memory, 1, BEGINNING_BYTES).is_ok(), "a short one");
        assert!(taken(&memory, 2, MIB).is_ok(), "another address");
    }

    #[test]
    fn many_addresses_together_do_not_exceed_the_memory() {
        let memory = BodyMemory::new(16 * MIB);
        let held: Vec<_> = (0..6).map(|from| taken(&memory, from, 2 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(taken(&memory, 9, MIB).is_err());
        assert!(taken(&memory, 9, BEGINNING_BYTES).is_ok(), "a short one");
        drop(held);
        assert!(taken(&memory, 9, MIB).is_ok());
    }

    #[test]
    fn what_was_refused_is_not_counted_for_ever() {
        let memory = BodyMemory::new(16 * MIB);
        for _ in 0..10 {
            assert!(taken(&memory, 1, 4 * MIB).is_err());
        }
        assert!(taken(&memory, 1, 2 * MIB).is_ok());
    }
}
