//! Discovery, tokens, events, leases, history, saving, and the API on a port.

use futures::TryStreamExt as _;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event as CoreEvent, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::discovery::Discovery;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _, ResourceExt as _};
use kube_memory::{MemoryApi, UserInfo, WriteKind, serve};
use serde_json::{Value, json};

use super::{create, merge, options, permissive, status_of, widgets, widgets_in, widgets_of, with_rules};

#[tokio::test]
async fn discovery_finds_every_kind() {
    let api = permissive();
    let client = api.client(UserInfo::admin());
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let (resource, capabilities) =
        discovery.resolve_gvk(&kube::core::GroupVersionKind::gvk("test.example", "v1", "Widget")).unwrap();
    assert_eq!(resource.plural, "widgets");
    assert!(capabilities.subresources.iter().any(|(sub, _)| sub.plural == "status"));
    assert!(discovery.has_group("coordination.k8s.io") && discovery.has_group("events.k8s.io"));
    assert_eq!(client.apiserver_version().await.unwrap().minor, "36");
    let get = |path: &str| client.request::<Value>(http::Request::get(path).body(Vec::new()).unwrap());
    let index = get("/openapi/v3").await.unwrap();
    let url = index["paths"]["apis/test.example/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = get(url).await.unwrap();
    let schema = &document["components"]["schemas"]["example.test.v1.Widget"];
    assert_eq!(schema["properties"]["spec"]["properties"]["owner"]["type"], "string");
    assert!(get("/apis/nobody.example/v1/things").await.is_err());
}

#[tokio::test]
async fn service_account_gets_a_token() {
    let api = permissive();
    let accounts: Api<ServiceAccount> = Api::default_namespaced(api.client(UserInfo::admin()));
    let account = serde_json::from_value(json!({"metadata": {"name": "robot"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": ["api://x"], "expirationSeconds": 3600}}))
            .unwrap();
    let answer = accounts.create_token_request("robot", &PostParams::default(), &request).await.unwrap();
    let status = answer.status.unwrap();
    assert_eq!(status.expiration_timestamp.0.to_string(), "2026-01-01T01:00:00Z");
    assert_eq!(status.token.matches('.').count(), 2);
    let none = accounts.create_token_request("nobody", &PostParams::default(), &request).await;
    assert_eq!(status_of(none).message, "serviceaccounts \"nobody\" not found");
}

#[tokio::test]
async fn event_is_one_object_in_both_groups() {
    let api = permissive();
    let client = api.client(UserInfo::admin());
    let made = create(&widgets_in(&api), "a").await;
    let recorder = Recorder::new(
        client.clone(),
        Reporter { controller: "t.example/c".into(), instance: Some("i".into()) },
    );
    let event = |note: &str| Event {
        type_: EventType::Normal,
        reason: "Linked".into(),
        note: Some(note.into()),
        action: "Link".into(),
        secondary: None,
    };
    let reference = made.object_ref(&super::widget_resource());
    recorder.publish(&event("it is linked"), &reference).await.unwrap();
    recorder.publish(&event("it is linked"), &reference).await.unwrap();
    let stored = api.objects("Event");
    assert_eq!(stored.len(), 1);
    assert_eq!((&stored[0]["note"], &stored[0]["series"]["count"]), (&json!("it is linked"), &json!(2)));
    let core: Api<CoreEvent> = Api::default_namespaced(client.clone());
    let list = core.list(&ListParams::default().fields("involvedObject.name=a")).await.unwrap();
    assert_eq!(list.items[0].message.as_deref(), Some("it is linked"));
    assert_eq!(list.items[0].involved_object.kind.as_deref(), Some("Widget"));
    assert_eq!(list.items[0].reporting_component.as_deref(), Some("t.example/c"));
    let long =
        recorder.publish(&Event { reason: "Other".into(), ..event(&"x".repeat(1025)) }, &reference).await;
    assert!(status_of(long).message.contains("can have at most 1024 characters"));
}

#[tokio::test]
async fn put_creates_leases_then_needs_a_version() {
    let api = permissive();
    let leases: Api<Lease> = Api::default_namespaced(api.client(UserInfo::admin()));
    let lease: Lease = serde_json::from_value(
        json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
    )
    .unwrap();
    let made = leases.replace("l", &PostParams::default(), &lease).await.unwrap();
    assert_eq!(status_of(leases.replace("l", &PostParams::default(), &lease).await).code, 422);
    let stolen = Patch::Merge(json!({"spec": {"holderIdentity": "you"}}));
    leases.patch("l", &PatchParams::default(), &stolen).await.unwrap();
    assert_eq!(status_of(leases.replace("l", &PostParams::default(), &made).await).code, 409);
    let zero = Patch::Merge(json!({"spec": {"leaseDurationSeconds": 0}}));
    let status = status_of(leases.patch("l", &PatchParams::default(), &zero).await);
    assert_eq!(
        status.message,
        "Lease.coordination.k8s.io \"l\" is invalid: spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
    );
}

#[tokio::test]
async fn secret_string_data_is_stored_encoded() {
    let api = permissive();
    let secrets: Api<Secret> = Api::default_namespaced(api.client(UserInfo::admin()));
    let secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}})).unwrap();
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["k"].0, b"v");
    assert_eq!((made.type_.as_deref(), made.string_data), (Some("Opaque"), None));
}

#[tokio::test]
async fn history_names_user_and_write() {
    let api = permissive();
    let bob = widgets_of(api.client(UserInfo::new("bob")));
    let start = api.revision();
    create(&bob, "a").await;
    merge(&widgets_in(&api), "a", json!({"spec": {"size": 2}})).await.unwrap();
    bob.delete("a", &DeleteParams::default()).await.unwrap();
    let history: Vec<_> = api.history_since(start).collect();
    let told: Vec<_> =
        history.iter().map(|r| (r.revision - start, r.kind, r.user.username.as_str())).collect();
    assert_eq!(
        told,
        [(1, WriteKind::Create, "bob"), (2, WriteKind::Update, "admin"), (3, WriteKind::Delete, "bob")]
    );
    assert_eq!(history[1].before().unwrap()["spec"]["size"], 1);
    assert_eq!(history[1].after().unwrap()["spec"]["size"], 2);
    assert_eq!(history[0].key.resource, "widgets.test.example");
    assert_eq!((history[0].key.namespace.as_str(), history[0].key.name.as_str()), ("default", "a"));
    assert_eq!(api.latest_revision("Widget"), api.revision());
    assert!(api.latest_revision("Lease") < api.revision());
}

#[tokio::test]
async fn restored_api_continues_where_it_stopped() {
    let api = with_rules();
    let made = create(&widgets_in(&api), "a").await;
    let saved = serde_json::to_string(&api.save()).unwrap();
    let again = MemoryApi::restore(&[widgets()], options(), &serde_json::from_str(&saved).unwrap()).unwrap();
    assert_eq!(again.get("Widget", "default", "a"), api.get("Widget", "default", "a"));
    assert_eq!(again.revision(), api.revision());
    let next = create(&widgets_in(&again), "b").await;
    assert_eq!(super::version(&next), super::version(&made) + 1);
    assert_ne!(next.uid(), made.uid());
    assert!(MemoryApi::restore(&[], options(), &serde_json::from_str(&saved).unwrap()).is_err());
}

#[tokio::test]
async fn serve_answers_over_tcp() {
    let api = permissive();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, api.service(UserInfo::new("wire")), async move {
        let _ = stopped.await;
    }));
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let widgets = widgets_of(client);
    let from = api.revision().to_string();
    create(&widgets, "a").await;
    assert_eq!(api.history().last().unwrap().user.username, "wire");
    let mut events = Box::pin(widgets.watch(&WatchParams::default(), &from).await.unwrap());
    assert!(events.try_next().await.unwrap().is_some());
    merge(&widgets, "a", json!({"spec": {"size": 2}})).await.unwrap();
    assert!(events.try_next().await.unwrap().is_some());
    drop(events);
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
