//! Deletion: finalizers, preconditions, collections, namespaces, policies.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use kube_memory::{MemoryApi, UserInfo, WriteKind};
use serde_json::json;

use super::{create, merge, permissive, status_of, version, widget, widgets_in, widgets_of, with_rules};

#[tokio::test]
async fn delete_without_finalizers_is_immediate() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let made = create(&widgets, "a").await;
    let status = widgets.delete("a", &DeleteParams::default()).await.unwrap().right().unwrap();
    assert!(status.is_success());
    let details = status.details.unwrap();
    assert_eq!((details.kind.as_str(), details.uid), ("widgets", made.uid().unwrap()));
    assert_eq!(
        status_of(widgets.delete("a", &DeleteParams::default()).await).message,
        "widgets.test.example \"a\" not found"
    );
    let last = api.history().last().unwrap();
    assert_eq!((last.kind, last.after()), (WriteKind::Delete, None));
    assert_eq!(last.before().unwrap()["metadata"]["name"], "a");
}

#[tokio::test]
async fn finalizers_delay_deletion() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    merge(&widgets, "a", json!({"metadata": {"finalizers": ["t.example/one", "t.example/two"]}}))
        .await
        .unwrap();
    let held = widgets.delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    assert_eq!(held.metadata.deletion_grace_period_seconds, Some(0));
    assert_eq!(held.metadata.generation, Some(2), "a deletion request raises the generation");
    let before = api.revision();
    widgets.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(api.revision(), before, "deleting again changes nothing");
    let add =
        merge(&widgets, "a", json!({"metadata": {"finalizers": ["t.example/one", "t.example/three"]}})).await;
    let status = status_of(add);
    assert_eq!(status.code, 422);
    assert!(status.message.contains("metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"t.example/three\"}"), "{}", status.message);
    let status = status_of(widgets.create(&PostParams::default(), &widget("a", json!({}))).await);
    assert_eq!(status.message, "object is being deleted: widgets.test.example \"a\" already exists");
    merge(&widgets, "a", json!({"metadata": {"finalizers": ["t.example/two"]}})).await.unwrap();
    assert!(api.get("Widget", "default", "a").is_some());
    merge(&widgets, "a", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert!(api.get("Widget", "default", "a").is_none());
    let last = api.history().last().unwrap();
    assert_eq!(last.before().unwrap()["metadata"]["finalizers"], json!(["t.example/two"]));
}

#[tokio::test]
async fn delete_checks_preconditions() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let made = create(&widgets, "a").await;
    let with = |uid: Option<&str>, resource_version: Option<&str>| {
        let preconditions = Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: resource_version.map(str::to_owned),
        };
        DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
    };
    let status = status_of(widgets.delete("a", &with(Some("nope"), None)).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        format!(
            "Operation cannot be fulfilled on Widget.test.example \"a\": the UID in the precondition (nope) does not match the UID in record ({}). The object might have been deleted and then recreated",
            made.uid().unwrap()
        )
    );
    let status = status_of(widgets.delete("a", &with(None, Some("1"))).await);
    assert_eq!(
        status.message,
        format!(
            "Operation cannot be fulfilled on Widget.test.example \"a\": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({}). The object might have been modified",
            version(&made)
        )
    );
    widgets.delete("a", &with(made.uid().as_deref(), made.resource_version().as_deref())).await.unwrap();
}

#[tokio::test]
async fn dry_run_delete_deletes_nothing() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let dry = DeleteParams { dry_run: true, ..DeleteParams::default() };
    widgets.delete("a", &dry).await.unwrap();
    assert!(api.get("Widget", "default", "a").is_some());
}

#[tokio::test]
async fn delete_collection_honors_selectors() {
    let api = permissive();
    let widgets = widgets_in(&api);
    for name in ["a", "b", "c"] {
        create(&widgets, name).await;
    }
    merge(&widgets, "b", json!({"metadata": {"labels": {"keep": "yes"}}})).await.unwrap();
    let gone =
        widgets.delete_collection(&DeleteParams::default(), &ListParams::default().labels("keep!=yes")).await;
    assert_eq!(gone.unwrap().left().unwrap().items.len(), 2);
    assert_eq!(api.objects("Widget").len(), 1);
}

#[tokio::test]
async fn policy_denies_or_warns() {
    let api = with_rules();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let patch = kube::api::Patch::Merge(json!({"status": {"held": true}}));
    widgets.patch_status("a", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let person = widgets_of(api.client(UserInfo::new("person")));
    let status = status_of(person.delete("a", &DeleteParams::default()).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert_eq!(
        status.message,
        "widgets.test.example \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: it is held"
    );
    assert_eq!(status.details.unwrap().causes.len(), 1);
    widgets.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(api.history().last().unwrap().user.username, "admin");
}

async fn namespace(api: &MemoryApi, name: &str) -> Api<Namespace> {
    let namespaces: Api<Namespace> = Api::all(api.client(UserInfo::admin()));
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &object).await.unwrap();
    namespaces
}

#[tokio::test]
async fn namespace_deletion_waits_for_finalizers_of_its_content() {
    let api = permissive();
    let namespaces = namespace(&api, "team").await;
    let stored = api.get("Namespace", "", "team").unwrap();
    assert_eq!(stored["status"]["phase"], "Active");
    assert_eq!(stored["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(stored["metadata"]["labels"]["kubernetes.io/metadata.name"], "team");
    let widgets = Api::namespaced_with(api.client(UserInfo::admin()), "team", &super::widget_resource());
    let mut held = widget("held", json!({}));
    held.metadata.finalizers = Some(vec!["t.example/hold".into()]);
    widgets.create(&PostParams::default(), &held).await.unwrap();
    widgets.create(&PostParams::default(), &widget("free", json!({}))).await.unwrap();
    let gone = namespaces.delete("team", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(gone.status.unwrap().phase.as_deref(), Some("Terminating"));
    assert!(api.get("Widget", "team", "free").is_none());
    assert!(!api.get("Widget", "team", "held").unwrap()["metadata"]["deletionTimestamp"].is_null());
    let status = status_of(widgets.create(&PostParams::default(), &widget("new", json!({}))).await);
    assert_eq!(status.code, 403);
    assert_eq!(
        status.message,
        "widgets.test.example \"new\" is forbidden: unable to create new content in namespace team because it is being terminated"
    );
    assert_eq!(status.details.unwrap().causes[0].reason, "NamespaceTerminating");
    merge(&widgets, "held", json!({"spec": {"size": 1}}))
        .await
        .expect("updates go on in a terminating namespace");
    merge(&widgets, "held", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert!(api.get("Namespace", "", "team").is_none(), "the namespace goes with its last object");
    let by_controller = api.history().filter(|r| r.user.username.ends_with(":namespace-controller")).count();
    assert_eq!(by_controller, 3, "one deletion, one marking, one namespace");
}

#[tokio::test]
async fn empty_namespaces_go_at_once_system_ones_never() {
    let api = permissive();
    let namespaces = namespace(&api, "team").await;
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    assert!(api.get("Namespace", "", "team").is_none());
    let status = status_of(namespaces.delete("default", &DeleteParams::default()).await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (403, "namespaces \"default\" is forbidden: this namespace may not be deleted")
    );
}
