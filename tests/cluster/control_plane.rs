//! Tests of the harness itself, without Postlink.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::OnceLock;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::json;

use crate::cluster::SOON;
use crate::harness::bare_loop::{bare_update_loop, first_objects};
use crate::harness::binaries::Binaries;
use crate::harness::history::Revision;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, eventually, wait_for};
use crate::harness::{ControlPlane, Settings, Shared, shared};

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/fixtures").join(name)
}

/// Install the `Parcel` kind on `plane` and wait until it can be used.
pub fn install_parcels(plane: &ControlPlane) {
    plane.kubectl_apply(User::Admin, fixture("parcels.yaml"));
    plane
        .kubectl(
            User::Admin,
            ["wait", "--for=condition=Established", "--timeout=60s", "crd/parcels.tests.postlink.dev"],
        )
        .ok();
}

/// The shared control plane with the `Parcel` kind installed once.
fn shared_with_parcels() -> Shared {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let plane = shared();
    INSTALLED.get_or_init(|| install_parcels(&plane));
    plane
}

fn parcel(namespace: &str, name: &str, weight: u32) -> String {
    json!({
        "apiVersion": "tests.postlink.dev/v1",
        "kind": "Parcel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"weight": weight},
    })
    .to_string()
}

fn put_at(server: &ControlPlane, namespace: &str, name: &str, place: &str) {
    let patch = json!({"status": {"place": place}}).to_string();
    let args =
        ["patch", "-n", namespace, "parcel", name, "--subresource=status", "--type=merge", "-p", &patch];
    server.kubectl(User::Admin, args).ok();
}

fn places(history: &[Revision]) -> Vec<Option<&str>> {
    history
        .iter()
        .map(|revision| revision.value.as_ref().and_then(|parcel| parcel["status"]["place"].as_str()))
        .collect()
}

#[test]
fn missing_binaries_name_the_make_target() {
    let folder = tempfile::tempdir().unwrap();
    let error = Binaries::inside(|_| Ok(folder.path().to_owned())).unwrap_err().to_string();
    assert!(error.contains("run `make control-plane`"), "{error}");
}

#[test]
fn programs_have_the_versions_of_go_mod() {
    let plane = shared();
    let versions = plane.kubectl(User::Alice, ["version", "-o", "json"]).json();
    assert_eq!(versions["serverVersion"]["gitVersion"], "v1.36.3");
    assert_eq!(versions["serverVersion"]["minor"], "36");
    assert_eq!(versions["clientVersion"]["gitVersion"], "v1.36.3");
    assert_eq!(plane.helm(3, User::Alice, ["version", "--template={{.Version}}"]).ok(), "v3.22.0");
    assert_eq!(plane.helm(4, User::Alice, ["version", "--template={{.Version}}"]).ok(), "v4.3.0");
}

#[test]
fn users_have_their_groups_and_rights() {
    let plane = shared();
    let may = |user, verb| plane.kubectl(user, ["auth", "can-i", verb, "secrets", "-A"]).succeeded();
    for user in User::CLUSTER_ADMINS {
        assert!(may(user, "delete"), "{}", user.name());
    }
    assert!(may(User::Admin, "delete"));
    assert!(!may(User::Mallory, "get"));
    assert!(!may(User::Controller, "get"), "the controller gets the shipped RBAC and nothing by the harness");
    let who = plane.kubectl(User::Argo, ["auth", "whoami", "-o", "json"]).json();
    assert_eq!(who["status"]["userInfo"]["username"], User::Argo.name());
    let groups = who["status"]["userInfo"]["groups"].to_string();
    for group in ["system:serviceaccounts", "system:serviceaccounts:argocd", "system:authenticated"] {
        assert!(groups.contains(&format!("{group:?}")), "{groups}");
    }
}

#[test]
fn refused_requests_of_the_controller_are_listed() {
    let plane = shared();
    let namespace = plane.namespace("audit");
    let args = ["get", "configmaps", "-n", &namespace];
    let message = plane.kubectl(User::Controller, args).refused();
    assert!(message.contains("forbidden"), "{message}");
    let forbidden = plane.forbidden(User::Controller);
    let expected = format!("list /api/v1/namespaces/{namespace}/configmaps?limit=500");
    assert!(forbidden.contains(&expected), "{forbidden:?}");
}

#[test]
fn status_is_a_subresource() {
    let plane = shared_with_parcels();
    let namespace = plane.namespace("status");
    let with_status = json!({
        "apiVersion": "tests.postlink.dev/v1",
        "kind": "Parcel",
        "metadata": {"name": "one", "namespace": namespace},
        "status": {"place": "nowhere"},
    });
    plane.kubectl_apply_text(User::Alice, &with_status.to_string()).ok();
    let get = || plane.kubectl(User::Alice, ["get", "parcel", "one", "-n", &namespace, "-o", "json"]).json();
    assert!(get()["status"].is_null(), "a status in an apply must be ignored");
    put_at(&plane, &namespace, "one", "depot");
    let parcel = get();
    assert_eq!(parcel["status"]["place"], "depot");
    assert_eq!(parcel["metadata"]["generation"], 1, "a status write must not raise the generation");
}

#[test]
fn etcd_history_holds_every_revision_in_order() {
    let plane = shared_with_parcels();
    let namespace = plane.namespace("history");
    let prefix = format!("/registry/tests.postlink.dev/parcels/{namespace}/");
    assert_eq!(plane.history(&prefix), []);

    plane.kubectl_apply_text(User::Alice, &parcel(&namespace, "one", 1)).ok();
    for place in ["depot", "van", "door"] {
        put_at(&plane, &namespace, "one", place);
    }
    plane.kubectl(User::Alice, ["delete", "parcel", "one", "-n", &namespace]).ok();
    plane.kubectl_apply_text(User::Alice, &parcel(&namespace, "one", 2)).ok();

    let history = plane.history(&prefix);
    assert_eq!(places(&history), [None, Some("depot"), Some("van"), Some("door"), None, None]);
    let deletions: Vec<_> = history.iter().map(Revision::is_deletion).collect();
    assert_eq!(deletions, [false, false, false, false, true, false]);
    assert!(history.is_sorted_by(|earlier, later| earlier.revision < later.revision));
    assert!(history.iter().all(|revision| revision.object() == Some(("parcels", &namespace, "one"))));
    let uid = |at: usize| history[at].value.as_ref().map(|parcel| parcel["metadata"]["uid"].clone());
    assert_eq!(uid(0), uid(3));
    assert_ne!(uid(0), uid(5), "deleted and created again is another object");

    let mut later = Vec::new();
    plane.each_revision(history[3].revision, &prefix, |revision| later.push(revision)).unwrap();
    assert_eq!(later, history[3..]);
}

#[test]
fn policy_takes_effect() {
    let plane = shared_with_parcels();
    let namespace = plane.namespace("policy");
    plane.kubectl(User::Admin, ["label", "namespace", &namespace, "tests.postlink.dev/parcels=light"]).ok();
    plane.kubectl_apply(User::Admin, fixture("heavy-parcels-policy.yaml"));
    plane.kubectl_apply_text(User::Alice, &parcel(&namespace, "one", 100)).ok();

    let patch = json!({"spec": {"weight": 101}}).to_string();
    let args = ["patch", "-n", &namespace, "parcel", "one", "--type=merge", "-p", &patch, "--dry-run=server"];
    let message = plane.until_refused(User::Alice, &args, "at most 100", SOON);
    assert!(message.contains("parcel one weighs 101, at most 100 is carried"), "{message}");
    plane.kubectl_apply_text(User::Argo, &parcel(&namespace, "one", 99)).ok();
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_objects() {
    let plane = shared_with_parcels();
    let namespace = plane.namespace("doomed");
    plane.kubectl_apply_text(User::Alice, &parcel(&namespace, "one", 1)).ok();
    plane.kubectl(User::Alice, ["delete", "namespace", &namespace, "--wait=false"]).ok();
    let namespaces = Api::<Namespace>::all(plane.client(User::Admin).await);
    eventually("the namespace to be gone", SOON, async || {
        namespaces.get_opt(&namespace).await.unwrap().is_none().then_some(())
    })
    .await;
    let history = plane.history(&format!("/registry/tests.postlink.dev/parcels/{namespace}/"));
    assert!(history.last().unwrap().is_deletion(), "{history:?}");
}

#[test]
fn private_control_plane_survives_an_api_server_crash() {
    let mut plane = ControlPlane::start_with(&Settings {
        apiserver_args: vec!["--max-requests-inflight=200".to_owned()],
        ..Settings::default()
    });
    let namespace = plane.namespace("kept");
    plane.kill_apiserver();
    plane.kubectl(User::Alice, ["get", "namespaces", "--request-timeout=2s"]).refused();
    // Another process listens on the port meanwhile, until a start has failed because of it.
    let address = plane.url().trim_start_matches("https://").to_owned();
    let other = TcpListener::bind(address).unwrap();
    let log = plane.apiserver().log();
    let failed = "address already in use";
    assert!(!fs::read_to_string(&log).unwrap().contains(failed));
    let goes = std::thread::spawn(move || {
        wait_for("a start to fail", SOON, || {
            fs::read_to_string(&log).unwrap().contains(failed).then_some(())
        });
        drop(other);
    });
    plane.restart_apiserver();
    goes.join().unwrap();
    plane.kubectl(User::Alice, ["get", "namespace", &namespace]).ok();
}

#[test]
fn objects_written_to_etcd_are_served() {
    let plane = shared_with_parcels();
    let namespace = plane.namespace("loaded");
    let key = format!("/registry/tests.postlink.dev/parcels/{namespace}/one");
    let object = json!({
        "apiVersion": "tests.postlink.dev/v1",
        "kind": "Parcel",
        "metadata": {
            "name": "one", "namespace": namespace, "uid": "6b1ff0b4-4c38-4d0c-8a36-0d2ff9d6a001",
            "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1,
        },
        "spec": {"weight": 7},
    });
    block_on(async { plane.etcd().gateway().put(&key, object.to_string().as_bytes()).await }).unwrap();
    let parcel = plane.kubectl(User::Alice, ["get", "parcel", "one", "-n", &namespace, "-o", "json"]).json();
    assert_eq!(parcel["spec"]["weight"], 7);
}

#[tokio::test]
async fn bare_update_loop_writes_each_status_once() {
    let plane = shared_with_parcels();
    let namespace = plane.namespace("loop");
    let names: Vec<_> = (0..20).map(|number| format!("parcel-{number}")).collect();
    let all: Vec<_> = names.iter().map(|name| parcel(&namespace, name, 1)).collect();
    plane.kubectl_apply_text(User::Admin, &all.join("\n---\n")).ok();

    let collection = format!("/apis/tests.postlink.dev/v1/namespaces/{namespace}/parcels");
    let client = plane.client(User::Admin).await;
    let shelf = |number| json!({"place": format!("shelf {number}")});
    let objects = first_objects(&client, &collection, names.len()).await.unwrap();
    let rate = bare_update_loop(&client, &collection, &objects, 4, shelf).await.unwrap();
    assert_eq!(rate.writes, 20);

    let history = plane.history(&format!("/registry/tests.postlink.dev/parcels/{namespace}/"));
    assert_eq!(history.len(), 40, "one creation and one update each");
    let mut shelves: Vec<_> = places(&history).into_iter().flatten().collect();
    shelves.sort_unstable();
    shelves.dedup();
    assert_eq!(shelves.len(), 20);

    let error = bare_update_loop(&client, &collection, &objects, 1, shelf).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 409),
        "it was changed since: {error}"
    );
}
