//! Lists: pages, expired pages, selectors, partial metadata.

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::api::{ListParams, VersionMatch};
use kube::core::PartialObjectMeta;
use serde_json::json;

use super::{create, merge, permissive, status_of, widget, widgets_in};

fn names(list: &kube::core::ObjectList<DynamicObject>) -> Vec<String> {
    list.items.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
async fn pages_show_one_revision() {
    let api = permissive();
    let widgets = widgets_in(&api);
    for name in ["a", "b", "c", "d", "e"] {
        create(&widgets, name).await;
    }
    let revision = api.revision().to_string();
    let first = widgets.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    assert_eq!(first.metadata.resource_version.as_ref(), Some(&revision));
    merge(&widgets, "c", json!({"spec": {"size": 99}})).await.unwrap();
    widgets.delete("d", &DeleteParams::default()).await.unwrap();
    create(&widgets, "cc").await;
    let token = first.metadata.continue_.unwrap();
    let second = widgets.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second.items[0].data["spec"]["size"], 1);
    assert_eq!(second.metadata.resource_version, Some(revision));
    let token = second.metadata.continue_.unwrap();
    let third = widgets.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(names(&third), ["e"]);
    assert_eq!(third.metadata.continue_.unwrap_or_default(), "");
}

#[tokio::test]
async fn expired_page_is_410_with_a_new_token() {
    let api = permissive();
    let widgets = widgets_in(&api);
    for name in ["a", "b", "c"] {
        create(&widgets, name).await;
    }
    let first = widgets.list(&ListParams::default().limit(1)).await.unwrap();
    create(&widgets, "d").await;
    api.compact(api.revision());
    let token = first.metadata.continue_.unwrap();
    let status = status_of(widgets.list(&ListParams::default().limit(1).continue_token(&token)).await);
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(
        status
            .message
            .starts_with("The provided continue parameter is too old to display a consistent list result.")
    );
    let token = status.metadata.unwrap().continue_.unwrap();
    let rest = widgets.list(&ListParams::default().continue_token(&token)).await.unwrap();
    assert_eq!(names(&rest), ["b", "c", "d"]);
    let status = status_of(widgets.list(&ListParams::default().continue_token("nonsense")).await);
    assert_eq!(status.code, 400);
}

#[tokio::test]
async fn list_honors_resource_version_match() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let then = api.revision().to_string();
    create(&widgets, "b").await;
    let any = widgets.list(&ListParams::default().match_any()).await.unwrap();
    assert_eq!(any.items.len(), 2);
    let exact = ListParams::default().at(&then).matching(VersionMatch::Exact);
    assert_eq!(names(&widgets.list(&exact).await.unwrap()), ["a"]);
    let newer = ListParams::default().at(&then).matching(VersionMatch::NotOlderThan);
    assert_eq!(widgets.list(&newer).await.unwrap().items.len(), 2);
    let future = (api.revision() + 5).to_string();
    let status = status_of(widgets.list(&ListParams::default().at(&future)).await);
    assert_eq!((status.code, status.reason.as_str()), (504, "Timeout"));
    assert_eq!(
        status.message,
        format!("Timeout: Too large resource version: {future}, current: {}", api.revision())
    );
    api.compact(api.revision());
    assert_eq!(status_of(widgets.list(&exact).await).code, 410);
}

#[tokio::test]
async fn list_selects_by_label_name_and_field() {
    let api = permissive();
    let widgets = widgets_in(&api);
    for (name, owner, tier) in [("a", "ann", "1"), ("b", "bob", "2"), ("c", "ann", "2")] {
        let mut object = widget(name, json!({"owner": owner}));
        object.metadata.labels = Some([("tier".to_owned(), tier.to_owned())].into());
        widgets.create(&PostParams::default(), &object).await.unwrap();
    }
    let listed = |params: ListParams| {
        let widgets = widgets.clone();
        async move { names(&widgets.list(&params).await.unwrap()) }
    };
    assert_eq!(listed(ListParams::default().fields("spec.owner=ann")).await, ["a", "c"]);
    assert_eq!(listed(ListParams::default().fields("spec.owner!=ann")).await, ["b"]);
    assert_eq!(listed(ListParams::default().fields("metadata.name=b")).await, ["b"]);
    assert_eq!(listed(ListParams::default().labels("tier in (2)").fields("spec.owner=ann")).await, ["c"]);
    let first = widgets.list(&ListParams::default().fields("spec.owner=ann").limit(1)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, None, "not known for a filtered list");
    let status = status_of(widgets.list(&ListParams::default().fields("spec.size=1")).await);
    assert_eq!((status.code, status.message.as_str()), (400, "field label not supported: spec.size"));
}

#[tokio::test]
async fn list_covers_one_or_all_namespaces() {
    let api = permissive();
    create(&widgets_in(&api), "a").await;
    let client = api.client(kube_memory::UserInfo::admin());
    let system: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "kube-system", &super::widget_resource());
    create(&system, "b").await;
    let all: Api<DynamicObject> = Api::all_with(client, &super::widget_resource());
    assert_eq!(names(&all.list(&ListParams::default()).await.unwrap()), ["a", "b"]);
    assert_eq!(names(&system.list(&ListParams::default()).await.unwrap()), ["b"]);
    let chosen = ListParams::default().fields("metadata.namespace=kube-system");
    assert_eq!(names(&all.list(&chosen).await.unwrap()), ["b"]);
}

#[tokio::test]
async fn list_returns_partial_metadata() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let list = widgets.list_metadata(&ListParams::default()).await.unwrap();
    let one: &PartialObjectMeta<DynamicObject> = &list.items[0];
    assert_eq!(one.metadata.name.as_deref(), Some("a"));
    assert_eq!(one.types.as_ref().unwrap().kind, "PartialObjectMetadata");
}
