//! A leader's write that the network delays until another leader is elected and the object has changed.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::availability::{Pair, deactivate_the_rule, disable_the_connection};
use crate::cluster::{NAMESPACE, SOON, condition, is_write};
use crate::harness::pod::Pod;
use crate::harness::relay::Relay;

/// The API paths of two objects of the quickstart.
const CONNECTION: &str = "dynamicsconnections/northwind";
const RULE: &str = "automationrules/baggage-complaints";

/// A pair whose leader reaches the API server through a relay.
pub fn relayed(values: &Value) -> (Pair, Relay) {
    let mut relay = None;
    let pair = Pair::of(values, |cluster| {
        let relay = relay.insert(Relay::to(&cluster.plane));
        Pod::start_at(relay.url(), &cluster.plane, crate::cluster::SYSTEM, "postlink")
    });
    (pair, relay.expect("the leader was started"))
}

/// Delays the leader's next status write that contains `text`, caused by `cause`; then pauses the leader and waits
/// until the other leads.
fn overtaken(pair: &mut Pair, relay: &Relay, object: &str, text: &str, cause: impl FnOnce(&Pair)) {
    relay.hold(&format!("PUT /apis/postlink.dev/v1alpha1/namespaces/{NAMESPACE}/{object}/status"), text);
    cause(pair);
    relay.wait_until_held(SOON);
    pair.leader.process.signal("STOP");
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
}

/// Forwards the write and waits for its answer. The former leader then resumes and exits.
fn arrives(pair: &mut Pair, relay: &Relay, object: &str) -> u64 {
    let released = Timestamp::now();
    relay.release();
    let answers = |pair: &Pair| -> Vec<u64> {
        pair.sent_by_the_first_since(released)
            .into_iter()
            .filter(|event| is_write(event) && event["objectRef"]["apiGroup"] == "postlink.dev")
            .map(|event| {
                let uri = event["requestURI"].as_str().expect("a request has an address");
                assert!(uri.contains(object), "another write: {uri}");
                event["responseStatus"]["code"].as_u64().expect("an answer has a number")
            })
            .collect()
    };
    let answered =
        crate::harness::waiting::wait_for("the write to arrive", SOON, || answers(pair).first().copied());
    pair.leader.process.signal("CONT");
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    assert_eq!(answers(pair).len(), 1, "it wrote after waking");
    answered
}

#[test]
fn in_flight_disable_fails_after_reenabling() {
    let (mut pair, relay) = relayed(&json!({}));
    deactivate_the_rule(&pair.cluster);
    overtaken(&mut pair, &relay, CONNECTION, "\"Disabled\"", |pair| disable_the_connection(&pair.cluster));
    pair.cluster.declare(CONNECTION, &json!({"enabled": true}));
    pair.cluster.declare(RULE, &json!({"active": true}));
    pair.cluster.wait_reason("Active", "Reserved", &[RULE]);
    let answered = arrives(&mut pair, &relay, CONNECTION);
    assert!(answered >= 400, "the connection was disabled under an active rule: {answered}");
    assert_eq!(pair.cluster.get(CONNECTION)["status"]["state"], "Enabled");
    pair.serves("after-the-overtaken-write");
    pair.nothing_is_broken();
}

#[test]
fn in_flight_activation_fails_after_deactivating_the_rule() {
    let (mut pair, relay) = relayed(&json!({}));
    deactivate_the_rule(&pair.cluster);
    overtaken(&mut pair, &relay, RULE, "\"Reserved\"", |pair| {
        pair.cluster.declare(RULE, &json!({"active": true}));
    });
    deactivate_the_rule(&pair.cluster);
    disable_the_connection(&pair.cluster);
    pair.cluster.wait("jsonpath={.status.state}=Disabled", &[CONNECTION]);
    let answered = arrives(&mut pair, &relay, RULE);
    assert!(answered >= 400, "a rule became active on a disabled connection: {answered}");
    assert_eq!(condition(&pair.cluster.get(RULE), "Active"), Some(("False", "Inactive")));
    pair.serves("after-the-overtaken-write");
    pair.nothing_is_broken();
}
