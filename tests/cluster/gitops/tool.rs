//! A deployment tool: it gets the whole tree at each commit and applies it in its own way.

use super::cell::Cell;
use super::tree::{Layout, Tree};

/// The result of one command or sync, as the tool reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncResult {
    Synced,
    /// The API server denied a request; its message.
    Refused(String),
    /// The tool reports unhealthy objects; its message.
    Unhealthy(String),
    /// The tool waits and has not reached the rest of the tree; its message.
    Waiting(String),
}

/// A commit: the previous tree and the new one.
#[derive(Debug)]
pub struct Commit<'a> {
    pub number: u8,
    pub previous: &'a Tree,
    pub tree: &'a Tree,
}

/// One tool in one cell. It keeps its own state between syncs, as the real one does.
pub trait Tool {
    /// The layout of its tree.
    fn layout(&self) -> Layout {
        Layout::default()
    }

    /// Applies the commit, with the tool's own retries. A second call with the same commit repeats the command.
    fn sync(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult;

    /// Whether it checks the health of what it applied, so that a rule that holds a connection fails the sync.
    fn looks_at_health(&self) -> bool {
        false
    }

    /// The result once the commit has taken effect, for a tool that retries on its own.
    fn final_result(&mut self, _cell: &Cell<'_>, result: SyncResult) -> SyncResult {
        result
    }

    /// The documented recovery for a tool that waits forever.
    fn recover(&mut self, _cell: &Cell<'_>, _commit: &Commit<'_>) -> SyncResult {
        panic!("this tool has no documented recovery")
    }
}
