//! What is reconciled: an object of one of the three kinds, by namespace and name.

use std::sync::Arc;

/// One of the three kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    DynamicsConnection,
    AutomationRule,
    PostLink,
}

impl Kind {
    /// In the order in which the work queue hands them out.
    pub const ALL: [Kind; 3] = [Self::DynamicsConnection, Self::AutomationRule, Self::PostLink];

    /// The kind's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DynamicsConnection => "DynamicsConnection",
            Self::AutomationRule => "AutomationRule",
            Self::PostLink => "PostLink",
        }
    }
}

/// One object.
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
