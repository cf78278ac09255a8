//! Whose turn it is. Jobs that are done at once go on in an order that the seed draws, and one alone moves at a
//! time, from one step to its next: so the threads of the storage decide nothing, and a life is the same each time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tandem_domain::Entropy;
use tandem_store::StoreError;
use tandem_testkit::SeededEntropy;
use tokio::sync::Notify;

/// Steps of jobs: before each call of the storage, and around each request to a system.
pub struct Turns {
    /// Of its own: what Tandem draws does not change who goes on.
    chance: SeededEntropy,
    /// The job that moves has come to a step.
    stepped: AtomicBool,
    /// After the next call of this verb the process dies.
    dies_after: Mutex<Option<&'static str>>,
    /// It has died so.
    pub died: Notify,
    /// What the storage answers to the next calls of which verb, one each.
    fails: Mutex<VecDeque<(&'static str, StoreError)>>,
}

impl Turns {
    pub fn new(seed: u64) -> Self {
        Self {
            chance: SeededEntropy::new(seed ^ 0x7412),
            stepped: AtomicBool::new(false),
            dies_after: Mutex::new(None),
            died: Notify::new(),
            fails: Mutex::default(),
        }
    }

    /// The next calls of this verb of the storage fail, one each.
    pub fn fail(&self, verb: &'static str, errors: impl IntoIterator<Item = StoreError>) {
        let mut fails = self.fails.lock().expect("nobody panics");
        fails.extend(errors.into_iter().map(|error| (verb, error)));
    }

    /// How many calls are still to fail.
    pub fn failures_left(&self) -> usize {
        self.fails.lock().expect("nobody panics").len()
    }

    /// How a call of this verb fails, if it is to.
    pub fn failure_of(&self, verb: &str) -> Option<StoreError> {
        let mut fails = self.fails.lock().expect("nobody panics");
        let due = fails.iter().position(|(of, _)| *of == verb)?;
        fails.remove(due).map(|(_, error)| error)
    }

    /// The process dies right after the next call of this verb of the storage.
    pub fn dies_after(&self, verb: &'static str) {
        *self.dies_after.lock().expect("nobody panics") = Some(verb);
    }

    /// A call of the storage has ended. If the process dies with it, nothing comes after.
    pub async fn called(&self, verb: &str) {
        let is_last = {
            let mut last = self.dies_after.lock().expect("nobody panics");
            last.take_if(|last| *last == verb).is_some()
        };
        if is_last {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// A step of a job: from here another may go on.
    pub async fn others(&self) {
        let mut gone = false;
        std::future::poll_fn(|task| {
            if std::mem::replace(&mut gone, true) {
                return Poll::Ready(());
            }
            self.stepped.store(true, Ordering::SeqCst);
            task.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Does the jobs at once, by turns, until the last has ended.
    pub async fn drive<J: Future<Output = ()>>(&self, jobs: impl IntoIterator<Item = J>) {
        let mut jobs: Vec<Pin<Box<J>>> = jobs.into_iter().map(Box::pin).collect();
        let mut moving = None;
        std::future::poll_fn(|task| {
            while !jobs.is_empty() {
                let turn = *moving.get_or_insert_with(|| self.one_of(jobs.len()));
                if jobs[turn].as_mut().poll(task).is_pending() {
                    // Where it waits for the storage or for time, nobody else moves until it goes on.
                    if self.stepped.swap(false, Ordering::SeqCst) {
                        moving = None;
                    }
                    return Poll::Pending;
                }
                drop(jobs.remove(turn));
                moving = None;
            }
            Poll::Ready(())
        })
        .await;
    }

    fn one_of(&self, jobs: usize) -> usize {
        let drawn = self.chance.next_u64() % jobs as u64;
        usize::try_from(drawn).expect("less than there are jobs")
    }
}
