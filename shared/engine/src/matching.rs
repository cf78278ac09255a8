//! Which record on one side is the same as which on the other, before they are linked.
//!
//! Records are compared by match keys, the strongest first. A weaker key never overrules a stronger
//! one: two records whose stronger keys are both present and differ are not the same, whatever their
//! weaker keys say. What is not one to one is never guessed; it is an [`Ambiguity`].

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{Fields, RecordId, Value};

use crate::equality::fold;
use crate::policy::SyncPolicy;

/// The normalised match keys of a record, strongest first, each as `rank:value`. A key any part of
/// which is empty is left out.
#[must_use]
pub fn match_keys(policy: &SyncPolicy, mapped: &Fields) -> Vec<String> {
    policy
        .match_keys
        .iter()
        .enumerate()
        .filter_map(|(rank, names)| {
            let parts: Option<Vec<String>> = names
                .iter()
                .map(|name| key_part(mapped.get(name)?))
                .collect();
            Some(format!("{rank}:{}", parts?.join("\u{1f}")))
        })
        .collect()
}

fn key_part(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(fold(text)).filter(|folded| !folded.is_empty()),
        Value::Decimal(number) => Some(number.normalize().to_string()),
        other => Some(other.to_string()),
    }
}

/// A record that is not linked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The record.
    pub id: RecordId,
    /// Its match keys, see [`match_keys`].
    pub keys: Vec<String>,
}

/// Records that match, but not one to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    /// The key that they share.
    pub key: String,
    /// The records of side a, in order of id.
    pub a: Vec<RecordId>,
    /// The records of side b, in order of id.
    pub b: Vec<RecordId>,
}

/// The result of matching two whole sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Clear pairs.
    pub pairs: Vec<(RecordId, RecordId)>,
    /// Records of side a without a partner.
    pub only_a: Vec<RecordId>,
    /// Records of side b without a partner.
    pub only_b: Vec<RecordId>,
    /// What a person must look at.
    pub ambiguous: Vec<Ambiguity>,
}

/// Matches all records of both sides that are not linked yet. Records are compared key by key; a
/// group that shares a key is a pair if it has one record on each side. Duplicates on one side are
/// ambiguous even without a partner: to create both would double them on the other side.
#[must_use]
pub fn match_all(a: &[Candidate], b: &[Candidate]) -> Matching {
    let mut matching = Matching::default();
    let mut open_a: BTreeMap<&RecordId, &Candidate> = a.iter().map(|one| (&one.id, one)).collect();
    let mut open_b: BTreeMap<&RecordId, &Candidate> = b.iter().map(|one| (&one.id, one)).collect();
    for rank in ranks(a, b) {
        for (key, group) in groups(&rank, &open_a, &open_b) {
            match (group.a.as_slice(), group.b.as_slice()) {
                ([], []) | ([], [_]) | ([_], []) => continue,
                ([one], [other]) if contradicts(one, other) => continue,
                ([one], [other]) => matching.pairs.push((one.id.clone(), other.id.clone())),
                _ => matching.ambiguous.push(Ambiguity {
                    key: key.to_owned(),
                    a: ids(&group.a),
                    b: ids(&group.b),
                }),
            }
            for one in &group.a {
                open_a.remove(&one.id);
            }
            for other in &group.b {
                open_b.remove(&other.id);
            }
        }
    }
    matching.only_a = open_a.into_keys().cloned().collect();
    matching.only_b = open_b.into_keys().cloned().collect();
    matching
}

#[derive(Default)]
struct Group<'a> {
    a: Vec<&'a Candidate>,
    b: Vec<&'a Candidate>,
}

fn ids(group: &[&Candidate]) -> Vec<RecordId> {
    group.iter().map(|one| one.id.clone()).collect()
}

fn ranks(a: &[Candidate], b: &[Candidate]) -> BTreeSet<String> {
    a.iter()
        .chain(b)
        .flat_map(|one| &one.keys)
        .map(|key| rank_of(key).to_owned())
        .collect()
}

fn rank_of(key: &str) -> &str {
    key.split_once(':').map_or(key, |(rank, _)| rank)
}

/// The records still open, by their key of this rank. A record whose stronger keys contradict those
/// of everyone else in the group is taken out first, so that it does not make a clear pair unclear.
fn groups<'a>(
    rank: &str,
    open_a: &BTreeMap<&'a RecordId, &'a Candidate>,
    open_b: &BTreeMap<&'a RecordId, &'a Candidate>,
) -> BTreeMap<&'a str, Group<'a>> {
    let mut groups: BTreeMap<&'a str, Group<'a>> = BTreeMap::new();
    for one in open_a.values() {
        if let Some(key) = key_of_rank(one, rank) {
            groups.entry(key).or_default().a.push(one);
        }
    }
    for other in open_b.values() {
        if let Some(key) = key_of_rank(other, rank) {
            groups.entry(key).or_default().b.push(other);
        }
    }
    for group in groups.values_mut() {
        drop_contradicted(group);
    }
    groups
}

fn drop_contradicted(group: &mut Group<'_>) {
    let everyone: Vec<&Candidate> = group.a.iter().chain(&group.b).copied().collect();
    if everyone.len() < 2 {
        return;
    }
    let fits_someone = |one: &&Candidate| {
        everyone
            .iter()
            .any(|other| other.id != one.id && !contradicts(one, other))
    };
    group.a.retain(|one| fits_someone(one));
    group.b.retain(|one| fits_someone(one));
}

fn key_of_rank<'a>(one: &'a Candidate, rank: &str) -> Option<&'a str> {
    one.keys
        .iter()
        .map(String::as_str)
        .find(|key| rank_of(key) == rank)
}

/// Whether some key that both have, stronger than the first one they share, differs.
fn contradicts(one: &Candidate, other: &Candidate) -> bool {
    for key in &one.keys {
        match key_of_rank(other, rank_of(key)) {
            Some(theirs) if theirs == key => return false,
            Some(_) => return true,
            None => {}
        }
    }
    false
}

/// The result of matching one record against what is known of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Single {
    /// No record matches.
    NoMatch,
    /// This record is its partner.
    Partner(RecordId),
    /// A person must look.
    Unclear {
        /// The shared key.
        key: String,
        /// Records of the other side.
        candidates: Vec<RecordId>,
        /// Records of the own side.
        rivals: Vec<RecordId>,
    },
}

/// Matches one record: `candidates` are unlinked records of the other side that share any key;
/// `rivals` are other records of its own side that do (linked or not): while there are any, the
/// record may be a duplicate, and a match or create would double it.
#[must_use]
pub fn match_one(record: &Candidate, candidates: &[Candidate], rivals: &[Candidate]) -> Single {
    for key in &record.keys {
        let fitting = |others: &[Candidate]| -> Vec<RecordId> {
            let sharing = others
                .iter()
                .filter(|other| other.id != record.id && other.keys.contains(key));
            sharing
                .filter(|other| !contradicts(record, other))
                .map(|other| other.id.clone())
                .collect()
        };
        let partners: Vec<RecordId> = candidates
            .iter()
            .filter(|other| other.keys.contains(key) && !contradicts(record, other))
            .map(|other| other.id.clone())
            .collect();
        let rivals = fitting(rivals);
        match (partners.as_slice(), rivals.as_slice()) {
            ([], []) => {}
            ([partner], []) => return Single::Partner(partner.clone()),
            _ => {
                return Single::Unclear {
                    key: key.clone(),
                    candidates: partners,
                    rivals,
                };
            }
        }
    }
    Single::NoMatch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str, keys: &[&str]) -> Candidate {
        Candidate {
            id: RecordId::new(id),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn id(text: &str) -> RecordId {
        RecordId::new(text)
    }

    #[test]
    fn a_shared_key_makes_a_pair() {
        let matching = match_all(
            &[one("a1", &["0:x"])],
            &[one("b1", &["0:x"]), one("b2", &["0:y"])],
        );
        assert_eq!(matching.pairs, [(id("a1"), id("b1"))]);
        assert_eq!(matching.only_b, [id("b2")]);
        assert!(matching.only_a.is_empty() && matching.ambiguous.is_empty());
    }

    #[test]
    fn a_missing_strong_key_leaves_the_weak_one_to_decide() {
        let matching = match_all(&[one("a1", &["0:x", "1:n"])], &[one("b1", &["1:n"])]);
        assert_eq!(matching.pairs, [(id("a1"), id("b1"))]);
    }

    #[test]
    fn a_weak_key_never_overrules_a_strong_one() {
        let matching = match_all(&[one("a1", &["0:x", "1:n"])], &[one("b1", &["0:y", "1:n"])]);
        assert!(matching.pairs.is_empty() && matching.ambiguous.is_empty());
        assert_eq!(
            (matching.only_a, matching.only_b),
            (vec![id("a1")], vec![id("b1")])
        );
    }

    #[test]
    fn duplicates_are_ambiguous_with_and_without_a_partner() {
        let twice = [one("a1", &["0:x"]), one("a2", &["0:x"])];
        for b in [vec![one("b1", &["0:x"])], vec![]] {
            let matching = match_all(&twice, &b);
            assert!(matching.pairs.is_empty() && matching.only_a.is_empty());
            assert_eq!(matching.ambiguous[0].a, [id("a1"), id("a2")]);
        }
    }

    #[test]
    fn one_record_is_matched_against_candidates_and_rivals() {
        let record = one("a1", &["0:x", "1:n"]);
        let partner = one("b1", &["0:x"]);
        assert_eq!(
            match_one(&record, std::slice::from_ref(&partner), &[]),
            Single::Partner(id("b1"))
        );
        assert_eq!(match_one(&record, &[], &[]), Single::NoMatch);
        assert_eq!(
            match_one(&record, &[one("b9", &["0:z", "1:n"])], &[]),
            Single::NoMatch
        );
        assert_eq!(
            match_one(&record, &[partner], &[one("a2", &["0:x"])]),
            Single::Unclear {
                key: "0:x".into(),
                candidates: vec![id("b1")],
                rivals: vec![id("a2")]
            }
        );
    }
}
