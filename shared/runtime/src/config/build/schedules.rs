//! Makes the schedules.

use std::collections::BTreeSet;

use tandem_domain::{Side, SyncName};
use tandem_store::{ScheduleKey, SchedulePurpose, ScheduleRow};

use super::Builder;
use crate::config::error::FieldPath;
use crate::config::sync::SyncConfig;
use crate::schedule::Schedule;

/// How often each side is asked for changes unless the sync says otherwise.
const POLL_DEFAULT: &str = "every 5 minutes";
/// How often both sides are compared whole unless the sync says otherwise.
const FULL_DEFAULT: &str = "every 4 hours";
/// Whose wall clock the schedules mean unless the sync says otherwise.
const TIME_ZONE_DEFAULT: &str = "UTC";
/// A schedule that goes by a wall clock, to try a time zone with.
const DAILY: &str = "daily";

impl Builder<'_> {
    pub(super) fn build_schedules(&mut self) -> (Vec<ScheduleRow>, BTreeSet<ScheduleKey>) {
        let configuration = self.configuration;
        let mut rows = Vec::new();
        let mut sweeping = BTreeSet::new();
        for (name, config) in &configuration.syncs {
            let zone = self.zone(name, config);
            for purpose in SchedulePurpose::ALL {
                rows.extend(self.schedule(name, config, purpose, zone));
            }
            for (purpose, side) in [
                (SchedulePurpose::PollA, Side::A),
                (SchedulePurpose::PollB, Side::B),
            ] {
                if !self.tells_changes(config, side) {
                    sweeping.insert(ScheduleKey {
                        sync: name.clone(),
                        purpose,
                    });
                }
            }
        }
        (rows, sweeping)
    }

    /// Whose wall clock is meant. A wrong one is noted once, and the schedules are checked without it.
    fn zone<'c>(&mut self, sync: &SyncName, config: &'c SyncConfig) -> &'c str {
        let told = config.schedule.time_zone.as_deref();
        let zone = told.unwrap_or(TIME_ZONE_DEFAULT);
        match Schedule::parse(DAILY, zone) {
            Ok(_) => zone,
            Err(error) => {
                let at = FieldPath::of("syncs").key(sync).key("schedule");
                self.problems.add(at.key("time_zone"), error.to_string());
                TIME_ZONE_DEFAULT
            }
        }
    }

    fn schedule(
        &mut self,
        sync: &SyncName,
        config: &SyncConfig,
        purpose: SchedulePurpose,
        zone: &str,
    ) -> Option<ScheduleRow> {
        let at = FieldPath::of("syncs").key(sync).key("schedule");
        let schedules = &config.schedule;
        let (told, default) = match purpose {
            SchedulePurpose::PollA => (&schedules.poll_a, POLL_DEFAULT),
            SchedulePurpose::PollB => (&schedules.poll_b, POLL_DEFAULT),
            SchedulePurpose::Full => (&schedules.full, FULL_DEFAULT),
        };
        let schedule = match Schedule::parse(told.as_deref().unwrap_or(default), zone) {
            Ok(schedule) => schedule,
            Err(error) => {
                self.problems
                    .add(at.key(purpose.as_str()), error.to_string());
                return None;
            }
        };
        let now = self.clock.now();
        let next_at = match purpose {
            SchedulePurpose::PollA | SchedulePurpose::PollB => schedule.next_after(now),
            // The first whole comparison is the first sync: nothing is linked before it, so it is due at once.
            SchedulePurpose::Full => (!schedule.is_manual()).then_some(now),
        };
        Some(ScheduleRow {
            key: ScheduleKey {
                sync: sync.clone(),
                purpose,
            },
            spec: schedule.to_string(),
            next_at,
        })
    }

    /// Whether the stream can be asked for what changed.
    fn tells_changes(&self, config: &SyncConfig, side: Side) -> bool {
        let end = config.end(side);
        self.opened
            .get(&end.connection)
            .and_then(|opened| opened.connector.stream(&end.stream))
            .is_some_and(|stream| stream.capabilities.changed_since)
    }
}
