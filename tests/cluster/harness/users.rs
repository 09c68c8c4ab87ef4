//! The users of a test cluster: a token and a kubeconfig each.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

/// The user of a request, authenticated by a static token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum User {
    /// In `system:masters`: may do anything, admission still applies.
    Admin,
    /// A person, cluster-admin by a binding.
    Alice,
    /// A person without any permissions.
    Mallory,
    /// The identity `postlink run` has in a cluster; holds the shipped RBAC only.
    Controller,
    /// The same of a second installation.
    Neighbor,
    /// Flux's appliers of plain YAML and of Helm charts, cluster-admin as Flux installs them.
    FluxKustomize,
    FluxHelm,
    /// Argo CD's applier, cluster-admin as Argo CD installs it.
    Argo,
    /// A team's service account that Flux or Argo CD impersonates, cluster-admin by a binding.
    TeamDeployer,
    ControllerManager,
}

impl User {
    pub const ALL: [Self; 10] = [
        Self::Admin,
        Self::Alice,
        Self::Mallory,
        Self::Controller,
        Self::Neighbor,
        Self::FluxKustomize,
        Self::FluxHelm,
        Self::Argo,
        Self::TeamDeployer,
        Self::ControllerManager,
    ];

    /// Those bound to `cluster-admin` when a control plane starts.
    pub const CLUSTER_ADMINS: [Self; 5] =
        [Self::Alice, Self::FluxKustomize, Self::FluxHelm, Self::Argo, Self::TeamDeployer];

    /// The user name the API server sees.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Alice => "alice",
            Self::Mallory => "mallory",
            Self::Controller => "system:serviceaccount:postlink-system:postlink",
            Self::Neighbor => "system:serviceaccount:care-system:care-postlink",
            Self::FluxKustomize => "system:serviceaccount:flux-system:kustomize-controller",
            Self::FluxHelm => "system:serviceaccount:flux-system:helm-controller",
            Self::Argo => "system:serviceaccount:argocd:argocd-application-controller",
            Self::TeamDeployer => "system:serviceaccount:team-a:deployer",
            Self::ControllerManager => "system:kube-controller-manager",
        }
    }

    /// The groups the API server sees, besides `system:authenticated` which it adds itself.
    fn groups(self) -> String {
        match self.name().strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, _)) => format!("system:serviceaccounts,system:serviceaccounts:{namespace}"),
            None if self == Self::Admin => "system:masters".to_owned(),
            None => String::new(),
        }
    }

    /// A file name, and the token, made of the user name.
    fn slug(self) -> String {
        self.name().replace(':', "-")
    }

    fn token(self) -> String {
        format!("token-of-{}", self.slug())
    }
}

/// Write the API server's `--token-auth-file`.
pub fn write_tokens(path: &Path) -> io::Result<()> {
    let mut lines = String::new();
    for user in User::ALL {
        let (token, name, groups) = (user.token(), user.name(), user.groups());
        // Writing into a String cannot fail.
        let _ = writeln!(lines, r#"{token},{name},{name},"{groups}""#);
    }
    fs::write(path, lines)
}

/// Where [`write_kubeconfigs`] puts the file of `user`.
pub fn kubeconfig_path(folder: &Path, user: User) -> PathBuf {
    folder.join(format!("{}.kubeconfig", user.slug()))
}

/// Write a kubeconfig per user into `folder`. JSON is YAML, so no emitter is needed.
pub fn write_kubeconfigs(folder: &Path, server: &str, ca: &Path) -> io::Result<()> {
    for user in User::ALL {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": ca}}],
            "users": [{"name": user.name(), "user": {"token": user.token()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user.name()}}],
        });
        fs::write(kubeconfig_path(folder, user), config.to_string())?;
    }
    Ok(())
}
