//! The one closed list of reasons. A reason that is not here cannot be written; alerts may match on it.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is. Written as its own name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason there is, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),+];

            /// The CamelCase word that stands in the condition.
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

            /// The reason spelled `word`, if it is one of ours.
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
    /// The original link is back after its organisation was connected again (R14).
    Restored,
    /// The connection the link went through is gone; the link is kept aside and can come back (R10, R13).
    ConnectionDeleted,
    /// Somebody dissociated the record from the social activity in Dynamics 365 (R23).
    RecordDissociated,
    /// Somebody deleted the record in Dynamics 365 (R24).
    RecordDeleted,
    /// Somebody deleted the social activity in Dynamics 365 (R25).
    SocialActivityDeleted,
    /// The user unlinked the post; this link never comes back (R26).
    Unlinked,
    /// Nothing asks for a link and no active rule matches.
    NotRequested,
    // Wanted, cannot be done now (R21); the first four also say why a record is not available.
    /// The connection is disabled by `spec.enabled: false` (R5, R16).
    ConnectionDisabled,
    /// The instance is down, in administration mode, disabled on its own side, or answers rubbish (R17).
    InstanceDowntime,
    /// The trial or subscription of the instance has ended (R18).
    InstanceExpired,
    /// The connection's credentials, Secret or host cannot be used.
    ConnectionNotReady,
    /// Another organisation answers at the connection's URL.
    OrganizationChanged,
    /// No connection of that name exists in the namespace.
    ConnectionNotFound,
    /// The link names no connection and the namespace has no default one.
    NoDefaultConnection,
    /// The connection does not offer that record type (R9).
    RecordTypeNotOffered,
    /// The instance has no record with the id of `spec.link.recordId`.
    RecordNotFound,
    /// The instance is set not to receive social data.
    SocialDataRefused,
    /// The instance, or `linksPerSecond`, asks to wait.
    Throttled,
    /// The instance refuses this post's social activity as it is.
    PostRefused,
    // RecordAvailable, of a PostLink.
    /// The record can be read in the instance.
    RecordAvailable,
    /// The instance has made no record of the social activity (yet, or ever).
    RecordPending,
    // Active, of an AutomationRule.
    /// The rule stands in its connection's `status.activeRules` and is at work (§4.1).
    Reserved,
    /// The rule is inactive because `spec.active` is false.
    Inactive,
    /// The rule waits for its connection to take it in.
    ReservationPending,
    /// The connection is being deleted and takes no new rule (§4.3).
    ConnectionTerminating,
    /// The connection holds as many active rules as it can list.
    ConnectionFull,
    /// This active rule keeps a disable or delete of its connection waiting (R8).
    HoldsConnection,
    // Of a DynamicsConnection.
    /// The instance answers and accepts the credentials.
    Connected,
    /// The instance has not answered for the first time yet.
    Connecting,
    /// The connection is disabled, as asked (R5).
    Disabled,
    /// Chosen as the default of its namespace (R3).
    DefaultConnection,
    /// Another connection of the namespace is the default; this one asks for it too (R3).
    DefaultConflict,
    /// The connection does not ask to be the default.
    NotDefault,
    /// Active automation rules use the connection (R8, R9).
    UsedByActiveRules,
    /// The Secret named by `spec.credentials` does not exist.
    SecretNotFound,
    /// The Secret lacks a key, is for another instance URL, or may not be read.
    SecretInvalid,
    /// The token endpoint or the instance refuses the credentials.
    CredentialsRejected,
    /// The sign-in service gives no token now; what is known of the instance stays as it was.
    SignInUnavailable,
    /// The application is not a member of the organisation or lacks privileges in it.
    AccessDenied,
    /// The host of `spec.instanceUrl` is not on the operator's allow-list.
    HostNotAllowed,
    /// The host resolves to an address that is never contacted (private, loopback, link-local).
    AddressNotAllowed,
    // Reconciling and Stalled, of every kind.
    /// Work is under way.
    Progressing,
    /// Something failed and is tried again by itself.
    ProgressingWithRetry,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
