//! k8s/: what is shipped is accepted by a real API server, where the restricted pod security standard is enforced.

use std::time::Duration;

use serde_json::{Value, json};

use super::{cluster::Cluster, network::alone};

const LIMIT: Duration = Duration::from_mins(2);
const RESTRICTED: [&str; 2] = ["enforce", "warn"];

/// A cluster with a namespace `restricted`.
async fn restricted() -> Cluster {
    let cluster = Cluster::start().await;
    let label = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), json!("restricted"));
    let labels: serde_json::Map<_, _> = RESTRICTED.map(label).into_iter().collect();
    let namespace = json!({ "metadata": { "name": "restricted", "labels": labels } });
    cluster.create("/api/v1/namespaces", &namespace).await;
    cluster
}

fn kustomized(cluster: &Cluster, folder: &str) -> String {
    let text = cluster.kubectl(&[
        "kustomize",
        &format!("{}/k8s/{folder}", env!("CARGO_MANIFEST_DIR")),
    ]);
    let name = folder.replace('/', "-");
    cluster
        .dir
        .replace(&format!("{name}.yaml"), &text)
        .display()
        .to_string()
}

/// What the server made of a file, and its warnings.
fn applied(cluster: &Cluster, file: &str) -> Result<(Vec<Value>, String), String> {
    let arguments = [
        "-n",
        "restricted",
        "apply",
        "--dry-run=server",
        "-o",
        "json",
        "-f",
        file,
    ];
    let (out, err) = cluster.try_kubectl(&arguments)?;
    let list: Value = serde_json::from_str(&out).expect("JSON");
    let items = match list["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![list],
    };
    Ok((items, err))
}

/// Applies a folder of k8s/; the kinds in it.
fn accepted(cluster: &Cluster, folder: &str) -> Vec<String> {
    let file = kustomized(cluster, folder);
    let (items, warnings) = applied(cluster, &file).unwrap_or_else(|error| panic!("{folder}: {error}"));
    assert_eq!(warnings, "", "{folder}");
    // The standard is enforced on pods, not on what makes them.
    for template in items
        .iter()
        .filter(|item| item["kind"] == "Deployment")
        .map(|item| &item["spec"]["template"])
    {
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "one" }, "spec": template["spec"] });
        // It would have to be there, which a dry run cannot make true.
        pod["spec"]
            .as_object_mut()
            .expect("a map")
            .remove("serviceAccountName");
        let file = cluster.dir.replace("pod.yaml", &pod.to_string());
        let (_, warnings) =
            applied(cluster, &file.display().to_string()).unwrap_or_else(|error| panic!("{folder}: {error}"));
        assert_eq!(warnings, "", "{folder}");
    }
    let mut kinds: Vec<_> = items
        .iter()
        .map(|item| item["kind"].as_str().expect("a kind").to_owned())
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn what_is_shipped_is_accepted_under_the_restricted_standard() {
    alone(LIMIT, async {
        let cluster = restricted().await;
        let base = [
            "ConfigMap",
            "Deployment",
            "PodDisruptionBudget",
            "Role",
            "RoleBinding",
            "Service",
            "ServiceAccount",
        ];
        assert_eq!(accepted(&cluster, "base"), base);
        let mut ingress = [&base[..], &["HorizontalPodAutoscaler", "NetworkPolicy"]].concat();
        ingress.sort_unstable();
        assert_eq!(accepted(&cluster, "overlays/ingress"), ingress);
        assert_eq!(
            accepted(&cluster, "overlays/sidecar"),
            ["ConfigMap", "Deployment", "Service"]
        );
    });
}

#[test]
fn what_breaks_the_restricted_standard_is_noticed() {
    alone(LIMIT, async {
        let cluster = restricted().await;
        let file = kustomized(&cluster, "base");
        let text = std::fs::read_to_string(&file).expect("a file");
        let as_root = text.replace("runAsNonRoot: true", "runAsNonRoot: false");
        assert_ne!(text, as_root);
        let file = cluster
            .dir
            .replace("as-root.yaml", &as_root)
            .display()
            .to_string();
        let (_, warnings) = applied(&cluster, &file).expect("a Deployment is not refused, its pods would be");
        assert!(warnings.contains("runAsNonRoot"), "{warnings}");
    });
}

#[test]
fn the_pod_monitor_fits_the_operators_form() {
    alone(LIMIT, async {
        let cluster = restricted().await;
        let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "podmonitors.monitoring.coreos.com" },
            "spec": {
                "group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": { "kind": "PodMonitor", "plural": "podmonitors" },
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": any } }],
            },
        });
        let file = cluster
            .dir
            .replace("definition.yaml", &definition.to_string())
            .display()
            .to_string();
        cluster.kubectl(&["apply", "-f", &file]);
        cluster.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd/podmonitors.monitoring.coreos.com",
        ]);
        let component = format!("{}/k8s", env!("CARGO_MANIFEST_DIR"));
        let folder = std::path::Path::new(&component);
        let monitor = folder
            .join("components/pod-monitor/monitor.yaml")
            .display()
            .to_string();
        let (items, warnings) = applied(&cluster, &monitor).expect("a PodMonitor");
        assert_eq!((items[0]["kind"].as_str(), &*warnings), (Some("PodMonitor"), ""));
        // It selects the pods of the base, by a port that they have.
        let base = std::fs::read_to_string(kustomized(&cluster, "base")).expect("a file");
        for (key, value) in items[0]["spec"]["selector"]["matchLabels"]
            .as_object()
            .expect("labels")
        {
            assert!(base.contains(&format!("{key}: {}", value.as_str().expect("a text"))));
        }
        let port = items[0]["spec"]["podMetricsEndpoints"][0]["port"]
            .as_str()
            .expect("a name");
        assert!(base.contains(&format!("name: {port}")));
    });
}
