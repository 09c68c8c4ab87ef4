//! Fault injection: requests, crashes and watches.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::{WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event};
use kube_memory::{CrashPoint, Fault, FaultInjector, MemoryApi, UserInfo, WatchFault};
use serde_json::json;

use super::{create, merge, permissive, status_of, widgets_in, widgets_of};

const WIDGETS: &str = "widgets.test.example";

fn over(api: &MemoryApi, faults: &FaultInjector) -> kube::Api<kube::api::DynamicObject> {
    widgets_of(api.client_with_faults(UserInfo::admin(), faults))
}

#[tokio::test]
async fn request_faults_commit_as_documented() {
    let answer = |code| Fault::Answer { code, retry_after: None };
    for (fault, code, committed) in [
        (answer(409), Some(409), false),
        (answer(410), Some(410), false),
        (answer(500), Some(500), false),
        (answer(503), Some(503), false),
        (Fault::AnswerAfter { code: 504 }, Some(504), true),
        (Fault::DropBefore, None, false),
        (Fault::DropAfter, None, true),
    ] {
        let api = permissive();
        create(&widgets_in(&api), "a").await;
        let faults = FaultInjector::with_hook(
            move |request| if request.verb == "patch" { fault } else { Fault::None },
        );
        let widgets = over(&api, &faults);
        let result = merge(&widgets, "a", json!({"spec": {"size": 2}})).await;
        match code {
            Some(code) => assert_eq!(status_of(result).code, code),
            None => assert!(matches!(result, Err(kube::Error::Service(_))), "{fault:?}"),
        }
        let size = &widgets.get("a").await.unwrap().data["spec"]["size"];
        assert_eq!(*size, if committed { 2 } else { 1 }, "{fault:?}");
    }
}

#[tokio::test]
async fn injected_answer_sets_retry_after() {
    let api = permissive();
    let faults = FaultInjector::with_hook(|_| Fault::Answer { code: 429, retry_after: Some(7) });
    let status = status_of(over(&api, &faults).get("a").await);
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(status.details.unwrap().retry_after_seconds, 7);
}

#[tokio::test(start_paused = true)]
async fn hung_request_is_neither_answered_nor_executed() {
    let api = permissive();
    let faults = FaultInjector::with_hook(|request| if request.is_write { Fault::Hang } else { Fault::None });
    let widgets = over(&api, &faults);
    let object = super::widget("a", json!({}));
    let params = kube::api::PostParams::default();
    let hung = tokio::time::timeout(Duration::from_secs(60), widgets.create(&params, &object));
    assert!(hung.await.is_err());
    assert_eq!(api.count("Widget"), 0);
    api.wait_idle().await;
}

#[tokio::test]
async fn client_crashes_at_the_given_write() {
    for (point, committed) in
        [(CrashPoint::BeforeSend, 1), (CrashPoint::AfterCommit, 2), (CrashPoint::AfterReply, 2)]
    {
        let api = permissive();
        let faults = FaultInjector::new();
        faults.crash_at_write(2, point);
        let widgets = over(&api, &faults);
        create(&widgets, "a").await;
        let params = kube::api::PostParams::default();
        let second = widgets.create(&params, &super::widget("b", json!({}))).await;
        assert_eq!(second.is_ok(), point == CrashPoint::AfterReply);
        assert!(faults.is_dead());
        assert!(widgets.get("a").await.is_err(), "a dead client reads nothing either");
        assert_eq!(api.count("Widget"), committed, "{point:?}");
        assert!(widgets_in(&api).get("a").await.is_ok(), "other clients continue");
    }
}

#[tokio::test]
async fn random_faults_are_reproducible() {
    async fn run(seed: u64) -> Vec<bool> {
        let api = permissive();
        let widgets = over(&api, &FaultInjector::random(seed, 400, 3));
        let mut outcomes = Vec::new();
        for n in 0..60 {
            let params = kube::api::PostParams::default();
            outcomes.push(widgets.create(&params, &super::widget(&format!("w{n}"), json!({}))).await.is_ok());
        }
        outcomes
    }
    let outcomes = run(1).await;
    assert_eq!(outcomes, run(1).await);
    assert_ne!(outcomes, run(2).await);
    assert!(!outcomes.windows(4).any(|four| four.iter().all(|ok| !ok)), "at most three in a row");
}

async fn names(api: &MemoryApi, faults: &FaultInjector, from: u64, count: usize) -> Vec<String> {
    let stream = over(api, faults).watch(&WatchParams::default(), &from.to_string()).await.unwrap();
    stream
        .try_filter_map(|event| async move {
            Ok(match event {
                WatchEvent::Added(o) | WatchEvent::Modified(o) => Some(o.name_any()),
                _ => None,
            })
        })
        .take(count)
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn held_events_wait_for_release() {
    let api = permissive();
    let (held, free) = (FaultInjector::new(), FaultInjector::new());
    let from = api.revision();
    held.hold(WIDGETS);
    for name in ["a", "b", "c"] {
        create(&widgets_in(&api), name).await;
    }
    let reader = {
        let (api, held) = (api.clone(), held.clone());
        tokio::spawn(async move { names(&api, &held, from, 2).await })
    };
    assert_eq!(names(&api, &free, from, 3).await, ["a", "b", "c"], "another client is not held");
    assert!(!reader.is_finished());
    held.release(WIDGETS, 1);
    tokio::task::yield_now().await;
    assert!(!reader.is_finished(), "one of the two has passed");
    held.release(WIDGETS, 1);
    assert_eq!(reader.await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn delayed_events_arrive_writes_later() {
    let api = permissive();
    let faults = FaultInjector::new();
    faults.delay(WIDGETS, 2);
    let from = api.revision();
    let reader = {
        let (api, faults) = (api.clone(), faults.clone());
        tokio::spawn(async move { names(&api, &faults, from, 1).await })
    };
    create(&widgets_in(&api), "a").await;
    create(&widgets_in(&api), "b").await;
    tokio::task::yield_now().await;
    assert!(!reader.is_finished());
    create(&widgets_in(&api), "c").await;
    assert_eq!(reader.await.unwrap(), ["a"]);
}

#[tokio::test]
async fn watcher_resumes_after_every_watch_fault() {
    for how in [WatchFault::Clean, WatchFault::MidEvent, WatchFault::Expired] {
        let api = permissive();
        let faults = FaultInjector::new();
        create(&widgets_in(&api), "a").await;
        faults.fail_watch_after(WIDGETS, 2, how);
        let mut events = Box::pin(watcher::watcher(over(&api, &faults), watcher::Config::default()));
        let mut seen = Vec::new();
        let mut relists = 0;
        loop {
            match events.next().await.unwrap() {
                Ok(Event::Apply(o) | Event::InitApply(o)) => seen.push(o.name_any()),
                Ok(Event::Init) => relists += 1,
                Ok(Event::InitDone) if relists == 1 => {
                    for name in ["b", "c"] {
                        create(&widgets_in(&api), name).await;
                    }
                }
                Ok(_) => {}
                Err(why) => assert!(how == WatchFault::Expired, "{how:?}: {why}"),
            }
            if seen.last().is_some_and(|name| name == "c") {
                break;
            }
        }
        let expected = if how == WatchFault::Expired {
            (2, vec!["a", "b", "a", "b", "c"])
        } else {
            (1, vec!["a", "b", "c"])
        };
        assert_eq!((relists, seen.iter().map(String::as_str).collect::<Vec<_>>()), expected, "{how:?}");
    }
}

#[tokio::test]
async fn killing_a_client_breaks_its_watches() {
    let api = permissive();
    let faults = FaultInjector::new();
    let stream =
        over(&api, &faults).watch(&WatchParams::default(), &api.revision().to_string()).await.unwrap();
    let reader = tokio::spawn(async move { Box::pin(stream).try_next().await });
    api.wait_idle().await;
    faults.kill();
    assert!(reader.await.unwrap().is_err());
}
