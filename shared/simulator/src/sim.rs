//! What the parts of one running system share: its world, its clock, its faults, its switches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::book::Slot;
use crate::clock::SimClock;
use crate::config::{SimConfig, WebhookTarget};
use crate::control::ControlError;
use crate::faults::{FaultBox, locked};
use crate::fields::{Changes, Field, Fields};
use crate::finance::replies::Replies;
use crate::finance::token::TokenDesk;
use crate::state::{SimCounters, SimState};
use crate::world::{Actor, Patch, World};

pub(crate) struct Sim {
    pub(crate) config: SimConfig,
    pub(crate) clock: SimClock,
    pub(crate) faults: FaultBox,
    pub(crate) tally: Tally,
    /// Cancelled when edits and faults end; pending webhooks are then sent without delay.
    pub(crate) quiet: CancellationToken,
    /// Cancelled when the system shuts down.
    pub(crate) stop: CancellationToken,
    /// Rung when there may be notices to send.
    pub(crate) notices: Notify,
    pub(crate) tokens: TokenDesk,
    pub(crate) replies: Replies,
    /// Whether API requests get no answer for now.
    held: watch::Sender<bool>,
    world: Mutex<World>,
    webhook: Mutex<Option<Arc<WebhookTarget>>>,
}

/// Counters outside the world's lock.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) webhooks_sent: AtomicU64,
    pub(crate) webhooks_delivered: AtomicU64,
}

/// Adds one to a counter that only statistics read.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Sim {
    pub(crate) fn new(config: SimConfig) -> Sim {
        let clock = SimClock::new(config.clock_skew_secs);
        let world = World::seeded(config.kind, config.seed, config.records, clock.now_ms());
        Sim {
            clock,
            faults: FaultBox::new(config.seed, config.faults),
            tally: Tally::default(),
            quiet: CancellationToken::new(),
            stop: CancellationToken::new(),
            notices: Notify::new(),
            tokens: TokenDesk::new(config.seed, config.token_lifetime_secs),
            replies: Replies::default(),
            held: watch::Sender::new(false),
            world: Mutex::new(world),
            webhook: Mutex::new(config.webhook.clone().map(Arc::new)),
            config,
        }
    }

    /// The world, to look at.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.world)
    }

    /// Does something to the world and rings for its webhooks.
    pub(crate) fn change<T>(&self, verb: impl FnOnce(&mut World, i64) -> T) -> T {
        let done = {
            let mut world = self.world();
            // Read under the lock, so that the order of instants is the order of changes.
            let now_ms = self.clock.now_ms();
            verb(&mut world, now_ms)
        };
        self.notices.notify_one();
        done
    }

    pub(crate) fn webhook(&self) -> Option<Arc<WebhookTarget>> {
        locked(&self.webhook).clone()
    }

    pub(crate) fn set_webhook(&self, target: Option<WebhookTarget>) {
        *locked(&self.webhook) = target.map(Arc::new);
    }

    /// Keeps API requests waiting from now on, or lets all of them go on.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits while requests are held.
    pub(crate) async fn let_go(&self) {
        let mut held = self.held.subscribe();
        // Its sender is in this very struct, so it is there as long as anybody waits.
        let _let_go = held.wait_for(|held| !held).await;
    }

    pub(crate) fn quiet(&self) {
        self.faults.end();
        self.hold(false);
        self.quiet.cancel();
    }

    pub(crate) fn state(&self) -> SimState {
        let tally = &self.tally;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let world = self.world();
        SimState {
            system: self.config.kind,
            now: self.clock.now_ms(),
            records: world
                .book
                .all()
                .iter()
                .map(|record| record.to_state())
                .collect(),
            writes: world.writes(),
            counters: SimCounters {
                requests: read(&tally.requests),
                faults: read(&tally.faults),
                webhooks_sent: read(&tally.webhooks_sent),
                webhooks_delivered: read(&tally.webhooks_delivered),
                user_edits: world.counters.user_edits,
                api_creates: world.counters.api_creates,
                api_updates: world.counters.api_updates,
            },
        }
    }

    /// A user changes fields of a record.
    pub(crate) fn user_edit(&self, id: &str, changes: Changes) -> Result<(), ControlError> {
        let fields = checked(changes)?;
        self.change(|world, now_ms| {
            let slot = live_slot(world, id)?;
            world.update(
                slot,
                Patch {
                    fields,
                    ..Patch::default()
                },
                Actor::User,
                now_ms,
            );
            Ok(())
        })
    }

    /// A user creates a record; gives its id.
    pub(crate) fn user_create(&self, fields: Fields) -> Result<String, ControlError> {
        let mut changes: Changes = Field::ALL
            .map(|field| (field, fields.get(field).to_owned()))
            .into();
        changes.retain(|_, value| !value.is_empty());
        let fields = checked(changes)?;
        Ok(self.change(|world, now_ms| {
            let slot = world.create(
                Patch {
                    fields,
                    ..Patch::default()
                },
                Actor::User,
                now_ms,
            );
            world.book.get(slot).id.to_string()
        }))
    }

    /// A user archives a record, which is what both vendors call deletion.
    pub(crate) fn user_delete(&self, id: &str) -> Result<(), ControlError> {
        self.change(|world, now_ms| {
            let slot = live_slot(world, id)?;
            world.archive(slot, Actor::User, now_ms);
            Ok(())
        })
    }
}

fn live_slot(world: &World, id: &str) -> Result<Slot, ControlError> {
    let live = world
        .book
        .slot_of(id)
        .filter(|slot| !world.book.get(*slot).archived);
    live.ok_or_else(|| ControlError::NoSuchRecord { id: id.to_owned() })
}

fn checked(changes: Changes) -> Result<Changes, ControlError> {
    let check = |(field, value): (Field, String)| match field.check(&value) {
        Ok(value) => Ok((field, value)),
        Err(problem) => Err(ControlError::BadValue { field, problem }),
    };
    changes.into_iter().map(check).collect()
}
