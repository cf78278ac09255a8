//! What a system makes of a value is its form of the value: it is never written back over the original, a person is
//! told once, and a later edit of it is an edit.

use serde_json::Value as Json;

use crate::kit::{Mock, Site, json};

fn ann(city: &str) -> Json {
    json!({ "name": "Ann", "email": "ann@x.example", "city": city, "note": "short" })
}

#[tokio::test]
async fn a_default_for_an_empty_field_does_not_fill_it_where_it_is_empty() {
    let (a, b) = (
        Mock::plain(1).await,
        Mock::odd(500, |books, asked| {
            let mut answer = books.answer(asked);
            answer.body = answer
                .body
                .replace("\"city\":null", "\"city\":\"Unknown\"")
                .replace("\"city\":\"\"", "\"city\":\"Unknown\"");
            answer
        })
        .await,
    );
    a.books().add(&ann("Ghent"));
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    site.a.books().edit("1", &json!({ "city": "" }));
    site.until("b is emptied", async || {
        site.b.books().text("500", "city").is_empty()
    })
    .await;
    site.rests().await;
    assert_eq!(site.a.books().text("1", "city"), "");

    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("b is filled again", async || {
        site.b.books().text("500", "city") == "Lyon"
    })
    .await;
    site.rests().await;
    assert_eq!(site.a.books().text("1", "city"), "Lyon");
}
