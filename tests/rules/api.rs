//! The committed CRDs are current, and reasons are words with a summary.

use postlink::api::{Reason, crds};
use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn committed_crds_are_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for crd in crds::all() {
        let path = dir.join(crds::file_name(&crd));
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let generated = crds::to_yaml(&crd).unwrap();
        assert!(committed == generated, "{} is out of date; run `make crds`", path.display());
    }
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        crds::all().len(),
        "crds/ has a file that is not generated"
    );
}

#[test]
fn reasons_are_words_and_unique() {
    let words: BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        assert!(reason.summary().trim_end().ends_with('.'), "{reason} is explained in a sentence");
    }
}

/// Flux waits until its value is repeated in `status.lastHandledReconcileAt`.
#[test]
fn flux_request_goes_before_an_older_one() {
    use postlink::api::names::{FLUX_RECONCILE_REQUESTED, RECONCILE_REQUESTED, reconcile_requested};
    for (ours, flux, expected) in [
        (None, None, None),
        (Some("now"), None, Some("now")),
        (None, Some("2026-01-02T00:00:00.5Z"), Some("2026-01-02T00:00:00.5Z")),
        (Some("now"), Some("2026-01-02T00:00:00Z"), Some("2026-01-02T00:00:00Z")),
        (Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z"), Some("2026-01-02T00:00:00Z")),
        (Some("2026-01-03T00:00:00Z"), Some("2026-01-02T00:00:00Z"), Some("2026-01-03T00:00:00Z")),
        (Some("1767400000"), Some("2026-01-02T00:00:00Z"), Some("1767400000")),
    ] {
        let annotations = [(RECONCILE_REQUESTED, ours), (FLUX_RECONCILE_REQUESTED, flux)];
        let annotations =
            annotations.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        assert_eq!(reconcile_requested(Some(&annotations.collect())), expected);
    }
}
