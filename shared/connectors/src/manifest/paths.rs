//! A place in a document, or several that together make one.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value as Json;

use crate::path::Path;

/// One path or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths(pub Vec<Path>);

impl Paths {
    /// How many rows stand there: the elements of lists, and single values.
    pub(crate) fn count(&self, document: &Json) -> usize {
        let mut rows = 0;
        for path in &self.0 {
            path.each(document, &mut |found| {
                rows += match found {
                    Json::Null => 0,
                    Json::Array(elements) => elements.len(),
                    Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => 1,
                };
            });
        }
        rows
    }
}

struct PathsVisitor;

impl<'de> de::Visitor<'de> for PathsVisitor {
    type Value = Paths;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path such as `/results`, or a list of paths")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Paths, E> {
        text.parse()
            .map(|path| Paths(vec![path]))
            .map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Paths, A::Error> {
        let mut paths = Vec::new();
        while let Some(path) = access.next_element()? {
            paths.push(path);
        }
        Ok(Paths(paths))
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathsVisitor)
    }
}
