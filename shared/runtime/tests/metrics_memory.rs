//! What is counted takes up no more memory the longer nobody asks for it. A test of its own, because it looks at
//! the memory of the whole process.
#![cfg(target_os = "linux")]

use std::time::Duration;

use tandem_runtime::telemetry::init_metrics;
use tokio_util::sync::CancellationToken;

/// Recorded, they are 32 MB as long as nobody empties the histogram.
const ROUNDS: usize = 40;
const VALUES_A_ROUND: usize = 100_000;
const GROWTH_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Longer than upkeep waits.
const ROUND: Duration = Duration::from_secs(10);

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<usize>().ok())
        .expect("it is a number")
        * 1_024
}

#[tokio::test(start_paused = true)]
async fn histograms_that_nobody_asks_for_do_not_grow() {
    let metrics = init_metrics().expect("the only set-up of this process");
    let shutdown = CancellationToken::new();
    let upkeep = tokio::spawn(metrics.keep_up(shutdown.clone()));
    let before = resident_bytes();
    for _ in 0..ROUNDS {
        for _ in 0..VALUES_A_ROUND {
            metrics::histogram!("tandem_flood_seconds").record(0.1);
        }
        tokio::time::sleep(ROUND).await;
    }
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "it grew by {growth} bytes");
    shutdown.cancel();
    upkeep.await.expect("it ends when told to");
}
