//! R23–R26 and §2: which intent was acted on, which attempt is next, and the effect of edits of `spec`.

use crate::{
    fixtures::{ORG, OTHER_ORG, at, connection, rule},
    scene::{CASE, Scene, link_through, linked, request, request_to, scene},
};
use jiff::SignedDuration;
use postlink::{
    api::{ConditionType, ConnectionState, LinkedBy, ObjectRef, RemovalCause},
    domain::{
        post_link::record::ActivityState,
        post_link::{ActivityCreation, CreationResult, DesiredLink, Found, LinkSpec, Step},
    },
};
use uuid::Uuid;

const LINKED: &str = "True/LinkedByHand | True/RecordAvailable | - | True";
const GONE: ActivityState = ActivityState::Gone { record_exists: None };

fn by_rule() -> Scene {
    let mut link = link_through("contoso");
    link.linked_by = LinkedBy::Rule;
    link.rule = Some(ObjectRef { name: "complaints".into(), uid: "uid-complaints".into() });
    scene().with(connection("contoso")).active_rule(rule("complaints").since(at(-120))).linked(link)
}

fn with_notes(request: LinkSpec) -> LinkSpec {
    LinkSpec { hash: format!("{}-noted", request.hash), ..request }
}

fn broken(mut scene: Scene) -> Scene {
    scene.now += jiff::SignedDuration::from_mins(1);
    scene.activity_state = Some(GONE);
    scene.expect("False/SocialActivityDeleted | - | SocialActivityDeleted | True");
    scene
}

#[test]
fn first_link_is_attempt_one() {
    let mut scene = scene().with(connection("contoso")).requests(request_to("contoso"));
    scene.expect(LINKED);
    assert_eq!(scene.attempts(), [1]);
    let intent = scene.post.status.intent.unwrap();
    assert_eq!((intent.attempt, intent.hash.as_deref()), (1, Some("to-contoso")));
}

#[test]
fn restored_cluster_adopts_its_existing_activity() {
    let mut scene = scene().with(connection("contoso")).requests(request_to("contoso"));
    scene.settle();
    let link = scene.post.status.link.clone();
    scene.post.status = postlink::api::PostLinkStatus::default();
    scene.expect(LINKED);
    assert_eq!(scene.attempts(), [1, 1]);
    assert_eq!(scene.activities.len(), 1);
    assert_eq!(scene.post.status.link.unwrap().social_activity_id, link.unwrap().social_activity_id);
}

#[test]
fn r25_broken_link_is_not_recreated() {
    let mut scene = broken(linked());
    scene.post.generation += 1; // A post text was corrected.
    scene.expect("False/SocialActivityDeleted | - | SocialActivityDeleted | True");
    assert!(scene.creations.is_empty());
}

#[test]
fn r25_changed_spec_link_makes_a_new_activity() {
    let mut scene = broken(linked());
    scene.edit(DesiredLink::ByHand(with_notes(request_to("contoso")))).expect(LINKED);
    assert_eq!(scene.attempts(), [2]);
    assert_eq!(scene.post.status.intent.unwrap().attempt, 2);
}

#[test]
fn r25_the_relink_annotation_asks_again_once() {
    let mut scene = broken(linked());
    scene.post.relink_requested = Some("monday".into());
    scene.expect(LINKED);
    assert_eq!(scene.attempts(), [2]);
    // If the new link breaks too, the same annotation has no effect.
    let mut scene = broken(scene);
    assert_eq!(scene.attempts(), [2]);
    scene.post.relink_requested = Some("tuesday".into());
    scene.expect(LINKED);
    assert_eq!(scene.attempts(), [2, 3]);
    assert_eq!(scene.post.status.intent.unwrap().relink_requested_at.as_deref(), Some("tuesday"));
}

#[test]
fn reconcile_request_checks_the_link_once() {
    let mut scene = linked();
    scene.expect(LINKED);
    assert!(!matches!(scene.decide(None).step, Step::Check(_)));
    scene.post.reconcile_requested = Some("now".into());
    assert!(matches!(scene.decide(None).step, Step::Check(_)));
    scene.expect(LINKED);
    assert_eq!(scene.post.status.last_handled_reconcile_at.as_deref(), Some("now"));
    assert!(!matches!(scene.decide(None).step, Step::Check(_)));
}

#[test]
fn relink_annotation_does_nothing_to_a_linked_post() {
    let mut scene = linked();
    scene.post.relink_requested = Some("monday".into());
    scene.expect(LINKED);
    assert!(scene.creations.is_empty());
    assert_eq!(scene.post.status.intent.unwrap().attempt, 1);
}

#[test]
fn r25_relink_request_finds_an_unnoticed_break() {
    let mut scene = linked();
    scene.activity_state = Some(GONE);
    scene.post.relink_requested = Some("monday".into());
    scene.settle();
    assert_eq!(scene.attempts(), [2], "the old activity was deleted, so a new one is created");
    assert_eq!(scene.post.status.intent.unwrap().relink_requested_at.as_deref(), Some("monday"));
}

#[test]
fn r27_relink_request_waits_during_downtime() {
    let mut scene = linked();
    scene.connection("contoso").status().state = Some(ConnectionState::Downtime);
    scene.post.relink_requested = Some("monday".into());
    scene.expect("True/LinkedByHand | False/InstanceDowntime | - | False+Reconciling");
    assert_eq!(scene.post.status.intent.clone().and_then(|i| i.relink_requested_at), None);
    scene.connection("contoso").status().state = Some(ConnectionState::Enabled);
    scene.activity_state = Some(GONE);
    scene.settle();
    assert_eq!(scene.attempts(), [2]);
}

#[test]
fn r14_relink_request_keeps_a_restorable_link() {
    let mut scene = by_rule();
    let activity = scene.post.status.link.as_ref().unwrap().social_activity_id;
    scene.delete_connection("contoso").settle();
    scene.post.relink_requested = Some("monday".into());
    scene.expect("False/ConnectionDeleted | - | ConnectionDeleted | True");
    scene.connections.push(connection("contoso").uid("uid-again").created(scene.now));
    scene.expect("True/Restored | True/RecordAvailable | - | True");
    assert_eq!(scene.post.status.link.as_ref().unwrap().social_activity_id, activity);
    assert!(scene.creations.is_empty());
}

#[test]
fn r14_restore_does_not_undo_a_changed_connection() {
    let mut scene = linked();
    scene.connections.retain(|c| c.0.metadata.name.as_deref() == Some("contoso"));
    scene.delete_connection("contoso").settle();
    let text = scene.message(ConditionType::Linked);
    assert!(text.contains("To restore the link") && text.contains("set spec.link.connectionRef"), "{text}");
    assert!(!text.contains("does not exist"), "{text}");
    scene.edit(DesiredLink::ByHand(request_to("nowhere"))).settle();
    scene.connections.push(connection("contoso").uid("uid-again").created(scene.now));
    scene.expect("False/ConnectionDeleted | - | ConnectionDeleted | False+Reconciling");
    assert!(
        scene
            .message(ConditionType::Linked)
            .contains("set spec.link.connectionRef.name to contoso, or remove spec.link")
    );
    scene.edit(DesiredLink::ByRule).expect("True/Restored | True/RecordAvailable | - | True");
    assert!(scene.creations.is_empty());
}

#[test]
fn r14_rule_may_link_after_a_relink_request() {
    let mut scene = by_rule();
    scene.delete_connection("contoso").settle();
    let mut scene = scene
        .with(connection("fabrikam").org(OTHER_ORG))
        .active_rule(rule("other").refers_to("fabrikam").since(at(-120)));
    scene.settle();
    assert!(scene.creations.is_empty(), "no other link was requested yet");
    scene.post.relink_requested = Some("monday".into());
    scene.settle();
    assert_eq!(scene.attempts(), [2]);
    assert!(scene.post.status.removed_link.is_none());
}

#[test]
fn relink_annotation_returns_a_post_to_the_rules() {
    let mut scene = broken(by_rule());
    scene.post.relink_requested = Some("monday".into());
    scene.expect("True/LinkedByRule | True/RecordAvailable | - | True");
    assert_eq!(scene.attempts(), [2]);
}

#[test]
fn relink_annotation_does_not_override_unlink() {
    let mut scene = linked().desired(DesiredLink::Unlink);
    scene.post.relink_requested = Some("monday".into());
    scene.settle();
    assert!(scene.row().starts_with("False/Unlinked | -"), "{}", scene.row());
    assert!(scene.creations.is_empty());
}

#[test]
fn changed_notes_on_linked_post_are_only_reported() {
    let mut scene = linked();
    let before = scene.post.status.link.clone();
    scene.expect(LINKED);
    assert!(!scene.message(ConditionType::Linked).contains("recordType and notes apply only to new links"));
    scene.edit(DesiredLink::ByHand(with_notes(request_to("contoso")))).expect(LINKED);
    assert_eq!(scene.post.status.link, before);
    assert!(
        scene.message(ConditionType::Linked).contains("recordType and notes apply only to new links"),
        "the message says so"
    );
    // Reverted: the message no longer says so.
    scene.edit(DesiredLink::ByHand(request_to("contoso"))).expect(LINKED);
    assert!(!scene.message(ConditionType::Linked).contains("recordType and notes apply only to new links"));
}

#[test]
fn r24_notes_changed_before_the_break_are_used() {
    let mut scene = linked();
    scene.edit(DesiredLink::ByHand(with_notes(request_to("contoso")))).settle();
    let scene = broken(scene);
    assert!(scene.creations.is_empty());
}

#[test]
fn changed_connection_unlinks_then_links_again() {
    let mut scene = linked();
    scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).expect(LINKED);
    assert_eq!(scene.creations, [("uid-fabrikam".to_owned(), 2)]);
    assert_eq!(scene.activities.len(), 2, "the first activity is unchanged (R12)");
}

#[test]
fn changed_connection_unlinks_even_if_unusable() {
    let mut scene = linked();
    scene.edit(DesiredLink::ByHand(request_to("nowhere"))).settle();
    assert_eq!(scene.row(), "False/ConnectionNotFound | - | Unlinked | False+Reconciling");
    // Back to the first connection: the old link is not restored, a new one is created.
    scene.edit(DesiredLink::ByHand(request_to("contoso"))).expect(LINKED);
    assert_eq!(scene.creations, [("uid-contoso".to_owned(), 2)]);
}

#[test]
fn changed_record_unlinks_then_links_again() {
    let mut scene = linked();
    let id = uuid::Uuid::from_u128(0xbeef);
    let desired = LinkSpec { record_id: Some(id), hash: "h2".into(), ..request_to("contoso") };
    scene.edit(DesiredLink::ByHand(desired)).expect(LINKED);
    assert_eq!(scene.attempts(), [2]);
    assert_eq!(scene.post.status.link.unwrap().record.unwrap().id, id);
}

#[test]
fn naming_the_current_record_and_connection_changes_nothing() {
    let mut scene = linked().requests(request());
    scene.post.status.intent.as_mut().unwrap().hash = Some("h1".into());
    let desired = LinkSpec { record_id: Some(CASE), hash: "h2".into(), ..request_to("contoso") };
    scene.edit(DesiredLink::ByHand(desired)).expect(LINKED);
    assert!(scene.creations.is_empty());
}

#[test]
fn removing_link_from_spec_keeps_the_link() {
    let mut scene = linked();
    scene.edit(DesiredLink::ByRule).expect(LINKED);
    assert!(scene.creations.is_empty());
    // After the link broke, the user may ask again with the same spec.
    let mut scene = broken(scene);
    scene.edit(DesiredLink::ByHand(request_to("contoso"))).expect(LINKED);
    assert_eq!(scene.attempts(), [2]);
}

#[test]
fn r26_linking_again_after_unlink_makes_new_activity() {
    let mut scene = linked();
    scene.edit(DesiredLink::Unlink).expect("False/Unlinked | - | Unlinked | True");
    scene.edit(DesiredLink::ByRule).expect("False/Unlinked | - | Unlinked | True");
    scene.edit(DesiredLink::ByHand(request_to("contoso"))).expect(LINKED);
    assert_eq!(scene.attempts(), [2]);
}

#[test]
fn r26_unlink_after_connection_deletion_prevents_restore() {
    let mut scene = linked();
    scene.delete_connection("contoso").settle();
    scene.edit(DesiredLink::Unlink).expect("False/Unlinked | - | Unlinked | True");
    scene.edit(DesiredLink::ByRule);
    scene.connections.push(connection("contoso").uid("uid-again").created(scene.now));
    scene.expect("False/Unlinked | - | Unlinked | True");
}

#[test]
fn r26_rules_leave_an_unlinked_post_alone() {
    let mut scene = by_rule();
    scene.edit(DesiredLink::Unlink).settle();
    scene.edit(DesiredLink::ByRule).expect("False/Unlinked | - | Unlinked | True");
    assert!(scene.creations.is_empty());
}

#[test]
fn rules_skip_posts_that_ever_held_a_link() {
    for cause in [
        RemovalCause::ConnectionDeleted,
        RemovalCause::RecordDissociated,
        RemovalCause::RecordDeleted,
        RemovalCause::SocialActivityDeleted,
        RemovalCause::Unlinked,
    ] {
        let other = connection("fabrikam").org(OTHER_ORG);
        let another = rule("another").refers_to("fabrikam").since(at(-120));
        let mut scene = scene().link_removed(cause).with(other).active_rule(another);
        scene.expect(&format!("False/{cause:?} | - | {cause:?} | True"));
        assert!(scene.creations.is_empty());
    }
}

#[test]
fn rules_and_hand_links_leave_each_other_alone() {
    let mut scene = linked();
    scene.rules.push(rule("complaints").refers_to("fabrikam").since(at(-120)).active_on("fabrikam"));
    *scene.connection("fabrikam") = connection("fabrikam").org(OTHER_ORG).reserve("complaints", 1);
    scene.expect(LINKED);
    // The rule is deleted; its link stays.
    let mut scene = by_rule();
    scene.rules.clear();
    scene.expect("True/LinkedByRule | True/RecordAvailable | - | True");
}

/// §2: "`attempt` … rises on every deliberate re-link, stored before the call".
#[test]
fn attempt_is_stored_before_the_creation() {
    let mut moved = linked();
    moved.edit(DesiredLink::ByHand(request_to("fabrikam")));
    let mut replaced = linked().desired(DesiredLink::ByHand(request_to("fabrikam")));
    replaced.delete_connection("contoso");
    let mut again = broken(linked());
    again.post.relink_requested = Some("monday".into());
    for mut scene in [moved, replaced, again] {
        scene.now += SignedDuration::from_secs(10);
        for _ in 0..5 {
            let decision = scene.decide(None);
            match decision.step {
                Step::Create(create) => {
                    let stored = scene.post.status.intent.as_ref().map_or(1, |i| i.attempt);
                    assert_eq!((create.attempt, stored), (2, 2));
                    break;
                }
                Step::Write => scene.post.status = decision.status,
                other => panic!("{other:?}"),
            }
        }
        scene.expect(LINKED);
    }
}

#[test]
fn attempt_never_overflows() {
    let mut scene = linked();
    scene.post.status.intent.as_mut().unwrap().attempt = i32::MAX;
    scene.edit(DesiredLink::Unlink).settle();
    assert_eq!(scene.post.status.intent.unwrap().attempt, i32::MAX);
}

/// The created link is removed in the same decision, and the decision does not restore it.
#[test]
fn link_changed_while_being_created_is_decided_once() {
    let scene =
        scene().with(connection("contoso")).with(connection("fabrikam")).requests(request_to("fabrikam"));
    let created = CreationResult::Exists {
        link: link_through("contoso"),
        spec: Some(request_to("contoso")),
        attempt: 1,
    };
    let decision = scene.decide(Some(&created));
    assert_eq!((&decision.step, &decision.status.link), (&Step::Write, &None));
    let removed = decision.status.removed_link.expect("the link was removed");
    assert_eq!((removed.cause, removed.link.connection.name.as_str()), (RemovalCause::Unlinked, "contoso"));
}

/// An activity under the id of a creation is adopted, unless it regards another record than the requested one.
#[test]
fn activity_that_regards_another_record_is_not_adopted() {
    let creation = |record_id: Option<u128>| ActivityCreation {
        connection: "uid-contoso".into(),
        name: "contoso".into(),
        instance_url: "https://contoso.crm.dynamics.com".into(),
        organization: ORG,
        attempt: 1,
        record_type: "incident".into(),
        record_id: record_id.map(Uuid::from_u128),
        rule: None,
        spec: None,
    };
    let record = |id| Some(("incident".to_owned(), Uuid::from_u128(id)));
    let exists = |regarding| ActivityState::Exists { regarding, record_exists: None };
    assert_eq!(creation(None).found(&exists(record(1))), Found::Wanted(record(1)));
    assert_eq!(creation(Some(1)).found(&exists(record(1))), Found::Wanted(record(1)));
    assert_eq!(creation(Some(2)).found(&exists(record(1))), Found::Taken);
    assert_eq!(
        creation(Some(2)).found(&exists(None)),
        Found::Wanted(record(2)),
        "dissociated: the check says so"
    );
    let gone = ActivityState::Gone { record_exists: None };
    assert_eq!(creation(None).found(&gone), Found::Refused, "a plug-in said that it exists");
}
