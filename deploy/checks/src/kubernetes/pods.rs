//! Rules for the pods that a Deployment or a Job makes.

use serde_json::Value;

use super::{Facts, of_kind};
use crate::documents::{list_at, text_at};
use crate::environment::is_read;
use crate::{PROGRAMS, Problems, STOP_SECS, demand};

const PROBES: [(&str, &str); 3] = [
    ("startupProbe", "/health/live"),
    ("livenessProbe", "/health/live"),
    ("readinessProbe", "/health/ready"),
];

pub fn problems(workload: &Value, documents: &[Value], facts: &Facts) -> Problems {
    let pod = &workload["spec"]["template"]["spec"];
    let mut found = pod_guards(pod);
    let lasting = text_at(workload, "/kind") == "Deployment";
    if lasting {
        found.extend(stays_available(pod));
    }
    let first = list_at(pod, "/initContainers").iter();
    for container in first.chain(list_at(pod, "/containers")) {
        let mut told = container_guards(container, facts);
        told.extend(environment(container, documents, facts));
        if lasting {
            told.extend(serving(container));
        }
        let name = text_at(container, "/name");
        found.extend(
            told.into_iter()
                .map(|problem| format!("container {name}: {problem}")),
        );
    }
    found
}

fn pod_guards(pod: &Value) -> Problems {
    let mut found = Problems::new();
    let seccomp = text_at(pod, "/securityContext/seccompProfile/type");
    for (good, problem) in [
        (
            pod["securityContext"]["runAsNonRoot"] == true,
            "may run as root",
        ),
        (seccomp == "RuntimeDefault", "may make any system call"),
        (
            pod["automountServiceAccountToken"] == false,
            "holds a token of Kubernetes",
        ),
        (
            pod["enableServiceLinks"] == false,
            "gets TANDEM_ variables of its Services",
        ),
    ] {
        demand(&mut found, good, || problem.to_owned());
    }
    found
}

fn stays_available(pod: &Value) -> Problems {
    let mut found = Problems::new();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(0);
    demand(&mut found, grace > STOP_SECS, || {
        format!("is killed after {grace} s, but may need {STOP_SECS} s")
    });
    let spread = !list_at(pod, "/topologySpreadConstraints").is_empty();
    demand(&mut found, spread, || {
        "may have all its pods on one node".to_owned()
    });
    found
}

fn container_guards(container: &Value, facts: &Facts) -> Problems {
    let mut found = Problems::new();
    let image = text_at(container, "/image");
    let expected = format!("tandem:{}", facts.version);
    demand(&mut found, image == expected, || {
        format!("runs the image `{image}`, this is `{expected}`")
    });
    let program = list_at(container, "/command").first();
    let program = program.and_then(Value::as_str).unwrap_or_default();
    demand(&mut found, PROGRAMS.contains(&program), || {
        format!("runs `{program}`, which is not in the image")
    });
    let context = &container["securityContext"];
    let drops = list_at(context, "/capabilities/drop");
    for (good, problem) in [
        (
            context["allowPrivilegeEscalation"] == false,
            "may gain privileges",
        ),
        (
            context["readOnlyRootFilesystem"] == true,
            "may write its own files",
        ),
        (drops.iter().any(|cap| cap == "ALL"), "keeps capabilities"),
        (
            container.pointer("/resources/limits/memory").is_some(),
            "has no limit of memory",
        ),
        (
            container.pointer("/resources/requests/memory").is_some(),
            "requests no memory",
        ),
        (
            container.pointer("/resources/requests/cpu").is_some(),
            "requests no processor",
        ),
    ] {
        demand(&mut found, good, || problem.to_owned());
    }
    found
}

fn environment(container: &Value, documents: &[Value], facts: &Facts) -> Problems {
    let mut found = Problems::new();
    for variable in list_at(container, "/env") {
        let name = text_at(variable, "/name");
        demand(&mut found, is_read(name, &facts.known), || {
            format!("sets `{name}`, which nobody reads")
        });
        if let Some(from) = variable.pointer("/valueFrom/secretKeyRef") {
            let (secret, key) = (text_at(from, "/name"), text_at(from, "/key"));
            let listed = of_kind(documents, "Secret")
                .filter(|document| text_at(document, "/metadata/name") == secret)
                .any(|document| document["stringData"].get(key).is_some());
            demand(&mut found, listed, || {
                format!("reads {key} of the secret {secret}, which the example does not have")
            });
        }
    }
    found
}

/// Probes ask ports that there are, and the process listens there.
fn serving(container: &Value) -> Problems {
    let mut found = Problems::new();
    let ports = list_at(container, "/ports");
    for (probe, path) in PROBES {
        let asked = &container[probe]["httpGet"];
        let known = ports.iter().any(|port| port["name"] == asked["port"]);
        demand(&mut found, asked["path"] == path && known, || {
            format!("its {probe} must ask {path} at a port of the container")
        });
    }
    let listens = list_at(container, "/env")
        .iter()
        .find(|variable| text_at(variable, "/name") == "TANDEM_LISTEN")
        .map(|variable| text_at(variable, "/value"))
        .unwrap_or_default();
    for port in ports {
        let number = port["containerPort"].to_string();
        demand(
            &mut found,
            listens.rsplit(':').next() == Some(number.as_str()),
            || format!("names the port {number} and listens at `{listens}`"),
        );
    }
    found
}
