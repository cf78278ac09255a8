//! What became of the events that were answered with `200`.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::balancer::Accepted;
use crate::database::Database;

/// The events of a connection that were answered with `200`, by the keys that the database tells them apart
/// by.
pub fn accepted_keys(accepted: &[Accepted], connection: &str) -> BTreeSet<String> {
    let path = format!("/hooks/{connection}");
    let of_connection = accepted.iter().filter(|one| one.path == path);
    of_connection.flat_map(|one| keys(&one.body)).collect()
}

/// Insists that every event that was answered with `200` is in the database and has come to an end.
pub async fn all_have_an_outcome(database: &Database, accepted: &[Accepted]) {
    for connection in ["crm", "books"] {
        let stored = database.event_keys(connection).await;
        let answered = accepted_keys(accepted, connection);
        let lost: Vec<&String> = answered.difference(&stored).collect();
        assert!(
            lost.is_empty(),
            "of {} events of {connection} these were answered with 200 and are not stored: {lost:?}",
            answered.len()
        );
    }
    assert_eq!(database.events_without_outcome().await, 0);
}

/// As the manifests of both systems make them.
fn keys(body: &[u8]) -> Vec<String> {
    let body: Json = serde_json::from_slice(body).expect("the systems send JSON");
    let (events, names): (&Json, &[&str]) = match &body {
        Json::Object(body) => (
            &body["events"],
            &[
                "tenantId",
                "eventCategory",
                "resourceId",
                "eventType",
                "eventDateUtc",
            ],
        ),
        list => (
            list,
            &[
                "portalId",
                "subscriptionId",
                "eventId",
                "objectId",
                "occurredAt",
                "propertyName",
            ],
        ),
    };
    let events = events.as_array().expect("a list of events");
    let key = |event: &Json| {
        let parts = names.iter().map(|name| text(&event[name]));
        parts.collect::<Vec<String>>().join(":")
    };
    events.iter().map(key).collect()
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
