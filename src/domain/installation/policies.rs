//! Whether the admission policies in the cluster are those of this version (§4: the guard).

use crate::api::policies::{GROUPS, REFUSAL, REFUSAL_TOOLS, Shipped, USERS};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Differences that a finding names; a policy of another version may have dozens.
const MAX_DETAILS: usize = 3;
/// Longer values, such as expressions, are not repeated.
const MAX_VALUE_LENGTH: usize = 60;
/// Stands for what an administrator fills in.
const FILLED_IN: &str = "filled in";

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The policy does not exist.
    Absent,
    /// The policy or its binding is not that of this version.
    Altered,
    /// The same, and the label of the policy says that it belongs to another version: of another release, or during an
    /// upgrade.
    OtherVersion,
    /// The binding does not exist, or binds another policy.
    Unbound,
    /// Postlink is not permitted to read the policy or its binding.
    NotRead,
}

impl Problem {
    pub const ALL: [Self; 5] =
        [Self::Absent, Self::Altered, Self::OtherVersion, Self::Unbound, Self::NotRead];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Altered => "altered",
            Self::OtherVersion => "other_version",
            Self::Unbound => "unbound",
            Self::NotRead => "not_read",
        }
    }
}

/// The `spec` of a policy and of its binding in the cluster; `None` if there is no such object. And the label that the
/// chart gives the policy, `app.kubernetes.io/version`.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    pub policy: Option<Value>,
    pub binding: Option<Value>,
    pub version: Option<String>,
}

/// What was read of the policies.
#[derive(Clone, Debug)]
pub enum Observed {
    /// By name.
    Read(BTreeMap<&'static str, Installed>),
    NotPermitted,
}

/// A problem of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub policy: &'static str,
    pub problem: Problem,
    /// What differs, such as `spec.failurePolicy is "Ignore" and should be "Fail"`.
    pub details: Vec<String>,
}

impl Finding {
    /// As a sentence without a full stop.
    pub fn message(&self) -> String {
        let Self { policy, problem, details } = self;
        match problem {
            Problem::Absent => format!("{policy} is absent"),
            Problem::Altered | Problem::OtherVersion => {
                format!("{policy} is not that of this version: {}", details.join("; "))
            }
            Problem::Unbound => format!("{policy} is not bound"),
            Problem::NotRead => format!("{policy} cannot be read"),
        }
    }
}

/// The problems of the installed policies for the program of this `version`. What an administrator fills in may be anything.
/// Unless a refusal is expected, the refusal policies may be absent together (mode Off).
pub fn findings(
    shipped: &[Shipped],
    version: &str,
    refusal_expected: bool,
    observed: &Observed,
) -> Vec<Finding> {
    let finding = |policy, problem, details| Finding { policy, problem, details };
    let installed = match observed {
        Observed::Read(installed) => installed,
        Observed::NotPermitted => {
            return shipped.iter().map(|one| finding(one.name, Problem::NotRead, Vec::new())).collect();
        }
    };
    let nothing = Installed::default();
    let of = |name: &str| installed.get(name).unwrap_or(&nothing);
    let is_absent = |name: &&str| of(name).policy.is_none() && of(name).binding.is_none();
    let is_off = !refusal_expected && [REFUSAL, REFUSAL_TOOLS].iter().all(is_absent);
    let mut found = Vec::new();
    for one in shipped {
        if is_off && [REFUSAL, REFUSAL_TOOLS].contains(&one.name) {
            continue;
        }
        let Installed { policy, binding, version: label } = of(one.name);
        let Some(policy) = policy else {
            found.push(finding(one.name, Problem::Absent, Vec::new()));
            continue;
        };
        let binding = binding.as_ref().filter(|spec| spec["policyName"] == one.binding["policyName"]);
        let mut details = differences("spec", &normal_policy(&one.policy), &normal_policy(policy));
        let of_policy = details.len();
        if let Some(binding) = binding {
            let normal = |spec| normal_binding(one.name, spec);
            details.extend(differences("binding: spec", &normal(&one.binding), &normal(binding)));
        } else {
            found.push(finding(one.name, Problem::Unbound, Vec::new()));
        }
        if !details.is_empty() {
            // The binding is the same in all versions.
            let same_binding = details.len() == of_policy;
            details.truncate(MAX_DETAILS);
            let other = label.as_deref().filter(|label| same_binding && *label != version);
            if let Some(label) = other {
                details.insert(0, format!("it is that of version {label}"));
            }
            let problem = if other.is_some() { Problem::OtherVersion } else { Problem::Altered };
            found.push(finding(one.name, problem, details));
        }
    }
    found.sort();
    found
}

/// The `spec` of a policy as the API server completes it.
fn normal_policy(spec: &Value) -> Value {
    let mut spec = normal(spec);
    default(&mut spec, "failurePolicy", "Fail");
    if let Some(constraints) = spec.get_mut("matchConstraints") {
        default(constraints, "matchPolicy", "Equivalent");
        for rules in ["resourceRules", "excludeResourceRules"] {
            for rule in constraints.get_mut(rules).and_then(Value::as_array_mut).into_iter().flatten() {
                default(rule, "scope", "*");
            }
        }
    }
    for variable in spec.get_mut("variables").and_then(Value::as_array_mut).into_iter().flatten() {
        if variable["name"] == USERS || variable["name"] == GROUPS {
            variable["expression"] = json!(FILLED_IN);
        }
    }
    spec
}

/// The `spec` of a binding, with the action for people as something filled in.
fn normal_binding(name: &str, spec: &Value) -> Value {
    let mut spec = normal(spec);
    if let Some(actions) = spec.get_mut("validationActions").and_then(Value::as_array_mut) {
        // Beside another action, Audit only adds to the audit log.
        if actions.len() > 1 {
            actions.retain(|action| action != "Audit");
        }
        let is_mode = |actions: &[Value]| *actions == [json!("Deny")] || *actions == [json!("Warn")];
        if name == REFUSAL && is_mode(actions) {
            *actions = vec![json!(FILLED_IN)];
        }
    }
    spec
}

fn default(object: &mut Value, field: &str, value: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.entry(field).or_insert_with(|| json!(value));
    }
}

/// Without what says nothing: empty fields, the order of words in a list, and the white space that tools fold differently.
fn normal(value: &Value) -> Value {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    match value {
        Value::String(text) => json!(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            let words: BTreeSet<&str> = items.iter().filter_map(Value::as_str).collect();
            json!(words)
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), normal(value)));
            Value::Object(fields.filter(|(_, value)| says_something(value)).collect())
        }
        other => other.clone(),
    }
}

fn differences(path: &str, ours: &Value, installed: &Value) -> Vec<String> {
    if ours == installed {
        return Vec::new();
    }
    match (ours, installed) {
        (Value::Object(ours), Value::Object(installed)) => {
            let none = Value::Null;
            let of = |fields: &Map<String, Value>, name: &str| fields.get(name).unwrap_or(&none).clone();
            let names: BTreeSet<&String> = ours.keys().chain(installed.keys()).collect();
            names
                .into_iter()
                .flat_map(|name| {
                    differences(&format!("{path}.{name}"), &of(ours, name), &of(installed, name))
                })
                .collect()
        }
        (Value::Array(ours), Value::Array(installed))
            if ours.len() == installed.len() && !ours.iter().all(Value::is_string) =>
        {
            let pairs = ours.iter().zip(installed).enumerate();
            pairs
                .flat_map(|(at, (ours, installed))| differences(&format!("{path}[{at}]"), ours, installed))
                .collect()
        }
        (Value::Null, _) => vec![format!("{path} should not be set")],
        (_, Value::Null) => vec![format!("{path} is missing")],
        (ours, installed) => {
            let [ours, installed] = [ours, installed].map(Value::to_string);
            if ours.len().max(installed.len()) <= MAX_VALUE_LENGTH {
                vec![format!("{path} is {installed} and should be {ours}")]
            } else {
                vec![format!("{path} differs")]
            }
        }
    }
}
