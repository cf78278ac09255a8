//! Single records that nobody can make sense of: they are set aside, told of, and the others go on.

use std::time::Duration;

use tandem_domain::Clock;
use tandem_runtime::SystemClock;

use crate::kit::{Answer, Asked, Books, Mock, Site, json};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A system in whose answers a text is replaced, as no library would write it.
async fn replacing(from: &'static str, to: &'static str) -> Mock {
    Mock::odd(1, move |books: &mut Books, asked: &Asked| {
        let mut answer: Answer = books.answer(asked);
        answer.body = answer.body.replace(from, to);
        answer
    })
    .await
}

async fn others_go_on(a: Mock) {
    for number in 0..4 {
        let email = format!("g{number}@x.example");
        a.books()
            .add(&json!({ "name": format!("Good {number}"), "email": email, "city": "Ghent" }));
    }
    a.books()
        .add(&json!({ "name": "Bad", "email": "bad@x.example", "city": "BROKEN" }));
    let site = Site::up(a, Mock::plain(500).await).await;
    let good = |names: Vec<String>| names.iter().filter(|name| name.starts_with("Good")).count();
    site.until("the good ones have arrived", async || {
        good(site.b.books().all("name")) == 4
    })
    .await;
    site.a.books().edit("2", &json!({ "city": "Lyon" }));
    site.until("their edits arrive", async || {
        site.b.books().all("city").contains(&"Lyon".to_owned())
    })
    .await;

    site.a.books().edit("5", &json!({ "city": "Bremen" }));
    site.until("the bad one arrives when it is set right", async || {
        site.b.books().all("city").contains(&"Bremen".to_owned())
    })
    .await;
    assert_eq!(site.b.books().rows.len(), 5);
    site.rests().await;
}

#[tokio::test]
async fn half_a_character_in_one_record_stops_no_other() {
    others_go_on(replacing("BROKEN", "Ghent \\ud83d").await).await;
}

#[tokio::test]
async fn a_nul_in_one_record_stops_no_other() {
    others_go_on(replacing("BROKEN", "Gh\\u0000ent").await).await;
}

#[tokio::test]
async fn half_a_page_of_rows_that_cannot_be_read_stops_not_the_other_half() {
    let a = Mock::odd(1, |books: &mut Books, asked: &Asked| {
        let mut answer = books.answer(asked);
        // A list where a text should be, and a time that is none.
        answer.body = answer.body.replace("\"BAD\"", "{\"street\":[1,2]}");
        answer
    })
    .await;
    for number in 0..10 {
        let city = if number % 2 == 0 { "BAD" } else { "Ghent" };
        let email = format!("p{number}@x.example");
        a.books()
            .add(&json!({ "name": format!("P {number}"), "email": email, "city": city }));
    }
    let site = Site::up(a, Mock::plain(500).await).await;
    site.until("the other half arrives", async || {
        site.b.books().rows.len() >= 5
    })
    .await;
    site.first_sync().await;
    site.a.books().edit("2", &json!({ "city": "Lyon" }));
    site.until("and so do edits", async || {
        site.b.books().all("city").contains(&"Lyon".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_record_from_the_future_hides_no_later_change() {
    let (a, b) = (Mock::plain(1).await, Mock::plain(500).await);
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    a.books()
        .add(&json!({ "name": "Zoe", "email": "zoe@x.example", "city": "Ghent" }));
    let ahead = SystemClock.now().plus(YEAR * 10);
    if let Some(zoe) = a.books().rows.get_mut("2") {
        zoe.changed = ahead;
    }
    let site = Site::up(a, b).await;
    site.until("both have arrived", async || site.b.books().rows.len() == 2)
        .await;
    for city in ["Lyon", "Turin", "Bremen"] {
        let polls = site
            .a
            .books()
            .count(|asked| asked.query.contains_key("since"));
        site.until("a poll has seen her", async || {
            site.a
                .books()
                .count(|asked| asked.query.contains_key("since"))
                > polls
        })
        .await;
        site.a.books().edit("1", &json!({ "city": city }));
        site.until("the edit arrives", async || {
            site.b.books().all("city").contains(&city.to_owned())
        })
        .await;
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_read_any_more_empties_nothing_on_the_other_side() {
    let a = Mock::odd(1, |books: &mut Books, asked: &Asked| {
        let mut answer = books.answer(asked);
        answer.body = answer.body.replace("\"BAD\"", "{\"street\":[1,2]}");
        answer
    })
    .await;
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent", "note": "one" }));
    let site = Site::up(a, Mock::plain(500).await).await;
    site.until("Ann arrives", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    site.a
        .books()
        .edit("1", &json!({ "city": "BAD", "note": "two" }));
    let polls = || {
        let is_poll = |asked: &Asked| asked.query.contains_key("since");
        site.a.books().count(is_poll)
    };
    let before = polls();
    site.until("polls have seen it", async || polls() > before + 2)
        .await;
    site.compare_whole().await;
    assert_eq!(site.b.books().all("city"), ["Ghent"]);
    site.a.books().edit("1", &json!({ "city": "Bremen" }));
    site.until("it goes on when it is set right", async || {
        site.b.books().all("city") == ["Bremen"] && site.b.books().all("note") == ["two"]
    })
    .await;
}

#[tokio::test]
async fn a_record_whose_id_is_of_no_use_is_told_of_after_a_poll() {
    let a = Mock::plain(1).await;
    a.books()
        .add(&json!({ "name": "Good", "email": "g@x.example", "city": "Ghent" }));
    let site = Site::up(a, Mock::plain(500).await).await;
    site.until("the good one has arrived", async || {
        site.b.books().all("name") == ["Good"]
    })
    .await;
    site.rests().await;
    for id in ["", ".", &"x".repeat(300), "a\0b"] {
        site.a
            .books()
            .add_as(id, &json!({ "name": "Bad", "email": "bad@x.example" }));
    }
    site.until("they are told of", async || {
        let (_, said) = site.tandem(&["status"]).await;
        said.contains("set aside  4 records that could not be read, by the poll")
            && said.contains("it has no usable id")
    })
    .await;
    assert_eq!(site.b.books().all("name"), ["Good"]);
}
