//! The side of the doorbell that a runner waits at, without Redis.
//!
//! Redis is read only while a runner waits, because what is read is kept from the other workers. Should
//! the runner have gone when an answer comes, the ids go back to them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_domain::JobId;
use tokio::sync::Notify;

/// Shared by the runner, by those who ring in this process, and by the task that reads from Redis.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    state: Mutex<State>,
    /// Wakes the runner. Keeps a ring for one that has just left.
    rung: Notify,
    /// Wakes the task that reads.
    demanded: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many wait; one in a process with a runner.
    waiting: usize,
    /// One that waits has been rung for, and will look at the store.
    is_woken: bool,
    /// What the last wait was ended with.
    in_hand: Vec<JobId>,
    /// Whether rings of this process could come back to it through Redis.
    is_stream_heard: bool,
}

impl Hearing {
    /// Resolves when rung for, or after `at_most`.
    pub(super) async fn wait(&self, at_most: Duration) {
        let _waiting = self.begin();
        // Both endings mean the same to the caller: look at the store.
        let _rung_or_time = tokio::time::timeout(at_most, self.rung.notified()).await;
    }

    fn begin(&self) -> Waiting<'_> {
        let mut state = self.lock();
        state.waiting += 1;
        state.in_hand.clear();
        drop(state);
        self.demanded.notify_one();
        Waiting { hearing: self }
    }

    /// Resolves when somebody waits.
    pub(super) async fn demand(&self) {
        while self.lock().waiting == 0 {
            self.demanded.notified().await;
        }
    }

    /// Hands what was read to whoever waits. `false` when nobody does any more.
    #[must_use]
    pub(super) fn hear(&self, ids: &[JobId]) -> bool {
        let mut state = self.lock();
        let is_waiting = state.waiting > 0;
        if is_waiting {
            self.wake(&mut state, ids);
        }
        is_waiting
    }

    /// Wakes the runner of this process with the first of these jobs, if that is of use: it waits for
    /// one, or could not hear of it otherwise. Returns the others.
    pub(super) fn ring_here<'a>(&self, jobs: &'a [JobId]) -> &'a [JobId] {
        let mut state = self.lock();
        let is_of_use = (state.waiting > 0 && !state.is_woken) || !state.is_stream_heard;
        match jobs.split_first() {
            Some((first, others)) if is_of_use => {
                self.wake(&mut state, std::slice::from_ref(first));
                others
            }
            _ => jobs,
        }
    }

    fn wake(&self, state: &mut State, ids: &[JobId]) {
        if state.waiting > 0 {
            state.in_hand.extend_from_slice(ids);
        }
        // Whoever was woken and has not gone yet will look after this, and finds these jobs as well.
        if !state.is_woken {
            self.rung.notify_one();
            state.is_woken = state.waiting > 0;
        }
    }

    /// Takes what was heard and is not among `claimed`.
    pub(super) fn pass_on(&self, claimed: &[JobId]) -> Vec<JobId> {
        let mut heard = std::mem::take(&mut self.lock().in_hand);
        heard.retain(|id| !claimed.contains(id));
        heard
    }

    /// Says whether what is rung through Redis is heard.
    pub(super) fn set_stream_heard(&self, is_stream_heard: bool) {
        self.lock().is_stream_heard = is_stream_heard;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits, until this is dropped.
struct Waiting<'a> {
    hearing: &'a Hearing,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.hearing.lock();
        state.waiting -= 1;
        state.is_woken = false;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;
    use tandem_domain::{Entropy, Timestamp};

    use super::*;

    struct Fixed(u64);
    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    fn jobs<const N: usize>() -> [JobId; N] {
        std::array::from_fn(|number| JobId::new(Timestamp::default(), &Fixed(number as u64)))
    }

    const LONG: Duration = Duration::from_secs(60);

    fn hearing() -> Hearing {
        let hearing = Hearing::default();
        hearing.set_stream_heard(true);
        hearing
    }

    #[tokio::test]
    async fn what_comes_when_nobody_waits_is_left_to_others() {
        let hearing = hearing();
        assert!(!hearing.hear(&jobs::<1>()));
        let mut wait = pin!(hearing.wait(LONG));
        assert_eq!(wait.as_mut().now_or_never(), None);
        assert!(hearing.hear(&jobs::<1>()));
        wait.await;
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_after_it_was_rung_for_leaves_the_ring_to_the_next() {
        let hearing = hearing();
        let mut wait = Box::pin(hearing.wait(LONG));
        assert_eq!(wait.as_mut().now_or_never(), None);
        assert!(hearing.hear(&jobs::<1>()));
        drop(wait);
        assert_eq!(hearing.wait(LONG).now_or_never(), Some(()));
        assert_eq!(hearing.wait(LONG).now_or_never(), None);
    }

    #[tokio::test]
    async fn a_runner_without_free_slots_passes_on_what_it_heard_and_did_not_claim() {
        let hearing = hearing();
        let jobs = jobs::<3>();
        let mut wait = pin!(hearing.wait(LONG));
        assert_eq!(wait.as_mut().now_or_never(), None);
        assert!(hearing.hear(&jobs));
        wait.await;
        assert_eq!(hearing.pass_on(&jobs[..1]), jobs[1..]);
        assert_eq!(hearing.pass_on(&[]), []);
    }

    #[tokio::test]
    async fn the_own_runner_takes_one_ring_and_the_others_go_out() {
        let hearing = hearing();
        let jobs = jobs::<3>();
        assert_eq!(hearing.ring_here(&jobs), jobs);
        let mut wait = pin!(hearing.wait(LONG));
        assert_eq!(wait.as_mut().now_or_never(), None);
        assert_eq!(hearing.ring_here(&jobs), &jobs[1..]);
        assert_eq!(hearing.ring_here(&jobs), jobs);
        assert_eq!(hearing.ring_here(&[]), []);
        wait.await;
    }

    #[tokio::test]
    async fn while_redis_is_away_a_ring_of_the_own_process_is_kept_for_the_own_runner() {
        let hearing = Hearing::default();
        let jobs = jobs::<2>();
        assert_eq!(hearing.ring_here(&jobs), &jobs[1..]);
        assert_eq!(hearing.wait(LONG).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn redis_is_read_only_while_somebody_waits() {
        let hearing = hearing();
        assert_eq!(hearing.demand().now_or_never(), None);
        let mut wait = Box::pin(hearing.wait(LONG));
        assert_eq!(wait.as_mut().now_or_never(), None);
        assert_eq!(hearing.demand().now_or_never(), Some(()));
        drop(wait);
        assert_eq!(hearing.demand().now_or_never(), None);
    }
}
