//! Whether the record under an id is still the one that was linked. A system that was restored from a backup, or
//! emptied and filled anew, gives ids again: what stands under a known id may be an older state, or somebody else.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, Fields, Side, Timestamp};

use crate::equality::same;
use crate::matching::match_keys;
use crate::policy::SyncPolicy;

/// Systems give the time at which a record was made with more digits in one place than in another.
const SAME_MOMENT: Duration = Duration::from_secs(2);
/// With fewer values than this, all of them may well be changed at once by somebody who edits.
const VALUES_MIN: usize = 3;

/// The marks by which a record is known, by its system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks<'a> {
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// The same once more, where it is a local time that comes twice as clocks are put back: it may be either.
    pub updated_again: Option<Timestamp>,
    /// Its version.
    pub version: Option<&'a str>,
    /// The checksum of its mapped fields.
    pub checksum: Option<&'a str>,
}

/// What speaks against a record being the one that was linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistaken {
    /// It is an older state of it: a reading that lags behind, or a system that was restored.
    Older(String),
    /// It is another record.
    Other(String),
}

/// Whether a record was made at another time than the one that was linked: somebody filled its system anew, be it with the
/// same values.
#[must_use]
pub fn is_made_anew(known: Option<Timestamp>, found: Option<Timestamp>) -> bool {
    let times = known.zip(found);
    times.is_some_and(|(then, now)| then.since(now).max(now.since(then)) > SAME_MOMENT)
}

/// Compares a record with what is known of the one that was linked.
#[must_use]
pub fn mistaken(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    side: Side,
    known: Marks<'_>,
    found: Marks<'_>,
    fields: &Fields,
) -> Option<Mistaken> {
    let Compared { kept, lost, filled } = compare(policy, base, side, fields);
    if lost + filled == 0 {
        // An edit that both sides have not settled yet is in no base. It is lost all the same where what both agreed on
        // before stands there again.
        let is_as_seen = known.checksum.is_none() || known.checksum == found.checksum;
        let reason = went_back(known, found).filter(|_| !is_as_seen);
        return reason.map(Mistaken::Older);
    }
    if let (Some(then), Some(now)) = (known.made_at, found.made_at)
        && is_made_anew(known.made_at, found.made_at)
    {
        let reason = format!("it was made at {now}, the record that was linked at {then}");
        return Some(Mistaken::Other(reason));
    }
    if let Some(reason) = went_back(known, found) {
        return Some(Mistaken::Older(reason));
    }
    // Times that differ by little may be one with more and one with fewer digits, or those of two records.
    let is_the_same = known.made_at.is_some() && known.made_at == found.made_at;
    if is_the_same || lost < VALUES_MIN {
        return None;
    }
    if kept == 0 {
        let reason = format!("none of the {lost} values that it had is the same");
        return Some(Mistaken::Other(reason));
    }
    // Somebody else's record may well have the same country. What it is known by says more.
    if lost > kept && has_other_keys(policy, base, side, fields) {
        let reason = format!(
            "of what it is matched by nothing is the same, and of {} values that it had {kept}",
            lost + kept
        );
        return Some(Mistaken::Other(reason));
    }
    None
}

/// Whether a record had match keys when both sides last agreed, and has none of them any more.
fn has_other_keys(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    side: Side,
    fields: &Fields,
) -> bool {
    let known = BaseValue::all_of(base, side);
    let (before, now) = (match_keys(policy, &known), match_keys(policy, fields));
    !before.is_empty() && !before.iter().any(|key| now.contains(key))
}

/// Whether a record that comes back under an id is the one that was linked: it is known by what it was, or holds most of
/// what it held. One value that both have, a country say, does not make it that.
#[must_use]
pub fn is_known(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    side: Side,
    fields: &Fields,
) -> bool {
    let Compared { kept, lost, .. } = compare(policy, base, side, fields);
    kept > 0 && (kept > lost || !has_other_keys(policy, base, side, fields))
}

/// What became of the values that a record had when both sides agreed.
#[derive(Default)]
struct Compared {
    /// The same.
    kept: usize,
    /// Another value, or none.
    lost: usize,
    /// There was none, and there is one: whoever fills in a new record does that.
    filled: usize,
}

fn compare(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    side: Side,
    fields: &Fields,
) -> Compared {
    let mut compared = Compared::default();
    for rule in &policy.fields {
        let Some(known) = base.get(&rule.name).map(|base| base.side(side)) else {
            continue;
        };
        let found = fields.get(&rule.name).cloned().unwrap_or_default();
        if same(rule.equality, known, &found) {
            compared.kept += usize::from(!known.is_null());
        } else if known.is_null() {
            compared.filled += 1;
        } else {
            compared.lost += 1;
        }
    }
    compared
}

/// Whether more of the values that a record had when both sides last agreed still stand there than do not.
#[must_use]
pub fn keeps_most(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    side: Side,
    fields: &Fields,
) -> bool {
    let compared = compare(policy, base, side, fields);
    compared.kept > compared.lost
}

fn went_back(known: Marks<'_>, found: Marks<'_>) -> Option<String> {
    let latest = found.updated_again.or(found.updated_at);
    if let (Some(then), Some(now), Some(latest)) = (known.updated_at, found.updated_at, latest)
        && then.since(latest) > SAME_MOMENT
    {
        return Some(format!(
            "it says that it last changed at {now}, and it was seen with a change of {then}"
        ));
    }
    // Times that go back by less say nothing alone, and others speak against an older state.
    if let (Some(then), Some(now)) = (known.updated_at, found.updated_at)
        && now >= then
    {
        return None;
    }
    // A version is often only a mark, and a mark may look like a number: only small ones count.
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u32>().ok());
    match (number(known.version), number(found.version)) {
        (Some(then), Some(now)) if now < then => Some(format!(
            "it is at version {now}, and it was seen at version {then}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::{FieldType, Value};

    use super::*;
    use crate::policy::{
        Ambiguous, ConflictPolicy, Creates, DeletePolicies, Direction, Equality, FieldRule,
    };

    fn policy() -> SyncPolicy {
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
            fields: ["name", "email", "city"].map(rule).to_vec(),
            match_keys: vec![vec!["email".into()]],
            creates: Creates::Both,
            conflict: ConflictPolicy::LastWriteWins,
            prefer: Side::A,
            deletes: DeletePolicies::default(),
            ambiguous: Ambiguous::Hold,
            filters: vec![],
        }
    }

    fn fields(values: [&str; 3]) -> Fields {
        ["name", "email", "city"]
            .into_iter()
            .zip(values)
            .map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned())))
            .collect()
    }

    fn base() -> BTreeMap<String, BaseValue> {
        let both = |(name, value): (String, Value)| {
            let base = BaseValue {
                a: value.clone(),
                b: value,
            };
            (name, base)
        };
        fields(["Ann", "ann@x", "Ghent"])
            .into_iter()
            .map(both)
            .collect()
    }

    fn at(secs: i64) -> Option<Timestamp> {
        Some(Timestamp::from_secs(secs))
    }

    fn judged(known: Marks<'_>, found: Marks<'_>, values: [&str; 3]) -> Option<Mistaken> {
        mistaken(&policy(), &base(), Side::A, known, found, &fields(values))
    }

    #[test]
    fn a_record_made_at_another_time_is_another_unless_it_holds_the_same() {
        let marks = |secs| Marks {
            made_at: at(secs),
            ..Marks::default()
        };
        let (same, edited) = (["Ann", "ann@x", "Ghent"], ["Ann", "ann@x", "Bruges"]);
        assert_eq!(judged(marks(10), marks(11), edited), None);
        assert_eq!(judged(marks(10), marks(99), same), None);
        assert!(matches!(
            judged(marks(10), marks(99), edited),
            Some(Mistaken::Other(_))
        ));
    }

    #[test]
    fn a_change_or_version_that_goes_back_shows_an_older_state_if_the_values_differ() {
        let time = |secs| Marks {
            updated_at: at(secs),
            ..Marks::default()
        };
        let version = |version| Marks {
            version: Some(version),
            ..Marks::default()
        };
        let (same, edited) = (["Ann", "ann@x", "Ghent"], ["Ann", "ann@x", "Bruges"]);
        for (then, now) in [(time(20), time(10)), (version("10"), version("9"))] {
            assert!(matches!(
                judged(then, now, edited),
                Some(Mistaken::Older(_))
            ));
            assert_eq!(judged(then, now, same), None);
            assert_eq!(judged(now, then, edited), None);
        }
    }

    #[test]
    fn a_local_time_that_comes_twice_goes_back_by_no_more_than_the_clocks_are_put_back() {
        let known = |secs| Marks {
            updated_at: at(secs),
            ..Marks::default()
        };
        let found = Marks {
            updated_at: at(1_007),
            updated_again: at(4_607),
            ..Marks::default()
        };
        let edited = ["Ann", "ann@x", "Bruges"];
        assert_eq!(judged(known(4_578), found, edited), None);
        assert!(matches!(
            judged(known(4_700), found, edited),
            Some(Mistaken::Older(_))
        ));
        // A version tells what the times do not.
        let version = |marks, version| Marks {
            version: Some(version),
            ..marks
        };
        let older = judged(version(known(4_578), "4"), version(found, "3"), edited);
        assert!(matches!(older, Some(Mistaken::Older(_))));
    }

    #[test]
    fn what_both_agreed_on_is_an_older_state_where_an_edit_was_seen_since() {
        let marks = |checksum, secs| Marks {
            checksum: Some(checksum),
            updated_at: at(secs),
            ..Marks::default()
        };
        let agreed = ["Ann", "ann@x", "Ghent"];
        let found = marks("agreed", 10);
        assert!(matches!(
            judged(marks("edited", 20), found, agreed),
            Some(Mistaken::Older(_))
        ));
        assert_eq!(
            judged(marks("edited", 9), found, agreed),
            None,
            "taken back"
        );
        let unknown = Marks {
            checksum: None,
            ..marks("", 20)
        };
        for then in [marks("agreed", 20), unknown] {
            assert_eq!(judged(then, found, agreed), None);
        }
    }

    #[test]
    fn a_version_that_goes_back_with_a_time_that_goes_back_by_a_moment_shows_an_older_state() {
        let marks = |version, secs| Marks {
            version: Some(version),
            updated_at: at(secs),
            ..Marks::default()
        };
        let edited = ["Ann", "ann@x", "Bruges"];
        let older = judged(marks("4", 20), marks("3", 19), edited);
        assert!(matches!(older, Some(Mistaken::Older(_))));
        // A counter that begins anew, and one that is none.
        for found in [marks("3", 20), marks("3", 21), marks("5", 19)] {
            assert_eq!(judged(marks("4", 20), found, edited), None);
        }
    }

    #[test]
    fn a_record_that_somebody_fills_in_is_the_same() {
        let name = |value| BaseValue {
            a: value,
            b: Value::Null,
        };
        let base = BTreeMap::from([
            ("name".to_owned(), name(Value::Text("(new)".to_owned()))),
            ("email".to_owned(), name(Value::Null)),
            ("city".to_owned(), name(Value::Null)),
        ]);
        let filled = fields(["Ann", "ann@x", "Bruges"]);
        let marks = Marks::default();
        assert_eq!(
            mistaken(&policy(), &base, Side::A, marks, marks, &filled),
            None
        );
    }

    #[test]
    fn without_times_a_record_that_kept_no_value_is_another() {
        let unknown = Marks::default();
        let other = ["Bob", "bob@y", "Paris"];
        assert!(matches!(
            judged(unknown, unknown, other),
            Some(Mistaken::Other(_))
        ));
        assert_eq!(judged(unknown, unknown, ["Ann", "bob@y", "Paris"]), None);
        let made = Marks {
            made_at: at(10),
            ..Marks::default()
        };
        assert_eq!(
            judged(made, made, other),
            None,
            "it was made at the same time: somebody edits"
        );
        let a_moment_later = Marks {
            made_at: at(11),
            ..Marks::default()
        };
        assert!(
            judged(made, a_moment_later, other).is_some(),
            "two records can be made within a moment"
        );
    }

    #[test]
    fn another_record_with_one_value_in_common_is_told_by_what_it_is_known_by() {
        let mut policy = policy();
        let mut base = base();
        for name in ["street", "phone"] {
            let mut rule = policy.fields[0].clone();
            rule.name = name.into();
            policy.fields.push(rule);
            base.insert(name.into(), base["name"].clone());
        }
        let bob = |city: &str, email: &str| {
            let mut fields = fields(["Bob", email, city]);
            for name in ["street", "phone"] {
                fields.insert(name.into(), Value::Text("of Bob".into()));
            }
            fields
        };
        let judged = |fields: &Fields| {
            let marks = Marks::default();
            mistaken(&policy, &base, Side::A, marks, marks, fields)
        };
        let other = bob("Ghent", "bob@x");
        assert!(matches!(judged(&other), Some(Mistaken::Other(_))));
        assert!(!is_known(&policy, &base, Side::A, &other));
        let renamed = bob("Ghent", "ann@x");
        assert_eq!(judged(&renamed), None, "it is known by its address");
        assert!(is_known(&policy, &base, Side::A, &renamed));
    }
}
