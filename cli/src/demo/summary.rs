//! What the demo has come to, for a person and for a program.

use serde::Serialize;
use tandem_domain::{Clock, Timestamp};
use tandem_runtime::SystemClock;
use tandem_simulator::Comparison;

use super::edits::Edits;
use super::{DemoArgs, World};

/// The most differences that are printed.
const SHOWN_MAX: usize = 10;

/// The figures.
#[derive(Serialize)]
pub struct Summary {
    pub agree: bool,
    pub records: usize,
    pub events: u64,
    pub duplicate_events: u64,
    pub jobs: u64,
    pub coalesced: u64,
    pub echoes: u64,
    pub writes_a: u64,
    pub writes_b: u64,
    pub conflicts: u64,
    pub retries: u64,
    pub dead: u64,
    pub lost: usize,
    pub doubled: usize,
    pub seconds: f64,
    pub seed: u64,
    pub edits: Edits,
    pub requests: u64,
    pub faults: u64,
}

impl Summary {
    pub async fn gather(
        world: &World,
        args: &DemoArgs,
        edits: Edits,
        verdict: &Comparison,
        started: Timestamp,
    ) -> anyhow::Result<Self> {
        let totals = world.store().totals(None).await?;
        let (crm, finance) = world.states();
        Ok(Self {
            agree: verdict.agree,
            records: verdict.records,
            events: totals.events,
            duplicate_events: world.store().duplicate_events().await?,
            jobs: totals.jobs_done,
            coalesced: totals.coalesced,
            echoes: totals.echoes,
            writes_a: totals.writes_a,
            writes_b: totals.writes_b,
            conflicts: totals.conflicts,
            retries: totals.retries,
            dead: totals.dead,
            lost: verdict.lost,
            doubled: verdict.doubled,
            seconds: SystemClock.now().since(started).as_millis() as f64 / 1_000.0,
            seed: args.seed,
            edits,
            requests: crm.counters.requests + finance.counters.requests,
            faults: crm.counters.faults + finance.counters.faults,
        })
    }

    pub fn print(&self, verdict: &Comparison) {
        let Edits {
            single,
            same_field,
            other_field,
            created,
        } = self.edits;
        println!("\nWhat happened");
        println!(
            "  people     {} edits: {single} single, {same_field} times the same field on both sides,",
            self.edits.total()
        );
        println!(
            "             {other_field} times different fields of one pair, {created} new records"
        );
        println!(
            "  systems    {} requests answered, {} of them gone wrong",
            self.requests, self.faults
        );
        println!(
            "  webhooks   {} events accepted, {} duplicates dropped",
            self.events, self.duplicate_events
        );
        println!(
            "  jobs       {} done, {} causes coalesced, {} echoes stopped",
            self.jobs, self.coalesced, self.echoes
        );
        println!(
            "  writes     {} to crm, {} to books",
            self.writes_a, self.writes_b
        );
        println!(
            "  conflicts  {} settled (the later edit won on corrected clocks; each loser is in the change log)",
            self.conflicts
        );
        println!(
            "  failures   {} retries, {} dead letters",
            self.retries, self.dead
        );
        println!(
            "\nAsked of the two systems themselves, after {:.1} s",
            self.seconds
        );
        println!(
            "  {} companies, {} lost, {} doubled, {} differences",
            self.records,
            self.lost,
            self.doubled,
            verdict.differences.len()
        );
        for difference in verdict.differences.iter().take(SHOWN_MAX) {
            println!("    {difference:?}");
        }
        let names = verdict
            .lost_companies
            .iter()
            .chain(&verdict.doubled_companies);
        for name in names.take(SHOWN_MAX) {
            println!("    {name}");
        }
        println!(
            "  {}",
            if self.agree {
                "both sides agree"
            } else {
                "BOTH SIDES DO NOT AGREE"
            }
        );
    }
}

/// A share as per cent.
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1_000.0).round() / 10.0)
}
