//! Which changes of conditions are published as Events. An Event is for a person; a state is for the status.

use postlink::{
    api::{Condition, ConditionStatus, ConditionType, Reason},
    domain::conditions::{Conditions, transitions},
};

fn list(conditions: &[(ConditionType, bool, Reason)]) -> Vec<Condition> {
    let mut list = Conditions::new(crate::fixtures::at(0), 1, &[]);
    for (type_, status, reason) in conditions {
        list.set(*type_, ConditionStatus::from(*status), *reason, reason.as_str());
    }
    list.finish()
}

fn events(old: &[Condition], new: &[Condition]) -> Vec<String> {
    let shown = |warning| if warning { "Warning" } else { "Normal" };
    transitions(old, new).iter().map(|t| format!("{} {}", shown(t.warning), t.reason.as_str())).collect()
}

#[test]
fn outage_of_a_connection_is_no_event_of_its_links() {
    use ConditionType::{Linked, Ready, RecordAvailable};
    let up = list(&[
        (Linked, true, Reason::LinkedByRule),
        (RecordAvailable, true, Reason::RecordAvailable),
        (Ready, true, Reason::LinkedByRule),
    ]);
    for reason in [Reason::InstanceDowntime, Reason::InstanceExpired, Reason::ConnectionDisabled] {
        let down = list(&[
            (Linked, true, Reason::LinkedByRule),
            (RecordAvailable, false, reason),
            (Ready, false, reason),
        ]);
        assert_eq!(events(&up, &down), [""; 0]);
        assert_eq!(events(&down, &up), [""; 0], "no link was made");
        let waiting = list(&[(Linked, false, reason), (Ready, false, reason)]);
        assert_eq!(events(&[], &waiting), [""; 0]);
        assert_eq!(events(&waiting, &up), ["Normal LinkedByRule"]);
    }
}

/// Ten thousand posts with a mistyped record type are not ten thousand Events per outage.
#[test]
fn outage_of_a_connection_is_no_event_of_links_that_wait() {
    use ConditionType::{Linked, Ready};
    let waiting = |reason| list(&[(Linked, false, reason), (Ready, false, reason)]);
    // After its connection was deleted, a link keeps saying so (§3).
    let left = |reason| list(&[(Linked, false, Reason::ConnectionDeleted), (Ready, false, reason)]);
    let own = [Reason::RecordTypeNotOffered, Reason::PostRefused, Reason::RecordNotFound];
    let outages = [
        Reason::ConnectionDisabled,
        Reason::ConnectionNotReady,
        Reason::InstanceDowntime,
        Reason::InstanceExpired,
        Reason::OrganizationChanged,
        Reason::SocialDataRefused,
        Reason::Throttled,
    ];
    for outage in outages {
        for reason in own {
            for state in [waiting, left] {
                assert_eq!(events(&state(reason), &state(outage)), [""; 0], "{outage:?}");
                assert_eq!(events(&state(outage), &state(reason)), [""; 0], "{outage:?}, then {reason:?}");
            }
        }
        for other in outages {
            assert_eq!(events(&waiting(outage), &waiting(other)), [""; 0], "{outage:?}, then {other:?}");
        }
    }
    for reason in own {
        let event = format!("Warning {}", reason.as_str());
        assert_eq!(events(&[], &waiting(reason)), [event], "a person has to know it once");
    }
}

#[test]
fn link_that_breaks_after_an_outage_is_an_event() {
    use ConditionType::{Linked, Ready};
    let down = list(&[(Linked, true, Reason::LinkedByRule), (Ready, false, Reason::InstanceDowntime)]);
    let gone = list(&[(Linked, false, Reason::RecordDeleted), (Ready, true, Reason::RecordDeleted)]);
    assert_eq!(events(&down, &gone), ["Normal RecordDeleted"]);
}

#[test]
fn r23_broken_link_is_an_event() {
    use ConditionType::{Linked, Ready};
    let up = list(&[(Linked, true, Reason::LinkedByRule), (Ready, true, Reason::LinkedByRule)]);
    let gone = list(&[(Linked, false, Reason::RecordDissociated), (Ready, false, Reason::RecordDissociated)]);
    assert_eq!(events(&up, &gone), ["Warning RecordDissociated"]);
}

#[test]
fn r03_default_conflict_is_a_warning() {
    use ConditionType::{Default, Ready};
    let new = list(&[(Default, false, Reason::DefaultConflict), (Ready, true, Reason::Connected)]);
    assert!(events(&[], &new).contains(&"Warning DefaultConflict".to_owned()));
}

#[test]
fn r04_another_missing_table_is_another_event() {
    let missing = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let message = postlink::domain::messages::record_types_not_offered(&names, &[], &[]);
        let mut list = Conditions::new(crate::fixtures::at(0), 1, &[]);
        list.set(ConditionType::RecordTypeNotOffered, true, Reason::TableNotFound, message);
        list.finish()
    };
    assert_eq!(events(&missing(&["incidnet"]), &missing(&["incidnet"])), [""; 0]);
    let both = missing(&["incidnet", "laed"]);
    assert_eq!(events(&missing(&["incidnet"]), &both), ["Warning TableNotFound"]);
}

#[test]
fn one_message_is_one_event() {
    use ConditionType::{Linked, Ready};
    let new = |reason| {
        let mut list = Conditions::new(crate::fixtures::at(0), 1, &[]);
        list.set(Linked, false, Reason::ConnectionDeleted, "the same");
        list.set(Ready, false, reason, "the same");
        list.finish()
    };
    assert_eq!(events(&[], &new(Reason::ConnectionNotFound)), ["Warning ConnectionDeleted"]);
    let unlinked = list(&[(Linked, false, Reason::Unlinked), (Ready, true, Reason::Unlinked)]);
    assert_eq!(events(&[], &unlinked), [""; 0], "nothing was unlinked");
}
