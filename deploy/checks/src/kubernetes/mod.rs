//! Rules for the documents of Kubernetes. Their schema is the cluster's to check
//! (`kubectl apply --dry-run=server`); here is what a schema does not say.

mod kustomize;
mod links;
mod pods;

use serde_json::Value;

use crate::documents::text_at;
use crate::environment::Names;
use crate::metrics::Metrics;
use crate::{Problems, demand};

pub use kustomize::problems as kustomization_problems;

/// What the documents are compared with.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Variables that our programs read, or that a configuration names.
    pub known: Names,
    /// What the sources record.
    pub metrics: Metrics,
    /// The version of the workspace.
    pub version: String,
}

/// What is wrong with the documents of an installation, the example of its secrets among them.
#[must_use]
pub fn problems(documents: &[Value], facts: &Facts) -> Problems {
    let mut found = Problems::new();
    for document in documents {
        let kind = text_at(document, "/kind");
        let name = text_at(document, "/metadata/name");
        let mut told = Problems::new();
        demand(
            &mut told,
            !text_at(document, "/apiVersion").is_empty(),
            || "has no apiVersion".to_owned(),
        );
        demand(&mut told, !kind.is_empty() && !name.is_empty(), || {
            "has no kind or no name".to_owned()
        });
        if document.pointer("/spec/template/spec").is_some() {
            told.extend(pods::problems(document, documents, facts));
        }
        told.extend(links::problems(document, documents, facts));
        found.extend(
            told.into_iter()
                .map(|problem| format!("{kind} {name}: {problem}")),
        );
    }
    found
}

/// Documents of a kind.
fn of_kind<'a>(documents: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    documents
        .iter()
        .filter(move |document| text_at(document, "/kind") == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::yaml;
    use crate::metrics::collect;

    const GOOD: &str = r#"
apiVersion: v1
kind: Secret
metadata: { name: tandem }
stringData: { TANDEM_DATABASE_URL: "" }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: tandem-worker }
spec:
  selector: { matchLabels: { role: worker } }
  template:
    metadata: { labels: { role: worker, part: tandem } }
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 45
      securityContext: { runAsNonRoot: true, seccompProfile: { type: RuntimeDefault } }
      topologySpreadConstraints: [{ labelSelector: { matchLabels: { role: worker } } }]
      containers:
        - name: worker
          image: tandem:0.1.0
          command: [tandem-worker]
          ports: [{ name: metrics, containerPort: 9464 }]
          env:
            - { name: TANDEM_LISTEN, value: "0.0.0.0:9464" }
            - { name: TANDEM_DATABASE_URL, valueFrom: { secretKeyRef: { name: tandem, key: TANDEM_DATABASE_URL } } }
          startupProbe: { httpGet: { path: /health/live, port: metrics } }
          livenessProbe: { httpGet: { path: /health/live, port: metrics } }
          readinessProbe: { httpGet: { path: /health/ready, port: metrics } }
          resources: { requests: { cpu: 1, memory: 1Mi }, limits: { memory: 1Mi } }
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: tandem-worker }
spec: { selector: { matchLabels: { role: worker } } }
---
apiVersion: v1
kind: Service
metadata: { name: tandem-worker }
spec: { selector: { role: worker }, ports: [{ port: 80, targetPort: metrics }] }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: tandem-worker }
spec:
  scaleTargetRef: { kind: Deployment, name: tandem-worker }
  metrics: [{ external: { metric: { name: tandem_queue_jobs, selector: { matchLabels: { state: available } } } } }]
"#;

    fn told(text: &str) -> Problems {
        let mut metrics = Metrics::new();
        collect(
            "gauge!(\"tandem_queue_jobs\", \"state\" => s)",
            &mut metrics,
        );
        let known = ["TANDEM_LISTEN", "TANDEM_DATABASE_URL"];
        let facts = Facts {
            known: known.into_iter().map(str::to_owned).collect(),
            metrics,
            version: "0.1.0".to_owned(),
        };
        problems(&yaml(text).expect("it is YAML"), &facts)
    }

    #[test]
    fn good_documents_have_no_problem() {
        assert_eq!(told(GOOD), Problems::new());
    }

    #[test]
    fn each_thing_that_is_broken_is_told() {
        for (good, broken) in [
            (
                "TANDEM_DATABASE_URL: \"\"",
                "TANDEM_DATABASE_URL: postgres://a:b@c/d",
            ),
            ("TANDEM_DATABASE_URL: \"\"", "OTHER: \"\""),
            ("labels: { role: worker,", "labels: { role: api,"),
            ("tandem:0.1.0", "tandem:0.0.9"),
            ("command: [tandem-worker]", "command: [worker]"),
            (
                "port: metrics } }\n          live",
                "port: http } }\n          live",
            ),
            ("containerPort: 9464", "containerPort: 9465"),
            ("/health/ready", "/healthz"),
            ("readinessProbe", "otherProbe"),
            ("Seconds: 45", "Seconds: 20"),
            ("runAsNonRoot: true", "runAsNonRoot: false"),
            ("RuntimeDefault", "Unconfined"),
            (
                "readOnlyRootFilesystem: true",
                "readOnlyRootFilesystem: false",
            ),
            ("drop: [ALL]", "drop: []"),
            ("limits: { memory: 1Mi }", "limits: {}"),
            ("enableServiceLinks: false", "enableServiceLinks: true"),
            ("- { name: TANDEM_LISTEN", "- { name: TANDEM_LISTENS"),
            (
                "spec: { selector: { matchLabels: { role: worker } } }",
                "spec: { selector: { matchLabels: { role: w } } }",
            ),
            (
                "spec: { selector: { role: worker }",
                "spec: { selector: { role: w }",
            ),
            ("targetPort: metrics", "targetPort: http"),
            (
                "kind: Deployment, name: tandem-worker",
                "kind: Deployment, name: tandem-works",
            ),
            ("name: tandem_queue_jobs", "name: tandem_queue_jobz"),
            ("state: available", "status: available"),
            (
                "[{ labelSelector: { matchLabels: { role: worker } } }]",
                "[]",
            ),
        ] {
            let text = GOOD.replacen(good, broken, 1);
            assert_ne!(text, GOOD, "{good}");
            assert_ne!(told(&text), Problems::new(), "{broken}");
        }
    }
}
