//! Everything that moves a job, at random and at once, on a few lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_domain::{Entropy as _, ErrorCode};
use tandem_store::{
    ClaimRequest, ClaimedJob, Job, JobFilter, JobOutcome, JobState, NewJob, Store, Waiting,
};
use tandem_testkit::{Make, SeededEntropy};

use super::Fleet;

const ACTORS: usize = 12;
const STEPS: usize = 120;
const LANES: u64 = 4;

/// What the actors did, to be compared with what the storage holds at the end.
#[derive(Default)]
struct Totals {
    enqueued: AtomicUsize,
    ended: AtomicUsize,
}

/// One process, or a part of one, that does as chance has it.
struct Actor {
    store: Arc<dyn Store>,
    make: Arc<Make>,
    totals: Arc<Totals>,
    chance: SeededEntropy,
    held: Vec<ClaimedJob>,
}

impl Actor {
    fn below(&self, limit: u64) -> u64 {
        self.chance.next_u64() % limit
    }

    async fn act(mut self) {
        for _ in 0..STEPS {
            match self.below(12) {
                0..=3 => self.enqueue().await,
                4..=6 => self.claim().await,
                7..=8 => self.finish().await,
                9 => self.renew().await,
                10 => self.rescue().await,
                _ => self.replay().await,
            }
        }
    }

    async fn enqueue(&self) {
        let jobs: Vec<NewJob> = (0..=self.below(3))
            .map(|_| self.make.job(&format!("a{}", self.below(LANES))))
            .collect();
        self.totals.enqueued.fetch_add(jobs.len(), Ordering::SeqCst);
        let enqueued = self.store.enqueue(jobs, self.make.now()).await;
        enqueued.expect("enqueue");
    }

    /// Every other lease has ended when it begins: its holder is late.
    async fn claim(&mut self) {
        let lease_until = match self.below(2) {
            0 => self.make.after(60),
            _ => self.make.now().minus(Duration::from_secs(1)),
        };
        let request = ClaimRequest {
            lease_until,
            ..self.make.claim(1 + usize::from(self.below(2) == 0))
        };
        self.held
            .extend(self.store.claim(request).await.expect("claim"));
    }

    async fn finish(&mut self) {
        let finished: Vec<_> = std::mem::take(&mut self.held)
            .into_iter()
            .map(|one| (one.lease, self.outcome()))
            .collect();
        let answers = self.store.finish(finished.clone(), self.make.now()).await;
        let ended = answers
            .expect("finish")
            .into_iter()
            .zip(&finished)
            .filter(|(held, (_, outcome))| *held && matches!(outcome, JobOutcome::Done { .. }));
        self.totals.ended.fetch_add(ended.count(), Ordering::SeqCst);
    }

    fn outcome(&self) -> JobOutcome {
        let run_at = self.make.now();
        let failure = Make::failure(ErrorCode::Refused, "no");
        match self.below(6) {
            0..=1 => JobOutcome::Done {
                note: "echo".to_owned(),
            },
            2..=3 => JobOutcome::Retry { run_at, failure },
            4 => JobOutcome::Snooze {
                run_at,
                failure: None,
                reason: Waiting::Stopping,
            },
            _ => JobOutcome::Dead { failure },
        }
    }

    async fn renew(&self) {
        let leases: Vec<_> = self.held.iter().map(|one| one.lease).collect();
        let renewed = self.store.renew(&leases, self.make.after(60)).await;
        renewed.expect("renew");
    }

    async fn rescue(&self) {
        let rescued = self.store.rescue_expired(self.make.now(), 3).await;
        rescued.expect("rescue_expired");
    }

    async fn replay(&self) {
        let dead = self.store.jobs(&in_state(JobState::Dead)).await;
        let ids: Vec<_> = dead.expect("jobs").iter().map(|job| job.id).collect();
        let replayed = self.store.replay_jobs(&ids, self.make.now()).await;
        replayed.expect("replay_jobs");
    }
}

fn in_state(state: JobState) -> JobFilter {
    JobFilter {
        state: Some(state),
        limit: 1_000,
        ..JobFilter::default()
    }
}

fn is_merged(job: &Job) -> bool {
    job.note
        .as_ref()
        .is_some_and(|note| note.starts_with("merged into "))
}

fn is_healed(job: &Job) -> bool {
    job.note
        .as_ref()
        .is_some_and(|note| note.starts_with("healed: "))
}

/// Ends what is left: first whatever runs, then whatever waits or is dead.
async fn drain(fleet: &Fleet) -> usize {
    let (store, make) = (fleet.store(0), &fleet.make);
    store.release_all(make.now()).await.expect("release_all");
    let dead = store.jobs(&in_state(JobState::Dead)).await.expect("jobs");
    let ids: Vec<_> = dead.iter().map(|job| job.id).collect();
    store
        .replay_jobs(&ids, make.now())
        .await
        .expect("replay_jobs");
    let claimed = store.claim(make.claim(64)).await.expect("claim");
    assert!(claimed.len() <= usize::try_from(LANES).expect("it is small"));
    let finished: Vec<_> = claimed
        .iter()
        .map(|one| {
            let note = "echo".to_owned();
            (one.lease, JobOutcome::Done { note })
        })
        .collect();
    let answers = store.finish(finished, make.now()).await.expect("finish");
    assert!(answers.iter().all(|held| *held));
    answers.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_cause_is_lost_and_no_job_ends_twice() {
    let fleet = Fleet::of(3).await;
    let totals = Arc::new(Totals::default());
    fleet
        .all_at_once(ACTORS, |turn, store, make| {
            let seed = u64::try_from(turn).expect("it is small");
            let actor = Actor {
                store,
                make,
                totals: Arc::clone(&totals),
                chance: SeededEntropy::new(seed),
                held: Vec::new(),
            };
            actor.act()
        })
        .await;
    let ended = totals.ended.load(Ordering::SeqCst) + drain(&fleet).await;
    let (store, now) = (fleet.store(0), fleet.make.now());
    let counts = store.job_counts(None, now).await.expect("counts");
    assert_eq!((counts.available, counts.running, counts.dead), (0, 0, 0));
    let done = store.jobs(&in_state(JobState::Done)).await.expect("jobs");
    assert_eq!(counts.done, u64::try_from(done.len()).expect("it is small"));
    let whole: Vec<&Job> = done.iter().filter(|job| !is_merged(job)).collect();
    let healed = whole.iter().filter(|job| is_healed(job)).count();
    assert_eq!(whole.len() - healed, ended);
    // Each cause is a job, or was merged into one.
    let causes: u32 = whole.into_iter().map(|job| 1 + job.merged).sum();
    let enqueued = totals.enqueued.load(Ordering::SeqCst);
    assert_eq!(usize::try_from(causes).expect("it is small"), enqueued);
    let jobs_done = store.totals(None).await.expect("totals").jobs_done;
    assert_eq!(jobs_done, u64::try_from(ended).expect("it is small"));
}
