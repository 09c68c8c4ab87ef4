//! §4.7: a leader whose lease is about to expire finishes its requests to an instance and starts no new ones, although
//! it still runs and can reach the instance.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::availability::store_posts;
use crate::cluster::{SOON, writes};
use crate::harness::waiting::wait_for;
use crate::in_flight::relayed;
use crate::operations::Page;

/// Lease duration in seconds. A leader that cannot renew gives up after two thirds of it, and starts nothing new when
/// two fifths of that are left.
const LEASE: u32 = 20;

/// Concurrent creations per connection.
const AT_ONCE: usize = 8;

/// A renewal of the lease, as the beginning of its request.
const RENEWAL: &str = "PUT /apis/coordination.k8s.io/v1/namespaces/postlink-system/leases/postlink";

#[test]
fn expiring_lease_blocks_new_instance_requests() {
    let (mut pair, relay) = relayed(&json!({"leaseDuration": LEASE, "instanceTimeout": 60}));
    let links = 40;
    // Without answers a few creations stay in flight, and the others wait in the queue.
    pair.cluster.instances().signal("STOP");
    let begin = Timestamp::now();
    store_posts(&pair.cluster, links);
    let read = |event: &Value| event["verb"] == "get" && event["objectRef"]["resource"] == "postlinks";
    wait_for("links to be made", SOON, || {
        // Each post is read once more before its activity is sent.
        let read = pair.sent_by_the_first_since(begin).iter().filter(|event| read(event)).count();
        (read >= AT_ONCE).then_some(())
    });
    relay.hold_every(RENEWAL);
    relay.wait_until_held(SOON);
    let metrics = pair.leader.address("metrics");
    wait_for("the lease to run short", SOON, || {
        let left = Page::of(&metrics).sum("postlink_lease_remaining_seconds", &[])?;
        (left < f64::from(LEASE) * 2.0 / 3.0 * 2.0 / 5.0).then_some(())
    });
    let short = Timestamp::now();
    pair.cluster.instances().signal("CONT");
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    let lost = "lost the leader lease; exiting: the API server stored no renewal";
    assert!(pair.leader.process.stderr().contains(lost), "{}", pair.leader.process.tail());

    let sent = pair.sent_by_the_first_since(short);
    let again = sent.iter().filter(|event| read(event)).count();
    let mut made: Vec<_> = writes(sent).into_iter().filter(|write| write.contains("/postlinks/")).collect();
    made.sort();
    made.dedup();
    println!("{} of {links} links were made, and {again} posts were read for nothing", made.len());
    assert!((1..=AT_ONCE).contains(&made.len()), "{AT_ONCE} were under way: {made:#?}");
    assert!(again <= links, "{again} posts were read for nothing");
}

/// One connection that is dead must not cost the lease: another attempt is made on a new one.
#[test]
fn renewal_that_hangs_does_not_cost_the_lease() {
    let (mut pair, relay) = relayed(&json!({"leaseDuration": LEASE}));
    relay.hold(RENEWAL, "");
    relay.wait_until_held(SOON);
    let line =
        pair.leader.process.wait_for_log(SOON, |line| line.contains("failed to renew the lease; retrying"));
    assert!(line.contains("no answer for"), "{line}");
    let metrics = pair.leader.address("metrics");
    wait_for("the lease to be renewed", SOON, || {
        let left = Page::of(&metrics).sum("postlink_lease_remaining_seconds", &[])?;
        (left > f64::from(LEASE) * 2.0 / 3.0 * 0.6).then_some(())
    });
    assert!(pair.leader.process.exited().is_none(), "{}", pair.leader.process.tail());
}
