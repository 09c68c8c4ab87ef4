//! Pages of `docs` that are generated as a whole.

use std::{fs, path::Path};

/// Fails if `docs/<file>` is not `page`; `POSTLINK_WRITE_DOCS=1` rewrites it. `test` is the module of the test.
pub fn expect_current(file: &str, page: &str, test: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("POSTLINK_WRITE_DOCS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/{file} is out of date; run `POSTLINK_WRITE_DOCS=1 cargo test --test rules {test}`"
    );
}
