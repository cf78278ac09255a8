//! What of a sync is still open once its run is: jobs that wait, for what and until when, and writes whose end is not
//! known. Which jobs are those of the run is not written down anywhere: they merge with others of the same record.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tandem_domain::{SyncName, Timestamp};
use tandem_operator::views::JobView;
use tandem_operator::{JobQuery, OpenWrites, SyncStatus};
use tandem_store::JobState;

use super::has_ended;
use crate::commands::desk::Desk;
use crate::commands::output::moment;
use crate::commands::storage::now;

/// So many jobs of each state are looked at: what they wait for is the same for many.
const LOOKED_AT: usize = 200;

/// Kinds of jobs that a run and what it found are made of. Polls come and go by their schedule.
const KINDS: [&str; 2] = ["reconcile", "backfill"];
/// What comes later is part of the run only when it is about a record: the next run is not.
const LATER_KINDS: [&str; 1] = ["reconcile"];

/// What came meanwhile is waited for so often. Steady traffic would keep it for ever.
const ROUNDS_MAX: u32 = 3;

/// Which jobs are waited for: those that were made until some moment. At first that is the end of the run; but a job of
/// the run may go over into a younger one of the same record, or make others. So when all have ended, those that are
/// open then are waited for as well.
#[derive(Debug, Default)]
pub(super) struct Reach {
    until: Option<Timestamp>,
    rounds: u32,
}

impl Reach {
    const fn kinds(&self) -> &'static [&'static str] {
        if self.rounds == 0 {
            &KINDS
        } else {
            &LATER_KINDS
        }
    }

    /// Reaches further, to the jobs that are open now; `false` when there are none, or that was done often enough.
    fn extend(&mut self, open: &[JobView]) -> bool {
        let newest = later(open).map(|job| job.created_at).max();
        if newest.is_none() || self.rounds >= ROUNDS_MAX {
            return false;
        }
        self.until = self.until.max(newest);
        self.rounds += 1;
        true
    }
}

/// Those of the jobs that may have come of the run.
fn later(jobs: &[JobView]) -> impl Iterator<Item = &JobView> {
    jobs.iter().filter(|job| LATER_KINDS.contains(&&*job.kind))
}

/// Jobs that wait for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    jobs: usize,
    /// When the last of them looks again.
    until: Timestamp,
}

/// What is open.
#[derive(Debug)]
pub(super) struct StillOpen {
    /// Jobs that are waited for, and are not done.
    pub(super) jobs: usize,
    /// Jobs that came meanwhile, and are not waited for.
    came: usize,
    /// Whether there may be more of them.
    more: bool,
    /// Those that go on by themselves at once: at work, or due.
    moving: usize,
    /// Those of them that are at work.
    running: usize,
    /// Those that wait, by what they wait for.
    groups: BTreeMap<String, Group>,
    /// Writes from before the end of the run, when no job is left that could settle them.
    pub(super) writes: Option<OpenWrites>,
}

impl StillOpen {
    /// What is open now. While the run itself has not ended that is its job alone.
    pub(super) async fn of(
        desk: &Desk,
        sync: &SyncName,
        job: &JobView,
        reach: &mut Reach,
    ) -> anyhow::Result<Self> {
        if !has_ended(job) {
            return Ok(Self::made_of(
                std::slice::from_ref(job),
                &KINDS,
                false,
                now(),
            ));
        }
        reach.until = reach.until.or(job.ended_at);
        let (jobs, more) = open_jobs(desk, sync, reach.until).await?;
        let mut open = Self::made_of(&jobs, reach.kinds(), more, now());
        if open.is_empty() {
            let (jobs, more) = open_jobs(desk, sync, None).await?;
            if reach.extend(&jobs) {
                return Ok(Self::made_of(&jobs, reach.kinds(), more, now()));
            }
            (open.came, open.more) = (later(&jobs).count(), more);
        }
        let until = reach.until;
        if open.is_empty() {
            // Only what is open after the last job was seen to have ended is nobody's any more.
            let status = desk.sync_status(sync).await?;
            let is_older = |at: Timestamp| until.is_none_or(|until| at <= until);
            open.writes = status
                .open_writes
                .filter(|writes| writes.oldest.is_some_and(is_older));
        }
        Ok(open)
    }

    fn made_of(jobs: &[JobView], kinds: &[&str], more: bool, now: Timestamp) -> Self {
        let mut open = Self {
            jobs: 0,
            came: 0,
            more,
            moving: 0,
            running: 0,
            groups: BTreeMap::new(),
            writes: None,
        };
        for job in jobs.iter().filter(|job| kinds.contains(&&*job.kind)) {
            open.jobs += 1;
            if job.state == JobState::Running || job.run_at <= now {
                open.moving += 1;
                open.running += usize::from(job.state == JobState::Running);
                continue;
            }
            let group = open.groups.entry(what_for(job)).or_insert(Group {
                jobs: 0,
                until: job.run_at,
            });
            group.jobs += 1;
            group.until = group.until.max(job.run_at);
        }
        open
    }

    /// Whether no job is left to wait for.
    pub(super) const fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    /// What everything that is left waits for, and which system is in trouble; nothing while something moves.
    pub(super) fn stalled(&self, status: &SyncStatus) -> String {
        let troubled = status
            .connections
            .iter()
            .filter(|one| one.health.in_trouble);
        let troubled = troubled.map(|one| format!("connection {} {}", one.name, one.health.words));
        self.stalled_by(troubled.collect())
    }

    /// The same, by what is said of the connections that are in trouble. What is due and is not at work is held back
    /// then: no request goes out.
    fn stalled_by(&self, troubled: Vec<String>) -> String {
        let held = self.moving - self.running;
        let is_held = held > 0 && !troubled.is_empty();
        let is_moving = self.running > 0 || (held > 0 && !is_held);
        if is_moving || (self.groups.is_empty() && !is_held) {
            return String::new();
        }
        let due = is_held.then(|| format!("jobs that are due and held back: {held}"));
        let waits = self.groups.keys().map(|why| format!("for {why}"));
        waits
            .chain(due)
            .chain(troubled)
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Until when, at the latest, the next look is taken.
    pub(super) fn until_words(&self) -> String {
        let latest = self.groups.values().map(|group| group.until).max();
        latest.map_or_else(String::new, |until| {
            format!(" (all of it is looked at again by {})", moment(until))
        })
    }

    /// One line for each thing that is waited for.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.moving > 0 {
            let more = if self.more { " or more" } else { "" };
            lines.push(format!("jobs at work or in line: {}{more}", self.moving));
        }
        lines.extend(self.groups.iter().map(|(why, group)| {
            format!(
                "jobs that wait for {why}: {}, all looked at again by {}",
                group.jobs,
                moment(group.until)
            )
        }));
        if let Some(writes) = &self.writes {
            let more = if writes.more { " or more" } else { "" };
            lines.push(format!(
                "{}{more} writes were sent of which it is not known whether they arrived; they are looked up before \
                 anything is sent again",
                writes.count
            ));
        }
        if self.came > 0 {
            let more = if self.more { " or more" } else { "" };
            lines.push(format!(
                "jobs that came meanwhile: {}{more}; they go on by themselves and were not waited for",
                self.came
            ));
        }
        lines
    }

    /// The same for programs.
    pub(super) fn as_json(&self) -> Json {
        let groups = self.groups.iter().map(|(why, group)| {
            json!({ "jobs": group.jobs, "for": why, "until": group.until.to_string() })
        });
        json!({
            "jobs": self.jobs,
            "more": self.more,
            "moving": self.moving,
            "came": self.came,
            "groups": groups.collect::<Vec<Json>>(),
            "writes": self.writes.as_ref().map_or(0, |writes| writes.count),
        })
    }
}

/// The open jobs of a sync that were made until then, and whether there may be more. Between two questions a job may be
/// claimed, or hand itself back: so what runs is asked for before and after what waits.
async fn open_jobs(
    desk: &Desk,
    sync: &SyncName,
    until: Option<Timestamp>,
) -> anyhow::Result<(Vec<JobView>, bool)> {
    let (mut jobs, mut more) = (BTreeMap::new(), false);
    for state in [JobState::Running, JobState::Available, JobState::Running] {
        let query = JobQuery {
            sync: Some(sync.clone()),
            state: Some(state),
            until,
            limit: Some(LOOKED_AT),
            ..JobQuery::default()
        };
        let page = desk.jobs(query).await?;
        more |= page.next.is_some();
        // As it was seen last.
        jobs.extend(page.items.into_iter().map(|job| (job.id, job)));
    }
    Ok((jobs.into_values().collect(), more))
}

/// What a job waits for, in words.
fn what_for(job: &JobView) -> String {
    let failure = job.failure.as_ref();
    match (
        &job.waits_for,
        failure.and_then(|failure| failure.chain.first()),
    ) {
        (Some(what), _) => what.clone(),
        (None, Some(failed)) => format!("another try after this failed: {failed}"),
        (None, None) => "its time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn job(kind: &str, class: &str, state: &str, run_at: i64, waits_for: Option<&str>) -> JobView {
        let job = json!({
            "id": "job_01j00000000000000000000000", "kind": kind, "sync": "customers", "side": null,
            "record": null, "lane": "any", "class": class, "trigger": "webhook", "state": state,
            "attempt": 1, "merged": 0, "run_at": at(run_at).to_string(), "created_at": at(0).to_string(),
            "ended_at": null, "failure": null, "note": null, "traceparent": null, "waits_for": waits_for,
        });
        serde_json::from_value(job).expect("a job")
    }

    #[test]
    fn what_waits_for_the_end_of_a_write_is_open_whatever_its_class() {
        let shown = Some("the effect of an earlier write to show");
        let jobs = [
            job("reconcile", "interactive", "available", 40, shown),
            job("reconcile", "backfill", "available", 30, shown),
            job("poll", "poll", "available", 50, None),
        ];
        let open = StillOpen::made_of(&jobs, &KINDS, false, at(10));
        assert_eq!((open.jobs, open.moving), (2, 0));
        assert_eq!(
            open.lines(),
            [
                "jobs that wait for the effect of an earlier write to show: 2, all looked at again by 1970-01-01T00:00:40Z"
            ]
        );
        assert!(open.until_words().contains("1970-01-01T00:00:40Z"));
    }

    #[test]
    fn what_is_due_and_held_back_by_a_system_in_trouble_is_said_to_wait() {
        let due = [job("reconcile", "backfill", "available", 10, None)];
        let open = StillOpen::made_of(&due, &KINDS, false, at(10));
        assert_eq!(open.stalled_by(Vec::new()), "", "it is its turn at once");
        let down = || vec!["connection crm unreachable since noon".to_owned()];
        let said = open.stalled_by(down());
        assert_eq!(
            said,
            "jobs that are due and held back: 1; connection crm unreachable since noon"
        );
        let at_work = [
            job("reconcile", "backfill", "available", 10, None),
            job("reconcile", "backfill", "running", 5, None),
        ];
        let open = StillOpen::made_of(&at_work, &KINDS, false, at(10));
        assert_eq!(open.stalled_by(down()), "", "one is at work");
    }

    #[test]
    fn what_is_due_or_at_work_moves() {
        let jobs = [
            job("reconcile", "backfill", "running", 5, None),
            job("reconcile", "backfill", "available", 10, None),
            job("reconcile", "backfill", "available", 11, Some("its turn")),
        ];
        let open = StillOpen::made_of(&jobs, &KINDS, false, at(10));
        assert_eq!((open.jobs, open.moving), (3, 2));
        assert_eq!(open.lines()[0], "jobs at work or in line: 2");
        assert!(StillOpen::made_of(&[], &KINDS, false, at(10)).is_empty());
    }

    fn made_at(kind: &str, secs: i64) -> JobView {
        JobView {
            created_at: at(secs),
            ..job(kind, "interactive", "available", secs, None)
        }
    }

    #[test]
    fn when_the_jobs_of_the_run_have_ended_what_is_open_then_is_waited_for_as_well() {
        let mut reach = Reach {
            until: Some(at(10)),
            rounds: 0,
        };
        assert!(!reach.extend(&[]), "nothing is open");
        assert!(!reach.extend(&[made_at("poll", 11), made_at("backfill", 12)]));
        assert!(reach.extend(&[
            made_at("reconcile", 14),
            made_at("reconcile", 13),
            made_at("backfill", 20)
        ]));
        assert_eq!(reach.until, Some(at(14)));
        assert_eq!(reach.kinds(), LATER_KINDS, "the next run is not waited for");
    }

    #[test]
    fn steady_traffic_does_not_keep_it_for_ever() {
        let mut reach = Reach::default();
        let rounds = (1..100).take_while(|secs| reach.extend(&[made_at("reconcile", *secs)]));
        assert_eq!(rounds.count(), 3);
        let mut open = StillOpen::made_of(&[], &LATER_KINDS, false, at(10));
        (open.came, open.more) = (200, true);
        assert_eq!(
            open.lines(),
            [
                "jobs that came meanwhile: 200 or more; they go on by themselves and were not waited for"
            ]
        );
        assert!(open.is_empty());
    }
}
