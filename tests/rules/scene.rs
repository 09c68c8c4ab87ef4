//! A PostLink with its connections and rules, and a driver that carries out the decisions about it.

use crate::fixtures::{self as f, Connection, Rule, at, condition_text, message, readiness};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use postlink::{
    api::{
        ConditionType, Intent, LinkState, LinkedBy, ObjectRef, PostLinkStatus, Reason, RemovalCause,
        RemovedLink,
    },
    controller::post_link::perform::{Effects, perform},
    domain::{
        post_link::{
            ActivityCheck, ActivityCreation, CreationResult, DesiredLink, LinkSpec, NotBefore, PostClaim,
            PostLinkDecision, PostLinkFacts, PostLinkView, Step, Tombstone, decide,
            record::{self, ActivityState},
        },
        requeue::Requeue,
    },
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// The id of the record in links that have one.
pub const CASE: Uuid = Uuid::from_u128(0xca5e);

/// The record that an activity regards in its instance: table and id.
pub type Regarding = Option<(String, Uuid)>;

/// A PostLink, and everything that the decision about it depends on.
#[derive(Clone)]
pub struct Scene {
    pub now: Timestamp,
    pub post: PostLinkFacts,
    pub connections: Vec<Connection>,
    pub rules: Vec<Rule>,
    /// Connections confirmed as deleted, by UID, with the time of the request to delete if it is known.
    pub deleted_connections: BTreeMap<String, Option<Timestamp>>,
    /// The activities that exist in all instances.
    pub activities: BTreeMap<Uuid, Regarding>,
    /// The table of the record that the instances create for a new activity; `None` if they create none.
    pub new_record_type: Option<&'static str>,
    /// Whether the process is about to stop.
    pub stopping: bool,
    /// Why the instances reject new activities; `None` if they accept them.
    pub creation_failure: Option<Reason>,
    pub not_before: Option<NotBefore>,
    /// Of the other PostLinks of the same post, the one that counts.
    pub same_post: Option<PostClaim>,
    pub activity_state: Option<ActivityState>,
    /// The creations so far: the connection's UID and the attempt of each.
    pub creations: Vec<(String, i32)>,
}

/// A PostLink without a request for a link, created a day and a half ago. There are no connections or rules.
pub fn scene() -> Scene {
    Scene {
        now: at(DAY_AND_A_HALF),
        post: PostLinkFacts {
            name: "post".into(),
            generation: 1,
            created: at(0),
            first_seen: Timestamp::UNIX_EPOCH,
            post_changed: false,
            deleting: false,
            published_at: Some(at(-60)),
            desired: DesiredLink::ByRule,
            relink_requested: None,
            reconcile_requested: None,
            status: PostLinkStatus::default(),
        },
        connections: Vec::new(),
        rules: Vec::new(),
        deleted_connections: BTreeMap::new(),
        activities: BTreeMap::new(),
        new_record_type: Some("incident"),
        stopping: false,
        creation_failure: None,
        not_before: None,
        same_post: None,
        activity_state: None,
        creations: Vec::new(),
    }
}

const DAY_AND_A_HALF: i64 = f::DAY + f::DAY / 2;

/// A post linked by hand through `contoso`, and a connection `fabrikam` to another organization.
pub fn linked() -> Scene {
    scene()
        .with(f::connection("contoso"))
        .with(f::connection("fabrikam").org(f::OTHER_ORG))
        .requests(request_to("contoso"))
        .linked(link_through("contoso"))
}

/// The id of the post's activity in an organization. It depends only on the attempt.
pub fn activity(organization: Uuid, attempt: i32) -> Uuid {
    Uuid::from_u128(organization.as_u128() << 64 | u128::from(attempt.unsigned_abs()))
}

/// A `spec.link` without any field; its hash is `h1`.
pub fn request() -> LinkSpec {
    LinkSpec { connection: None, record_type: None, record_id: None, hash: "h1".into() }
}

/// A `spec.link` that names a connection; its hash is `to-<connection>`.
pub fn request_to(connection: &str) -> LinkSpec {
    LinkSpec { connection: Some(connection.into()), hash: format!("to-{connection}"), ..request() }
}

/// A link through a connection, with a record, made by hand a day ago.
pub fn link_through(connection: &str) -> LinkState {
    LinkState {
        connection: ObjectRef { name: connection.into(), uid: format!("uid-{connection}") },
        organization_id: f::ORG,
        social_activity_id: activity(f::ORG, 1),
        record: Some(record::record("incident", CASE, &format!("https://{connection}.crm.dynamics.com"))),
        linked_at: Time(at(0)),
        linked_by: LinkedBy::Hand,
        rule: None,
        restored_at: None,
    }
}

/// The effects of decisions on a scene.
struct SceneEffects<'a> {
    scene: &'a mut Scene,
    created: Option<CreationResult>,
    ended: bool,
}

impl Effects for SceneEffects<'_> {
    type Error = std::convert::Infallible;

    async fn confirm_gone(&mut self, connection: &ObjectRef) -> Result<Option<Requeue>, Self::Error> {
        let uid = Some(&connection.uid);
        let exists = self.scene.connections.iter().any(|c| c.0.metadata.uid.as_ref() == uid);
        assert!(!exists, "the connection exists, so its deletion need not be confirmed");
        self.scene.deleted_connections.entry(connection.uid.clone()).or_insert(None);
        Ok(None)
    }

    fn check(&mut self, check: &ActivityCheck) {
        self.scene.activity_state = Some(match self.scene.activities.get(&check.activity) {
            Some(regarding) => ActivityState::Exists {
                regarding: regarding.clone(),
                record_exists: check.record.as_ref().map(|_| true),
            },
            None => ActivityState::Gone { record_exists: None },
        });
    }

    fn create(&mut self, creation: &ActivityCreation) -> Option<Requeue> {
        let scene = &mut *self.scene;
        scene.creations.push((creation.connection.clone(), creation.attempt));
        self.created = Some(match scene.creation_failure {
            Some(reason) => {
                let (connection, at) =
                    (creation.connection.clone(), scene.now + SignedDuration::from_mins(1));
                scene.not_before = Some(NotBefore { connection: connection.clone(), at });
                CreationResult::Failed { connection, reason }
            }
            None => scene.created(creation),
        });
        None
    }

    async fn write(&mut self, decision: &PostLinkDecision) -> Result<(), Self::Error> {
        let post = &mut self.scene.post;
        self.ended = post.status == decision.status;
        post.status = decision.status.clone();
        post.first_seen = Timestamp::UNIX_EPOCH;
        (self.scene.activity_state, self.created) = (None, None);
        Ok(())
    }
}

impl Scene {
    pub fn with(mut self, connection: Connection) -> Self {
        self.connections.push(connection);
        self
    }

    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a rule that is active through the connection added last.
    pub fn active_rule(mut self, rule: Rule) -> Self {
        let connection = self.connections.pop().expect("a connection comes first");
        let (rule, connection) = f::activated(rule, connection);
        self.connections.push(connection);
        self.rule(rule)
    }

    pub fn desired(mut self, desired: DesiredLink) -> Self {
        self.post.desired = desired;
        self
    }

    pub fn requests(self, request: LinkSpec) -> Self {
        self.desired(DesiredLink::ByHand(request))
    }

    pub fn activity_state(mut self, activity_state: ActivityState) -> Self {
        self.activity_state = Some(activity_state);
        self
    }

    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// The stored status has this link, and an intent that was acted on.
    pub fn linked(mut self, link: LinkState) -> Self {
        self.activities
            .insert(link.social_activity_id, link.record.as_ref().map(|r| (r.type_.clone(), r.id)));
        self.post.status.link = Some(link);
        let hash = match &self.post.desired {
            DesiredLink::ByHand(request) => Some(request.hash.clone()),
            _ => None,
        };
        self.post.status.intent =
            Some(Intent { hash, connection: None, attempt: 1, relink_requested_at: None });
        self
    }

    /// The link through `contoso` was removed an hour ago.
    pub fn link_removed(mut self, cause: RemovalCause) -> Self {
        self = self.linked(link_through("contoso"));
        let link = self.post.status.link.take().expect("the link was just added");
        let removed_at = Time(self.now - SignedDuration::from_hours(1));
        self.post.status.removed_link = Some(RemovedLink {
            link,
            removed_at,
            cause,
            connection_deleted_at: None,
            relink_requested: false,
        });
        if let Some(intent) = &mut self.post.status.intent {
            intent.attempt = 2;
        }
        self
    }

    /// A user edits `spec` now.
    pub fn edit(&mut self, desired: DesiredLink) -> &mut Self {
        self.post.desired = desired;
        self.post.generation += 1;
        self.post.first_seen = self.now;
        self
    }

    pub fn connection(&mut self, name: &str) -> &mut Connection {
        let named = |c: &&mut Connection| c.0.metadata.name.as_deref() == Some(name);
        self.connections.iter_mut().find(named).expect("the scene has it")
    }

    /// Removes a connection, as after its deletion.
    pub fn delete_connection(&mut self, name: &str) -> &mut Self {
        let at = self.now;
        self.connections.retain(|c| c.0.metadata.name.as_deref() != Some(name));
        self.deleted_connections.insert(format!("uid-{name}"), Some(at));
        self
    }

    /// The next decision.
    pub fn decide(&self, created: Option<&CreationResult>) -> PostLinkDecision {
        let connections: Vec<_> = self.connections.iter().map(|c| Arc::new(c.facts())).collect();
        let rules: Vec<_> = self.rules.iter().map(|rule| Arc::new(rule.facts())).collect();
        let tombstone = |uid: &str| {
            self.deleted_connections.get(uid).map(|deleted_at| Tombstone { deleted_at: *deleted_at })
        };
        decide(&PostLinkView {
            now: self.now,
            post_link: &self.post,
            connections: &connections,
            matching: &rules,
            same_post: self.same_post.as_ref(),
            tombstone: &tombstone,
            activity: self.activity_state.as_ref(),
            created,
            not_before: self.not_before.as_ref(),
            stopping: self.stopping,
        })
    }

    /// Carries out decisions until one waits or changes nothing, and returns it. Time does not pass.
    pub fn run(&mut self) -> PostLinkDecision {
        let mut effects = SceneEffects { scene: self, created: None, ended: false };
        for _ in 0..20 {
            let decision = effects.scene.decide(effects.created.as_ref());
            effects.ended = decision.step == Step::Wait;
            perform(&mut effects, &decision)
                .now_or_never()
                .expect("the effects of a scene complete at once")
                .expect("the effects of a scene do not fail");
            if effects.ended {
                effects.scene.activity_state = None;
                return decision;
            }
        }
        panic!("no decision has waited after 20: {:?}", self.post.status);
    }

    fn created(&mut self, create: &ActivityCreation) -> CreationResult {
        let activity = activity(create.organization, create.attempt);
        let table = self.new_record_type.map(|table| (table.to_owned(), CASE));
        let record = create.record_id.map(|id| ("incident".to_owned(), id)).or(table);
        let record = self.activities.entry(activity).or_insert(record).clone();
        CreationResult::Exists {
            link: create.link(activity, record, self.now),
            spec: create.spec.clone(),
            attempt: create.attempt,
        }
    }

    /// Carries out decisions, and advances the clock to each requeue, until nothing is requeued.
    pub fn settle(&mut self) -> &mut Self {
        for _ in 0..20 {
            let decision = self.run();
            match decision.requeue {
                Some(again) if decision.step == Step::Wait => self.now = again.at,
                _ => return self,
            }
        }
        panic!("still requeued after 20 times");
    }

    /// `Linked | RecordAvailable | removedLink | Ready` of a status, the columns of the table in §3.
    pub fn row_of(status: &PostLinkStatus) -> String {
        let list = &status.conditions;
        let removed = status.removed_link.as_ref().map_or("-".into(), |r| format!("{:?}", r.cause));
        let linked = condition_text(list, ConditionType::Linked);
        assert_eq!(
            linked.starts_with("True"),
            status.link.is_some(),
            "Linked is True if there is a link, and only then: {linked}"
        );
        format!(
            "{linked} | {} | {removed} | {}",
            condition_text(list, ConditionType::RecordAvailable),
            readiness(list)
        )
    }

    /// The row of the stored status.
    pub fn row(&self) -> String {
        Self::row_of(&self.post.status)
    }

    /// Settles, and checks the row.
    #[track_caller]
    pub fn expect(&mut self, row: &str) -> &mut Self {
        self.settle();
        assert_eq!(self.row(), row);
        self
    }

    /// The attempts of the creations so far.
    pub fn attempts(&self) -> Vec<i32> {
        self.creations.iter().map(|(_, attempt)| *attempt).collect()
    }

    /// The message of a condition of the stored status.
    pub fn message(&self, type_: ConditionType) -> String {
        message(&self.post.status.conditions, type_)
    }
}
