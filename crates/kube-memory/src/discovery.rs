//! Discovery, version, health and a minimal `OpenAPI` v3.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::resource::Resource;
use crate::server::Server;

/// The document at a path, if there is one.
pub(crate) fn answer(server: &Server, path: &[String]) -> Option<Value> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let resources = server.registry.all();
    match path.as_slice() {
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]})),
        ["api", "v1"] => Some(resource_list(resources, "", "v1")),
        ["apis"] => {
            let groups: Vec<Value> = group_versions(resources).iter().map(|(g, v)| group(g, v)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let found = group_versions(resources).into_iter().find(|(g, _)| g == name)?;
            let mut document = group(&found.0, &found.1);
            document["kind"] = json!("APIGroup");
            document["apiVersion"] = json!("v1");
            Some(document)
        }
        ["apis", name, version] => group_versions(resources)
            .iter()
            .any(|(g, v)| g == name && v == version)
            .then(|| resource_list(resources, name, version)),
        ["version"] => Some(json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.3+kube-memory", "gitCommit": "", "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "memory",
        })),
        ["healthz" | "livez" | "readyz"] => Some(json!("ok")),
        ["openapi", "v3"] => Some(open_api_index(resources)),
        ["openapi", "v3", "api", "v1"] => Some(open_api(resources, "", "v1")),
        ["openapi", "v3", "apis", group, version] => resources
            .iter()
            .any(|r| r.group == *group && r.version == *version)
            .then(|| open_api(resources, group, version)),
        _ => None,
    }
}

fn group_versions(resources: &[Resource]) -> BTreeSet<(String, String)> {
    resources.iter().filter(|r| !r.group.is_empty()).map(|r| (r.group.clone(), r.version.clone())).collect()
}

fn group(name: &str, version: &str) -> Value {
    let entry = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [entry.clone()], "preferredVersion": entry})
}

fn resource_list(resources: &[Resource], group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for resource in resources.iter().filter(|r| r.group == group && r.version == version) {
        let mut verbs = if resource.custom {
            vec!["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
        } else {
            vec!["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        };
        if resource.kind == "Namespace" && !resource.custom {
            verbs.retain(|v| *v != "deletecollection");
        }
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        list.push(entry);
        let mut subresource = |name: &str, kind: Value, verbs: &[&str]| {
            let mut entry = json!({"name": format!("{}/{name}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "verbs": verbs});
            if let Some(fields) = kind.as_object() {
                for (key, value) in fields {
                    entry[key] = value.clone();
                }
            }
            list.push(entry);
        };
        if resource.has_status {
            subresource("status", json!({"kind": resource.kind}), &["get", "patch", "update"]);
        }
        if resource.kind == "ServiceAccount" && !resource.custom {
            let kind = json!({"kind": "TokenRequest", "group": "authentication.k8s.io", "version": "v1"});
            subresource("token", kind, &["create"]);
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut document = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    // The document of the core group has no apiVersion.
    if !group.is_empty() {
        document["apiVersion"] = json!("v1");
    }
    document
}

fn open_api_index(resources: &[Resource]) -> Value {
    let mut paths = json!({});
    for resource in resources {
        let path = match resource.group.as_str() {
            "" => format!("api/{}", resource.version),
            group => format!("apis/{group}/{}", resource.version),
        };
        paths[&path] = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
    }
    json!({"paths": paths})
}

/// The component name of a kind: its group reversed, its version, the kind.
fn component(resource: &Resource) -> String {
    let mut parts: Vec<&str> = resource.group.split('.').filter(|p| !p.is_empty()).collect();
    parts.reverse();
    let kind = resource.kind.as_str();
    if parts.is_empty() {
        return format!("io.k8s.api.core.{}.{kind}", resource.version);
    }
    format!("{}.{}.{kind}", parts.join("."), resource.version)
}

fn open_api(resources: &[Resource], group: &str, version: &str) -> Value {
    let mut schemas = json!({
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object"},
    });
    let mut paths = json!({});
    for resource in resources.iter().filter(|r| r.group == group && r.version == version) {
        let mut schema = match &resource.schema {
            Value::Object(map) => Value::Object(map.clone()),
            _ => json!({}),
        };
        schema["type"] = json!("object");
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]});
        let gvk = json!({"group": group, "version": version, "kind": resource.kind});
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        schemas[component(resource)] = schema;
        let base =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        paths[format!("{base}{scope}/{}/{{name}}", resource.plural)] = json!({
            "get": {"x-kubernetes-action": "get", "x-kubernetes-group-version-kind": gvk, "responses": {}},
            "patch": {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": gvk, "responses": {},
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}},
                    {"name": "dryRun", "in": "query", "schema": {"type": "string"}}]},
        });
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "kube-memory", "version": "v1.36.3"},
        "paths": paths, "components": {"schemas": schemas},
    })
}
