//! Rules for a `kustomization.yaml`: it names every file of its folder, and only files that there are.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::documents::list_at;
use crate::{Problems, demand};

/// What is wrong with a kustomization. `beside` are the names of the other files of its folder; those of
/// `apart` are there for something else.
#[must_use]
pub fn problems(
    kustomization: &Value,
    folder: &Path,
    beside: &BTreeSet<String>,
    apart: &[&str],
) -> Problems {
    let mut found = Problems::new();
    let named = named(kustomization);
    for name in &named {
        demand(&mut found, folder.join(name).exists(), || {
            format!("names `{name}`, which is not there")
        });
    }
    for name in beside {
        let used = named.contains(name.as_str()) || apart.contains(&name.as_str());
        demand(&mut found, used, || format!("does not name `{name}`"));
    }
    found
}

fn named(kustomization: &Value) -> BTreeSet<&str> {
    let generated = list_at(kustomization, "/configMapGenerator")
        .iter()
        .flat_map(|generator| list_at(generator, "/files"));
    list_at(kustomization, "/resources")
        .iter()
        .chain(list_at(kustomization, "/components"))
        .chain(generated)
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::one_yaml;

    #[test]
    fn a_file_that_is_forgotten_or_gone_is_told() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let beside: BTreeSet<_> = ["Cargo.toml", "README.md"].map(str::to_owned).into();
        for (text, told) in [
            ("resources: [Cargo.toml]", 0),
            ("configMapGenerator: [{ files: [Cargo.toml] }]", 0),
            ("resources: []", 1),
            ("resources: [Cargo.toml, gone.yaml]", 1),
        ] {
            let kustomization = one_yaml(text).expect("it is YAML");
            let problems = problems(&kustomization, folder, &beside, &["README.md"]);
            assert_eq!(problems.len(), told, "{text}: {problems:?}");
        }
    }
}
