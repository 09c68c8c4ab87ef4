//! Versions: those of Kubernetes that the chart accepts, and the chart's and the image's own, with build metadata.

use std::fs;

use regex::Regex;
use serde_json::{Value, json};

use super::{
    HELMS, NAMESPACE, change, chart, container, copy_of_chart, everything, find, helm, id, objects, path,
    render, render_of,
};
use crate::harness::run_folder::new_folder;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Without a cluster, Helm assumes a version of its own. `--kube-version` names the cluster's, as Argo CD does.
#[test]
fn kubernetes_1_33_and_newer_is_accepted_with_any_suffix() {
    let render = |major, version| {
        helm(major, &["template", "postlink", path(&chart()), "-n", NAMESPACE, "--kube-version", version])
    };
    let refused = "chart requires kubeVersion: >=1.33.0-0 which is incompatible with Kubernetes v1.32.9";
    for major in HELMS {
        let newest = render(major, "1.36.3").unwrap();
        for version in
            ["1.33", "v1.33.0", "v1.33.1-gke.1035000", "v1.34.2+k3s1", "v1.33.0-eks-a1b2c3", "1.33.0-rc.1"]
        {
            let rendered =
                render(major, version).unwrap_or_else(|error| panic!("Helm {major}, {version}: {error}"));
            assert_eq!(rendered, newest, "the objects are the same for each version of Kubernetes");
        }
        for version in ["1.32.9", "v1.32.9-gke.1"] {
            let message = render(major, version).unwrap_err();
            assert!(message.contains(refused), "Helm {major}, {version}: {message}");
        }
    }
}

/// A label value has at most 63 characters and no `+`; the tag of an image has no `+` either.
#[test]
fn build_metadata_gives_valid_labels_and_image() {
    let (everything_chart, values) = everything();
    let valid = Regex::new("^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$").unwrap();
    let long = format!("1.0.0+{}-b", "a".repeat(56));
    for (version, label, tag) in [
        ("1.2.3+build.4", "1.2.3_build.4", "1.2.3_build.4"),
        (long.as_str(), &long.replace('+', "_")[..62], &long.replace('+', "_")),
        ("1.10", "1.10", "1.10"),
        ("1e3", "1e3", "1e3"),
        ("007", "007", "007"),
    ] {
        let own = format!("appVersion: {:?}", env!("CARGO_PKG_VERSION"));
        let chart = copy_of_chart();
        change(&chart.join("Chart.yaml"), &own, &format!("appVersion: {version:?}"));
        let rendered = render_of(&chart, &json!({}));
        assert_eq!(container(&rendered)["image"], format!("postlink:{tag}"));
        let labels = &find(&rendered, "Deployment", "postlink")["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/version"], label);
    }
    let version = format!("version: {}", env!("CARGO_PKG_VERSION"));
    for build in ["build.4", &"b-".repeat(40)] {
        change(&everything_chart.join("Chart.yaml"), &version, &format!("{version}+{build}"));
        for object in render_of(&everything_chart, &values) {
            let pod = &object["spec"]["template"]["metadata"]["labels"];
            for (key, value) in
                [&object["metadata"]["labels"], pod].into_iter().filter_map(Value::as_object).flatten()
            {
                let value = value.as_str().unwrap_or_else(|| panic!("{key}: {value} of {:?}", id(&object)));
                assert!(valid.is_match(value), "{key}: {value} of {:?}", id(&object));
            }
        }
        change(&everything_chart.join("Chart.yaml"), &format!("{version}+{build}"), &version);
    }
}

#[test]
fn tag_and_digest_name_the_image() {
    let both = format!("1.2.3@{DIGEST}");
    for (image, expected) in [
        (json!({"tag": "1.2.3+build.4"}), "postlink:1.2.3_build.4".to_owned()),
        (json!({"tag": "1.10"}), "postlink:1.10".to_owned()),
        (json!({"tag": both}), format!("postlink:{both}")),
        (json!({"digest": DIGEST}), format!("postlink@{DIGEST}")),
        (json!({"tag": "1.2.3", "digest": DIGEST}), format!("postlink@{DIGEST}")),
        (
            json!({"repository": "registry.example.com:5000/team/postlink", "tag": "edge"}),
            "registry.example.com:5000/team/postlink:edge".to_owned(),
        ),
    ] {
        assert_eq!(container(&render(&json!({"image": image})))["image"], expected, "{image}");
    }
}

/// YAML has read `1.10` as 1.1 before Helm sees it, so a number is rejected. `--set` reads only integers as numbers.
#[test]
fn tag_that_looks_like_a_number_is_a_string_or_refused() {
    let file = new_folder("values").join("values.yaml");
    for major in HELMS {
        let image = |args: &[&str]| {
            let rendered = helm(major, &[&["template", "postlink", path(&chart())], args].concat())?;
            Ok::<_, String>(container(&objects(&rendered))["image"].as_str().unwrap().to_owned())
        };
        for tag in ["1.10", "1e3", "0123"] {
            let expected = Ok(format!("postlink:{tag}"));
            for flag in ["--set", "--set-string"] {
                assert_eq!(image(&[flag, &format!("image.tag={tag}")]), expected, "Helm {major}, {flag}");
            }
            fs::write(&file, format!("image: {{tag: {tag:?}}}")).unwrap();
            assert_eq!(image(&["--values", path(&file)]), expected, "Helm {major}");
            fs::write(&file, format!("image: {{tag: {tag}}}")).unwrap();
            let message = image(&["--values", path(&file)]).unwrap_err();
            assert!(message.contains("at '/image/tag': got number, want string"), "Helm {major}: {message}");
        }
        let message = image(&["--set", "image.tag=20251218"]).unwrap_err();
        assert!(message.contains("at '/image/tag': got number, want string"), "Helm {major}: {message}");
        assert_eq!(image(&["--set-string", "image.tag=20251218"]), Ok("postlink:20251218".to_owned()));
    }
}
