//! Systems that are not there yet, and webhooks that are not from where they say.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tandem_simulator::{Field, SimRecord};

use crate::common::agreement::{States, agreement, dead_jobs, open_jobs, states};
use crate::common::http::{post, within};
use crate::common::pair::{Settings, hook};
use crate::common::system::{System, command};
use crate::site::Site;

/// Everything here is done within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many tries have failed before the system comes up.
const FAILURES: u64 = 3;
#[tokio::test]
async fn jobs_for_a_system_that_is_down_wait_and_go_on_when_it_is_back() {
    let settings = Settings {
        // A failure that counted would be a dead letter at once.
        retries: 0,
        ..Settings::default()
    };
    let site = Site::new(20, 1, &settings);
    let crm = System::start(&site.pair.crm).await;
    let tandem = site.up().await;
    let tried = within(PATIENCE, async || {
        // The run goes on where it stood: each try that failed is a wait of its job.
        let waits = waits_for_a_system(&tandem.jobs().await?);
        (waits >= FAILURES).then_some(())
    });
    assert!(
        tried.await.is_some(),
        "books was not tried:\n{}",
        tandem.log()
    );
    let status = tandem.status().await.expect("it answers");
    assert_eq!(dead_jobs(&status), Some(0), "{status:#}");
    assert!(open_jobs(&status) > Some(0), "{status:#}");

    let books = System::start(&site.pair.books).await;
    let initial = states(&crm, &books).await;
    let status = async || tandem.status().await;
    let (verdict, settled) = agreement((&crm, &books), &initial, status, PATIENCE).await;
    assert!(settled, "{verdict:#?}\n{}", tandem.log());
}

#[tokio::test]
async fn a_change_whose_webhook_is_signed_with_a_wrong_secret_is_found_by_polling() {
    let mut site = Site::new(20, 1, &Settings::default()).with_webhooks();
    let hook = hook(&site.base_url(), "crm");
    site.pair.crm.webhook = Some((hook.clone(), "not the secret".to_owned()));
    let (crm, books) = (
        System::start(&site.pair.crm).await,
        System::start(&site.pair.books).await,
    );
    let initial = states(&crm, &books).await;
    let tandem = site.up().await;
    let status = async || tandem.status().await;
    let (verdict, settled) = agreement((&crm, &books), &initial, status, PATIENCE).await;
    assert!(settled, "{verdict:#?}\n{}", tandem.log());

    assert_eq!(
        post(&hook, "[]").await,
        401,
        "a webhook without a signature"
    );
    let id = linked_company(&initial);
    let fields = json!({ "phone": "+32 2 555 12 34" });
    command(
        &site.pair.crm.base_url(),
        &json!({ "id": id, "fields": fields }),
    )
    .await;
    let found = within(PATIENCE, async || {
        let records = books.state().await.records;
        records
            .into_iter()
            .find(|record| record.fields.get(Field::Phone) == "+32 2 555 12 34")
    });
    assert!(
        found.await.is_some(),
        "polling did not find it:\n{}",
        tandem.log()
    );
    let told = within(PATIENCE, async || {
        let counters = crm.state().await.counters;
        (counters.webhooks_sent > 0).then_some(counters.webhooks_delivered)
    });
    assert_eq!(
        told.await,
        Some(0),
        "its webhooks were answered with success"
    );
}

/// The CRM's id of a company that both systems have, and the CRM only once.
fn linked_company(states: &States) -> String {
    let email = |record: &SimRecord| record.fields.get(Field::Email).trim().to_lowercase();
    let in_books: Vec<String> = states.books.records.iter().map(email).collect();
    let in_crm: Vec<String> = states.crm.records.iter().map(email).collect();
    let once = |wanted: &String| in_crm.iter().filter(|one| *one == wanted).count() == 1;
    let found = states.crm.records.iter().find(|record| {
        let email = email(record);
        !email.is_empty() && in_books.contains(&email) && once(&email)
    });
    found.expect("most companies are in both").id.clone()
}

/// Polls and comparisons that could not be done.
fn waits_for_a_system(jobs: &Json) -> u64 {
    let jobs = jobs["items"].as_array().map(Vec::as_slice);
    let waits = jobs
        .unwrap_or_default()
        .iter()
        .map(|job| job["waits"].as_u64());
    waits.flatten().max().unwrap_or(0)
}
