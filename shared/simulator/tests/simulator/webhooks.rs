use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tandem_simulator::{Field, Fields, SimConfig, SimError, SimKind, Simulator, WebhookTarget};

use crate::support::{Caller, Hook, Receiver, start};

async fn with_receiver(kind: SimKind, first_answers: &[u16]) -> (Simulator, Receiver) {
    let receiver = Receiver::start(first_answers).await;
    let skewed = SimConfig {
        clock_skew_secs: -3_600,
        ..SimConfig::new(kind)
    };
    let system = start(SimConfig {
        records: 20,
        webhook: receiver.target(),
        ..skewed
    })
    .await;
    (system, receiver)
}

fn base64_hmac(parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret").expect("any length will do");
    parts.iter().for_each(|part| mac.update(part));
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Events of the CRM until there are `count`, in order of event id.
async fn crm_events(receiver: &mut Receiver, count: usize) -> Vec<Value> {
    let mut events = BTreeMap::new();
    while events.len() < count {
        for event in receiver.next().await.json().as_array().expect("an array") {
            events.insert(event["eventId"].as_u64().expect("a number"), event.clone());
        }
    }
    events.into_values().collect()
}

#[tokio::test]
async fn an_edit_in_the_crm_arrives_signed_as_hubspot_signs() {
    let (system, mut receiver) = with_receiver(SimKind::Crm, &[]).await;
    let id = system.state().records[0].id.clone();
    system
        .edit(&id, Field::City, "Oslo")
        .expect("a live record");
    let hook = receiver.next().await;
    let timestamp = hook.header("x-hubspot-request-timestamp");
    let expected = base64_hmac(&[
        b"POST",
        receiver.url.as_bytes(),
        &hook.body,
        timestamp.as_bytes(),
    ]);
    assert_eq!(hook.header("x-hubspot-signature-v3"), expected);
    let event = &hook.json()[0];
    assert_eq!(event["objectId"].to_string(), id);
    assert_eq!(
        (&event["subscriptionType"], &event["changeSource"]),
        (&json!("company.propertyChange"), &json!("CRM_UI"))
    );
    assert_eq!(
        (&event["propertyName"], &event["propertyValue"]),
        (&json!("city"), &json!("Oslo"))
    );
    let signed_ms: i64 = timestamp.parse().expect("milliseconds");
    let behind_ms = signed_ms - event["occurredAt"].as_i64().expect("milliseconds");
    assert!(
        (3_600_000..3_660_000).contains(&behind_ms),
        "signed in real time, occurred by the skewed clock"
    );
}

#[tokio::test]
async fn a_change_in_finance_arrives_signed_as_xero_signs() {
    let (system, mut receiver) = with_receiver(SimKind::Finance, &[]).await;
    let mut fields = Fields::default();
    fields.set(Field::Name, "Acme");
    let id = system.create(fields).expect("good values");
    let hook = receiver.next().await;
    assert_eq!(hook.header("x-xero-signature"), base64_hmac(&[&hook.body]));
    let body = hook.json();
    let event = &body["events"][0];
    assert_eq!(
        (&event["resourceId"], &event["eventType"]),
        (&json!(id), &json!("CREATE"))
    );
    assert_eq!(
        event["resourceUrl"],
        format!("{}/api.xro/2.0/Contacts/{id}", system.base_url())
    );
    assert!(
        event["eventDateUtc"]
            .as_str()
            .is_some_and(|at| at.len() == 23),
        "an instant without a zone"
    );
    assert_eq!(
        (&body["firstEventSequence"], &body["lastEventSequence"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn writes_through_the_api_echo() {
    let (system, mut receiver) = with_receiver(SimKind::Crm, &[]).await;
    let body = r#"{"properties":{"name":"Acme"}}"#;
    let caller = Caller::of_crm(&system);
    let created = caller
        .call(Method::POST, "/crm/v3/objects/companies", body)
        .await;
    let path = format!(
        "/crm/v3/objects/companies/{}",
        created.body["id"].as_str().expect("an id")
    );
    caller
        .call(
            Method::PATCH,
            &path,
            r#"{"properties":{"name":"Acme","city":"Oslo"}}"#,
        )
        .await;
    caller.call(Method::DELETE, &path, "").await;
    let events = crm_events(&mut receiver, 3).await;
    let types: Vec<_> = events
        .iter()
        .map(|event| event["subscriptionType"].clone())
        .collect();
    assert_eq!(
        types,
        [
            "company.creation",
            "company.propertyChange",
            "company.deletion"
        ]
    );
    assert!(
        events
            .iter()
            .all(|event| event["changeSource"] == "INTEGRATION")
    );
}

#[tokio::test]
async fn a_refused_webhook_is_repeated() {
    let (system, mut receiver) = with_receiver(SimKind::Crm, &[503, 500]).await;
    let id = system.state().records[0].id.clone();
    system
        .edit(&id, Field::City, "Oslo")
        .expect("a live record");
    let mut attempts = Vec::new();
    for _ in 0..3 {
        attempts.push(receiver.next().await.json()[0]["attemptNumber"].as_u64());
    }
    assert_eq!(attempts, [Some(0), Some(1), Some(2)]);
}

#[tokio::test]
async fn many_edits_arrive_in_batches_of_one_to_ten_and_all_of_them() {
    let (system, mut receiver) = with_receiver(SimKind::Crm, &[]).await;
    let id = system.state().records[0].id.clone();
    for number in 0..200 {
        system
            .edit(&id, Field::City, &format!("Town {number}"))
            .expect("a live record");
    }
    let mut events = 0;
    while events < 200 {
        let size = receiver.next().await.json().as_array().map_or(0, Vec::len);
        assert!((1..=10).contains(&size));
        events += size;
    }
    assert_eq!(events, 200);
}

#[tokio::test]
async fn with_faults_some_webhooks_come_twice_and_some_are_overtaken_or_lost() {
    let receiver = Receiver::start(&[]).await;
    let system = start(SimConfig {
        faults: 0.5,
        records: 20,
        webhook: receiver.target(),
        ..SimConfig::new(SimKind::Crm)
    })
    .await;
    let id = system.state().records[0].id.clone();
    for number in 0..400 {
        system
            .edit(&id, Field::City, &format!("Town {number}"))
            .expect("a live record");
    }
    system
        .edit(&id, Field::Phone, "last")
        .expect("a live record");
    let hooks = hooks_until_enough(receiver, 30).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in hooks
        .iter()
        .flat_map(|hook| hook.json().as_array().cloned().unwrap_or_default())
    {
        *times.entry(event["eventId"].to_string()).or_default() += 1;
    }
    assert!(
        times.values().any(|count| *count > 1),
        "some event came twice"
    );
    let sequence: Vec<u64> = times
        .keys()
        .map(|id| id.parse().expect("a number"))
        .collect();
    let span = sequence
        .iter()
        .max()
        .zip(sequence.iter().min())
        .map_or(0, |(last, first)| last - first + 1);
    assert!(
        (sequence.len() as u64) < span,
        "some event has not come although a later one has"
    );
}

async fn hooks_until_enough(mut receiver: Receiver, count: usize) -> Vec<Hook> {
    let mut hooks = Vec::new();
    while hooks.len() < count {
        hooks.push(receiver.next().await);
    }
    hooks
}

#[tokio::test]
async fn a_target_set_later_gets_only_what_happens_later() {
    let system = start(SimConfig {
        records: 20,
        ..SimConfig::new(SimKind::Crm)
    })
    .await;
    let mut receiver = Receiver::start(&[]).await;
    system
        .set_webhook(receiver.target())
        .expect("an http address");
    let id = system.state().records[0].id.clone();
    system
        .edit(&id, Field::City, "Oslo")
        .expect("a live record");
    assert_eq!(receiver.next().await.json()[0]["propertyValue"], "Oslo");
}

#[tokio::test]
async fn an_address_that_is_not_plain_http_is_refused_with_the_reason() {
    let target = WebhookTarget {
        url: "https://example.com/".to_owned(),
        secret: String::new(),
    };
    let refused = Simulator::start(SimConfig {
        webhook: Some(target),
        ..SimConfig::new(SimKind::Crm)
    })
    .await;
    assert!(matches!(refused, Err(SimError::WebhookUrl { .. })));
}
