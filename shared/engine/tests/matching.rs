//! Properties of matching: whatever keys records have, each ends in exactly one place, nothing is paired
//! that its keys do not pair, and neither the side nor the order of the records decides anything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tandem_domain::{FieldType, Fields, RecordId, Side, Value};
use tandem_engine::{
    Ambiguous, Candidate, ConflictPolicy, Creates, DeletePolicies, Direction, Equality, FieldRule,
    MatchKey, Matching, Single, SyncPolicy, Transform, match_all, match_form, match_keys,
    match_one, stored_as,
};

const NAMES: [&str; 3] = ["vat", "name", "city"];

fn policy(match_keys: &[&[&str]]) -> SyncPolicy {
    let rule = |name: &str| FieldRule {
        name: name.into(),
        a: name.into(),
        b: name.into(),
        field_type: FieldType::Text,
        direction: Direction::Both,
        equality: Equality::Exact,
        conflict: None,
        transforms: vec![],
    };
    SyncPolicy {
        fields: NAMES.iter().map(|name| rule(name)).collect(),
        match_keys: match_keys
            .iter()
            .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
            .collect(),
        creates: Creates::Both,
        conflict: ConflictPolicy::LastWriteWins,
        prefer: Side::A,
        deletes: DeletePolicies::default(),
        ambiguous: Ambiguous::Hold,
        filters: vec![],
    }
}

fn vat_then_name_and_city() -> SyncPolicy {
    policy(&[&["vat"], &["name", "city"]])
}

/// Few values, so that records often share them.
fn fields() -> impl Strategy<Value = Fields> {
    let value = prop_oneof![
        2 => Just(Value::Null),
        5 => "[xyz]".prop_map(Value::Text),
    ];
    proptest::collection::vec(value, NAMES.len()).prop_map(|values| {
        NAMES
            .iter()
            .map(|name| (*name).to_owned())
            .zip(values)
            .collect()
    })
}

fn side(letter: &'static str) -> impl Strategy<Value = Vec<Candidate>> {
    proptest::collection::vec(fields(), 0..8).prop_map(move |records| {
        let candidate = |(number, fields): (usize, Fields)| Candidate {
            id: RecordId::new(format!("{letter}{number}")),
            keys: match_keys(&vat_then_name_and_city(), &fields),
        };
        records.into_iter().enumerate().map(candidate).collect()
    })
}

fn contradict(one: &Candidate, other: &Candidate) -> bool {
    let theirs: BTreeMap<usize, &MatchKey> =
        other.keys.iter().map(|key| (key.rank(), key)).collect();
    let first_common = one
        .keys
        .iter()
        .find_map(|key| theirs.get(&key.rank()).map(|theirs| *theirs == key));
    first_common == Some(false)
}

fn places(matching: &Matching) -> (Vec<&RecordId>, Vec<&RecordId>) {
    let mut a: Vec<&RecordId> = matching.only_a.iter().collect();
    let mut b: Vec<&RecordId> = matching.only_b.iter().collect();
    a.extend(matching.pairs.iter().map(|(a, _)| a));
    b.extend(matching.pairs.iter().map(|(_, b)| b));
    for unclear in &matching.ambiguous {
        a.extend(&unclear.a);
        b.extend(&unclear.b);
    }
    a.sort();
    b.sort();
    (a, b)
}

proptest! {
    #[test]
    fn every_record_ends_in_exactly_one_place(a in side("a"), b in side("b")) {
        let matching = match_all(&a, &b);
        let (in_a, in_b) = places(&matching);
        prop_assert_eq!(in_a, a.iter().map(|one| &one.id).collect::<Vec<_>>());
        prop_assert_eq!(in_b, b.iter().map(|one| &one.id).collect::<Vec<_>>());
    }

    #[test]
    fn a_pair_shares_a_key_and_no_stronger_one_speaks_against_it(a in side("a"), b in side("b")) {
        for (one, other) in match_all(&a, &b).pairs {
            let one = a.iter().find(|candidate| candidate.id == one).expect("given");
            let other = b.iter().find(|candidate| candidate.id == other).expect("given");
            prop_assert!(one.keys.iter().any(|key| other.keys.contains(key)));
            prop_assert!(!contradict(one, other));
        }
    }

    #[test]
    fn what_is_unclear_has_two_records_on_a_side_that_share_the_key(a in side("a"), b in side("b")) {
        for unclear in match_all(&a, &b).ambiguous {
            prop_assert!(unclear.a.len() > 1 || unclear.b.len() > 1);
            for candidate in a.iter().chain(&b) {
                if unclear.a.contains(&candidate.id) || unclear.b.contains(&candidate.id) {
                    prop_assert!(candidate.keys.contains(&unclear.key));
                }
            }
        }
    }

    #[test]
    fn which_side_is_which_and_the_order_of_records_decide_nothing(a in side("a"), b in side("b")) {
        let matching = match_all(&a, &b);
        let (mut turned_a, mut turned_b) = (a.clone(), b.clone());
        turned_a.reverse();
        turned_b.reverse();
        prop_assert_eq!(&match_all(&turned_a, &turned_b), &matching);
        let crossed = match_all(&b, &a);
        let pairs: BTreeSet<_> = crossed.pairs.into_iter().map(|(b, a)| (a, b)).collect();
        prop_assert_eq!(pairs, matching.pairs.into_iter().collect());
        prop_assert_eq!((crossed.only_a, crossed.only_b), (matching.only_b, matching.only_a));
    }

    #[test]
    fn a_record_alone_finds_the_partner_that_the_whole_comparison_finds(a in side("a"), b in side("b")) {
        for (one, other) in match_all(&a, &b).pairs {
            let record = a.iter().find(|candidate| candidate.id == one).expect("given");
            let others: Vec<Candidate> =
                b.iter().filter(|candidate| candidate.id == other).cloned().collect();
            prop_assert_eq!(match_one(record, &others, &[]), Single::Partner(other));
        }
    }

    #[test]
    fn a_stored_key_outlives_a_new_order_of_the_match_keys(fields in fields()) {
        let turned = policy(&[&["name", "city"], &["vat"]]);
        let texts = |policy: &SyncPolicy| -> BTreeSet<String> {
            match_keys(policy, &fields).into_iter().map(String::from).collect()
        };
        prop_assert_eq!(texts(&turned), texts(&vat_then_name_and_city()));
        for key in match_keys(&turned, &fields) {
            prop_assert_eq!(MatchKey::parse(&turned, key.as_str()), Some(key.clone()));
            let read = MatchKey::parse(&vat_then_name_and_city(), key.as_str()).expect("the same rule");
            prop_assert_ne!(read.rank(), key.rank());
        }
    }
}

#[test]
fn a_key_says_which_fields_it_is_made_of_even_when_their_names_hold_its_signs() {
    let fields = |pairs: &[(&str, &str)]| -> Fields {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned())))
            .collect()
    };
    let one = match_keys(&policy(&[&["a:b"]]), &fields(&[("a:b", "c")]));
    let other = match_keys(&policy(&[&["a"]]), &fields(&[("a", "b:c")]));
    assert_eq!(other[0].as_str(), "a:b:c");
    assert_ne!(one[0].as_str(), other[0].as_str());
}

#[test]
fn a_key_is_the_same_in_each_unicode_form_and_found_as_an_earlier_tandem_stored_it() {
    let mut policy = policy(&[&["name"]]);
    policy.match_keys = vec![vec!["n\u{e4}me".to_owned()]];
    let key = |name: &str| {
        let fields = Fields::from([("n\u{e4}me".to_owned(), Value::Text(name.to_owned()))]);
        match_keys(&policy, &fields).remove(0)
    };
    let (joined, apart) = (
        key("Caf\u{e9} M\u{dc}LLER"),
        key("Cafe\u{301} mu\u{308}ller"),
    );
    assert_eq!(joined, apart);
    assert_eq!(joined.as_str(), "n\u{e4}me:caf\u{e9} m\u{fc}ller");
    let earlier = "n\u{e4}me:cafe\u{301} mu\u{308}ller";
    assert_eq!(
        stored_as(&[joined.as_str().to_owned()]),
        [joined.as_str(), earlier]
    );
    assert_eq!(MatchKey::parse(&policy, earlier), Some(joined));
    assert_eq!(stored_as(&["name:acme".to_owned()]), ["name:acme"]);
}

#[test]
fn a_key_of_a_rule_that_the_sync_has_no_more_is_not_read() {
    let policy = policy(&[&["vat"]]);
    for text in ["0:x", "name:x", "vat", "name+city:x"] {
        assert_eq!(MatchKey::parse(&policy, text), None, "{text}");
    }
}

#[test]
fn the_form_of_keys_changes_with_what_they_are_made_of_and_not_with_their_order() {
    let before = match_form(&vat_then_name_and_city());
    assert_eq!(match_form(&policy(&[&["name", "city"], &["vat"]])), before);
    assert_ne!(match_form(&policy(&[&["vat"]])), before);
    assert_ne!(match_form(&policy(&[&["city", "name"], &["vat"]])), before);
    let mut lowered = vat_then_name_and_city();
    lowered.fields[0].transforms.push(Transform::Lower);
    assert_ne!(match_form(&lowered), before);
    let mut elsewhere = vat_then_name_and_city();
    elsewhere.fields[0].b = "tax_number".into();
    assert_ne!(match_form(&elsewhere), before);
}
