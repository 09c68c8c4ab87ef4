//! A link whose activity was just created and that is not in the status yet.

use crate::{
    fixtures::{ORG, at, connection},
    scene::{CASE, Scene, activity, link_through, request_to, scene},
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use postlink::{
    api::{LinkState, RemovalCause},
    domain::post_link::{CreationResult, DesiredLink, Step, record::ActivityState},
};

const LINKED: &str = "True/LinkedByHand | True/RecordAvailable | - | True";

/// A post that requests a link through `contoso` and never had one.
fn wanted() -> Scene {
    scene().requests(request_to("contoso"))
}

/// Most instances create the record at once: with a first look at the activity, the status is written once.
#[test]
fn new_link_is_looked_at_before_it_is_written() {
    let scene = wanted().with(connection("contoso"));
    let created = CreationResult::Exists {
        link: LinkState { record: None, linked_at: Time(scene.now), ..link_through("contoso") },
        spec: scene.post.desired.spec().cloned(),
        attempt: 1,
    };
    let decided = |change: &dyn Fn(&mut Scene)| {
        let mut scene = scene.clone();
        change(&mut scene);
        let decision = scene.decide(Some(&created));
        match decision.step {
            Step::Write => Scene::row_of(&decision.status),
            step => format!("{step:?}"),
        }
    };
    let looks = scene.decide(Some(&created));
    assert!(
        matches!(&looks.step, Step::Check(check) if check.activity == activity(ORG, 1)),
        "{:?}",
        looks.step
    );
    let two_seconds = SignedDuration::from_secs(2);
    assert_eq!(looks.requeue.map(|again| again.at), Some(scene.now + two_seconds));

    let regarding = |regarding| Some(ActivityState::Exists { regarding, record_exists: None });
    let pending = "True/LinkedByHand | False/RecordPending | - | True";
    assert_eq!(decided(&|scene| scene.activity_state = regarding(Some(("incident".into(), CASE)))), LINKED);
    assert_eq!(decided(&|scene| scene.activity_state = regarding(None)), pending);
    assert_eq!(decided(&|scene| scene.now += two_seconds), pending, "there was no answer");
    // R25 is for a link that was there: a replica may not have the row yet.
    let gone = Some(ActivityState::Gone { record_exists: None });
    assert_eq!(decided(&|scene| scene.activity_state = gone.clone()), pending);
    assert_eq!(decided(&|scene| scene.stopping = true), pending, "what is not stored now is lost");
    let disable = |scene: &mut Scene| scene.connections = vec![connection("contoso").disable_refused(at(-9))];
    assert_eq!(decided(&disable), pending, "the change waits for it");

    // A late answer from before the creation must not break the link (R25).
    let mut written = scene.clone();
    written.now += two_seconds;
    written.post.status = written.decide(Some(&created)).status;
    written.activity_state = gone.clone();
    let late = written.decide(None);
    assert_eq!(Scene::row_of(&late.status), pending);
    assert_eq!(late.requeue.map(|again| again.at), Some(scene.now + SignedDuration::from_secs(15)));
    written.now = scene.now + SignedDuration::from_secs(15);
    let broken = "False/SocialActivityDeleted | - | SocialActivityDeleted | True";
    assert_eq!(Scene::row_of(&written.decide(None).status), broken);
}

/// A link that was created and is not in the status yet is removed like any other, and not forgotten.
#[test]
fn new_link_is_removed_before_it_was_written() {
    let scene = wanted().with(connection("contoso"));
    let created = CreationResult::Exists {
        link: LinkState { linked_at: Time(scene.now), ..link_through("contoso") },
        spec: scene.post.desired.spec().cloned(),
        attempt: 1,
    };
    let mut gone = scene.clone();
    gone.connections.clear();
    gone.deleted_connections.insert("uid-contoso".to_owned(), None);
    let removed = gone.decide(Some(&created)).status.removed_link.expect("R13 says why it is gone");
    assert_eq!(removed.cause, RemovalCause::ConnectionDeleted);

    let mut unlinked = scene;
    unlinked.post.desired = DesiredLink::Unlink;
    let status = unlinked.decide(Some(&created)).status;
    assert_eq!(status.removed_link.map(|removed| removed.cause), Some(RemovalCause::Unlinked));
    assert_eq!(status.intent.map(|intent| intent.attempt), Some(2), "R26: the activity is not adopted later");
}
