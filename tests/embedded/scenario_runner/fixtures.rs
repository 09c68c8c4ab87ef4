//! The objects that scenarios share: `scenarios/fixtures/*.yaml`.

use super::file::key;
use postlink::manifests::{Document, parse};
use std::{collections::BTreeMap, path::Path};

/// The documents of each fixture file, by the file's name without `.yaml`.
pub struct Fixtures(BTreeMap<String, Vec<Document>>);

impl Fixtures {
    pub fn read() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/scenarios/fixtures");
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
            let path = entry.map_err(|e| e.to_string())?.path();
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let loaded = parse(&path, &text);
            if let Some(error) = loaded.errors.first() {
                return Err(error.to_string());
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, loaded.documents);
        }
        Ok(Self(files))
    }

    /// All documents of a file, or the one object of this key.
    pub fn named(&self, name: &str) -> Result<Vec<&Document>, String> {
        if let Some(documents) = self.0.get(name) {
            return Ok(documents.iter().collect());
        }
        let object = self.0.values().flatten().find(|document| key(document) == name);
        object.map(|found| vec![found]).ok_or(format!("use: there is no fixture {name}"))
    }
}
