//! Tests of `MemoryApi` through a `kube::Client`, with a small kind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod deleting;
mod faults;
mod lists;
mod service;
mod watches;
mod writes;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, Status};
use kube::{Client, ResourceExt as _};
use kube_memory::{
    Admission, AdmissionRequest, AdmissionResponse, Denial, FieldError, MemoryApi, Operation, Options,
    Resource, UserInfo,
};
use serde_json::{Value, json};

/// A CRD with everything the API treats specially: status, a selectable field, list types.
fn widgets() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": "widgets.test.example"},
        "spec": {
            "group": "test.example", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.owner"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "owner": {"type": "string"}, "size": {"type": "integer"},
                        "link": {"type": "object", "properties": {"to": {"type": "string"}, "notes": {"type": "string"}}}}},
                    "status": {"type": "object", "properties": {
                        "observedGeneration": {"type": "integer"},
                        "conditions": {"type": "array", "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["type"],
                            "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}}}}}}}
            }]
        }
    }))
    .unwrap()
}

/// Admission for `widgets()`: prunes undeclared fields, defaults the status, rejects a negative size, and has one
/// policy.
struct WidgetRules;

impl Admission for WidgetRules {
    fn prune(&self, _: &Resource, object: &mut Value) -> Vec<String> {
        let mut dropped = Vec::new();
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            let unknown: Vec<String> =
                spec.keys().filter(|k| !["owner", "size", "link"].contains(&k.as_str())).cloned().collect();
            for field in unknown {
                spec.remove(&field);
                dropped.push(format!("spec.{field}"));
            }
        }
        dropped
    }

    fn default(&self, _: &Resource, object: &mut Value) {
        if object.get("status").is_none() {
            object["status"] = json!({"observedGeneration": -1});
        }
    }

    fn validate(&self, _: &Resource, _: Option<&str>, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
        match object["spec"]["size"].as_i64() {
            Some(size) if size < 0 => {
                vec![FieldError::invalid("spec.size", size, "should be greater than or equal to 0")]
            }
            _ => Vec::new(),
        }
    }

    fn admit(
        &self,
        request: &AdmissionRequest,
        _: Option<&Value>,
        old_object: Option<&Value>,
        _: Option<&Value>,
    ) -> AdmissionResponse {
        let held = old_object.is_some_and(|old| old["status"]["held"] == true);
        if request.operation == Operation::Delete && held && request.user.username == "person" {
            let message = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: it is held";
            return AdmissionResponse { denied: Some(Denial::invalid(message)), warnings: Vec::new() };
        }
        let warnings = if held { vec!["it is \"held\"".to_owned()] } else { Vec::new() };
        AdmissionResponse { denied: None, warnings }
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn options() -> Options {
    Options { clock: Arc::new(|| at("2026-01-01T00:00:00.75Z")), ..Options::default() }
}

fn permissive() -> MemoryApi {
    MemoryApi::new(&[widgets()], options()).unwrap()
}

fn with_rules() -> MemoryApi {
    MemoryApi::new(&[widgets()], Options { admission: Arc::new(WidgetRules), ..options() }).unwrap()
}

fn widget_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("test.example", "v1", "Widget"), "widgets")
}

fn widgets_of(client: Client) -> Api<DynamicObject> {
    Api::namespaced_with(client, "default", &widget_resource())
}

fn widgets_in(api: &MemoryApi) -> Api<DynamicObject> {
    widgets_of(api.client(UserInfo::admin()))
}

#[allow(clippy::needless_pass_by_value, reason = "calls need no `&` in front of `json!`")]
fn widget(name: &str, spec: Value) -> DynamicObject {
    DynamicObject::new(name, &widget_resource()).data(json!({"spec": spec}))
}

async fn create(api: &Api<DynamicObject>, name: &str) -> DynamicObject {
    api.create(&PostParams::default(), &widget(name, json!({"owner": "ann", "size": 1}))).await.unwrap()
}

async fn merge(api: &Api<DynamicObject>, name: &str, patch: Value) -> Result<DynamicObject, kube::Error> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

/// The `Status` of a failed request.
fn status_of<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a Status, got {other:?}"),
    }
}

fn version(object: &DynamicObject) -> u64 {
    object.resource_version().unwrap().parse().unwrap()
}
