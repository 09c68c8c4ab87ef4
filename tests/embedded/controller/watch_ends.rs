//! A watch that ends, breaks, or reports within its stream that its resourceVersion has expired: nothing is missed.

use super::Scene;
use kube_memory::WatchFault;
use rstest::rstest;
use serde_json::json;

const LINKS: &str = "postlinks.postlink.dev";
const CONNECTIONS: &str = "dynamicsconnections.postlink.dev";

/// What changes while there is no watch is found by the next one, or by its list.
#[rstest]
#[tokio::test(start_paused = true)]
async fn changes_around_the_end_of_a_watch_are_seen(
    #[values(WatchFault::Clean, WatchFault::MidEvent, WatchFault::Expired)] fault: WatchFault,
) {
    let scene = Scene::start("").await;
    scene.create_link("first").await;
    scene.settle().await;
    assert!(scene.linked("first").starts_with("True/"), "{}", scene.linked("first"));

    scene.line.fail_watch_after(LINKS, 0, fault);
    scene.create_link("second").await;
    scene.until("the watch failed", |scene| !scene.line.watch_will_fail(LINKS)).await;
    scene.until("the post is linked", |scene| scene.linked("second").starts_with("True/")).await;

    scene.line.fail_watch_after(CONNECTIONS, 0, fault);
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.until("the watch failed", |scene| !scene.line.watch_will_fail(CONNECTIONS)).await;
    scene.until("it is disabled", |scene| scene.connection()["status"]["state"] == "Disabled").await;

    scene.line.fail_watch_after(LINKS, 0, fault);
    scene.delete("PostLink", "first").await;
    scene.edit("PostLink", "second", json!({"spec": {"link": null, "unlink": true}})).await;
    scene.until("the watch failed", |scene| !scene.line.watch_will_fail(LINKS)).await;
    scene.until("it is unlinked", |scene| scene.linked("second").starts_with("False/")).await;
    scene.settle().await;
    assert_eq!(scene.creations(), 2, "no activity was created again");
    scene.assert_unbroken();
}
