//! Where each field of a configuration file stands. The configuration itself is plain data, so that it
//! can be stored and loaded again; its places are read beside it, from the same text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::error::{FieldPath, Mark, Step};

/// The places of all fields of one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Tree);

/// The two parts of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What stands before the colon.
    Name,
    /// What stands behind it; of a list, an entry.
    Value,
}

#[derive(Clone, Debug, Default)]
enum Tree {
    #[default]
    Leaf,
    Map(Vec<Entry>),
    List(Vec<Entry>),
}

#[derive(Clone, Debug)]
struct Entry {
    step: Step,
    /// Where the key stands (for a list: the value).
    key: Mark,
    value: Mark,
    tree: Tree,
}

impl Places {
    /// Reads the places of a text; none when it is not YAML, which reading the configuration reports.
    /// A name that stands twice in one place is reported there too, and has its last place here.
    pub(super) fn of(text: &str) -> Self {
        let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
        serde_saphyr::from_str_with_options(text, options)
            .map(Self)
            .unwrap_or_default()
    }

    /// Where the name or the value of a field stands, if it is written.
    pub(super) fn part(&self, path: &FieldPath, part: Part) -> Option<Mark> {
        let mut tree = &self.0;
        let mut place = None;
        for step in path.steps() {
            let entry = tree.entries().iter().find(|entry| entry.step == *step)?;
            place = Some(match part {
                Part::Name => entry.key,
                Part::Value => entry.value,
            });
            tree = &entry.tree;
        }
        place
    }

    /// Where a field stands: the value of a plain one, the key of one with parts. A field that is not
    /// written stands where the nearest thing around it does.
    pub(super) fn find(&self, path: &FieldPath) -> Option<Mark> {
        let mut tree = &self.0;
        let mut nearest = None;
        for step in path.steps() {
            let Some(entry) = tree.entries().iter().find(|entry| entry.step == *step) else {
                break;
            };
            nearest = Some(match entry.tree {
                Tree::Leaf => entry.value,
                Tree::Map(_) | Tree::List(_) => entry.key,
            });
            tree = &entry.tree;
        }
        nearest
    }

    /// The innermost field whose name or value stands exactly here.
    pub(super) fn field_at(&self, mark: Mark) -> Option<(FieldPath, Part)> {
        self.0.field_at(mark, &FieldPath::default())
    }
}

impl Tree {
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Leaf => &[],
            Self::Map(entries) | Self::List(entries) => entries,
        }
    }

    fn field_at(&self, mark: Mark, path: &FieldPath) -> Option<(FieldPath, Part)> {
        self.entries().iter().find_map(|entry| {
            let here = path.then(entry.step.clone());
            let inside = entry.tree.field_at(mark, &here);
            let part = match entry {
                _ if entry.value == mark => Some(Part::Value),
                _ if entry.key == mark => Some(Part::Name),
                _ => None,
            };
            inside.or_else(|| part.map(|part| (here, part)))
        })
    }
}

pub(super) fn mark(location: Location) -> Mark {
    Mark {
        line: location.line(),
        column: location.column(),
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Tree, M::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Spanned<Tree>>()?;
            entries.push(Entry {
                step: Step::Key(key.value),
                key: mark(key.referenced),
                value: mark(value.referenced),
                tree: value.value,
            });
        }
        Ok(Tree::Map(entries))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Tree, S::Error> {
        let mut entries = Vec::new();
        while let Some(value) = list.next_element::<Spanned<Tree>>()? {
            entries.push(Entry {
                step: Step::Index(entries.len()),
                key: mark(value.referenced),
                value: mark(value.referenced),
                tree: value.value,
            });
        }
        Ok(Tree::List(entries))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Tree::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
syncs:
  customers:
    match: [email, name]
    fields:
      name: {}
      phone: { a: phone, b: 7 }
";

    fn place(path: &FieldPath) -> (u64, u64) {
        let mark = Places::of(TEXT).find(path).expect("it is there");
        (mark.line, mark.column)
    }

    #[test]
    fn every_field_has_its_place() {
        let sync = FieldPath::of("syncs").key("customers");
        let phone = sync.key("fields").key("phone");
        assert_eq!(place(&sync), (2, 3));
        assert_eq!(place(&sync.key("match").index(1)), (3, 20));
        assert_eq!(place(&phone), (6, 7));
        assert_eq!(place(&phone.key("b")), (6, 29));
    }

    #[test]
    fn a_field_that_is_not_written_stands_where_the_one_around_it_does() {
        let name = FieldPath::of("syncs")
            .key("customers")
            .key("fields")
            .key("name");
        assert_eq!(place(&name.key("direction")), place(&name));
    }

    #[test]
    fn a_place_leads_back_to_its_field() {
        let phone = FieldPath::of("syncs")
            .key("customers")
            .key("fields")
            .key("phone");
        let places = Places::of(TEXT);
        assert_eq!(
            places.field_at(Mark {
                line: 6,
                column: 29
            }),
            Some((phone.key("b"), Part::Value))
        );
        assert_eq!(
            places.field_at(Mark { line: 6, column: 7 }),
            Some((phone, Part::Name))
        );
    }
}
