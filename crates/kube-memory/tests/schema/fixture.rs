//! A CRD that uses every supported feature of schemas.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_memory::FieldError;
use kube_memory::schema::Schema;
use serde_json::{Value, json};

/// The CRD as JSON, for tests that change it.
pub fn crd() -> Value {
    serde_saphyr::from_str(include_str!("gadgets.yaml")).expect("the fixture is YAML")
}

/// The schema, compiled from the Kubernetes type of the CRD.
pub fn schema() -> Schema {
    let crd: CustomResourceDefinition = serde_json::from_value(crd()).expect("the fixture is a CRD");
    Schema::from_crd(&crd, "v1").expect("the fixture compiles")
}

/// A valid object with the given spec.
pub fn gadget(spec: Value) -> Value {
    let mut object = json!({"apiVersion": "test.dev/v1", "kind": "Gadget", "metadata": {"name": "g"}});
    object["spec"] = spec;
    object
}

pub fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
