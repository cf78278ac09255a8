//! Verdicts over states built by hand.

use super::*;
use crate::config::SimKind;
use crate::state::{SimCounters, SimWrite, WriteOp};

fn record(id: &str, name: &str, email: &str) -> SimRecord {
    let mut fields = Fields::default();
    fields.set(Field::Name, name);
    fields.set(Field::Email, email);
    fields.set(Field::Active, "true");
    SimRecord {
        id: id.to_owned(),
        fields,
        reference: None,
        archived: false,
        archived_by: None,
        origin: Origin::Seed,
        updated_at: 0,
    }
}

fn made_by(origin: Origin, record: SimRecord) -> SimRecord {
    SimRecord { origin, ..record }
}

fn archived_by(origin: Origin, record: SimRecord) -> SimRecord {
    SimRecord {
        archived: true,
        archived_by: Some(origin),
        ..record
    }
}

fn with(record: SimRecord, field: Field, value: &str) -> SimRecord {
    let mut record = record;
    record.fields.set(field, value);
    record
}

fn state(system: SimKind, records: Vec<SimRecord>) -> SimState {
    SimState {
        system,
        now: 0,
        records,
        writes: Vec::new(),
        counters: SimCounters::default(),
    }
}

fn crm(records: Vec<SimRecord>) -> SimState {
    state(SimKind::Crm, records)
}

fn finance(records: Vec<SimRecord>) -> SimState {
    state(SimKind::Finance, records)
}

/// (lost, doubled, number of differences)
fn figures(verdict: &Comparison) -> (usize, usize, usize) {
    assert_eq!(
        verdict.agree,
        (verdict.lost, verdict.doubled, verdict.differences.len()) == (0, 0, 0)
    );
    (verdict.lost, verdict.doubled, verdict.differences.len())
}

/// The verdict when both sides started as they are.
fn at_once(crm: &SimState, finance: &SimState) -> Comparison {
    compare(crm, finance, crm, finance)
}

#[test]
fn equal_sides_agree_whatever_the_spaces_and_the_case_of_addresses() {
    let a = crm(vec![with(
        record("1", "Acme  1 ", "a@acme.example"),
        Field::CreditLimit,
        "100.5",
    )]);
    let b = finance(vec![with(
        record("x", " Acme 1", " A@ACME.example"),
        Field::CreditLimit,
        "100.50",
    )]);
    let verdict = at_once(&a, &b);
    assert_eq!((figures(&verdict), verdict.records), ((0, 0, 0), 1));
}

#[test]
fn a_record_without_an_address_is_matched_by_name() {
    let a = crm(vec![record("1", "Acme 1", "")]);
    let b = finance(vec![record("x", "ACME  1", "a@acme.example")]);
    let verdict = at_once(&a, &b);
    assert_eq!(verdict.records, 1);
    let aspects: Vec<_> = verdict
        .differences
        .iter()
        .map(|difference| difference.aspect)
        .collect();
    assert_eq!(
        aspects,
        [Aspect::Field(Field::Name), Aspect::Field(Field::Email)]
    );
}

#[test]
fn a_company_missing_on_one_side_is_lost() {
    let (a, none) = (
        crm(vec![record("1", "Acme 1", "a@acme.example")]),
        finance(vec![]),
    );
    assert_eq!(figures(&at_once(&a, &none)), (1, 0, 0));
}

#[test]
fn a_company_that_vanished_on_both_sides_is_lost() {
    let a = crm(vec![record("1", "Acme 1", "a@acme.example")]);
    let b = finance(vec![record("x", "Acme 1", "a@acme.example")]);
    assert_eq!(
        figures(&compare(&crm(vec![]), &finance(vec![]), &a, &b)),
        (1, 0, 0)
    );
    let a_now = crm(vec![archived_by(Origin::Api, a.records[0].clone())]);
    let b_now = finance(vec![archived_by(Origin::Api, b.records[0].clone())]);
    assert_eq!(figures(&compare(&a_now, &b_now, &a, &b)), (1, 0, 0));
}

#[test]
fn a_company_that_a_user_archived_is_not_lost() {
    let a = crm(vec![record("1", "Acme 1", "a@acme.example")]);
    let b = finance(vec![record("x", "Acme 1", "a@acme.example")]);
    let a_now = crm(vec![archived_by(Origin::User, a.records[0].clone())]);
    assert_eq!(figures(&compare(&a_now, &b, &a, &b)), (0, 0, 0));
}

#[test]
fn a_company_made_inactive_in_the_crm_may_be_archived_in_finance() {
    let a = crm(vec![record("1", "Acme 1", "a@acme.example")]);
    let b = finance(vec![record("x", "Acme 1", "a@acme.example")]);
    let a_now = crm(vec![with(a.records[0].clone(), Field::Active, "false")]);
    let b_now = finance(vec![archived_by(Origin::Api, b.records[0].clone())]);
    assert_eq!(figures(&compare(&a_now, &b_now, &a, &b)), (0, 0, 0));
}

#[test]
fn a_company_that_a_user_created_must_arrive_on_the_other_side() {
    let new = made_by(Origin::User, record("2", "New 2", "n@new.example"));
    let (a, b) = (crm(vec![new]), finance(vec![]));
    assert_eq!(
        figures(&compare(&a, &b, &crm(vec![]), &finance(vec![]))),
        (1, 0, 0)
    );
    let b = finance(vec![made_by(
        Origin::Api,
        record("y", "New 2", "n@new.example"),
    )]);
    assert_eq!(
        figures(&compare(&a, &b, &crm(vec![]), &finance(vec![]))),
        (0, 0, 0)
    );
}

#[test]
fn a_create_that_was_repeated_is_doubled() {
    let start = crm(vec![record("1", "Acme 1", "a@acme.example")]);
    let copy = |id| made_by(Origin::Api, record(id, "Acme 1", "a@acme.example"));
    let b = finance(vec![copy("x"), copy("y"), copy("z")]);
    let verdict = compare(&start, &b, &start, &finance(vec![]));
    assert_eq!(figures(&verdict), (0, 2, 0));
    assert_eq!(
        verdict.doubled_companies,
        ["Acme 1 (crm 1; finance x, y, z)"]
    );
}

#[test]
fn a_duplicate_of_the_start_is_known_and_may_disagree() {
    let second = with(record("2", "ACME 1", "a@acme.example"), Field::Phone, "old");
    let a = crm(vec![record("1", "Acme 1", "a@acme.example"), second]);
    let b = finance(vec![made_by(
        Origin::Api,
        record("x", "Acme 1", "a@acme.example"),
    )]);
    assert_eq!(figures(&compare(&a, &b, &a, &finance(vec![]))), (0, 0, 0));
    let two = finance(vec![
        b.records[0].clone(),
        made_by(Origin::Api, record("y", "Acme 1", "a@acme.example")),
    ]);
    assert_eq!(figures(&compare(&a, &two, &a, &finance(vec![]))), (0, 1, 0));
}

#[test]
fn a_renamed_company_stays_the_same_company() {
    let a = crm(vec![record("1", "Acme 1", "a@acme.example")]);
    let b = finance(vec![record("x", "Acme 1", "a@acme.example")]);
    let b_now = finance(vec![record("x", "Bolt 9", "b@bolt.example")]);
    let verdict = compare(&a, &b_now, &a, &b);
    assert_eq!((figures(&verdict), verdict.records), ((0, 0, 2), 1));
}

#[test]
fn two_companies_overwritten_with_one_another_do_not_agree() {
    let a = crm(vec![
        record("1", "Acme 1", "a@acme.example"),
        record("2", "Bolt 2", "b@bolt.example"),
    ]);
    let b = finance(vec![
        record("x", "Acme 1", "a@acme.example"),
        record("y", "Bolt 2", "b@bolt.example"),
    ]);
    let b_now = finance(vec![
        record("x", "Acme 1", "a@acme.example"),
        record("y", "Acme 1", "a@acme.example"),
    ]);
    let verdict = compare(&a, &b_now, &a, &b);
    assert_eq!((figures(&verdict), verdict.records), ((0, 0, 2), 2));
}

#[test]
fn a_new_company_renamed_on_one_side_is_found_by_what_it_was_created_as() {
    let a = crm(vec![made_by(
        Origin::User,
        record("2", "New 2", "n@new.example"),
    )]);
    let mut b = finance(vec![made_by(
        Origin::Api,
        record("y", "Other 3", "o@other.example"),
    )]);
    let fields = [(Field::Email, "N@new.example".to_owned())].into();
    b.writes.push(SimWrite {
        at: 0,
        op: WriteOp::Create,
        id: "y".to_owned(),
        idempotency_key: None,
        fields,
    });
    assert_eq!(
        figures(&compare(&a, &b, &crm(vec![]), &finance(vec![]))),
        (0, 0, 2)
    );
}

#[test]
fn a_reference_joins_records_that_share_nothing_else() {
    let a = crm(vec![made_by(
        Origin::User,
        record("200", "New 2", "n@new.example"),
    )]);
    for reference in ["crm:200", "200"] {
        let mut copy = made_by(Origin::Api, record("y", "Other 3", "o@other.example"));
        copy.reference = Some(reference.to_owned());
        let verdict = compare(&a, &finance(vec![copy]), &crm(vec![]), &finance(vec![]));
        assert_eq!(figures(&verdict), (0, 0, 2));
    }
}

#[test]
fn a_reference_that_every_record_carries_joins_nothing() {
    let tagged = |record: SimRecord| SimRecord {
        reference: Some("tandem".to_owned()),
        ..record
    };
    let company = |n: usize| (format!("Acme {n}"), format!("a{n}@acme.example"));
    let side = |origin| -> Vec<SimRecord> {
        let make = |n: usize| {
            tagged(made_by(
                origin,
                record(&n.to_string(), &company(n).0, &company(n).1),
            ))
        };
        (0..6).map(make).collect()
    };
    let (a, b) = (crm(side(Origin::User)), finance(side(Origin::Api)));
    let verdict = compare(&a, &b, &crm(vec![]), &finance(vec![]));
    assert_eq!((figures(&verdict), verdict.records), ((0, 0, 0), 6));
}

#[test]
fn a_record_that_the_api_made_of_nothing_is_a_stray() {
    let b = finance(vec![made_by(
        Origin::Api,
        record("y", "Ghost 3", "g@ghost.example"),
    )]);
    let verdict = compare(&crm(vec![]), &b, &crm(vec![]), &finance(vec![]));
    assert_eq!(figures(&verdict), (0, 0, 1));
    assert_eq!(verdict.differences[0].aspect, Aspect::Stray);
}

#[test]
fn the_order_of_records_does_not_matter() {
    let a = crm(vec![
        record("1", "Acme 1", "a@acme.example"),
        record("2", "Bolt 2", ""),
    ]);
    let b = finance(vec![
        record("x", "Bolt 2", "b@bolt.example"),
        record("y", "Acme 1", "a@acme.example"),
    ]);
    let turned = |state: &SimState| SimState {
        records: state.records.iter().rev().cloned().collect(),
        ..state.clone()
    };
    assert_eq!(
        figures(&at_once(&a, &b)),
        figures(&at_once(&turned(&a), &turned(&b)))
    );
}
