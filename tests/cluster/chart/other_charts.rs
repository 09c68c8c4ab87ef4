//! Values that most charts have: log level, namespaces, additional objects, permissions managed elsewhere.

use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use super::{
    HELMS, NAMESPACE, chart, container, copy_of_chart, find, helm, id, objects, path, render, render_of,
    template,
};
use crate::cluster::text_of;

fn log_filter(values: &Value) -> Option<String> {
    let rendered = render(values);
    let variables = container(&rendered)["env"].as_array().unwrap();
    let filter = variables.iter().find(|variable| variable["name"] == "POSTLINK_LOG")?;
    Some(filter["value"].as_str().unwrap().to_owned())
}

#[test]
fn log_level_sets_the_programs_filter() {
    for (level, expected) in [
        ("info", None),
        ("error", Some("error")),
        ("warn", Some("warn,kube_runtime::watcher=off,postlink=warn")),
        ("debug", Some("warn,kube_runtime::watcher=off,postlink=debug")),
        ("trace", Some("warn,kube_runtime::watcher=off,postlink=trace")),
    ] {
        let filter = log_filter(&json!({"logLevel": level}));
        assert_eq!(filter.as_deref(), expected);
        if let Some(filter) = filter {
            EnvFilter::try_new(&filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        }
    }
    let own = json!({"extraEnv": [{"name": "POSTLINK_LOG", "value": "kube=debug"}]});
    assert_eq!(log_filter(&own).as_deref(), Some("kube=debug"));
}

/// Two variables of one name cannot be applied server-side.
#[test]
fn log_level_and_a_filter_of_ones_own_are_refused() {
    for level in ["error", "debug"] {
        let values = json!({"logLevel": level, "extraEnv": [{"name": "POSTLINK_LOG", "value": "trace"}]});
        for major in HELMS {
            let message = template(major, &chart(), &values).unwrap_err();
            assert!(message.contains("logLevel sets POSTLINK_LOG"), "Helm {major}, {level}: {message}");
        }
    }
}

#[test]
fn namespace_override_moves_every_object() {
    let values = json!({"namespaceOverride": "crm", "workloadIdentity": {"namespaces": ["social"]}, "metrics": {
        "serviceMonitor": {"enabled": true},
        "prometheusRule": {"enabled": true},
        "dashboard": {"enabled": true},
    }});
    let rendered = render(&values);
    for object in &rendered {
        let (kind, namespace, name) = id(object);
        assert!(["", "crm", "social"].contains(&namespace.as_str()), "{kind} {name} in {namespace}");
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], "crm", "{kind} {name}");
        }
    }
    assert_eq!(rendered.len(), render(&json!({"workloadIdentity": {"namespaces": ["social"]}})).len() + 3);
}

/// Without a `namespaceSelector`, the operator looks for Services only in the namespace of the `ServiceMonitor`.
#[test]
fn monitor_in_another_namespace_selects_that_of_the_release() {
    for (namespace, selector) in
        [("", json!(null)), (NAMESPACE, json!(null)), ("monitoring", json!({"matchNames": [NAMESPACE]}))]
    {
        let monitor = json!({"enabled": true, "namespace": namespace, "interval": ""});
        let rendered = render(&json!({"metrics": {"serviceMonitor": monitor}}));
        let monitor = find(&rendered, "ServiceMonitor", "postlink");
        assert_eq!(monitor["spec"]["namespaceSelector"], selector, "{namespace}");
        let endpoint = json!({"port": "metrics", "path": "/metrics", "honorLabels": true});
        assert_eq!(monitor["spec"]["endpoints"], json!([endpoint]));
    }
}

#[test]
fn extra_objects_are_templates() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "{{ .Release.Name }}-object", "namespace": "{{ include \"postlink.namespace\" . }}",
    }});
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-one}\n---\n\
                apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-two}\n";
    let plain = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "007"}});
    let rendered = render(&json!({"extraObjects": [object, text, plain]}));
    for name in ["postlink-object", "postlink-one", "postlink-two", "007"] {
        find(&rendered, "ConfigMap", name);
    }
    assert_eq!(find(&rendered, "ConfigMap", "postlink-object")["metadata"]["namespace"], NAMESPACE);
}

#[test]
fn without_rbac_no_role_is_rendered() {
    for namespaces in [json!([]), json!(["social"])] {
        let values = json!({"rbac": {"create": false}, "namespaces": namespaces,
            "workloadIdentity": {"namespaces": ["social"]}});
        let rendered = render(&values);
        let roles: Vec<_> = rendered
            .iter()
            .filter(|one| one["apiVersion"] == "rbac.authorization.k8s.io/v1")
            .map(id)
            .collect();
        assert_eq!(roles, [], "{namespaces}");
        find(&rendered, "ConfigMap", "postlink-in-use");
        // What the administrator applies instead.
        for major in HELMS {
            let chart = chart();
            let namespaces = format!("namespaces={namespaces}");
            let rbac = ["-s", "templates/rbac.yaml", "--set", "rbac.create=true", "--set-json", &namespaces];
            let all =
                helm(major, &[&["template", "postlink", path(&chart), "-n", NAMESPACE], &rbac[..]].concat());
            let mut kinds: Vec<_> = objects(&all.unwrap()).iter().map(|object| id(object).0).collect();
            kinds.sort();
            kinds.dedup();
            let wanted = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
            assert_eq!(kinds, wanted[if namespaces.contains("social") { 2 } else { 0 }..], "Helm {major}");
        }
    }
}

/// The values of a release that `helm upgrade --reuse-values` takes from its old chart lack newer values.
pub fn older_values() -> Value {
    fn keep(values: &mut Value, schema: &Value) {
        let Some(fields) = values.as_object_mut() else { return };
        let closed = schema["additionalProperties"] == false;
        if let Some(required) = schema["required"].as_array().filter(|_| closed) {
            fields.retain(|key, _| required.iter().any(|name| name == key));
        }
        for (key, value) in fields {
            keep(value, &schema["properties"][key.as_str()]);
        }
    }
    let mut values: Value = serde_saphyr::from_str(&text_of("charts/postlink/values.yaml")).unwrap();
    keep(&mut values, &serde_json::from_str(&text_of("charts/postlink/values.schema.json")).unwrap());
    assert!(values.get("logLevel").is_none() && values["replicas"] == 2);
    values
}

#[test]
fn values_of_an_older_chart_render_the_same() {
    let chart = copy_of_chart();
    std::fs::write(chart.join("values.yaml"), older_values().to_string()).unwrap();
    let monitoring = json!({"metrics": {
        "serviceMonitor": {"enabled": true},
        "prometheusRule": {"enabled": true},
        "dashboard": {"enabled": true},
    }});
    for values in [json!({}), monitoring] {
        let (older, newer) = (render_of(&chart, &values), render(&values));
        assert_eq!(older.len(), newer.len());
        for (older, newer) in older.iter().zip(&newer) {
            assert_eq!(older, newer);
        }
    }
}
