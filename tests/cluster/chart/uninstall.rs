//! The uninstall warning: the API server answers the deletion of `postlink-in-use` with a warning, which Helm 3 and 4
//! print (decision 0012).

use std::time::Duration;

use super::{HELMS, NAMESPACE, chart, path};
use crate::harness::ControlPlane;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;

const NOTE: &str = "configmap/postlink-in-use";

fn note(plane: &ControlPlane, connections: &str) {
    let annotation = format!("postlink.dev/connections={connections}");
    plane.kubectl(User::Admin, ["annotate", "--overwrite", NOTE, "-n", NAMESPACE, &annotation]).ok();
}

/// The policy takes effect some seconds after its creation.
fn in_force(plane: &ControlPlane) {
    wait_for("the uninstall policy to be in force", Duration::from_secs(60), || {
        let args = ["delete", NOTE, "-n", NAMESPACE, "--dry-run=server"];
        plane.kubectl(User::Admin, args).stderr.contains("DynamicsConnections remain").then_some(())
    });
}

#[test]
fn helm_warns_on_uninstall_while_connections_exist() {
    let plane = ControlPlane::start();
    let chart = chart();
    for major in HELMS {
        let helm = |args: &[&str]| {
            let answer = plane.helm(major, User::Alice, [args, &["-n", NAMESPACE][..]].concat());
            assert!(answer.succeeded(), "{}: {}", answer.command, answer.stderr);
            answer.stderr
        };
        for (connections, expected) in [
            ("3", Some("3 DynamicsConnections remain in the cluster")),
            ("1", Some("1 DynamicsConnection remains in the cluster")),
            ("0", None),
            ("many", None),
        ] {
            helm(&["install", "postlink", path(&chart), "--create-namespace"]);
            note(&plane, "2");
            in_force(&plane);
            note(&plane, connections);
            let said = helm(&["uninstall", "postlink"]);
            match expected {
                Some(expected) => {
                    assert!(said.contains(expected), "Helm {major} said only: {said}");
                    assert!(said.contains("To leave cleanly:"), "Helm {major}: {said}");
                }
                None => assert!(!said.contains("DynamicsConnection"), "Helm {major}: {said}"),
            }
        }
    }
}

/// No warning for a foreign `ConfigMap` of this name, or for a release whose connections are not counted.
#[test]
fn uninstall_warning_only_for_our_release() {
    let plane = ControlPlane::start();
    plane
        .helm(4, User::Alice, ["install", "postlink", path(&chart()), "-n", NAMESPACE, "--create-namespace"])
        .ok();
    note(&plane, "2");
    in_force(&plane);
    let namespace = plane.namespace("other");
    plane.kubectl(User::Alice, ["create", "configmap", "postlink-in-use", "-n", &namespace]).ok();
    let annotate = ["annotate", NOTE, "-n", &namespace, "postlink.dev/connections=5"];
    plane.kubectl(User::Alice, annotate).ok();
    let answer = plane.kubectl(User::Alice, ["delete", NOTE, "-n", &namespace]);
    assert_eq!(answer.stderr, "", "{}", answer.stdout);
}
