//! The files that are shipped, against the rules for them and against the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tandem_deploy_checks::documents::{files_under, one_yaml, read, root, text_at, yaml};
use tandem_deploy_checks::environment::{
    Names, collect_listed, collect_read, collect_referred, filled_in, unknown_in,
};
use tandem_deploy_checks::kubernetes::{self, Facts, kustomization_problems};
use tandem_deploy_checks::metrics::{self, Metrics};
use tandem_deploy_checks::{Problems, compose, dashboard, image, query, rules, units};

/// Where the programs' sources are. Simulators and tests are none of them.
const SOURCES: [&str; 4] = ["api/src", "worker/src", "scheduler/src", "cli/src"];
/// Folders below `shared/` that no program in production uses.
const NOT_IN_PRODUCTION: [&str; 2] = ["simulator", "testkit"];
/// Beside a kustomization, and not for it.
const APART: [&str; 3] = [
    "kustomization.yaml",
    "secret.example.yaml",
    "prometheus-adapter.yaml",
];

fn text(path: &str) -> String {
    read(&root().join(path)).expect("the file is part of the repository")
}

fn document(path: &str) -> Value {
    one_yaml(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(folder: &str) -> Vec<PathBuf> {
    files_under(&root().join(folder)).expect("the folder is part of the repository")
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|extension| extension == end)
}

/// The text of every source file of the programs.
fn sources() -> Vec<String> {
    let in_production = |path: &PathBuf| {
        let shared = path
            .strip_prefix(root().join("shared"))
            .expect("it is below");
        let mut parts = shared
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        let named = parts
            .next()
            .is_some_and(|name| !NOT_IN_PRODUCTION.contains(&&*name));
        named && parts.next().is_some_and(|part| part == "src")
    };
    let shared = files("shared").into_iter().filter(in_production);
    let own = SOURCES.iter().flat_map(|folder| files(folder));
    own.chain(shared)
        .filter(|path| has_end(path, "rs"))
        .map(|path| read(&path).expect("it was listed"))
        .collect()
}

fn recorded() -> Metrics {
    let mut found = Metrics::new();
    for source in sources() {
        metrics::collect(&source, &mut found);
    }
    found
}

/// Variables that a program reads, or that a shipped configuration refers to.
fn known() -> Names {
    let mut names = Names::new();
    for source in sources() {
        collect_read(&source, &mut names);
    }
    for path in files("deploy").iter().filter(|path| has_end(path, "yaml")) {
        collect_referred(&read(path).expect("it was listed"), &mut names);
    }
    names
}

fn none(problems: &Problems) {
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_compose_file_keeps_the_rules() {
    let text_of_it = text("docker-compose.yml");
    let example = text("deploy/compose.env.example");
    let compose = document("docker-compose.yml");
    none(&compose::problems(
        &text_of_it,
        &compose,
        &example,
        &known(),
    ));
    let image = text_at(&compose, "/services/api/image");
    assert_eq!(image, format!("tandem:{}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_metric_says_what_it_means() {
    let described = text("shared/runtime/src/telemetry/describe.rs");
    let recorded = recorded();
    assert!(!recorded.is_empty());
    let silent: Vec<&String> = recorded
        .keys()
        .filter(|name| !described.contains(&format!("\"{name}\"")))
        .collect();
    assert!(silent.is_empty(), "describe {silent:?}");
    let named = described.split('"').filter(|part| {
        part.starts_with("tandem_")
            && part
                .chars()
                .all(|letter| letter == '_' || letter.is_ascii_lowercase())
    });
    let gone: Vec<&str> = named.filter(|name| !recorded.contains_key(*name)).collect();
    assert!(gone.is_empty(), "described and never recorded: {gone:?}");
}

#[test]
fn the_image_keeps_the_rules() {
    let dockerfile = text("deploy/Dockerfile");
    none(&image::problems(
        &dockerfile,
        env!("CARGO_PKG_RUST_VERSION"),
    ));
}

#[test]
fn the_alert_rules_ask_for_what_the_programs_record() {
    let rules = document("deploy/prometheus/rules.yaml");
    none(&rules::problems(&rules, &recorded()));
}

#[test]
fn the_dashboard_asks_for_what_the_programs_record() {
    let dashboard = serde_json::from_str(&text("deploy/grafana/tandem.json")).expect("it is JSON");
    none(&dashboard::problems(&dashboard, &recorded()));
}

#[test]
fn the_adapter_asks_for_what_the_programs_record() {
    let adapter = document("deploy/kubernetes/components/autoscaling/prometheus-adapter.yaml");
    let rule = adapter.pointer("/rules/external/0").expect("there is one");
    let series = text_at(rule, "/seriesQuery");
    let name = text_at(rule, "/name/as");
    let asked = text_at(rule, "/metricsQuery")
        .replace("<<.Series>>", name)
        .replace("<<.LabelMatchers>>", "");
    none(&query::problems(series, &recorded()));
    none(&query::problems(&asked, &recorded()));
}

#[test]
fn the_documents_of_kubernetes_keep_the_rules() {
    let mut documents = Vec::new();
    for path in files("deploy/kubernetes") {
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        if has_end(&path, "yaml") && !["tandem.yaml", APART[0], APART[2]].contains(&file) {
            let text = read(&path).expect("it was listed");
            documents.extend(yaml(&text).unwrap_or_else(|error| panic!("{file}: {error}")));
        }
    }
    let facts = Facts {
        known: known(),
        metrics: recorded(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    assert!(documents.len() > 15, "the documents were found");
    none(&kubernetes::problems(&documents, &facts));
}

#[test]
fn each_kustomization_names_the_files_of_its_folder() {
    let paths = files("deploy/kubernetes");
    let mut checked = 0;
    for path in paths.iter().filter(|path| path.ends_with(APART[0])) {
        let folder = path.parent().expect("a file is in a folder");
        let beside: BTreeSet<String> = paths
            .iter()
            .filter(|other| other.parent() == Some(folder))
            .filter_map(|other| Some(other.file_name()?.to_str()?.to_owned()))
            .collect();
        let kustomization = one_yaml(&read(path).expect("it was listed")).expect("it is YAML");
        none(&kustomization_problems(
            &kustomization,
            folder,
            &beside,
            &APART,
        ));
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn the_units_of_systemd_keep_the_rules() {
    let known = known();
    let target = text("deploy/systemd/tandem.target");
    let mut services = 0;
    for path in files("deploy/systemd")
        .iter()
        .filter(|path| has_end(path, "service"))
    {
        let unit = read(path).expect("it was listed");
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert_eq!(units::problems(&unit, &known), Problems::new(), "{file}");
        let stem = file.trim_end_matches(".service");
        assert!(
            target.contains(stem) || stem == "tandem-migrate",
            "{file} is in the target"
        );
        services += 1;
    }
    assert_eq!(services, 4);
    let account = text("deploy/systemd/tandem.sysusers");
    assert!(account.lines().any(|line| line.starts_with("u tandem ")));
}

#[test]
fn every_variable_that_is_named_is_known() {
    let mut known = known();
    collect_listed(&text("deploy/compose.env.example"), &mut known);
    let own = root().join("deploy/checks");
    let texts = files("deploy")
        .into_iter()
        .filter(|path| !path.starts_with(&own));
    for path in texts.chain([root().join("docker-compose.yml")]) {
        let text = read(&path).expect("it was listed");
        assert_eq!(
            unknown_in(&text, &known),
            Problems::new(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_examples_hold_no_values_and_name_what_the_samples_need() {
    let mut needed = Names::new();
    collect_referred(&text("deploy/samples/hubspot-xero.yaml"), &mut needed);
    for path in [
        "deploy/connections.env.example",
        "deploy/systemd/tandem.env.example",
    ] {
        let mut listed = Names::new();
        collect_listed(&text(path), &mut listed);
        assert!(needed.is_subset(&listed), "{path} lists {listed:?}");
    }
    for path in files("deploy") {
        if path.to_string_lossy().ends_with(".env.example") {
            none(&filled_in(&read(&path).expect("it was listed")));
        }
    }
}

/// Whether the sample is a configuration is for the tests of `tandem-runtime`.
#[test]
fn the_example_configuration_of_kubernetes_is_the_sample_behind_a_proxy() {
    let mut example = document("deploy/kubernetes/overlays/example/tandem.yaml");
    let parts = example.as_object_mut().expect("it is a mapping");
    let server = parts.remove("server").expect("it sets up the server");
    assert_eq!(server, serde_json::json!({ "trusted_proxies": 1 }));
    assert_eq!(example, document("deploy/samples/hubspot-xero.yaml"));
}

#[test]
fn every_other_file_parses() {
    for path in files("deploy") {
        let text = read(&path).expect("it was listed");
        let parsed = match path.extension().and_then(|end| end.to_str()) {
            Some("yaml" | "yml") => yaml(&text).map(|_| ()),
            Some("json") => serde_json::from_str::<Value>(&text)
                .map(|_| ())
                .map_err(|error| error.to_string()),
            _ => Ok(()),
        };
        assert_eq!(parsed, Ok(()), "{}", path.display());
    }
}
