//! What becomes of a running Tandem whose disk is full, or whose data folder is gone: nothing is said to be kept
//! that is not, and a health check shows it.

use std::time::Duration;

use tandem_connectors::webhook::{Outgoing, Scheme, SchemeOptions, Secret, Verifier};

use crate::common::http::{ANSWER_MAX, client, within};
use crate::common::pair::{BOOKS_HOOK_SECRET, Settings, hook};
use crate::site::Site;

/// Everything here is noticed within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many webhooks of [`FILLER_BYTES`] are more than the disk of the test holds.
const WEBHOOKS_MAX: usize = 200;
const FILLER_BYTES: usize = 100_000;
/// In blocks of 512 bytes: 4 MiB.
const FILE_BLOCKS_MAX: u32 = 8_192;

/// Sends a signed webhook, which no other equals, and gives the status of the answer.
async fn send_webhook(site: &Site, number: usize, filler: usize) -> u16 {
    let body = format!(
        r#"{{"events":[{{"resourceId":"r{number}","eventType":"UPDATE","eventCategory":"CONTACT","eventDateUtc":"2026-01-01T00:00:00"}}],"entropy":"{}"}}"#,
        "x".repeat(filler)
    );
    let url = hook(&site.base_url(), "books");
    let verifier = Verifier::new(Scheme::Xero, &SchemeOptions::default()).expect("no options");
    let outgoing = Outgoing {
        method: "POST",
        url: &url,
        id: None,
        body: body.as_bytes(),
    };
    let signed = verifier
        .sign(&outgoing, &Secret::new(BOOKS_HOOK_SECRET), 0)
        .expect("it can be signed");
    let mut request = client().post(&url).timeout(ANSWER_MAX);
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let answer = request.body(body).send().await.expect("it answers");
    answer.status().as_u16()
}

async fn ready_status(site: &Site) -> Option<u16> {
    let url = format!("{}/health/ready", site.base_url());
    let answer = client().get(url).timeout(ANSWER_MAX).send().await.ok()?;
    Some(answer.status().as_u16())
}

async fn no_longer_ready(site: &Site) -> bool {
    let unready = async || (ready_status(site).await? == 503).then_some(());
    within(PATIENCE, unready).await.is_some()
}

#[tokio::test]
async fn a_disk_that_is_full_is_answered_503_and_does_not_end_the_process() {
    let site = Site::new(5, 1, &Settings::default());
    let tandem = site.spawn_with_file_limit(FILE_BLOCKS_MAX).ready().await;
    let mut answers = Vec::new();
    for number in 0..WEBHOOKS_MAX {
        answers.push(send_webhook(&site, number, FILLER_BYTES).await);
        if answers.last() == Some(&503) {
            break;
        }
    }
    let last = answers.pop();
    assert_eq!(last, Some(503), "it was never full; {}", tandem.log());
    assert!(answers.iter().all(|answer| *answer == 200), "{answers:?}");
    assert!(no_longer_ready(&site).await, "{}", tandem.log());
    let status = tandem.status().await.expect("reading goes on");
    for said in [
        status["not_kept"].as_str(),
        Some(&*site.shown(&["status"]).await),
    ] {
        let said = said.unwrap_or_default();
        for part in ["the database cannot be written", "Make room"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let metrics = client().get(format!("{}/metrics", site.base_url()));
    let metrics = metrics
        .timeout(ANSWER_MAX)
        .send()
        .await
        .expect("it answers");
    let metrics = metrics.text().await.expect("a text");
    assert!(
        metrics.contains("tandem_storage_takes_writes 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_database_that_is_replaced_is_told_of_by_the_status_beside_it_too() {
    let site = Site::new(5, 1, &Settings::default());
    let tandem = site.up().await;
    assert_eq!(send_webhook(&site, 1, 0).await, 200);
    let file = site.data().join("tandem.db");
    let older = site.data().join("older.db");
    std::fs::copy(&file, &older).expect("it is copied");
    std::fs::rename(&older, &file).expect("it is put in its place");
    assert_eq!(send_webhook(&site, 2, 0).await, 503);
    let status = tandem.status().await.expect("reading goes on");
    for said in [
        status["not_kept"].as_str(),
        Some(&*site.shown(&["status"]).await),
    ] {
        let said = said.unwrap_or_default();
        for part in ["removed or replaced while Tandem runs", "Stop Tandem"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[tokio::test]
async fn an_older_copy_that_is_written_into_the_open_database_is_answered_503_and_told_of() {
    let site = Site::new(5, 1, &Settings::default());
    let tandem = site.up().await;
    let (file, older) = (site.data().join("tandem.db"), site.data().join("older.db"));
    assert_eq!(send_webhook(&site, 1, 0).await, 200);
    site.shown(&["db", "backup", older.to_str().expect("a path")])
        .await;
    assert_eq!(send_webhook(&site, 2, 0).await, 200);
    // As `cp` does: the file stays, and its contents are others.
    std::fs::write(&file, std::fs::read(&older).expect("it is there")).expect("it is written");
    assert_eq!(send_webhook(&site, 3, 0).await, 503, "{}", tandem.log());
    assert!(no_longer_ready(&site).await, "{}", tandem.log());
    let said = site.shown(&["status"]).await;
    assert!(said.contains("tandem db check"), "{said}");
}

#[tokio::test]
async fn a_data_folder_that_is_removed_is_answered_503_and_said_in_the_log() {
    let site = Site::new(5, 1, &Settings::default());
    let tandem = site.up().await;
    assert_eq!(send_webhook(&site, 1, 0).await, 200);
    std::fs::remove_dir_all(site.data()).expect("it is removed");
    assert_eq!(send_webhook(&site, 2, 0).await, 503);
    assert!(no_longer_ready(&site).await, "{}", tandem.log());
    let log = tandem.log();
    assert!(
        log.contains("removed or replaced while Tandem runs"),
        "{log}"
    );
}

#[tokio::test]
async fn a_database_that_is_cut_is_answered_503_and_told_of_and_does_not_kill_the_process() {
    let site = Site::new(5, 1, &Settings::default());
    let tandem = site.up().await;
    assert_eq!(send_webhook(&site, 1, 0).await, 200);
    let database = std::fs::OpenOptions::new()
        .write(true)
        .open(site.data().join("tandem.db"));
    let cut = database.expect("it is there").set_len(16_384);
    cut.expect("it is cut");
    // Whatever reads while it is cut is answered, or refused, by a process that is alive.
    for number in 2..6 {
        let _whatever_it_says = tandem.status().await;
        assert_eq!(
            send_webhook(&site, number, 0).await,
            503,
            "{}",
            tandem.log()
        );
    }
    assert!(no_longer_ready(&site).await, "{}", tandem.log());
    let log = tandem.log();
    for part in ["the database file is damaged", "tandem db check", "backup"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}
