//! Where the control plane's programs are, independent of cargo's target folder.

use std::env;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Set by the Makefile; wins over the cache.
const OVERRIDE: &str = "POSTLINK_CONTROL_PLANE_BIN";

/// The programs of one build.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub etcd: PathBuf,
    pub apiserver: PathBuf,
    pub controller_manager: PathBuf,
    pub kubectl: PathBuf,
    pub helm3: PathBuf,
    pub helm4: PathBuf,
    /// Flux's kustomize-controller, and the CRDs of `Kustomization` and of its sources.
    pub flux: PathBuf,
    pub flux_definitions: PathBuf,
    /// What kstatus, Argo CD and Flux call healthy; see `tests/cluster/health`.
    pub health: PathBuf,
}

/// Why the programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    #[error("{program} is not in {}; run `make control-plane` (it builds the control plane once)", folder.display())]
    Missing { program: &'static str, folder: PathBuf },
    #[error("{} cannot be read: {source}; the checkout is not complete", path.display())]
    Module { path: PathBuf, source: std::io::Error },
    #[error(
        "none of {OVERRIDE}, XDG_CACHE_HOME and HOME is set, so there is no place to look for \
         kube-apiserver; set one and run `make control-plane`"
    )]
    NoHome,
    #[error("no etcd for this machine: {0}")]
    Etcd(String),
}

impl Binaries {
    /// Finds them; an error names the make target to run.
    pub fn find() -> Result<Self, BinariesError> {
        match env::var_os(OVERRIDE) {
            Some(folder) => Self::inside(|_| Ok(PathBuf::from(&folder))),
            None => Self::inside(cache_folder),
        }
    }

    /// The programs in the folder that `of_module` gives for each Go module; every one must be there.
    pub fn inside(of_module: impl Fn(&str) -> Result<PathBuf, BinariesError>) -> Result<Self, BinariesError> {
        let find = |module: &str, program: &'static str| {
            let folder = of_module(module)?;
            let path = folder.join(program);
            if path.is_file() { Ok(path) } else { Err(BinariesError::Missing { program, folder }) }
        };
        Ok(Self {
            apiserver: find("control-plane", "kube-apiserver")?,
            controller_manager: find("control-plane", "kube-controller-manager")?,
            kubectl: find("control-plane", "kubectl")?,
            helm3: find("helm3", "helm3")?,
            helm4: find("helm4", "helm4")?,
            flux: find("flux", "kustomize-controller")?,
            flux_definitions: find("flux", "flux-definitions.yaml")?,
            health: find("health", "health")?,
            etcd: etcd_bin_vendored::etcd_bin_path()
                .map_err(|error| BinariesError::Etcd(error.to_string()))?
                .to_owned(),
        })
    }
}

/// The folder that `tests/cluster/build-tools` fills for a module of this checkout: it is named by the
/// SHA-256 of these files, in this order; only a program of our own has a `main.go`.
fn cache_folder(module: &str) -> Result<PathBuf, BinariesError> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
    let mut key = Sha256::new();
    let folder = tests.join(module);
    let mut paths = vec![folder.join("go.mod"), folder.join("go.sum"), tests.join("build-tools")];
    paths.extend(Some(folder.join("main.go")).filter(|program| program.exists()));
    for path in paths {
        let content = std::fs::read(&path).map_err(|source| BinariesError::Module { path, source })?;
        key.update(content);
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or(BinariesError::NoHome)?;
    Ok(cache.join("postlink").join(module).join(format!("{:x}", key.finalize())))
}
