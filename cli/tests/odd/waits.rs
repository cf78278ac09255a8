//! What a system says of when to come back, and answers that are neither a success nor a failure by their status.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::kit::{Answer, Asked, Books, Deletes, Manifest, Mock, Site, json};

/// So many requests are refused.
const REFUSED: usize = 6;
/// Six requests that wait for each other at all take longer than this; in a hot loop they take a fifth of a second.
const LEAST: Duration = Duration::from_secs(2);

fn ann() -> serde_json::Value {
    json!({ "name": "Ann", "email": "ann@x.example", "city": "Ghent" })
}

/// A system that answers so to the next requests, as many as the counter says, that fit.
async fn refusing(
    fits: impl Fn(&Asked) -> bool + Send + Sync + 'static,
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> (Mock, Arc<AtomicUsize>, Arc<Mutex<Vec<Instant>>>) {
    let left = Arc::new(AtomicUsize::new(0));
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (counter, when) = (Arc::clone(&left), Arc::clone(&times));
    let behaves = move |books: &mut Books, asked: &Asked| {
        if counter.load(Ordering::SeqCst) == 0 || !fits(asked) {
            return books.answer(asked);
        }
        counter.fetch_sub(1, Ordering::SeqCst);
        when.lock().expect("nobody panics").push(Instant::now());
        answer()
    };
    (Mock::odd(500, behaves).await, left, times)
}

async fn slowed_down(retry_after: &'static str) {
    let answer = move || {
        let body = json!({ "message": "slow down" });
        Answer::new(429, &body).with("Retry-After", retry_after)
    };
    let (b, left, times) = refusing(|_| true, answer).await;
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    left.store(REFUSED, Ordering::SeqCst);
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("the edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    let times = times.lock().expect("nobody panics").clone();
    let took = times[times.len() - 1] - times[0];
    assert!(took >= LEAST, "{REFUSED} requests in {took:?}");
    assert_eq!(site.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn retry_after_nothing_is_no_leave_to_ask_at_once() {
    slowed_down("0").await;
}

#[tokio::test]
async fn retry_after_a_time_that_has_passed_is_none_either() {
    slowed_down("Wed, 21 Oct 2015 07:28:00 GMT").await;
}

#[tokio::test]
async fn a_long_wait_shows_in_the_status_and_a_reset_ends_it() {
    let answer = || {
        let body = json!({ "message": "slow down" });
        Answer::new(429, &body).with("Retry-After", "3000")
    };
    let (b, left, _) = refusing(|_| true, answer).await;
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    left.store(1, Ordering::SeqCst);
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    for command in [&["status"][..], &["connections", "list"]] {
        site.until("the wait is told of", async || {
            let (_, said) = site.tandem(command).await;
            said.contains("asked us to wait until") && said.contains("connections reset right")
        })
        .await;
    }
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert_eq!(site.b.books().all("city"), ["Ghent"]);
    site.tandem(&["connections", "reset", "right"]).await;
    site.until("the edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    site.until("no wait is told of any more", async || {
        let (_, said) = site.tandem(&["status"]).await;
        !said.contains("asked us to wait")
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_is_years_off_is_told_of_until_it_is_right_and_the_sync_goes_on() {
    let wrong = Arc::new(AtomicBool::new(true));
    let is_wrong = Arc::clone(&wrong);
    let behaves = move |books: &mut Books, asked: &Asked| {
        let answer = books.answer(asked);
        match is_wrong.load(Ordering::SeqCst) {
            true => answer.with("Date", "Wed, 21 Oct 2015 07:28:00 GMT"),
            false => answer,
        }
    };
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let site = Site::up(a, Mock::odd(500, behaves).await).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    for command in [&["status"][..], &["connections", "list"], &["check"]] {
        site.until("the clock is told of", async || {
            let (_, said) = site.tandem(command).await;
            said.contains("behind ours") && said.contains("`prefer`")
        })
        .await;
    }
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("the edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    wrong.store(false, Ordering::SeqCst);
    let asked = AtomicUsize::new(0);
    site.until("it is told of no more", async || {
        // Only answers can say that it is right.
        let city = format!("Ghent {}", asked.fetch_add(1, Ordering::SeqCst));
        site.b.books().edit("500", &json!({ "city": city }));
        let (_, said) = site.tandem(&["status"]).await;
        !said.contains("behind ours")
    })
    .await;
    let story = site.story();
    assert_eq!(story.matches("behind ours").count(), 1, "{story}");
    assert_eq!(story.matches("is believed again").count(), 1, "{story}");
}

#[tokio::test]
async fn a_record_that_somebody_has_open_is_written_when_it_is_closed() {
    let locked = || Answer::new(409, &json!({ "message": "Ann is being edited by Bob" }));
    let (b, left, _) = refusing(|asked| asked.method == "PATCH", locked).await;
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    left.store(3, Ordering::SeqCst);
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("the edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    site.rests().await;
    assert_eq!(site.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn a_failure_that_calls_itself_a_success_creates_once_in_the_end() {
    let failed = || Answer::ok(&json!({ "error": "busy, try again" }));
    let (b, left, _) = refusing(|asked| asked.method == "POST", failed).await;
    left.store(2, Ordering::SeqCst);
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let site = Site::up(a, b).await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    site.rests().await;
    assert_eq!(site.b.books().rows.len(), 1);
}

#[tokio::test]
async fn a_refusal_that_calls_itself_a_success_is_one_dead_letter_with_its_words_and_heals() {
    let refused = || Answer::ok(&json!({ "error": "no such city" }));
    let (b, left, _) = refusing(|asked| asked.method == "PATCH", refused).await;
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let of_b = Manifest {
        more: "success: =not body.error",
        ..Manifest::default()
    };
    let manifests = (Manifest::default(), of_b);
    let site = Site::new(a, b, manifests, Deletes::Ignore).started().await;
    site.until("b has Ann", async || {
        site.b.books().all("city") == ["Ghent"]
    })
    .await;
    left.store(1, Ordering::SeqCst);
    site.a.books().edit("1", &json!({ "city": "Nowhere" }));
    site.until("there is a dead letter", async || {
        !site.dead_letters().await.is_empty()
    })
    .await;
    let letters = site.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");

    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("the next edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    site.until("the dead letter has healed", async || {
        site.dead_letters().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn each_change_of_how_a_connection_is_is_one_line_of_the_log_and_shows_in_the_metrics() {
    let (b, left, _) = refusing(
        |_| true,
        || Answer::new(401, &json!({ "message": "who are you?" })),
    )
    .await;
    let a = Mock::plain(1).await;
    a.books().add(&ann());
    let site = Site::up(a, b).await;
    let shows = async |state: &str| {
        let wanted = format!("tandem_connection_state{{connection=\"right\",state=\"{state}\"}} 1");
        site.metrics().await.lines().any(|line| line == wanted)
    };
    site.until("it is said to be up", async || shows("up").await)
        .await;
    left.store(usize::MAX, Ordering::SeqCst);
    site.a.books().edit("1", &json!({ "city": "Lyon" }));
    site.until("it is said to refuse the credentials", async || {
        shows("unauthorized").await
    })
    .await;
    left.store(0, Ordering::SeqCst);
    site.tandem(&["connections", "reset", "right"]).await;
    site.until("it is said to be up again", async || shows("up").await)
        .await;
    site.until("the edit arrives", async || {
        site.b.books().all("city") == ["Lyon"]
    })
    .await;
    let story = site.story();
    for once in [
        "connection right refuses the credentials",
        "connection right has recovered",
    ] {
        assert_eq!(story.matches(once).count(), 1, "{once}: {story}");
    }
}
