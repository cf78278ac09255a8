//! A changed configuration is taken over by what runs: on `apply`, and on SIGHUP.

use serde_json::Value as Json;

use crate::support::{Site, Up};

/// The configuration with one more field, by which it can be seen what a worker works by.
fn with_website(site: &Site) -> String {
    site.configuration()
        .replace("phone: {}", "phone: {}, website: {}")
}

/// Whether a whole comparison of now looks at the website.
async fn compares_websites(site: &Site) -> bool {
    site.sync(0).await;
    let links = site.json(0, &["links", "customers"]).await;
    let items = links["items"].as_array().expect("a list");
    items
        .iter()
        .any(|link| link["base"].get("website").is_some())
}

fn notices(status: &Json) -> &[Json] {
    status["notices"].as_array().expect("a list")
}

#[tokio::test]
async fn what_was_applied_is_taken_over_by_a_running_tandem() {
    let site = Site::start(3).await;
    let up = site.up().await;
    assert!(!compares_websites(&site).await);
    site.write_config(&with_website(&site));
    let applied = site.tandem(&["apply"]).await.expect(0);
    assert!(
        applied.out.contains("takes it over within seconds"),
        "{applied:?}"
    );
    // It looks every second whether something was applied.
    let mut looks = 0;
    while !compares_websites(&site).await {
        looks += 1;
        assert!(looks < 60, "it was never taken over");
    }
    up.stop().await;
}

#[tokio::test]
async fn a_hangup_reads_the_file_again_and_keeps_the_old_one_when_it_is_wrong() {
    let site = Site::start(3).await;
    let up = site.up().await;
    assert!(!compares_websites(&site).await);
    site.write_config(&with_website(&site).replace("website: {}", "website: { a: no_such_field }"));
    up.hang_up();
    let told = site
        .until(&["status"], |status| !notices(status).is_empty())
        .await;
    let text = notices(&told)[0]["text"].as_str().expect("a text");
    assert!(
        text.contains("the old one is kept") && text.contains("no_such_field"),
        "{text}"
    );
    let shown = site.tandem(&["status"]).await.expect(0).out;
    assert!(shown.contains("the old one is kept"), "{shown}");
    assert!(
        !compares_websites(&site).await,
        "it goes on with the old one"
    );

    site.write_config(&with_website(&site));
    up.hang_up();
    site.until(&["status"], |status| notices(status).is_empty())
        .await;
    assert!(compares_websites(&site).await);
    let exported = site.tandem(&["export"]).await.expect(0).out;
    assert!(exported.contains("website"), "{exported}");
    all_mistakes_are_named(&site, &up).await;
    empty_file_keeps_all(&site, &up).await;
    up.stop().await;
}

/// Of form and of meaning, in every part of the file.
async fn all_mistakes_are_named(site: &Site, up: &Up) {
    let wrong = site
        .configuration()
        .replace("timeout_secs: 5, requests", "timeout_sec: 5, requests")
        .replacen("name: {}", "name: { equalty: exact }", 1)
        .replace("city: {}", "city: { a: no_such_field, b: nor_this }")
        .replace("poll_a: manual", "poll_a: sometimes")
        .replace("match: [email, name]", "match: [email, shoe_size]")
        .replace("env: BOOKS_HOOK", "env: NO_SUCH_VARIABLE");
    site.write_config(&wrong);
    up.hang_up();
    let told = site
        .until(&["status"], |status| {
            notices(status)
                .iter()
                .any(|one| one["text"].to_string().contains("mistakes"))
        })
        .await;
    let text = notices(&told)[0]["text"].as_str().expect("a text");
    for part in [
        "timeout_sec",
        "equalty",
        "no_such_field",
        "nor_this",
        "sometimes",
        "shoe_size",
        "NO_SUCH_VARIABLE",
    ] {
        assert!(text.contains(part), "{part} is not named: {text}");
    }
}

async fn empty_file_keeps_all(site: &Site, up: &Up) {
    site.write_config("{}");
    up.hang_up();
    let names = "does not name the sync customers, the connection";
    let told = site
        .until(&["status"], |status| {
            notices(status)
                .iter()
                .any(|one| one["text"].to_string().contains(names))
        })
        .await;
    assert_eq!(told["syncs"][0]["name"], "customers");
}
