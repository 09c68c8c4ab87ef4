//! The public handles: [`Client`] for all instances, [`Instance`] for one instance and one identity.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::api::{Api, Shared};
use crate::cloud::{Cloud, is_cloud_service};
use crate::config::{Config, ConfigError};
use crate::credentials::{Credentials, Signer};
use crate::error::{Endpoint, Error, ErrorKind};
use crate::guard::Guard;
use crate::origin::{Origin, OriginError};
use crate::throttle::Throttle;
use crate::transport::HttpClient;

/// The client for all instances of a process. Holds the connection pool, the tokens and the throttles; cheap to clone.
#[derive(Clone)]
pub struct Client {
    guard: Arc<Guard>,
    shared: Arc<Shared>,
    throttles: Arc<Mutex<HashMap<ThrottleKey, Arc<Throttle>>>>,
    concurrency: usize,
}

/// Origin, tenant and client id, the scope in which Dataverse counts its limits.
type ThrottleKey = (Origin, String, String);

impl Client {
    /// Checks the configuration and loads the trusted roots. Makes no connection.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let guard = Arc::new(Guard::new(config)?);
        let http = HttpClient::new(config, guard.clone())?;
        Ok(Self {
            guard,
            shared: Arc::new(Shared::new(config, http)),
            throttles: Arc::default(),
            concurrency: config.concurrency,
        })
    }

    /// Parses a URL and checks it against [`Config::allow_hosts`]. Makes no connection.
    pub fn admit(&self, url: &str) -> Result<Origin, OriginError> {
        let origin = Origin::parse(url)?;
        // A sign-in or discovery host below an allowed suffix is no instance; no token may be requested for it here.
        if is_cloud_service(origin.host()) {
            return Err(OriginError::HostNotAllowed);
        }
        self.guard.admit(&origin)?;
        Ok(origin)
    }

    /// The handle of one instance with one credential. Makes no connection. Handles of the same instance and identity
    /// share a throttle; those with equal credentials share their token.
    ///
    /// Fails with [`ErrorKind::HostNotAllowed`] or [`ErrorKind::CredentialsUnusable`].
    pub fn instance(&self, origin: &Origin, credentials: &Credentials) -> Result<Instance, Error> {
        let origin =
            self.admit(&origin.to_string()).map_err(|e| Error::instance(ErrorKind::HostNotAllowed(e)))?;
        let signer = Signer::new(credentials)
            .map_err(|e| Error { endpoint: Endpoint::SignIn, kind: ErrorKind::CredentialsUnusable(e) })?;
        let signer = Arc::new(signer);
        let cloud = Cloud::of(origin.host());
        let api = |endpoint, origin: Origin| Api {
            throttle: self.throttle(&origin, &signer),
            shared: self.shared.clone(),
            signer: signer.clone(),
            authority: cloud.sign_in_origin(),
            origin,
            endpoint,
        };
        Ok(Instance {
            api: api(Endpoint::Instance, origin),
            discovery: api(Endpoint::Discovery, cloud.discovery_origin()),
        })
    }

    /// [`Timeouts::request`](crate::Timeouts::request): after this long without a new call, no single request to an
    /// instance is in flight.
    pub fn request_timeout(&self) -> Duration {
        self.shared.timeouts.request
    }

    /// The hosts that are throttling requests, and the remaining wait of each. The longest one, if several identities
    /// are throttled.
    pub fn throttled_hosts(&self) -> Vec<(String, Duration)> {
        let throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.shared.now();
        let mut hosts = BTreeMap::new();
        for ((origin, ..), throttle) in throttles.iter() {
            if let Some(left) = throttle.paused_for(now) {
                let longest = hosts.entry(origin.host().to_owned()).or_insert(left);
                *longest = left.max(*longest);
            }
        }
        hosts.into_iter().collect()
    }

    fn throttle(&self, origin: &Origin, signer: &Signer) -> Arc<Throttle> {
        let key = (origin.clone(), signer.tenant.clone(), signer.client.clone());
        let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(throttle) = throttles.get(&key) {
            return throttle.clone();
        }
        let now = self.shared.now();
        // Unused throttles are dropped, but not while they pause: a new handle must not shorten the wait.
        throttles.retain(|_, throttle| Arc::strong_count(throttle) > 1 || throttle.paused_for(now).is_some());
        throttles.entry(key).or_insert_with(|| Arc::new(Throttle::new(self.concurrency))).clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// The handle of one instance and one identity; cheap to clone. See [`Client::instance`].
#[derive(Clone)]
pub struct Instance {
    pub(crate) api: Api,
    pub(crate) discovery: Api,
}

impl Instance {
    /// The remaining wait if the instance is throttling this identity.
    pub fn throttled_for(&self) -> Option<Duration> {
        self.api.throttle.paused_for(self.api.shared.now())
    }

    /// The origin this handle is bound to.
    pub fn origin(&self) -> &Origin {
        &self.api.origin
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.api.origin.to_string()).finish()
    }
}
