//! The table in `docs/gitops.md` shows the results of the matrix; `POSTLINK_WRITE_DOCS=1` rewrites it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::matrix::{Column, Place};
use super::play::CellResult;
use super::tree::Scenario;
use crate::cluster::{repository, text_of};

const PAGE: &str = "docs/gitops.md";
const BEGIN: &str = "<!-- The table begins; a test writes it. -->\n";
const END: &str = "<!-- The table ends. -->\n";

/// Fails unless the page shows the result of every cell.
pub fn check(played: &BTreeMap<Place, CellResult>) {
    let page = text_of(PAGE);
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (committed, after) = rest.split_once(END).expect("the table has an end");
    let table = table(played);
    if std::env::var_os("POSTLINK_WRITE_DOCS").is_some() {
        fs::write(repository(PAGE), format!("{before}{BEGIN}{table}{END}{after}"))
            .expect("the page is writable");
        return;
    }
    assert!(
        committed == table,
        "{PAGE} is out of date; run `POSTLINK_WRITE_DOCS=1 cargo test --test cluster one_commit_suffices`\n{table}"
    );
}

fn table(played: &BTreeMap<Place, CellResult>) -> String {
    let mut text = String::from("\n| |");
    for column in Column::ALL {
        let _ = write!(text, " {} |", column.title());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(Column::ALL.len()));
    text.push('\n');
    for scenario in Scenario::ALL {
        let cell = |column| played.get(&(scenario, column)).expect("no cell is left out");
        row(&mut text, scenario.title(), |column| Some(cell(column).second.words()));
        if matches!(scenario, Scenario::S1 | Scenario::S5) {
            let title = format!("{scenario:?}, then rules set inactive");
            row(&mut text, &title, |column| cell(column).third.map(super::play::Outcome::words));
        }
    }
    text.push('\n');
    let versions = [
        ("control-plane", "kubectl", "k8s.io/kubernetes"),
        ("helm3", "Helm 3", "helm.sh/helm/v3"),
        ("helm4", "Helm 4", "helm.sh/helm/v4"),
        ("flux", "Flux's kustomize-controller", "github.com/fluxcd/kustomize-controller"),
    ];
    let versions = versions.map(|(folder, name, module)| format!("{name} {}", version(folder, module)));
    let _ = writeln!(text, "*real*: {}.\n", versions.join(", "));
    text
}

fn row<'a>(text: &mut String, title: &str, cell: impl Fn(Column) -> Option<&'a str>) {
    let _ = write!(text, "| {title} |");
    for column in Column::ALL {
        let how = if column.is_real() { "real" } else { "driver" };
        let _ = write!(text, " {} *({how})* |", cell(column).expect("no cell is left out"));
    }
    text.push('\n');
}

/// The version of a module in its go.mod.
fn version(folder: &str, module: &str) -> String {
    let text = text_of(&format!("tests/cluster/{folder}/go.mod"));
    let module = format!("{module} ");
    let line = text.lines().find_map(|line| line.trim().trim_start_matches("require ").strip_prefix(&module));
    let version = line.and_then(|rest| rest.split_whitespace().next());
    version.unwrap_or_else(|| panic!("{folder}/go.mod names no {module}")).to_owned()
}
