//! What a status write of a PostLink costs the API server, by what its CRD says: the same objects and the same updates under
//! variants of the CRD. Ignored in a normal run; `make bench` runs it.

use postlink::api::crds;
use serde_json::{Value, json};

use crate::bench::{cpu_seconds, linked_post};
use crate::bench_table::row;
use crate::harness::ControlPlane;
use crate::harness::bare_loop::{bare_update_loop, first_objects};
use crate::harness::users::User;

/// Objects of each variant, and rounds over all of them.
const OBJECTS: u32 = 1_500;
const ROUNDS: usize = 4;
const CONCURRENCY: usize = 32;

/// A variant: its name, which becomes a group, and what it changes in the schema of the whole object.
type Variant = (&'static str, fn(&mut Value));

const VARIANTS: &[Variant] = &[
    ("as-shipped", |_| {}),
    ("no-schema", |schema| {
        free(schema, "spec");
        free(schema, "status");
    }),
    ("no-schema-of-status", |schema| free(schema, "status")),
    ("no-schema-of-spec", |schema| free(schema, "spec")),
    ("no-cel", |schema| without(schema, &["x-kubernetes-validations"])),
    ("no-bounds", |schema| without(schema, BOUNDS)),
    ("keyed-conditions", |schema| {
        let status = &mut schema["properties"]["status"];
        without(status, &["x-kubernetes-map-type", "x-kubernetes-list-type"]);
        let conditions = &mut status["properties"]["conditions"];
        conditions["x-kubernetes-list-type"] = json!("map");
        conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    }),
];

const BOUNDS: &[&str] = &[
    "pattern",
    "format",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "minimum",
    "maximum",
    "enum",
    "x-kubernetes-validations",
];

/// Takes the schema of a part away.
fn free(schema: &mut Value, part: &str) {
    schema["properties"][part] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
}

fn without(schema: &mut Value, keys: &[&str]) {
    match schema {
        Value::Object(fields) => {
            for key in keys {
                fields.remove(*key);
            }
            fields.values_mut().for_each(|value| without(value, keys));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, keys)),
        _ => {}
    }
}

fn definition(variant: &Variant) -> Value {
    let (name, change) = variant;
    let group = group(name);
    let mut crd =
        crds::all().into_iter().find(|crd| crd.spec.names.kind == "PostLink").expect("a kind of ours");
    crd.metadata.name = Some(format!("postlinks.{group}"));
    crd.spec.group = group;
    crd.spec.names.categories = None;
    crd.spec.names.short_names = None;
    let mut crd = serde_json::to_value(crd).expect("a CRD serializes");
    let version = &mut crd["spec"]["versions"][0];
    change(&mut version["schema"]["openAPIV3Schema"]);
    if name.starts_with("no-schema") {
        let version = version.as_object_mut().expect("a version is an object");
        version.remove("selectableFields");
        version.remove("additionalPrinterColumns");
    }
    crd
}

fn group(name: &str) -> String {
    format!("{name}.tests.postlink.dev")
}

/// Status writes per second of a bare client under variants of the CRD, interleaved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_definitions() {
    let plane = ControlPlane::start();
    let namespace = plane.namespace("bench");
    for variant in VARIANTS {
        plane.kubectl_apply_text(User::Admin, &definition(variant).to_string()).ok();
        let name = format!("crd/postlinks.{}", group(variant.0));
        plane.kubectl(User::Admin, ["wait", "--for=condition=Established", "--timeout=60s", &name]).ok();
    }
    let gateway = plane.etcd().gateway();
    let mut collections = Vec::new();
    for (name, _) in VARIANTS {
        let group = group(name);
        for number in 0..OBJECTS {
            let mut object =
                serde_json::to_value(linked_post(number as usize)).expect("an object serializes");
            object["apiVersion"] = format!("{group}/v1alpha1").into();
            object["metadata"]["namespace"] = namespace.clone().into();
            object["metadata"]["managedFields"] = managed_fields(&group);
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            let link = object["metadata"]["name"].as_str().expect("it has a name").to_owned();
            let key = format!("/registry/{group}/postlinks/{namespace}/{link}");
            gateway.put(&key, object.to_string().as_bytes()).await.unwrap();
        }
        collections.push(format!("/apis/{group}/v1alpha1/namespaces/{namespace}/postlinks"));
    }
    let client = plane.client(User::Admin).await;
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); VARIANTS.len()];
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); VARIANTS.len()];
    for round in 0..=ROUNDS {
        for turn in 0..collections.len() {
            // Each round in another order.
            let number = (turn + round) % collections.len();
            let objects = first_objects(&client, &collections[number], OBJECTS as usize).await.unwrap();
            let mut status =
                serde_json::to_value(linked_post(0).status.expect("it has one")).expect("it serializes");
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                condition["message"] = format!("{round} The record can be read in the instance.").into();
            }
            let before = cpu_seconds(plane.apiserver().id());
            let status = |_| status.clone();
            let rate = bare_update_loop(&client, &collections[number], &objects, CONCURRENCY, status);
            let rate = rate.await.unwrap();
            // The first round makes managedFields and fills caches.
            if round > 0 {
                rates[number].push(rate.per_second());
                let cpu = cpu_seconds(plane.apiserver().id()) - before;
                costs[number].push(cpu * 1e6 / f64::from(OBJECTS));
            }
        }
    }
    let bare = rates[1].clone();
    for (((name, _), rates), costs) in VARIANTS.iter().zip(rates).zip(costs) {
        row(&format!("bare status updates, CRD {name}"), "a second", &rates);
        let ratios: Vec<f64> = rates.iter().zip(&bare).map(|(rate, bare)| rate / bare).collect();
        row(&format!("bare status updates, CRD {name}"), "÷ CRD no-schema", &ratios);
        row(&format!("bare status updates, CRD {name}"), "CPU µs of the API server each", &costs);
    }
}

/// What `kubectl apply --server-side` leaves on a PostLink.
fn managed_fields(group: &str) -> Value {
    json!([{
        "manager": "kubectl", "operation": "Apply", "apiVersion": format!("{group}/v1alpha1"),
        "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {
            "f:link": {"f:connectionRef": {"f:name": {}}, "f:recordType": {}},
            "f:post": {
                "f:author": {"f:handle": {}, "f:name": {}}, "f:content": {}, "f:contributor": {}, "f:id": {},
                "f:intentions": {}, "f:language": {}, "f:location": {}, "f:publishedAt": {}, "f:reach": {},
                "f:sentiment": {}, "f:source": {}, "f:type": {}, "f:url": {},
            },
        }},
    }])
}
