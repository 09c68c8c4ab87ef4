//! The command lines of kube-apiserver and kube-controller-manager.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::StartError;
use super::certificates::Certificates;
use super::process::Process;
use super::users::User;

/// The audit policy file, next to the log.
pub const AUDIT_POLICY: &str = "audit-policy.json";

/// The settings of an API server, kept so that it can be restarted at the same address.
#[derive(Debug)]
pub struct Apiserver {
    pub program: PathBuf,
    pub folder: PathBuf,
    pub port: u16,
    pub etcd: String,
    pub tokens: PathBuf,
    pub certificates: Certificates,
    /// Users whose every request is written to the audit log.
    pub audited: Vec<User>,
    /// Further flags; the last occurrence of a flag wins.
    pub extra: Vec<String>,
}

impl Apiserver {
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Start it; the caller waits for `/readyz`.
    pub fn spawn(&self) -> Result<Process, StartError> {
        let keys = &self.certificates;
        let mut command = Command::new(&self.program);
        for (flag, value) in [
            ("etcd-servers", self.etcd.as_str()),
            // Keeps every revision: the history oracle reads them all.
            ("etcd-compaction-interval", "0"),
            ("authorization-mode", "RBAC"),
            // It requires a ServiceAccount for pods; there are no pods.
            ("disable-admission-plugins", "ServiceAccount"),
            ("service-cluster-ip-range", "10.0.0.0/24"),
            ("service-account-issuer", &self.url()),
            ("bind-address", "127.0.0.1"),
            ("advertise-address", "127.0.0.1"),
            ("endpoint-reconciler-type", "none"),
            ("secure-port", &self.port.to_string()),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        for (flag, path) in [
            ("token-auth-file", &self.tokens),
            ("service-account-key-file", &keys.service_account_public_key),
            ("service-account-signing-key-file", &keys.service_account_key),
            ("tls-cert-file", &keys.server),
            ("tls-private-key-file", &keys.server_key),
            ("cert-dir", &self.folder),
        ] {
            command.arg(format!("--{flag}={}", path.display()));
        }
        if !self.audited.is_empty() {
            let policy = self.write_audit_policy().map_err(StartError::Write)?;
            command.arg(format!("--audit-policy-file={}", policy.display()));
            command.arg(format!("--audit-log-path={}", self.audit_log().display()));
            // Never rotated, or a test would read only the newest part. (0 means that only from 1.36 on.)
            command.arg("--audit-log-maxsize=1000000");
        }
        command.args(&self.extra);
        Process::spawn(&self.folder, "kube-apiserver", &mut command)
            .map_err(|source| StartError::Spawn { program: "kube-apiserver", source })
    }

    fn write_audit_policy(&self) -> std::io::Result<PathBuf> {
        let path = self.folder.join(AUDIT_POLICY);
        let users: Vec<_> = self.audited.iter().map(|user| user.name()).collect();
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [
                // What a connection's status said, and when, is asked for; there are few of them.
                {
                    "level": "Request",
                    "users": users,
                    "resources": [{"group": "postlink.dev", "resources": ["dynamicsconnections/status"]}],
                },
                {"level": "Metadata", "users": users},
            ],
        });
        fs::write(&path, policy.to_string())?;
        Ok(path)
    }
}

/// Starts the controllers that deletion needs (namespaces, garbage collection) and the one for default service
/// accounts.
pub fn spawn_controller_manager(
    program: &Path,
    folder: &Path,
    kubeconfig: &Path,
) -> Result<Process, StartError> {
    let mut command = Command::new(program);
    command.arg(format!("--kubeconfig={}", kubeconfig.display())).args([
        "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller",
        // Each controller acts as its own service account, as in a real cluster: policies tell them apart.
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        // The defaults (20 and 30) would only slow the tests down.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]);
    Process::spawn(folder, "kube-controller-manager", &mut command)
        .map_err(|source| StartError::Spawn { program: "kube-controller-manager", source })
}
