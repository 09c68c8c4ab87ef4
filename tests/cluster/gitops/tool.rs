//! What a tool is here: something that is given the whole tree at each commit and brings it about in its own way.

use super::cell::Cell;
use super::tree::{Layout, Tree};

/// What the tool itself said of one command or one sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncResult {
    /// It is done and content.
    Synced,
    /// The API server refused something; the words the person or the tool sees.
    Refused(String),
    /// The objects are not as healthy as the tool wants them; its words.
    Unhealthy(String),
    /// It waits, and has not got to the rest of the tree; its words.
    Waiting(String),
}

/// A commit: what stood in git before and what stands there now.
#[derive(Debug)]
pub struct Commit<'a> {
    pub number: u8,
    pub previous: &'a Tree,
    pub tree: &'a Tree,
}

/// One tool in one cell. What it remembers of a sync it remembers itself, as the real one does.
pub trait Tool {
    /// How the tree is laid out for it.
    fn layout(&self) -> Layout {
        Layout::default()
    }

    /// Bring the commit about, with the retries the tool has of its own. Given the same commit again, it does what
    /// a person does who gives the same command once more.
    fn sync(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult;

    /// It looks at the health of what it applied, and is not content with a rule that holds a connection.
    fn looks_at_health(&self) -> bool {
        false
    }

    /// What it says once the cluster is as the commit wants it. A tool that looks again by itself is asked here.
    fn final_result(&mut self, _cell: &Cell<'_>, result: SyncResult) -> SyncResult {
        result
    }

    /// The way out for a tool that waits for ever.
    fn recover(&mut self, _cell: &Cell<'_>, _commit: &Commit<'_>) -> SyncResult {
        panic!("nobody wrote down a way out for this tool")
    }
}
