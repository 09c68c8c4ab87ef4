//! §4.4, §4.7: creations in flight while their connection is disabled or deleted, and creations that must not start.

use super::Scene;
use crate::contoso::{HOST, ORGANIZATION};
use dataverse_simulator::Fault;
use futures::FutureExt;
use jiff::SignedDuration;
use kube_memory::FaultInjector;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A connection with one creation in flight: the instance has received the request and does not answer.
async fn creating() -> Scene {
    let scene = Scene::start("").await;
    scene.session.world.inject_for(HOST, "PATCH ", Fault::Hang, 1);
    scene.create_link("one").await;
    scene.until("the activity is being created", |scene| scene.creations() == 1).await;
    assert_eq!(scene.session.world.in_flight(HOST), 1);
    scene
}

/// The posts that have an activity in the instance.
fn activities(scene: &Scene) -> Vec<String> {
    let activities = scene.session.world.activities(ORGANIZATION.parse().unwrap());
    activities.into_iter().filter_map(|activity| activity.post_id).collect()
}

#[tokio::test(start_paused = true)]
async fn disable_waits_for_running_creations() {
    let scene = creating().await;
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.until("the disable is reconciled", Scene::has_looked).await;
    assert_eq!(scene.connection()["status"]["state"], "Enabled", "something is being created");

    // No further creation starts, or the disable would have to wait for it too.
    scene.create_link("two").await;
    scene.until("the second link is reconciled", |scene| !scene.linked("two").is_empty()).await;
    assert_eq!(scene.creations(), 1);
    assert_eq!(scene.connection()["status"]["state"], "Enabled", "it is being created still");

    scene.session.world.release_hanging();
    scene.until("it is Disabled", |scene| scene.connection()["status"]["state"] == "Disabled").await;
    scene.settle().await;
    assert_eq!(activities(&scene), ["one"]);
    assert_eq!(scene.linked("one"), "True/LinkedByHand");
    assert_eq!(scene.linked("two"), "False/ConnectionDisabled");
    scene.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn deletion_waits_for_running_creations() {
    let scene = creating().await;
    scene.delete("DynamicsConnection", "contoso").await;
    scene.until("the deletion is reconciled", Scene::has_looked).await;
    let connection = scene.stored("DynamicsConnection", "contoso").expect("something is being created");
    assert_eq!(connection["metadata"]["finalizers"].as_array().map(Vec::len), Some(1));

    scene.session.world.release_hanging();
    scene.until("it is gone", |scene| scene.stored("DynamicsConnection", "contoso").is_none()).await;
    scene.settle().await;
    assert_eq!(activities(&scene), ["one"]);
    assert!(scene.linked("one").starts_with("False/"));
    scene.assert_unbroken();
}

/// A killed process may have sent a request just before; its successor cannot know.
#[tokio::test(start_paused = true)]
async fn disable_waits_for_a_killed_leaders_creations() {
    let scene = Scene::start("").await;
    scene.line.kill();
    let wait = Duration::from_secs(60);
    let successor = scene.another_controller(&FaultInjector::new(), Arc::new(|| true), Some(wait));
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.until("the disable is reconciled", Scene::has_looked).await;
    assert_eq!(scene.connection()["status"]["state"], "Enabled", "the predecessor may be creating something");

    // Setting the wall clock does not change how long a request can take.
    let later = scene.session.clock.now() + SignedDuration::from_secs(70);
    scene.session.clock.move_to(later);
    let request = json!({"metadata": {"annotations": {"postlink.dev/reconcile-requested-at": "now"}}});
    scene.edit("DynamicsConnection", "contoso", request).await;
    let handled = |scene: &Scene| scene.connection()["status"]["lastHandledReconcileAt"] == "now";
    scene.until("it is reconciled again", handled).await;
    assert_eq!(scene.connection()["status"]["state"], "Enabled", "only a clock was set");
    tokio::time::advance(wait).await;
    scene.session.clock.move_to(later + SignedDuration::from_secs(70));
    scene.until("it is Disabled", |scene| scene.connection()["status"]["state"] == "Disabled").await;
    successor.stop().await;
}

/// The wait may end while a reconcile reads the rules. It has found that the disable has to wait, so it is repeated.
#[tokio::test(start_paused = true)]
async fn disable_follows_a_wait_that_ends_during_a_reconcile() {
    let scene = Scene::start("").await;
    scene.line.kill();
    let (wait, lists) = (Duration::from_secs(10), Arc::new(AtomicUsize::new(0)));
    let line = {
        let lists = lists.clone();
        FaultInjector::with_hook(move |request| {
            let is_live = request.verb == "list" && request.namespace == "default";
            // The first reconcile writes that the disable waits; the second has nothing to write.
            if is_live && lists.fetch_add(1, Ordering::SeqCst) == 1 {
                // The time has moved when it is first polled.
                assert!(tokio::time::advance(wait * 2).now_or_never().is_none());
            }
            kube_memory::Fault::None
        })
    };
    let successor = scene.another_controller(&line, Arc::new(|| true), Some(wait));
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.until("the rules are read twice", |_| lists.load(Ordering::SeqCst) == 2).await;
    scene.session.clock.move_to(scene.session.clock.now() + SignedDuration::from_secs(12));
    scene.until("it is Disabled", |scene| scene.connection()["status"]["state"] == "Disabled").await;
    successor.stop().await;
}

/// §4.7: the lease is checked again right before the request to the instance. A link that waits for it is
/// rarely read.
#[tokio::test(start_paused = true)]
async fn no_creation_starts_when_the_lease_is_expiring() {
    let scene = Scene::start("").await;
    scene.line.kill();
    let (long_enough, first, reads) =
        (Arc::new(AtomicBool::new(true)), AtomicBool::new(true), Arc::new(AtomicUsize::new(0)));
    let line = {
        let (long_enough, reads) = (long_enough.clone(), reads.clone());
        FaultInjector::with_hook(move |request| {
            if request.verb == "get" && request.resource == "postlinks.postlink.dev" {
                reads.fetch_add(1, Ordering::SeqCst);
                // The first time: between the decision and the creation.
                if first.swap(false, Ordering::SeqCst) {
                    long_enough.store(false, Ordering::SeqCst);
                }
            }
            kube_memory::Fault::None
        })
    };
    let may_create = {
        let long_enough = long_enough.clone();
        Arc::new(move || long_enough.load(Ordering::SeqCst))
    };
    let controller = scene.another_controller(&line, may_create, None);
    scene.create_link("one").await;
    // Yield instead of sleeping: paused time does not advance while a task is busy.
    for _ in 0..500 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        scene.session.clock.move_to(scene.session.clock.now() + SignedDuration::from_millis(20));
    }
    assert!(!long_enough.load(Ordering::SeqCst), "the creation was about to begin");
    assert_eq!(scene.creations(), 0);
    let reads = reads.load(Ordering::SeqCst);
    assert!(reads <= 10, "the link was read {reads} times in ten seconds");

    long_enough.store(true, Ordering::SeqCst);
    scene.until("the post is linked", |scene| scene.linked("one").starts_with("True/")).await;
    assert_eq!(activities(&scene), ["one"]);
    controller.stop().await;
}

/// Seconds between the attempts of one link: the instance's Retry-After, otherwise doubling.
#[tokio::test(start_paused = true)]
async fn failed_creation_backs_off_or_honors_retry_after() {
    let scene = Scene::start("").await;
    let refused = |status, retry_after: Option<&str>| Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
    };
    let world = &scene.session.world;
    world.inject_for(HOST, "PATCH ", refused(400, None), 10);
    world.inject_for(HOST, "PATCH ", refused(429, Some("7")), 1);
    scene.create_link("one").await;
    // One second, then everything it triggers: paused time advances once all tasks are idle.
    while activities(&scene).is_empty() {
        scene.session.clock.move_to(scene.session.clock.now() + SignedDuration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let tries: Vec<_> = world.requests().into_iter().filter(|r| r.method == "PATCH").map(|r| r.at).collect();
    let apart: Vec<i64> = tries.windows(2).map(|two| two[1].duration_since(two[0]).as_secs()).collect();
    assert_eq!(apart, [5, 10, 20, 40, 80, 160, 320, 640, 640, 640, 7]);
    assert_eq!(activities(&scene), ["one"]);
}
