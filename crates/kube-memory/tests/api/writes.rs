//! Create, replace, patch and apply.

use std::sync::Arc;

use http::Request;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams, ValidationDirective};
use kube_memory::{MemoryApi, Options, UserInfo};
use serde_json::{Value, json};

use super::{create, merge, options, permissive, status_of, version, widget, widgets_in, with_rules};

#[tokio::test]
async fn create_fills_in_metadata() {
    let api = permissive();
    let made = create(&widgets_in(&api), "a").await;
    let stored = api.get("Widget", "default", "a").unwrap();
    assert_eq!(stored["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(stored["metadata"]["generation"], 1);
    assert_eq!(stored["metadata"]["resourceVersion"], api.revision().to_string());
    assert_eq!(stored["metadata"]["namespace"], "default");
    assert_eq!(made.uid().as_deref(), stored["metadata"]["uid"].as_str());
    let other = MemoryApi::new(&[super::widgets()], options()).unwrap();
    assert_eq!(create(&widgets_in(&other), "a").await.uid(), made.uid(), "uids follow from the seed");
    let third = MemoryApi::new(&[super::widgets()], Options { seed: 1, ..options() }).unwrap();
    assert_ne!(create(&widgets_in(&third), "a").await.uid(), made.uid());
}

#[tokio::test]
async fn creating_an_existing_object_is_409() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let status = status_of(widgets.create(&PostParams::default(), &widget("a", json!({}))).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(status.message, "widgets.test.example \"a\" already exists");
    let details = status.details.unwrap();
    assert_eq!(
        (details.kind.as_str(), details.group.as_str(), details.name.as_str()),
        ("widgets", "test.example", "a")
    );
}

#[tokio::test]
async fn create_needs_namespace_and_valid_name() {
    let api = permissive();
    let elsewhere =
        kube::Api::namespaced_with(api.client(UserInfo::admin()), "nowhere", &super::widget_resource());
    let status = status_of(elsewhere.create(&PostParams::default(), &widget("a", json!({}))).await);
    assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    let status = status_of(widgets_in(&api).create(&PostParams::default(), &widget("A_b", json!({}))).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(
        status.message.starts_with(
            "Widget.test.example \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain"
        ),
        "{}",
        status.message
    );
    assert_eq!(status.details.unwrap().causes[0].reason, "FieldValueInvalid");
}

#[tokio::test]
async fn generate_name_adds_five_characters() {
    let api = permissive();
    let mut object = widget("", json!({}));
    object.metadata.name = None;
    object.metadata.generate_name = Some("made-".into());
    let made = widgets_in(&api).create(&PostParams::default(), &object).await.unwrap();
    assert_eq!(made.name_any().len(), 10);
    assert!(made.name_any().starts_with("made-"));
    assert_eq!(made.metadata.generate_name.as_deref(), Some("made-"));
}

#[tokio::test]
async fn stale_resource_version_is_409() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let first = create(&widgets, "a").await;
    merge(&widgets, "a", json!({"spec": {"size": 2}})).await.unwrap();
    let expected = "Operation cannot be fulfilled on widgets.test.example \"a\": the object has been modified; please apply your changes to the latest version and try again";
    let status = status_of(widgets.replace("a", &PostParams::default(), &first).await);
    assert_eq!((status.code, status.reason.as_str(), status.message.as_str()), (409, "Conflict", expected));
    let stale = json!({"metadata": {"resourceVersion": first.resource_version()}, "spec": {"size": 3}});
    let status = status_of(merge(&widgets, "a", stale.clone()).await);
    assert_eq!((status.code, status.message.as_str()), (409, expected));
    let status = status_of(widgets.patch_status("a", &PatchParams::default(), &Patch::Merge(stale)).await);
    assert_eq!((status.code, status.message.as_str()), (409, expected));
}

#[tokio::test]
async fn replace_without_resource_version_is_422() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let status = status_of(widgets.replace("a", &PostParams::default(), &widget("a", json!({}))).await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            422,
            "widgets.test.example \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        )
    );
}

#[tokio::test]
async fn other_uid_is_replace_409_and_patch_422() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let mut object = create(&widgets, "a").await;
    let uid = object.uid().unwrap();
    object.metadata.uid = Some("other".into());
    let status = status_of(widgets.replace("a", &PostParams::default(), &object).await);
    assert_eq!(status.code, 409);
    assert_eq!(
        status.message,
        format!(
            "Operation cannot be fulfilled on widgets.test.example \"a\": StorageError: invalid object, Code: 4, Key: /registry/test.example/widgets/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: {uid}"
        )
    );
    let status = status_of(merge(&widgets, "a", json!({"metadata": {"uid": "other"}})).await);
    assert_eq!(status.code, 422);
    assert!(
        status.message.contains("metadata.uid: Invalid value: \"other\": field is immutable"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn status_is_written_through_its_endpoint_only() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let both =
        json!({"metadata": {"labels": {"l": "1"}}, "spec": {"size": 7}, "status": {"observedGeneration": 7}});
    merge(&widgets, "a", both.clone()).await.unwrap();
    let stored = api.get("Widget", "default", "a").unwrap();
    assert_eq!(stored["spec"]["size"], 7);
    assert!(stored.get("status").is_none());
    assert_eq!(stored["metadata"]["generation"], 2);
    let changed = json!({"metadata": {"labels": {"l": "2"}, "finalizers": ["x.y/z"]}, "spec": {"size": 8}, "status": {"observedGeneration": 9}});
    widgets.patch_status("a", &PatchParams::default(), &Patch::Merge(changed)).await.unwrap();
    let stored = api.get("Widget", "default", "a").unwrap();
    assert_eq!(stored["status"]["observedGeneration"], 9);
    assert_eq!(stored["spec"]["size"], 7);
    assert_eq!(stored["metadata"]["labels"]["l"], "1");
    assert!(stored["metadata"].get("finalizers").is_none());
    assert_eq!(stored["metadata"]["generation"], 2, "a status write does not raise the generation");
}

#[tokio::test]
async fn only_spec_changes_raise_generation() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let made = merge(&widgets, "a", json!({"metadata": {"annotations": {"k": "v"}}})).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let made =
        merge(&widgets, "a", json!({"spec": {"size": 2}, "metadata": {"generation": 50}})).await.unwrap();
    assert_eq!(made.metadata.generation, Some(2));
}

#[tokio::test]
async fn unchanged_object_is_not_written() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let made = create(&widgets, "a").await;
    let before = api.revision();
    let again = merge(&widgets, "a", json!({"spec": {"size": 1}})).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
    widgets.replace("a", &PostParams::default(), &made).await.unwrap();
    assert_eq!(api.revision(), before);
}

#[tokio::test]
async fn next_write_stores_status_defaulted_on_read() {
    let api = with_rules();
    let widgets = widgets_in(&api);
    let made = create(&widgets, "a").await;
    assert_eq!(made.data["status"]["observedGeneration"], -1);
    let before = version(&made);
    let again = merge(&widgets, "a", json!({"spec": {"size": 1}})).await.unwrap();
    assert_eq!(version(&again), before + 1, "as on a real server, the default reaches the store now");
    let third = merge(&widgets, "a", json!({"spec": {"size": 1}})).await.unwrap();
    assert_eq!(version(&third), before + 1);
}

#[tokio::test]
async fn merge_patch_null_removes_a_field() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    merge(&widgets, "a", json!({"metadata": {"labels": {"x": "1", "y": "2"}}})).await.unwrap();
    let made = merge(&widgets, "a", json!({"metadata": {"labels": {"x": null}}, "spec": {"owner": null}}))
        .await
        .unwrap();
    assert_eq!(made.labels().len(), 1);
    assert_eq!(made.data["spec"], json!({"size": 1}));
}

#[tokio::test]
async fn json_patch_with_failed_test_is_422() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let patch = |value: Value| {
        let operations = json!([
            {"op": "replace", "path": "/spec/size", "value": 5}, {"op": "test", "path": "/spec/owner", "value": value}]);
        Patch::<()>::Json(serde_json::from_value(operations).unwrap())
    };
    let before = api.revision();
    let status = status_of(widgets.patch("a", &PatchParams::default(), &patch(json!("bob"))).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert_eq!(status.message, "the server rejected our request due to an error in our request");
    assert_eq!(api.revision(), before);
    let made = widgets.patch("a", &PatchParams::default(), &patch(json!("ann"))).await.unwrap();
    assert_eq!(made.data["spec"]["size"], 5);
}

#[tokio::test]
async fn dry_run_stores_nothing() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let before = api.revision();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let made = widgets.create(&dry, &widget("a", json!({}))).await.unwrap();
    assert!(made.uid().is_some() && made.resource_version().is_none());
    assert_eq!(status_of(widgets.get("a").await).code, 404);
    let real = create(&widgets, "a").await;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patched = widgets.patch("a", &dry, &Patch::Merge(json!({"spec": {"size": 9}}))).await.unwrap();
    assert_eq!(patched.data["spec"]["size"], 9);
    assert_eq!(patched.resource_version(), real.resource_version());
    assert_eq!(api.revision(), before + 1);
}

#[tokio::test]
async fn field_validation_rejects_warns_or_ignores() {
    let api = with_rules();
    let client = api.client(UserInfo::admin());
    let send = |query: &'static str, name: &'static str| {
        let client = client.clone();
        async move {
            let body = json!({"apiVersion": "test.example/v1", "kind": "Widget",
                "metadata": {"name": name, "nope": 1}, "spec": {"size": 1, "hue": "red"}});
            let request = Request::post(format!("/apis/test.example/v1/namespaces/default/widgets?{query}"))
                .header("content-type", "application/json")
                .body(kube::client::Body::from(serde_json::to_vec(&body).unwrap()))
                .unwrap();
            let response = client.send(request).await.unwrap();
            let warnings: Vec<String> = response
                .headers()
                .get_all("warning")
                .iter()
                .map(|v| v.to_str().unwrap().to_owned())
                .collect();
            let code = response.status().as_u16();
            let body = response.into_body().collect_bytes().await.unwrap();
            (code, warnings, serde_json::from_slice::<Value>(&body).unwrap())
        }
    };
    let (code, _, body) = send("fieldValidation=Strict", "a").await;
    assert_eq!(code, 400);
    assert_eq!(
        body["message"],
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"metadata.nope\", unknown field \"spec.hue\""
    );
    let (code, warnings, body) = send("", "a").await;
    assert_eq!(code, 201);
    let expected =
        ["299 - \"unknown field \\\"metadata.nope\\\"\"", "299 - \"unknown field \\\"spec.hue\\\"\""];
    assert_eq!(warnings, expected, "Warn is the default");
    assert_eq!(body["spec"], json!({"size": 1}));
    let (code, warnings, _) = send("fieldValidation=Ignore", "b").await;
    assert_eq!((code, warnings.len()), (201, 0));
}

#[tokio::test]
async fn invalid_object_is_422_with_causes() {
    let api = with_rules();
    let status =
        status_of(widgets_in(&api).create(&PostParams::default(), &widget("a", json!({"size": -1}))).await);
    assert_eq!(status.code, 422);
    assert_eq!(
        status.message,
        "Widget.test.example \"a\" is invalid: spec.size: Invalid value: -1: should be greater than or equal to 0"
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!((cause.field.as_str(), cause.reason.as_str()), ("spec.size", "FieldValueInvalid"));
}

#[tokio::test]
async fn apply_removes_fields_it_no_longer_sets() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let apply = |spec: Value| {
        let widgets = widgets.clone();
        async move {
            let config = json!({"apiVersion": "test.example/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec});
            widgets.patch("a", &PatchParams::apply("git"), &Patch::Apply(config)).await
        }
    };
    apply(json!({"size": 1, "link": {"to": "x"}})).await.unwrap();
    merge(&widgets, "a", json!({"spec": {"owner": "ann"}})).await.unwrap();
    let before = api.revision();
    apply(json!({"size": 1, "link": {"to": "x"}})).await.unwrap();
    assert_eq!(api.revision(), before, "applying the same again writes nothing");
    let made = apply(json!({"size": 2})).await.unwrap();
    assert_eq!(made.data["spec"], json!({"size": 2, "owner": "ann"}));
    let managers: Vec<(String, String)> = made
        .managed_fields()
        .iter()
        .map(|m| (m.manager.clone().unwrap_or_default(), m.operation.clone().unwrap()))
        .collect();
    assert_eq!(managers, [("git".into(), "Apply".into()), (String::new(), "Update".into())]);
    let config = json!({"apiVersion": "test.example/v1", "kind": "Widget", "spec": {"size": 3}, "metadata": {"name": "a"}});
    let other = widgets.patch("a", &PatchParams::apply("other"), &Patch::Apply(&config)).await;
    let status = status_of(other);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"git\": .spec.size");
    let made =
        widgets.patch("a", &PatchParams::apply("other").force(), &Patch::Apply(&config)).await.unwrap();
    assert_eq!(made.data["spec"]["size"], 3);
}

#[tokio::test]
async fn apply_rejects_undeclared_fields() {
    let api = with_rules();
    let config = json!({"apiVersion": "test.example/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"hue": 1}});
    let mut params = PatchParams::apply("git");
    params.field_validation = Some(ValidationDirective::Strict);
    let status = status_of(widgets_in(&api).patch("a", &params, &Patch::Apply(config)).await);
    assert_eq!(status.code, 500);
    assert_eq!(
        status.message,
        "failed to create typed patch object (/a; test.example/v1, Kind=Widget): .spec.hue: field not declared in schema"
    );
}

#[tokio::test]
async fn managed_fields_distinguish_managers_and_subresources() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let params = PostParams { field_manager: Some("maker".into()), ..PostParams::default() };
    widgets.create(&params, &widget("a", json!({"size": 1}))).await.unwrap();
    let status = json!({"status": {"observedGeneration": 1}});
    let params = PatchParams { field_manager: Some("controller".into()), ..PatchParams::default() };
    widgets.patch_status("a", &params, &Patch::Merge(status)).await.unwrap();
    let stored = api.get("Widget", "default", "a").unwrap();
    assert_eq!(
        stored["metadata"]["managedFields"],
        json!([
            {"manager": "controller", "operation": "Update", "apiVersion": "test.example/v1", "subresource": "status",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:status": {".": {}, "f:observedGeneration": {}}}},
            {"manager": "maker", "operation": "Update", "apiVersion": "test.example/v1",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {".": {}, "f:size": {}}}},
        ])
    );
}

#[tokio::test]
async fn managed_fields_can_be_disabled() {
    let options = Options { managed_fields: false, admission: Arc::new(super::WidgetRules), ..options() };
    let api = MemoryApi::new(&[super::widgets()], options).unwrap();
    create(&widgets_in(&api), "a").await;
    assert!(api.get("Widget", "default", "a").unwrap()["metadata"].get("managedFields").is_none());
}
