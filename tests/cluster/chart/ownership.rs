//! Objects that change hands between kubectl and Helm, and values that outlive their chart.

use serde_json::Value;

use super::{HELMS, NAMESPACE, chart, copy_of_chart, id, objects, other_charts::older_values, path, sorted};
use crate::cluster::{repository, text_of};
use crate::harness::users::User;
use crate::harness::{ControlPlane, kubectl::Answer};

/// The `sh` block of the chart's README that contains a text, as argument lists, with the variables filled in.
fn documented(containing: &str) -> Vec<Vec<String>> {
    let readme = text_of("charts/postlink/README.md");
    let blocks: Vec<_> =
        readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let found: Vec<_> = blocks.into_iter().filter(|block| block.contains(containing)).collect();
    assert_eq!(found.len(), 1, "blocks with {containing:?} in the README");
    found[0]
        .replace("\\\n", " ")
        .lines()
        .map(|line| line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect())
        .collect()
}

/// Runs a documented command with real kubectl or Helm.
fn run(plane: &ControlPlane, major: u8, command: &[String]) -> Answer {
    let located = |word: &String| match word.strip_prefix("charts/postlink") {
        Some(rest) => format!("{}{rest}", path(&chart())),
        None => word.clone(),
    };
    let args = command[1..].iter().map(located);
    match command[0].as_str() {
        "kubectl" => plane.kubectl(User::Alice, args),
        "helm" if major == 4 && command[1] == "install" => {
            plane.helm(major, User::Alice, args.chain(["--force-conflicts".to_owned()]))
        }
        "helm" => plane.helm(major, User::Alice, args),
        other => panic!("the README runs {other}"),
    }
}

fn cluster_scoped(plane: &ControlPlane) -> Vec<Value> {
    let folders = ["files/crds", "policies"].map(|folder| repository("charts/postlink").join(folder));
    let [crds, policies] = &folders;
    let found =
        plane.kubectl(User::Alice, ["get", "-f", path(crds), "-f", path(policies), "-o", "json"]).json();
    found["items"].as_array().unwrap().clone()
}

fn owners(plane: &ControlPlane) -> Vec<String> {
    let owner = |object: &Value| {
        let metadata = &object["metadata"];
        let label = metadata["labels"]["app.kubernetes.io/managed-by"].as_str().unwrap_or("nobody");
        let release = metadata["annotations"]["meta.helm.sh/release-name"].as_str().unwrap_or("no release");
        format!("{label}, {release}")
    };
    let mut owners: Vec<_> = cluster_scoped(plane).iter().map(owner).collect();
    owners.sort();
    owners.dedup();
    owners
}

/// The commands are those of the README, "Between kubectl and Helm".
fn to_helm_and_back(major: u8) {
    let plane = ControlPlane::start();
    for folder in ["crds", "charts/postlink/policies"] {
        plane.kubectl_apply(User::Alice, repository(folder));
    }
    let uids = |plane: &ControlPlane| {
        let uid = |object: &Value| (id(object), object["metadata"]["uid"].clone());
        cluster_scoped(plane).iter().map(uid).collect::<Vec<_>>()
    };
    let before = uids(&plane);
    assert_eq!(before.len(), 3 + 8);
    let chart = chart();
    let message = plane.helm(
        major,
        User::Alice,
        ["install", "postlink", path(&chart), "-n", NAMESPACE, "--create-namespace"],
    );
    let message = message.refused();
    assert!(message.contains(r#"missing key "app.kubernetes.io/managed-by""#), "Helm {major}: {message}");

    for command in documented("app.kubernetes.io/managed-by=Helm") {
        run(&plane, major, &command).ok();
    }
    assert_eq!(owners(&plane), ["Helm, postlink"]);
    assert_eq!(uids(&plane), before, "nothing was deleted");

    for command in documented("app.kubernetes.io/managed-by-") {
        run(&plane, major, &command).ok();
    }
    assert_eq!(owners(&plane), ["nobody, no release"]);
    for folder in ["crds", "charts/postlink/policies"] {
        plane.kubectl_apply(User::Alice, repository(folder));
    }
    plane.helm(major, User::Alice, ["uninstall", "postlink", "-n", NAMESPACE]).ok();
    assert_eq!(uids(&plane), before, "neither the upgrade nor the uninstall deleted anything");
}

#[test]
fn crds_and_policies_go_to_helm_3_and_back() {
    to_helm_and_back(3);
}

#[test]
fn crds_and_policies_go_to_helm_4_and_back() {
    to_helm_and_back(4);
}

/// The old chart knows only the values that the schema requires.
#[test]
fn upgrade_reuses_the_values_of_an_older_chart() {
    let plane = ControlPlane::start();
    let older = copy_of_chart();
    std::fs::write(older.join("values.yaml"), older_values().to_string()).unwrap();
    std::fs::remove_file(older.join("values.schema.json")).unwrap();
    let chart = chart();
    for major in HELMS {
        let helm = |args: &[&str]| plane.helm(major, User::Alice, [args, &["-n", NAMESPACE]].concat()).ok();
        helm(&["install", "postlink", path(&older), "--create-namespace", "--set", "replicas=1"]);
        helm(&["upgrade", "postlink", path(&chart), "--reuse-values"]);
        let reused = sorted(objects(&helm(&["get", "manifest", "postlink"])));
        helm(&["upgrade", "postlink", path(&chart), "--reset-then-reuse-values"]);
        assert_eq!(reused, sorted(objects(&helm(&["get", "manifest", "postlink"]))), "Helm {major}");
        helm(&["uninstall", "postlink"]);
    }
}

/// `helm template | kubectl apply`, and the dry runs that ask the server.
#[test]
fn rendered_chart_is_applied_by_kubectl() {
    let plane = ControlPlane::start();
    plane.kubectl(User::Alice, ["create", "namespace", NAMESPACE]).ok();
    let chart = chart();
    for major in HELMS {
        let rendered = super::helm(major, &["template", "postlink", path(&chart), "-n", NAMESPACE]).unwrap();
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        plane.kubectl_with_input(User::Alice, apply, &rendered).ok();
        let diff = plane.kubectl_with_input(User::Alice, ["diff", "--server-side", "-f", "-"], &rendered);
        assert!(diff.succeeded(), "Helm {major}: {}{}", diff.stdout, diff.stderr);
        plane.kubectl_with_input(User::Alice, ["delete", "-f", "-"], &rendered).ok();

        let name = "team-social-west-europe-production-blue-links-release";
        assert_eq!(name.len(), 53, "the longest that Helm accepts");
        let validated = ["template", name, path(&chart), "-n", NAMESPACE, "--validate"];
        let validated = plane.helm(major, User::Alice, validated).ok();
        let dry_run = ["install", name, path(&chart), "-n", NAMESPACE, "--dry-run=server"];
        plane.helm(major, User::Alice, dry_run).ok();
        plane.kubectl_with_input(User::Alice, ["create", "--dry-run=server", "-f", "-"], &validated).ok();
    }
}

/// `--take-ownership` would take them over, and the uninstall of the second release would delete them.
fn second_release_takes_nothing_over(major: u8) {
    let plane = ControlPlane::start();
    let chart = chart();
    let helm = |args: &[&str], more: &[&str]| plane.helm(major, User::Alice, [args, more].concat());
    let first = ["install", "postlink", path(&chart), "-n", NAMESPACE, "--create-namespace"];
    helm(&first, &[]).ok();
    let before = cluster_scoped(&plane);
    assert_eq!(owners(&plane), ["Helm, postlink"]);

    let second = ["upgrade", "--install", "other", path(&chart), "-n", "second", "--create-namespace"];
    let force = if major == 3 { "--force" } else { "--force-replace" };
    let conflicts = ["--take-ownership", "--force-conflicts"];
    let mut attempts = vec![vec![], vec!["--take-ownership"], vec!["--take-ownership", force]];
    attempts.extend((major == 4).then(|| conflicts.to_vec()));
    let without = |what: &'static str| vec!["--take-ownership", "--set", what];
    for (what, more) in [
        ("", attempts),
        ("ValidatingAdmissionPolicy postlink-guard ", vec![without("crds.install=false")]),
        ("CustomResourceDefinition automationrules.postlink.dev ", vec![without("admission.install=false")]),
    ] {
        for more in more {
            let message = helm(&second, &more).refused();
            let named = format!("{what}belongs to the release postlink in the namespace {NAMESPACE}.");
            for part in [&named, "set namespaces", "crds.install=false and admission.install=false"] {
                assert!(message.contains(part), "Helm {major} {more:?}: {message}");
            }
        }
    }
    assert_eq!(cluster_scoped(&plane), before, "nothing has changed");

    // The same name in another namespace is another release, too.
    let same_name = ["install", "postlink", path(&chart), "-n", "second", "--take-ownership"];
    assert!(helm(&same_name, &[]).refused().contains("belongs to the release postlink in the namespace"));
    for values in ["namespaces={social}", "crds.install=false,admission.install=false"] {
        plane.kubectl(User::Alice, ["create", "namespace", "social"]);
        helm(&second, &["--set", values]).ok();
        helm(&["uninstall", "other", "-n", "second"], &[]).ok();
        assert_eq!(cluster_scoped(&plane), before, "{values}: the uninstall removed nothing of the first");
    }
    helm(&["upgrade", "postlink", path(&chart), "-n", NAMESPACE], &[]).ok();

    // A release that is gone leaves the CRDs; another one takes them over as documented.
    helm(&["uninstall", "postlink", "-n", NAMESPACE], &[]).ok();
    let message = helm(&second, &["--take-ownership"]).refused();
    assert!(message.contains("belongs to the release postlink"), "Helm {major}: {message}");
    let crds = repository("charts/postlink/files/crds");
    let annotations = ["meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-"];
    let annotate = [&["annotate", "-f", path(&crds)][..], &annotations].concat();
    plane.kubectl(User::Alice, annotate).ok();
    helm(&second, if major == 4 { &conflicts } else { &conflicts[..1] }).ok();
    assert_eq!(owners(&plane), ["Helm, other"]);
}

#[test]
fn second_release_of_helm_3_takes_nothing_over() {
    second_release_takes_nothing_over(3);
}

#[test]
fn second_release_of_helm_4_takes_nothing_over() {
    second_release_takes_nothing_over(4);
}

/// `ClusterRoles` are named after the release.
#[test]
fn second_release_needs_a_name_of_its_own() {
    let plane = ControlPlane::start();
    let chart = chart();
    for major in HELMS {
        let helm = |name: &str, namespace: &str, more: &[&str]| {
            let args = ["install", name, path(&chart), "-n", namespace, "--create-namespace"];
            let without = ["--set", "crds.install=false,admission.install=false"];
            plane.helm(major, User::Alice, [&args[..], &without, more].concat())
        };
        helm("postlink", "first", &[]).ok();
        let roles = || {
            let ours = ["-l", "app.kubernetes.io/part-of=postlink", "-o", "json"];
            let get = [&["get", "clusterroles,clusterrolebindings"][..], &ours].concat();
            plane.kubectl(User::Alice, get).json()["items"].clone()
        };
        let before = roles();
        for more in [&[][..], &["--take-ownership"]] {
            let message = helm("postlink", "second", more).refused();
            let named = "belongs to the release postlink in the namespace first. It is named after the release: give this \
                release another name, or set fullnameOverride.";
            assert!(message.contains(named), "Helm {major} {more:?}: {message}");
        }
        // The name of a role for users.
        let message = helm("postlink-view", "second", &["--take-ownership"]).refused();
        let named = "ClusterRole postlink-view belongs to the release postlink in the namespace first.";
        assert!(message.contains(named), "Helm {major}: {message}");
        assert_eq!(roles(), before, "nothing has changed");
        helm("postlink", "second", &["--set", "namespaces={social}", "--dry-run=server"]).ok();
        helm("other", "second", &[]).ok();
        for (name, namespace) in [("postlink", "first"), ("other", "second")] {
            plane.helm(major, User::Alice, ["uninstall", name, "-n", namespace]).ok();
        }
    }
}

/// The same of the objects in the namespaces that a release watches, and in its own.
#[test]
fn second_release_takes_no_role_of_a_namespace_over() {
    let (plane, chart) = (ControlPlane::start(), chart());
    for namespace in ["first", "second", "social"] {
        plane.kubectl(User::Alice, ["create", "namespace", namespace]).ok();
    }
    for major in HELMS {
        let helm = |name: &str, namespace: &str| {
            let install = ["install", name, path(&chart), "-n", namespace, "--set", "namespaces={social}"];
            let more: &[&str] = if name == "first" { &[] } else { &["--take-ownership"] };
            let names = ["--set", "fullnameOverride=postlink"];
            plane.helm(major, User::Alice, [&install[..], more, &names].concat())
        };
        helm("first", "first").ok();
        let message = helm("other", "second").refused();
        let named = "Role postlink belongs to the release first in the namespace first.";
        assert!(message.contains(named), "Helm {major}: {message}");
        let same = ["install", "other", path(&chart), "-n", "first", "--set", "namespaces={second}"];
        let message = plane.helm(major, User::Alice, [&same[..], &["--take-ownership"]].concat()).refused();
        let named = "ConfigMap postlink-in-use belongs to the release first in the namespace first.";
        assert!(message.contains(named), "Helm {major}: {message}");
        plane.helm(major, User::Alice, ["uninstall", "first", "-n", "first"]).ok();
    }
}

/// What the administrator of a namespaced install applies must have the names and the subject of the release.
#[test]
fn notes_of_a_namespaced_install_repeat_the_values_of_names() {
    let (plane, chart) = (ControlPlane::start(), chart());
    let names = "fullnameOverride=care,serviceAccount.create=false,serviceAccount.name=postlink-care";
    let values = format!("namespaces={{social}},{names}");
    plane.kubectl(User::Alice, ["create", "namespace", NAMESPACE]).ok();
    for major in HELMS {
        let install = ["install", "r", path(&chart), "-n", NAMESPACE, "--dry-run=server", "--set", &values];
        let notes = plane.helm(major, User::Alice, install).ok();
        let (_, command) = notes.split_once("helm template r CHART ").expect("the notes have the command");
        let (command, _) = command.split_once(" | kubectl apply").expect("it is piped to kubectl");
        let options = command.split_whitespace().filter(|word| *word != "\\");
        let args: Vec<&str> = ["template", "r", path(&chart)].into_iter().chain(options).collect();
        let objects = objects(&super::helm(major, &args).unwrap());
        let binding = super::find(&objects, "ClusterRoleBinding", "care-installation");
        assert_eq!(binding["subjects"][0]["name"], "postlink-care", "Helm {major}");
    }
}
