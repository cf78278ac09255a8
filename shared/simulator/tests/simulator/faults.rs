use http::Method;
use tandem_simulator::{Fault, Loss, SimConfig, SimKind, Simulator};

use crate::support::{Caller, start};

const COMPANIES: &str = "/crm/v3/objects/companies";
const ACME: &str = r#"{"properties":{"name":"Acme"}}"#;

async fn hasty_crm() -> Simulator {
    start(SimConfig {
        records: 0,
        hang_secs: 0.02,
        ..SimConfig::new(SimKind::Crm)
    })
    .await
}

/// The status of a create that meets this fault, if any, and the number of companies afterwards.
async fn create_under(fault: Fault) -> (Option<u16>, usize) {
    let system = hasty_crm().await;
    system.fail_next_write(fault);
    let caller = Caller::of_crm(&system);
    let answer = caller.try_call(Method::POST, COMPANIES, ACME, &[]).await;
    assert_eq!(system.state().counters.faults, 1);
    (
        answer.map(|answer| answer.status),
        system.state().records.len(),
    )
}

#[tokio::test]
async fn a_fault_before_the_effect_leaves_no_effect() {
    assert_eq!(create_under(Fault::ServerError).await, (Some(500), 0));
    assert_eq!(create_under(Fault::Unavailable).await, (Some(503), 0));
    assert_eq!(create_under(Fault::RateLimited).await, (Some(429), 0));
    assert_eq!(create_under(Fault::Hang).await, (None, 0));
}

#[tokio::test]
async fn a_lost_response_leaves_the_effect() {
    assert_eq!(
        create_under(Fault::LostResponse(Loss::Dropped)).await,
        (None, 1)
    );
    assert_eq!(
        create_under(Fault::LostResponse(Loss::ServerError)).await,
        (Some(500), 1)
    );
    assert_eq!(
        create_under(Fault::LostResponse(Loss::Hang)).await,
        (None, 1)
    );
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let system = hasty_crm().await;
    system.fail_next(Fault::RateLimited);
    let answer = Caller::of_crm(&system).get(COMPANIES).await;
    assert_eq!(
        (answer.status, answer.headers["retry-after"].to_str().ok()),
        (429, Some("1"))
    );
}

#[tokio::test]
async fn a_lost_create_with_a_key_is_answered_when_it_is_repeated() {
    let system = start(SimConfig {
        records: 0,
        ..SimConfig::new(SimKind::Finance)
    })
    .await;
    let caller = Caller::of_finance(&system).await;
    system.fail_next_write(Fault::LostResponse(Loss::Dropped));
    let body = r#"{"Contacts":[{"Name":"Acme"}]}"#;
    let create = || {
        caller.try_call(
            Method::PUT,
            "/api.xro/2.0/Contacts",
            body,
            &[("idempotency-key", "k")],
        )
    };
    assert!(create().await.is_none());
    let id = create()
        .await
        .expect("an answer")
        .texts("Contacts", "/ContactID")
        .remove(0);
    assert_eq!(
        system
            .state()
            .records
            .into_iter()
            .map(|record| record.id)
            .collect::<Vec<_>>(),
        [id]
    );
}

#[tokio::test]
async fn at_rate_one_every_request_fails_until_it_is_quiet() {
    let system = start(SimConfig {
        faults: 1.0,
        hang_secs: 0.0,
        ..SimConfig::new(SimKind::Crm)
    })
    .await;
    let caller = Caller::of_crm(&system);
    for _ in 0..20 {
        let answer = caller.try_call(Method::GET, COMPANIES, "", &[]).await;
        assert!(answer.is_none_or(|answer| answer.status >= 429));
    }
    assert_eq!(system.state().counters.faults, 20);
    let quiet = Caller::anonymous(&system)
        .call(Method::POST, "/_sim/quiet", "")
        .await;
    assert_eq!(
        (quiet.status, caller.get(COMPANIES).await.status),
        (200, 200)
    );
}

#[tokio::test]
async fn the_fault_rate_is_set_over_http() {
    let system = start(SimConfig {
        hang_secs: 0.0,
        ..SimConfig::new(SimKind::Crm)
    })
    .await;
    let outside = Caller::anonymous(&system);
    assert_eq!(
        outside
            .call(Method::POST, "/_sim/faults", r#"{"rate":1}"#)
            .await
            .status,
        200
    );
    Caller::of_crm(&system)
        .try_call(Method::GET, COMPANIES, "", &[])
        .await;
    assert_eq!(system.state().counters.faults, 1);
    assert_eq!(
        outside
            .call(Method::POST, "/_sim/faults", r#"{"speed":1}"#)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_system_that_holds_counts_requests_and_answers_them_when_it_lets_go() {
    let system = hasty_crm().await;
    let outside = Caller::anonymous(&system);
    let say = async |body| outside.call(Method::POST, "/_sim/hold", body).await.status;
    assert_eq!(say(r#"{"held":true}"#).await, 200);
    let caller = Caller::of_crm(&system);
    let create = caller.try_call(Method::POST, COMPANIES, ACME, &[]);
    let meanwhile = async {
        while system.state().counters.requests == 0 {
            tokio::task::yield_now().await;
        }
        let done = system.state().records.len();
        assert_eq!(say(r#"{"held":"no"}"#).await, 400);
        assert_eq!(say(r#"{"held":false}"#).await, 200);
        done
    };
    let (answer, done_meanwhile) = tokio::join!(create, meanwhile);
    assert_eq!(done_meanwhile, 0);
    assert_eq!(answer.expect("it is answered").status, 201);
    assert_eq!(system.state().records.len(), 1);
}
