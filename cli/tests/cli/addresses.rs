//! A connection whose address is pointed at another account: nothing is read from it or written to it until a person
//! has said which account it is.

use serde_json::Value as Json;
use tandem_simulator::{SimConfig, SimKind, Simulator};

use crate::support::Site;

/// The configuration with another address of the CRM.
fn leading_to(site: &Site, base_url: &str) -> String {
    let own = format!("base_url: {}", site.crm.base_url());
    site.configuration()
        .replacen(&own, &format!("base_url: {base_url}"), 1)
}

/// Another account, with other records.
async fn another_account() -> Simulator {
    let other = SimConfig {
        records: 2,
        ..SimConfig::new(SimKind::Crm)
    };
    Simulator::start(other).await.expect("the other CRM starts")
}

fn requests(system: &Simulator) -> u64 {
    system.state().counters.requests
}

fn pause_of_crm(status: &Json) -> &Json {
    let connections = status["connections"].as_array().expect("a list");
    let crm = connections.iter().find(|one| one["name"] == "crm");
    &crm.expect("it is there")["pause"]
}

async fn until_paused(site: &Site) -> Json {
    let status = site
        .until(&["status"], |status| !pause_of_crm(status).is_null())
        .await;
    pause_of_crm(&status).clone()
}

async fn until_it_goes_on(site: &Site) {
    site.until(&["status"], |status| pause_of_crm(status).is_null())
        .await;
}

async fn links(site: &Site) -> usize {
    let links = site.json(0, &["links", "customers"]).await;
    links["items"].as_array().expect("a list").len()
}

fn live(system: &Simulator) -> usize {
    system.state().records.len()
}

#[tokio::test]
async fn a_running_tandem_asks_nothing_of_another_account_and_goes_on_when_the_old_address_is_back()
{
    let site = Site::start(3).await;
    let other = another_account().await;
    let up = site.up().await;
    site.sync(0).await;
    assert_eq!(links(&site).await, 3);

    site.write_config(&leading_to(&site, &other.base_url()));
    for arguments in [&["apply", "--dry-run"][..], &["apply"]] {
        let told = site.tandem(arguments).await.expect(0).out;
        for part in [
            "! connection crm: its address is another",
            "(3 pairs)",
            &format!("linked under  hubspot at {}", site.crm.base_url()),
            &format!("now           hubspot at {}", other.base_url()),
            "tandem connections resume crm",
        ] {
            assert!(told.contains(part), "{part} is missing: {told}");
        }
    }
    let pause = until_paused(&site).await;
    let own = format!("hubspot at {}", site.crm.base_url());
    assert_eq!(pause["moved"]["linked_to"], own);
    for arguments in [&["status"][..], &["connections", "list"]] {
        let told = site.tandem(arguments).await.expect(0).out;
        assert!(
            told.contains("PAUSED") && told.contains("address"),
            "{told}"
        );
    }
    let refused = site.tandem(&["sync", "run", "customers"]).await;
    assert!(
        refused.code != 0 && refused.err.contains("put the old address back"),
        "{refused:?}"
    );
    assert_eq!(requests(&other), 0);

    site.write_config(&site.configuration());
    up.hang_up();
    until_it_goes_on(&site).await;
    site.sync(0).await;
    assert_eq!(requests(&other), 0);
    assert_eq!(
        (links(&site).await, live(&site.crm), live(&site.books)),
        (3, 3, 3)
    );
    up.stop().await;
}

#[tokio::test]
async fn a_start_with_another_address_waits_for_a_person_who_may_say_that_it_is_the_same_account() {
    let site = Site::start(3).await;
    let other = another_account().await;
    let up = site.up().await;
    site.sync(0).await;
    up.stop().await;

    let polled = "poll_a: every 1 second, poll_b: every 1 second";
    let polling = |text: String| text.replace("poll_a: manual, poll_b: manual", polled);
    site.write_config(&polling(leading_to(&site, &other.base_url())));
    let up = site.up().await;
    until_paused(&site).await;
    // The books are looked at by the same process, at the same moment as the CRM would be.
    site.until(&["status"], |status| {
        let connections = status["connections"].as_array().expect("a list");
        let books = connections.iter().find(|one| one["name"] == "books");
        books.expect("it is there")["health"]["state"] == "up"
    })
    .await;
    assert_eq!(requests(&other), 0);
    up.stop().await;

    // The same account by another name.
    let renamed = site.crm.base_url().replace("127.0.0.1", "localhost");
    site.write_config(&leading_to(&site, &renamed));
    let before = requests(&site.crm);
    let up = site.up().await;
    let pause = until_paused(&site).await;
    assert_eq!(pause["moved"]["address"], format!("hubspot at {renamed}"));
    assert_eq!(requests(&site.crm), before);
    let checked = site.tandem(&["check"]).await.expect(1).out;
    assert!(
        checked.contains("! connection crm: its address"),
        "{checked}"
    );
    let resumed = site.tandem(&["connections", "resume", "crm"]).await;
    assert_eq!(resumed.expect(0).out.trim(), "crm goes on");
    site.sync(0).await;
    assert_eq!(
        (links(&site).await, live(&site.crm), live(&site.books)),
        (3, 3, 3)
    );
    up.stop().await;

    let up = site.up().await;
    site.sync(0).await;
    site.tandem(&["check"]).await.expect(0);
    assert_eq!(requests(&other), 0);
    up.stop().await;
}

/// The configuration with a further connection to this address, which is side a of the sync.
fn with_other_side_a(site: &Site, base_url: &str, keeps_crm: bool) -> String {
    let own = site.configuration();
    let crm = format!(
        "  crm:\n    connector: hubspot\n    base_url: {}\n",
        site.crm.base_url()
    );
    let rest = "    credentials: { token: { env: CRM_TOKEN } }\n    limits: { timeout_secs: 5, requests_per_second: 10000 }\n";
    let other = format!("  crm2:\n    connector: hubspot\n    base_url: {base_url}\n");
    let both = format!("{other}{rest}{crm}");
    own.replacen(&crm, if keeps_crm { &both } else { &other }, 1)
        .replacen("connection: crm,", "connection: crm2,", 1)
}

#[tokio::test]
async fn a_sync_with_links_is_not_pointed_at_another_connection_but_its_connection_may_get_another_name()
 {
    let site = Site::start(3).await;
    let other = another_account().await;
    let up = site.up().await;
    site.sync(0).await;
    assert_eq!(links(&site).await, 3);

    let elsewhere = with_other_side_a(&site, &other.base_url(), true);
    site.write_config(&elsewhere);
    for arguments in [
        &["apply", "--dry-run"][..],
        &["apply"],
        &["apply", "--prune"],
    ] {
        let told = site.tandem(arguments).await.expect(3).err;
        for part in [
            "sync customers: its side a is crm2/companies",
            "3 pairs of records were linked with crm/companies",
            "Nothing was changed",
            "give the sync another name",
        ] {
            assert!(told.contains(part), "{part} is missing: {told}");
        }
    }
    up.hang_up();
    site.until(&["status"], |status| {
        status.to_string().contains("its side a is crm2/companies")
    })
    .await;
    up.stop().await;
    let start = site.tandem(&["up"]).await.expect(3).err;
    assert!(start.contains("its side a is crm2/companies"), "{start}");
    assert_eq!(requests(&other), 0);

    // The same account under another name.
    site.write_config(&with_other_side_a(&site, &site.crm.base_url(), false));
    site.tandem(&["apply", "--prune"]).await.expect(0);
    let up = site.up().await;
    site.sync(0).await;
    assert_eq!(
        (links(&site).await, live(&site.crm), live(&site.books)),
        (3, 3, 3)
    );
    up.stop().await;
}

#[tokio::test]
async fn what_apply_would_refuse_is_not_in_order_for_check_and_no_sync_is_planned_or_verified_by_it()
 {
    let site = Site::start(3).await;
    let other = another_account().await;
    let up = site.up().await;
    site.sync(0).await;
    up.stop().await;
    let planned = ["sync", "plan"];
    let verified = ["sync", "verify"];

    site.write_config(&with_other_side_a(&site, &other.base_url(), true));
    let checked = site.tandem(&["check"]).await.expect(1).out;
    assert!(checked.contains("NOT in order"), "{checked}");
    let reason = "sync customers: its side a is crm2/companies";
    assert!(checked.contains(reason), "{checked}");
    let json = site.json(1, &["check"]).await;
    assert_eq!(json["other_ends"][0]["links"], 3);
    for verb in [planned, verified] {
        let told = site.tandem(&[&verb[..], &["customers"]].concat()).await;
        let told = told.expect(3).err;
        assert!(told.contains(reason), "{told}");
    }

    let renamed = site
        .configuration()
        .replacen("\n  customers:", "\n  buyers:", 1);
    site.write_config(&renamed);
    let checked = site.tandem(&["check"]).await.expect(1).out;
    assert!(checked.contains("sync customers: 3 links"), "{checked}");
    let json = site.json(1, &["check"]).await;
    assert_eq!(json["removed"][0]["name"], "customers");
    for verb in [planned, verified] {
        let told = site.tandem(&[&verb[..], &["buyers"]].concat()).await;
        let told = told.expect(3).err;
        assert!(told.contains("sync customers: 3 links"), "{told}");
    }
    site.write_config(&site.configuration());
    site.tandem(&["check"]).await.expect(0);
}
