//! §2 "`AutomationRule`" and §5: which rule links a post, which posts count, the default connection, links by hand
//! while a disable or deletion is held, and the delay of five seconds before anything irreversible.

use crate::{
    fixtures::{OTHER_ORG, Rule, at, connection, rule},
    scene::{Scene, link_through, request, request_to, scene},
};
use jiff::{SignedDuration, Timestamp};
use postlink::{
    api::{ConditionType, ConnectionState, Reason},
    domain::post_link::{DesiredLink, Step},
};
use rstest::rstest;

const BY_RULE: &str = "True/LinkedByRule | True/RecordAvailable | - | True";
const LINKED: &str = "True/LinkedByHand | True/RecordAvailable | - | True";
const NOT_REQUESTED: &str = "False/NotRequested | - | - | True";

/// A scene with `contoso` and rules that are active through it.
fn ruled(rules: impl IntoIterator<Item = Rule>) -> Scene {
    rules.into_iter().fold(scene().with(connection("contoso")), Scene::active_rule)
}

/// The rule that linked the post.
fn winner(scene: &mut Scene) -> String {
    scene.expect(BY_RULE);
    scene.post.status.link.clone().unwrap().rule.unwrap().name
}

/// When a link is created; `None` if not within a minute.
fn creates_at(scene: &Scene) -> Option<Timestamp> {
    let start = scene.post.created;
    let tenths = (0..600).map(|n| start + SignedDuration::from_millis(n * 100));
    tenths.into_iter().find(|now| matches!(scene.clone().now(*now).decide(None).step, Step::Create(_)))
}

/// The rule has no status yet. Its status will say what is wrong; the posts must not.
#[test]
fn post_waits_for_a_rule_whose_table_is_missing() {
    let late = rule("late").record_type("lead").since(at(-120));
    let scene = scene().with(connection("contoso").lacks("lead")).rule(late);
    assert_eq!(scene.decide(None).step, Step::Wait);
}

#[test]
fn most_recently_created_rule_gets_the_post() {
    let rules = ["a", "b", "c"].map(|n| rule(n).since(at(-120)));
    let [a, b, c] = rules;
    let mut scene = ruled([a.created(at(-300)), b.created(at(-100)), c.created(at(-200))]);
    assert_eq!(winner(&mut scene), "b");
    assert_eq!(scene.creations.len(), 1);
}

#[test]
fn same_second_rules_greater_name_gets_the_post() {
    let rules = ["a", "c", "b"].map(|n| rule(n).since(at(-120)).created(at(-100)));
    assert_eq!(winner(&mut ruled(rules)), "c");
}

#[rstest]
#[case::off(|r: Rule| r.deactivated())]
#[case::deleting(|r: Rule| r.deleting(at(10)))]
#[case::inactive(|r: Rule| r.inactive(Reason::ConnectionDisabled))]
#[case::not_found(|r: Rule| r.inactive(Reason::ConnectionNotFound).refers_to("nowhere"))]
#[case::full(|r: Rule| r.inactive(Reason::ConnectionFull))]
fn newer_ineffective_rule_does_not_compete(#[case] make_ineffective: fn(Rule) -> Rule) {
    let mut scene = ruled([rule("old").since(at(-120))]);
    scene.rules.push(make_ineffective(rule("new").since(at(-120)).created(at(-100)).active_on("contoso")));
    assert_eq!(winner(&mut scene), "old");
}

#[test]
fn rule_must_be_active_on_both_sides() {
    // Active on this connection, but without an entry in it.
    let mut scene = scene().with(connection("contoso"));
    scene.rules.push(rule("complaints").since(at(-120)).active_on("contoso"));
    scene.expect(NOT_REQUESTED);
    // An entry, but Active on an earlier connection of the same name.
    scene.connections = vec![connection("contoso").reserve("complaints", 1).uid("uid-later")];
    scene.expect(NOT_REQUESTED);
    // An entry, but its Active is False.
    scene.connections = vec![connection("contoso").reserve("complaints", 1)];
    scene.rules = vec![rule("complaints").since(at(-120)).inactive(Reason::Inactive)];
    scene.expect(NOT_REQUESTED);
    assert!(scene.creations.is_empty());
}

#[test]
fn newest_rule_keeps_the_post_during_downtime() {
    let down = connection("fabrikam").org(OTHER_ORG).state(ConnectionState::Downtime);
    let mut scene = ruled([rule("old").since(at(-120))]);
    scene = scene.with(down).active_rule(rule("new").refers_to("fabrikam").created(at(-100)).since(at(-120)));
    scene.expect("False/InstanceDowntime | - | - | False+Reconciling");
    assert!(scene.creations.is_empty());
    *scene.connection("fabrikam") = connection("fabrikam").org(OTHER_ORG).reserve("new", 1);
    assert_eq!(winner(&mut scene), "new");
}

#[test]
fn rule_being_registered_already_competes() {
    let mut scene = ruled([rule("old").since(at(-120))]);
    scene.rules.push(rule("new").since(at(-120)).created(at(-50)).inactive(Reason::ReservationPending));
    assert_eq!(scene.run().step, Step::Wait);
    scene.rules.pop();
    let mut scene = scene.active_rule(rule("new").since(at(-120)).created(at(-50)));
    assert_eq!(winner(&mut scene), "new");
}

#[test]
fn unreconciled_rule_already_competes() {
    for since in [Some(at(-120)), None] {
        let mut scene = ruled([rule("old").since(at(-120))]);
        let mut new = rule("new").created(at(3));
        new.0.spec.since = since.map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time);
        scene.rules.push(new.clone());
        assert_eq!(scene.run().step, Step::Wait, "since {since:?}: the order of reconciles must not decide");
        scene.rules.pop();
        assert_eq!(winner(&mut scene.active_rule(new)), "new");
    }
}

#[rstest]
#[case::before(-121, None)]
#[case::at_it(-120, Some("complaints"))]
#[case::after(500, Some("complaints"))]
fn since_counts_posts_published_at_or_after_it(#[case] published: i64, #[case] by: Option<&str>) {
    // Long before the rule was created and activated.
    let mut scene = ruled([rule("complaints").since(at(-120)).created(at(9000))]);
    scene.post.published_at = Some(at(published));
    match by {
        Some(name) => assert_eq!(winner(&mut scene), name),
        None => assert!(scene.expect(NOT_REQUESTED).creations.is_empty()),
    }
}

#[test]
fn since_skips_posts_without_a_time() {
    let mut scene = ruled([rule("complaints").since(at(-120))]);
    scene.post.published_at = None;
    scene.expect(NOT_REQUESTED);
}

#[rstest]
#[case::just_outside(601, false)]
#[case::just_inside(600, true)]
#[case::before_the_post(-600, true)]
fn without_since_posts_count_from_ten_minutes_before(#[case] from: i64, #[case] counts: bool) {
    let mut scene = ruled([rule("complaints").active_from(at(from))]);
    scene.post.published_at = None;
    if counts {
        assert_eq!(winner(&mut scene), "complaints");
    } else {
        scene.expect(NOT_REQUESTED);
    }
}

#[test]
fn post_too_old_for_a_rule_says_so() {
    let mut scene = ruled([rule("complaints").since(at(-120))]);
    let says = |scene: &Scene, expected: &str| {
        let message = scene.message(ConditionType::Linked);
        assert!(message.contains(expected), "{message}");
    };
    scene.post.published_at = Some(at(-121));
    scene.expect(NOT_REQUESTED);
    let (published, since) = (at(-121), at(-120));
    says(
        &scene,
        &format!(
            "rule complaints matches the post but does not apply, because the post was published at {published}, before spec.since of the rule, {since}."
        ),
    );
    scene.post.published_at = None;
    scene.expect(NOT_REQUESTED);
    says(&scene, "and the post has no publishedAt");

    let mut scene = ruled([rule("complaints").active_from(at(601))]);
    scene.expect(NOT_REQUESTED);
    says(&scene, &format!("more than ten minutes before the rule became active at {}", at(601)));
    let mut scene = ruled([]);
    scene.expect(NOT_REQUESTED);
    says(&scene, "no active rule matches the post");
}

#[test]
fn rule_uses_its_record_type_or_the_first() {
    for (rule, table) in
        [(rule("a").since(at(-120)).record_type("lead"), "lead"), (rule("a").since(at(-120)), "incident")]
    {
        let Step::Create(create) = ruled([rule]).decide(None).step else { panic!("it creates") };
        assert_eq!((create.record_type.as_str(), create.rule.unwrap().uid.as_str()), (table, "uid-a"));
    }
}

#[test]
fn rule_acts_five_seconds_after_both_creations() {
    assert_eq!(creates_at(&ruled([rule("complaints").since(at(-120))])), Some(at(5)));
    assert_eq!(creates_at(&ruled([rule("complaints").since(at(-120)).created(at(3))])), Some(at(8)));
}

#[test]
fn hand_link_is_made_after_five_seconds() {
    let scene = scene().with(connection("contoso")).requests(request_to("contoso"));
    assert_eq!(creates_at(&scene), Some(at(5)));
    let mut edited = scene.clone();
    edited.post.first_seen = at(20);
    assert_eq!(creates_at(&edited), Some(at(25)));
}

#[test]
fn default_is_used_after_five_seconds() {
    let scene = scene().with(connection("contoso").default_since(at(10))).requests(request());
    assert_eq!(creates_at(&scene), Some(at(15)));
}

#[test]
fn link_is_restored_after_five_seconds() {
    let mut scene = scene().link_removed(postlink::api::RemovalCause::ConnectionDeleted);
    scene.connections.push(connection("contoso").uid("uid-again").created(scene.now));
    assert_eq!(scene.decide(None).step, Step::Wait);
    let almost = scene.now + SignedDuration::from_millis(4999);
    assert_eq!(scene.clone().now(almost).decide(None).step, Step::Wait);
    let then = scene.now + SignedDuration::from_secs(5);
    assert!(matches!(scene.now(then).decide(None).step, Step::Check(_)));
}

/// §5: a commit that renames a connection (new name, same organization, links follow) ends the same whether the links
/// or the deletion arrive first. A user unlink cannot be undone, so it waits as well.
#[test]
fn connection_renamed_in_one_commit_in_any_order() {
    let before = || {
        scene().with(connection("contoso")).requests(request_to("contoso")).linked(link_through("contoso"))
    };
    // The new connection is created first and reaches its instance a few seconds later.
    let renamed = |scene: &Scene| connection("renamed").created(scene.now);
    let reached = |scene: &mut Scene| {
        let created = scene.connection("renamed").facts().created;
        scene.now += SignedDuration::from_secs(2);
        *scene.connection("renamed") = connection("renamed").created(created);
    };

    let mut link_first = before();
    link_first.connections.push(renamed(&link_first).never_reconciled());
    link_first.edit(DesiredLink::ByHand(request_to("renamed"))).run();
    link_first.now += SignedDuration::from_secs(2);
    link_first.delete_connection("contoso").run();
    reached(&mut link_first);
    link_first.settle();

    let mut deletion_first = before();
    deletion_first.connections.push(renamed(&deletion_first).never_reconciled());
    deletion_first.delete_connection("contoso").run();
    deletion_first.now += SignedDuration::from_secs(2);
    deletion_first.edit(DesiredLink::ByHand(request_to("renamed"))).run();
    reached(&mut deletion_first);
    deletion_first.settle();

    assert_eq!(deletion_first.row(), "True/Restored | True/RecordAvailable | - | True");
    assert_eq!(link_first.row(), deletion_first.row());
    assert_eq!((link_first.creations, deletion_first.creations), (vec![], vec![]));
}

#[test]
fn r03_link_keeps_the_default_it_was_given() {
    let mut scene = scene()
        .with(connection("contoso").default_since(at(0)))
        .with(connection("fabrikam").org(OTHER_ORG))
        .requests(request());
    scene.expect(LINKED);
    scene.connections =
        vec![connection("contoso"), connection("fabrikam").org(OTHER_ORG).default_since(scene.now)];
    scene.expect(LINKED);
    let DesiredLink::ByHand(mut request) = scene.post.desired.clone() else { panic!() };
    request.hash = "noted".into();
    scene.edit(DesiredLink::ByHand(request)).expect(LINKED);
    assert_eq!(scene.creations, [("uid-contoso".to_owned(), 1)], "the link does not move to the new default");
}

#[test]
fn r03_disabled_default_is_not_used_or_replaced() {
    for (state, row) in [
        (ConnectionState::Disabled, "False/ConnectionDisabled | - | - | False+Reconciling"),
        (ConnectionState::Downtime, "False/InstanceDowntime | - | - | False+Reconciling"),
        (ConnectionState::Expired, "False/InstanceExpired | - | - | False+Stalled"),
    ] {
        let mut scene = scene()
            .with(connection("contoso").state(state).default_since(at(0)))
            .with(connection("fabrikam").org(OTHER_ORG))
            .requests(request());
        scene.expect(row);
        assert!(scene.creations.is_empty());
    }
}

#[test]
fn r08_hand_links_continue_during_a_held_disable() {
    let scene = scene().with(connection("contoso").disable_refused(at(10))).requests(request_to("contoso"));
    assert_eq!(creates_at(&scene), Some(at(15)));
    scene.clone().expect(LINKED);
}

#[test]
fn r08_active_rule_keeps_linking_during_held_deletion() {
    let mut held = connection("contoso").disable_refused(at(-100)).deleting(at(-100));
    held.0.spec.enabled = true;
    let mut scene = scene().with(held).active_rule(rule("complaints").since(at(-120)));
    assert_eq!(winner(&mut scene), "complaints");
}

#[test]
fn r05_unheld_disable_blocks_links_immediately() {
    let mut contoso = connection("contoso");
    contoso.0.spec.enabled = false;
    let mut scene = scene().with(contoso).requests(request_to("contoso"));
    scene.expect("False/ConnectionDisabled | - | - | False+Reconciling");
    assert!(scene.creations.is_empty());
}

#[test]
fn link_without_record_type_uses_the_first() {
    let mut contoso = connection("contoso");
    contoso.0.spec.record_types = vec!["lead".into(), "incident".into()];
    let scene = scene().with(contoso).requests(request_to("contoso"));
    let Step::Create(create) = scene.decide(None).step else { panic!("it creates") };
    assert_eq!(create.record_type, "lead");
}
