//! Properties of the rendered chart that hold for all values.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    HELMS, NAMESPACE, chart, container, everything, find, helm, id, objects, of_kind, path, render, render_of,
};
use crate::cluster::text_of;

/// Cluster-scoped kinds that a chart could contain.
const CLUSTER_SCOPED: [&str; 10] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "FlowSchema",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

fn args(objects: &[Value]) -> Vec<String> {
    let args = container(objects)["args"].as_array().expect("the Deployment gives arguments");
    args.iter().map(|arg| arg.as_str().expect("an argument is a string").to_owned()).collect()
}

#[test]
fn helm_3_and_4_lint_cleanly() {
    for major in HELMS {
        let said =
            helm(major, &["lint", "--strict", path(&chart())]).unwrap_or_else(|error| panic!("{error}"));
        let findings: Vec<_> = said.lines().filter(|line| line.starts_with('[')).collect();
        assert_eq!(findings, ["[INFO] Chart.yaml: icon is recommended"], "Helm {major}");
    }
}

#[test]
fn chart_and_program_have_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(&text_of("charts/postlink/Chart.yaml")).unwrap();
    assert_eq!(chart["version"], version);
    assert_eq!(chart["appVersion"], version);
    assert_eq!(container(&render(&json!({})))["image"], format!("postlink:{version}"));
}

#[test]
fn artifact_hub_lists_the_kinds() {
    let chart: Value = serde_saphyr::from_str(&text_of("charts/postlink/Chart.yaml")).unwrap();
    let listed = chart["annotations"]["artifacthub.io/crds"].as_str().unwrap();
    let listed: Vec<Value> = serde_saphyr::from_str(listed).unwrap();
    let listed: BTreeSet<_> = listed
        .iter()
        .map(|one| ["name", "kind", "version"].map(|field| one[field].as_str().unwrap().to_owned()))
        .collect();
    let installed: BTreeSet<_> = postlink::api::crds::all()
        .into_iter()
        .map(|crd| {
            let version = crd.spec.versions[0].name.clone();
            [crd.metadata.name.unwrap(), crd.spec.names.kind, version]
        })
        .collect();
    assert_eq!(listed, installed);
}

#[test]
fn chart_definitions_equal_the_generated_ones() {
    let rendered = render(&json!({}));
    for crd in postlink::api::crds::all() {
        let name = crd.metadata.name.clone().unwrap();
        let text = postlink::api::crds::to_yaml(&crd).unwrap();
        assert_eq!(*find(&rendered, "CustomResourceDefinition", &name), objects(&text)[0]);
    }
    for crd in of_kind(&rendered, "CustomResourceDefinition") {
        let annotations = &crd["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/resource-policy"], "keep", "{:?}", id(crd));
        assert_eq!(annotations["kustomize.toolkit.fluxcd.io/prune"], "disabled", "{:?}", id(crd));
        assert_eq!(annotations["argocd.argoproj.io/sync-options"], "Prune=false", "{:?}", id(crd));
    }
    let without = render(&json!({"crds": {"install": false}}));
    assert_eq!(of_kind(&without, "CustomResourceDefinition").count(), 0);
}

#[test]
fn namespaced_install_renders_no_cluster_scoped_object() {
    let (chart, mut values) = everything();
    values["namespaces"] = json!(["social", "care", "social"]);
    for values in [json!({"namespaces": ["social", "care"]}), values] {
        let rendered = render_of(&chart, &values);
        for object in &rendered {
            let (kind, namespace, name) = id(object);
            assert!(!CLUSTER_SCOPED.contains(&kind.as_str()), "{kind} {name}");
            assert!(
                [NAMESPACE, "social", "care", "monitoring"].contains(&namespace.as_str()),
                "{kind} {name} in {namespace:?}"
            );
        }
        let args = args(&rendered);
        let namespaces: Vec<_> = args.iter().filter(|arg| arg.starts_with("--watch-namespace=")).collect();
        assert_eq!(namespaces, ["--watch-namespace=social", "--watch-namespace=care"]);
    }
}

#[test]
fn every_object_has_the_recommended_labels() {
    let (chart, values) = everything();
    for object in render_of(&chart, &values) {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["example.com/team"], "social", "{:?}", id(&object));
        let shipped_as_is =
            ["CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
                .iter()
                .any(|kind| object["kind"] == *kind);
        if !shipped_as_is {
            assert_eq!(
                labels["app.kubernetes.io/part-of"], "postlink",
                "a common label replaced one of ours"
            );
        }
    }
}

#[test]
fn pods_meet_the_restricted_profile() {
    let (chart, values) = everything();
    // OpenShift rejects pods that set their own user or group ids.
    let chosen_by_the_cluster = json!({"runAsUser": null, "runAsGroup": null, "fsGroup": null});
    let open_shift = render(&json!({"podSecurityContext": chosen_by_the_cluster}));
    for (rendered, ids) in [
        (render(&json!({})), json!([65532, 65532, 65532])),
        (render_of(&chart, &values), json!([null, null, 2000])),
        (open_shift, json!([null, null, null])),
    ] {
        let pod = &find(&rendered, "Deployment", "postlink")["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let given = ["runAsUser", "runAsGroup", "fsGroup"].map(|id| pod["securityContext"][id].clone());
        assert_eq!(json!(given), ids, "the user of the image, or what the values say");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let own = &container(&rendered)["securityContext"];
        assert_eq!(own["readOnlyRootFilesystem"], true);
        assert_eq!(own["allowPrivilegeEscalation"], false);
        assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}));
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= 30);
        assert!(container(&rendered)["resources"]["limits"]["memory"].is_string());
    }
}

#[test]
fn selectors_match_only_their_own_releases_pods() {
    let (chart, values) = everything();
    for rendered in [render(&json!({})), render_of(&chart, &values)] {
        let deployment = find(&rendered, "Deployment", "postlink");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let mut selectors = vec![&deployment["spec"]["selector"]["matchLabels"]];
        for object in &rendered {
            match object["kind"].as_str().unwrap() {
                "PodDisruptionBudget" => selectors.push(&object["spec"]["selector"]["matchLabels"]),
                "NetworkPolicy" => selectors.push(&object["spec"]["podSelector"]["matchLabels"]),
                "Service" => selectors.push(&object["spec"]["selector"]),
                _ => {}
            }
        }
        assert_eq!(selectors.len(), 4);
        for selector in selectors {
            for (key, value) in selector.as_object().unwrap() {
                assert_eq!(labels[key], *value);
            }
            assert_eq!(selector["app.kubernetes.io/instance"], "postlink");
        }
    }
}

#[test]
fn pods_spread_over_hosts_by_their_own_labels() {
    let rendered = render(&json!({}));
    let deployment = find(&rendered, "Deployment", "postlink");
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["labelSelector"]["matchLabels"], deployment["spec"]["selector"]["matchLabels"]);
    let (chart, values) = everything();
    let rendered = render_of(&chart, &values);
    let spread =
        &find(&rendered, "Deployment", "postlink")["spec"]["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!(*spread, values["topologySpreadConstraints"], "a selector of one's own is left alone");
}

#[test]
fn ports_and_probes_and_the_network_policy_agree() {
    let (chart, values) = everything();
    for (rendered, metrics, health) in
        [(render(&json!({})), 8080, 8081), (render_of(&chart, &values), 9090, 9091)]
    {
        let container = container(&rendered);
        let ports = json!([
            {"name": "metrics", "containerPort": metrics},
            {"name": "health", "containerPort": health},
        ]);
        assert_eq!(container["ports"], ports);
        for (probe, page) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(container[probe]["httpGet"], json!({"path": page, "port": "health"}), "{probe}");
        }
        let args = args(&rendered);
        assert!(args.contains(&format!("--metrics-addr=$(POD_IP):{metrics}")), "{args:?}");
        assert!(args.contains(&format!("--health-addr=$(POD_IP):{health}")), "{args:?}");
        let policy = find(&rendered, "NetworkPolicy", "postlink");
        let open: Vec<_> = policy["spec"]["ingress"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| &rule["ports"][0]["port"])
            .collect();
        assert_eq!(open, [metrics, health]);
    }
}

#[test]
fn ca_certificates_are_mounted_and_passed() {
    let rendered = render(&json!({"caBundle": {"configMap": "company-ca", "key": "bundle.pem"}}));
    assert!(args(&rendered).contains(&"--ca-file=/etc/postlink/ca/bundle.pem".to_owned()));
    let mounts = &container(&rendered)["volumeMounts"];
    assert_eq!(*mounts, json!([{"name": "ca", "mountPath": "/etc/postlink/ca", "readOnly": true}]));
    let volumes = &find(&rendered, "Deployment", "postlink")["spec"]["template"]["spec"]["volumes"];
    let items = json!([{"key": "bundle.pem", "path": "bundle.pem"}]);
    assert_eq!(*volumes, json!([{"name": "ca", "configMap": {"name": "company-ca", "items": items}}]));
}

#[test]
fn alerts_and_dashboard_are_rendered_verbatim() {
    let (chart, values) = everything();
    let rendered = render_of(&chart, &values);
    let rule = find(&rendered, "PrometheusRule", "postlink");
    let summary = &rule["spec"]["groups"][0]["rules"][0]["annotations"]["summary"];
    assert_eq!(summary, "{{ $labels.pod }} is away", "Helm must not read the braces of an alert");
    let shipped = render(&json!({"metrics": {"prometheusRule": {
        "enabled": true, "runbookUrl": "https://docs.example.com/operations",
    }}}));
    for group in find(&shipped, "PrometheusRule", "postlink")["spec"]["groups"].as_array().unwrap() {
        for alert in group["rules"].as_array().unwrap() {
            let runbook = alert["annotations"]["runbook_url"].as_str().unwrap_or_default();
            assert!(runbook.starts_with("https://docs.example.com/operations#postlink"), "{alert}");
        }
    }
    let dashboard = find(&rendered, "ConfigMap", "postlink-dashboard");
    assert_eq!(dashboard["data"]["postlink.json"], "{\"title\": \"{{ pod }}\"}\n");
}

#[test]
fn program_accepts_every_argument_of_the_chart() {
    use clap::Parser as _;
    let (chart, values) = everything();
    for values in [json!({}), values] {
        let mut line = vec!["postlink".to_owned()];
        for arg in args(&render_of(&chart, &values)) {
            line.push(arg.replace("$(POD_IP)", "10.0.0.7").replace("$(POD_NAMESPACE)", NAMESPACE));
        }
        postlink::commands::Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
}

/// Helm allows release names with dots or a leading digit, which a Service name may not have.
#[test]
fn any_release_name_gives_a_valid_service_name() {
    // Truncation leaves a trailing dot.
    let (long, cut) = (format!("{}.b", "a".repeat(51)), format!("{}-metrics", "a".repeat(51)));
    for (release, service) in [
        ("eu.west", "eu-west-postlink-metrics"),
        ("7", "n7-postlink-metrics"),
        ("3.postlink", "n3-postlink-metrics"),
        ("postlink", "postlink-metrics"),
        (long.as_str(), cut.as_str()),
    ] {
        for major in HELMS {
            let rendered = helm(major, &["template", release, path(&chart()), "-n", NAMESPACE]).unwrap();
            let objects = objects(&rendered);
            let names: Vec<_> =
                of_kind(&objects, "Service").map(|service| service["metadata"]["name"].clone()).collect();
            assert_eq!(names, [service], "Helm {major}");
            let ends = objects.iter().map(|object| id(object).2).find(|name| name.ends_with(['.', '-']));
            assert_eq!(ends, None, "Helm {major}");
        }
    }
}
