//! Times in `managedFields`, which everybody can write and the API server checks only for their form: the last day of the
//! year 9999 is beyond the times that Postlink can read.

use super::{Scene, condition};
use http::Request;
use postlink::{api::names::RECONCILE_REQUESTED, local::tree::Id};
use serde_json::{Value, json};

/// The path of an object, or of the list of its kind if it has no name.
fn path(kind: &str, name: &str) -> String {
    let id = Id {
        api_version: if kind == "Secret" { "v1" } else { "postlink.dev/v1alpha1" }.to_owned(),
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        name: String::new(),
    };
    let resource = id.resource();
    let root = if resource.group.is_empty() { "api" } else { "apis" };
    let path = format!("/{root}/{}/namespaces/default/{}/{name}", resource.api_version, resource.plural);
    path.trim_end_matches('/').to_owned()
}

fn managed_fields(api_version: &str) -> Value {
    json!([{
        "manager": "somebody", "operation": "Update", "apiVersion": api_version, "time": "9999-12-31T23:59:59Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:gone": {}}}},
    }])
}

/// A typed client could not read the answer.
async fn send(scene: &Scene, method: &str, path: &str, content_type: &str, body: &Value) {
    let request = Request::builder().method(method).uri(path).header("Content-Type", content_type);
    let request = request.body(body.to_string().into_bytes()).unwrap();
    let answer = scene.session.applicant.request_text(request).await.unwrap();
    assert!(answer.contains("9999-12-31T23:59:59Z"), "{answer}");
}

async fn create(scene: &Scene, kind: &str, name: &str, spec: Value) {
    let api_version = "postlink.dev/v1alpha1";
    let metadata = json!({"name": name, "managedFields": managed_fields(api_version)});
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
    send(scene, "POST", &path(kind, ""), "application/json", &object).await;
}

async fn edit(scene: &Scene, kind: &str, name: &str, mut patch: Value) {
    let api_version = if kind == "Secret" { "v1" } else { "postlink.dev/v1alpha1" };
    patch["metadata"]["managedFields"] = managed_fields(api_version);
    send(scene, "PATCH", &path(kind, name), "application/merge-patch+json", &patch).await;
}

#[tokio::test(start_paused = true)]
async fn one_rule_does_not_fail_the_live_list() {
    let rule = |active: bool| json!({"active": active, "connectionRef": {"name": "contoso"}});
    let scene = Scene::start("").await;
    scene.create("AutomationRule", "rule", rule(true)).await;
    scene.settle().await;
    create(&scene, "AutomationRule", "far", rule(false)).await;
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.settle().await;
    scene.edit("AutomationRule", "rule", json!({"spec": rule(false)})).await;
    scene.settle().await;
    assert_eq!(scene.connection()["status"]["state"], "Disabled");
    scene.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn every_kind_works() {
    let scene = Scene::start("").await;
    edit(&scene, "Secret", "contoso", json!({})).await;
    edit(&scene, "DynamicsConnection", "contoso", json!({"spec": {"displayName": "Contoso"}})).await;
    let rule = json!({"connectionRef": {"name": "contoso"}, "since": "2025-01-01T00:00:00Z"});
    create(&scene, "AutomationRule", "rule", rule).await;
    let post = |id: &str| json!({"url": format!("https://social.example/{id}"), "id": id, "publishedAt": "2025-06-01T00:00:00Z"});
    create(&scene, "PostLink", "by-rule", json!({"post": post("by-rule")})).await;
    let link = json!({"connectionRef": {"name": "contoso"}});
    create(&scene, "PostLink", "by-hand", json!({"post": post("by-hand"), "link": link})).await;
    scene.settle().await;
    assert_eq!(condition(&scene.connection(), "Ready"), "True/Connected");
    assert!(scene.has_looked());
    assert_eq!(condition(&scene.stored("AutomationRule", "rule").unwrap(), "Ready"), "True/Reserved");
    assert_eq!(
        [scene.linked("by-rule"), scene.linked("by-hand")],
        ["True/LinkedByRule", "True/LinkedByHand"]
    );

    // Another probe needs the Secret again.
    let probed = |scene: &Scene| scene.connection()["status"]["lastHandledReconcileAt"] == "now";
    let request = json!({"metadata": {"annotations": {RECONCILE_REQUESTED: "now"}}});
    edit(&scene, "DynamicsConnection", "contoso", request).await;
    scene.until("it is probed", probed).await;
    assert_eq!(condition(&scene.connection(), "Ready"), "True/Connected");

    // Its deletion is held until the rule is gone; then the finalizer is removed.
    let delete = |kind: &str, name: &str| Request::delete(path(kind, name)).body(Vec::new()).unwrap();
    let applicant = &scene.session.applicant;
    applicant.request_text(delete("DynamicsConnection", "contoso")).await.unwrap();
    scene.settle().await;
    applicant.request_text(delete("AutomationRule", "rule")).await.unwrap();
    scene.settle().await;
    assert_eq!(scene.stored("DynamicsConnection", "contoso"), None);
    assert_eq!(scene.linked("by-hand"), "False/ConnectionDeleted");
    scene.assert_unbroken();
}
