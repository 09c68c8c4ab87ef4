//! Watches: resuming, 410, initial events, bookmarks, selectors, and kube's watcher.

use std::pin::pin;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event};
use kube_memory::{MemoryApi, Options};
use serde_json::json;

use super::{create, merge, options, permissive, widgets_in};

/// The event as one letter and the name, such as `A:a`.
fn short(event: &WatchEvent<DynamicObject>) -> String {
    match event {
        WatchEvent::Added(o) => format!("A:{}", o.name_any()),
        WatchEvent::Modified(o) => format!("M:{}", o.name_any()),
        WatchEvent::Deleted(o) => format!("D:{}", o.name_any()),
        WatchEvent::Bookmark(b) => format!("B:{}", b.metadata.resource_version),
        WatchEvent::Error(e) => format!("E:{}", e.code),
    }
}

async fn first(widgets: &Api<DynamicObject>, params: &WatchParams, from: &str, count: usize) -> Vec<String> {
    let stream = widgets.watch(params, from).await.unwrap();
    stream.take(count).map_ok(|event| short(&event)).try_collect().await.unwrap()
}

#[tokio::test]
async fn watch_resumes_after_the_given_version() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let after_a = api.revision().to_string();
    create(&widgets, "b").await;
    merge(&widgets, "a", json!({"spec": {"size": 5}})).await.unwrap();
    widgets.delete("b", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default();
    assert_eq!(first(&widgets, &params, &after_a, 3).await, ["A:b", "M:a", "D:b"]);
}

#[tokio::test]
async fn deleted_event_carries_version_of_the_deletion() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    let from = api.revision();
    widgets.delete("a", &DeleteParams::default()).await.unwrap();
    let mut stream = pin!(widgets.watch(&WatchParams::default(), &from.to_string()).await.unwrap());
    let Some(WatchEvent::Deleted(object)) = stream.try_next().await.unwrap() else {
        panic!("not a deletion")
    };
    assert_eq!(object.resource_version(), Some((from + 1).to_string()));
}

#[tokio::test]
async fn watch_from_compacted_version_gets_410_event() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "a").await;
    create(&widgets, "b").await;
    api.compact(api.revision());
    let stream = widgets.watch(&WatchParams::default(), "1").await.unwrap();
    let events: Vec<_> = stream.try_collect().await.unwrap();
    let [WatchEvent::Error(status)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert_eq!(status.message, format!("too old resource version: 1 ({})", api.revision()));
}

#[tokio::test]
async fn limited_history_compacts_automatically() {
    let api = MemoryApi::new(&[super::widgets()], Options { keep_revisions: Some(2), ..options() }).unwrap();
    let widgets = widgets_in(&api);
    for name in ["a", "b", "c"] {
        create(&widgets, name).await;
    }
    assert_eq!(api.history().count(), 2);
    let too_old = (api.revision() - 3).to_string();
    assert_eq!(first(&widgets, &WatchParams::default(), &too_old, 1).await, ["E:410"]);
    let just_in = (api.revision() - 2).to_string();
    assert_eq!(first(&widgets, &WatchParams::default(), &just_in, 2).await, ["A:b", "A:c"]);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let api = permissive();
    let widgets = widgets_in(&api);
    create(&widgets, "b").await;
    create(&widgets, "a").await;
    let here = format!("B:{}", api.revision());
    let streaming = WatchParams::streaming_lists();
    assert_eq!(first(&widgets, &streaming, "0", 3).await, ["A:a".to_owned(), "A:b".into(), here.clone()]);
    let stream = widgets.watch(&streaming, "0").await.unwrap();
    let events: Vec<_> = stream.take(3).try_collect().await.unwrap();
    let WatchEvent::Bookmark(bookmark) = &events[2] else { panic!("no bookmark") };
    assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
    assert_eq!(
        first(&widgets, &WatchParams::default(), "0", 3).await,
        ["A:a".to_owned(), "A:b".into(), here],
        "version 0 means the same"
    );
}

#[tokio::test]
async fn leaving_a_selection_deletes_and_entering_adds() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let from = api.revision().to_string();
    create(&widgets, "a").await;
    merge(&widgets, "a", json!({"spec": {"owner": "bob"}})).await.unwrap();
    merge(&widgets, "a", json!({"spec": {"size": 3}})).await.unwrap();
    merge(&widgets, "a", json!({"spec": {"owner": "ann"}})).await.unwrap();
    let params = WatchParams::default().fields("spec.owner=ann");
    assert_eq!(first(&widgets, &params, &from, 3).await, ["A:a", "D:a", "A:a"]);
}

#[tokio::test(start_paused = true)]
async fn watch_timeout_ends_with_a_bookmark() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let from = api.revision().to_string();
    let params = WatchParams::default().timeout(1).fields("spec.owner=nobody");
    let stream = widgets.watch(&params, &from).await.unwrap();
    create(&widgets, "a").await;
    let events: Vec<_> = stream.map_ok(|event| short(&event)).try_collect().await.unwrap();
    assert_eq!(events, [format!("B:{}", api.revision())]);
}

/// The first `count` events of kube's watcher.
async fn watched(widgets: Api<DynamicObject>, config: watcher::Config, count: usize) -> Vec<String> {
    let name = |o: DynamicObject| o.name_any();
    watcher::watcher(widgets, config)
        .map_ok(|event| match event {
            Event::Init => "Init".to_owned(),
            Event::InitApply(o) => format!("InitApply:{}", name(o)),
            Event::InitDone => "InitDone".to_owned(),
            Event::Apply(o) => format!("Apply:{}", name(o)),
            Event::Delete(o) => format!("Delete:{}", name(o)),
        })
        .take(count)
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn kube_watcher_works_with_either_initial_list() {
    for config in [watcher::Config::default().page_size(1), watcher::Config::default().streaming_lists()] {
        let api = permissive();
        let widgets = widgets_in(&api);
        create(&widgets, "a").await;
        create(&widgets, "b").await;
        let watching = tokio::spawn(watched(widgets.clone(), config, 6));
        // Wait until the watcher has an open watch that is read to the end.
        let mut quiet = api.activity();
        while quiet.watches.is_empty() {
            tokio::task::yield_now().await;
            quiet = api.activity();
        }
        api.wait_idle().await;
        merge(&widgets, "a", json!({"spec": {"size": 2}})).await.unwrap();
        widgets.delete("b", &DeleteParams::default()).await.unwrap();
        let expected = ["Init", "InitApply:a", "InitApply:b", "InitDone", "Apply:a", "Delete:b"];
        assert_eq!(watching.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn idle_means_every_watch_is_read() {
    let api = permissive();
    let widgets = widgets_in(&api);
    let from = api.revision().to_string();
    let mut stream = Box::pin(widgets.watch(&WatchParams::default(), &from).await.unwrap());
    create(&widgets, "a").await;
    let quiet = api.activity();
    assert!(!quiet.is_idle());
    assert_eq!(quiet.watches.len(), 1);
    assert_eq!(
        (quiet.watches[0].resource.as_str(), quiet.watches[0].user.as_str()),
        ("widgets.test.example", "admin")
    );
    assert!(quiet.watches[0].consumed < quiet.revision);
    stream.try_next().await.unwrap();
    assert!(!api.activity().is_idle(), "handed out, but the next frame is not requested yet");
    let reader = tokio::spawn(async move { stream.try_next().await.unwrap().map(|e| short(&e)) });
    api.wait_idle().await;
    assert_eq!(api.activity().watches[0].consumed, api.revision());
    create(&widgets, "b").await;
    assert_eq!(reader.await.unwrap(), Some("A:b".into()));
    api.wait_idle().await;
    assert!(api.activity().watches.is_empty(), "a dropped watch is forgotten");
}

#[tokio::test]
async fn no_event_is_lost_under_concurrent_writers() {
    let api = Arc::new(permissive());
    let from = api.revision().to_string();
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let widgets = widgets_in(&api);
            tokio::spawn(async move {
                for n in 0..50 {
                    create(&widgets, &format!("w{w}-{n}")).await;
                }
            })
        })
        .collect();
    let stream = widgets_in(&api).watch(&WatchParams::default(), &from).await.unwrap();
    let versions: Vec<u64> = stream
        .try_filter_map(|event| async move {
            Ok(match event {
                WatchEvent::Added(o) => Some(super::version(&o)),
                _ => None,
            })
        })
        .take(200)
        .try_collect()
        .await
        .unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1));
}
