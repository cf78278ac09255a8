//! Sorts the records of both systems into companies.
//!
//! 1. The companies of the start are fixed first: records with the same e-mail address belong
//!    together, and a record without one belongs to those of its name. A record keeps its company
//!    for good, by its id, whatever it is renamed to. Two companies of the start are never merged
//!    later, so that a product that mixes two companies up cannot make its mistake look right.
//! 2. Records that came later join a company, or each other, by the first of these that they share:
//!    e-mail now; e-mail when created; name now; name when created; external reference.
//!
//! The reference is whatever the product wrote; it is only ever compared with other references
//! and with ids. A text that many records carry tells nothing and is passed over.

use std::collections::{BTreeMap, HashMap};

use crate::config::SimKind;
use crate::fields::{Field, email_key, name_key};
use crate::state::{SimRecord, SimState, SimWrite, WriteOp};

/// A reference carried by more records than this is not a reference to a company.
const REFERENCE_SHARED_MAX: usize = 4;
/// What may stand between the parts of a reference; not the hyphen, which ids contain.
const REFERENCE_SEPARATORS: [char; 8] = [':', '/', '|', '#', '=', ',', ';', ' '];

/// The records of one company.
#[derive(Default)]
pub(super) struct Group<'a> {
    pub crm: Vec<Member<'a>>,
    pub finance: Vec<Member<'a>>,
}

/// One record, as it was and as it is.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    side: SimKind,
    id: &'a str,
    pub initial: Option<&'a SimRecord>,
    pub current: Option<&'a SimRecord>,
    /// The API request that created it, where that is still known.
    created: Option<&'a SimWrite>,
}

impl<'a> Group<'a> {
    pub(super) fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        self.crm.iter().chain(&self.finance)
    }

    /// The company's name and ids, for people.
    pub(super) fn label(&self) -> String {
        let ids = |members: &[Member<'_>]| match members {
            [] => "none".to_owned(),
            some => some
                .iter()
                .map(Member::describe)
                .collect::<Vec<_>>()
                .join(", "),
        };
        let newest = self
            .members()
            .find_map(|member| member.current.or(member.initial));
        let name = newest.map_or("", |record| record.fields.get(Field::Name));
        format!(
            "{name} (crm {}; finance {})",
            ids(&self.crm),
            ids(&self.finance)
        )
    }
}

impl Member<'_> {
    pub(super) fn was_live_at_start(&self) -> bool {
        self.initial.is_some_and(|record| !record.archived)
    }

    fn describe(&self) -> String {
        let state = match self.current {
            None => " vanished",
            Some(record) if record.archived => " archived",
            Some(_) => "",
        };
        format!("{}{state}", self.id)
    }

    fn email_now(&self) -> String {
        self.current
            .map(|record| email_key(record.fields.get(Field::Email)))
            .unwrap_or_default()
    }

    fn name_now(&self) -> String {
        self.current
            .map(|record| name_key(record.fields.get(Field::Name)))
            .unwrap_or_default()
    }

    /// The value given when the API created the record, else the present one.
    fn when_created(&self, field: Field, key: fn(&str) -> String) -> String {
        let given = self
            .created
            .and_then(|write| write.fields.get(&field))
            .map(String::as_str);
        let now = self.current.map(|record| record.fields.get(field));
        given.or(now).map(key).unwrap_or_default()
    }

    fn reference(&self) -> &str {
        self.current
            .and_then(|record| record.reference.as_deref())
            .unwrap_or_default()
    }
}

/// Sorts everything that is or was there into companies, in a fixed order.
pub(super) fn group<'a>(
    crm: &'a SimState,
    finance: &'a SimState,
    initial_crm: &'a SimState,
    initial_finance: &'a SimState,
) -> Vec<Group<'a>> {
    let mut members = members_of(SimKind::Crm, initial_crm, crm);
    members.extend(members_of(SimKind::Finance, initial_finance, finance));
    let mut sets = Sets::new(members.len());
    join_at_start(&members, &mut sets);
    sets.fix_companies(|node| members[node].was_live_at_start());
    join_later(&members, &mut sets);
    let mut groups: BTreeMap<usize, Group<'a>> = BTreeMap::new();
    for (node, member) in members.into_iter().enumerate() {
        let group = groups.entry(sets.root(node)).or_default();
        match member.side {
            SimKind::Crm => group.crm.push(member),
            SimKind::Finance => group.finance.push(member),
        }
    }
    groups.into_values().collect()
}

fn members_of<'a>(side: SimKind, initial: &'a SimState, current: &'a SimState) -> Vec<Member<'a>> {
    let creating = current
        .writes
        .iter()
        .filter(|write| write.op == WriteOp::Create);
    let created: HashMap<&str, &SimWrite> =
        creating.map(|write| (write.id.as_str(), write)).collect();
    let mut members: Vec<Member<'a>> = Vec::with_capacity(current.records.len());
    let mut places = HashMap::with_capacity(current.records.len());
    for record in &initial.records {
        places.insert(record.id.as_str(), members.len());
        members.push(Member {
            side,
            id: &record.id,
            initial: Some(record),
            current: None,
            created: None,
        });
    }
    for record in &current.records {
        match places.get(record.id.as_str()) {
            Some(place) => members[*place].current = Some(record),
            None => {
                let created = created.get(record.id.as_str()).copied();
                members.push(Member {
                    side,
                    id: &record.id,
                    initial: None,
                    current: Some(record),
                    created,
                });
            }
        }
    }
    members
}

/// By e-mail, and by name where there is none.
fn join_at_start(members: &[Member<'_>], sets: &mut Sets) {
    let mut by_email: HashMap<String, usize> = HashMap::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let mut without_email = Vec::new();
    for (node, member) in members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.was_live_at_start())
    {
        let Some(record) = member.initial else {
            continue;
        };
        let (email, name) = (
            email_key(record.fields.get(Field::Email)),
            name_key(record.fields.get(Field::Name)),
        );
        if email.is_empty() {
            without_email.push((node, name));
        } else {
            sets.join(*by_email.entry(email).or_insert(node), node);
            by_name.entry(name).or_insert(node);
        }
    }
    for (node, name) in without_email
        .into_iter()
        .filter(|(_, name)| !name.is_empty())
    {
        sets.join(*by_name.entry(name).or_insert(node), node);
    }
}

fn join_later(members: &[Member<'_>], sets: &mut Sets) {
    let keys: [fn(&Member<'_>) -> String; 4] = [
        |member| member.email_now(),
        |member| member.when_created(Field::Email, email_key),
        |member| member.name_now(),
        |member| member.when_created(Field::Name, name_key),
    ];
    for key in keys {
        for nodes in sharing(members, key).into_values() {
            sets.join_all(&nodes);
        }
    }
    let by_reference = sharing(members, |member| member.reference().to_owned());
    for nodes in by_reference
        .into_values()
        .filter(|nodes| nodes.len() <= REFERENCE_SHARED_MAX)
    {
        sets.join_all(&nodes);
    }
    join_by_ids_in_references(members, sets);
}

/// Nodes by the key they share, without those that have no key.
fn sharing(
    members: &[Member<'_>],
    key: impl Fn(&Member<'_>) -> String,
) -> BTreeMap<String, Vec<usize>> {
    let mut nodes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (node, member) in members.iter().enumerate() {
        let key = key(member);
        if !key.is_empty() {
            nodes.entry(key).or_default().push(node);
        }
    }
    nodes
}

/// A reference may name the record on the other side that it stands for.
fn join_by_ids_in_references(members: &[Member<'_>], sets: &mut Sets) {
    let nodes: HashMap<(SimKind, &str), usize> = members
        .iter()
        .enumerate()
        .map(|(node, member)| ((member.side, member.id), node))
        .collect();
    for (node, member) in members.iter().enumerate() {
        let other_side = match member.side {
            SimKind::Crm => SimKind::Finance,
            SimKind::Finance => SimKind::Crm,
        };
        for part in member.reference().split(REFERENCE_SEPARATORS) {
            if let Some(other) = nodes.get(&(other_side, part)) {
                sets.join(*other, node);
            }
        }
    }
}

/// Disjoint sets of nodes; sets that hold different companies of the start are never joined.
struct Sets {
    parents: Vec<usize>,
    /// The company of the start that a root stands for.
    companies: Vec<Option<usize>>,
}

impl Sets {
    fn new(nodes: usize) -> Sets {
        Sets {
            parents: (0..nodes).collect(),
            companies: vec![None; nodes],
        }
    }

    fn root(&mut self, node: usize) -> usize {
        let mut root = node;
        while self.parents[root] != root {
            // Halving the path on the way keeps later walks short.
            self.parents[root] = self.parents[self.parents[root]];
            root = self.parents[root];
        }
        root
    }

    /// From now on the sets of these nodes are companies of the start.
    fn fix_companies(&mut self, was_live_at_start: impl Fn(usize) -> bool) {
        for node in (0..self.parents.len()).filter(|node| was_live_at_start(*node)) {
            let root = self.root(node);
            self.companies[root] = Some(root);
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let both_fixed = self.companies[a].is_some() && self.companies[b].is_some();
        if a == b || both_fixed {
            return;
        }
        self.parents[b] = a;
        self.companies[a] = self.companies[a].or(self.companies[b]);
    }

    /// Joins nodes that share a key, to a company of the start where one is among them.
    fn join_all(&mut self, nodes: &[usize]) {
        let fixed = nodes.iter().copied().find(|node| {
            let root = self.root(*node);
            self.companies[root].is_some()
        });
        let Some(first) = fixed.or(nodes.first().copied()) else {
            return;
        };
        for node in nodes {
            self.join(first, *node);
        }
    }
}
