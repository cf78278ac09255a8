//! Where a connection leads, in words: they are kept with the connection, so that it is noticed when it is pointed at
//! another account. The same account must give the same words, whatever else of the connection changes, and none of
//! them may be a secret.

use sha2::{Digest, Sha256};
use tandem_connectors::ConnectionSettings;
use tandem_connectors::manifest::Manifest;
use url::Url;

use crate::config::connection::ConnectionConfig;
use crate::config::reference::TextOrReference;

/// Bytes of a fingerprint: enough to tell values apart, too few to be worth anything else.
const FINGERPRINT_BYTES: usize = 6;

/// The words. `settings` holds the values of everything that `config` refers to.
pub(super) fn address_of(
    manifest: &Manifest,
    config: &ConnectionConfig,
    settings: &ConnectionSettings,
) -> String {
    let usual = manifest.base_url.as_ref();
    let usual = usual.and_then(|text| text.literal()).map(normal);
    let given = settings.base_url.as_deref().map(normal);
    let place = match (&config.base_url, given) {
        (Some(written), Some(given)) if usual.as_ref() != Some(&given) => {
            told("base_url", written, given)
        }
        // What the manifest says may change with a version of Tandem: it is the vendor's own address all the same.
        _ => "its usual address".to_owned(),
    };
    let mut words = format!("{} at {place}", manifest.name);
    for (name, written) in &config.variables {
        let default = manifest.variables.get(name);
        let default = default.and_then(|variable| variable.default.as_ref());
        let Some(value) = settings.variables.get(name) else {
            continue;
        };
        if default != Some(value) {
            let value = told(name, written, value.clone());
            words.push_str(&format!(", {name} {value}"));
        }
    }
    words
}

/// A value that is written out, or the fingerprint of one that stands elsewhere.
fn told(name: &str, written: &TextOrReference, value: String) -> String {
    match written {
        TextOrReference::Text(_) => value,
        TextOrReference::Elsewhere(_) => {
            let digest = Sha256::digest(format!("{name}\0{value}"));
            let digest = digest.iter().take(FINGERPRINT_BYTES);
            let digits: String = digest.map(|byte| format!("{byte:02x}")).collect();
            format!("kept elsewhere (fingerprint {digits})")
        }
    }
}

/// An address as all ways of writing it are: parsing makes the host lower-case and leaves out a usual port. A password
/// in it says nothing of where it leads.
fn normal(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return text.trim_end_matches('/').to_owned();
    };
    // Only addresses without a host refuse it, and those have no password.
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}
