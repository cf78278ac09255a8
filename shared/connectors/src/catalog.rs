//! The manifests that come with Tandem, and those that users write.

use std::path::Path;
use std::sync::Arc;

use crate::manifest::{Manifest, ManifestError};
use crate::short_file::read_short_file;

/// The longest manifest, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The shipped manifests: name and text.
const SHIPPED: [(&str, &str); 4] = [
    ("bottlecrm", include_str!("../manifests/bottlecrm.yaml")),
    ("hubspot", include_str!("../manifests/hubspot.yaml")),
    ("tryton", include_str!("../manifests/tryton.yaml")),
    ("xero", include_str!("../manifests/xero.yaml")),
];

/// Why a manifest could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Neither a shipped manifest nor a file.
    #[error("there is no manifest `{name}`: write one of {known}, or the path of a .yaml file")]
    Unknown {
        /// The name given.
        name: String,
        /// The shipped ones.
        known: String,
    },
    /// The file cannot be read.
    #[error("the manifest {path} cannot be read: {reason}")]
    Unreadable {
        /// The path given.
        path: String,
        /// Why. It is part of the message, so it is no source as well.
        reason: std::io::Error,
    },
    /// It is not a valid manifest.
    #[error(transparent)]
    Invalid(#[from] ManifestError),
}

/// Where manifests come from.
#[derive(Clone, Copy, Debug)]
pub struct Catalog;

impl Catalog {
    /// The names of the shipped manifests.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The text of a shipped manifest, to start one's own from.
    #[must_use]
    pub fn text(name: &str) -> Option<&'static str> {
        SHIPPED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| *text)
    }

    /// Loads a shipped manifest by name, or a file by path (whatever has a `/` or ends in `.yaml` or `.yml`).
    ///
    /// # Errors
    /// [`CatalogError`] says what to write instead.
    pub fn load(name_or_path: &str) -> Result<Arc<Manifest>, CatalogError> {
        if let Some(text) = Self::text(name_or_path) {
            return Ok(Arc::new(Manifest::parse(
                &format!("{name_or_path}.yaml"),
                text,
            )?));
        }
        let path = Path::new(name_or_path);
        let is_file = name_or_path.contains('/')
            || path
                .extension()
                .is_some_and(|end| end == "yaml" || end == "yml");
        if !is_file {
            let known = Self::names().collect::<Vec<_>>().join(", ");
            return Err(CatalogError::Unknown {
                name: name_or_path.to_owned(),
                known,
            });
        }
        let text =
            read_short_file(path, FILE_BYTES_MAX).map_err(|reason| CatalogError::Unreadable {
                path: name_or_path.to_owned(),
                reason,
            })?;
        Ok(Arc::new(Manifest::parse(name_or_path, &text)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_manifest_is_valid_and_bears_its_name() {
        for name in Catalog::names() {
            let manifest = Catalog::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(manifest.name, name);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_manifest_that_is_a_device_is_refused() {
        let link = std::env::temp_dir().join(format!("tandem-zero-{}.yaml", std::process::id()));
        std::os::unix::fs::symlink("/dev/zero", &link).expect("a link");
        let error = Catalog::load(link.to_str().expect("UTF-8"));
        std::fs::remove_file(&link).expect("removed");
        let error = error.expect_err("it is refused").to_string();
        assert!(error.contains("a regular file is needed"), "{error}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Catalog::load("hupspot")
            .expect_err("a typing mistake")
            .to_string();
        assert!(
            error.contains("there is no manifest `hupspot`: write one of bottlecrm, hubspot, "),
            "{error}"
        );
    }
}
