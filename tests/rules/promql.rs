//! Every expression of the alerts and of the dashboard uses metrics, labels and label values that exist. Otherwise a
//! renamed metric would silently leave an alert that never fires.

use postlink::{
    api::{ConditionType, Reason, policies},
    domain::installation::policies::Problem,
    telemetry::{FamilyDescriptor, Metrics},
};
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// Target labels that Prometheus adds to every sample.
const TARGET: [&str; 7] = ["job", "instance", "namespace", "pod", "service", "container", "endpoint"];
/// The values of `outcome`.
const OUTCOMES: [&str; 7] = [
    "success",
    "already_exists",
    "throttled",
    "rejected",
    "server_error",
    "unreachable",
    "unexpected_response",
];
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Checks one expression and collects its errors.
struct Check<'a> {
    families: &'a [FamilyDescriptor],
    wrong: Vec<String>,
    metrics: BTreeSet<String>,
}

impl Check<'_> {
    /// The labels that the result of the expression may have.
    fn labels(&mut self, expr: &Expr) -> BTreeSet<String> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Paren(inner) => self.labels(&inner.expr),
            Expr::Unary(inner) => self.labels(&inner.expr),
            Expr::Subquery(inner) => self.labels(&inner.expr),
            Expr::Aggregate(aggregate) => {
                let inner = self.labels(&aggregate.expr);
                match &aggregate.modifier {
                    Some(modifier) => self.picked(modifier, &inner),
                    None => BTreeSet::new(),
                }
            }
            Expr::Binary(binary) => {
                let (mut left, right) = (self.labels(&binary.lhs), self.labels(&binary.rhs));
                if let Some(matching) = binary.modifier.as_ref().and_then(|m| m.matching.as_ref()) {
                    for side in [&left, &right] {
                        self.known(matching.labels().labels.iter(), side);
                    }
                }
                left.extend(right);
                left
            }
            Expr::Call(call) => call.args.args.iter().flat_map(|argument| self.labels(argument)).collect(),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => BTreeSet::new(),
        }
    }

    fn picked(&mut self, modifier: &LabelModifier, inner: &BTreeSet<String>) -> BTreeSet<String> {
        self.known(modifier.labels().labels.iter(), inner);
        let named: BTreeSet<String> = modifier.labels().labels.iter().cloned().collect();
        match modifier {
            LabelModifier::Include(_) => named,
            LabelModifier::Exclude(_) => inner.difference(&named).cloned().collect(),
        }
    }

    fn known<'l>(&mut self, named: impl Iterator<Item = &'l String>, inner: &BTreeSet<String>) {
        for label in named.filter(|label| !inner.contains(*label)) {
            self.wrong.push(format!("nothing here has a label {label}"));
        }
    }

    fn selector(&mut self, selector: &VectorSelector) -> BTreeSet<String> {
        let Some(name) = &selector.name else {
            self.wrong.push("a selector without a metric".to_owned());
            return BTreeSet::new();
        };
        let family = self.families.iter().find(|d| match d.type_ {
            "histogram" => {
                name.strip_prefix(&d.name).is_some_and(|s| ["_bucket", "_sum", "_count"].contains(&s))
            }
            _ => d.name == *name,
        });
        let Some(family) = family else {
            self.wrong.push(format!("no metric is called {name}"));
            return BTreeSet::new();
        };
        self.metrics.insert(family.name.clone());
        let mut labels: BTreeSet<String> = family.labels.iter().map(ToString::to_string).collect();
        if name.ends_with("_bucket") {
            labels.insert("le".to_owned());
        }
        labels.extend(TARGET.map(str::to_owned));
        if name.starts_with("workqueue_") && !selector.matchers.matchers.iter().any(|m| m.name == "name") {
            self.wrong.push(format!("{name} without `name` selects the queues of other controllers as well"));
        }
        for matcher in &selector.matchers.matchers {
            if !labels.contains(&matcher.name) {
                self.wrong.push(format!("{name} has no label {}", matcher.name));
            }
            if !matcher.value.starts_with('$') {
                for word in matcher.value.split('|').filter(|word| !is_written(&matcher.name, word)) {
                    self.wrong.push(format!("{name}: {} is never {word:?}", matcher.name));
                }
            }
        }
        labels
    }
}

/// Whether a label can have that value. Labels that hold names of objects can have any.
fn is_written(label: &str, word: &str) -> bool {
    match label {
        "reason" | "record" => Reason::parse(word).is_some(),
        "condition" => ConditionType::parse(word).is_some(),
        "status" | "linked" | "active" => ["True", "False", "Unknown"].contains(&word),
        "state" => ["Enabled", "Disabled", "Downtime", "Expired"].contains(&word),
        "kind" | "name" => ["DynamicsConnection", "AutomationRule", "PostLink"].contains(&word),
        "result" => ["success", "conflict", "not_found", "rejected", "error", "dropped"].contains(&word),
        "code" => word.chars().all(|c| c.is_ascii_digit() || "[]^.-".contains(c)) || word == "none",
        "outcome" => OUTCOMES.contains(&word),
        "policy" => policies::NAMES.contains(&word),
        "problem" => Problem::ALL.iter().any(|problem| problem.as_str() == word),
        _ => true,
    }
}

/// The errors of an expression, the metrics it uses, and the labels of its result.
fn checked(expression: &str) -> (Vec<String>, BTreeSet<String>, BTreeSet<String>) {
    // Grafana replaces these variables before it queries Prometheus.
    let expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1h");
    let metrics = Metrics::new();
    let mut check = Check { families: metrics.families(), wrong: Vec::new(), metrics: BTreeSet::new() };
    let labels = match parser::parse(&expression) {
        Ok(expr) => check.labels(&expr),
        Err(error) => {
            check.wrong.push(format!("not PromQL: {error}"));
            BTreeSet::new()
        }
    };
    (check.wrong, check.metrics, labels)
}

/// The anchors that GitHub derives from the headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .map(|heading| heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect())
        .collect()
}

/// The alerts of the file.
fn alerts() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&text("charts/postlink/files/alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The labels that the template of an annotation uses.
fn used_labels(template: &str) -> Vec<&str> {
    template.split("$labels.").skip(1).map(|rest| rest.split([' ', '}']).next().unwrap_or_default()).collect()
}

#[test]
fn errors_in_expressions_are_found() {
    for (expression, complaint) in [
        ("postlink_leaders == 0", "no metric is called postlink_leaders"),
        ("sum by (connection) (postlink_ready)", "nothing here has a label connection"),
        ("postlink_links{name=\"x\"}", "postlink_links has no label name"),
        ("postlink_links{reason=~\"LinkedByHand|Lost\"}", "postlink_links: reason is never \"Lost\""),
        (
            "rate(workqueue_queue_duration_seconds[5m])",
            "no metric is called workqueue_queue_duration_seconds",
        ),
        ("rate(postlink_links[5m", "not PromQL"),
        ("postlink_links * on (host) postlink_rules", "nothing here has a label host"),
        ("{job=\"postlink\"}", "a selector without a metric"),
        ("sum(workqueue_depth)", "workqueue_depth without `name`"),
        ("workqueue_depth{name=\"postlink\"}", "workqueue_depth: name is never \"postlink\""),
        (
            "postlink_admission_policy_problems{policy=\"postlink-guards\"}",
            "postlink_admission_policy_problems: policy is never \"postlink-guards\"",
        ),
        (
            "postlink_admission_policy_problems{problem!=\"missing\"}",
            "postlink_admission_policy_problems: problem is never \"missing\"",
        ),
    ] {
        let (wrong, ..) = checked(expression);
        assert!(wrong.iter().any(|w| w.starts_with(complaint)), "{expression}: {wrong:?}");
    }
    let (wrong, metrics, labels) = checked(
        "sum by (name, le) (rate(workqueue_queue_duration_seconds_bucket{name=\"PostLink\"}[$__rate_interval]))",
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(metrics, BTreeSet::from(["workqueue_queue_duration_seconds".to_owned()]));
    assert_eq!(labels, BTreeSet::from(["name".to_owned(), "le".to_owned()]));
}

#[test]
fn alerts_use_existing_metrics_and_have_a_runbook() {
    let manual = text("docs/operations.md");
    let anchors = anchors(&manual);
    let alerts = alerts();
    assert!(alerts.len() >= 11, "{}", alerts.len());
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(names.insert(name), "{name} is defined twice");
        let (complaints, metrics, labels) = checked(alert["expr"].as_str().unwrap());
        wrong.extend(complaints.into_iter().map(|complaint| format!("{name}: {complaint}")));
        let mut demand = |met: bool, what: &str| {
            if !met {
                wrong.push(format!("{name}: {what}"));
            }
        };
        demand(!metrics.is_empty(), "uses no metric");
        let duration = alert["for"].as_str().unwrap_or_default();
        demand(duration.trim_end_matches(['m', 'h']).parse::<u32>().is_ok_and(|n| n > 0), "has no `for`");
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        demand(SEVERITIES.contains(&severity), "has no severity");
        for annotation in ["summary", "description", "runbook"] {
            let text = alert["annotations"][annotation].as_str().unwrap_or_default();
            demand(!text.is_empty(), &format!("has no {annotation}"));
            for label in used_labels(text) {
                demand(labels.contains(label), &format!("uses {label}, which its result does not have"));
            }
        }
        let runbook = alert["annotations"]["runbook"].as_str().unwrap_or_default();
        let anchor = runbook.strip_prefix("docs/operations.md#").unwrap_or_default();
        demand(
            anchors.contains(anchor) && anchor == name.to_lowercase(),
            "its runbook section does not exist",
        );
    }
    // And no section describes an alert that does not exist.
    for heading in manual.lines().filter_map(|line| line.strip_prefix("### Postlink")) {
        let name = format!("Postlink{heading}");
        if !names.contains(name.as_str()) {
            wrong.push(format!("docs/operations.md describes {name}, which is not an alert"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dashboard_panels_use_existing_metrics() {
    let dashboard: Value = serde_json::from_str(&text("charts/postlink/files/dashboard.json")).unwrap();
    assert!(
        dashboard["uid"].is_string() && dashboard["title"].is_string() && dashboard["schemaVersion"].is_u64()
    );
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|v| v["type"] == "datasource" && v["query"] == "prometheus"));
    let mut wrong = Vec::new();
    let mut queried = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id of {title:?}");
        if panel["type"] == "row" {
            continue;
        }
        if panel["datasource"]["uid"] != "${datasource}" {
            wrong.push(format!("{title}: does not use the variable datasource"));
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}: no query");
        for target in targets {
            let (complaints, metrics, labels) = checked(target["expr"].as_str().unwrap());
            wrong.extend(complaints.into_iter().map(|complaint| format!("{title}: {complaint}")));
            queried.extend(metrics);
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap_or_default()) {
                if !labels.contains(label) {
                    wrong.push(format!("{title}: its legend uses {label}, which its result does not have"));
                }
            }
        }
    }
    for variable in variables.iter().filter(|v| v["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        let inner = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')).unwrap();
        let (expression, label) = inner.rsplit_once(", ").unwrap();
        let (complaints, _, labels) = checked(expression);
        wrong.extend(complaints);
        assert!(labels.contains(label), "{query}");
    }
    let metrics = Metrics::new();
    for family in metrics.families().iter().filter(|d| !d.name.starts_with("process_")) {
        if !queried.contains(&family.name) {
            wrong.push(format!("no panel shows {}", family.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
