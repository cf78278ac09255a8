//! Makes the mapping rules: names, types, directions.

use std::collections::BTreeMap;

use tandem_connectors::FieldInfo;
use tandem_domain::{FieldType, Side};
use tandem_engine::{Direction, Equality, FieldRule};

use super::Builder;
use super::syncs::{Ends, Stream};
use crate::config::error::FieldPath;
use crate::config::sync::{FieldConfig, SyncConfig};
use tandem_domain::suggest::advice;

impl Builder<'_> {
    /// The rules that are right; the others are noted.
    pub(super) fn rules(
        &mut self,
        config: &SyncConfig,
        ends: &Ends,
        at: &FieldPath,
    ) -> Vec<FieldRule> {
        self.check_mapped(config, at);
        let rules: Vec<FieldRule> = config
            .fields
            .iter()
            .filter_map(|(name, field)| self.rule(name, field, ends, &at.key(name)))
            .collect();
        for side in Side::BOTH {
            self.check_written_once(&rules, ends.side(side), side, at);
        }
        rules
    }

    /// Whether anything is mapped at all.
    pub(super) fn check_mapped(&mut self, config: &SyncConfig, at: &FieldPath) {
        if config.fields.is_empty() {
            let message =
                "at least one field must be mapped, or there is nothing to keep in agreement";
            self.problems.add(at.clone(), message);
        }
    }

    fn rule(
        &mut self,
        name: &str,
        config: &FieldConfig,
        ends: &Ends,
        at: &FieldPath,
    ) -> Option<FieldRule> {
        let a = self.stream_field(name, config, &ends.a, Side::A, at);
        let b = self.stream_field(name, config, &ends.b, Side::B, at);
        let (a, b) = (a?, b?);
        if a.field_type != b.field_type {
            let message = format!(
                "it is {} in {} and {} in {}; map fields of the same type, or declare the type in a manifest of your own",
                a.field_type.as_str(),
                ends.a.shown,
                b.field_type.as_str(),
                ends.b.shown
            );
            self.problems.add(at.clone(), message);
            return None;
        }
        self.check_fit(config, a.field_type, at);
        let direction = direction(config.direction, (&a, &ends.a), (&b, &ends.b));
        let direction = self.problems.note(at.key("direction"), direction)?;
        Some(FieldRule {
            name: name.to_owned(),
            a: config.stream_field(name, Side::A).to_owned(),
            b: config.stream_field(name, Side::B).to_owned(),
            field_type: a.field_type,
            direction,
            equality: config.equality,
            conflict: config.conflict,
            transforms: config.transforms.clone(),
        })
    }

    pub(super) fn stream_field(
        &mut self,
        name: &str,
        config: &FieldConfig,
        stream: &Stream,
        side: Side,
        at: &FieldPath,
    ) -> Option<FieldInfo> {
        let field = config.stream_field(name, side);
        let found = stream.info.fields.get(field).cloned();
        if found.is_none() {
            let known = stream.info.fields.keys().map(String::as_str);
            let message = format!(
                "{} has no field `{field}`{}",
                stream.shown,
                advice(field, known)
            );
            self.problems.add(at.key(side), message);
        }
        found
    }

    /// Whether equality and transforms mean something for the type.
    fn check_fit(&mut self, config: &FieldConfig, field_type: FieldType, at: &FieldPath) {
        let is_text = field_type == FieldType::Text;
        let is_number = matches!(
            field_type,
            FieldType::Decimal | FieldType::Integer | FieldType::Money
        );
        let shown = field_type.as_str();
        match config.equality {
            Equality::Folded if !is_text => {
                let message =
                    format!("only text can be folded, and this is {shown}; leave `equality` out");
                self.problems.add(at.key("equality"), message);
            }
            Equality::Decimals(_) if !is_number => {
                let message = format!(
                    "only numbers have decimals, and this is {shown}; leave `equality` out"
                );
                self.problems.add(at.key("equality"), message);
            }
            Equality::Exact | Equality::Folded | Equality::Decimals(_) => {}
        }
        if !config.transforms.is_empty() && !is_text {
            let message = format!(
                "only text can be transformed, and this is {shown}; leave `transforms` out"
            );
            self.problems.add(at.key("transforms"), message);
        }
    }

    /// Two rules that write one field would overwrite each other for ever.
    fn check_written_once(
        &mut self,
        rules: &[FieldRule],
        stream: &Stream,
        side: Side,
        at: &FieldPath,
    ) {
        let mut writers: BTreeMap<&str, &str> = BTreeMap::new();
        for rule in rules.iter().filter(|rule| rule.direction.writes(side)) {
            let field = rule.stream_field(side);
            if let Some(first) = writers.insert(field, &rule.name) {
                let message = format!(
                    "`{first}` and `{}` both write `{field}` of {}; let one of them only read it (`direction: {side}_to_{}`)",
                    rule.name,
                    stream.shown,
                    side.other()
                );
                self.problems.add(at.key(&rule.name), message);
            }
        }
    }
}

/// Which way a field flows: as told if both systems allow it, else wherever it can be written.
fn direction(
    told: Option<Direction>,
    (a, stream_a): (&FieldInfo, &Stream),
    (b, stream_b): (&FieldInfo, &Stream),
) -> Result<Direction, String> {
    let can_write = |field: &FieldInfo, stream: &Stream| {
        let Stream { info, .. } = stream;
        field.writable && (info.capabilities.create || info.capabilities.update)
    };
    let (into_a, into_b) = (can_write(a, stream_a), can_write(b, stream_b));
    let widest = match (into_a, into_b) {
        (true, true) => Direction::Both,
        (false, true) => Direction::AToB,
        (true, false) => Direction::BToA,
        (false, false) => {
            return Err(format!(
                "neither {} nor {} lets this field be written; leave it out",
                stream_a.shown, stream_b.shown
            ));
        }
    };
    match told {
        None => Ok(widest),
        Some(told) if told == widest || widest == Direction::Both => Ok(told),
        Some(_) => {
            let (refusing, advised) = match widest {
                Direction::AToB => (stream_a, "a_to_b"),
                Direction::BToA | Direction::Both => (stream_b, "b_to_a"),
            };
            Err(format!(
                "{} does not let this field be written; write `direction: {advised}`, or leave `direction` out",
                refusing.shown
            ))
        }
    }
}
