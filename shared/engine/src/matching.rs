//! Which record on one side is the same as which on the other, before they are linked.
//!
//! Records are compared by match keys, the strongest first. A weaker key never overrules a stronger
//! one: two records whose stronger keys are both present and differ are not the same, whatever their
//! weaker keys say. What is not one to one is never guessed; it is an [`Ambiguity`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tandem_domain::{Fields, RecordId, Value, canonical, decomposed};

use crate::equality::fold;
use crate::policy::SyncPolicy;

/// One match key of a record: the rule that made it, and the normalised values of its fields.
///
/// Its text, `field+field:value`, is what is stored. It says which fields it is made of and not how strong
/// it is, so that keys stored once stay true when a sync orders its match keys anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchKey {
    rank: usize,
    text: String,
}

impl MatchKey {
    /// How strong it is: its place among the match keys of its sync, 0 for the strongest.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads a stored key; `None` when the sync has no such match key (any more).
    #[must_use]
    pub fn parse(policy: &SyncPolicy, text: &str) -> Option<Self> {
        let of_rank = |(rank, names): (usize, &Vec<String>)| {
            let name = name_of(names);
            let values = canonical(text.strip_prefix(&*name)?);
            let text = format!("{name}{values}");
            Some(Self { rank, text })
        };
        policy.match_keys.iter().enumerate().find_map(of_rank)
    }
}

impl std::fmt::Display for MatchKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<MatchKey> for String {
    fn from(key: MatchKey) -> Self {
        key.text
    }
}

/// Changes with what [`fold`] does to a text: then every stored key is made anew.
const FOLDED_HOW: &str = "nfc";

/// What the texts of a rule's keys begin with. The signs that part names are written otherwise in names.
fn name_of(names: &[String]) -> String {
    let plain = |name: &String| {
        name.replace('%', "%25")
            .replace('+', "%2B")
            .replace(':', "%3A")
    };
    let names: Vec<String> = names.iter().map(plain).collect();
    format!("{}:", names.join("+"))
}

/// The normalised match keys of a record, strongest first. A key any part of which is empty is left out. Variants of an
/// ideograph are one here: a system that cannot keep them must still find its own record, and a person hardly has two.
#[must_use]
pub fn match_keys(policy: &SyncPolicy, mapped: &Fields) -> Vec<MatchKey> {
    policy
        .match_keys
        .iter()
        .enumerate()
        .filter_map(|(rank, names)| {
            let parts: Option<Vec<String>> = names
                .iter()
                .map(|name| key_part(mapped.get(name)?))
                .collect();
            let text = format!("{}{}", name_of(names), parts?.join("\u{1f}"));
            Some(MatchKey { rank, text })
        })
        .collect()
}

/// The texts of [`match_keys`], as the index and the journal hold them.
#[must_use]
pub fn key_texts(policy: &SyncPolicy, mapped: &Fields) -> Vec<String> {
    match_keys(policy, mapped)
        .into_iter()
        .map(String::from)
        .collect()
}

/// Keys as the index and the journal may hold them: these, and the same with accents apart. An earlier Tandem stored a key
/// in the Unicode form in which its record came, and a key that is not found would double its record.
#[must_use]
pub fn stored_as(keys: &[String]) -> Vec<String> {
    let apart = keys.iter().filter_map(|key| {
        let (name, values) = key.split_once(':')?;
        Some(format!("{name}:{}", decomposed(values)?))
    });
    keys.iter().cloned().chain(apart).collect()
}

/// What the stored keys of a sync are made of, as a text to compare: while it stays the same, keys stored
/// earlier are what they would be now. The order of the match keys is not in it. How texts are folded is.
#[must_use]
pub fn match_form(policy: &SyncPolicy) -> String {
    let of_field = |name: &String| {
        let rule = policy.rule(name);
        rule.map_or_else(String::new, |rule| {
            format!("{}={}={:?}", rule.a, rule.b, rule.transforms)
        })
    };
    let of_key = |names: &Vec<String>| {
        let fields: Vec<String> = names.iter().map(of_field).collect();
        format!("{}{}", name_of(names), fields.join("+"))
    };
    let forms: BTreeSet<String> = policy.match_keys.iter().map(of_key).collect();
    let forms: Vec<String> = forms.into_iter().collect();
    format!("{FOLDED_HOW}; {}", forms.join("; "))
}

fn key_part(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => {
            Some(canonical(&fold(text)).into_owned()).filter(|folded| !folded.is_empty())
        }
        Value::Decimal(number) => Some(number.normalize().to_string()),
        other => Some(other.to_string()),
    }
}

/// A record that is not linked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The record.
    pub id: RecordId,
    /// Its match keys, strongest first, see [`match_keys`].
    pub keys: Vec<MatchKey>,
}

/// Records that match, but not one to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    /// The key that they share.
    pub key: MatchKey,
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
        for (key, group) in groups(rank, &open_a, &open_b) {
            match (group.a.as_slice(), group.b.as_slice()) {
                ([], []) | ([], [_]) | ([_], []) => continue,
                ([one], [other]) if contradicts(one, other) => continue,
                ([one], [other]) => matching.pairs.push((one.id.clone(), other.id.clone())),
                _ => matching.ambiguous.push(Ambiguity {
                    key: key.clone(),
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

fn ranks(a: &[Candidate], b: &[Candidate]) -> BTreeSet<usize> {
    let keys = a.iter().chain(b).flat_map(|one| &one.keys);
    keys.map(MatchKey::rank).collect()
}

/// The records still open, by their key of this rank. A record whose stronger keys contradict those
/// of everyone else in the group is taken out first, so that it does not make a clear pair unclear.
fn groups<'a>(
    rank: usize,
    open_a: &BTreeMap<&'a RecordId, &'a Candidate>,
    open_b: &BTreeMap<&'a RecordId, &'a Candidate>,
) -> BTreeMap<&'a MatchKey, Group<'a>> {
    let mut groups: BTreeMap<&'a MatchKey, Group<'a>> = BTreeMap::new();
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
        drop_contradicted(rank, group);
    }
    groups
}

/// Takes out whose stronger keys contradict those of everyone else. It counts instead of comparing each with
/// each: a weak key may be shared by very many.
fn drop_contradicted(rank: usize, group: &mut Group<'_>) {
    if group.a.len() + group.b.len() < 2 {
        return;
    }
    let everyone = group.a.iter().chain(&group.b);
    let counts = Counts::of(rank, everyone.copied());
    group.a.retain(|one| counts.has_fitting(one));
    group.b.retain(|one| counts.has_fitting(one));
}

/// The ranks of the keys that a record has, of those stronger than the one that its group shares.
type Ranks = Vec<usize>;

/// How many records of a group have which keys. The combinations of ranks are few, whatever the size of the
/// group.
struct Counts<'a> {
    rank: usize,
    records: BTreeMap<Ranks, usize>,
    by_key: HashMap<(&'a MatchKey, Ranks), usize>,
}

impl<'a> Counts<'a> {
    fn of(rank: usize, everyone: impl Iterator<Item = &'a Candidate>) -> Self {
        let mut counts = Self {
            rank,
            records: BTreeMap::new(),
            by_key: HashMap::new(),
        };
        for one in everyone {
            let ranks = counts.ranks(one);
            for key in one.keys.iter().filter(|key| key.rank < rank) {
                *counts.by_key.entry((key, ranks.clone())).or_default() += 1;
            }
            *counts.records.entry(ranks).or_default() += 1;
        }
        counts
    }

    fn ranks(&self, one: &Candidate) -> Ranks {
        let ranks = one.keys.iter().map(|key| key.rank);
        let ranks: BTreeSet<usize> = ranks.filter(|rank| *rank < self.rank).collect();
        ranks.into_iter().collect()
    }

    /// Whether somebody else in the group is not contradicted: the strongest key that both have is the same,
    /// or they have none in common.
    fn has_fitting(&self, one: &'a Candidate) -> bool {
        let own = self.ranks(one);
        self.records.iter().any(|(theirs, records)| {
            let common = own.iter().find(|rank| theirs.contains(rank));
            let fitting = match common.and_then(|rank| key_of_rank(one, *rank)) {
                None => *records,
                Some(key) => {
                    let counted = self.by_key.get(&(key, theirs.clone()));
                    counted.copied().unwrap_or_default()
                }
            };
            fitting > usize::from(own == *theirs)
        })
    }
}

fn key_of_rank(one: &Candidate, rank: usize) -> Option<&MatchKey> {
    one.keys.iter().find(|key| key.rank == rank)
}

/// Whether some key that both have, stronger than the first one they share, differs.
#[must_use]
pub fn contradicts(one: &Candidate, other: &Candidate) -> bool {
    for key in &one.keys {
        match key_of_rank(other, key.rank) {
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
        key: MatchKey,
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
            keys: keys.iter().map(|text| key(text)).collect(),
        }
    }

    /// `0:x` is a key of the strongest rule with the value x.
    fn key(text: &str) -> MatchKey {
        let (rank, _) = text.split_once(':').expect("a rank and a value");
        MatchKey {
            rank: rank.parse().expect("a rank"),
            text: text.to_owned(),
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
    fn records_that_have_the_same_id_on_both_sides_are_a_pair_like_others() {
        let matching = match_all(&[one("17", &["0:x"])], &[one("17", &["0:x"])]);
        assert_eq!(matching.pairs, [(id("17"), id("17"))]);
    }

    /// Compared each with each, this would take billions of comparisons.
    #[test]
    fn a_weak_key_that_very_many_share_is_counted_and_not_compared_each_with_each() {
        const MANY: usize = 100_000;
        let many = |side: &str| -> Vec<Candidate> {
            let names =
                (0..MANY).map(|number| (format!("{side}{number}"), format!("0:{side}{number}")));
            names
                .map(|(id, strong)| one(&id, &[&strong, "1:ghent"]))
                .collect()
        };
        let matching = match_all(&many("a"), &many("b"));
        assert!(matching.pairs.is_empty() && matching.ambiguous.is_empty());
        assert_eq!((matching.only_a.len(), matching.only_b.len()), (MANY, MANY));
    }

    #[test]
    fn what_is_counted_is_what_comparing_each_with_each_finds() {
        let strong = ["0:x", "0:y", "1:x", "1:y"];
        let all: Vec<Candidate> = (0..16_usize)
            .map(|bits| {
                let mut keys: Vec<&str> = (0..4)
                    .filter(|bit| bits >> bit & 1 == 1)
                    .map(|bit| strong[bit])
                    .collect();
                keys.dedup_by_key(|key| key.as_bytes()[0]);
                keys.push("2:ghent");
                one(&format!("r{bits}"), &keys)
            })
            .collect();
        for left_out in 0..1_usize << 16 {
            let some: Vec<&Candidate> = (0..16)
                .filter(|bit| left_out >> bit & 1 == 0)
                .map(|bit| &all[bit])
                .collect();
            if some.len() > 4 {
                continue;
            }
            let counts = Counts::of(2, some.iter().copied());
            for one in &some {
                let fits = some
                    .iter()
                    .any(|other| other.id != one.id && !contradicts(one, other));
                assert_eq!(counts.has_fitting(one), fits, "{one:?} among {some:?}");
            }
        }
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
                key: key("0:x"),
                candidates: vec![id("b1")],
                rivals: vec![id("a2")]
            }
        );
    }
}
