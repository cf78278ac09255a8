use http::Method;
use serde_json::{Value, json};
use tandem_simulator::{Field, SimConfig, SimKind, WriteOp};

use crate::support::{Answer, Caller, finance, record, start, token_answer};

const CONTACTS: &str = "/api.xro/2.0/Contacts";
const ACME: &str = r#"{"Contacts":[{"Name":"Acme","EmailAddress":" Office@ACME.example ","CreditLimit":12.345,
    "Phones":[{"PhoneType":"DEFAULT","PhoneNumber":"+49 30 1"}],
    "Addresses":[{"AddressType":"STREET","City":"Berlin","Country":"Germany"}],"AccountNumber":"t-1"}]}"#;

fn ids(answer: &Answer) -> Vec<String> {
    answer.texts("Contacts", "/ContactID")
}

async fn create(caller: &Caller, body: &str, key: &str) -> Answer {
    caller
        .try_call(Method::PUT, CONTACTS, body, &[("idempotency-key", key)])
        .await
        .expect("an answer")
}

#[tokio::test]
async fn a_token_and_the_tenant_are_required() {
    let system = finance(5).await;
    let token = token_answer(&system).await;
    assert_eq!(
        (&token.body["expires_in"], &token.body["token_type"]),
        (&json!(1_800), &json!("Bearer"))
    );
    assert_eq!(Caller::anonymous(&system).get(CONTACTS).await.status, 401);
    let bearer = format!(
        "Bearer {}",
        token.body["access_token"].as_str().expect("a token")
    );
    let no_tenant = Caller::anonymous(&system).with("authorization", &bearer);
    assert_eq!(no_tenant.get(CONTACTS).await.status, 403);
    assert_eq!(
        Caller::of_finance(&system).await.get(CONTACTS).await.status,
        200
    );
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let system = start(SimConfig {
        token_lifetime_secs: 0,
        ..SimConfig::new(SimKind::Finance)
    })
    .await;
    assert_eq!(
        Caller::of_finance(&system).await.get(CONTACTS).await.status,
        401
    );
}

#[tokio::test]
async fn wrong_client_credentials_get_no_token() {
    let system = finance(0).await;
    let caller = Caller::anonymous(&system).with("authorization", "Basic d3Jvbmc6d3Jvbmc=");
    let answer = caller
        .call(
            Method::POST,
            "/connect/token",
            "grant_type=client_credentials",
        )
        .await;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (401, &json!("invalid_client"))
    );
}

#[tokio::test]
async fn paging_gives_every_contact_once_in_order_of_update() {
    let system = finance(150).await;
    let caller = Caller::of_finance(&system).await;
    let mut seen = Vec::new();
    for page in 1.. {
        let answer = caller
            .get(&format!("{CONTACTS}?page={page}&pageSize=50"))
            .await;
        if ids(&answer).is_empty() {
            break;
        }
        seen.extend(ids(&answer));
    }
    let mut held = system.state().records;
    held.sort_by_key(|record| (record.updated_at, record.id.clone()));
    assert_eq!(
        seen,
        held.into_iter().map(|record| record.id).collect::<Vec<_>>()
    );
    assert_eq!(
        caller
            .get(&format!("{CONTACTS}?pageSize=1001"))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn if_modified_since_gives_what_changed_at_or_after_it() {
    let system = finance(30).await;
    let caller = Caller::of_finance(&system).await;
    let id = system.state().records[4].id.clone();
    system
        .edit(&id, Field::City, "Oslo")
        .expect("a live record");
    let answer = caller.get(&format!("{CONTACTS}/{id}")).await;
    let at = answer.texts("Contacts", "/UpdatedDateUTC").remove(0);
    let ms: i64 = at
        .trim_start_matches("/Date(")
        .trim_end_matches("+0000)/")
        .parse()
        .expect("milliseconds");
    assert_eq!(ms, record(&system, &id).updated_at);
    for (since_ms, expected) in [(ms, vec![id]), (ms + 1, vec![])] {
        let since = jiff::Timestamp::from_millisecond(since_ms)
            .expect("in range")
            .strftime("%Y-%m-%dT%H:%M:%S%.3f");
        let header = [("if-modified-since", &*since.to_string())];
        let answer = caller
            .try_call(Method::GET, CONTACTS, "", &header)
            .await
            .expect("an answer");
        assert_eq!(ids(&answer), expected);
    }
}

#[tokio::test]
async fn a_created_contact_keeps_its_text_and_is_rounded_to_cents() {
    let system = finance(0).await;
    let answer = create(&Caller::of_finance(&system).await, ACME, "k-1").await;
    let contact = &answer.body["Contacts"][0];
    assert_eq!(contact["EmailAddress"], " Office@ACME.example ");
    assert_eq!(contact["CreditLimit"].to_string(), "12.35");
    assert_eq!(
        contact.pointer("/Phones/0/PhoneNumber"),
        Some(&json!("+49 30 1"))
    );
    assert_eq!(contact.pointer("/Addresses/0/City"), Some(&json!("Berlin")));
    assert_eq!(
        (&contact["ContactStatus"], &contact["AccountNumber"]),
        (&json!("ACTIVE"), &json!("t-1"))
    );
    let write = system.state().writes.remove(0);
    assert_eq!(
        (write.op, write.idempotency_key.as_deref()),
        (WriteOp::Create, Some("k-1"))
    );
}

#[tokio::test]
async fn the_same_idempotency_key_creates_once() {
    let system = finance(0).await;
    let caller = Caller::of_finance(&system).await;
    let (first, second) = (
        create(&caller, ACME, "k-1").await,
        create(&caller, ACME, "k-1").await,
    );
    assert_eq!(first.body, second.body);
    assert_eq!(
        (system.state().records.len(), system.state().writes.len()),
        (1, 1)
    );
    let other = create(&caller, &ACME.replace("Acme", "Bolt"), "k-1").await;
    assert_eq!(other.status, 400, "a key belongs to one request");
    create(&caller, ACME, "k-2").await;
    assert_eq!(system.state().records.len(), 2, "names are not kept unique");
}

#[tokio::test]
async fn support_for_idempotency_keys_can_be_switched_off() {
    let system = start(SimConfig {
        records: 0,
        honour_idempotency_key: false,
        ..SimConfig::new(SimKind::Finance)
    })
    .await;
    let caller = Caller::of_finance(&system).await;
    create(&caller, ACME, "k-1").await;
    create(&caller, ACME, "k-1").await;
    assert_eq!(system.state().records.len(), 2);
}

#[tokio::test]
async fn an_empty_name_is_a_validation_error() {
    let system = finance(0).await;
    let caller = Caller::of_finance(&system).await;
    for body in [
        r#"{"Contacts":[{"Name":" "}]}"#,
        r#"{"Contacts":[{"EmailAddress":"a@b.example"}]}"#,
    ] {
        let answer = create(&caller, body, "k").await;
        assert_eq!(
            (answer.status, &answer.body["Type"]),
            (400, &json!("ValidationException"))
        );
        let message = answer
            .body
            .pointer("/Elements/0/ValidationErrors/0/Message")
            .and_then(Value::as_str);
        assert!(
            message.is_some_and(|message| message.contains("name")),
            "{message:?}"
        );
    }
    assert!(system.state().records.is_empty());
}

#[tokio::test]
async fn an_update_changes_only_what_it_mentions_and_null_clears() {
    let system = finance(0).await;
    let caller = Caller::of_finance(&system).await;
    let id = ids(&create(&caller, ACME, "k").await).remove(0);
    let body = r#"{"Contacts":[{"EmailAddress":null,"CreditLimit":null,"Addresses":[{"AddressType":"STREET","City":"Oslo"}]}]}"#;
    assert_eq!(
        caller
            .call(Method::POST, &format!("{CONTACTS}/{id}"), body)
            .await
            .status,
        200
    );
    let fields = record(&system, &id).fields;
    let values = [
        Field::Name,
        Field::Email,
        Field::CreditLimit,
        Field::City,
        Field::Country,
    ]
    .map(|field| fields.get(field).to_owned());
    assert_eq!(values, ["Acme", "", "", "Oslo", "Germany"]);
    assert_eq!(
        caller
            .call(Method::POST, &format!("{CONTACTS}/none"), body)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn an_archived_contact_is_listed_only_on_demand() {
    let system = finance(0).await;
    let caller = Caller::of_finance(&system).await;
    let id = ids(&create(&caller, ACME, "k").await).remove(0);
    let body = r#"{"Contacts":[{"ContactStatus":"ARCHIVED"}]}"#;
    caller
        .call(Method::POST, &format!("{CONTACTS}/{id}"), body)
        .await;
    assert!(ids(&caller.get(CONTACTS).await).is_empty());
    assert_eq!(
        ids(&caller
            .get(&format!("{CONTACTS}?includeArchived=true"))
            .await),
        std::slice::from_ref(&id)
    );
    let state = record(&system, &id);
    assert_eq!(
        (state.archived, state.fields.get(Field::Active)),
        (true, "false")
    );
    assert_eq!(system.state().writes[1].op, WriteOp::Archive);
}

#[tokio::test]
async fn an_edit_between_two_pages_hides_a_contact_in_order_of_update_but_not_in_order_of_id() {
    let system = finance(40).await;
    let caller = Caller::of_finance(&system).await;
    let all = system.state().records.len();
    for (order, missed) in [("", 1), ("&order=ContactID", 0)] {
        let page = |number: u32| {
            format!("{CONTACTS}?page={number}&pageSize=10&includeArchived=true{order}")
        };
        let mut seen = ids(&caller.get(&page(1)).await);
        system
            .edit(&seen[0], Field::City, "Ghent")
            .expect("it is there");
        for number in 2..=5 {
            seen.extend(ids(&caller.get(&page(number)).await));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(all - seen.len(), missed, "{order}");
    }
    let unknown = caller.get(&format!("{CONTACTS}?order=Website")).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn contacts_are_found_by_ids_and_by_where() {
    let system = finance(20).await;
    let caller = Caller::of_finance(&system).await;
    let id = ids(&create(&caller, ACME, "k").await).remove(0);
    let other = system.state().records[0].id.clone();
    let both = ids(&caller
        .get(&format!("{CONTACTS}?IDs={id},{other},unknown"))
        .await);
    assert_eq!(both, [other, id.clone()]);
    for condition in [
        "EmailAddress%3D%3D%22office%40acme.example%22",
        "Name==%22ACME%22",
        "AccountNumber==%22t-1%22",
    ] {
        assert_eq!(
            ids(&caller.get(&format!("{CONTACTS}?where={condition}")).await),
            std::slice::from_ref(&id),
            "{condition}"
        );
    }
    assert_eq!(
        caller
            .get(&format!("{CONTACTS}?where=Website==%22x%22"))
            .await
            .status,
        400
    );
}
