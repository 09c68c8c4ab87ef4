//! The two documented tables, one test per cell: the status of the instance (R13–R22) and of the record (R23–R27), each
//! for a linked and an unlinked post.

use crate::{
    fixtures::{DAY, OTHER_ORG, UNAVAILABLE, at, connection, rule},
    scene::{CASE, Scene, activity, link_through, linked, request_to, scene},
};
use jiff::SignedDuration;
use postlink::{
    api::{ConnectionState, RemovalCause},
    domain::{post_link::DesiredLink, post_link::record::ActivityState, post_link::restore},
};

const LINKED: &str = "True/LinkedByHand | True/RecordAvailable | - | True";
const RESTORED: &str = "True/Restored | True/RecordAvailable | - | True";

/// [`linked`], after the deletion of `contoso`.
fn after_deletion() -> Scene {
    let mut scene = linked();
    scene.delete_connection("contoso").settle();
    scene
}

/// An hour later, the organization of `contoso` is connected again.
fn reassociate(scene: &mut Scene, name: &str) {
    scene.now += SignedDuration::from_hours(1);
    scene.connections.push(connection(name).uid("uid-again").created(scene.now));
}

#[test]
fn deleted_linked_can_be_linked_again() {
    let mut scene = after_deletion();
    assert_eq!(scene.row(), "False/ConnectionDeleted | - | ConnectionDeleted | False+Reconciling");
    scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).expect(LINKED);
}

#[test]
fn deleted_linked_relinked_elsewhere_keeps_the_new_link() {
    let mut scene = after_deletion();
    scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).settle();
    let established = scene.post.status.link.clone();
    reassociate(&mut scene, "contoso");
    scene.expect(LINKED);
    assert_eq!(scene.post.status.link, established, "the original link is not looked up");
}

#[test]
fn deleted_linked_not_relinked_is_restored() {
    for name in ["contoso", "service-desk"] {
        let mut scene = after_deletion();
        let original = scene.post.status.removed_link.clone().unwrap().link;
        reassociate(&mut scene, name);
        scene.expect(RESTORED);
        let link = scene.post.status.link.clone().unwrap();
        assert_eq!(link.social_activity_id, original.social_activity_id);
        assert_eq!(link.linked_at, original.linked_at, "it is the original link");
        assert_eq!((link.connection.name.as_str(), link.connection.uid.as_str()), (name, "uid-again"));
        assert!(scene.creations.is_empty());
    }
}

#[test]
fn deleted_linked_not_relinked_activity_gone() {
    let mut scene = after_deletion();
    scene.activities.clear();
    reassociate(&mut scene, "contoso");
    // As in R25, no new activity is created: the intent was acted on.
    scene.expect("False/SocialActivityDeleted | - | SocialActivityDeleted | True");
    assert!(scene.creations.is_empty());
    // The link is not restored if the activity exists again.
    scene.activities.insert(activity(crate::fixtures::ORG, 1), None);
    scene.expect("False/SocialActivityDeleted | - | SocialActivityDeleted | True");
}

#[test]
fn deleted_unlinked_offers_no_instance() {
    let mut scene = after_deletion().desired(DesiredLink::ByRule);
    scene.post.status = postlink::api::PostLinkStatus::default();
    scene.edit(DesiredLink::ByHand(request_to("contoso")));
    scene.expect("False/ConnectionNotFound | - | - | False+Reconciling");
    assert!(scene.creations.is_empty());
}

#[test]
fn deleted_unlinked_can_use_any_enabled_instance() {
    let mut scene = scene().with(connection("fabrikam").org(OTHER_ORG)).requests(request_to("fabrikam"));
    scene.expect(LINKED);
}

/// The states of a connection that exists and is not Enabled.
fn not_enabled() -> Vec<ConnectionState> {
    [ConnectionState::Disabled].into_iter().chain(UNAVAILABLE.map(|(state, _)| state)).collect()
}

#[test]
fn disabled_downtime_expired_linked_keeps_link_with_error() {
    for (state, error) in [
        (ConnectionState::Disabled, "True/LinkedByHand | False/ConnectionDisabled | - | True"),
        (ConnectionState::Downtime, "True/LinkedByHand | False/InstanceDowntime | - | False+Reconciling"),
        (ConnectionState::Expired, "True/LinkedByHand | False/InstanceExpired | - | False+Stalled"),
    ] {
        let mut scene = linked();
        let before = scene.post.status.link.clone();
        *scene.connection("contoso") = connection("contoso").state(state);
        // A change in the instance is not noticed meanwhile (R27).
        scene.activities.clear();
        scene.expect(error);
        assert_eq!(scene.post.status.link, before);
        // R19: once enabled, the details are read again, and the change is noticed.
        *scene.connection("contoso") = connection("contoso");
        scene.expect("False/SocialActivityDeleted | - | SocialActivityDeleted | True");
    }
}

#[test]
fn disabled_downtime_expired_linked_details_return_automatically() {
    for state in not_enabled() {
        let mut scene = linked();
        *scene.connection("contoso") = connection("contoso").state(state);
        scene.settle();
        *scene.connection("contoso") = connection("contoso");
        scene.expect(LINKED);
    }
}

#[test]
fn disabled_downtime_expired_linked_can_move_elsewhere() {
    for state in not_enabled() {
        let mut scene = linked();
        *scene.connection("contoso") = connection("contoso").state(state);
        scene.edit(DesiredLink::Unlink).expect("False/Unlinked | - | Unlinked | True");
        scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).expect(LINKED);
    }
}

#[test]
fn disabled_downtime_expired_unlinked_offers_no_instance() {
    for (state, row) in [
        (ConnectionState::Disabled, "False/ConnectionDisabled | - | - | False+Reconciling"),
        (ConnectionState::Downtime, "False/InstanceDowntime | - | - | False+Reconciling"),
        (ConnectionState::Expired, "False/InstanceExpired | - | - | False+Stalled"),
    ] {
        let mut scene = scene().with(connection("contoso").state(state)).requests(request_to("contoso"));
        scene.expect(row);
        assert!(scene.creations.is_empty());
        // R22: the user can choose any Enabled connection.
        scene.connections.push(connection("fabrikam").org(OTHER_ORG));
        scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).expect(LINKED);
    }
}

#[test]
fn disabled_downtime_expired_unlinked_without_intent_is_ready() {
    for state in not_enabled() {
        scene().with(connection("contoso").state(state)).expect("False/NotRequested | - | - | True");
    }
}

/// R23–R26 for a linked post, with every result of a check in an Enabled instance.
#[test]
fn record_status_linked_breaks_and_frees_the_post() {
    let other = Some(("lead".to_owned(), CASE));
    let another = Some(("incident".to_owned(), uuid::Uuid::from_u128(7)));
    let same = Some(("incident".to_owned(), CASE));
    let activity = |regarding, record_exists| ActivityState::Exists { regarding, record_exists };
    let dissociated = "False/RecordDissociated | - | RecordDissociated | True";
    let deleted = "False/RecordDeleted | - | RecordDeleted | True";
    let activity_deleted = "False/SocialActivityDeleted | - | SocialActivityDeleted | True";
    for (activity_state, row) in [
        (activity(same.clone(), None), LINKED),
        (activity(same.clone(), Some(true)), LINKED),
        (activity(None, Some(true)), dissociated),
        (activity(None, None), dissociated),
        (activity(another.clone(), Some(true)), dissociated),
        (activity(None, Some(false)), deleted),
        (activity(same, Some(false)), deleted),
        (activity(another, Some(false)), deleted),
        (ActivityState::Gone { record_exists: Some(true) }, activity_deleted),
        (ActivityState::Gone { record_exists: None }, activity_deleted),
        // The activity is deleted along with its record; the message names the record.
        (ActivityState::Gone { record_exists: Some(false) }, deleted),
    ] {
        let mut scene = linked().activity_state(activity_state.clone());
        scene.expect(row);
        assert!(scene.creations.is_empty(), "{activity_state:?}");
    }
    // The same id in another table: ids are unique, so it counts as the same record.
    linked().activity_state(activity(other, None)).expect(LINKED);
}

#[test]
fn record_status_linked_without_a_record_yet() {
    let mut link = link_through("contoso");
    link.record = None;
    let scene = || scene().with(connection("contoso")).requests(request_to("contoso")).linked(link.clone());
    let none = ActivityState::Exists { regarding: None, record_exists: None };
    scene().activity_state(none).expect("True/LinkedByHand | False/RecordPending | - | True");
    let deleted = ActivityState::Gone { record_exists: None };
    scene().activity_state(deleted).expect("False/SocialActivityDeleted | - | SocialActivityDeleted | True");
}

/// R27: an answer counts only from an Enabled instance whose organization id is the link's.
#[test]
fn r27_unreachable_never_means_record_gone() {
    let results = [
        ActivityState::Gone { record_exists: Some(false) },
        ActivityState::Exists { regarding: None, record_exists: Some(false) },
    ];
    let mut unreachable =
        not_enabled().into_iter().map(|s| connection("contoso").state(s)).collect::<Vec<_>>();
    unreachable.push(connection("contoso").org(OTHER_ORG));
    for reason in ["SecretNotFound", "SecretInvalid", "CredentialsRejected", "AccessDenied", "HostNotAllowed"]
    {
        unreachable.push(connection("contoso").unusable(postlink::api::Reason::parse(reason).unwrap()));
    }
    unreachable.push(connection("contoso").unusable(postlink::api::Reason::OrganizationChanged));
    unreachable.push(connection("contoso").never_reconciled());
    for contoso in unreachable {
        for activity_state in results.clone() {
            let mut scene = linked().activity_state(activity_state);
            *scene.connection("contoso") = contoso.clone();
            scene.settle();
            assert!(scene.post.status.link.is_some(), "{:?}", contoso.facts());
        }
    }
}

#[test]
fn r14_restores_through_oldest_connection_created_after_removal() {
    let scene = scene().link_removed(RemovalCause::ConnectionDeleted);
    let removed = scene.post.status.removed_link.unwrap();
    let removed_at = removed.removed_at.0;
    let after = |seconds| removed_at + SignedDuration::from_secs(seconds);
    let pick = |list: &[crate::fixtures::Connection]| {
        let facts: Vec<_> = list.iter().map(|connection| std::sync::Arc::new(connection.facts())).collect();
        restore::candidate(&removed, &facts).map(|c| c.name.clone())
    };
    let old = connection("second").created(at(-DAY));
    let young = connection("young").created(after(60));
    let younger = connection("younger").created(after(120));
    assert_eq!(
        pick(std::slice::from_ref(&old)),
        None,
        "it existed before the removal, so it is no reassociation"
    );
    assert_eq!(pick(&[younger.clone(), young.clone(), old]), Some("young".into()), "the oldest of several");
    let same_age = [connection("b").created(after(60)), connection("a").created(after(60))];
    assert_eq!(pick(&same_age), Some("a".into()), "then by name");
    let mut leaving = young.clone();
    leaving.0.spec.enabled = false; // Requested, and not yet Disabled.
    for not_now in [
        leaving,
        young.clone().org(OTHER_ORG),
        young.clone().state(ConnectionState::Disabled),
        young.clone().state(ConnectionState::Downtime),
        young.clone().state(ConnectionState::Expired),
        young.clone().unusable(postlink::api::Reason::OrganizationChanged),
        young.clone().unusable(postlink::api::Reason::SecretNotFound),
        young.clone().deleting(after(70)),
        young.clone().never_reconciled(),
    ] {
        assert_eq!(pick(std::slice::from_ref(&not_now)), None, "{:?}", not_now.facts());
    }
}

#[test]
fn r14_held_deletion_counts_from_its_request() {
    let mut scene = linked();
    let requested = scene.now - SignedDuration::from_hours(48);
    scene.delete_connection("contoso").deleted_connections.insert("uid-contoso".into(), Some(requested));
    // Created while the deletion was held: after the request, before the connection was removed.
    scene.connections.push(connection("service-desk").created(requested + SignedDuration::from_hours(24)));
    scene.expect(RESTORED);
}

#[test]
fn r14_restores_only_links_removed_with_their_connection() {
    for cause in [
        RemovalCause::Unlinked,
        RemovalCause::RecordDissociated,
        RemovalCause::RecordDeleted,
        RemovalCause::SocialActivityDeleted,
    ] {
        let mut scene = scene().link_removed(cause);
        reassociate(&mut scene, "contoso");
        scene.expect(&format!("False/{cause:?} | - | {cause:?} | True"));
    }
}

#[test]
fn r14_restore_precedes_intent_and_rules() {
    let mut scene = after_deletion();
    reassociate(&mut scene, "contoso");
    scene.expect(RESTORED);
    let mut scene = scene_of_rules();
    scene.expect(RESTORED);
    assert!(scene.creations.is_empty());
}

fn scene_of_rules() -> Scene {
    let mut scene = scene().link_removed(RemovalCause::ConnectionDeleted);
    reassociate(&mut scene, "contoso");
    let scene = scene.active_rule(rule("complaints").since(at(-DAY)));
    scene
        .with(connection("fabrikam").org(OTHER_ORG))
        .active_rule(rule("more").refers_to("fabrikam").since(at(-DAY)))
}

#[test]
fn r12_removing_a_link_sends_nothing() {
    use postlink::domain::post_link::Step;
    // By unlinking, by deleting the connection, and by deleting the PostLink.
    assert_eq!(linked().desired(DesiredLink::Unlink).decide(None).step, Step::Write);
    let mut scene = linked();
    scene.delete_connection("contoso");
    assert_eq!(scene.decide(None).step, Step::Write);
    let mut scene = linked();
    scene.post.deleting = true;
    assert_eq!(scene.decide(None).step, Step::Wait);
}
