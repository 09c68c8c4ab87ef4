//! One PostLink with the connections and rules around it, and a driver that carries its decisions out.

use crate::fixtures::{self as f, Connection, Rule, at, message, readiness, told};
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
        facts::{ConnectionFacts, RuleFacts},
        post_link::{
            ActivityCheck, ActivityCreation, CreationResult, DesiredLink, LinkSpec, PostLinkDecision,
            PostLinkFacts, PostLinkView, Step, Tombstone, decide,
            record::{self, ActivityState},
        },
        requeue::Requeue,
    },
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The record that links which have one have.
pub const CASE: Uuid = Uuid::from_u128(0xca5e);

/// What an instance holds about an activity: the record it regards.
pub type Regarding = Option<(String, Uuid)>;

/// One post and all that its decision rests on.
#[derive(Clone)]
pub struct Scene {
    pub now: Timestamp,
    pub post: PostLinkFacts,
    pub connections: Vec<Connection>,
    pub rules: Vec<Rule>,
    /// Connections proven gone, by UID.
    pub gone: BTreeMap<String, Option<Timestamp>>,
    /// The activities that exist in all instances.
    pub activities: BTreeMap<Uuid, Regarding>,
    /// The record the instances make of a new activity.
    pub makes: Option<&'static str>,
    /// Why the instances refuse new activities, if they do.
    pub refuses: Option<Reason>,
    pub not_before: Option<Timestamp>,
    pub seen: Option<ActivityState>,
    /// What was created, in order: connection UID and attempt.
    pub made: Vec<(String, i32)>,
}

/// A post created long ago, settled, that nobody asked anything for; nothing else exists. It is noon.
pub fn scene() -> Scene {
    Scene {
        now: at(DAY_AND_A_HALF),
        post: PostLinkFacts {
            generation: 1,
            created: at(0),
            first_seen: Timestamp::UNIX_EPOCH,
            deleting: false,
            published_at: Some(at(-60)),
            desired: DesiredLink::ByRule,
            relink_requested: None,
            reconcile_requested: None,
            status: PostLinkStatus::default(),
        },
        connections: Vec::new(),
        rules: Vec::new(),
        gone: BTreeMap::new(),
        activities: BTreeMap::new(),
        makes: Some("incident"),
        refuses: None,
        not_before: None,
        seen: None,
        made: Vec::new(),
    }
}

const DAY_AND_A_HALF: i64 = f::DAY + f::DAY / 2;

/// Linked by hand through `contoso`; `fabrikam` belongs to another organization.
pub fn linked() -> Scene {
    scene()
        .with(f::connection("contoso"))
        .with(f::connection("fabrikam").org(f::OTHER_ORG))
        .asks(request_to("contoso"))
        .linked(link_through("contoso"))
}

/// The activity of the post in that organization: the same id for the same attempt, always.
pub fn activity(organization: Uuid, attempt: i32) -> Uuid {
    Uuid::from_u128(organization.as_u128() << 64 | u128::from(attempt.unsigned_abs()))
}

/// `spec.link` that names nothing; its hash is `h1`.
pub fn request() -> LinkSpec {
    LinkSpec { connection: None, record_type: None, record_id: None, hash: "h1".into() }
}

/// `spec.link` that names a connection; its hash says so.
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

/// A scene while decisions about it are performed.
struct Performed<'a> {
    scene: &'a mut Scene,
    created: Option<CreationResult>,
    ended: bool,
}

impl Effects for Performed<'_> {
    type Error = std::convert::Infallible;

    async fn confirm_gone(&mut self, connection: &ObjectRef) -> Result<Option<Requeue>, Self::Error> {
        let uid = Some(&connection.uid);
        let here = self.scene.connections.iter().any(|c| c.0.metadata.uid.as_ref() == uid);
        assert!(!here, "a connection that exists is not asked for");
        self.scene.gone.entry(connection.uid.clone()).or_insert(None);
        Ok(None)
    }

    fn check(&mut self, check: &ActivityCheck) {
        self.scene.seen = Some(match self.scene.activities.get(&check.activity) {
            Some(regarding) => ActivityState::Exists {
                regarding: regarding.clone(),
                record_exists: check.record.as_ref().map(|_| true),
            },
            None => ActivityState::Gone { record_exists: None },
        });
    }

    fn create(&mut self, creation: &ActivityCreation) -> Option<Requeue> {
        let scene = &mut *self.scene;
        scene.made.push((creation.connection.clone(), creation.attempt));
        self.created = Some(match scene.refuses {
            Some(reason) => {
                scene.not_before = Some(scene.now + SignedDuration::from_mins(1));
                CreationResult::Failed(reason)
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
        (self.scene.seen, self.created) = (None, None);
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

    /// A rule at work through the connection added last.
    pub fn working(mut self, rule: Rule) -> Self {
        let connection = self.connections.pop().expect("a connection comes first");
        let (rule, connection) = f::at_work(rule, connection);
        self.connections.push(connection);
        self.rule(rule)
    }

    pub fn wish(mut self, wish: DesiredLink) -> Self {
        self.post.desired = wish;
        self
    }

    pub fn asks(self, request: LinkSpec) -> Self {
        self.wish(DesiredLink::ByHand(request))
    }

    pub fn seen(mut self, seen: ActivityState) -> Self {
        self.seen = Some(seen);
        self
    }

    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// The stored status has this link; its intent was used.
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

    /// The stored status has lost its link through `contoso` an hour before.
    pub fn lost(mut self, cause: RemovalCause) -> Self {
        self = self.linked(link_through("contoso"));
        let link = self.post.status.link.take().expect("just put there");
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

    /// Somebody edits `spec`, now.
    pub fn edit(&mut self, wish: DesiredLink) -> &mut Self {
        self.post.desired = wish;
        self.post.generation += 1;
        self.post.first_seen = self.now;
        self
    }

    pub fn connection(&mut self, name: &str) -> &mut Connection {
        let named = |c: &&mut Connection| c.0.metadata.name.as_deref() == Some(name);
        self.connections.iter_mut().find(named).expect("the scene has it")
    }

    /// The connection's deletion has completed.
    pub fn delete_connection(&mut self, name: &str) -> &mut Self {
        let at = self.now;
        self.connections.retain(|c| c.0.metadata.name.as_deref() != Some(name));
        self.gone.insert(format!("uid-{name}"), Some(at));
        self
    }

    /// One decision.
    pub fn decide(&self, created: Option<&CreationResult>) -> PostLinkDecision {
        let connections: Vec<ConnectionFacts> = self.connections.iter().map(Connection::facts).collect();
        let rules: Vec<RuleFacts> = self.rules.iter().map(Rule::facts).collect();
        let tombstone =
            |uid: &str| self.gone.get(uid).map(|deleted_at| Tombstone { deleted_at: *deleted_at });
        decide(&PostLinkView {
            now: self.now,
            post_link: &self.post,
            connections: &connections,
            matching: &rules,
            tombstone: &tombstone,
            activity: self.seen.as_ref(),
            created,
            not_before: self.not_before,
        })
    }

    /// Performs decisions until nothing is left to do now; the last decision. Waiting is left to [`Scene::settle`].
    pub fn run(&mut self) -> PostLinkDecision {
        let mut step = Performed { scene: self, created: None, ended: false };
        for _ in 0..20 {
            let decision = step.scene.decide(step.created.as_ref());
            step.ended = decision.step == Step::Wait;
            perform(&mut step, &decision)
                .now_or_never()
                .expect("a scene waits for nobody")
                .expect("nothing fails");
            if step.ended {
                step.scene.seen = None;
                return decision;
            }
        }
        panic!("decisions never come to rest: {:?}", self.post.status);
    }

    fn created(&mut self, create: &ActivityCreation) -> CreationResult {
        let activity = activity(create.organization, create.attempt);
        let table = self.makes.map(|table| (table.to_owned(), CASE));
        let record = create.record_id.map(|id| ("incident".to_owned(), id)).or(table);
        let record = self.activities.entry(activity).or_insert(record).clone();
        CreationResult::Exists {
            activity,
            record,
            connection: create.connection.clone(),
            rule: create.rule.clone(),
            spec: create.spec.clone(),
        }
    }

    /// Runs, and lets time pass while something only waits for it.
    pub fn settle(&mut self) -> &mut Self {
        for _ in 0..20 {
            let decision = self.run();
            match decision.requeue {
                Some(again) if decision.step == Step::Wait => self.now = again.at,
                _ => return self,
            }
        }
        panic!("waits for ever");
    }

    /// `Linked | RecordAvailable | removedLink | Ready` of a status, as in the table of §3.
    pub fn row_of(status: &PostLinkStatus) -> String {
        let list = &status.conditions;
        let removed = status.removed_link.as_ref().map_or("-".into(), |r| format!("{:?}", r.cause));
        let linked = told(list, ConditionType::Linked);
        assert_eq!(
            linked.starts_with("True"),
            status.link.is_some(),
            "Linked says whether there is a link: {linked}"
        );
        format!("{linked} | {} | {removed} | {}", told(list, ConditionType::RecordAvailable), readiness(list))
    }

    /// The row of the stored status.
    pub fn row(&self) -> String {
        Self::row_of(&self.post.status)
    }

    /// Settles, and expects that row.
    #[track_caller]
    pub fn expect(&mut self, row: &str) -> &mut Self {
        self.settle();
        assert_eq!(self.row(), row);
        self
    }

    /// The attempts that were created, in order.
    pub fn attempts(&self) -> Vec<i32> {
        self.made.iter().map(|(_, attempt)| *attempt).collect()
    }

    /// The message of a condition of the stored status.
    pub fn says(&self, type_: ConditionType) -> String {
        message(&self.post.status.conditions, type_)
    }
}
