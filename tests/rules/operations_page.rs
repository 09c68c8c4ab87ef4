//! `docs/operations.md` lists the metrics as the code declares them. `POSTLINK_WRITE_DOCS=1` writes the table anew.

use postlink::{
    api::Reason,
    telemetry::{Declared, Metrics},
};
use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

const BEGIN: &str =
    "<!-- The table is generated: POSTLINK_WRITE_DOCS=1 cargo test --test rules operations_page -->\n";
const END: &str = "<!-- end of the table -->\n";

fn table(declared: &[Declared]) -> String {
    let mut text = String::from("| metric | type | labels | tells |\n|---|---|---|---|\n");
    for family in declared {
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
fn the_table_of_metrics_is_what_the_code_declares() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (committed, after) = rest.split_once(END).expect("the page says where the table ends");
    let metrics = Metrics::new();
    let fresh = format!("\n{}\n", table(metrics.declared()));
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
    for family in metrics.declared() {
        let name = family.name.as_str();
        assert!(names.insert(name), "{name} is declared twice");
        assert!(name.starts_with("postlink_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.type_ == "counter", "{name}");
        assert!(family.type_ != "histogram" || name.ends_with("_seconds"), "{name}: a histogram has a unit");
        assert!(family.help.ends_with('.') && !family.help.ends_with(".."), "{name}: {}", family.help);
        for label in family.labels {
            assert!(
                !["name", "uid", "url", "post", "link", "author", "le"].contains(label),
                "{name}: {label}"
            );
        }
    }
}

#[test]
fn words_the_manual_uses_exist() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let metrics = Metrics::new();
    let known = |word: &str| {
        metrics.declared().iter().any(|d| {
            word == d.name
                || d.type_ == "histogram"
                    && word.strip_prefix(&d.name).is_some_and(|s| ["_bucket", "_sum", "_count"].contains(&s))
        })
    };
    let words = page.split('`').skip(1).step_by(2);
    for word in words {
        let name: String = word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let is_metric = name.starts_with("postlink_") || name.starts_with("process_");
        assert!(!is_metric || known(&name), "the manual speaks of a metric {word:?}");
        if let Some(reason) = word.strip_prefix("reason=") {
            assert!(
                Reason::parse(reason.trim_matches('"')).is_some(),
                "the manual speaks of a reason {word:?}"
            );
        }
    }
}
