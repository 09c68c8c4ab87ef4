//! The values: mistakes are rejected by name, `global` is open, and each value is documented.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use super::{HELMS, chart, copy, everything, helm, objects, path, template};
use crate::cluster::{repository, text_of};
use crate::harness::run_folder::new_folder;

fn values() -> Value {
    serde_saphyr::from_str(&text_of("charts/postlink/values.yaml")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&text_of("charts/postlink/values.schema.json")).unwrap()
}

#[test]
fn schema_rejects_mistakes_and_names_the_place() {
    let slips = [
        (json!({"replica": 3}), "'replica' not allowed"),
        (json!({"replicas": "3"}), "at '/replicas'"),
        (json!({"image": {"tga": "1"}}), "at '/image': additional properties 'tga' not allowed"),
        (json!({"image": {"tag": 1.2}}), "at '/image/tag'"),
        (json!({"image": {"digest": "sha256:abc"}}), "at '/image/digest'"),
        (json!({"namespaces": "social"}), "at '/namespaces'"),
        (json!({"namespaces": ["Social"]}), "at '/namespaces/0'"),
        (json!({"crds": {"keep": true}}), "at '/crds': additional properties 'keep' not allowed"),
        (json!({"admission": {"mode": "deny"}}), "at '/admission/mode'"),
        (json!({"admission": {"mode": true}}), "at '/admission/mode'"),
        (
            json!({"admission": {"gitOpsUsers": ["system:serviceaccount:a:b", 1]}}),
            "at '/admission/gitOpsUsers/1'",
        ),
        (json!({"admission": {"gitOpsGroups": "gitops-hubs"}}), "at '/admission/gitOpsGroups'"),
        (json!({"allowHosts": ["https://crm.example.com"]}), "at '/allowHosts/0'"),
        (json!({"allowHosts": ["*.example.com"]}), "at '/allowHosts/0'"),
        (json!({"allowHosts": ["127.0.0.1"]}), "at '/allowHosts/0'"),
        (json!({"allowHosts": ["crm.0x7f"]}), "at '/allowHosts/0'"),
        (json!({"allowHosts": [format!("{}.example.com", "a".repeat(64))]}), "at '/allowHosts/0'"),
        (json!({"instanceTimeout": 601}), "at '/instanceTimeout'"),
        (json!({"instanceTimeout": "60s"}), "at '/instanceTimeout'"),
        (json!({"concurrency": 0}), "at '/concurrency'"),
        (json!({"logFormat": "JSON"}), "at '/logFormat'"),
        (
            json!({"logLevel": "warning"}),
            "at '/logLevel': value must be one of 'error', 'warn', 'info', 'debug', 'trace'",
        ),
        (json!({"image": {"repository": "registry.example.com/postlink:1.0"}}), "at '/image/repository'"),
        (json!({"image": {"tag": "1.0@sha256:abc"}}), "at '/image/tag'"),
        (json!({"extraObjects": [{"apiVersion": "v1"}]}), "at '/extraObjects/0': missing property 'kind'"),
        (json!({"extraEnvFrom": [{"configMap": {"name": "a"}}]}), "at '/extraEnvFrom/0'"),
        (json!({"dnsPolicy": "none"}), "at '/dnsPolicy'"),
        (json!({"dnsConfig": {"nameserver": "10.0.0.1"}}), "at '/dnsConfig'"),
        (json!({"hostAliases": [{"ip": "10.0.0.1"}]}), "at '/hostAliases/0': missing property 'hostnames'"),
        (
            json!({"metrics": {"serviceMonitor": {"scrapeTimeout": 10}}}),
            "at '/metrics/serviceMonitor/scrapeTimeout'",
        ),
        (json!({"namespaceOverride": "Team"}), "at '/namespaceOverride'"),
        (json!({"metrics": {"port": "8080"}}), "at '/metrics/port'"),
        (json!({"health": {"port": 80}}), "at '/health/port'"),
        (json!({"metrics": {"serviceMonitor": {"enable": true}}}), "at '/metrics/serviceMonitor'"),
        (json!({"terminationGracePeriodSeconds": 10}), "at '/terminationGracePeriodSeconds'"),
        (json!({"resources": {"limits": {"memory": "256MB"}}}), "at '/resources/limits/memory'"),
        (
            json!({"podDisruptionBudget": {"maxUnavailable": "half"}}),
            "at '/podDisruptionBudget/maxUnavailable'",
        ),
        (json!({"podLabels": {"tier": 1}}), "at '/podLabels/tier'"),
        (json!({"networkPolicy": {"egress": {"ports": []}}}), "at '/networkPolicy/egress/ports'"),
        (
            json!({"networkPolicy": {"ingress": {"metricsFrom": [{}]}}}),
            "at '/networkPolicy/ingress/metricsFrom/0'",
        ),
        (json!({"extraArgs": "--connect-to=a=b"}), "at '/extraArgs'"),
        (json!({"podSecurityContext": {"runAsNonRoot": false}}), "at '/podSecurityContext/runAsNonRoot'"),
        (json!({"leaseDuration": 2}), "at '/leaseDuration'"),
        // A null value is absent; without the schema the templates would fail with a nil pointer error.
        (json!({"namespaces": null}), "missing property 'namespaces'"),
        (json!({"metrics": null}), "missing property 'metrics'"),
        (json!({"metrics": {"serviceMonitor": null}}), "at '/metrics': missing property 'serviceMonitor'"),
        (json!({"metrics": {"dashboard": {"labels": null}}}), "at '/metrics/dashboard'"),
        (json!({"flowSchema": {"enable": false}}), "at '/flowSchema'"),
        (json!({"leaseDuration": null}), "missing property 'leaseDuration'"),
    ];
    for (values, place) in slips {
        for major in HELMS {
            let refused = template(major, &chart(), &values);
            let message = refused.expect_err(&format!("Helm {major} takes {values}"));
            assert!(message.contains(place), "Helm {major}, {values}: {message}");
        }
    }
}

/// YAML does not read an unquoted `123` or `true` as a string.
#[test]
fn names_may_look_like_numbers() {
    let values = json!({"namespaces": ["123", "true"], "fullnameOverride": "7", "priorityClassName": "1"});
    for major in HELMS {
        for object in objects(&template(major, &chart(), &values).unwrap()) {
            let metadata = &object["metadata"];
            assert!(metadata["name"].is_string() && metadata["namespace"].is_string(), "{object}");
            let spec = &object["spec"]["template"]["spec"];
            assert!(spec.is_null() || spec["priorityClassName"] == "1", "{spec}");
        }
    }
}

#[test]
fn contradicting_values_are_refused() {
    for (values, message) in [
        (
            json!({"metrics": {"service": {"enabled": false}, "serviceMonitor": {"enabled": true}}}),
            "metrics.serviceMonitor.enabled requires metrics.service.enabled",
        ),
        (json!({"metrics": {"port": 9000}, "health": {"port": 9000}}), "must differ"),
        (
            json!({"serviceAccount": {"create": false}}),
            "serviceAccount.create is false: set serviceAccount.name",
        ),
    ] {
        for major in HELMS {
            let refused = template(major, &chart(), &values).unwrap_err();
            assert!(refused.contains(message), "Helm {major}: {refused}");
        }
    }
}

/// Rancher puts `global.cattle` into every release, and Helm passes `global` to all subcharts.
#[test]
fn global_values_are_open_in_an_umbrella_chart() {
    let umbrella = new_folder("umbrella").join("house");
    copy(&chart(), &umbrella.join("charts/postlink"));
    fs::create_dir_all(umbrella.join("templates")).unwrap();
    fs::write(
        umbrella.join("Chart.yaml"),
        "apiVersion: v2\nname: house\nversion: 1.0.0\ndependencies:\n- name: postlink\n  version: '>=0'\n  condition: postlink.enabled\n",
    )
    .unwrap();
    let global = json!({"cattle": {"systemProjectId": "p-1", "deep": [{"er": 1}]}});
    let own = json!({"global": global});
    let inside = json!({"global": global, "postlink": {"enabled": true, "replicas": 1}});
    let slip = json!({"postlink": {"replica": 3}});
    for major in HELMS {
        template(major, &chart(), &own).unwrap_or_else(|error| panic!("Helm {major}: {error}"));
        let rendered =
            template(major, &umbrella, &inside).unwrap_or_else(|error| panic!("Helm {major}: {error}"));
        let deployments =
            objects(&rendered).into_iter().filter(|object| object["kind"] == "Deployment").count();
        assert_eq!(deployments, 1);
        let refused = template(major, &umbrella, &slip).unwrap_err();
        assert!(refused.contains("'replica' not allowed"), "Helm {major}: {refused}");
    }
}

#[test]
fn schema_is_closed_except_global_and_kubernetes_types() {
    fn open(schema: &Value, place: &str, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                let object = [json!("object"), json!(["object", "string"])].contains(&schema["type"]);
                if object && schema.get("additionalProperties").is_none() {
                    found.insert(place.to_owned());
                }
                for (key, value) in fields {
                    open(value, &format!("{place}/{key}"), found);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    open(value, &format!("{place}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    open(&schema(), "", &mut found);
    // Kubernetes objects, passed on unchanged; the API server validates them.
    let expected = [
        "/definitions/named/items",
        "/definitions/objects/items",
        "/definitions/peers/items/properties/ipBlock",
        "/definitions/peers/items/properties/namespaceSelector",
        "/definitions/peers/items/properties/podSelector",
        "/properties/affinity/properties/nodeAffinity",
        "/properties/affinity/properties/podAffinity",
        "/properties/affinity/properties/podAntiAffinity",
        "/properties/extraObjects/items",
        "/properties/extraVolumeMounts/items",
        "/properties/global",
        "/properties/networkPolicy/properties/egress/properties/extra/items/properties/ports/items",
        "/properties/podSecurityContext",
        "/properties/tolerations/items",
        "/properties/topologySpreadConstraints/items",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

/// A value in only one of the two is either never read or never allowed.
#[test]
fn values_and_schema_list_the_same_values() {
    fn of_schema(schema: &Value, root: &Value, place: &str, found: &mut BTreeSet<String>) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        match schema["properties"].as_object() {
            Some(fields) => {
                for (key, value) in fields {
                    of_schema(value, root, &format!("{place}.{key}"), found);
                }
            }
            None => drop(found.insert(place.trim_start_matches('.').to_owned())),
        }
    }
    let schema = schema();
    let mut allowed = BTreeSet::new();
    of_schema(&schema, &schema, "", &mut allowed);
    // Read by the umbrella chart that sets it.
    assert!(allowed.remove("enabled"));
    for group in ["affinity", "dnsConfig", "podSecurityContext", "resources"] {
        allowed.retain(|place| !place.starts_with(&format!("{group}.")));
        allowed.insert(group.to_owned());
    }
    let explained: BTreeSet<_> = explained().into_iter().map(|value| value.place).collect();
    assert_eq!(explained, allowed);
}

#[test]
fn everything_yaml_sets_every_value() {
    let (_, given) = everything();
    for value in explained() {
        let place = format!("/{}", value.place.replace('.', "/"));
        let left_out = ["/namespaces", "/nameOverride", "/fullnameOverride", "/namespaceOverride"];
        let left_out = left_out.contains(&place.as_str());
        assert!(left_out || given.pointer(&place).is_some(), "everything.yaml does not set {}", value.place);
    }
}

/// A value and its description in values.yaml.
struct Explained {
    place: String,
    default: String,
    text: String,
}

/// The text after `# --` above each value.
fn explained() -> Vec<Explained> {
    let values = values();
    let mut found = Vec::new();
    let mut text: Option<String> = None;
    let mut parents: Vec<(usize, String)> = Vec::new();
    for line in text_of("charts/postlink/values.yaml").lines() {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim_start();
        if let Some(begin) = content.strip_prefix("# -- ") {
            text = Some(begin.to_owned());
        } else if let (Some(more), Some(text)) = (content.strip_prefix("# "), text.as_mut()) {
            let _ = write!(text, " {more}");
        } else if let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with(['#', '-'])) {
            parents.retain(|(at, _)| *at < indent);
            parents.push((indent, key.to_owned()));
            if let Some(text) = text.take() {
                let path: Vec<_> = parents.iter().map(|(_, key)| key.as_str()).collect();
                let default = values.pointer(&format!("/{}", path.join("/"))).expect("the key was just read");
                found.push(Explained { place: path.join("."), default: default.to_string(), text });
            }
        }
    }
    found
}

/// Editors show the schema's descriptions.
#[test]
fn schema_describes_each_value_as_values_yaml_does() {
    let schema = schema();
    for Explained { place, text, .. } in explained() {
        let path = format!("/properties/{}", place.replace('.', "/properties/"));
        assert_eq!(schema.pointer(&path).unwrap()["description"], text, "{place} in values.schema.json");
    }
}

#[test]
fn readme_has_a_row_per_value() {
    const BEGIN: &str = "<!-- values: written by a test from values.yaml -->\n";
    const END: &str = "<!-- end of values -->";
    let file = repository("charts/postlink/README.md");
    let readme = fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README marks where its table begins");
    let (_, after) = rest.split_once(END).expect("the README marks where its table ends");
    let mut table = "| value | default | |\n|---|---|---|\n".to_owned();
    for Explained { place, default, text } in explained() {
        writeln!(table, "| `{place}` | `{default}` | {} |", text.replace('|', "\\|")).unwrap();
    }
    let wanted = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("POSTLINK_WRITE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        wanted,
        "charts/postlink/README.md is out of date; run `POSTLINK_WRITE_DOCS=1 cargo test --test cluster readme`"
    );
}

#[test]
fn packaged_chart_is_complete() {
    let folder = new_folder("package");
    for major in HELMS {
        let target = folder.join(format!("helm{major}"));
        helm(major, &["package", path(&chart()), "-d", path(&target)])
            .unwrap_or_else(|error| panic!("{error}"));
        let archive = target.join(format!("postlink-{}.tgz", env!("CARGO_PKG_VERSION")));
        let packaged = template(major, &archive, &json!({})).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(objects(&packaged), objects(&template(major, &chart(), &json!({})).unwrap()));
    }
}
