use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use tandem_simulator::{Field, SimConfig, SimKind, WriteOp};

use crate::support::{Caller, crm, record, start};

const COMPANIES: &str = "/crm/v3/objects/companies";

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let system = crm(5).await;
    let answer = Caller::anonymous(&system)
        .with("authorization", "Bearer wrong")
        .get(COMPANIES)
        .await;
    assert_eq!(
        (answer.status, &answer.body["category"]),
        (401, &json!("INVALID_AUTHENTICATION"))
    );
}

#[tokio::test]
async fn paging_gives_every_company_once() {
    let system = crm(150).await;
    let caller = Caller::of_crm(&system);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = caller
            .get(&format!(
                "{COMPANIES}?limit=40&properties=name,email&after={after}"
            ))
            .await;
        seen.extend(page.texts("results", "/id"));
        match page
            .body
            .pointer("/paging/next/after")
            .and_then(Value::as_str)
        {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let held: Vec<_> = system
        .state()
        .records
        .into_iter()
        .map(|record| record.id)
        .collect();
    assert_eq!(seen, held);
    assert_eq!(
        caller.get(&format!("{COMPANIES}?limit=101")).await.status,
        400
    );
}

#[tokio::test]
async fn only_the_properties_asked_for_come_back_and_they_are_text() {
    let system = crm(5).await;
    let id = system.state().records[0].id.clone();
    let answer = Caller::of_crm(&system)
        .get(&format!(
            "{COMPANIES}/{id}?properties=active,credit_limit,unheard"
        ))
        .await;
    let properties = answer.body["properties"].as_object().expect("an object");
    assert_eq!(
        properties.keys().collect::<Vec<_>>(),
        ["active", "credit_limit"]
    );
    assert_eq!(properties["active"], "true");
    assert!(
        answer.body["updatedAt"]
            .as_str()
            .is_some_and(|at| at.len() == 24 && at.ends_with('Z'))
    );
}

#[tokio::test]
async fn a_created_company_is_normalised_as_hubspot_does() {
    let system = crm(0).await;
    let body = r#"{"properties":{"name":" Acme ","email":" Office@ACME.example ","credit_limit":"12.50","tandem_key":"t-1"}}"#;
    let answer = Caller::of_crm(&system)
        .call(Method::POST, COMPANIES, body)
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body["properties"]["email"], "office@acme.example");
    assert_eq!(answer.body["properties"]["tandem_key"], "t-1");
    let state = system.state();
    assert_eq!(state.records[0].fields.get(Field::Name), "Acme");
    assert_eq!(state.records[0].reference.as_deref(), Some("t-1"));
    assert_eq!(
        (state.writes[0].op, state.writes[0].fields.len()),
        (WriteOp::Create, 3)
    );
}

#[tokio::test]
async fn every_bad_property_is_named() {
    let system = crm(0).await;
    let body = r#"{"properties":{"nmae":"x","credit_limit":"much","hs_object_id":"1"}}"#;
    let answer = Caller::of_crm(&system)
        .call(Method::POST, COMPANIES, body)
        .await;
    assert_eq!(
        (answer.status, &answer.body["category"]),
        (400, &json!("VALIDATION_ERROR"))
    );
    let named: BTreeSet<_> = answer.texts("errors", "/in").into_iter().collect();
    assert_eq!(
        named,
        BTreeSet::from(["credit_limit", "hs_object_id", "nmae"].map(str::to_owned))
    );
    assert!(system.state().records.is_empty());
}

#[tokio::test]
async fn an_update_changes_only_what_it_names() {
    let system = crm(5).await;
    let before = system.state().records[0].clone();
    let path = format!("{COMPANIES}/{}", before.id);
    let answer = Caller::of_crm(&system)
        .call(Method::PATCH, &path, r#"{"properties":{"city":"Oslo"}}"#)
        .await;
    assert_eq!(
        (answer.status, &answer.body["properties"]["city"]),
        (200, &json!("Oslo"))
    );
    let after = record(&system, &before.id);
    assert_eq!(
        after.fields.get(Field::Name),
        before.fields.get(Field::Name)
    );
    assert!(after.updated_at > before.updated_at);
    let missing = Caller::of_crm(&system)
        .call(
            Method::PATCH,
            &format!("{COMPANIES}/7"),
            r#"{"properties":{}}"#,
        )
        .await;
    assert_eq!(
        (missing.status, &missing.body["category"]),
        (404, &json!("OBJECT_NOT_FOUND"))
    );
}

#[tokio::test]
async fn a_deleted_company_is_found_only_among_the_archived() {
    let system = crm(5).await;
    let caller = Caller::of_crm(&system);
    let id = system.state().records[0].id.clone();
    assert_eq!(
        caller
            .call(Method::DELETE, &format!("{COMPANIES}/{id}"), "")
            .await
            .status,
        204
    );
    assert_eq!(caller.get(&format!("{COMPANIES}/{id}")).await.status, 404);
    assert!(
        !caller
            .get(&format!("{COMPANIES}?limit=100"))
            .await
            .texts("results", "/id")
            .contains(&id)
    );
    assert_eq!(
        caller
            .get(&format!("{COMPANIES}?archived=true"))
            .await
            .texts("results", "/id"),
        [id]
    );
}

#[tokio::test]
async fn a_batch_read_tells_which_ids_are_missing() {
    let system = crm(5).await;
    let caller = Caller::of_crm(&system);
    let id = system.state().records[1].id.clone();
    let path = format!("{COMPANIES}/batch/read");
    let whole = caller
        .call(
            Method::POST,
            &path,
            &json!({ "inputs": [{ "id": id }] }).to_string(),
        )
        .await;
    assert_eq!((whole.status, whole.body.get("errors")), (200, None));
    let partly =
        json!({ "properties": ["name"], "inputs": [{ "id": "7" }, { "id": id }] }).to_string();
    let partly = caller.call(Method::POST, &path, &partly).await;
    assert_eq!(
        (partly.status, partly.texts("results", "/id")),
        (207, vec![id])
    );
    assert_eq!(
        partly.body.pointer("/errors/0/context/ids/0"),
        Some(&json!("7"))
    );
}

#[tokio::test]
async fn a_search_finds_by_email_whatever_its_case() {
    let system = crm(50).await;
    let wanted = system
        .state()
        .records
        .into_iter()
        .find(|record| !record.fields.get(Field::Email).is_empty());
    let wanted = wanted.expect("most companies have an address");
    let email = wanted.fields.get(Field::Email).to_uppercase();
    let filters = json!([{ "propertyName": "email", "operator": "EQ", "value": email }]);
    let body = json!({ "filterGroups": [{ "filters": filters }], "properties": ["email"] });
    let answer = Caller::of_crm(&system)
        .call(
            Method::POST,
            &format!("{COMPANIES}/search"),
            &body.to_string(),
        )
        .await;
    assert!(
        answer.texts("results", "/id").contains(&wanted.id),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_search_for_changes_since_pages_in_order_of_change() {
    let system = crm(40).await;
    let caller = Caller::of_crm(&system);
    let ids: Vec<_> = system
        .state()
        .records
        .into_iter()
        .map(|record| record.id)
        .collect();
    let start = system.state().now;
    for id in [&ids[3], &ids[1], &ids[2]] {
        system.edit(id, Field::City, "Oslo").expect("a live record");
    }
    let mut found = Vec::new();
    for after in ["", "2"] {
        let filters = json!([{ "propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": start.to_string() }]);
        let sorts = json!([{ "propertyName": "hs_lastmodifieddate", "direction": "ASCENDING" }]);
        let body = json!({ "filterGroups": [{ "filters": filters }], "sorts": sorts, "limit": 2, "after": after });
        let page = caller
            .call(
                Method::POST,
                &format!("{COMPANIES}/search"),
                &body.to_string(),
            )
            .await;
        assert_eq!(page.body["total"], 3);
        found.extend(page.texts("results", "/id"));
    }
    // Edits within one millisecond are ordered by id.
    let mut records: Vec<_> = found.iter().map(|id| record(&system, id)).collect();
    records.sort_by_key(|record| (record.updated_at, record.id.clone()));
    assert_eq!(
        found,
        records
            .into_iter()
            .map(|record| record.id)
            .collect::<Vec<_>>()
    );
    assert_eq!(
        found.into_iter().collect::<BTreeSet<_>>(),
        ids[1..4].iter().cloned().collect()
    );
}

#[tokio::test]
async fn the_date_header_shows_the_skewed_clock() {
    let config = SimConfig {
        clock_skew_secs: 86_400 * 400,
        ..SimConfig::new(SimKind::Crm)
    };
    let system = start(config).await;
    let answer = Caller::of_crm(&system).get(COMPANIES).await;
    let year = answer.headers["date"].to_str().expect("plain text")[12..16].to_owned();
    let body = r#"{"properties":{"name":"Acme"}}"#;
    let created = Caller::of_crm(&system)
        .call(Method::POST, COMPANIES, body)
        .await;
    assert_eq!(
        created.body["updatedAt"]
            .as_str()
            .map(|at| at[..4].to_owned()),
        Some(year)
    );
}
