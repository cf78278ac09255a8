//! Rules for what refers to something else: selectors, ports, targets, metrics.

use serde_json::Value;

use super::{Facts, of_kind};
use crate::documents::{entries_at, list_at, text_at};
use crate::query::metric_of;
use crate::{Problems, demand};

pub fn problems(document: &Value, documents: &[Value], facts: &Facts) -> Problems {
    match text_at(document, "/kind") {
        "Deployment" => own_selectors(document),
        "PodDisruptionBudget" => selects(document, "/spec/selector/matchLabels", documents),
        "Service" => {
            let mut found = selects(document, "/spec/selector", documents);
            found.extend(ports(document, "/spec/selector", documents));
            found
        }
        "PodMonitor" => {
            let mut found = selects(document, "/spec/selector/matchLabels", documents);
            found.extend(ports(document, "/spec/selector/matchLabels", documents));
            found
        }
        "NetworkPolicy" => {
            let mut found = selects(document, "/spec/podSelector/matchLabels", documents);
            found.extend(ports(document, "/spec/podSelector/matchLabels", documents));
            found
        }
        "HorizontalPodAutoscaler" => autoscaler(document, documents, facts),
        "Secret" => secret(document),
        _ => Problems::new(),
    }
}

/// Does a selector, found at a pointer of an object, choose a pod with these labels?
fn chooses(object: &Value, pointer: &str, labels: &Value) -> bool {
    let mut wanted = entries_at(object, pointer).peekable();
    wanted.peek().is_some() && wanted.all(|(name, value)| labels.get(name) == Some(value))
}

/// The pods that a selector chooses.
fn chosen<'a>(
    object: &'a Value,
    pointer: &'a str,
    documents: &'a [Value],
) -> impl Iterator<Item = &'a Value> {
    documents
        .iter()
        .filter_map(|document| document.pointer("/spec/template"))
        .filter(move |template| chooses(object, pointer, &template["metadata"]["labels"]))
}

fn selects(document: &Value, pointer: &str, documents: &[Value]) -> Problems {
    let mut found = Problems::new();
    let any = chosen(document, pointer, documents).next().is_some();
    demand(&mut found, any, || "selects no pod".to_owned());
    found
}

/// A Deployment's selectors choose its own pods.
fn own_selectors(deployment: &Value) -> Problems {
    let mut found = Problems::new();
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let own = chooses(deployment, "/spec/selector/matchLabels", labels);
    demand(&mut found, own, || {
        "does not select its own pods".to_owned()
    });
    for rule in list_at(deployment, "/spec/template/spec/topologySpreadConstraints") {
        let own = chooses(rule, "/labelSelector/matchLabels", labels);
        demand(&mut found, own, || "spreads other pods".to_owned());
    }
    found
}

/// Ports that are meant by name exist in the pods that are selected.
fn ports(document: &Value, pointer: &str, documents: &[Value]) -> Problems {
    let mut found = Problems::new();
    let mut named: Vec<&Value> = Vec::new();
    let rules = list_at(document, "/spec/ingress").iter();
    let rules = rules.chain(list_at(document, "/spec/egress"));
    named.extend(
        rules
            .flat_map(|rule| list_at(rule, "/ports"))
            .filter_map(|port| port.get("port")),
    );
    named.extend(
        list_at(document, "/spec/ports")
            .iter()
            .filter_map(|port| port.get("targetPort")),
    );
    let scraped = list_at(document, "/spec/podMetricsEndpoints").iter();
    named.extend(scraped.filter_map(|endpoint| endpoint.get("port")));
    for name in named.into_iter().filter(|port| port.is_string()) {
        let offered = chosen(document, pointer, documents)
            .flat_map(|pod| list_at(pod, "/spec/containers"))
            .flat_map(|container| list_at(container, "/ports"))
            .any(|port| port.get("name") == Some(name));
        demand(&mut found, offered, || {
            format!("means the port {name}, which its pods do not have")
        });
    }
    found
}

fn autoscaler(document: &Value, documents: &[Value], facts: &Facts) -> Problems {
    let mut found = Problems::new();
    let target = &document["spec"]["scaleTargetRef"];
    let exists = of_kind(documents, text_at(target, "/kind"))
        .any(|other| other["metadata"]["name"] == target["name"]);
    demand(&mut found, exists, || "scales nothing".to_owned());
    for metric in list_at(document, "/spec/metrics") {
        let Some(asked) = metric.pointer("/external/metric") else {
            continue;
        };
        let name = text_at(asked, "/name");
        let Some(recorded) = metric_of(name, &facts.metrics) else {
            found.push(format!("the sources record no metric `{name}`"));
            continue;
        };
        for (label, _) in entries_at(asked, "/selector/matchLabels") {
            demand(&mut found, recorded.labels.contains(label), || {
                format!("`{name}` has no label `{label}`")
            });
        }
    }
    found
}

/// A secret in the repository is an example, so it holds none.
fn secret(document: &Value) -> Problems {
    let mut found = Problems::new();
    let texts = entries_at(document, "/stringData").chain(entries_at(document, "/data"));
    for (name, value) in texts {
        demand(&mut found, value == "", || {
            format!("holds a value of `{name}`")
        });
    }
    found
}
