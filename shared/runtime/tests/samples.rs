//! Every sample configuration that is shipped works as it stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::{Clock, Timestamp};
use tandem_runtime::Configuration;

struct Standing;
impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

fn environment(name: &str) -> Option<String> {
    let value = if name.ends_with("URL") {
        "https://one.example"
    } else {
        "whsec_c2VjcmV0"
    };
    Some(value.to_owned())
}

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples");
    let entries = std::fs::read_dir(folder).expect("there are samples");
    entries
        .map(|entry| entry.expect("a sample").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

#[test]
fn every_sample_builds() {
    let samples = samples();
    assert!(samples.len() >= 2, "{samples:?}");
    for sample in samples {
        let configuration = Configuration::load(&sample).unwrap_or_else(|error| panic!("{error}"));
        let built = configuration.build(&environment, Arc::new(Standing));
        let built = built.unwrap_or_else(|error| panic!("{error}"));
        assert!(!built.topology.syncs.is_empty(), "{}", sample.display());
    }
}
