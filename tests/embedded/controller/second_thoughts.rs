//! Queued creations and checks whose cause changes while they wait.

use super::{Scene, condition};
use crate::contoso::HOST;
use dataverse_simulator::Fault;
use jiff::SignedDuration;
use kube_memory::FaultInjector;
use postlink::local::report;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

fn post(id: &str) -> Value {
    let published = "2025-06-01T10:00:00Z";
    json!({"url": format!("https://social.example/{id}"), "id": id, "publishedAt": published})
}

/// §4.1: a deactivated rule starts no further creation.
#[tokio::test(start_paused = true)]
async fn deactivated_rule_drops_its_waiting_posts() {
    const POSTS: usize = 20;
    let scene = Scene::start(
        "---\napiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: all}\n\
         spec: {connectionRef: {name: contoso}, since: '2025-01-01T00:00:00Z'}\n",
    )
    .await;
    scene.session.world.inject_for(HOST, "PATCH ", Fault::Hang, 100);
    for number in 0..POSTS {
        let id = format!("post-{number}");
        scene.create("PostLink", &id, json!({"post": post(&id)})).await;
    }
    scene.until("the instance is busy with the first posts", |scene| scene.creations() > 0).await;
    scene.edit("AutomationRule", "all", json!({"spec": {"active": false}})).await;
    let inactive = "False/Inactive";
    scene
        .until("the rule is off", |scene| {
            condition(&scene.stored("AutomationRule", "all").unwrap(), "Active") == inactive
        })
        .await;
    let begun = scene.creations();
    assert!(begun < POSTS, "some wait for their turn");

    scene.session.world.clear_faults();
    scene.session.world.release_hanging();
    scene.settle().await;
    assert_eq!(scene.creations(), begun);
    let made = (0..POSTS).filter(|n| scene.linked(&format!("post-{n}")) == "True/LinkedByRule");
    assert_eq!(made.count(), begun);
    scene.assert_unbroken();
}

/// A name is not an identity (§2).
#[tokio::test(start_paused = true)]
async fn recreated_postlink_does_not_inherit_a_pending_creation() {
    let scene = Scene::start("").await;
    scene.session.world.inject_for(HOST, "PATCH ", Fault::Hang, 1);
    scene.create_link("one").await;
    scene.until("the activity is being created", |scene| scene.creations() == 1).await;
    scene.delete("PostLink", "one").await;
    scene.create("PostLink", "one", json!({"post": post("another")})).await;
    scene.session.world.release_hanging();
    scene.until("it is reconciled", |scene| !scene.linked("one").is_empty()).await;
    scene.settle().await;
    assert_eq!(scene.linked("one"), "False/NotRequested");
}

/// No probe checks removed links, and a failed batch requeues nothing, so the link must retry on its own.
#[tokio::test(start_paused = true)]
async fn r14_link_is_restored_after_a_failed_check() {
    let scene = Scene::start("").await;
    scene.create_link("one").await;
    scene.until("it is linked", |scene| scene.linked("one") == "True/LinkedByHand").await;
    scene.delete("DynamicsConnection", "contoso").await;
    scene.until("the link is put aside", |scene| scene.linked("one") == "False/ConnectionDeleted").await;
    scene.edit("PostLink", "one", json!({"spec": {"link": null}})).await;
    let spec =
        json!({"instanceUrl": format!("https://{HOST}"), "credentials": {"secretRef": {"name": "contoso"}}});
    scene.create("DynamicsConnection", "contoso", spec).await;
    scene.until("it is Enabled", |scene| scene.connection()["status"]["state"] == "Enabled").await;
    let fault = Fault::Status { status: 503, retry_after: None };
    let asked = scene.session.world.request_count(HOST);
    scene.session.world.inject_for(HOST, "$batch", fault, 1);
    scene.until("the instance is asked", |scene| scene.session.world.request_count(HOST) > asked).await;
    assert_eq!(scene.linked("one"), "False/ConnectionDeleted", "the instance did not answer");
    scene.settle().await;
    assert_eq!(scene.linked("one"), "True/Restored");
}

#[tokio::test(start_paused = true)]
async fn withdrawn_disable_lets_the_waiting_link_through() {
    let scene = Scene::start("").await;
    scene.session.world.inject_for(HOST, "PATCH ", Fault::Hang, 1);
    scene.create_link("one").await;
    scene.until("an activity is being created", |scene| scene.creations() == 1).await;
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.until("the disable is reconciled", Scene::has_looked).await;
    scene.create_link("two").await;
    let waits = "False/ConnectionDisabled";
    scene.until("the second link waits", |scene| scene.linked("two") == waits).await;
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": true}})).await;
    scene.until("the second activity is created", |scene| scene.creations() == 2).await;
    scene.session.world.release_hanging();
    scene.settle().await;
}

async fn thirty_links_at_one_a_second() -> Scene {
    let scene = Scene::start("").await;
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"linksPerSecond": 1}})).await;
    scene.until("the rate is reconciled", Scene::has_looked).await;
    for number in 0..30 {
        scene.create_link(&format!("post-{number}")).await;
    }
    scene.until("the first is made", |scene| scene.creations() > 0).await;
    assert!(scene.creations() < 5, "one a second");
    scene
}

#[tokio::test(start_paused = true)]
async fn changed_links_per_second_requeues_waiting_links() {
    let scene = thirty_links_at_one_a_second().await;
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"linksPerSecond": 100}})).await;
    scene.until("all are made", |scene| scene.creations() == 30).await;
}

#[tokio::test(start_paused = true)]
async fn deleted_links_free_their_slots() {
    let scene = thirty_links_at_one_a_second().await;
    for number in 0..30 {
        scene.delete("PostLink", &format!("post-{number}")).await;
    }
    let made = scene.creations();
    scene.create_link("late").await;
    scene.until("the late one is made", |scene| scene.creations() > made).await;
    scene.until("it says so", |scene| scene.linked("late") == "True/LinkedByHand").await;
}

/// R4: an unreadable table says nothing about the state of the instance.
#[tokio::test(start_paused = true)]
async fn r04_unreadable_metadata_changes_no_connection_or_link() {
    let scene = Scene::start("").await;
    scene.create_link("one").await;
    scene.settle().await;
    let since = scene.session.api.revision();
    let fault = Fault::Status { status: 500, retry_after: None };
    scene.session.world.inject_for(HOST, "$batch", fault, 3);
    let types = json!({"spec": {"recordTypes": ["incident", "lead", "account"]}});
    let asked = scene.session.world.request_count(HOST);
    scene.edit("DynamicsConnection", "contoso", types).await;
    scene.until("it is asked", |scene| scene.session.world.request_count(HOST) >= asked + 3).await;
    scene.settle().await;
    for revision in scene.session.api.history_since(since) {
        assert_ne!(revision.key.resource, "postlinks.postlink.dev", "a link was written");
        let ready = revision.after().map_or_else(String::new, |object| condition(&object, "Ready"));
        assert!(ready.is_empty() || ready == "True/Connected", "{ready}");
    }
}

/// A server that answers 409 without a concurrent write will do so again.
#[tokio::test(start_paused = true)]
async fn repeated_conflicts_back_off() {
    let scene = Scene::start("").await;
    scene.line.kill();
    let writes = Arc::new(AtomicUsize::new(0));
    let line = {
        let writes = writes.clone();
        FaultInjector::with_hook(move |request| {
            if !request.is_write || request.resource != "postlinks.postlink.dev" {
                return kube_memory::Fault::None;
            }
            writes.fetch_add(1, Ordering::SeqCst);
            kube_memory::Fault::Answer { code: 409, retry_after: None }
        })
    };
    let controller = scene.another_controller(&line, Arc::new(|| true), None);
    scene.create("PostLink", "one", json!({"post": post("one")})).await;
    for _ in 0..500 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        scene.session.clock.move_to(scene.session.clock.now() + SignedDuration::from_millis(20));
    }
    let writes = writes.load(Ordering::SeqCst);
    assert!((2..=20).contains(&writes), "{writes} writes in ten seconds");
    controller.stop().await;
}

/// To kube's recorder, two events of one object and reason are the same event.
#[tokio::test(start_paused = true)]
async fn event_has_its_own_note_not_an_earlier_one() {
    let scene = Scene::start(
        "---\napiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: all}\n\
         spec: {connectionRef: {name: contoso}}\n",
    )
    .await;
    let used = "True/UsedByActiveRules";
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.until("it is held", |scene| condition(&scene.connection(), "DisableRefused") == used).await;
    scene.delete("DynamicsConnection", "contoso").await;
    scene.until("it is held", |scene| condition(&scene.connection(), "DeletionRefused") == used).await;
    scene.settle().await;
    let events = report::events(&scene.session, 0);
    for note in ["Disabling is blocked", "Deletion is blocked"] {
        assert!(events.contains(note), "no event says {note}:\n{events}");
    }
}

/// R22: a failure says something about one connection, and about one generation of the PostLink.
#[tokio::test(start_paused = true)]
async fn r22_edited_link_does_not_wait_for_the_old_failure() {
    let scene = Scene::start("").await;
    let wrong = json!({"connectionRef": {"name": "contoso"}, "recordType": "incident", "recordId": "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c12"});
    scene.create("PostLink", "one", json!({"post": post("one"), "link": wrong})).await;
    for attempts in 1..=6 {
        scene.until("it is tried again", |scene| scene.creations() == attempts).await;
        scene.until("it fails", |scene| scene.linked("one") == "False/RecordNotFound").await;
        let clock = &scene.session.clock;
        clock.move_to(clock.now() + SignedDuration::from_secs(if attempts < 6 { 100 } else { 1 }));
    }
    scene.edit("PostLink", "one", json!({"spec": {"link": {"recordId": null}}})).await;
    scene.until("it is linked", |scene| scene.linked("one") == "True/LinkedByHand").await;
}

/// §2: a requested check does not wait for the next probe. A new leader that finds the request before its first
/// probe makes the check right after it.
#[tokio::test(start_paused = true)]
async fn check_requested_before_the_first_probe_follows_it() {
    let scene = Scene::start("").await;
    scene.create_link("one").await;
    scene.until("it is linked", |scene| scene.linked("one") == "True/LinkedByHand").await;
    scene.settle().await;
    scene.line.kill();
    let request = json!({"metadata": {"annotations": {"postlink.dev/reconcile-requested-at": "now"}}});
    scene.edit("PostLink", "one", request).await;
    let world = &scene.session.world;
    world.inject_for(HOST, "GET ", Fault::Hang, 1);
    let successor = scene.another_controller(&FaultInjector::new(), Arc::new(|| true), None);
    scene.until("the probe has been sent", |_| world.in_flight(HOST) == 1).await;
    // An object that is reconciled after the link that was there before.
    scene.create("PostLink", "two", json!({"post": post("two")})).await;
    scene.until("the link has been reconciled", |scene| !scene.linked("two").is_empty()).await;
    world.release_hanging();
    scene
        .until("the request is handled", |scene| {
            scene.stored("PostLink", "one").unwrap()["status"]["lastHandledReconcileAt"] == "now"
        })
        .await;
    successor.stop().await;
}

/// The name of an Event begins with that of its object, and may not be longer than any other name.
#[tokio::test(start_paused = true)]
async fn object_with_the_longest_name_gets_events() {
    let scene = Scene::start("").await;
    let name = format!("{}.{}", "n".repeat(126), "n".repeat(126));
    let spec = json!({"post": post("one"), "link": {"connectionRef": {"name": "contoso"}}});
    scene.create("PostLink", &name, spec).await;
    scene.until("it is linked", |scene| scene.linked(&name) == "True/LinkedByHand").await;
    scene.settle().await;
    let events = report::events(&scene.session, 0);
    assert!(events.contains(&format!("LinkedByHand   postlink/{name} ")), "{events}");
}
