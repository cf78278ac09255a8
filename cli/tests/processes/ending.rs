//! How Tandem ends, and that only one runs on a data folder.

use std::process::Stdio;
use std::time::Duration;

use crate::common::agreement::{agreement, states};
use crate::common::http::within;
use crate::common::pair::Settings;
use crate::common::system::System;
use crate::site::Site;

/// Work begins, and gets done, within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the configuration allows for an orderly end: 5 s for the jobs, 5 s to hand back what did not
/// finish, and some for a busy machine.
const END_MAX: Duration = Duration::from_secs(15);

#[tokio::test]
async fn asked_to_end_it_ends_in_time_while_jobs_run_and_goes_on_when_started_again() {
    let mut site = Site::new(60, 1, &Settings::default());
    // Slow enough that there is always a job under way.
    site.pair.crm.latency_ms = 100;
    site.pair.books.latency_ms = 100;
    let (crm, books) = (
        System::start(&site.pair.crm).await,
        System::start(&site.pair.books).await,
    );
    let initial = states(&crm, &books).await;

    let tandem = site.up().await;
    let at_work = within(PATIENCE, async || {
        let writes = states(&crm, &books).await.books.counters.api_creates;
        let running = tandem.status().await?["queue"]["running"].as_u64()?;
        (writes > 0 && running > 0).then_some(())
    });
    assert!(at_work.await.is_some(), "it never wrote:\n{}", tandem.log());
    let ended = tandem.terminate(END_MAX).await;
    assert_eq!(ended.expect("it ends in time").code(), Some(0));

    let tandem = site.up().await;
    let status = async || tandem.status().await;
    let (verdict, settled) = agreement((&crm, &books), &initial, status, PATIENCE).await;
    assert!(settled, "{verdict:#?}\n{}", tandem.log());
}

#[tokio::test]
async fn a_second_one_on_the_same_data_folder_is_refused() {
    let site = Site::new(5, 1, &Settings::default());
    let _systems = (
        System::start(&site.pair.crm).await,
        System::start(&site.pair.books).await,
    );
    let first = site.up().await;

    let mut second = site.command();
    second
        .arg("up")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let refused = tokio::time::timeout(PATIENCE, second.output()).await;
    let refused = refused.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("another tandem already runs on"), "{said}");
    assert!(first.status().await.is_some(), "the first one goes on");
}
