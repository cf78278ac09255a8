//! Reading on behind a mistake, so that a file is not mended one mistake a time.
//!
//! The typed reader stops at the first mistake. So the text is also read as a plain tree; what is wrong in
//! it is taken out, or something harmless is put in its place, and the tree is read again, until nothing is
//! wrong any more. What was put in is remembered: it may be wrong in itself, which is nobody's mistake.

use std::path::Path;

use serde_json::{Map, Value, json};
use serde_path_to_error::{Segment, Track};
use serde_saphyr::{DuplicateKeyPolicy, Error as YamlError};
use tandem_domain::suggest::nearest;

use super::Configuration;
use super::error::{FieldPath, Problem, Step};
use super::mistake::{Kind, Mistake};
use super::places::{Part, Places};

/// Some for each mistake; a file that needs more of them is another kind of file.
const ROUNDS_MAX: usize = 500;

/// What a text holds.
pub(super) struct Read {
    /// All that could be read; `None` when what is wrong leaves nothing to read on with.
    pub(super) configuration: Option<Configuration>,
    /// What is wrong with its form.
    pub(super) problems: Vec<Problem>,
    /// The fields in whose place something else was put.
    pub(super) made_up: Vec<FieldPath>,
}

/// Reads a text with all its mistakes.
pub(super) fn read(file: &Path, text: &str, places: &Places) -> Read {
    let first = match typed(text) {
        Ok(configuration) => {
            return Read {
                configuration: Some(configuration),
                problems: Vec::new(),
                made_up: Vec::new(),
            };
        }
        Err(refused) => {
            let (error, within) = *refused;
            Mistake::of(error, within, places)
        }
    };
    let mut problems = vec![first.problem(file, places, true)];
    let mut mended = Mended::default();
    let configuration = plain(text).and_then(|tree| {
        mended.tree = tree;
        mended.read_on(first, |mistake| {
            problems.push(mistake.problem(file, places, false));
        })
    });
    problems.dedup();
    Read {
        configuration,
        problems,
        made_up: mended.made_up.into_iter().map(|(path, _)| path).collect(),
    }
}

/// The configuration of a text, or the first mistake and the value that was being read.
fn typed(text: &str) -> Result<Configuration, Box<(YamlError, FieldPath)>> {
    let mut within = FieldPath::default();
    serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        let mut track = Track::new();
        let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        let result = serde::Deserialize::deserialize(tracked);
        if result.is_err() {
            within = track.path().iter().filter_map(step).collect();
        }
        result
    })
    .map_err(|error| Box::new((error, within)))
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The text as a plain tree. Of a name that stands twice the last one counts.
fn plain(text: &str) -> Option<Value> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    let tree = serde_saphyr::from_str_with_options::<Value>(text, options).ok()?;
    tree.is_object().then_some(tree)
}

/// What is put in the place of a mistake, one after the other until one will do.
fn stand_in(number: usize) -> Option<Value> {
    match number {
        0 => Some(json!({})),
        1 => Some(json!([])),
        2 => Some(json!("x")),
        3 => Some(json!(1)),
        4 => Some(json!(true)),
        5 => Some(json!({ "env": "X" })),
        _ => None,
    }
}

/// A tree that is mended until it can be read.
#[derive(Default)]
struct Mended {
    tree: Value,
    /// Where something was put in, and which of the stand-ins it is.
    made_up: Vec<(FieldPath, usize)>,
    /// Fields that were taken out because nobody knows them.
    unknown: Vec<FieldPath>,
    /// Fields in whose place nothing will do.
    given_up: Vec<FieldPath>,
}

impl Mended {
    fn read_on(&mut self, first: Mistake, mut tell: impl FnMut(&Mistake)) -> Option<Configuration> {
        let mut mistake = first;
        for _round in 0..ROUNDS_MAX {
            self.mend(&mistake)?;
            let text = self.tree.to_string();
            let refused = match typed(&text) {
                Ok(configuration) => return Some(configuration),
                Err(refused) => *refused,
            };
            mistake = Mistake::of(refused.0, refused.1, &Places::of(&text));
            if self.stand_in_around(&mistake.field).is_none() && !self.follows(&mistake) {
                tell(&mistake);
            }
        }
        None
    }

    /// Takes a mistake out. `None` when nothing would be left.
    fn mend(&mut self, mistake: &Mistake) -> Option<()> {
        if let Kind::Missing(field) = mistake.kind() {
            let path = mistake.field.key(field);
            return if self.given_up.contains(&path) {
                self.take_out(&mistake.field)
            } else {
                self.put(path, 0)
            };
        }
        if let Some(position) = self.stand_in_around(&mistake.field) {
            let (path, number) = self.made_up.swap_remove(position);
            self.made_up.retain(|(other, _)| !path.holds(other));
            return self.put(path, number + 1);
        }
        match (mistake.kind(), mistake.part) {
            (Kind::Twice, _) => Some(()),
            (Kind::Unknown, _) | (_, Part::Name) => {
                self.unknown.push(mistake.field.clone());
                self.take_out(&mistake.field)
            }
            (Kind::Wrong | Kind::Missing(_), Part::Value) => self.put(mistake.field.clone(), 0),
        }
    }

    /// Whether it is there only because a field with a misspelt name was taken out.
    fn follows(&self, mistake: &Mistake) -> bool {
        let taken_out = self
            .unknown
            .iter()
            .filter(|path| path.without_last() == mistake.field)
            .filter_map(|path| match path.steps().last() {
                Some(Step::Key(name)) => Some(name.as_str()),
                _ => None,
            });
        match mistake.kind() {
            Kind::Missing(field) => nearest(field, &taken_out.collect::<Vec<&str>>()).is_some(),
            Kind::Wrong => taken_out.count() > 0,
            Kind::Unknown | Kind::Twice => false,
        }
    }

    fn stand_in_around(&self, field: &FieldPath) -> Option<usize> {
        let around = self.made_up.iter().enumerate();
        around
            .filter(|(_, (path, _))| path.holds(field))
            .max_by_key(|(_, (path, _))| path.steps().len())
            .map(|(position, _)| position)
    }

    /// Puts a stand-in there; when there is none left, the field goes, and a list with its entry.
    fn put(&mut self, path: FieldPath, number: usize) -> Option<()> {
        let Some(value) = stand_in(number) else {
            let gone = match path.steps().last() {
                Some(Step::Index(_)) => path.without_last(),
                _ => path,
            };
            let taken = self.take_out(&gone);
            self.given_up.push(gone);
            return taken;
        };
        let place = self.place(&path)?;
        *place = value;
        self.made_up.push((path, number));
        Some(())
    }

    fn take_out(&mut self, path: &FieldPath) -> Option<()> {
        let last = path.steps().last()?.clone();
        self.made_up.retain(|(other, _)| !path.holds(other));
        let around = self.place(&path.without_last())?;
        match (around, last) {
            (Value::Object(fields), Step::Key(key)) => fields.remove(&key).map(|_| ()),
            // Those behind it keep their number, by which they are found in the file.
            (Value::Array(_), Step::Index(_)) => self.put(path.clone(), 0),
            _ => None,
        }
    }

    /// Where a path leads, made if its last step is not there.
    fn place(&mut self, path: &FieldPath) -> Option<&mut Value> {
        let mut here = &mut self.tree;
        for step in path.steps() {
            here = match (here, step) {
                (Value::Object(fields), Step::Key(key)) => entry(fields, key),
                (Value::Array(entries), Step::Index(index)) => entries.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(here)
    }
}

fn entry<'a>(fields: &'a mut Map<String, Value>, key: &str) -> &'a mut Value {
    fields.entry(key).or_insert(Value::Null)
}
