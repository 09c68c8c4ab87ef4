//! A person with the real kubectl: apply the tree, and delete what was removed from it.

use super::cell::Cell;
use super::tool::{Commit, SyncResult, Tool};
use super::tree::{Layout, Tree};
use crate::harness::kubectl::Answer;
use crate::harness::users::User;

/// The order of apply and delete, and of the objects in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Apply, then delete; rules before the connection.
    RulesFirst,
    /// Delete, then apply; the connection before the rules.
    ConnectionFirst,
}

pub struct Kubectl {
    pub server_side: bool,
    pub order: Order,
}

impl Kubectl {
    fn apply(&self, cell: &Cell<'_>, tree: &Tree) -> Answer {
        let mut args = vec!["apply", "-f", "-"];
        if self.server_side {
            args.push("--server-side");
        }
        cell.cluster.plane.kubectl_with_input(User::Alice, args, &tree.text())
    }

    /// `kubectl delete` of what was removed. A namespace is deleted without deleting its contents first.
    fn delete(cell: &Cell<'_>, commit: &Commit<'_>) -> Option<Answer> {
        let mut left = commit.previous.without(commit.tree);
        if left.has_namespace() {
            left.objects.retain(|object| object["kind"] == "Namespace");
        }
        if left.objects.is_empty() {
            return None;
        }
        // What the first attempt deleted is missing at the second.
        let args = ["delete", "-f", "-", "--wait=false", "--ignore-not-found"];
        Some(cell.cluster.plane.kubectl_with_input(User::Alice, args, &left.text()))
    }
}

impl Tool for Kubectl {
    fn layout(&self) -> Layout {
        Layout { connection_last: self.order == Order::RulesFirst, ..Layout::default() }
    }

    fn sync(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult {
        let answers = match self.order {
            Order::RulesFirst => [Some(self.apply(cell, commit.tree)), Self::delete(cell, commit)],
            Order::ConnectionFirst => {
                let deleted = Self::delete(cell, commit);
                [Some(self.apply(cell, commit.tree)), deleted]
            }
        };
        let refused: String = answers
            .iter()
            .flatten()
            .filter(|answer| !answer.succeeded())
            .map(|answer| answer.stderr.as_str())
            .collect();
        if refused.is_empty() { SyncResult::Synced } else { SyncResult::Refused(refused) }
    }
}
