//! From the body of a webhook to events: what each is about, and what tells it from every other.
//!
//! An event is a hint that a record may differ, no more; nothing else of it is used, so it does not matter
//! that most senders put only a part of the record in, or an old one. This module runs after the signature
//! was verified, and reads only what was signed. It performs no I/O.

use std::sync::Arc;

use minijinja::value::Value as TemplateValue;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tandem_domain::{RecordId, StreamName, Timestamp};

use crate::json_view;
use crate::lenient_json;
use crate::manifest::{EventKind, Webhook};
use crate::strict_json;
use crate::template::{Scope, Text};
use crate::value_form::id_text;

/// A body with more events than this is not what a vendor sends.
pub const EVENTS_MAX: usize = 10_000;
/// A longer dedupe key is replaced by its hash, since it is kept in an index.
const DEDUPE_KEY_BYTES_MAX: usize = 256;

/// One event of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedEvent {
    /// The same for every delivery of this event, and for no other event. Made of signed data only.
    pub dedupe_key: String,
    /// The stream of the record; `None` for a type of event that the manifest does not name, which is harmless.
    pub stream: Option<StreamName>,
    /// The record that it is about.
    pub record: Option<RecordId>,
    /// What happened to it.
    pub kind: Option<EventKind>,
    /// When it happened, by the system's clock.
    pub occurred_at: Option<Timestamp>,
    /// Why the event cannot be used, and is to be set aside for a person.
    pub problem: Option<String>,
}

/// A body that cannot be taken apart at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of the webhook cannot be read: {reason}")]
pub struct Unreadable {
    /// What is wrong, without quoting the body.
    pub reason: String,
}

/// Takes a body apart. An event that cannot be understood does not stop the others.
///
/// # Errors
/// [`Unreadable`] when it is not JSON that means one thing, has no events where the manifest says, or too many.
pub fn split(webhook: &Webhook, body: &[u8]) -> Result<Vec<ParsedEvent>, Unreadable> {
    let unreadable = |reason| Unreadable { reason };
    let mut document = strict_json::parse(body)
        .or_else(|reason| {
            // What is sound in it may still name a record.
            let mended = lenient_json::with_sound_texts(body).ok_or_else(|| reason.clone())?;
            strict_json::parse(&mended).map_err(|_| reason)
        })
        .map_err(unreadable)?;
    let mut events = Vec::new();
    if !webhook.events.take(&mut document, &mut events) {
        return Err(unreadable(format!(
            "there are no events at `{}`",
            webhook.events
        )));
    }
    if events.len() > EVENTS_MAX {
        return Err(unreadable(format!(
            "it holds {} events; the limit is {EVENTS_MAX}",
            events.len()
        )));
    }
    Ok(events
        .into_iter()
        .map(|event| parse_event(webhook, event))
        .collect())
}

fn parse_event(webhook: &Webhook, event: Json) -> ParsedEvent {
    let event = Arc::new(event);
    let scope = Scope::default()
        .with("event", json_view::view(Arc::clone(&event)))
        .value();
    let key = text(&webhook.key, &scope).map(bounded);
    let understood = understand(webhook, &event, &scope);
    match (key, understood) {
        (Ok(dedupe_key), Ok(understood)) => ParsedEvent {
            dedupe_key,
            ..understood
        },
        (Ok(dedupe_key), Err(problem)) => broken(dedupe_key, problem),
        (Err(problem), _) => broken(hash_of(&event.to_string()), problem),
    }
}

fn broken(dedupe_key: String, problem: String) -> ParsedEvent {
    ParsedEvent {
        dedupe_key,
        stream: None,
        record: None,
        kind: None,
        occurred_at: None,
        problem: Some(problem),
    }
}

fn understand(
    webhook: &Webhook,
    event: &Json,
    scope: &TemplateValue,
) -> Result<ParsedEvent, String> {
    let event_type = text(&webhook.event_type, scope)?;
    let known = webhook.types.get(&event_type);
    let record = known.map(|_| record_id(webhook, event)).transpose()?;
    Ok(ParsedEvent {
        dedupe_key: String::new(),
        stream: known.map(|known| known.stream.value.clone()),
        record,
        kind: known.map(|known| known.kind),
        occurred_at: occurred_at(webhook, event),
        problem: None,
    })
}

fn record_id(webhook: &Webhook, event: &Json) -> Result<RecordId, String> {
    let found = webhook.record.0.iter().find_map(|path| path.first(event));
    let Some(found) = found else {
        let places: Vec<String> = webhook
            .record
            .0
            .iter()
            .map(|path| format!("`{path}`"))
            .collect();
        return Err(format!("it names no record at {}", places.join(" or ")));
    };
    match id_text(found) {
        Some(id) => Ok(RecordId::new(id)),
        None => Err(format!("its record id is not an id: {}", shape(found))),
    }
}

/// What stands there, without repeating it.
fn shape(found: &Json) -> &'static str {
    match found {
        Json::Number(_) => "a number with a fraction or too many digits",
        Json::String(text) if text.is_empty() => "an empty text",
        Json::String(text) if lenient_json::is_damaged(text) => "a text that cannot be read whole",
        Json::String(_) => "a text that is too long",
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// An instant that cannot be read is left out: nothing depends on it.
fn occurred_at(webhook: &Webhook, event: &Json) -> Option<Timestamp> {
    let stamp = webhook.occurred_at.as_ref()?;
    let found = stamp.path.0.iter().find_map(|path| path.first(event))?;
    stamp.form.decode_instant(found)
}

fn text(template: &Text, scope: &TemplateValue) -> Result<String, String> {
    let text = template.plain(scope).map_err(|error| error.to_string())?;
    let line = template.place().line;
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or_else(|| format!("manifest line {line} gives nothing for this event"))?;
    if lenient_json::is_damaged(&text) {
        return Err(format!(
            "manifest line {line} gives a text that cannot be read whole"
        ));
    }
    Ok(text)
}

fn bounded(key: String) -> String {
    if key.len() <= DEDUPE_KEY_BYTES_MAX {
        key
    } else {
        hash_of(&key)
    }
}

fn hash_of(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, manifest::Manifest};

    const HUBSPOT: &str = r#"[{"eventId":531833541,"subscriptionId":3923621,"portalId":48807704,"appId":16111050,
        "occurredAt":1752613920733,"subscriptionType":"company.creation","attemptNumber":0,
        "objectId":138017612137,"changeFlag":"CREATED","changeSource":"CRM_UI","sourceId":"userId:76023669"}]"#;
    const XERO: &str = r#"{"events":[{"resourceUrl":"https://api.xero.com/api.xro/2.0/Contacts/717f2bfc",
        "resourceId":"717f2bfc","eventDateUtc":"2024-06-21T01:15:39.902","eventType":"UPDATE",
        "eventCategory":"CONTACT","tenantId":"c2cc9b6e","tenantType":"ORGANISATION"}],
        "firstEventSequence":1,"lastEventSequence":1,"entropy":"S0m3r4Nd0mt3xt"}"#;

    fn shipped(name: &str, body: &str) -> Result<Vec<ParsedEvent>, Unreadable> {
        let manifest = Catalog::load(name).expect("a shipped manifest");
        split(
            manifest.webhook.as_ref().expect("it has webhooks"),
            body.as_bytes(),
        )
    }

    fn only(events: Result<Vec<ParsedEvent>, Unreadable>) -> ParsedEvent {
        let mut events = events.expect("a readable body");
        assert_eq!(events.len(), 1);
        events.remove(0)
    }

    #[test]
    fn a_hubspot_event_is_known_by_its_content_not_by_the_attempt() {
        let first = only(shipped("hubspot", HUBSPOT));
        let again = HUBSPOT.replace("\"attemptNumber\":0", "\"attemptNumber\":3");
        assert_eq!(first, only(shipped("hubspot", &again)));
        assert_eq!(first.record, Some(RecordId::new("138017612137")));
        assert_eq!(
            first.stream.as_ref().map(StreamName::as_str),
            Some("companies")
        );
        assert_eq!(first.kind, Some(EventKind::Created));
        assert_eq!(first.occurred_at, "2025-07-15T21:12:00.733Z".parse().ok());
        assert_eq!(
            first.dedupe_key,
            "48807704:3923621:531833541:138017612137:1752613920733:"
        );
    }

    #[test]
    fn hubspots_generic_object_events_are_understood() {
        let body = r#"[{"eventId":1,"subscriptionId":2,"portalId":3,"occurredAt":1752613920733,
            "subscriptionType":"object.propertyChange","objectTypeId":"0-2","objectId":9007199254740993,
            "propertyName":"name","attemptNumber":0}]"#;
        let event = only(shipped("hubspot", body));
        assert_eq!(event.record, Some(RecordId::new("9007199254740993")));
        assert_eq!(event.kind, Some(EventKind::Updated));
    }

    #[test]
    fn a_xero_event_without_a_zone_is_utc_and_an_empty_batch_is_fine() {
        let event = only(shipped("xero", XERO));
        assert_eq!(event.record, Some(RecordId::new("717f2bfc")));
        assert_eq!(event.occurred_at, "2024-06-21T01:15:39.902Z".parse().ok());
        assert_eq!(
            shipped("xero", r#"{"events":[],"entropy":"x"}"#),
            Ok(Vec::new())
        );
    }

    #[test]
    fn a_bottlecrm_event_has_its_own_id_and_one_record() {
        let body = r#"{"id":"0f8fad5b-d9cb-469f-a165-70867728950e","event":"contact.deleted",
            "created_at":"2026-11-20T23:53:20.298782Z","org_id":"d361707d","data":{"id":"dc7f6595","first_name":"Ines"}}"#;
        let event = only(shipped("bottlecrm", body));
        assert_eq!(event.dedupe_key, "0f8fad5b-d9cb-469f-a165-70867728950e");
        assert_eq!(event.record, Some(RecordId::new("dc7f6595")));
        assert_eq!(
            event.stream.as_ref().map(StreamName::as_str),
            Some("contacts")
        );
        assert_eq!(event.kind, Some(EventKind::Deleted));
    }

    #[test]
    fn one_bad_event_does_not_spoil_the_others() {
        let body = HUBSPOT.replacen('[', r#"[{"eventId":1,"subscriptionType":"company.creation"},
            {"portalId":1,"subscriptionId":1,"eventId":2,"occurredAt":3,"subscriptionType":"company.creation","objectId":1.5},
            {"portalId":1,"subscriptionId":1,"eventId":4,"occurredAt":5,"subscriptionType":"deal.creation","objectId":6},"#, 1);
        let events = shipped("hubspot", &body).expect("a readable body");
        let problems: Vec<bool> = events.iter().map(|event| event.problem.is_some()).collect();
        assert_eq!(problems, [true, true, false, false]);
        assert!(events[0].dedupe_key.starts_with("sha256:"));
        assert_eq!(events[2].stream, None);
        assert_eq!(events[3].record, Some(RecordId::new("138017612137")));
    }

    #[test]
    fn half_a_surrogate_pair_in_a_value_does_not_hide_which_record_an_event_is_about() {
        let cut = HUBSPOT.replace(
            "\"changeSource\":\"CRM_UI\"",
            "\"propertyValue\":\"Ghent \\ud83d\"",
        );
        let event = only(shipped("hubspot", &cut));
        assert_eq!(event.record, Some(RecordId::new("138017612137")));
        assert_eq!(event.problem, None);
        let cut = HUBSPOT.replace("138017612137", "\"1380\\ud83d\"");
        let event = only(shipped("hubspot", &cut));
        let problem = event.problem.expect("the id is what counts");
        assert!(problem.contains("cannot be read whole"), "{problem}");
    }

    #[test]
    fn a_body_that_means_two_things_or_nothing_is_unreadable() {
        for bad in [
            "",
            "{}",
            r#"{"events":[{"resourceId":"a","resourceId":"b"}]}"#,
            r#"{"events":null}"#,
        ] {
            assert!(shipped("xero", bad).is_err(), "{bad}");
        }
        let many = format!("[{}]", vec!["{}"; EVENTS_MAX + 1].join(","));
        assert!(shipped("hubspot", &many).is_err());
    }

    #[test]
    fn stripe_events_snapshot_and_thin_give_their_object() {
        let manifest = Manifest::parse(
            "stripe.yaml",
            include_str!("../tests/data/stripe-events.yaml"),
        );
        let manifest = manifest.unwrap_or_else(|error| panic!("{error}"));
        let webhook = manifest.webhook.as_ref().expect("it has webhooks");
        let snapshot =
            br#"{"id":"evt_123","object":"event","type":"invoice.paid","created":1710492000,
            "livemode":true,"data":{"object":{"id":"in_123","customer":"cus_123"}}}"#;
        let event = only(split(webhook, snapshot));
        assert_eq!(event.dedupe_key, "evt_123");
        assert_eq!(event.record, Some(RecordId::new("in_123")));
        assert_eq!(event.occurred_at, Some(Timestamp::from_secs(1_710_492_000)));
        let thin = br#"{"id":"evt_234","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered",
            "livemode":true,"created":"2022-02-15T00:27:45.330Z"}"#;
        let event = only(split(webhook, thin));
        assert_eq!(
            (event.dedupe_key.as_str(), event.stream, event.problem),
            ("evt_234", None, None)
        );
    }
}
