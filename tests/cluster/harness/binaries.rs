//! Where the control plane's programs are, independent of cargo's target folder.

use std::env;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Set by the Makefile; wins over the cache.
const OVERRIDE: &str = "POSTLINK_CONTROL_PLANE_BIN";

/// The files whose contents name the cache folder, in the order `tests/cluster/control-plane/build` reads them.
const KEY_FILES: [&str; 3] = ["go.mod", "go.sum", "build"];

/// The programs of one built control plane.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub etcd: PathBuf,
    pub apiserver: PathBuf,
    pub controller_manager: PathBuf,
    pub kubectl: PathBuf,
}

/// Why the programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    #[error("{program} is not in {}; run `make control-plane` (it builds the control plane once)", folder.display())]
    Missing { program: &'static str, folder: PathBuf },
    #[error("{} cannot be read: {source}; the checkout is not complete", path.display())]
    Module { path: PathBuf, source: std::io::Error },
    #[error(
        "neither {OVERRIDE}, XDG_CACHE_HOME nor HOME is set, so there is no place to look for kube-apiserver; run `make control-plane` and set one"
    )]
    NoHome,
    #[error("no etcd for this machine: {0}")]
    Etcd(String),
}

impl Binaries {
    /// Find them, or say what to run.
    pub fn find() -> Result<Self, BinariesError> {
        let folder = match env::var_os(OVERRIDE) {
            Some(folder) => PathBuf::from(folder),
            None => cache_folder()?,
        };
        Self::inside(&folder)
    }

    /// The programs in `folder`, every one of which must be there.
    pub fn inside(folder: &Path) -> Result<Self, BinariesError> {
        let program = |name: &'static str| {
            let path = folder.join(name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(BinariesError::Missing { program: name, folder: folder.to_owned() })
            }
        };
        Ok(Self {
            apiserver: program("kube-apiserver")?,
            controller_manager: program("kube-controller-manager")?,
            kubectl: program("kubectl")?,
            etcd: etcd_bin_vendored::etcd_bin_path()
                .map_err(|error| BinariesError::Etcd(error.to_string()))?
                .to_owned(),
        })
    }
}

/// The folder that `tests/cluster/control-plane/build` fills for this checkout.
fn cache_folder() -> Result<PathBuf, BinariesError> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/control-plane");
    let mut key = Sha256::new();
    for file in KEY_FILES {
        let path = module.join(file);
        let content = std::fs::read(&path).map_err(|source| BinariesError::Module { path, source })?;
        key.update(content);
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or(BinariesError::NoHome)?;
    Ok(cache.join("postlink/control-plane").join(format!("{:x}", key.finalize())))
}
