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
use crate::manifest::{EventKind, RecordIds, Webhook};
use crate::path::Path;
use crate::strict_json;
use crate::template::{Scope, Text};
use crate::value_form::id_text;

/// A body with more events than this is not what a vendor sends.
pub const EVENTS_MAX: usize = 10_000;
/// Begins the key of an event of which every delivery is one of its own; whoever stores it adds what is unique.
pub const EACH: &str = "each-delivery:";
/// A longer dedupe key is replaced by its hash, since it is kept in an index.
const DEDUPE_KEY_BYTES_MAX: usize = 256;

/// One event of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedEvent {
    /// The same for every delivery of this event, and for no other event. Made of signed data only. One that begins
    /// with [`EACH`] tells nothing apart.
    pub dedupe_key: String,
    /// The stream of the record; `None` for a type of event that the manifest does not name, which is harmless.
    pub stream: Option<StreamName>,
    /// The record that it is about.
    pub record: Option<RecordId>,
    /// What happened to it.
    pub kind: Option<EventKind>,
    /// When it happened, by the system's clock.
    pub occurred_at: Option<Timestamp>,
    /// The same once more, where it is a local time that comes twice and does not say which it is.
    pub occurred_again: Option<Timestamp>,
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
    let whole = webhook.uses_body().then(|| document.clone());
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
    let body = whole.map(|whole| json_view::view(Arc::new(whole)));
    let mut parsed = Vec::with_capacity(events.len());
    for event in events {
        parsed.extend(parse_event(webhook, event, body.as_ref()));
        if parsed.len() > EVENTS_MAX {
            return Err(unreadable(format!(
                "its events name more than {EVENTS_MAX} records"
            )));
        }
    }
    Ok(parsed)
}

/// One event as Tandem counts them for each record that it names; one without a record if it names none.
fn parse_event(webhook: &Webhook, event: Json, body: Option<&TemplateValue>) -> Vec<ParsedEvent> {
    let event = Arc::new(event);
    let mut scope = Scope::default().with("event", json_view::view(Arc::clone(&event)));
    if let Some(body) = body {
        scope.add("body", body.clone());
    }
    let scope = scope.value();
    let key = match &webhook.key {
        Some(key) => text(key, &scope).map(bounded),
        None => Ok(format!("{EACH}{}", hash_of(&event.to_string()))),
    };
    let (key, understood) = match key {
        Ok(key) => (key, understand(webhook, &event, &scope)),
        Err(problem) => (String::new(), Err(problem)),
    };
    match understood {
        Ok(events) => (0..)
            .zip(events)
            .map(|(index, understood)| ParsedEvent {
                dedupe_key: numbered(&key, index),
                ..understood
            })
            .collect(),
        // Whatever its key is the key of, nobody has understood this one: it must not pass for what was taken before.
        Err(problem) => vec![broken(hash_of(&event.to_string()), problem)],
    }
}

/// The key of one of several records of an event; that of the first is the event's.
fn numbered(key: &str, index: usize) -> String {
    match index {
        0 => key.to_owned(),
        _ => bounded(format!("{key}#{index}")),
    }
}

fn broken(dedupe_key: String, problem: String) -> ParsedEvent {
    ParsedEvent {
        dedupe_key,
        stream: None,
        record: None,
        kind: None,
        occurred_at: None,
        occurred_again: None,
        problem: Some(problem),
    }
}

fn understand(
    webhook: &Webhook,
    event: &Json,
    scope: &TemplateValue,
) -> Result<Vec<ParsedEvent>, String> {
    let event_type = text(&webhook.event_type, scope)?;
    let known = webhook.types.get(&event_type);
    let (occurred_at, occurred_again) = occurred_at(webhook, event);
    let about = |record: Option<RecordId>| ParsedEvent {
        dedupe_key: String::new(),
        stream: known.map(|known| known.stream.value.clone()),
        record,
        kind: known.map(|known| known.kind),
        occurred_at,
        occurred_again,
        problem: None,
    };
    if known.is_none() {
        return Ok(vec![about(None)]);
    }
    let records = record_ids(webhook, event, scope)?;
    Ok(records.into_iter().map(Some).map(about).collect())
}

/// The ids of all records that an event is about, each once; at least one.
fn record_ids(
    webhook: &Webhook,
    event: &Json,
    scope: &TemplateValue,
) -> Result<Vec<RecordId>, String> {
    let (found, place) = match &webhook.record {
        RecordIds::Paths(paths) => {
            let mut places = paths.0.iter().map(|path| ids_at(path, event));
            let found = places.find(|found| !found.is_empty());
            let named: Vec<String> = paths.0.iter().map(|path| format!("`{path}`")).collect();
            (found.unwrap_or_default(), named.join(" or "))
        }
        RecordIds::Expression(ids) => {
            let value = ids.value(scope).map(|value| json_view::to_json(&value));
            let found = value.transpose()?.map(one_by_one).unwrap_or_default();
            (found, format!("manifest line {}", ids.expr().place().line))
        }
    };
    let mut records: Vec<RecordId> = Vec::with_capacity(found.len());
    for one in &found {
        let id =
            id_text(one).ok_or_else(|| format!("its record id is not an id: {}", shape(one)))?;
        let id = RecordId::new(id);
        if !records.contains(&id) {
            records.push(id);
        }
    }
    if records.is_empty() {
        return Err(format!("it names no record at {place}"));
    }
    Ok(records)
}

fn ids_at(path: &Path, event: &Json) -> Vec<Json> {
    let mut found = Vec::new();
    path.each(event, &mut |value| found.extend(one_by_one(value.clone())));
    found
}

fn one_by_one(value: Json) -> Vec<Json> {
    match value {
        Json::Array(elements) => elements,
        other => vec![other],
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
fn occurred_at(webhook: &Webhook, event: &Json) -> (Option<Timestamp>, Option<Timestamp>) {
    let stamp = webhook.occurred_at.as_ref();
    let found = stamp.and_then(|stamp| {
        let found = stamp.path.0.iter().find_map(|path| path.first(event))?;
        Some((stamp.decode(found), stamp.again(found)))
    });
    found.unwrap_or_default()
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
    fn ids_that_differ_in_the_thirtieth_digit_are_two() {
        let with_id =
            |id: &str| HUBSPOT.replace("\"objectId\":138017612137", &format!("\"objectId\":{id}"));
        let one = only(shipped(
            "hubspot",
            &with_id("123456789012345678901234567890"),
        ));
        let other = only(shipped(
            "hubspot",
            &with_id("123456789012345678901234567891"),
        ));
        assert_eq!((&one.problem, &other.problem), (&None, &None));
        assert_ne!(one.dedupe_key, other.dedupe_key);
        assert_eq!(
            one.record,
            Some(RecordId::new("123456789012345678901234567890"))
        );
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

    /// A manifest of a system that nobody named, whose webhook reads so.
    fn unnamed(webhook: &str, body: &str) -> Vec<ParsedEvent> {
        let text = format!(
            "manifest: 1\nname: x\ntitle: X\nauth: none\nstreams:\n  items:\n    id: {{ path: /id }}\n\
             \x20   fields: {{ name: {{ path: /name }} }}\n\
             \x20   list: {{ request: {{ method: GET, path: /items }}, records: /items }}\n\
             \x20   read: {{ request: {{ method: GET, path: '/items/{{{{ id }}}}' }}, records: '' }}\n\
             webhook:\n  signature: {{ scheme: github }}\n  types: {{ changed: {{ stream: items, kind: updated }} }}\n{webhook}"
        );
        let manifest = Manifest::parse("x.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
        let webhook = manifest.webhook.as_ref().expect("it has webhooks");
        split(webhook, body.as_bytes()).expect("a readable body")
    }

    fn ids(events: &[ParsedEvent]) -> Vec<&str> {
        let ids = events.iter().filter_map(|event| event.record.as_ref());
        ids.map(RecordId::as_str).collect()
    }

    #[test]
    fn an_event_about_several_records_is_one_of_each() {
        for (record, body) in [
            (
                "/ids",
                r#"{"key":"k","type":"changed","ids":["1","2","1",3]}"#,
            ),
            (
                "/rows/*/id",
                r#"{"key":"k","type":"changed","rows":[{"id":1},{"id":"2"},{"id":3}]}"#,
            ),
            (
                "=event.rows|map(attribute='id')|list",
                r#"{"key":"k","type":"changed","rows":[{"id":1},{"id":2},{"id":3}]}"#,
            ),
        ] {
            let webhook = format!(
                "  events: ''\n  key: '{{{{ event.key }}}}'\n  type: '{{{{ event.type }}}}'\n  record: \"{record}\"\n"
            );
            let events = unnamed(&webhook, body);
            assert_eq!(ids(&events), ["1", "2", "3"], "{record}");
            let keys: Vec<&str> = events
                .iter()
                .map(|event| event.dedupe_key.as_str())
                .collect();
            assert_eq!(keys, ["k", "k#1", "k#2"]);
        }
    }

    #[test]
    fn type_key_and_record_may_stand_outside_the_events() {
        let webhook = "  events: /events\n  key: '{{ body.delivery }}:{{ event.n }}'\n  type: '=body.kind'\n  record: =body.company\n";
        let body = r#"{"delivery":"d1","kind":"changed","company":77,"events":[{"n":1},{"n":2}]}"#;
        let events = unnamed(webhook, body);
        assert_eq!(ids(&events), ["77", "77"]);
        assert_eq!(events[1].dedupe_key, "d1:2");
    }

    #[test]
    fn what_cannot_be_understood_does_not_pass_for_what_was_taken_under_its_key() {
        let webhook = "  events: ''\n  key: '{{ event.key }}'\n  type: changed\n  record: /id\n";
        let taken = unnamed(webhook, r#"{"key":"k","id":"7"}"#);
        let broken = unnamed(webhook, r#"{"key":"k","id":{}}"#);
        let again = unnamed(webhook, r#"{"key":"k","id":{}}"#);
        assert!(broken[0].problem.is_some());
        assert_ne!(broken[0].dedupe_key, taken[0].dedupe_key);
        assert_eq!(broken[0].dedupe_key, again[0].dedupe_key);
    }

    #[test]
    fn events_that_nothing_tells_apart_are_kept_each() {
        let webhook = "  events: ''\n  duplicates: keep\n  type: changed\n  record: /id\n";
        let events = unnamed(webhook, r#"{"id":"7"}"#);
        assert_eq!(ids(&events), ["7"]);
        assert!(events[0].dedupe_key.starts_with(EACH));
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
