//! The key of a reconcile: kind, namespace and name.

use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    DynamicsConnection,
    AutomationRule,
    PostLink,
}

impl Kind {
    /// In the order of the work queue.
    pub const ALL: [Kind; 3] = [Self::DynamicsConnection, Self::AutomationRule, Self::PostLink];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::DynamicsConnection => "DynamicsConnection",
            Self::AutomationRule => "AutomationRule",
            Self::PostLink => "PostLink",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}
