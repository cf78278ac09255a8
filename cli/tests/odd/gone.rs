//! "There is no such record" is not believed on one word; what comes back is known again; what only has the id of a
//! record that was known is not taken for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kit::{Answer, Asked, Books, Deletes, Manifest, Mock, Site, json};

/// A system whose reads by id know nothing while the switch is on.
async fn lagging(first_id: u64) -> (Mock, Arc<AtomicBool>) {
    let lags = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&lags);
    let behaves = move |books: &mut Books, asked: &Asked| {
        if switch.load(Ordering::SeqCst) && asked.method == "GET" && asked.id().is_some() {
            return Answer::no_such_record();
        }
        books.answer(asked)
    };
    (Mock::odd(first_id, behaves).await, lags)
}

async fn gone_for_a_moment(deletes: Deletes) {
    let (a, lags) = lagging(1).await;
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    let manifests = (Manifest::default(), Manifest::default());
    let site = Site::new(a, Mock::plain(500).await, manifests, deletes);
    let site = site.started().await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;

    let before = site.a.books().count(|asked| asked.reads("1"));
    lags.store(true, Ordering::SeqCst);
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    let event = json!({ "key": "u1", "type": "updated", "id": "1" });
    assert_eq!(site.hook("left", &[event]).await, 200);
    site.until("it was told that there is no such record", async || {
        site.a.books().count(|asked| asked.reads("1")) > before
    })
    .await;
    lags.store(false, Ordering::SeqCst);
    site.until("the edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    site.a.books().edit("1", &json!({ "city": "Turin" }));
    site.until("so does a later one", async || {
        site.b.books().all("city") == ["Turin"]
    })
    .await;
    assert_eq!(site.b.books().count(|asked| asked.method == "DELETE"), 0);
    assert_eq!(site.b.books().rows.len(), 1);
    let (code, said) = site.tandem(&["sync", "verify", "people"]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_record_that_is_gone_for_a_moment_stays_linked() {
    gone_for_a_moment(Deletes::Ignore).await;
}

#[tokio::test]
async fn a_record_that_is_gone_for_a_moment_does_not_delete_its_partner() {
    gone_for_a_moment(Deletes::Propagate).await;
}

#[tokio::test]
async fn a_new_record_that_cannot_be_read_yet_arrives_when_it_can() {
    let (a, lags) = lagging(1).await;
    let site = Site::up(a, Mock::plain(500).await).await;
    site.first_sync().await;
    lags.store(true, Ordering::SeqCst);
    site.a
        .books()
        .add(&json!({ "name": "New", "email": "new@x.example" }));
    site.until("it is looked for in vain", async || {
        site.a.books().count(|asked| asked.reads("1")) > 0
    })
    .await;
    lags.store(false, Ordering::SeqCst);
    site.until("it arrives", async || site.b.books().all("name") == ["New"])
        .await;
    site.rests().await;
}

#[tokio::test]
async fn a_record_out_of_the_bin_is_held_equal_again() {
    let (a, b) = (Mock::plain(1).await, Mock::plain(500).await);
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    let mut ann = site.a.books().rows.remove("1").expect("she is there");
    let event = json!({ "key": "d1", "type": "deleted", "id": "1" });
    site.hook("left", &[event]).await;
    site.until("the pair is left alone", async || {
        let links = site.listed("/syncs/people/links").await;
        links.iter().any(|link| link["state"] == "retired")
    })
    .await;
    ann.fields.insert("city".to_owned(), json!("Lyon"));
    site.a.books().rows.insert("1".to_owned(), ann);
    site.a.books().edit("1", &json!({}));
    site.until("the pair is held equal again", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    site.rests().await;
    assert_eq!(site.b.books().rows.len(), 1);
}

#[tokio::test]
async fn another_record_under_a_known_id_overwrites_nobody() {
    let (a, b) = (Mock::plain(1).await, Mock::plain(500).await);
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    let bob = json!({ "name": "Bob", "email": "bob@y.example", "city": "Bremen" });
    site.a.books().add_as("1", &bob);
    site.until("a person is asked", async || {
        !site.questions("replaced").await.is_empty()
    })
    .await;
    site.compare_whole().await;
    assert_eq!(site.b.books().text("500", "name"), "Ann");
    assert_eq!(site.b.books().text("500", "city"), "Ghent");
    assert_eq!(site.a.books().text("1", "name"), "Bob");
}
