//! Polling by processes that come and go.

use std::time::Duration;

use tandem_simulator::Field;

use crate::common::http::within;
use crate::common::pair::Pair;
use crate::edits::create;
use crate::fleet::{END_MAX, Fleet, Plan};
use crate::member::After;
use crate::site::Role;

const PATIENCE: Duration = Duration::from_secs(60);
const TAX_NUMBER: &str = "BE0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_poll_of_a_new_worker_finds_what_happened_by_a_clock_that_is_behind() {
    let mut pair = Pair::new(5, 1);
    // More than the overlap of polls.
    pair.books.skew_secs = -95;
    let mut fleet = Fleet::start(Plan {
        pair,
        webhooks: false,
        ..Plan::without_polls(5)
    })
    .await;
    fleet.tandem(&["sync", "run", "customers", "--wait"]).await;
    fleet.must_agree(PATIENCE).await;

    create(&fleet.pair.books.base_url(), 1, TAX_NUMBER).await;
    fleet.workers[0].terminate(After::StayDown, END_MAX).await;
    fleet.add(Role::Worker);
    fleet
        .tandem(&["schedules", "trigger", "customers", "poll_b"])
        .await;
    let carried = within(PATIENCE, async || {
        let records = fleet.crm.state().await.records;
        let mut found = records
            .iter()
            .map(|record| record.fields.get(Field::TaxNumber));
        found
            .any(|tax_number| tax_number == TAX_NUMBER)
            .then_some(())
    });
    assert!(carried.await.is_some(), "the poll did not find it");
}
