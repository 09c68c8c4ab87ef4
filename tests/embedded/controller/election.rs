//! Leader election, observed through a candidate's API requests.

use crate::program::postlink;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    client::Body,
};
use kube_memory::{Fault, FaultInjector, MemoryApi, Options, UserInfo, serve};
use postlink::{
    api::{
        crds,
        names::{CONTROLLER, WATCHED_NAMESPACES},
    },
    leader::{
        Loss,
        election::{Acquired, Election, Timing},
        run::{acquire, may_create},
        thread::LeaseThread,
    },
};
use serde_json::{Value, json};
use std::{
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tower::{ServiceExt as _, service_fn};

const LEASES: &str = "leases.coordination.k8s.io";
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// The verbs of the lease requests, in order.
type Requests = Arc<Mutex<Vec<&'static str>>>;

/// Records lease requests, and answers writes with 503 while `failing` is set.
fn recording(requests: &Requests, failing: &Arc<AtomicBool>) -> FaultInjector {
    let (requests, failing) = (requests.clone(), failing.clone());
    FaultInjector::with_hook(move |request| {
        if request.resource != LEASES {
            return Fault::None;
        }
        requests.lock().unwrap().push(request.verb);
        if request.is_write && failing.load(Ordering::SeqCst) {
            return Fault::Answer { code: 503, retry_after: None };
        }
        Fault::None
    })
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "it did not come to this: {what}");
}

fn holder(api: &MemoryApi) -> Value {
    api.get("Lease", "default", CONTROLLER)
        .map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
}

/// The clocks of two machines may differ by any amount, so the renew time in the lease does not count.
#[tokio::test]
async fn lease_expiry_counts_from_the_last_observed_change() {
    let renewed = |ago: SignedDuration, seconds: u32| json!({"spec": {"holderIdentity": "another", "leaseDurationSeconds": seconds, "renewTime": format!("{:.6}", Timestamp::now() - ago)}});
    let api = MemoryApi::new(&[], Options::default()).unwrap();
    let leases: Api<Lease> = Api::default_namespaced(api.client(UserInfo::admin()));
    // By the holder's clock it expired long ago.
    let mut foreign = renewed(SignedDuration::from_hours(2), 3600);
    foreign["metadata"] = json!({"name": CONTROLLER});
    leases.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();

    let requests = Requests::default();
    let line = recording(&requests, &Arc::default());
    let client = api.client_with_faults(UserInfo::new("us"), &line);
    let mut candidate =
        Election::new(client, "default", "us".to_owned(), Timing::of(Duration::from_millis(1500)), &[]);
    let acquired = tokio::spawn(async move { candidate.acquire().await });
    until("the lease has been read several times", || {
        acquired.is_finished() || requests.lock().unwrap().len() >= 5
    })
    .await;
    let reads = requests.lock().unwrap().iter().all(|verb| *verb == "get");
    assert!(reads && !acquired.is_finished(), "it was not observed unchanged for an hour");

    // By the holder's clock it is valid for an hour, but it is not renewed any more.
    let last = Patch::Merge(renewed(SignedDuration::from_hours(-1), 1));
    leases.patch(CONTROLLER, &PatchParams::default(), &last).await.unwrap();
    let acquired = tokio::time::timeout(DEADLINE, acquired).await.expect("it is taken at last").unwrap();
    assert_eq!(acquired, Acquired::Taken);
    assert_eq!(holder(&api), "us");
    assert_eq!(line.writes(), 1);
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// If the client retried a renewal, the lease could be lost unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn failed_renewal_is_not_retried_without_a_read() {
    let api = MemoryApi::new(&crds::all(), Options::default()).unwrap();
    let (requests, failing) = (Requests::default(), Arc::new(AtomicBool::new(false)));
    let service = api.service_with_faults(UserInfo::admin(), &recording(&requests, &failing));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, service, std::future::pending()));

    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "memory",
        "clusters": [{"name": "memory", "cluster": {"server": server}}],
        "users": [{"name": "us", "user": {}}],
        "contexts": [{"name": "memory", "context": {"cluster": "memory", "user": "us"}}],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let run = postlink()
        .args([
            "run",
            "--leader-elect=true",
            "--lease-namespace=default",
            // Long enough for several attempts on a busy machine.
            "--lease-duration=10",
            "--kubeconfig",
        ])
        .arg(&kubeconfig)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut run = KillOnDrop(run);
    until("it leads", || holder(&api).is_string()).await;

    // In this order: a renewal that is stored may be followed by one that is not.
    failing.store(true, Ordering::SeqCst);
    requests.lock().unwrap().clear();
    let ended = Mutex::new(None);
    {
        let run = Mutex::new(&mut run.0);
        until("it gives up", || {
            *ended.lock().unwrap() = run.lock().unwrap().try_wait().unwrap();
            ended.lock().unwrap().is_some()
        })
        .await;
    }
    assert_eq!(ended.into_inner().unwrap().unwrap().code(), Some(1));
    let requests = requests.lock().unwrap().clone();
    assert!(requests.iter().filter(|verb| **verb == "update").count() >= 2, "{requests:?}");
    let again = requests.windows(2).any(|two| two == ["update", "update"]);
    assert!(!again, "a renewal that failed was repeated: {requests:?}");
}

/// §4.7.
#[tokio::test]
async fn creations_need_a_lease_that_lasts() {
    let api = MemoryApi::new(&[], Options::default()).unwrap();
    let timing = |seconds| Timing::of(Duration::from_secs(seconds));
    let mut election =
        Election::new(api.client(UserInfo::admin()), "default", "us".to_owned(), timing(300), &[]);
    let held = election.leadership();
    assert!(!may_create(Some(held.clone()), timing(300))(), "it is not held yet");
    election.acquire().await;
    assert!(may_create(Some(held.clone()), timing(300))());
    // As much is left as a longer lease has left after its holder failed to renew it for a while.
    assert!(held.remaining() < timing(1200).margin());
    assert!(!may_create(Some(held), timing(1200))());
    assert!(may_create(None, timing(300))(), "without leader election");
}

fn memory() -> MemoryApi {
    MemoryApi::new(&[], Options::default()).unwrap()
}

/// Writes the lease as `kubectl` would: the holder need not exist.
async fn forge(api: &MemoryApi, spec: Value) {
    let kind = ApiResource::erase::<Lease>(&());
    let leases: Api<DynamicObject> = Api::default_namespaced_with(api.client(UserInfo::admin()), &kind);
    let forged = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": CONTROLLER}, "spec": spec,
    });
    let params = PatchParams::apply("kubectl").force();
    leases.patch(CONTROLLER, &params, &Patch::Apply(forged)).await.unwrap();
}

fn candidate(api: &MemoryApi, line: &FaultInjector, seconds: u64) -> Election {
    let client = api.client_with_faults(UserInfo::new("us"), line);
    Election::new(client, "default", "us".to_owned(), Timing::of(Duration::from_secs(seconds)), &[])
}

#[tokio::test(start_paused = true)]
async fn forged_holder_blocks_no_longer_than_the_longest_lease() {
    let api = memory();
    forge(&api, json!({"holderIdentity": "nobody", "leaseDurationSeconds": 2_000_000_000})).await;
    let begin = tokio::time::Instant::now();
    let acquired = candidate(&api, &FaultInjector::default(), 15).acquire().await;
    assert_eq!(acquired, Acquired::Taken);
    let (took, longest) = (begin.elapsed(), Duration::from_secs(300));
    assert!((longest..longest + Duration::from_secs(5)).contains(&took), "by the paused clock: {took:?}");
}

/// A tool that labels every object must not keep a dead holder's lease alive.
#[tokio::test(start_paused = true)]
async fn labels_and_annotations_do_not_renew_a_lease() {
    let api = memory();
    forge(&api, json!({"holderIdentity": "dead", "leaseDurationSeconds": 15})).await;
    let mut candidate = candidate(&api, &FaultInjector::default(), 15);
    let leases: Api<Lease> = Api::default_namespaced(api.client(UserInfo::admin()));
    let touched = async {
        for number in 0.. {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": number.to_string()}}}));
            leases.patch(CONTROLLER, &PatchParams::default(), &touch).await.unwrap();
            assert!(number < 100, "the lease does not expire");
        }
    };
    tokio::select! {
        acquired = candidate.acquire() => assert_eq!(acquired, Acquired::Taken),
        () = touched => {}
    }
}

#[tokio::test(start_paused = true)]
async fn leader_gives_up_when_another_holder_is_written() {
    let api = memory();
    let mut leader = candidate(&api, &FaultInjector::default(), 15);
    leader.acquire().await;
    forge(&api, json!({"holderIdentity": "nobody", "leaseDurationSeconds": 15})).await;
    assert_eq!(leader.keep().await, Loss::Taken { holder: "nobody".to_owned() });
    assert!(leader.leadership().remaining().is_zero());
}

/// It is admitted and beyond what can be represented, so a Lease with it cannot be decoded.
const ABSURD: &str = "9999-12-31T23:59:59.000000Z";

#[tokio::test(start_paused = true)]
async fn lease_with_an_absurd_time_expires() {
    for field in ["renewTime", "acquireTime"] {
        let api = memory();
        let mut leader = candidate(&api, &FaultInjector::default(), 15);
        leader.acquire().await;
        let forged = json!({"holderIdentity": "nobody", "leaseDurationSeconds": 15, field: ABSURD});
        forge(&api, forged).await;
        assert_eq!(leader.keep().await, Loss::Taken { holder: "nobody".to_owned() });
        assert_eq!(leader.acquire().await, Acquired::Taken);
        let lease = api.get("Lease", "default", CONTROLLER).unwrap();
        assert!(!lease["spec"].to_string().contains(ABSURD), "{lease}");
    }
}

/// A renewal is one request.
#[tokio::test(start_paused = true)]
async fn api_server_that_answers_after_3_s_does_not_cost_the_lease() {
    let api = memory();
    let requests = Requests::default();
    let line = recording(&requests, &Arc::default());
    let service = api.service_with_faults(UserInfo::new("us"), &line);
    let service = service_fn(move |request: http::Request<Body>| {
        let answer = service.clone().oneshot(request);
        async {
            let answer = answer.await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            answer
        }
    });
    let client = kube::Client::new(service, "default");
    let mut leader =
        Election::new(client, "default", "us".to_owned(), Timing::of(Duration::from_secs(15)), &[]);
    leader.acquire().await;
    requests.lock().unwrap().clear();
    let (timing, held) = (Timing::of(Duration::from_secs(15)), leader.leadership());
    let creates = async {
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // It looks twice, before and after it reads the post.
            assert!(held.remaining() >= timing.margin(), "nothing can be created: {held:?}");
        }
    };
    tokio::select! {
        loss = leader.keep() => panic!("{loss:?}"),
        () = creates => {}
    }
    let requests = requests.lock().unwrap().clone();
    assert!(requests.len() > 100 && requests.iter().all(|verb| *verb == "update"), "{requests:?}");
}

/// A change by somebody else, or a deletion, is read at once.
#[tokio::test(start_paused = true)]
async fn conflict_does_not_cost_the_lease() {
    let api = memory();
    let requests = Requests::default();
    let mut leader = candidate(&api, &recording(&requests, &Arc::default()), 15);
    leader.acquire().await;
    let leases: Api<Lease> = Api::default_namespaced(api.client(UserInfo::admin()));
    let changed = async {
        let label = Patch::Merge(json!({"metadata": {"labels": {"touched": "true"}}}));
        leases.patch(CONTROLLER, &PatchParams::default(), &label).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        leases.delete(CONTROLLER, &DeleteParams::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    requests.lock().unwrap().clear();
    tokio::select! {
        loss = leader.keep() => panic!("{loss:?}"),
        () = changed => {}
    }
    assert_eq!(holder(&api), "us");
    let requests = requests.lock().unwrap().clone();
    let (labeled, deleted) = (["update", "get", "update"], ["update", "get", "create"]);
    assert!(requests.starts_with(&labeled), "{requests:?}");
    assert!(requests.windows(3).any(|three| *three == deleted), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn loss_says_what_the_api_server_answered() {
    let api = memory();
    let (requests, failing) = (Requests::default(), Arc::new(AtomicBool::new(false)));
    let mut leader = candidate(&api, &recording(&requests, &failing), 15);
    leader.acquire().await;
    failing.store(true, Ordering::SeqCst);
    let loss = leader.keep().await;
    let Loss::NotRenewed { attempts, last_error, stalled, .. } = &loss else { panic!("{loss:?}") };
    assert!(*attempts > 1 && stalled.is_zero() && last_error.contains("no usable response"), "{loss:?}");
}

async fn lease_thread(api: &MemoryApi, seconds: u64, watched: &'static [&'static str]) -> LeaseThread {
    let api = api.clone();
    let watched: Vec<String> = watched.iter().map(ToString::to_string).collect();
    let election = move || {
        let timing = Timing::of(Duration::from_secs(seconds));
        let client = api.client(UserInfo::new("us"));
        Ok(Election::new(client, "default", "us".to_owned(), timing, &watched))
    };
    LeaseThread::start(election).await.unwrap()
}

/// All of the controller blocked at once.
#[tokio::test]
async fn blocked_runtime_delays_no_renewal() {
    let api = memory();
    let mut lease = lease_thread(&api, 5, &[]).await;
    lease.acquire().await.unwrap();
    let renewed = || api.get("Lease", "default", CONTROLLER).unwrap()["spec"]["renewTime"].clone();
    let mut times = vec![renewed()];
    let begin = std::time::Instant::now();
    // Beyond the renew deadline, counted in retry periods.
    while times.len() < 8 {
        assert!(begin.elapsed() < DEADLINE, "it was not renewed: {times:?}");
        std::thread::sleep(Duration::from_millis(10));
        let time = renewed();
        if times.last() != Some(&time) {
            times.push(time);
        }
    }
    assert!(!lease.leadership().remaining().is_zero());
    lease.release().await;
    assert_eq!(holder(&api), Value::Null);
}

#[tokio::test]
async fn only_a_release_gives_the_lease_away() {
    let api = memory();
    let mut lease = lease_thread(&api, 300, &[]).await;
    lease.acquire().await.unwrap();
    let held = lease.leadership();
    drop(lease);
    until("it leads no more", || held.remaining().is_zero()).await;
    assert_eq!(holder(&api), "us", "requests may be in flight");
}

/// The request that is canceled may have been stored.
#[tokio::test]
async fn stop_while_acquiring_releases_the_lease() {
    let api = memory();
    for _ in 0..20 {
        let lease = lease_thread(&api, 300, &[]).await;
        // Before, during or after the write, and it is seen before or after the stop.
        if let Some((lease, _)) = acquire(lease, tokio::task::yield_now()).await.unwrap() {
            lease.release().await;
        }
        assert_eq!(holder(&api), Value::Null);
    }
}

#[tokio::test]
async fn lease_names_the_watched_namespaces() {
    let api = memory();
    let annotation = || {
        let lease = api.get("Lease", "default", CONTROLLER).unwrap();
        lease["metadata"]["annotations"][WATCHED_NAMESPACES].clone()
    };
    for (watched, expected) in [(&["social", "care", "social"][..], "care,social"), (&[], "")] {
        let mut lease = lease_thread(&api, 5, watched).await;
        lease.acquire().await.unwrap();
        assert_eq!(annotation(), expected);
        let leases: Api<Lease> = Api::default_namespaced(api.client(UserInfo::admin()));
        let removed = Patch::Merge(json!({"metadata": {"annotations": {WATCHED_NAMESPACES: null}}}));
        leases.patch(CONTROLLER, &PatchParams::default(), &removed).await.unwrap();
        until("a renewal writes it again", || annotation() == expected).await;
        lease.release().await;
        assert_eq!((annotation(), holder(&api)), (json!(expected), Value::Null));
    }
}
