//! Makes the policy of a sync: match keys, creation, deletion, filters.

use tandem_domain::{FieldType, Side, Value};
use tandem_engine::{Creates, DeletePolicies, DeletePolicy, FieldRule, Filter, SyncPolicy};

use super::Builder;
use super::syncs::{Ends, Stream};
use crate::config::error::FieldPath;
use crate::config::sync::{FilterConfig, SyncConfig};
use tandem_domain::suggest::advice;

impl Builder<'_> {
    pub(super) fn policy(
        &mut self,
        config: &SyncConfig,
        ends: &Ends,
        at: &FieldPath,
    ) -> SyncPolicy {
        let found_before = self.problems.found.len();
        let fields = self.rules(config, ends, &at.key("fields"));
        let creates = self.creates(config, ends, at);
        // A rule that is wrong is missing here, and would be reported twice.
        if self.problems.found.len() == found_before {
            self.check_required(&fields, creates, ends, at);
        }
        self.check_match_keys(config, Some(&ends.a), at);
        SyncPolicy {
            fields,
            match_keys: config.match_keys.iter().map(|key| key.0.clone()).collect(),
            creates,
            conflict: config.conflict,
            prefer: config.prefer,
            deletes: self.deletes(config, ends, at),
            ambiguous: config.ambiguous,
            filters: self.filters(config, ends, at),
        }
    }

    /// What can be said of a sync of which not both ends are known, so that not one mistake hides all the others.
    pub(super) fn check_without_ends(
        &mut self,
        config: &SyncConfig,
        known: &[(Side, Stream)],
        at: &FieldPath,
    ) {
        self.check_mapped(config, &at.key("fields"));
        for (side, stream) in known {
            for (name, field) in &config.fields {
                let place = at.key("fields").key(name);
                let _found = self.stream_field(name, field, stream, *side, &place);
            }
            for (index, filter) in config.filters.iter().enumerate() {
                if filter.side == *side {
                    let _made = self.filter(filter, stream, &at.key("filters").index(index));
                }
            }
        }
        let a = known.iter().find(|(side, _)| *side == Side::A);
        self.check_match_keys(config, a.map(|(_, stream)| stream), at);
    }

    /// `a` is the stream of side a, if it is known.
    fn check_match_keys(&mut self, config: &SyncConfig, a: Option<&Stream>, at: &FieldPath) {
        let at = at.key("match");
        if config.match_keys.is_empty() {
            let message = "at least one match key is needed, or every record that exists on both sides would be doubled";
            self.problems.add(at.clone(), message);
        }
        if config.fields.is_empty() {
            // That nothing is mapped has been told, and perhaps it is only the word `fields` that is misspelt.
            return;
        }
        for (index, key) in config.match_keys.iter().enumerate() {
            for (part, field) in key.0.iter().enumerate() {
                let place = at.index(index);
                let place = if key.0.len() == 1 {
                    place
                } else {
                    place.index(part)
                };
                let Some(rule) = config.fields.get(field) else {
                    let known = config.fields.keys().map(String::as_str);
                    let message = format!("no field `{field}` is mapped{}", advice(field, known));
                    self.problems.add(place, message);
                    continue;
                };
                let in_a = a.and_then(|a| a.info.fields.get(rule.stream_field(field, Side::A)));
                if in_a.is_some_and(|info| info.field_type == FieldType::Lines) {
                    let message =
                        format!("`{field}` is a list of lines, by which nothing can be matched");
                    self.problems.add(place, message);
                }
            }
        }
    }

    /// Where records are created: as told if the streams allow it, else wherever they do.
    fn creates(&mut self, config: &SyncConfig, ends: &Ends, at: &FieldPath) -> Creates {
        let can = |side: Side| ends.side(side).info.capabilities.create;
        let widest = match (can(Side::A), can(Side::B)) {
            (true, true) => Creates::Both,
            (true, false) => Creates::A,
            (false, true) => Creates::B,
            (false, false) => Creates::None,
        };
        let told = config.create.unwrap_or(widest);
        for side in Side::BOTH {
            if told.on(side) && !can(side) {
                let message = format!("records cannot be created in {}", ends.side(side).shown);
                let message = format!("{message}; write `create: {}`", word(widest));
                self.problems.add(at.key("create"), message);
            }
        }
        told
    }

    /// Where records are created, every field without which that is refused must be written.
    fn check_required(
        &mut self,
        rules: &[FieldRule],
        creates: Creates,
        ends: &Ends,
        at: &FieldPath,
    ) {
        for side in Side::BOTH.into_iter().filter(|side| creates.on(*side)) {
            let stream = ends.side(side);
            for (field, info) in &stream.info.fields {
                let is_written = rules
                    .iter()
                    .any(|rule| rule.stream_field(side) == field && rule.direction.writes(side));
                if info.required && !is_written {
                    let message = format!(
                        "{} refuses records without `{field}`: map it so that it is written, or let nothing be created there (`create: {}`)",
                        stream.shown,
                        word(without(creates, side))
                    );
                    self.problems.add(at.key("fields"), message);
                }
            }
        }
    }

    fn deletes(&mut self, config: &SyncConfig, ends: &Ends, at: &FieldPath) -> DeletePolicies {
        let policies = DeletePolicies {
            a_gone: config.deletes.a_gone,
            b_gone: config.deletes.b_gone,
        };
        for gone in Side::BOTH {
            let other = ends.side(gone.other());
            let propagates = policies.when_gone(gone) == DeletePolicy::Propagate;
            if propagates && !other.info.capabilities.delete {
                let message = format!(
                    "records cannot be deleted or archived in {}; write `ignore` or `unlink`",
                    other.shown
                );
                self.problems
                    .add(at.key("deletes").key(format!("{gone}_gone")), message);
            }
        }
        policies
    }

    fn filters(&mut self, config: &SyncConfig, ends: &Ends, at: &FieldPath) -> Vec<Filter> {
        config
            .filters
            .iter()
            .enumerate()
            .filter_map(|(index, filter)| {
                let stream = ends.side(filter.side);
                self.filter(filter, stream, &at.key("filters").index(index))
            })
            .collect()
    }

    fn filter(&mut self, config: &FilterConfig, stream: &Stream, at: &FieldPath) -> Option<Filter> {
        let FilterConfig {
            side,
            field,
            any_of,
        } = config;
        let Some(info) = stream.info.fields.get(field) else {
            let known = stream.info.fields.keys().map(String::as_str);
            let message = format!(
                "{} has no field `{field}`{}",
                stream.shown,
                advice(field, known)
            );
            self.problems.add(at.key("field"), message);
            return None;
        };
        if any_of.is_empty() {
            let message = "no record would take part; name the values that do";
            self.problems.add(at.key("any_of"), message);
        }
        let mut values = Vec::new();
        for (index, text) in any_of.iter().enumerate() {
            let value = Value::parse(info.field_type, &text.0);
            let value = value.map_err(|error| format!("{error}, which `{field}` is"));
            values.extend(self.problems.note(at.key("any_of").index(index), value));
        }
        Some(Filter {
            side: *side,
            field: field.clone(),
            any_of: values,
        })
    }
}

const fn without(creates: Creates, side: Side) -> Creates {
    match (creates, side) {
        (Creates::Both, Side::A) | (Creates::B, Side::A) => Creates::B,
        (Creates::Both, Side::B) | (Creates::A, Side::B) => Creates::A,
        (Creates::A, Side::A) | (Creates::B, Side::B) | (Creates::None, _) => Creates::None,
    }
}

const fn word(creates: Creates) -> &'static str {
    match creates {
        Creates::Both => "both",
        Creates::A => "a",
        Creates::B => "b",
        Creates::None => "none",
    }
}
