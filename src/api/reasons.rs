//! The closed list of reasons. Alerts may match on them.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The reason of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// In the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)+
                }
            }

            /// The first sentence of its documentation.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Reason::$name => concat!($($doc),+),)+
                }
            }

            pub fn parse(word: &str) -> Option<Reason> {
                match word {
                    $(stringify!($name) => Some(Reason::$name),)+
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    // Linked, of a PostLink.
    /// The post was linked because `spec.link` asks for it.
    LinkedByHand,
    /// The post was linked by an automation rule.
    LinkedByRule,
    /// The original link was restored after its organization was connected again (R14).
    Restored,
    /// The connection of the link was deleted, and the link was removed; it can be restored (R10, R13).
    ConnectionDeleted,
    /// The record was dissociated from the social activity in Dynamics 365 (R23).
    RecordDissociated,
    /// The record was deleted in Dynamics 365 (R24).
    RecordDeleted,
    /// The social activity was deleted in Dynamics 365 (R25).
    SocialActivityDeleted,
    /// A user unlinked the post; this link is never restored (R26).
    Unlinked,
    /// Another PostLink of the namespace is about the same post (source and id are equal) and counts: it has a link, or is older.
    DuplicatePost,
    /// The source or id of the post was changed after it was linked: the link is about the former post.
    PostChanged,
    /// No link is requested: `spec.link` is not set, and no active rule applies to the post.
    NotRequested,
    // Requested, cannot be done now (R21); the first four also say why a record is not available.
    /// The connection has `spec.enabled: false` (R5, R16).
    ConnectionDisabled,
    /// The instance is down, in administration mode, disabled in Dynamics 365, or does not respond like Dynamics 365 (R17).
    InstanceDowntime,
    /// The trial or subscription of the instance has ended (R18).
    InstanceExpired,
    /// The connection's credentials, Secret or host cannot be used.
    ConnectionNotReady,
    /// A different organization answers at the connection's URL.
    OrganizationChanged,
    /// No connection with that name exists in the namespace.
    ConnectionNotFound,
    /// The link names no connection, and the namespace has no default connection.
    NoDefaultConnection,
    /// The connection does not offer that record type (R4, R9).
    RecordTypeNotOffered,
    /// The instance has no record with the id of `spec.link.recordId`.
    RecordNotFound,
    /// The instance does not accept social data.
    SocialDataRefused,
    /// The instance throttles requests, or `spec.linksPerSecond` defers the link.
    Throttled,
    /// The instance rejects the social activity of this post.
    PostRefused,
    // RecordAvailable, of a PostLink.
    /// The record can be read in the instance.
    RecordAvailable,
    /// The instance has not created a record from the social activity yet.
    RecordPending,
    // Active, of an AutomationRule.
    /// The rule is listed in its connection's `status.activeRules` and is active (§4.1).
    Reserved,
    /// The rule is inactive because `spec.active` is false.
    Inactive,
    /// The rule waits for its connection to register it.
    ReservationPending,
    /// The connection is being deleted and accepts no new rules (§4.3).
    ConnectionTerminating,
    /// The connection has 1,000 active rules, which is the limit.
    ConnectionFull,
    /// The filters of the namespace's active rules take more memory than the limit allows, so this rule links nothing.
    NamespaceFull,
    /// This active rule blocks the disabling or deletion of its connection (R8).
    HoldsConnection,
    // Of a DynamicsConnection.
    /// The instance is reachable and accepts the credentials. While a request to disable the connection is held, the state of
    /// the instance is not considered.
    Connected,
    /// The instance has not been reached yet.
    Connecting,
    /// The connection is disabled by `spec.enabled: false` (R5).
    Disabled,
    /// The connection is the default of its namespace (R3).
    DefaultConnection,
    /// Two connections of the namespace set `spec.default`; the older one is the default (R3).
    DefaultConflict,
    /// `spec.default` is false.
    NotDefault,
    /// Active automation rules use the connection (R8, R9).
    UsedByActiveRules,
    /// The instance has no table for a record type of the connection.
    TableNotFound,
    /// Social activities of the instance cannot refer to the table of a record type.
    TableNotSupported,
    /// The metadata of a record type's table cannot be read.
    TableNotRead,
    /// The Secret named by `spec.credentials` does not exist.
    SecretNotFound,
    /// The Secret lacks a key, is for another instance URL, or cannot be read.
    SecretInvalid,
    /// The sign-in service or the instance rejects the credentials.
    CredentialsRejected,
    /// The sign-in service issues no token at the moment; the state of the instance stays as last known.
    SignInUnavailable,
    /// The application is not a member of the organization, or lacks privileges in it.
    AccessDenied,
    /// The host of `spec.instanceUrl` is not allowed by `--allow-host`.
    HostNotAllowed,
    /// The host resolves to a private, loopback, or link-local address, which is not contacted unless `--connect-to` names it.
    AddressNotAllowed,
    // Ready and Stalled, of every kind.
    /// A field of the object cannot be decoded: it was stored by another version, or not through the API server.
    Undecodable,
    // Reconciling and Stalled, of every kind.
    /// A change is in progress.
    Progressing,
    /// Something failed and is retried automatically.
    ProgressingWithRetry,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
