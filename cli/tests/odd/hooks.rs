//! Webhooks that come twice and out of order with bodies of long ago, and writes that land when nobody waits any more.

use crate::kit::{Asked, Mock, Site, json};

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
