//! The configuration of the client for the cluster. Its errors name no value of a kubeconfig: a parser quotes lines, and an
//! exec plugin's output can hold tokens.

use super::outcome::Outcome;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Read timeout of a connection to the API server in use. Watches are renewed more often than this; without it, a list
/// whose connection died would be waited for forever.
const READ_TIMEOUT: Duration = Duration::from_secs(45);

/// Where the kubelet mounts the certificates of the API server's CA.
const IN_CLUSTER_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// Why the process stops other than on request.
pub struct Stop {
    pub outcome: Outcome,
    pub message: String,
}

impl Stop {
    #[allow(clippy::needless_pass_by_value, reason = "handed to `map_err` as it is")]
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self { outcome: Outcome::Usage, message: message.to_string() }
    }
}

/// Whether the configuration of the pod is used.
pub fn is_in_cluster(kubeconfig: Option<&Path>) -> bool {
    kubeconfig.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// With this kubeconfig; if there is none: `KUBECONFIG`, then `~/.kube/config`, then the in-cluster configuration.
pub async fn config(kubeconfig: Option<&Path>) -> Result<kube::Config, Stop> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| kubeconfig_error(path, &error))?;
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| kubeconfig_error(path, &error))?
        }
        None => kube::Config::infer().await.map_err(|error| no_cluster(&error))?,
    };
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    Ok(config)
}

/// The file with the certificates of the API server's CA, in the order of [`config`]; `None` if there is none.
pub fn ca_file(kubeconfig: Option<&Path>) -> Option<PathBuf> {
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let Ok(file) = file else {
        return kubeconfig.is_none().then(|| PathBuf::from(IN_CLUSTER_CA));
    };
    let current = file.current_context?;
    let context = file.contexts.into_iter().find(|context| context.name == current)?.context?;
    let cluster = file.clusters.into_iter().find(|cluster| cluster.name == context.cluster)?.cluster?;
    // Embedded certificates come first, and cannot change.
    let embedded = cluster.certificate_authority_data.is_some();
    cluster.certificate_authority.filter(|_| !embedded).map(PathBuf::from)
}

/// What is wrong in a kubeconfig, if saying so quotes nothing of it but names.
fn harmless(error: &KubeconfigError) -> Option<String> {
    match error {
        KubeconfigError::CurrentContextNotSet => Some("current-context is not set".to_owned()),
        KubeconfigError::LoadContext(name) => Some(format!("there is no context {name}")),
        KubeconfigError::LoadClusterOfContext(name) => Some(format!("there is no cluster {name}")),
        KubeconfigError::MissingClusterUrl => Some("the cluster has no server".to_owned()),
        _ => None,
    }
}

fn no_cluster(error: &InferConfigError) -> Stop {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<KubeconfigError>());
    let why = match cause {
        Some(KubeconfigError::ReadConfig(error, path)) => format!("cannot read {}: {error}", path.display()),
        Some(KubeconfigError::FindPath) => "there is no home folder".to_owned(),
        Some(error) => harmless(error).unwrap_or_else(|| {
            "the kubeconfig is not valid; to find the error, run: kubectl config view".to_owned()
        }),
        None => "there is no kubeconfig".to_owned(),
    };
    Stop::usage(format!("no cluster is configured: {why}; name a kubeconfig with --kubeconfig or KUBECONFIG"))
}

fn kubeconfig_error(path: &Path, error: &KubeconfigError) -> Stop {
    let path = path.display();
    Stop::usage(match error {
        KubeconfigError::ReadConfig(error, _) => format!("--kubeconfig: cannot read {path}: {error}"),
        error => match harmless(error) {
            Some(why) => format!("--kubeconfig: {path}: {why}"),
            None => format!(
                "--kubeconfig: {path} is not a valid kubeconfig; to find the error, run: kubectl config view --kubeconfig {path}"
            ),
        },
    })
}

/// Why there is no client.
pub fn client_error(error: &kube::Error) -> Stop {
    match error {
        kube::Error::Auth(_) => Stop::usage(
            "the credentials in the kubeconfig cannot be used; to find the error, run: kubectl version",
        ),
        error => Stop::usage(error),
    }
}
