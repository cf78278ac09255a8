//! Edits a moment before and after a write of ours, told of by webhooks whose clock is not that of the records.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use tandem_domain::{Clock, Timestamp};
use tandem_runtime::SystemClock;

use crate::kit::{Answer, Asked, Books, Deletes, Manifest, Mock, Site, json};

/// The clock of the webhooks is ahead of that of the records.
const AHEAD: Duration = Duration::from_millis(500);
/// So long before or after our write the edit was saved.
const APART: Duration = Duration::from_millis(200);
/// What is this close to the change before may be of that change.
const QUIET: Duration = Duration::from_millis(1_200);

/// When a person comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comes {
    Before,
    After,
}

/// When the edit was saved and when our write landed, by the system's clock.
#[derive(Clone, Copy)]
struct Instants {
    edit: Timestamp,
    ours: Timestamp,
}

type Seen = Arc<Mutex<Option<Instants>>>;

/// A system where somebody edits a record a moment before or after Tandem's first update or delete of it.
async fn visited(comes: Comes, edit: Json) -> (Mock, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let behaves = move |books: &mut Books, asked: &Asked| {
        let mut noted = noted.lock().expect("nobody panics");
        let (Some(id), true) = (
            asked.id(),
            asked.method == "PATCH" || asked.method == "DELETE",
        ) else {
            return books.answer(asked);
        };
        if noted.is_some() {
            return books.answer(asked);
        }
        let id = id.to_owned();
        let changed = |books: &mut Books, at: Timestamp| {
            if let Some(row) = books.rows.get_mut(&id) {
                row.changed = at;
            }
        };
        match comes {
            Comes::Before => {
                books.edit(&id, &edit);
                let answer = books.answer(asked);
                let ours = SystemClock.now();
                changed(books, ours);
                let edit = ours.minus(APART);
                *noted = Some(Instants { edit, ours });
                match books.rows.contains_key(&id) {
                    true => Answer::ok(&books.shown(&id)),
                    false => answer,
                }
            }
            Comes::After => {
                let answer = books.answer(asked);
                let ours = SystemClock.now();
                books.edit(&id, &edit);
                let edit = ours.plus(APART);
                changed(books, edit);
                *noted = Some(Instants { edit, ours });
                answer
            }
        }
    };
    (Mock::odd(500, behaves).await, seen)
}

async fn site(b: Mock, of_b: Manifest, deletes: Deletes) -> Site {
    let a = Mock::plain(1).await;
    a.books()
        .add(&json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" }));
    let site = Site::new(a, b, (Manifest::default(), of_b), deletes);
    let site = site.started().await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    let made = site.b.books().rows["500"].changed;
    site.until("she has been left alone for a while", async || {
        SystemClock.now().since(made) > QUIET
    })
    .await;
    site
}

async fn happened(site: &Site, seen: &Seen) -> Instants {
    site.until("somebody has edited b", async || {
        seen.lock().expect("nobody panics").is_some()
    })
    .await;
    let instants = *seen.lock().expect("nobody panics");
    instants.expect("it was seen")
}

/// The webhooks of b, in this order; each is told twice, as some systems do.
async fn told(site: &Site, events: &[(&str, Timestamp)]) {
    for (number, (kind, at)) in events.iter().enumerate() {
        let at = at.plus(AHEAD).to_string();
        let event =
            json!({ "key": format!("{kind}{number}"), "type": kind, "id": "500", "at": at });
        for _ in 0..2 {
            assert_eq!(site.hook("right", std::slice::from_ref(&event)).await, 200);
        }
    }
}

/// Somebody edits Ann at b, right before our write of her city.
async fn edited_before(updates_answer_nothing: bool, edit: Json) -> Site {
    let of_b = Manifest {
        updates_answer_nothing,
        ..Manifest::default()
    };
    let (b, seen) = visited(Comes::Before, edit).await;
    let site = site(b, of_b, Deletes::Ignore).await;
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    let when = happened(&site, &seen).await;
    told(&site, &[("updated", when.ours), ("updated", when.edit)]).await;
    site.until("both have our value", async || {
        site.a.books().all("city") == ["Lyon"] && site.b.books().all("city") == ["Lyon"]
    })
    .await;
    site
}

#[tokio::test]
async fn an_edit_that_our_write_went_over_is_asked_about_once() {
    for updates_answer_nothing in [false, true] {
        let site = edited_before(updates_answer_nothing, json!({ "city": "Turin" })).await;
        site.until("somebody is asked", async || {
            !site.questions("overwritten").await.is_empty()
        })
        .await;
        site.rests().await;
        let asked = site.questions("overwritten").await;
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0]["side"], "b");
        assert_eq!(asked[0]["question"]["written"], json!({ "city": "Lyon" }));
        assert_eq!(site.questions("not_kept").await, [] as [Json; 0]);
    }
}

#[tokio::test]
async fn an_edit_of_another_field_right_before_our_write_arrives_and_nobody_is_asked() {
    for updates_answer_nothing in [false, true] {
        let site = edited_before(updates_answer_nothing, json!({ "note": "new" })).await;
        site.until("the note arrives", async || {
            site.a.books().all("note") == ["new"]
        })
        .await;
        site.rests().await;
        assert_eq!(site.questions("overwritten").await, [] as [Json; 0]);
    }
}

#[tokio::test]
async fn an_edit_right_after_a_write_that_is_read_back_is_no_form_of_our_value() {
    let of_b = Manifest {
        updates_answer_nothing: true,
        ..Manifest::default()
    };
    let (b, seen) = visited(Comes::After, json!({ "city": "Turin" })).await;
    let site = site(b, of_b, Deletes::Ignore).await;
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    let when = happened(&site, &seen).await;
    told(&site, &[("updated", when.ours), ("updated", when.edit)]).await;
    site.until("the edit arrives", async || {
        site.a.books().all("city") == ["Turin"]
    })
    .await;
    site.rests().await;
    assert_eq!(site.questions("overwritten").await, [] as [Json; 0]);
    let asked = site.questions("not_kept").await;
    assert!(
        asked.iter().all(|one| one["state"] == "closed"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_edit_that_our_delete_went_over_is_asked_about_once() {
    let (b, seen) = visited(Comes::Before, json!({ "city": "Turin" })).await;
    let site = site(b, Manifest::default(), Deletes::Propagate).await;
    site.a.books().rows.remove("1");
    let event = json!({ "key": "d1", "type": "deleted", "id": "1" });
    site.hook("left", &[event]).await;
    let when = happened(&site, &seen).await;
    site.until("the pair is left alone", async || {
        let links = site.listed("/syncs/people/links").await;
        links.iter().any(|link| link["state"] == "retired")
    })
    .await;
    told(&site, &[("deleted", when.ours), ("updated", when.edit)]).await;
    site.until("somebody is asked", async || {
        !site.questions("overwritten").await.is_empty()
    })
    .await;
    site.rests().await;
    let asked = site.questions("overwritten").await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    let sentence = asked[0]["asks"].as_str().expect("it is asked in words");
    assert!(sentence.contains("our delete of \"Ann\""), "{sentence}");
    assert_eq!(site.b.books().rows.len(), 0);
}
