//! The API: three kinds, their conditions and reasons. No I/O.

pub mod automation_rule;
pub mod conditions;
pub mod connection;
pub mod crds;
mod decode;
pub mod difference;
mod keywords;
pub mod names;
pub mod policies;
pub mod post_link;
pub mod reasons;
mod schemas;

pub use automation_rule::{
    AutomationRule, AutomationRuleSpec, AutomationRuleStatus, IncludeExclude, Match, Reach, RuleLink,
};
pub use conditions::{Condition, ConditionStatus, ConditionType};
pub use connection::{
    ActiveRule, ConnectionRef, ConnectionState, Credentials, DynamicsConnection, DynamicsConnectionSpec,
    DynamicsConnectionStatus, Interval, MetadataStatus, Organization, SecretRef, WorkloadIdentity,
};
pub use decode::normal_url;
pub use keywords::{DASHES, NOT_BEFORE_STAR, STARS, UNSEARCHABLE, has_operators};
pub use post_link::{
    Author, Contributor, Intent, Intention, LinkRequest, LinkState, LinkedBy, ObjectRef, Post, PostLink,
    PostLinkSpec, PostLinkStatus, PostType, Record, RemovalCause, RemovedLink, Sentiment,
};
pub use reasons::Reason;
pub use schemas::NOT_OBSERVED;
