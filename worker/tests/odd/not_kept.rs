//! A value that a system takes and does not keep is asked about, and counted, and the change log says so of the write.

use metrics_exporter_prometheus::PrometheusBuilder;
use tandem_domain::Side;
use tandem_store::{Change, ChangeFilter, Operation, Outcome};

use super::pairs::{TALENTS, one_pair};
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

pub(super) fn cuts_cities() -> Oddities {
    Oddities {
        forms: vec![("city", Form::Cut(8))],
        ..Oddities::default()
    }
}

/// The writes to b, newest first.
async fn writes_to_b(world: &World) -> Vec<Change> {
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let mut changes = changes.expect("the storage answers");
    changes.retain(|change| change.written == Some(Side::B));
    changes
}

/// That the newest write to b is in the log as one of which this field was not kept.
async fn is_logged(world: &World, operation: Operation, field: &str) {
    let newest = writes_to_b(world).await.remove(0);
    assert_eq!(newest.operation, operation);
    assert_eq!(newest.outcome, Outcome::NotKept);
    assert!(
        newest.fields.iter().any(|one| one.field == field),
        "{newest:?}"
    );
}

#[tokio::test]
async fn a_value_that_was_cut_is_counted_by_field_and_its_write_is_in_the_log_as_not_kept() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let counted = |number: u64| {
        let labels = "sync=\"pairs\",field=\"city\"";
        let line = format!("tandem_values_not_kept_total{{{labels}}} {number}\n");
        let text = handle.render();
        assert!(text.contains(&line), "{line} is not in {text}");
    };
    let age = std::time::Duration::from_secs(60);
    let (world, a, _) = one_pair(policy(), (TALENTS, cuts_cities()), age).await;
    assert!(!handle.render().contains("tandem_values_not_kept_total"));
    let first = writes_to_b(&world).await.remove(0);
    assert_eq!(first.outcome, Outcome::Applied, "a short one is kept");

    world.a.user_edits(&a, "city", "Louvain-la-Neuve");
    world.hear(Side::A, &a).await;
    world.rest().await;
    is_logged(&world, Operation::Update, "city").await;
    counted(1);

    let fields = [
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("city", "Ottignies-Louvain"),
    ];
    let bob = world.a.user_creates(&fields);
    world.hear(Side::A, &bob).await;
    world.rest().await;
    is_logged(&world, Operation::Create, "city").await;
    counted(2);

    // Looking again neither asks nor counts again.
    world.sweep().await;
    counted(2);
    assert_eq!(world.questions().await.len(), 2);
}
