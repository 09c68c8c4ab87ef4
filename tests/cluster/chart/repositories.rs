//! The rendered files that the checks of whole repositories read are what kustomize and Helm render.

use std::fs;

use super::{HELMS, helm, objects, path, run};
use crate::cluster::repository;
use crate::harness::binaries::Binaries;

/// The objects, so that blank lines do not matter.
fn assert_current(rendered: &str, file: &str) {
    let file = repository(&format!("tests/embedded/repositories/{file}"));
    let committed = fs::read_to_string(&file).expect("the file is committed");
    assert_eq!(objects(&committed), objects(rendered), "{}; render it again", file.display());
}

#[test]
fn rendered_kustomizations_are_current() {
    let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    for overlay in ["staging", "production"] {
        let folder = repository(&format!("tests/embedded/repositories/kustomize/overlays/{overlay}"));
        let rendered = run(&binaries.kubectl, &["kustomize", path(&folder)]);
        let rendered = rendered.unwrap_or_else(|error| panic!("{error}"));
        assert_current(&rendered, &format!("kustomize/rendered/{overlay}.yaml"));
    }
}

#[test]
fn rendered_chart_is_current() {
    let chart = repository("tests/embedded/repositories/helm/social");
    for major in HELMS {
        let rendered = helm(major, &["template", "social", path(&chart), "--namespace", "social"]);
        assert_current(&rendered.unwrap_or_else(|error| panic!("{error}")), "helm/rendered/social.yaml");
    }
}
