//! The window that is left: a person edits a record of a system that compares no versions, at a random moment around
//! Tandem's own write of the same field. How often is the edit seen before the write goes out, how often does the write
//! go over it, and how often is that said?
//!
//! Two systems over HTTP, each of whose requests takes a while, and a real `tandem up` between them; each pair of records
//! is for one edit. Prints a line of JSON, then the same in words. Not here: statistics over many runs.

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/common/mod.rs"]
mod common;
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
#[path = "../tests/odd/kit/mod.rs"]
mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use serde_json::Value as Json;
use tandem_domain::{Clock, Entropy, Timestamp};
use tandem_runtime::SystemClock;
use tandem_testkit::SeededEntropy;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use kit::{Asked, Books, Deletes, Manifest, Mock, Site, json};

/// The first id of system b; a's begin at 1.
const FIRST_OF_B: u64 = 100_001;
/// What is this close to the change before may be of that change.
const QUIET: Duration = Duration::from_millis(1_200);
/// Edits of a alone, which say how long a change takes until it is written.
const WARM_UP: usize = 10;

/// Measures how many edits around a write are seen, and how many of the others are told of.
#[derive(Parser)]
struct Args {
    /// Edits.
    #[arg(long, default_value_t = 200)]
    edits: usize,
    /// How long each request to a system takes, in milliseconds.
    #[arg(long, default_value_t = 20)]
    latency_ms: u64,
    /// The seed of the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What happened to the records of b.
#[derive(Default)]
struct Seen {
    /// When our write arrived that went over what a person had typed, by record: how long after that.
    gone_over: BTreeMap<String, Duration>,
    /// When our first write of each record arrived.
    written: BTreeMap<String, Timestamp>,
    /// Edits that were made when our write had arrived.
    after: usize,
}

/// A change of a record of b, of which it tells by a webhook.
struct Told {
    id: String,
    at: Timestamp,
}

type Shared = Arc<Mutex<Seen>>;

fn lock(seen: &Shared) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A system that tells of every change, ours too.
async fn telling(seen: &Shared, tell: UnboundedSender<Told>) -> Mock {
    let seen = Arc::clone(seen);
    let behaves = move |books: &mut Books, asked: &Asked| {
        let before = asked.id().map(|id| (id.to_owned(), books.text(id, "city")));
        let changed = asked.id().and_then(|id| Some(books.rows.get(id)?.changed));
        let answer = books.answer(asked);
        if let (Some((id, city)), Some(changed), "PATCH") = (before, changed, asked.method.as_str())
        {
            let at = books.rows[&id].changed;
            let mut seen = lock(&seen);
            seen.written.entry(id.clone()).or_insert(at);
            if city.starts_with('b') {
                seen.gone_over.insert(id.clone(), at.since(changed));
            }
            // Nobody hears it once the run is over.
            let _ = tell.send(Told { id, at });
        }
        answer
    };
    Mock::odd(FIRST_OF_B, behaves).await
}

fn event(told: &Told) -> Json {
    let (id, at) = (&told.id, told.at.to_string());
    json!({ "key": format!("{id}-{at}"), "type": "updated", "id": id, "at": at })
}

/// Tells of what has changed at b, until nothing more does.
async fn tell(site: &Site, mut changes: UnboundedReceiver<Told>) {
    while let Some(told) = changes.recv().await {
        site.hook("right", &[event(&told)]).await;
    }
}

/// A person edits a, and its webhook is sent.
async fn edit_a(site: &Site, number: usize) {
    let id = number.to_string();
    site.a
        .books()
        .edit(&id, &json!({ "city": format!("a{number}") }));
    let at = SystemClock.now();
    site.hook("left", &[event(&Told { id, at })]).await;
}

/// Our first write of a record arrived so long after a was edited.
async fn until_written(site: &Site, seen: &Shared, number: usize) -> Duration {
    let id = partner(number);
    let edited = SystemClock.now();
    edit_a(site, number).await;
    site.until("it is written", async || {
        lock(seen).written.contains_key(&id)
    })
    .await;
    lock(seen).written[&id].since(edited)
}

fn partner(number: usize) -> String {
    (FIRST_OF_B + number as u64 - 1).to_string()
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let seen = Shared::default();
    let (sender, changes) = unbounded_channel();
    let (a, b) = (Mock::plain(1).await, telling(&seen, sender.clone()).await);
    let records = args.edits + WARM_UP;
    for number in 1..=records {
        let (name, email) = (format!("P {number}"), format!("p{number}@x.example"));
        let person = json!({ "name": name, "email": email, "city": "Ghent" });
        a.books().add(&person);
        // Both sides know everybody: ids go together.
        b.books().add(&person);
    }
    let manifests = (Manifest::default(), Manifest::default());
    let site = Site::new(a, b, manifests, Deletes::Ignore).started().await;
    site.first_sync().await;
    let linked = SystemClock.now();
    site.until("they have been left alone for a while", async || {
        SystemClock.now().since(linked) > QUIET
    })
    .await;
    for mock in [&site.a, &site.b] {
        mock.books().latency = Duration::from_millis(args.latency_ms);
    }
    tokio::select! {
        () = tell(&site, changes) => {}
        () = run(&site, &seen, &sender, &args) => {}
    }
}

async fn run(site: &Site, seen: &Shared, sender: &UnboundedSender<Told>, args: &Args) {
    let mut takes = Vec::new();
    for number in 1..=WARM_UP {
        takes.push(until_written(site, seen, number).await);
    }
    takes.sort_unstable();
    let usual = takes[takes.len() / 2];
    let moments = SeededEntropy::new(args.seed);
    let span = u64::try_from(usual.as_micros()).unwrap_or(u64::MAX).max(1) * 2;
    for number in WARM_UP + 1..=WARM_UP + args.edits {
        let id = partner(number);
        let moment = Duration::from_micros(moments.next_u64() % span);
        let person = async {
            tokio::time::sleep(moment).await;
            let mut books = site.b.books();
            let mut seen = lock(seen);
            seen.after += usize::from(seen.written.contains_key(&id));
            books.edit(&id, &json!({ "city": format!("b{number}") }));
            let at = books.rows[&id].changed;
            // The other end lives as long as this.
            let _ = sender.send(Told { id: id.clone(), at });
        };
        tokio::join!(edit_a(site, number), person);
        site.until("both agree", async || {
            let (here, there) = (site.a.books(), site.b.books());
            here.text(&number.to_string(), "city") == there.text(&id, "city")
        })
        .await;
    }
    site.rests().await;
    report(site, seen, args, usual).await;
}

/// Whether the change log says that what a person had typed lost against the other edit.
async fn is_settled(site: &Site, id: &str) -> bool {
    let changes = site.listed(&format!("/changes?record={id}&limit=10")).await;
    let mut fields = changes
        .iter()
        .filter_map(|change| change["fields"].as_array())
        .flatten();
    fields.any(|field| field["lost"].is_string())
}

async fn report(site: &Site, seen: &Shared, args: &Args, usual: Duration) {
    let mut asked = BTreeSet::new();
    let questions = site.listed("/conflicts?kind=overwritten&limit=1000").await;
    for question in questions {
        asked.extend(question["record"].as_str().map(ToOwned::to_owned));
    }
    let (mut over, after) = {
        let seen = lock(seen);
        (seen.gone_over.clone(), seen.after)
    };
    // Tandem had read these, and took the other edit for the later one.
    for id in over.clone().into_keys() {
        if is_settled(site, &id).await {
            over.remove(&id);
        }
    }
    let said = over.keys().filter(|id| asked.contains(*id)).count();
    let untrue = asked.iter().filter(|id| !over.contains_key(*id)).count();
    let unsaid = over.len() - said;
    let unsaid_within = over.iter().filter(|(id, _)| !asked.contains(*id));
    let unsaid_within = unsaid_within.map(|(_, before)| *before).max();
    let within = over.values().max().copied().unwrap_or_default();
    let caught = args.edits - after - over.len();
    let line = json!({
        "figure": "window",
        "edits": args.edits,
        "request_ms": args.latency_ms,
        "until_written_ms": millis(usual),
        "after_the_write": after,
        "caught_before_sending": caught,
        "overwritten_said": said,
        "overwritten_unsaid": unsaid,
        "said_untruly": untrue,
        "window_ms": millis(within),
        "unsaid_window_ms": unsaid_within.map(millis),
    });
    println!("{line}");
    println!(
        "{} edits around a write that arrives {} ms after its cause: {after} came after it, {caught} were caught before it was sent, {} went under (at most {} ms before it arrived), of which {said} were said and {unsaid} were not",
        args.edits,
        millis(usual),
        over.len(),
        millis(within),
    );
}

/// With a tenth, for people.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
