//! A backup of the store and its restore, and a change of the CA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::Certificates;
use super::etcd::Etcd;
use super::run_folder::new_folder;
use super::{ControlPlane, held, start_etcd};

/// A copy of the store, see [`ControlPlane::back_up`].
#[derive(Debug)]
pub struct Backup(PathBuf);

impl ControlPlane {
    /// A copy of the store. etcd is down for the moment that this takes.
    pub fn back_up(&mut self) -> Backup {
        let copy = new_folder("backup").join("etcd-data");
        self.without_etcd(|data| copy_folder(data, &copy));
        Backup(copy)
    }

    /// Replaces the store by an earlier copy, as the Kubernetes documentation describes: the API server is stopped first,
    /// and started again after etcd.
    pub fn restore(&mut self, backup: &Backup) {
        self.kill_apiserver();
        self.without_etcd(|data| {
            fs::remove_dir_all(data).expect("a folder of ours is writable");
            copy_folder(&backup.0, data);
        });
        self.restart_apiserver();
    }

    fn without_etcd(&mut self, change: impl FnOnce(&Path)) {
        self.etcd.process.kill();
        let reserved = self.etcd_ports.map(held);
        change(&Etcd::data(&self.folder));
        self.etcd = start_etcd(&self.binaries, &self.folder, self.etcd_ports)
            .unwrap_or_else(|error| panic!("{error}"));
        drop(reserved);
    }

    /// Replaces the CA and the API server's certificate by new ones, in the same files.
    pub fn rotate_ca(&mut self) {
        self.kill_apiserver();
        Certificates::generate(&self.folder).expect("the first ones could be made");
        self.restart_apiserver();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-R").args([from, to]).status().expect("cp can be started");
    assert!(status.success(), "{} could not be copied", from.display());
}
