//! The real Helm: a chart generated from the tree, and an upgrade per commit.

use std::fs;

use super::cell::Cell;
use super::tool::{Commit, SyncResult, Tool};
use super::tree::PLATFORM;
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;

pub struct Helm {
    pub major: u8,
}

impl Tool for Helm {
    /// Helm 3 does not check the health of custom resources.
    fn looks_at_health(&self) -> bool {
        self.major == 4
    }

    /// `helm upgrade --install --wait`. The release is stored outside the namespace, which is part of the chart.
    fn sync(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult {
        let chart = new_folder(&format!("{}-chart-{}", cell.namespace, commit.number));
        let about = format!("apiVersion: v2\nname: social\nversion: 0.0.{}\n", commit.number);
        let templates = chart.join("templates");
        fs::create_dir(&templates)
            .and_then(|()| fs::write(chart.join("Chart.yaml"), about))
            .and_then(|()| fs::write(templates.join("tree.yaml"), commit.tree.text()))
            .expect("a folder of ours is writable");
        let chart = chart.to_str().expect("the path is UTF-8").to_owned();
        let args = [
            "upgrade",
            "--install",
            "--namespace",
            PLATFORM,
            &cell.namespace,
            &chart,
            "--wait",
            "--timeout",
            "60s",
        ];
        let answer = cell.cluster.plane.helm(self.major, User::Alice, args);
        if answer.succeeded() {
            SyncResult::Synced
        } else if answer.stderr.contains("denied request") {
            SyncResult::Refused(answer.stderr)
        } else {
            SyncResult::Unhealthy(answer.stderr)
        }
    }
}
