//! `docs/operations.md` lists the metrics as the code declares them. `POSTLINK_WRITE_DOCS=1` rewrites the table.

use postlink::{
    api::Reason,
    telemetry::{FamilyDescriptor, Metrics},
};
use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

/// Prefixes of our metrics. Names with `workqueue_` and `process_` are those that other programs use.
const PREFIXES: [&str; 3] = ["postlink_", "workqueue_", "process_"];
const BEGIN: &str =
    "<!-- The table is generated: POSTLINK_WRITE_DOCS=1 cargo test --test rules operations_page -->\n";
const END: &str = "<!-- end of the table -->\n";

fn table(families: &[FamilyDescriptor]) -> String {
    let mut text = String::from("| metric | type | labels | description |\n|---|---|---|---|\n");
    for family in families {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            family.name,
            family.type_,
            labels.join(", "),
            family.help.replace('|', "\\|")
        );
    }
    text
}

#[test]
fn table_of_metrics_is_what_the_code_declares() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page marks the beginning of the table");
    let (committed, after) = rest.split_once(END).expect("the page marks the end of the table");
    let metrics = Metrics::new();
    let fresh = format!("\n{}\n", table(metrics.families()));
    if std::env::var_os("POSTLINK_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{fresh}{END}{after}")).unwrap();
    } else {
        assert!(
            committed == fresh,
            "docs/operations.md is out of date; run `POSTLINK_WRITE_DOCS=1 cargo test --test rules operations_page`"
        );
    }
}

#[test]
fn names_and_helps_follow_the_conventions() {
    let metrics = Metrics::new();
    let mut names = BTreeSet::new();
    for family in metrics.families() {
        let name = family.name.as_str();
        assert!(names.insert(name), "{name} is declared twice");
        assert!(PREFIXES.iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert_eq!(name.ends_with("_total"), family.type_ == "counter", "{name}");
        assert!(family.type_ != "histogram" || name.ends_with("_seconds"), "{name}: a histogram has a unit");
        assert!(family.help.ends_with('.') && !family.help.ends_with(".."), "{name}: {}", family.help);
        for label in family.labels {
            // In `workqueue_` metrics `name` is that of the queue: a kind.
            let is_queue = *label == "name" && name.starts_with("workqueue_");
            let forbidden = ["name", "uid", "url", "post", "link", "author", "le"].contains(label);
            assert!(is_queue || !forbidden, "{name}: {label}");
        }
    }
}

#[test]
fn metrics_and_reasons_named_in_the_page_exist() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let metrics = Metrics::new();
    let known = |word: &str| {
        metrics.families().iter().any(|d| {
            word == d.name
                || d.type_ == "histogram"
                    && word.strip_prefix(&d.name).is_some_and(|s| ["_bucket", "_sum", "_count"].contains(&s))
        })
    };
    let words = page.split('`').skip(1).step_by(2);
    for word in words {
        let name: String = word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let is_metric = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        assert!(!is_metric || known(&name), "the page names the metric {word:?}");
        if let Some(reason) = word.strip_prefix("reason=") {
            assert!(Reason::parse(reason.trim_matches('"')).is_some(), "the page names the reason {word:?}");
        }
    }
}
