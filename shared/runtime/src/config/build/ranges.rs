//! The range of every number that a configuration may hold. A number outside of it would be taken literally
//! (no request ever starts, no job ever runs), which nobody means.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::Builder;
use crate::config::connection::ConnectionConfig;
use crate::config::error::FieldPath;
use crate::config::sync::SyncConfig;
use tandem_engine::Equality;

/// Threads, connections and requests at once, of one thing.
const AT_ONCE_MAX: usize = 10_000;
/// A day, in seconds.
const DAY_SECS: u32 = 86_400;
/// The job that doubts whether a record is gone waits so long at most. It gives up after an hour, and must
/// have looked a second time by then.
const CONFIRM_SECS_MAX: u32 = 3_000;
/// A hundred years, in days.
const CENTURY_DAYS: u32 = 36_500;
/// 1 GiB, in bytes.
const GIB: usize = 1 << 30;
/// Digits behind the point that a decimal can have.
const DECIMALS_MAX: u32 = 28;

impl Builder<'_> {
    pub(super) fn check_ranges(&mut self) {
        let configuration = self.configuration;
        self.check_server();
        self.check_worker();
        let retention = configuration.retention;
        let at = FieldPath::of("retention");
        for (key, days) in [
            ("events_days", retention.events_days),
            ("jobs_days", retention.jobs_days),
            ("changes_days", retention.changes_days),
            ("runs_days", retention.runs_days),
        ] {
            self.range(at.key(key), days, 1..=CENTURY_DAYS, "days");
        }
        for (name, connection) in &configuration.connections {
            self.check_connection(connection, &FieldPath::of("connections").key(name));
        }
        for (name, sync) in &configuration.syncs {
            self.check_sync(sync, &FieldPath::of("syncs").key(name));
        }
    }

    fn check_server(&mut self) {
        let server = self.configuration.server;
        let at = FieldPath::of("server");
        for (key, number, range, unit) in [
            (
                "connections_max",
                server.connections_max,
                1..=1_000_000,
                "connections",
            ),
            (
                "deliveries_max",
                server.deliveries_max,
                1..=1_000_000,
                "deliveries",
            ),
            (
                "body_bytes_total_max",
                server.body_bytes_total_max,
                65_536..=1_024 * GIB,
                "bytes",
            ),
            ("trusted_proxies", server.trusted_proxies, 0..=16, "proxies"),
        ] {
            self.range(at.key(key), number, range, unit);
        }
        for (key, secs, range) in [
            ("header_secs", server.header_secs, 1..=3_600),
            ("body_secs", server.body_secs, 1..=3_600),
            ("shutdown_secs", server.shutdown_secs, 0..=3_600),
        ] {
            self.range(at.key(key), secs, range, "seconds");
        }
    }

    fn check_worker(&mut self) {
        let worker = self.configuration.worker;
        let at = FieldPath::of("worker");
        self.range(
            at.key("concurrency"),
            worker.concurrency,
            1..=AT_ONCE_MAX,
            "jobs",
        );
        for (key, secs, range) in [
            ("lease_secs", worker.lease_secs, 3..=3_600),
            ("job_secs", worker.job_secs, 5..=DAY_SECS),
            ("listing_secs", worker.listing_secs, 60..=7 * DAY_SECS),
            ("shutdown_secs", worker.shutdown_secs, 0..=3_600),
        ] {
            self.range(at.key(key), secs, range, "seconds");
        }
        let runs_max = self.configuration.scheduler.runs_max;
        self.range(
            FieldPath::of("scheduler").key("runs_max"),
            runs_max,
            1..=1_000,
            "runs",
        );
    }

    fn check_connection(&mut self, config: &ConnectionConfig, at: &FieldPath) {
        let limits = &config.limits;
        let place = at.key("limits");
        if let Some(secs) = limits.timeout_secs {
            self.range(place.key("timeout_secs"), secs, 1..=3_600, "seconds");
        }
        if let Some(requests) = limits.concurrency {
            self.range(place.key("concurrency"), requests, 1..=10_000, "requests");
        }
        if let Some(rate) = limits.requests_per_second {
            let unit = "requests a second; 0 is no limit";
            self.range(
                place.key("requests_per_second"),
                rate,
                0.0..=100_000.0,
                unit,
            );
        }
        if let Some(webhook) = &config.webhook {
            let place = at.key("webhook").key("body_bytes_max");
            self.range(place, webhook.body_bytes_max, 1..=GIB, "bytes");
        }
    }

    fn check_sync(&mut self, config: &SyncConfig, at: &FieldPath) {
        self.range(
            at.key("quiet_secs"),
            config.quiet_secs,
            0..=DAY_SECS,
            "seconds",
        );
        self.range(
            at.key("overlap_secs"),
            config.overlap_secs,
            0..=7 * DAY_SECS,
            "seconds",
        );
        let jobs = "jobs at once; to run none, pause the sync";
        self.range(
            at.key("concurrency"),
            config.concurrency,
            1..=AT_ONCE_MAX,
            jobs,
        );
        let (retry, place) = (config.retry, at.key("retry"));
        self.range(place.key("retries"), retry.retries, 0..=100, "retries");
        self.range(
            place.key("base_secs"),
            retry.base_secs,
            1..=DAY_SECS,
            "seconds",
        );
        self.range(
            place.key("max_secs"),
            retry.max_secs,
            1..=7 * DAY_SECS,
            "seconds",
        );
        if retry.max_secs < retry.base_secs {
            let message = format!(
                "the longest wait ({} s) is shorter than the first one (`base_secs`, {} s); write at least {}",
                retry.max_secs, retry.base_secs, retry.base_secs
            );
            self.problems.add(place.key("max_secs"), message);
        }
        self.range(
            at.key("deletes").key("confirm_secs"),
            config.deletes.confirm_secs,
            1..=CONFIRM_SECS_MAX,
            "seconds",
        );
        let (brake, place) = (config.deletes.brake, at.key("deletes").key("brake"));
        self.range(place.key("count"), brake.count, 0..=1_000_000, "deletes");
        self.range(place.key("percent"), brake.percent, 0..=100, "percent");
        for (name, field) in &config.fields {
            if let Equality::Decimals(decimals) = field.equality {
                let place = at.key("fields").key(name).key("equality").key("decimals");
                self.range(place, decimals, 0..=DECIMALS_MAX, "decimals");
            }
        }
    }

    fn range<T: PartialOrd + Display>(
        &mut self,
        at: FieldPath,
        number: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) {
        if !range.contains(&number) {
            let (least, most) = range.into_inner();
            let message = format!("{number} is out of range: write {least} to {most} {unit}");
            self.problems.add(at, message);
        }
    }
}
