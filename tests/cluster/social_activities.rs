//! The social activities in the simulated instance, and those that the history of the store accounts for.

use std::collections::{BTreeMap, BTreeSet};

use dataverse_client::{Client, Config, Credentials};
use postlink::api::Post;
use postlink::domain::post_link::PostIdentity;
use uuid::Uuid;

use crate::cluster::{Cluster, SYSTEM};
use crate::harness::history::Revision;
use crate::harness::users::User;
use crate::storm::text;
use crate::story::CANARY;

/// The highest attempt of each post that the history has shown so far, by namespace and name. The posts keep their
/// source and id.
#[derive(Default)]
pub struct Attempts(BTreeMap<(String, String), (Post, i32)>);

impl Attempts {
    pub fn remember(&mut self, history: &[Revision]) {
        for revision in history {
            let (Some(("postlinks", namespace, name)), Some(value)) = (revision.object(), &revision.value)
            else {
                continue;
            };
            let post: Post =
                serde_json::from_value(value["spec"]["post"].clone()).expect("a stored post can be read");
            let attempt = value["status"]["intent"]["attempt"].as_i64().unwrap_or(1);
            let attempt = i32::try_from(attempt).expect("an attempt is a small number");
            let highest = self.0.entry((namespace.to_owned(), name.to_owned())).or_insert((post, attempt));
            highest.1 = highest.1.max(attempt);
        }
    }

    /// The social activities that these attempts may have made: one each.
    pub fn activities(&self, organization: Uuid) -> BTreeSet<Uuid> {
        let of_post = |((namespace, _), (post, highest)): (&(String, String), &(Post, i32))| {
            let identity = PostIdentity::of(post);
            let ids = (1..=*highest).map(|attempt| identity.activity_id(organization, namespace, attempt));
            ids.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_post).collect()
    }
}

/// The organization id of the quickstart's instance, and every social activity in it.
pub async fn activities(cluster: &mut Cluster) -> (Uuid, BTreeSet<Uuid>) {
    let get = ["get", "configmap", "instances", "-n", SYSTEM, "-o", "json"];
    let ca = cluster.plane.kubectl(User::Admin, get).json();
    let reach = cluster.instances().stdout();
    let reach = reach.lines().filter_map(|line| line.split_once('='));
    let config = Config {
        connect_to: reach.map(|(host, at)| (host.to_owned(), at.parse().expect("an address"))).collect(),
        extra_roots: text(&ca["data"]["ca.pem"]).as_bytes().to_vec(),
        ..Config::default()
    };
    // The instance accepts any tenant and application with this secret.
    let credentials = Credentials::ClientSecret {
        tenant_id: Uuid::nil().to_string(),
        client_id: Uuid::nil().to_string(),
        secret: CANARY.to_owned().into(),
    };
    let client = Client::new(&config).unwrap();
    let origin = client.admit("https://northwind.crm.dynamics.com").unwrap();
    let instance = client.instance(&origin, &credentials).unwrap();
    let organization = instance.health().await.unwrap().organization_id;
    let mut page = instance.changes(None).await.unwrap();
    let mut ids = BTreeSet::new();
    loop {
        ids.extend(page.changed.iter().map(|(id, _)| *id));
        if !page.more {
            return (organization, ids);
        }
        page = instance.changes(Some(&page.token)).await.unwrap();
    }
}
