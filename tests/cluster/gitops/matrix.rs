//! The matrix: every scenario with every tool, each in its own namespace, several at a time, on one control plane with
//! one controller in mode Deny. The expected results are written by hand from §5 of the semantics, not taken from a
//! run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use super::argo::Application;
use super::cell::Cell;
use super::flux::{Flux, Kustomization};
use super::helm::Helm;
use super::kubectl::{Kubectl, Order};
use super::page;
use super::play::Outcome::{self, Converges, Held, NeedsPruneLast, OnceMore, Refused};
use super::play::{CellResult, play};
use super::tool::Tool;
use super::tree::{PLATFORM, Scenario};
use crate::cluster::{Cluster, Lease, SOON};
use crate::harness::users::User;
use crate::oracle;
use crate::story::CANARY;

/// Cells run at a time; they mostly wait for the controller's five seconds.
const AT_A_TIME: usize = 8;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    Kubectl,
    KubectlServerSide,
    Helm3,
    Helm4,
    Flux,
    FluxTenant,
    ArgoOneWave,
    ArgoWaves,
    ArgoWavesPruneLast,
}

impl Column {
    pub const ALL: [Self; 9] = [
        Self::Kubectl,
        Self::KubectlServerSide,
        Self::Helm3,
        Self::Helm4,
        Self::Flux,
        Self::FluxTenant,
        Self::ArgoOneWave,
        Self::ArgoWaves,
        Self::ArgoWavesPruneLast,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Kubectl => "kubectl",
            Self::KubectlServerSide => "kubectl `--server-side`",
            Self::Helm3 => "Helm 3",
            Self::Helm4 => "Helm 4",
            Self::Flux => "Flux",
            Self::FluxTenant => "Flux as a tenant",
            Self::ArgoOneWave => "Argo CD, one wave",
            Self::ArgoWaves => "Argo CD, waves",
            Self::ArgoWavesPruneLast => "Argo CD, waves, `PruneLast`",
        }
    }

    /// Whether the real program ran, or the driver that reproduces Argo CD's requests.
    pub fn is_real(self) -> bool {
        !matches!(self, Self::ArgoOneWave | Self::ArgoWaves | Self::ArgoWavesPruneLast)
    }

    /// The tools that run a cell of this column, each in its own namespace.
    fn tools(self, flux: &Flux) -> Vec<Box<dyn Tool + '_>> {
        let kubectl = |server_side| -> Vec<Box<dyn Tool>> {
            [Order::RulesFirst, Order::ConnectionFirst]
                .map(|order| Box::new(Kubectl { server_side, order }) as Box<dyn Tool>)
                .into()
        };
        match self {
            Self::Kubectl => kubectl(false),
            Self::KubectlServerSide => kubectl(true),
            Self::Helm3 => vec![Box::new(Helm { major: 3 })],
            Self::Helm4 => vec![Box::new(Helm { major: 4 })],
            Self::Flux => vec![Box::new(Kustomization::of_the_cluster(flux))],
            Self::FluxTenant => vec![Box::new(Kustomization::of_a_tenant(flux))],
            Self::ArgoOneWave => vec![Box::new(Application::of_one_wave())],
            Self::ArgoWaves => vec![Box::new(Application::of_two_waves(false))],
            Self::ArgoWavesPruneLast => vec![Box::new(Application::of_two_waves(true))],
        }
    }

    /// §5, by hand: the allowed results of the scenario's commit, and of the later one that deactivates the rules.
    fn expected(self, scenario: Scenario, order: usize) -> (&'static [Outcome], &'static [Outcome]) {
        use Scenario::{S1, S2, S3, S4, S5, S6};
        match (self, scenario) {
            // A person's request is denied in mode Deny, with the reason. Applying the rules first may or may not be too quick
            // for the controller; starting with the connection is always denied once.
            (Self::Kubectl | Self::KubectlServerSide, scenario) => match (scenario, order) {
                (S1 | S5, 0) => (&[Refused], &[Converges, OnceMore]),
                (S1 | S5, _) => (&[Refused], &[OnceMore]),
                (S2 | S3 | S4, 0) => (&[Converges, OnceMore], &[]),
                (S2 | S3 | S4, _) => (&[OnceMore], &[]),
                (S6, _) => (&[Converges], &[]),
            },
            // The first wave prunes the connection and waits for it; the rules are in the second.
            (Self::ArgoWaves, S1) => (&[Held], &[NeedsPruneLast]),
            (Self::ArgoWaves, S2) => (&[NeedsPruneLast], &[]),
            (_, S1 | S5) => (&[Held], &[Converges]),
            (_, S2 | S3 | S4 | S6) => (&[Converges], &[]),
        }
    }
}

pub type Place = (Scenario, Column);

/// The result of a cell, or why it failed.
fn play_cell(cluster: &Cluster, flux: &Flux, (scenario, column): Place) -> CellResult {
    let mut worst: Option<CellResult> = None;
    for (order, mut tool) in column.tools(flux).into_iter().enumerate() {
        let namespace = format!("{scenario:?}-{column:?}-{order}").to_lowercase();
        let cell = Cell::new(cluster, namespace);
        let played = play(&cell, tool.as_mut(), scenario);
        let (second, third) = column.expected(scenario, order);
        assert!(second.contains(&played.second), "{}: {played:?}, expected {second:?}", cell.namespace);
        let later = played.third.map_or(third.is_empty(), |came| third.contains(&came));
        assert!(later, "{}: {played:?}, expected later {third:?}", cell.namespace);
        // The table shows the worst case.
        let before = worst.unwrap_or(played);
        worst = Some(CellResult {
            second: before.second.max(played.second),
            third: before.third.max(played.third),
        });
    }
    worst.expect("every column has a tool")
}

#[test]
fn one_commit_suffices_with_every_tool() {
    let cluster = Cluster::quickstart(Lease::None);
    cluster.plane.kubectl(User::Admin, ["create", "namespace", PLATFORM]).ok();
    let flux = Flux::start(&cluster);
    refusal_is_in_force(&cluster);

    let begin = Instant::now();
    // Start with the scenarios that need a third commit.
    let mut places: Vec<Place> =
        Scenario::ALL.iter().flat_map(|s| Column::ALL.iter().map(|c| (*s, *c))).collect();
    places.sort_by_key(|(scenario, _)| !matches!(scenario, Scenario::S1 | Scenario::S5));
    let queue = Mutex::new(places.into_iter());
    let results = Mutex::new(BTreeMap::new());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(place) = queue.lock().expect("the lock is not poisoned").next() else {
                        break;
                    };
                    // One failed cell must not hide the results of the others.
                    match catch_unwind(AssertUnwindSafe(|| play_cell(&cluster, &flux, place))) {
                        Ok(played) => {
                            eprintln!("{:>4} s  {place:?}: {played:?}", begin.elapsed().as_secs());
                            results.lock().expect("the lock is not poisoned").insert(place, played);
                        }
                        Err(_) => failures.lock().expect("the lock is not poisoned").push(place),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("every thread has ended");
    assert!(failures.is_empty(), "failed cells: {failures:?}");

    cluster.controller_kept_within_its_rights();
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
    page::check(&results.into_inner().expect("every thread has ended"));
}

/// A policy takes effect some time after its creation, without any signal.
fn refusal_is_in_force(cluster: &Cluster) {
    let cell = Cell::new(cluster, "in-force".to_owned());
    let mut kubectl = Kubectl { server_side: false, order: Order::RulesFirst };
    super::play::begin(&cell, &mut kubectl);
    let delete = ["delete", "dconn", super::cell::CONNECTION, "-n", &cell.namespace, "--dry-run=server"];
    cluster.plane.until_refused(User::Alice, &delete, super::tree::USED_BY, SOON);
}
