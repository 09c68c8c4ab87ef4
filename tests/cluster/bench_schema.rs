//! What a status write of a PostLink costs the API server, by what its CRD says: the same objects and the same patches under
//! variants of the CRD. Ignored in a normal run; `make bench` runs it.

use postlink::api::crds;
use serde_json::{Value, json};

use crate::bench::linked_post;
use crate::harness::ControlPlane;
use crate::harness::patch_loop::bare_patch_loop;
use crate::harness::users::User;

/// Objects of each variant, and rounds over all of them.
const OBJECTS: usize = 1_500;
const ROUNDS: usize = 4;
const CONCURRENCY: usize = 32;

/// A variant: its name, which becomes a group, and what it changes in the schema of the whole object.
type Variant = (&'static str, fn(&mut Value));

const VARIANTS: &[Variant] = &[
    ("ours", |_| {}),
    ("schemaless", |schema| {
        *schema = json!({
            "type": "object", "properties": {
                "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
        });
    }),
    ("nocel", |schema| without(schema, &["x-kubernetes-validations"])),
    ("nobounds", |schema| without(schema, BOUNDS)),
    ("atomicstatus", |schema| atomic(&mut schema["properties"]["status"])),
    ("atomicboth", |schema| {
        atomic(&mut schema["properties"]["status"]);
        atomic(&mut schema["properties"]["spec"]["properties"]["post"]);
    }),
    ("atomicnobounds", |schema| {
        without(schema, BOUNDS);
        atomic(&mut schema["properties"]["status"]);
        atomic(&mut schema["properties"]["spec"]["properties"]["post"]);
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

/// Makes a part of the schema one field for field management.
fn atomic(schema: &mut Value) {
    fn lists(schema: &mut Value) {
        let Some(fields) = schema.as_object_mut() else { return };
        if fields.get("type") == Some(&json!("array")) {
            fields.remove("x-kubernetes-list-map-keys");
            fields.insert("x-kubernetes-list-type".to_owned(), json!("atomic"));
        }
        fields.values_mut().for_each(lists);
    }
    lists(schema);
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
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
    if *name == "schemaless" {
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
    let only = std::env::var("POSTLINK_BENCH_VARIANTS").unwrap_or_default();
    let variants: Vec<&Variant> =
        VARIANTS.iter().filter(|(name, _)| only.is_empty() || only.split(',').any(|o| o == *name)).collect();
    let plane = ControlPlane::start();
    let namespace = plane.namespace("bench");
    for variant in &variants {
        plane.kubectl_apply_text(User::Admin, &definition(variant).to_string()).ok();
        let name = format!("crd/postlinks.{}", group(variant.0));
        plane.kubectl(User::Admin, ["wait", "--for=condition=Established", "--timeout=60s", &name]).ok();
    }
    let gateway = plane.etcd().gateway();
    let mut paths: Vec<Vec<String>> = Vec::new();
    for &&(name, _) in &variants {
        let group = group(name);
        let mut of_variant = Vec::new();
        for number in 0..OBJECTS {
            let mut object = serde_json::to_value(linked_post(number)).expect("an object serializes");
            object["apiVersion"] = format!("{group}/v1alpha1").into();
            object["metadata"]["namespace"] = namespace.clone().into();
            object["metadata"]["managedFields"] = managed_fields(&group);
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            let link = object["metadata"]["name"].as_str().expect("it has a name").to_owned();
            let key = format!("/registry/{group}/postlinks/{namespace}/{link}");
            gateway.put(&key, object.to_string().as_bytes()).await.unwrap();
            of_variant.push(format!("/apis/{group}/v1alpha1/namespaces/{namespace}/postlinks/{link}"));
        }
        paths.push(of_variant);
    }
    let client = plane.client(User::Admin).await;
    eprintln!("server {}", plane.url());
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); variants.len()];
    for round in 0..=ROUNDS {
        for (number, paths) in paths.iter().enumerate() {
            let mut conditions = serde_json::to_value(linked_post(0).status.expect("it has one").conditions)
                .expect("they serialize");
            for condition in conditions.as_array_mut().into_iter().flatten() {
                condition["message"] = format!("{round} The record can be read in the instance.").into();
            }
            let status = |_| json!({"conditions": conditions.clone()});
            let rate = bare_patch_loop(&client, paths, CONCURRENCY, status).await.unwrap();
            // The first round makes managedFields and fills caches.
            if round > 0 {
                rates[number].push(rate.per_second());
            }
        }
    }
    println!("{:>16} {:>8} {:>8}", "CRD", "minimum", "median");
    for (&&(name, _), mut rates) in variants.iter().zip(rates) {
        rates.sort_by(f64::total_cmp);
        println!(
            "{name:>16} {:>8.0} {:>8.0}",
            rates[0],
            f64::midpoint(rates[(ROUNDS - 1) / 2], rates[ROUNDS / 2])
        );
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
