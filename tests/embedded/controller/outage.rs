//! What an outage of an instance costs: Events are those of its connection, not those of its links.

use super::Scene;
use crate::contoso::HOST;
use dataverse_simulator::Fault;
use postlink::local::report;
use serde_json::json;

/// Lets the connection be probed until it says so.
async fn until_state(scene: &Scene, state: &str) {
    scene.request("DynamicsConnection", "contoso", state).await;
    scene.until(state, |scene| scene.connection()["status"]["state"] == state).await;
    scene.settle().await;
}

#[tokio::test(start_paused = true)]
async fn links_that_wait_make_no_events() {
    let scene = Scene::start("").await;
    scene.create_link("linked").await;
    let post = |id: &str| json!({"url": format!("https://social.example/{id}"), "id": id});
    for name in ["mistyped-1", "mistyped-2"] {
        let link = json!({"connectionRef": {"name": "contoso"}, "recordType": "incidnet"});
        scene.create("PostLink", name, json!({"post": post(name), "link": link})).await;
    }
    let missing =
        json!({"connectionRef": {"name": "contoso"}, "recordId": "0f8fad5b-d9cb-469f-a165-70867728950e"});
    scene.create("PostLink", "no-record", json!({"post": post("no-record"), "link": missing})).await;
    scene.settle().await;
    let reason = |name: &str| scene.stored("PostLink", name).unwrap()["status"]["reason"].clone();
    let reasons = || ["linked", "mistyped-1", "mistyped-2", "no-record"].map(reason);
    let before = ["LinkedByHand", "RecordTypeNotOffered", "RecordTypeNotOffered", "RecordNotFound"];
    assert_eq!(reasons(), before);

    let revision = scene.session.api.revision();
    scene.session.world.inject(HOST, Fault::Status { status: 503, retry_after: None }, u32::MAX);
    until_state(&scene, "Downtime").await;
    assert_eq!(reasons(), ["InstanceDowntime"; 4]);
    scene.session.world.clear_faults();
    until_state(&scene, "Enabled").await;
    assert_eq!(reasons(), before);
    let events = report::events(&scene.session, revision);
    assert_eq!(events.lines().filter(|line| line.contains("postlink/")).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(events.matches("dynamicsconnection/contoso").count(), 2, "{events}");
}
