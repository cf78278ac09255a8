//! The fake system does what its settings say: a world that cannot go wrong shows nothing.

use std::sync::Arc;
use std::time::Duration;

use tandem_connectors::{
    Connector, ConnectorError, Listing, Lookup, PageToken, ReadOutcome, RemoteRecord, Write,
};
use tandem_domain::{Clock, Fields, RecordId, Side, StreamName, Value};
use tandem_testkit::TestClock;

use super::pairs::PLAIN;
use crate::world::ledger::Ledger;
use crate::world::system::faults::Moment;
use crate::world::system::oddities::{Form, Lag, Meanwhile, Oddities};
use crate::world::system::{FakeSystem, Fault, Talents};
use crate::world::turns::Turns;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    clock: Arc<TestClock>,
    ledger: Arc<Ledger>,
    system: Arc<FakeSystem>,
    things: StreamName,
}

fn bench(talents: Talents, oddities: Oddities) -> Bench {
    let clock = Arc::new(TestClock::default());
    let ledger = Arc::new(Ledger::default());
    let kind = (talents, oddities);
    let turns = Arc::new(Turns::new(1));
    let system = FakeSystem::new(
        Side::A,
        kind,
        0,
        (Arc::clone(&clock), Arc::clone(&ledger), turns),
    );
    Bench {
        clock,
        ledger,
        system,
        things: "things".parse().expect("a name"),
    }
}

impl Bench {
    async fn read(&self, id: &RecordId) -> Option<RemoteRecord> {
        let read = self.system.read(&self.things, std::slice::from_ref(id));
        match read.await.expect("it answers").remove(0) {
            ReadOutcome::Found(record) => Some(*record),
            ReadOutcome::Missing => None,
            ReadOutcome::Unreadable(why) => panic!("{why}"),
        }
    }

    async fn list(&self, token: Option<PageToken>) -> (Vec<RecordId>, Option<PageToken>) {
        let listing = Listing::All;
        let page = self.system.list(&self.things, &listing, token.as_ref());
        let page = page.await.expect("it answers");
        (
            page.records.into_iter().map(|one| one.id).collect(),
            page.next,
        )
    }

    async fn update(
        &self,
        id: &RecordId,
        fields: &[(&str, &str)],
        version: Option<&str>,
    ) -> Result<Option<Box<RemoteRecord>>, ConnectorError> {
        let fields = texts(fields);
        let write = write(&fields, version);
        let written = self.system.update(&self.things, id, &write).await?;
        Ok(written.record)
    }

    fn ann(&self) -> RecordId {
        let fields = [
            ("name", "Ann"),
            ("email", "ann@x.example"),
            ("city", "Ghent"),
        ];
        self.system.user_creates(&fields)
    }
}

fn texts(fields: &[(&str, &str)]) -> Fields {
    let text = |text: &str| Value::Text(text.to_owned());
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), text(value)))
        .collect()
}

const fn write<'a>(fields: &'a Fields, version: Option<&'a str>) -> Write<'a> {
    Write {
        fields,
        transaction: "txn",
        expected_version: version,
        current: None,
    }
}

#[tokio::test]
async fn it_keeps_its_own_form_of_what_it_is_told() {
    let told = "  R&D   0.125  ";
    let forms = [
        (Form::Cut(4), "  R&"),
        (Form::Escaped, "  R&amp;D   0.125  "),
        (Form::Spaced, "R&D 0.125"),
        (Form::Upper, "  R&D   0.125  "),
        (Form::Decomposed, told),
        (Form::Dropped, "Ghent"),
    ];
    for (form, kept) in forms {
        let oddities = Oddities {
            forms: vec![("city", form)],
            ..Oddities::default()
        };
        let bench = bench(PLAIN, oddities);
        let id = bench.ann();
        let answer = bench.update(&id, &[("city", told)], None).await;
        let record = answer.expect("taken").expect("the answer holds it");
        assert_eq!(record.fields["city"].to_string(), kept);
    }
}

#[tokio::test]
async fn forms_come_one_after_the_other_and_an_empty_field_shows_its_default() {
    let oddities = Oddities {
        forms: vec![("city", Form::Rounded(2)), ("city", Form::Cut(3))],
        defaults: vec![("note", "none")],
        ..Oddities::default()
    };
    let bench = bench(PLAIN, oddities);
    let id = bench.ann();
    let answer = bench.update(&id, &[("city", "1.239")], None).await;
    let record = answer.expect("taken").expect("the answer holds it");
    assert_eq!(record.fields["city"].to_string(), "1.2");
    assert_eq!(record.fields["note"].to_string(), "none");
    assert_eq!(bench.system.form_of("note", ""), "none");
}

#[tokio::test]
async fn what_is_behind_shows_how_it_was_or_nothing() {
    for (shows, then) in [
        (Meanwhile::Before, Some("Ghent")),
        (Meanwhile::Missing, None),
    ] {
        let oddities = Oddities {
            lag: Lag { by: SECOND, shows },
            ..Oddities::default()
        };
        let bench = bench(PLAIN, oddities);
        let id = bench.ann();
        assert_eq!(bench.read(&id).await, None, "too new to be seen");
        let (listed, _) = bench.list(None).await;
        assert_eq!(listed.first(), Some(&id), "listings are not behind");
        bench.clock.advance(SECOND);
        bench.system.user_edits(&id, "city", "Lyon");
        let city = |record: Option<RemoteRecord>| record.map(|one| one.fields["city"].to_string());
        assert_eq!(city(bench.read(&id).await).as_deref(), then);
        bench.clock.advance(SECOND);
        assert_eq!(city(bench.read(&id).await).as_deref(), Some("Lyon"));
    }
}

#[tokio::test]
async fn a_listing_that_is_behind_does_not_show_what_a_read_shows() {
    let oddities = Oddities {
        listing_lag: Lag {
            by: SECOND,
            ..Lag::default()
        },
        ..Oddities::default()
    };
    let bench = bench(PLAIN, oddities);
    let id = bench.ann();
    assert_eq!(bench.list(None).await.0, []);
    assert!(bench.read(&id).await.is_some());
    bench.system.hides(&id, SECOND * 2);
    bench.clock.advance(SECOND);
    assert_eq!(bench.list(None).await.0.first(), Some(&id));
    assert_eq!(bench.read(&id).await, None, "hidden from reads alone");
    bench.clock.advance(SECOND);
    assert!(bench.read(&id).await.is_some());
}

#[tokio::test]
async fn a_search_that_is_behind_does_not_find_what_reads_and_listings_show() {
    let oddities = Oddities {
        search_lag: Lag {
            by: SECOND,
            ..Lag::default()
        },
        ..Oddities::default()
    };
    let bench = bench(PLAIN, oddities);
    let id = bench.ann();
    let found = async || {
        let (name, value) = ("name", Value::Text("Ann".to_owned()));
        let lookup = Lookup::Field {
            name,
            value: &value,
        };
        let found = bench.system.find(&bench.things, &lookup).await;
        found.expect("it answers").map_or(0, |found| found.len())
    };
    assert_eq!(found().await, 0);
    assert_eq!(bench.list(None).await.0.first(), Some(&id));
    assert!(bench.read(&id).await.is_some());
    bench.clock.advance(SECOND);
    assert_eq!(found().await, 1);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let oddities = Oddities {
        page: 2,
        ..Oddities::default()
    };
    let bench = bench(PLAIN, oddities);
    let ids: Vec<RecordId> = (0..3).map(|_| bench.ann()).collect();
    let (first, next) = bench.list(None).await;
    assert_eq!(first, ids[..2]);
    assert_eq!(bench.list(next).await, (ids[2..].to_vec(), None));
}

#[tokio::test]
async fn a_late_write_lands_over_a_newer_one() {
    let bench = bench(PLAIN, Oddities::default());
    let id = bench.ann();
    bench.system.go_wrong(&[Fault::Late(SECOND)]);
    let lost = bench.update(&id, &[("city", "Lyon")], None).await;
    assert!(matches!(lost, Err(ConnectorError::ResponseLost { .. })));
    bench.system.user_edits(&id, "city", "Turin");
    assert_eq!(bench.system.contents()[0]["city"], "Turin");
    bench.clock.advance(SECOND);
    assert_eq!(bench.system.contents()[0]["city"], "Lyon");
    let typed = bench.ledger.all().pop().expect("it was noted");
    assert_eq!(typed.value, "Turin");
    assert!(!typed.shown && !typed.carried);
    assert_eq!(typed.overwritten.map(|by| by.by).as_deref(), Some("Lyon"));
}

#[tokio::test]
async fn a_person_comes_between_reading_and_writing_and_versions_tell() {
    for (compares_versions, kept) in [(false, "Lyon"), (true, "Turin")] {
        let oddities = Oddities {
            compares_versions,
            ..Oddities::default()
        };
        let bench = bench(PLAIN, oddities);
        let id = bench.ann();
        let version = bench.read(&id).await.and_then(|record| record.version);
        let whose = id.clone();
        let deed = move |system: &FakeSystem| system.user_edits(&whose, "city", "Turin");
        bench.system.once(Moment::BeforeWrite, &id, deed);
        let answer = bench
            .update(&id, &[("city", "Lyon")], version.as_deref())
            .await;
        assert_eq!(answer.is_err(), compares_versions);
        assert_eq!(bench.system.contents()[0]["city"], kept);
    }
}

#[tokio::test]
async fn the_moments_of_a_request_come_in_their_order() {
    let bench = bench(PLAIN, Oddities::default());
    let id = bench.ann();
    for (moment, city) in [
        (Moment::BeforeRead, "1"),
        (Moment::AfterRead, "2"),
        (Moment::AfterWrite, "4"),
    ] {
        let whose = id.clone();
        let deed = move |system: &FakeSystem| system.user_edits(&whose, "city", city);
        bench.system.once(moment, &id, deed);
    }
    let read = bench.read(&id).await.expect("it is there");
    assert_eq!(read.fields["city"].to_string(), "1");
    assert_eq!(bench.system.contents()[0]["city"], "2");
    bench
        .update(&id, &[("city", "3")], None)
        .await
        .expect("taken");
    assert_eq!(bench.system.contents()[0]["city"], "4");
}

#[tokio::test]
async fn ids_come_back_from_the_bin_and_from_a_backup() {
    let bench = bench(PLAIN, Oddities::default());
    let backup = bench.system.backup();
    let id = bench.ann();
    bench.system.user_deletes(&id);
    assert_eq!(bench.read(&id).await, None);
    bench.system.user_restores(&id);
    let restored = bench.read(&id).await.expect("it is back");
    assert_eq!(restored.version.as_deref(), Some("2"));

    bench.system.restores(&backup);
    assert_eq!(bench.system.ids(), []);
    let other = bench.system.user_creates(&[("name", "Bob")]);
    assert_eq!(other, id, "the id is given anew");
    let record = bench.read(&id).await.expect("it is another");
    assert_eq!(record.version.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_merged_record_gives_the_other_under_its_own_id() {
    let bench = bench(PLAIN, Oddities::default());
    let (loser, winner) = (bench.ann(), bench.ann());
    bench.system.user_merges(&loser, &winner);
    assert_eq!(
        bench.read(&loser).await.map(|one| one.id),
        Some(winner.clone())
    );
    assert_eq!(bench.list(None).await.0, [winner]);
}

#[tokio::test]
async fn what_nobody_can_read_is_set_aside_by_listings_and_fails_reads() {
    let bench = bench(PLAIN, Oddities::default());
    let (bad, good) = (bench.ann(), bench.ann());
    bench.system.garbles(&bad);
    assert_eq!(bench.list(None).await.0, [good]);
    let ids = [bad.clone()];
    let read = bench.system.read(&bench.things, &ids).await;
    let read = read.expect("the system is fine").remove(0);
    assert!(matches!(read, ReadOutcome::Unreadable(_)));
    bench.system.sets_right(&bad);
    assert!(bench.read(&bad).await.is_some());
}

#[tokio::test]
async fn a_record_can_be_dated_ahead_and_somebody_can_have_it_open() {
    let bench = bench(PLAIN, Oddities::default());
    let id = bench.ann();
    bench.system.dates_ahead(&id, SECOND * 60);
    let record = bench.read(&id).await.expect("it is there");
    assert_eq!(record.updated_at, Some(bench.clock.now().plus(SECOND * 60)));
    bench.system.go_wrong(&[Fault::Locked]);
    let locked = bench.update(&id, &[("city", "Lyon")], None).await;
    assert!(matches!(
        locked,
        Err(ConnectorError::VersionConflict { .. })
    ));
    assert!(bench.update(&id, &[("city", "Lyon")], None).await.is_ok());
}

#[tokio::test]
async fn answers_hold_no_more_than_the_settings_say() {
    let oddities = Oddities {
        creates_answer_id_alone: true,
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    let bench = bench(PLAIN, oddities);
    let fields = texts(&[("name", "Ann")]);
    let created = bench
        .system
        .create(&bench.things, &write(&fields, None))
        .await;
    let created = created.expect("taken");
    assert_eq!(created.record, None);
    let updated = bench.update(&created.id, &[("city", "Lyon")], None).await;
    assert_eq!(updated.expect("taken"), None);
}
