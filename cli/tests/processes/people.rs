//! People who edit while the first sync runs.

use std::time::Duration;

use serde_json::Value as Json;

use crate::common::agreement::{agreement, states};
use crate::common::http::{get, within};
use crate::common::pair::Settings;
use crate::common::system::System;
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(90);
/// So many edits are made, beginning before the first sync does.
const EDITS_MIN: u64 = 60;
const EDITS_PER_SECOND: f64 = 10.0;

/// Where nobody edits, no write of ours can have gone over an edit: whatever webhooks with wrong clocks tell of the
/// writes themselves, nobody is asked.
async fn nobody_is_asked_about_edits_where_there_are_none(people_are_at_the_crm: bool) {
    let mut site = Site::new(60, 7, &Settings::default()).with_webhooks();
    site.pair.unsettle(EDITS_PER_SECOND, 0.0);
    let quiet = if people_are_at_the_crm {
        site.pair.books.edits_per_second = 0.0;
        "b"
    } else {
        site.pair.crm.edits_per_second = 0.0;
        "a"
    };
    let (crm, books) = (
        System::start(&site.pair.crm).await,
        System::start(&site.pair.books).await,
    );
    let initial = states(&crm, &books).await;
    let tandem = site.up().await;
    let edited = within(PATIENCE, async || {
        let now = states(&crm, &books).await;
        let edits = now.crm.counters.user_edits + now.books.counters.user_edits;
        (edits >= EDITS_MIN).then_some(())
    });
    assert!(edited.await.is_some(), "people edit");
    crm.quiet().await;
    books.quiet().await;
    let status = async || tandem.status().await;
    let (verdict, settled) = agreement((&crm, &books), &initial, status, PATIENCE).await;
    assert!(settled, "{verdict:#?}\n{}", tandem.log());

    let url = format!("{}/api/v1/conflicts?kind=overwritten", site.base_url());
    let page: Json = get(&url).await.expect("it answers");
    let items = page["items"].as_array().expect("a list");
    let untrue: Vec<&Json> = items.iter().filter(|one| one["side"] == quiet).collect();
    assert!(untrue.is_empty(), "{untrue:#?}");
}

#[tokio::test]
async fn nobody_is_asked_about_edits_at_the_finance_system_where_only_the_crm_is_edited() {
    nobody_is_asked_about_edits_where_there_are_none(true).await;
}

#[tokio::test]
async fn nobody_is_asked_about_edits_at_the_crm_where_only_the_finance_system_is_edited() {
    nobody_is_asked_about_edits_where_there_are_none(false).await;
}
