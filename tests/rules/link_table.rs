//! §3, "Post link": one test per row of its table. Columns: Linked | `RecordAvailable` | `removedLink` | Ready.

use crate::{
    fixtures::{OTHER_ORG, UNAVAILABLE, at, connection, rule},
    scene::{CASE, Scene, link_through, request, request_to, scene},
};
use postlink::{
    api::{ConnectionState, Reason, RemovalCause},
    domain::post_link::{DesiredLink, LinkSpec, PostClaim, Step, record::ActivityState},
};
use rstest::rstest;

const LINKED: &str = "True/LinkedByHand | True/RecordAvailable | - | True";

/// A post linked by hand through `contoso`, which is Enabled and settled.
fn linked() -> Scene {
    scene().with(connection("contoso")).requests(request_to("contoso")).linked(link_through("contoso"))
}

/// A post that requests a link through `contoso` and never had one.
fn wanted() -> Scene {
    scene().requests(request_to("contoso"))
}

#[test]
fn linked_by_hand_and_readable() {
    wanted().with(connection("contoso")).expect(LINKED);
}

#[test]
fn linked_by_rule_and_readable() {
    let mut scene = scene().with(connection("contoso")).active_rule(rule("complaints").since(at(-120)));
    scene.expect("True/LinkedByRule | True/RecordAvailable | - | True");
    let link = scene.post.status.link.clone().unwrap();
    assert_eq!(link.rule.map(|r| (r.name, r.uid)), Some(("complaints".into(), "uid-complaints".into())));
}

#[test]
fn the_instance_has_made_no_record() {
    let mut scene = wanted().with(connection("contoso"));
    scene.new_record_type = None;
    scene.expect("True/LinkedByHand | False/RecordPending | - | True");
    // Later it has.
    let activity = scene.post.status.link.as_ref().unwrap().social_activity_id;
    scene.activities.insert(activity, Some(("lead".into(), CASE)));
    scene.now += jiff::SignedDuration::from_mins(1);
    scene.expect(LINKED);
    let record = scene.post.status.link.as_ref().unwrap().record.clone().unwrap();
    assert_eq!(
        (record.type_.as_str(), record.id),
        ("lead", CASE),
        "the record that the instance created, whatever was requested"
    );
}

#[test]
fn r16_disabled_connection_keeps_the_link() {
    let mut scene = linked();
    scene.connections = vec![connection("contoso").state(ConnectionState::Disabled)];
    scene.expect("True/LinkedByHand | False/ConnectionDisabled | - | True");
    assert!(scene.message(postlink::api::ConditionType::RecordAvailable).contains("disabled"));
}

#[rstest]
#[case(ConnectionState::Downtime, "True/LinkedByHand | False/InstanceDowntime | - | False+Reconciling")]
#[case(ConnectionState::Expired, "True/LinkedByHand | False/InstanceExpired | - | False+Stalled")]
fn r17_r18_link_is_kept_while_unavailable(#[case] state: ConnectionState, #[case] row: &str) {
    let mut scene = linked();
    scene.connections = vec![connection("contoso").state(state)];
    scene.expect(row);
}

#[rstest]
#[case::secret(Reason::SecretNotFound)]
#[case::secret_content(Reason::SecretInvalid)]
#[case::credentials(Reason::CredentialsRejected)]
#[case::membership(Reason::AccessDenied)]
#[case::host(Reason::HostNotAllowed)]
#[case::address(Reason::AddressNotAllowed)]
fn an_unusable_connection_keeps_its_links(#[case] reason: Reason) {
    let mut scene = linked();
    scene.connections = vec![connection("contoso").unusable(reason)];
    scene.expect("True/LinkedByHand | False/ConnectionNotReady | - | False+Reconciling");
}

#[test]
fn another_organization_at_the_url_keeps_the_link() {
    let mut scene = linked();
    scene.connections = vec![connection("contoso").unusable(Reason::OrganizationChanged)];
    scene.expect("True/LinkedByHand | False/OrganizationChanged | - | False+Stalled");
}

#[test]
fn another_organization_is_never_asked_about_a_link() {
    let mut scene = linked();
    scene.connections = vec![connection("contoso").org(OTHER_ORG)];
    scene.activities.clear();
    scene.expect("True/LinkedByHand | False/OrganizationChanged | - | False+Stalled");
}

/// "linkable again: after `unlink`", for every row that keeps the link although its details are unavailable.
#[test]
fn r16_r17_r18_kept_link_can_move_elsewhere() {
    let away = [ConnectionState::Disabled, ConnectionState::Downtime, ConnectionState::Expired]
        .map(|state| connection("contoso").state(state));
    let unusable = [Reason::SecretNotFound, Reason::OrganizationChanged]
        .map(|reason| connection("contoso").unusable(reason));
    for contoso in away.into_iter().chain(unusable) {
        let mut scene = linked();
        scene.connections = vec![contoso, connection("fabrikam").org(OTHER_ORG)];
        scene.edit(DesiredLink::Unlink).expect("False/Unlinked | - | Unlinked | True");
        scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).expect(LINKED);
        assert_eq!(scene.creations, [("uid-fabrikam".to_owned(), 2)]);
    }
}

#[test]
fn r13_connection_deleted_with_standing_intent() {
    let mut scene = linked();
    scene.delete_connection("contoso");
    scene.expect("False/ConnectionDeleted | - | ConnectionDeleted | False+Reconciling");
}

#[test]
fn r13_connection_deleted_without_intent() {
    let mut scene = scene().with(connection("contoso")).linked(link_through("contoso"));
    scene.delete_connection("contoso");
    scene.expect("False/ConnectionDeleted | - | ConnectionDeleted | True");
}

#[test]
fn r13_post_can_be_linked_through_another_connection() {
    let mut scene = linked().with(connection("fabrikam").org(OTHER_ORG));
    scene.delete_connection("contoso").settle();
    scene.edit(DesiredLink::ByHand(request_to("fabrikam"))).expect(LINKED);
    assert_eq!(scene.creations, [("uid-fabrikam".to_owned(), 2)]);
}

#[test]
fn r14_reassociated_and_not_relinked() {
    let mut scene = linked();
    scene.delete_connection("contoso").settle();
    scene.connections.push(connection("contoso").uid("uid-new").created(scene.now));
    scene.expect("True/Restored | True/RecordAvailable | - | True");
    assert!(scene.creations.is_empty(), "the original link is restored, none is created");
}

#[rstest]
#[case::r23(RemovalCause::RecordDissociated, ActivityState::Exists { regarding: None, record_exists: Some(true) },
    "False/RecordDissociated | - | RecordDissociated | True")]
#[case::r24(RemovalCause::RecordDeleted, ActivityState::Exists { regarding: None, record_exists: Some(false) },
    "False/RecordDeleted | - | RecordDeleted | True")]
#[case::r25(RemovalCause::SocialActivityDeleted, ActivityState::Gone { record_exists: Some(true) },
    "False/SocialActivityDeleted | - | SocialActivityDeleted | True")]
fn r23_r24_r25_broken_in_the_instance(
    #[case] cause: RemovalCause,
    #[case] activity_state: ActivityState,
    #[case] row: &str,
) {
    for desired in [DesiredLink::ByRule, DesiredLink::ByHand(request_to("contoso"))] {
        let scene = scene().with(connection("contoso")).desired(desired).linked(link_through("contoso"));
        let mut scene = scene.activity_state(activity_state.clone());
        scene.expect(row);
        assert_eq!(scene.post.status.removed_link.as_ref().unwrap().cause, cause);
        assert!(scene.creations.is_empty(), "not created again without a request");
        // "linkable again: yes": a changed spec.link creates a new activity.
        scene.edit(DesiredLink::ByHand(request())).connections =
            vec![connection("contoso").default_since(at(0))];
        scene.expect(LINKED);
        assert_eq!(scene.attempts(), [2]);
    }
}

#[test]
fn r26_unlinked_by_the_user() {
    linked().desired(DesiredLink::Unlink).expect("False/Unlinked | - | Unlinked | True");
}

#[test]
fn r26_unlinked_from_the_start() {
    scene().desired(DesiredLink::Unlink).expect("False/Unlinked | - | - | True");
}

#[test]
fn nothing_asked_and_nothing_matched() {
    scene().with(connection("contoso")).expect("False/NotRequested | - | - | True");
}

#[test]
fn r21_wanted_and_the_connection_is_disabled() {
    let mut scene = wanted().with(connection("contoso").state(ConnectionState::Disabled));
    scene.expect("False/ConnectionDisabled | - | - | False+Reconciling");
}

#[test]
fn r21_wanted_and_the_instance_is_away() {
    for (state, reason) in UNAVAILABLE {
        let mut scene = wanted().with(connection("contoso").state(state));
        let ready = if state == ConnectionState::Expired { "False+Stalled" } else { "False+Reconciling" };
        scene.expect(&format!("False/{reason} | - | - | {ready}"));
        assert!(scene.creations.is_empty());
        // Retried automatically.
        scene.connections = vec![connection("contoso")];
        scene.expect(LINKED);
    }
}

#[rstest]
#[case::credentials(connection("contoso").unusable(Reason::CredentialsRejected))]
#[case::never_reached(connection("contoso").never_reconciled())]
fn r21_wanted_and_the_connection_is_not_ready(#[case] contoso: crate::fixtures::Connection) {
    wanted().with(contoso).expect("False/ConnectionNotReady | - | - | False+Reconciling");
}

#[test]
fn r21_wanted_and_there_is_no_such_connection() {
    let mut scene = wanted().with(connection("fabrikam").default_since(at(0)));
    scene.expect("False/ConnectionNotFound | - | - | False+Reconciling");
    scene.connections.push(connection("contoso"));
    scene.expect(LINKED);
}

#[test]
fn r21_wanted_and_there_is_no_default() {
    scene()
        .requests(request())
        .with(connection("contoso"))
        .expect("False/NoDefaultConnection | - | - | False+Reconciling");
}

#[test]
fn r21_wanted_record_type_not_offered() {
    let mut desired = request_to("contoso");
    desired.record_type = Some("opportunity".into());
    let mut scene = scene().requests(desired).with(connection("contoso"));
    scene.expect("False/RecordTypeNotOffered | - | - | False+Stalled");
    assert!(scene.message(postlink::api::ConditionType::Linked).contains("opportunity"));
}

#[test]
fn older_one_of_two_with_the_same_post_counts() {
    let other = |seconds, name: &str| PostClaim { unlinked: true, created: at(seconds), name: name.into() };
    let with = |mut scene: Scene, other: PostClaim| {
        scene.same_post = Some(other);
        scene
    };
    let row = "False/DuplicatePost | - | - | False+Stalled";
    let requested = || wanted().with(connection("contoso"));
    with(requested(), other(0, "z")).expect(LINKED);
    let mut younger = with(requested(), other(0, "a"));
    younger.expect(row);
    let said = younger.message(postlink::api::ConditionType::Linked);
    assert!(
        said.starts_with("PostLink a is about the same post") && said.contains("was created first"),
        "{said}"
    );
    younger.same_post = None;
    younger.expect(LINKED);
    with(scene(), other(-1, "a")).expect(row);
    // It restores no link.
    let removed = requested().link_removed(RemovalCause::ConnectionDeleted);
    with(removed, other(-1, "a")).expect("False/DuplicatePost | - | ConnectionDeleted | False+Stalled");
    let unlinked = scene().desired(DesiredLink::Unlink);
    with(unlinked, other(-1, "a")).expect("False/Unlinked | - | - | True");
}

/// Otherwise a post could get a second activity: the attempt of the older one may be another.
#[test]
fn linked_one_of_two_with_the_same_post_counts() {
    let claim = |unlinked, seconds| PostClaim { unlinked, created: at(seconds), name: "other".into() };
    let requested = || wanted().with(connection("contoso"));
    let mut older = requested();
    older.same_post = Some(claim(false, 999));
    older.expect("False/DuplicatePost | - | - | False+Stalled");
    assert!(older.message(postlink::api::ConditionType::Linked).contains("has a link"));
    assert!(older.creations.is_empty());
    // A link that it has stays; that of the older one counts.
    let mut linked_younger = linked();
    linked_younger.same_post = Some(claim(true, -1));
    linked_younger.expect(LINKED);
    linked_younger.same_post = Some(claim(false, -1));
    linked_younger.expect("True/LinkedByHand | True/RecordAvailable | - | False+Stalled");
}

#[test]
fn changed_post_keeps_its_link() {
    let mut changed = linked();
    changed.post.post_changed = true;
    changed.expect("True/LinkedByHand | True/RecordAvailable | - | False+Stalled");
    let said = changed.message(postlink::api::ConditionType::Ready);
    assert!(said.contains("about the former post"), "{said}");
    changed.desired(DesiredLink::Unlink).expect("False/Unlinked | - | Unlinked | True");
}

/// What became of the link of another post says nothing about this one.
#[test]
fn changed_post_has_no_history() {
    for cause in [
        RemovalCause::ConnectionDeleted,
        RemovalCause::RecordDeleted,
        RemovalCause::SocialActivityDeleted,
        RemovalCause::Unlinked,
    ] {
        let mut removed = wanted().with(connection("contoso")).link_removed(cause);
        removed.post.post_changed = true;
        let decision = removed.decide(None);
        let Step::Create(create) = decision.step else { panic!("{cause:?}: {:?}", decision.step) };
        assert_eq!(create.attempt, 1, "as for a new PostLink");
    }
    let mut removed = scene().link_removed(RemovalCause::RecordDeleted);
    removed.post.post_changed = true;
    removed.expect("False/NotRequested | - | - | True");
}

#[test]
fn r26_unlink_without_a_link_claims_nothing() {
    let mut never = scene().desired(DesiredLink::Unlink);
    never.expect("False/Unlinked | - | - | True");
    let text = never.message(postlink::api::ConditionType::Linked);
    assert!(text.starts_with("spec.unlink is true, so the post is not linked."), "{text}");
}

#[test]
fn r04_no_link_for_a_table_that_was_not_read() {
    let to_lead = || LinkSpec { record_type: Some("lead".into()), ..request_to("contoso") };
    let mut unread = scene().requests(to_lead()).with(connection("contoso").offers(&["incident"]));
    unread.expect("False/ConnectionNotReady | - | - | False+Reconciling");
    let text = unread.message(postlink::api::ConditionType::Linked);
    assert!(text.contains("has a table lead has not been read yet"), "{text}");
    let mut missing = scene().requests(to_lead()).with(connection("contoso").lacks("lead"));
    missing.expect("False/RecordTypeNotOffered | - | - | False+Stalled");
    let text = missing.message(postlink::api::ConditionType::Linked);
    assert!(text.contains("its instance has no table of this name"), "{text}");
    // The default is the first record type. With another one, a typo would link posts to a table that nobody asked for.
    let unread = scene().requests(request_to("contoso")).with(connection("contoso").offers(&["lead"]));
    assert!(!matches!(unread.decide(None).step, Step::Create(_)));
    let mut missing = scene().requests(request_to("contoso")).with(connection("contoso").lacks("incident"));
    missing.expect("False/RecordTypeNotOffered | - | - | False+Stalled");
    let text = missing.message(postlink::api::ConditionType::Linked);
    assert!(text.contains("does not offer record type incident"), "{text}");
}

#[test]
fn r21_wanted_and_another_organization_answers() {
    wanted()
        .with(connection("contoso").unusable(Reason::OrganizationChanged))
        .expect("False/OrganizationChanged | - | - | False+Stalled");
}

#[rstest]
#[case(Reason::RecordNotFound, "False+Stalled")]
#[case(Reason::SocialDataRefused, "False+Reconciling")]
#[case(Reason::Throttled, "False+Reconciling")]
#[case(Reason::InstanceDowntime, "False+Reconciling")]
#[case(Reason::InstanceExpired, "False+Stalled")]
#[case(Reason::OrganizationChanged, "False+Stalled")]
#[case(Reason::ConnectionNotReady, "False+Reconciling")]
#[case(Reason::RecordTypeNotOffered, "False+Stalled")]
fn r21_failed_creation_keeps_its_reason_until_retried(#[case] why: Reason, #[case] ready: &str) {
    let mut scene = wanted().with(connection("contoso"));
    scene.creation_failure = Some(why);
    scene.expect(&format!("False/{why} | - | - | {ready}"));
    assert_eq!(scene.attempts(), [1]);
    // A reconcile in between reports the same and sends nothing to the instance.
    scene.now += jiff::SignedDuration::from_secs(30);
    let before = scene.post.status.clone();
    scene.settle();
    assert_eq!((scene.attempts(), &scene.post.status), (vec![1], &before));
    // Every retry uses the same activity id.
    scene.creation_failure = None;
    scene.now += jiff::SignedDuration::from_mins(1);
    scene.expect(LINKED);
    assert_eq!(scene.attempts(), [1, 1]);
}

#[test]
fn r13_r21_failed_creation_keeps_reason_after_deletion() {
    let mut scene = linked().with(connection("fabrikam").org(OTHER_ORG));
    scene.delete_connection("contoso").edit(DesiredLink::ByHand(request_to("fabrikam")));
    scene.creation_failure = Some(Reason::RecordNotFound);
    scene.expect("False/ConnectionDeleted | - | ConnectionDeleted | False+Stalled");
    let message = scene.message(postlink::api::ConditionType::Linked);
    assert!(
        message.contains("contoso was deleted") && message.contains("recordId"),
        "the message has both: {message}"
    );
    scene.now += jiff::SignedDuration::from_secs(30);
    scene.settle();
    assert_eq!(
        scene.message(postlink::api::ConditionType::Linked),
        message,
        "the message stays until the next attempt"
    );
}
