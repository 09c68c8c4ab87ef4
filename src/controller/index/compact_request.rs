//! What a PostLink asks for, and the request that was acted on, in memory.

use super::{
    compact::{hex, link_spec_hash},
    interner::{Interner, Symbol},
};
use crate::{
    api::{Intent, PostLinkSpec},
    domain::post_link::{DesiredLink, LinkSpec},
};
use uuid::Uuid;

/// `spec.link` and `spec.unlink`.
pub(super) enum CompactDesired {
    ByRule,
    Unlink,
    ByHand(Box<CompactLinkSpec>),
}

pub(super) struct CompactLinkSpec {
    pub(super) connection: Option<Symbol>,
    record_type: Option<Symbol>,
    record_id: Option<Box<Uuid>>,
    hash: [u8; 16],
}

/// `status.intent`. It nearly always equals `spec.link`, so the hash is not stored twice.
pub(super) enum CompactIntent {
    None,
    Plain { attempt: i32, of_spec: bool, connection: Option<Symbol> },
    Other(Box<Intent>),
}

impl CompactDesired {
    pub(super) fn of(spec: &PostLinkSpec, interner: &mut Interner) -> Self {
        match (&spec.link, spec.unlink) {
            (_, true) => Self::Unlink,
            (None, false) => Self::ByRule,
            (Some(request), false) => Self::ByHand(Box::new(CompactLinkSpec {
                connection: request.connection_ref.as_ref().map(|r| interner.intern(&r.name)),
                record_type: request.record_type.as_ref().map(|t| interner.intern(t)),
                record_id: request.record_id.map(Box::new),
                hash: link_spec_hash(request),
            })),
        }
    }

    pub(super) fn desired(&self, interner: &Interner) -> DesiredLink {
        let text = |s: Symbol| interner.text(s).to_string();
        match self {
            Self::ByRule => DesiredLink::ByRule,
            Self::Unlink => DesiredLink::Unlink,
            Self::ByHand(request) => DesiredLink::ByHand(LinkSpec {
                connection: request.connection.map(text),
                record_type: request.record_type.map(text),
                record_id: request.record_id.as_deref().copied(),
                hash: hex(&request.hash),
            }),
        }
    }

    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        let symbols = match self {
            Self::ByHand(request) => [request.connection, request.record_type],
            Self::ByRule | Self::Unlink => [None, None],
        };
        symbols.into_iter().flatten()
    }
}

impl CompactIntent {
    pub(super) fn of(intent: Option<&Intent>, desired: &CompactDesired, interner: &mut Interner) -> Self {
        let Some(intent) = intent else { return Self::None };
        let of_spec =
            matches!(desired, CompactDesired::ByHand(request) if intent.hash == Some(hex(&request.hash)));
        if intent.relink_requested_at.is_some() || (intent.hash.is_some() && !of_spec) {
            return Self::Other(Box::new(intent.clone()));
        }
        let connection = intent.connection.as_ref().map(|c| interner.intern(c));
        Self::Plain { attempt: intent.attempt, of_spec, connection }
    }

    pub(super) fn intent(&self, desired: &CompactDesired, interner: &Interner) -> Option<Intent> {
        match self {
            Self::None => None,
            Self::Other(intent) => Some((**intent).clone()),
            Self::Plain { attempt, of_spec, connection } => Some(Intent {
                hash: match desired {
                    CompactDesired::ByHand(request) if *of_spec => Some(hex(&request.hash)),
                    _ => None,
                },
                connection: connection.map(|c| interner.text(c).to_string()),
                attempt: *attempt,
                relink_requested_at: None,
            }),
        }
    }

    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        let connection = match self {
            Self::Plain { connection, .. } => *connection,
            Self::None | Self::Other(_) => None,
        };
        connection.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_stays_small() {
        assert_eq!(size_of::<CompactLinkSpec>(), 32);
    }
}
