use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use tandem_simulator::{
    Comparison, Field, Origin, SimConfig, SimKind, SimState, Simulator, compare,
};

use crate::support::{Caller, Receiver, crm, finance, record, start};

/// What identifies a record from run to run: everything but the instants.
fn contents(state: &SimState) -> Vec<(String, String)> {
    let text =
        |record: &tandem_simulator::SimRecord| format!("{:?} {:?}", record.fields, record.origin);
    state
        .records
        .iter()
        .map(|record| (record.id.clone(), text(record)))
        .collect()
}

#[tokio::test]
async fn the_same_seed_gives_the_same_system() {
    assert_eq!(
        contents(&crm(80).await.state()),
        contents(&crm(80).await.state())
    );
    assert_eq!(
        contents(&finance(80).await.state()),
        contents(&finance(80).await.state())
    );
}

#[tokio::test]
async fn the_two_systems_start_with_an_overlap_and_in_disagreement() {
    let (crm, finance) = (crm(500).await.state(), finance(500).await.state());
    let verdict: Comparison = compare(&crm, &finance, &crm, &finance);
    assert_eq!(verdict.records, 500);
    assert!(
        (150..250).contains(&verdict.lost),
        "{} companies are on one side only",
        verdict.lost
    );
    assert!(!verdict.differences.is_empty());
    assert_eq!(verdict.doubled, 0, "duplicates of the start are known");
}

/// Lets users edit until `count` webhooks have told of it; no integration writes anything.
async fn edited(kind: SimKind, count: usize) -> (SimState, SimState) {
    let mut receiver = Receiver::start(&[]).await;
    let calm = SimConfig {
        records: 60,
        edits_per_second: 2_000.0,
        ..SimConfig::new(kind)
    };
    let initial = start(SimConfig {
        edits_per_second: 0.0,
        ..calm.clone()
    })
    .await
    .state();
    let system: Simulator = start(SimConfig {
        webhook: receiver.target(),
        ..calm
    })
    .await;
    for _ in 0..count {
        receiver.next().await;
    }
    system.quiet();
    (initial, system.state())
}

#[tokio::test]
async fn users_edit_and_sometimes_create_but_never_blur_who_is_who() {
    for kind in [SimKind::Crm, SimKind::Finance] {
        let (initial, state) = edited(kind, 60).await;
        assert!(state.counters.user_edits > 60);
        assert!(
            state
                .records
                .iter()
                .any(|record| record.origin == Origin::User)
        );
        for before in &initial.records {
            let after = state
                .records
                .iter()
                .find(|record| record.id == before.id)
                .expect("users delete nothing");
            for field in [Field::Name, Field::Email] {
                assert_eq!(
                    before.fields.get(field),
                    after.fields.get(field),
                    "no integration knows this record yet"
                );
            }
        }
        let phones = state
            .records
            .iter()
            .map(|record| record.fields.get(Field::Phone));
        let edited: Vec<_> = phones
            .filter(|phone| phone.starts_with("+49 30 1000") || phone.starts_with("+49 30 2000"))
            .collect();
        assert_eq!(
            edited.iter().collect::<BTreeSet<_>>().len(),
            edited.len(),
            "every value is new"
        );
    }
}

#[tokio::test]
async fn the_two_sides_never_create_the_same_company() {
    let (_, crm) = edited(SimKind::Crm, 60).await;
    let (_, finance) = edited(SimKind::Finance, 60).await;
    let created = |state: &SimState| -> BTreeSet<String> {
        let by_users = state
            .records
            .iter()
            .filter(|record| record.origin == Origin::User);
        by_users
            .map(|record| record.fields.get(Field::Name).to_owned())
            .collect()
    };
    assert!(created(&crm).is_disjoint(&created(&finance)));
}

#[tokio::test]
async fn an_outside_driver_edits_creates_and_deletes() {
    let system = crm(10).await;
    let driver = Caller::anonymous(&system);
    let edit = async |body: serde_json::Value| {
        driver
            .call(Method::POST, "/_sim/edit", &body.to_string())
            .await
    };
    let created =
        edit(json!({ "create": { "name": "Acme", "credit_limit": 12.5, "active": true } })).await;
    let id = created.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(record(&system, &id).fields.get(Field::CreditLimit), "12.5");
    assert_eq!(
        edit(json!({ "id": id, "fields": { "city": "Oslo" } }))
            .await
            .status,
        200
    );
    assert_eq!(record(&system, &id).fields.get(Field::City), "Oslo");
    assert_eq!(edit(json!({ "delete": id })).await.status, 200);
    let gone = record(&system, &id);
    assert_eq!(
        (gone.archived, gone.archived_by),
        (true, Some(Origin::User))
    );
    assert_eq!(edit(json!({ "id": id, "fields": {} })).await.status, 404);
    assert_eq!(edit(json!({ "create": { "nmae": "x" } })).await.status, 400);
    assert_eq!(
        edit(json!({ "create": { "active": "perhaps" } }))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn the_state_over_http_is_the_state_of_the_handle() {
    let system = finance(10).await;
    let shown = Caller::anonymous(&system).get("/_sim/state").await;
    assert_eq!(shown.body["system"], "finance");
    assert_eq!(
        shown.body.pointer("/records/0/origin"),
        Some(&json!("seed"))
    );
    let read: SimState = serde_json::from_value(shown.body).expect("the shape of SimState");
    assert_eq!(contents(&read), contents(&system.state()));
}

#[tokio::test]
async fn a_system_that_is_shut_down_no_longer_answers() {
    let system = crm(1).await;
    let caller = Caller::of_crm(&system);
    assert_eq!(caller.get("/crm/v3/objects/companies").await.status, 200);
    system.shutdown().await;
    assert!(
        caller
            .try_call(Method::GET, "/crm/v3/objects/companies", "", &[])
            .await
            .is_none()
    );
}
