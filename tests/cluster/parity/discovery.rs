//! Discovery documents: those of the in-memory API are a subset of a real server's.

use serde_json::Value;

use super::normal::differences;
use super::sides::Sides;
use super::{denying, document};
use crate::harness::users::User;
use crate::harness::waiting::block_on;
use postlink::local::policies::Mode;

/// The entry of `list` with the name.
fn named<'a>(list: &'a Value, name: &Value) -> Option<&'a Value> {
    list.as_array()?.iter().find(|entry| entry["name"] == *name)
}

/// Entries of `list` that are in both documents and differ. The storage version hash matters only to migrations.
fn compare_entries(path: &str, list: &str, memory: &Value, server: &Value) {
    for entry in memory[list].as_array().expect("the document has the list") {
        let mut real = named(&server[list], &entry["name"]).cloned().unwrap_or_default();
        if let Some(entry) = real.as_object_mut() {
            entry.remove("storageVersionHash");
        }
        let found = differences(entry, &real);
        assert!(found.is_empty(), "{path}, {}: {found:#?}", entry["name"]);
    }
}

#[test]
fn discovery_documents_agree() {
    let plane = denying();
    block_on(async {
        let sides = Sides::new(&plane, Mode::Deny).await;
        let [memory, server] = sides.clients(User::Admin);
        for (path, list) in [
            ("/apis", "groups"),
            ("/apis/postlink.dev/v1alpha1", "resources"),
            ("/api/v1", "resources"),
            ("/apis/events.k8s.io/v1", "resources"),
            ("/apis/coordination.k8s.io/v1", "resources"),
        ] {
            let (memory, server) = (document(memory, path).await, document(server, path).await);
            compare_entries(path, list, &memory, &server);
            for field in ["kind", "apiVersion", "groupVersion"] {
                assert_eq!(memory[field], server[field], "{path}: {field}");
            }
        }
        for path in ["/apis/postlink.dev", "/apis/events.k8s.io", "/livez", "/readyz", "/healthz"] {
            let (memory, server) = (document(memory, path).await, document(server, path).await);
            assert!(differences(&memory, &server).is_empty(), "{path}: {memory} and {server}");
        }
        let path = "/apis/postlink.dev/v1alpha1";
        let (memory_kinds, server_kinds) = (document(memory, path).await, document(server, path).await);
        let count = |list: &Value| list["resources"].as_array().map(Vec::len);
        assert_eq!(count(&memory_kinds), count(&server_kinds), "each kind and each status");
        let (memory, server) = (document(memory, "/version").await, document(server, "/version").await);
        for field in ["major", "minor"] {
            assert_eq!(memory[field], server[field]);
        }
        let version = server["gitVersion"].as_str().unwrap();
        assert!(memory["gitVersion"].as_str().unwrap().starts_with(version), "{memory}");
    });
}
