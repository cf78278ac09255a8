//! Webhooks that come twice and out of order with bodies of long ago, and writes that land when nobody waits any more.

use std::sync::{Arc, Mutex};

use serde_json::Value as Json;

use crate::kit::{Answer, Asked, Books, Mock, Site, json};

#[tokio::test]
async fn webhooks_that_come_twice_and_out_of_order_with_old_bodies_bring_the_present_once() {
    let (a, b) = (Mock::plain(1).await, Mock::plain(500).await);
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    site.a.books().edit("1", &json!({ "city": "Turin" }));
    let event = |number: usize, city: &str| {
        json!({ "key": format!("u{number}"), "type": "updated", "id": "1",
            "at": format!("2020-01-01T00:00:0{number}Z"), "city": city })
    };
    let stale = [event(3, "Lyon"), event(1, "Rome"), event(2, "Oslo")];
    for _ in 0..3 {
        assert_eq!(site.hook("left", &stale).await, 200);
        assert_eq!(site.hook("left", &stale[..1]).await, 200);
    }
    site.until("b has the present", async || {
        site.b.books().all("city") == ["Turin"]
    })
    .await;
    site.rests().await;
    let sent = |asked: &Asked| asked.method == "PATCH";
    assert_eq!(site.b.books().count(sent), 1);
    assert_eq!(site.a.books().writes(), 0);
}

#[tokio::test]
async fn an_update_that_lands_late_does_not_win_over_the_newer_one() {
    let held: Arc<Mutex<Option<Json>>> = Arc::default();
    let late = Arc::clone(&held);
    let b = Mock::odd(500, move |books: &mut Books, asked: &Asked| {
        if asked.method != "PATCH" {
            return books.answer(asked);
        }
        let mut held = late.lock().expect("nobody panics");
        if asked.body["city"] == "Lyon" && held.is_none() {
            // Its gateway gives up; the system itself goes on.
            *held = Some(asked.body.clone());
            return Answer::new(504, &json!({ "message": "gateway time-out" }));
        }
        let answer = books.answer(asked);
        if let (Some(earlier), true) = (&*held, asked.body["city"] == "Turin") {
            if *earlier != Json::Null {
                books.edit("500", earlier);
            }
            *held = Some(Json::Null);
        }
        answer
    })
    .await;
    let a = Mock::plain(1).await;
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("the update is under way", async || {
        held.lock().expect("nobody panics").is_some()
    })
    .await;
    site.a.books().edit("1", &json!({ "city": "Turin" }));
    site.until("the late one has landed", async || {
        *held.lock().expect("nobody panics") == Some(Json::Null)
    })
    .await;
    site.compare_whole().await;
    site.until("both have the newer value", async || {
        site.a.books().all("city") == ["Turin"] && site.b.books().all("city") == ["Turin"]
    })
    .await;
    site.rests().await;
    assert_eq!(site.a.books().all("city"), ["Turin"]);
}
