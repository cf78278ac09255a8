//! The bodies of the vendors' webhooks.

use serde::Serialize;

use crate::clock::iso_millis_without_zone;
use crate::config::SimConfig;
use crate::state::Origin;
use crate::world::{Happening, Notice};

const PORTAL_ID: u64 = 48_807_704;
const APP_ID: u64 = 16_111_050;
const SUBSCRIPTION_OF_CREATIONS: u64 = 3_923_621;
const SUBSCRIPTION_OF_DELETIONS: u64 = 3_923_622;
const SUBSCRIPTION_OF_CHANGES: u64 = 3_923_623;
/// Event ids of the CRM count up from here.
const FIRST_EVENT_ID: u64 = 531_833_541;

/// One event of a HubSpot webhook; the body is an array of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CrmEvent<'a> {
    event_id: u64,
    subscription_id: u64,
    portal_id: u64,
    app_id: u64,
    /// Milliseconds by the CRM's own clock.
    occurred_at: i64,
    subscription_type: &'static str,
    /// 0 at first, then one more for each repeat.
    attempt_number: u32,
    object_id: u64,
    change_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    property_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    property_value: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FinanceBody<'a> {
    events: Vec<FinanceEvent<'a>>,
    first_event_sequence: u64,
    last_event_sequence: u64,
    entropy: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FinanceEvent<'a> {
    resource_url: String,
    resource_id: &'a str,
    /// UTC by the finance system's own clock, without saying so.
    event_date_utc: String,
    event_type: &'static str,
    event_category: &'static str,
    tenant_id: &'a str,
    tenant_type: &'static str,
}

/// A batch of notices with the number of its first event.
pub(super) struct Batch {
    pub notices: Vec<Notice>,
    pub first_sequence: u64,
}

/// The CRM's body; it differs from attempt to attempt by the attempt's number.
pub(super) fn crm_body(batch: &Batch, attempt: u32) -> Vec<u8> {
    let numbered = (batch.first_sequence..).zip(&batch.notices);
    let events: Vec<_> = numbered
        .map(|(sequence, notice)| crm_event(sequence, notice, attempt))
        .collect();
    to_bytes(&events)
}

fn crm_event(sequence: u64, notice: &Notice, attempt: u32) -> CrmEvent<'_> {
    let (subscription_id, subscription_type, changed) = match &notice.what {
        Happening::Created => (SUBSCRIPTION_OF_CREATIONS, "company.creation", None),
        Happening::Archived => (SUBSCRIPTION_OF_DELETIONS, "company.deletion", None),
        Happening::PropertyChanged { property, value } => (
            SUBSCRIPTION_OF_CHANGES,
            "company.propertyChange",
            Some((*property, value.as_str())),
        ),
        // The CRM's world never says this; a property change without a property is the nearest.
        Happening::Updated => (SUBSCRIPTION_OF_CHANGES, "company.propertyChange", None),
    };
    CrmEvent {
        event_id: FIRST_EVENT_ID + sequence,
        subscription_id,
        portal_id: PORTAL_ID,
        app_id: APP_ID,
        occurred_at: notice.at_ms,
        subscription_type,
        attempt_number: attempt,
        // CRM ids are minted from a counter, so they are numbers.
        object_id: notice.id.parse().unwrap_or_default(),
        change_source: match notice.by {
            Origin::Api => "INTEGRATION",
            Origin::User | Origin::Seed => "CRM_UI",
        },
        property_name: changed.map(|(property, _)| property),
        property_value: changed.map(|(_, value)| value),
    }
}

/// The finance system's body, the same for every attempt.
pub(super) fn finance_body(batch: &Batch, config: &SimConfig, base_url: &str) -> Vec<u8> {
    let last_sequence = batch.first_sequence + batch.notices.len().saturating_sub(1) as u64;
    let event = |notice| finance_event(notice, &config.credentials.tenant_id, base_url);
    to_bytes(&FinanceBody {
        events: batch.notices.iter().map(event).collect(),
        first_event_sequence: batch.first_sequence,
        last_event_sequence: last_sequence,
        entropy: format!("{:016X}", last_sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    })
}

fn finance_event<'a>(notice: &'a Notice, tenant_id: &'a str, base_url: &str) -> FinanceEvent<'a> {
    FinanceEvent {
        resource_url: format!("{base_url}/api.xro/2.0/Contacts/{}", notice.id),
        resource_id: &notice.id,
        event_date_utc: iso_millis_without_zone(notice.at_ms),
        event_type: match &notice.what {
            Happening::Created => "CREATE",
            Happening::Updated | Happening::PropertyChanged { .. } | Happening::Archived => {
                "UPDATE"
            }
        },
        event_category: "CONTACT",
        tenant_id,
        tenant_type: "ORGANISATION",
    }
}

fn to_bytes(body: &impl Serialize) -> Vec<u8> {
    // Only texts and numbers: nothing in these bodies can fail to serialise.
    serde_json::to_vec(body).expect("a webhook body of texts and numbers serialises")
}
