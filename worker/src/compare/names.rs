//! What people call the records that differ. An id says nothing to whoever reads a report.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{Fields, RecordId, Side, Value, called};
use tandem_runtime::SyncDefinition;
use tandem_store::Link;

use super::Difference;
use crate::survey::Listed;

/// The names of the records of these differences: as they are listed now, else as both sides last agreed.
pub(super) fn of<'a>(
    sync: &SyncDefinition,
    told: impl Iterator<Item = &'a Difference>,
    listed: [&Listed; 2],
    links: &[Link],
) -> BTreeMap<(Side, RecordId), String> {
    let wanted: BTreeSet<(Side, &RecordId)> = told.flat_map(Difference::records).collect();
    let mut names = BTreeMap::new();
    if wanted.is_empty() {
        return names;
    }
    for link in links {
        for (side, id) in link.records().filter(|record| wanted.contains(record)) {
            let base = link.base.iter();
            let fields = base.map(|(field, base)| (field.clone(), base.side(side).clone()));
            let name = name(sync, &fields.collect());
            names.extend(name.map(|name| ((side, id.clone()), name)));
        }
    }
    for (side, id) in wanted {
        let of_side = listed[usize::from(side == Side::B)];
        let reading = of_side.records.get(id);
        let name = reading.and_then(|reading| name(sync, &reading.fields));
        names.extend(name.map(|name| ((side, id.clone()), name)));
    }
    names
}

/// By a field that is a name, else by the strongest match key.
fn name(sync: &SyncDefinition, fields: &Fields) -> Option<String> {
    let by_key = || {
        let field = sync.policy.match_keys.first()?.first()?;
        match fields.get(field)? {
            Value::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        }
    };
    called(fields).or_else(by_key)
}
