//! What a system makes of a value is its form of the value: it is never written back over the original, a person is
//! told once, and a later edit of it is an edit.

use serde_json::Value as Json;

use crate::kit::{Deletes, Manifest, Mock, Site, json};

const LONG: &str = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch";

/// A pair of which b makes something else of what it is told.
async fn site(
    of_b: Manifest,
    kept: impl Fn(&str, Json) -> Json + Send + 'static,
    ann: &Json,
) -> Site {
    let (a, b) = (Mock::plain(1).await, Mock::plain(500).await);
    a.books().add(ann);
    b.books().kept = Box::new(kept);
    let site = Site::new(a, b, (Manifest::default(), of_b), Deletes::Ignore);
    let site = site.started().await;
    site.until("b has Ann", async || !site.b.books().all("name").is_empty())
        .await;
    site
}

fn text(value: &Json, form: impl Fn(&str) -> String) -> Json {
    value.as_str().map_or(Json::Null, |text| json!(form(text)))
}

/// Whatever b made of Ann's city and note, a keeps them, one question a field says so, and edits go both ways.
async fn the_source_stays(site: &Site, city: &str, note: &str, kept_note: &str) {
    site.rests().await;
    assert_eq!(site.a.books().text("1", "city"), city);
    site.a.books().edit("1", &json!({ "note": note }));
    site.until("b has its form of the note", async || {
        site.b.books().text("500", "note") == kept_note
    })
    .await;
    site.rests().await;
    assert_eq!(site.a.books().text("1", "note"), note);
    assert_eq!(site.a.books().text("1", "city"), city);
    let asked = site.questions("not_kept").await;
    let about = |field: &str| {
        let fits = |one: &&Json| one.to_string().contains(&format!("\"field\":\"{field}\""));
        asked.iter().filter(fits).count()
    };
    assert_eq!((about("city"), about("note")), (1, 1), "{asked:?}");

    site.b.books().edit("500", &json!({ "city": "Short" }));
    site.until("a has the edit", async || {
        site.a.books().text("1", "city") == "Short"
    })
    .await;
    site.rests().await;
    assert_eq!(site.b.books().text("500", "city"), "Short");
    assert_eq!(site.dead_letters().await, [] as [Json; 0]);
}

fn ann(city: &str) -> Json {
    json!({ "name": "Ann", "email": "ann@x.example", "city": city, "note": "short" })
}

async fn truncated(of_b: Manifest) {
    let cut = |field: &str, value: Json| match field {
        "city" | "note" => text(&value, |text| text.chars().take(20).collect()),
        _ => value,
    };
    let site = site(of_b, cut, &ann(LONG)).await;
    assert_eq!(site.b.books().text("500", "city"), LONG[..20]);
    let note = "a note of more than twenty characters";
    the_source_stays(&site, LONG, note, &note[..20]).await;
}

#[tokio::test]
async fn texts_that_are_cut_stay_whole_where_they_come_from() {
    truncated(Manifest::default()).await;
}

#[tokio::test]
async fn so_they_do_where_updates_are_read_back() {
    let updates_answer_nothing = true;
    truncated(Manifest {
        updates_answer_nothing,
        ..Manifest::default()
    })
    .await;
}

#[tokio::test]
async fn texts_that_are_escaped_are_not_escaped_where_they_come_from() {
    let escape = |_: &str, value: Json| match value {
        Json::String(text) => json!(text.replace('&', "&amp;")),
        other => other,
    };
    let site = site(Manifest::default(), escape, &ann("Ghent & Sea")).await;
    assert_eq!(site.b.books().text("500", "city"), "Ghent &amp; Sea");
    the_source_stays(&site, "Ghent & Sea", "R&D", "R&amp;D").await;
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
