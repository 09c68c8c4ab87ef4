//! Measurements on the real control plane. Ignored in a normal run; `make bench` runs them alone, one at a
//! time, with optimisation, and prints what they print.

use serde_json::json;

use crate::control_plane::install_parcels;
use crate::harness::ControlPlane;
use crate::harness::patch_loop::bare_patch_loop;
use crate::harness::users::User;

/// Objects to patch, when the environment does not say otherwise.
const OBJECTS: usize = 2_000;

/// Set to measure another number of objects.
const OBJECTS_VARIABLE: &str = "POSTLINK_BENCH_OBJECTS";

/// How many status writes per second this machine's API server takes from a client that does nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_bare_patch_loop() {
    let objects = std::env::var(OBJECTS_VARIABLE).map_or(OBJECTS, |number| {
        number.parse().unwrap_or_else(|error| panic!("{OBJECTS_VARIABLE}: {error}"))
    });
    let plane = ControlPlane::start();
    install_parcels(&plane);
    let namespace = plane.namespace("bench");
    let gateway = plane.etcd().gateway();
    for number in 0..objects {
        // The size of a PostLink with a post of some length.
        let object = json!({
            "apiVersion": "tests.postlink.dev/v1",
            "kind": "Parcel",
            "metadata": {
                "name": format!("parcel-{number}"), "namespace": namespace, "generation": 1,
                "uid": format!("00000000-0000-4000-8000-{number:012}"),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"tests.postlink.dev/padding": "x".repeat(1_500)},
            },
            "spec": {"weight": 1},
        });
        let key = format!("/registry/tests.postlink.dev/parcels/{namespace}/parcel-{number}");
        gateway.put(&key, object.to_string().as_bytes()).await.unwrap();
    }
    let paths: Vec<_> = (0..objects)
        .map(|number| format!("/apis/tests.postlink.dev/v1/namespaces/{namespace}/parcels/parcel-{number}"))
        .collect();
    let client = plane.client(User::Admin).await;
    println!("bare status patches, {objects} objects");
    println!("{:>12} {:>10} {:>10}", "concurrency", "seconds", "per second");
    for (round, concurrency) in [1, 4, 16, 64, 128].into_iter().enumerate() {
        let status = |_| json!({"place": format!("round {round}"), "observedGeneration": 1});
        let rate = bare_patch_loop(&client, &paths, concurrency, status).await.unwrap();
        println!("{concurrency:>12} {:>10.2} {:>10.0}", rate.elapsed.as_secs_f64(), rate.per_second());
    }
}
