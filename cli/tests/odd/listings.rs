//! Listings that end in ways of their own, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value as Json;

use crate::kit::{Answer, Asked, Books, Deletes, Manifest, Mock, Paging, Site, json};

const ROWS: usize = 25;
/// A listing of three pages is not asked for so many, tries included.
const REQUESTS_MAX: usize = 30;

async fn site(
    paging: Paging,
    behaves: impl Fn(&mut Books, &Asked) -> Answer + Send + Sync + 'static,
) -> Site {
    let a = Mock::odd(1000, behaves).await;
    for number in 0..ROWS {
        let email = format!("p{number}@x.example");
        a.books()
            .add(&json!({ "name": format!("P {number}"), "email": email }));
    }
    let of_a = Manifest {
        paging,
        sweeps_only: true,
        ..Manifest::default()
    };
    let manifests = (of_a, Manifest::default());
    let site = Site::new(a, Mock::plain(500).await, manifests, Deletes::Ignore);
    site.started().await
}

async fn all_arrive(site: &Site) {
    site.until("all have arrived", async || {
        site.b.books().rows.len() == ROWS
    })
    .await;
    site.first_sync().await;
    site.rests().await;
}

/// Pages by token, where the test says which token follows the last page (`at` is where this one began).
fn tokens(after_the_last: impl Fn(usize) -> Json) -> impl Fn(&mut Books, &Asked) -> Answer {
    move |books, asked| {
        if !asked.lists() {
            return books.answer(asked);
        }
        let at = asked.number("token").unwrap_or(0);
        let ids: Vec<String> = books.rows.keys().cloned().collect();
        let page: Vec<String> = ids.iter().skip(at).take(10).cloned().collect();
        let end = at + page.len();
        let next = if end < ids.len() {
            json!(end.to_string())
        } else {
            after_the_last(at)
        };
        let mut body = books.page(&page);
        body["next"] = next;
        Answer::ok(&body)
    }
}

#[tokio::test]
async fn a_last_page_that_names_its_own_token_is_the_last() {
    let behaves = tokens(|at| json!(at.to_string()));
    all_arrive(&site(Paging::Tokens, behaves).await).await;
}

#[tokio::test]
async fn an_empty_page_that_names_its_own_token_is_past_the_last() {
    let behaves = tokens(|at| json!(ROWS.max(at).to_string()));
    all_arrive(&site(Paging::Tokens, behaves).await).await;
}

#[tokio::test]
async fn tokens_in_a_circle_end_as_a_failed_run_with_its_reason() {
    let behaves = tokens(|_| json!("10"));
    let site = site(Paging::Tokens, behaves).await;
    site.until("a run fails and says why", async || {
        let runs = site.listed("/runs?kind=backfill").await;
        runs.iter()
            .any(|run| run["state"] == "failed" && run["error"].is_string())
    })
    .await;
    let asked = site.a.books().count(Asked::lists);
    assert!(asked <= REQUESTS_MAX, "{asked} requests");
    assert_eq!(site.b.books().rows.len(), 0, "nothing is concluded from it");
}

#[tokio::test]
async fn a_system_that_repeats_its_last_page_for_ever_has_ended() {
    let behaves = |books: &mut Books, asked: &Asked| {
        if !asked.lists() {
            return books.answer(asked);
        }
        let number = asked.number("page").unwrap_or(1).min(ROWS.div_ceil(10));
        let ids = books.rows.keys().skip((number - 1) * 10).take(10);
        let page: Vec<String> = ids.cloned().collect();
        Answer::ok(&books.page(&page))
    };
    all_arrive(&site(Paging::Numbered, behaves).await).await;
}

#[tokio::test]
async fn not_found_past_the_last_page_is_its_end() {
    let behaves = |books: &mut Books, asked: &Asked| {
        let past = asked.lists() && books.page_of(asked).is_empty();
        if past && asked.number("page") != Some(1) {
            return Answer::new(404, &json!({ "message": "no such page" }));
        }
        books.answer(asked)
    };
    all_arrive(&site(Paging::Numbered, behaves).await).await;
}

#[tokio::test]
async fn a_listing_that_shows_a_record_late_does_not_lose_it() {
    let hidden = Arc::new(AtomicUsize::new(0));
    let looks = Arc::clone(&hidden);
    let a = Mock::odd(1, move |books, asked| {
        let late = asked.lists() && looks.load(Ordering::SeqCst) > 0;
        if !late {
            return books.answer(asked);
        }
        looks.fetch_sub(1, Ordering::SeqCst);
        let page: Vec<String> = books
            .page_of(asked)
            .into_iter()
            .filter(|id| id != "2")
            .collect();
        Answer::ok(&books.page(&page))
    })
    .await;
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example" }));
    a.books()
        .add(&json!({ "name": "Bob", "email": "bob@x.example", "city": "Ghent" }));
    let site = Site::up(a, Mock::plain(500).await).await;
    site.until("b has both", async || site.b.books().rows.len() == 2)
        .await;
    hidden.store(3, Ordering::SeqCst);
    site.a.books().edit("2", &json!({ "city": "Lyon" }));
    site.compare_whole().await;
    site.until("the edit arrives", async || {
        site.b.books().all("city").contains(&"Lyon".to_owned())
    })
    .await;
    assert_eq!(site.b.books().rows.len(), 2);
}
