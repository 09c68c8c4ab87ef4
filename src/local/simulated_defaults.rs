//! The instances of connections whose hosts no `SimulatedInstance` has: healthy, with the tables that Dynamics 365 has and
//! the custom tables that the connections name.

use super::tree::{Item, Tree, connections};
use dataverse_simulator::SimulatedInstance;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The tables that every simulated instance has.
const BUILT_IN: [&str; 3] = ["incident", "lead", "contact"];
/// The other tables of Dynamics 365 whose rows a social activity can regard, according to its reference.
const STANDARD: [&str; 16] = [
    "account",
    "bookableresourcebooking",
    "bookableresourcebookingheader",
    "bulkoperation",
    "campaign",
    "campaignactivity",
    "contract",
    "entitlement",
    "entitlementtemplate",
    "invoice",
    "knowledgearticle",
    "knowledgebaserecord",
    "opportunity",
    "quote",
    "salesorder",
    "site",
];

/// Hosts that a warning names.
const NAMED: usize = 3;

#[derive(Default)]
pub struct Defaults {
    pub instances: Vec<SimulatedInstance>,
    /// One for each host.
    pub notes: Vec<String>,
    /// Tables that no instance has, each beginning with the place of the name.
    pub errors: Vec<String>,
}

/// What the connections to one host need.
#[derive(Default)]
struct Needed {
    /// Custom and standard tables beside the built-in ones.
    tables: BTreeSet<String>,
    records: BTreeSet<(String, Uuid)>,
}

/// The instances for the connections of all commits. A host that a `SimulatedInstance` of any commit has gets none, and
/// neither does one that the controller may not contact.
pub fn of(trees: &[&Tree]) -> Defaults {
    let given: BTreeSet<&str> =
        trees.iter().flat_map(|tree| &tree.instances).map(|instance| instance.spec.host.as_str()).collect();
    let mut hosts: BTreeMap<String, Needed> = BTreeMap::new();
    let mut errors = BTreeSet::new();
    for tree in trees {
        for connection in connections(&tree.items) {
            let url = connection.document.value["spec"]["instanceUrl"].as_str().unwrap_or_default();
            let Some(host) = allowed_host_of(url).filter(|host| !given.contains(host.as_str())) else {
                continue;
            };
            let needed = hosts.entry(host.clone()).or_default();
            errors.extend(add_tables(connection, &host, needed));
            add_records(tree, connection, needed);
        }
    }
    let notes = hosts.iter().map(|(host, needed)| note(host, needed)).collect();
    let instances = hosts.iter().filter_map(|(host, needed)| instance(host, needed)).collect();
    Defaults { instances, notes, errors: errors.into_iter().collect() }
}

/// A warning for each instance in the files whose host no connection has: its host may be mistyped.
pub fn unused(trees: &[&Tree]) -> Vec<String> {
    let connections =
        trees.iter().flat_map(|tree| connections(&tree.items).chain(connections(&tree.refused)));
    let hosts: BTreeSet<String> = connections
        .filter_map(|item| host_of(item.document.value["spec"]["instanceUrl"].as_str()?))
        .collect();
    let shown: Vec<&str> = hosts.iter().take(NAMED).map(String::as_str).collect();
    let more = if hosts.len() > NAMED { ", …" } else { "" };
    // Each commit has the instance again.
    let mut unused: BTreeMap<&str, String> = BTreeMap::new();
    for (place, name, host) in trees.iter().flat_map(|tree| &tree.given) {
        if !hosts.contains(&host.to_ascii_lowercase()) {
            unused.entry(host).or_insert_with(|| {
                format!(
                    "{place}: no connection has the host of SimulatedInstance {name}, {host}; those of the connections are: {}{more}",
                    shown.join(", ")
                )
            });
        }
    }
    if hosts.is_empty() { Vec::new() } else { unused.into_values().collect() }
}

/// The host of a URL, in lower case.
pub fn host_of(url: &str) -> Option<String> {
    url.parse::<http::Uri>().ok()?.host().map(str::to_ascii_lowercase)
}

/// The same, if the controller may contact it without `--allow-host`.
pub fn allowed_host_of(url: &str) -> Option<String> {
    let client = dataverse_client::Client::new(&dataverse_client::Config::default()).ok()?;
    client.admit(url).ok()?;
    host_of(url)
}

fn add_tables(connection: &Item, host: &str, needed: &mut Needed) -> Vec<String> {
    let mut errors = Vec::new();
    let named = connection.document.value["spec"]["recordTypes"].as_array().into_iter().flatten();
    for (index, name) in named.enumerate() {
        let Some(name) = name.as_str().filter(|name| !BUILT_IN.contains(name)) else { continue };
        if STANDARD.contains(&name) || is_custom(name) {
            needed.tables.insert(name.to_owned());
            continue;
        }
        let field = format!("spec.recordTypes[{index}]");
        errors.push(format!(
            "{}: {}: {field}: Dynamics 365 has no table {name} that social activities can refer to; correct the name, or add a SimulatedInstance for {host} that has the table",
            connection.document.place(&field),
            connection.id
        ));
    }
    errors
}

/// Whether the name begins with the prefix of a publisher, as in `new_complaint`.
fn is_custom(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.contains('_') && name.chars().all(allowed)
}

/// The records that links through the connection name by id.
fn add_records(tree: &Tree, connection: &Item, needed: &mut Needed) {
    let first = connection.document.value["spec"]["recordTypes"][0].as_str().unwrap_or(BUILT_IN[0]);
    for link in tree.items.iter().filter(|item| item.id.kind == "PostLink") {
        let text = |pointer: &str| link.document.value.pointer(pointer).and_then(Value::as_str);
        let other = text("/spec/link/connectionRef/name").is_some_and(|name| name != connection.id.name);
        let id = text("/spec/link/recordId").and_then(|id| Uuid::parse_str(id).ok());
        let table = text("/spec/link/recordType").unwrap_or(first);
        if let Some(id) = id.filter(|_| !other && link.id.namespace == connection.id.namespace)
            && (BUILT_IN.contains(&table) || needed.tables.contains(table))
        {
            needed.records.insert((table.to_owned(), id));
        }
    }
}

fn note(host: &str, needed: &Needed) -> String {
    let note = format!("{host} has no SimulatedInstance, so a healthy instance is simulated");
    let custom: Vec<&str> =
        needed.tables.iter().map(String::as_str).filter(|name| !STANDARD.contains(name)).collect();
    if custom.is_empty() {
        return note;
    }
    format!("{note}, with the custom tables that its connections name: {}", custom.join(", "))
}

/// Any credentials are accepted. `None` only if the specification has changed its format.
fn instance(host: &str, needed: &Needed) -> Option<SimulatedInstance> {
    let label = host.split('.').next().unwrap_or_default();
    let table = |name: &String| json!({"logicalName": name, "entitySetName": format!("{name}s"), "primaryIdAttribute": format!("{name}id")});
    let spec = json!({
        "host": host,
        "organization": {
            "id": Uuid::new_v5(&Uuid::NAMESPACE_DNS, host.as_bytes()),
            "name": label,
            "uniqueName": label,
        },
        "tables": needed.tables.iter().map(table).collect::<Vec<_>>(),
        "records": needed.records.iter().map(|(table, id)| json!({"table": table, "id": id})).collect::<Vec<_>>(),
    });
    Some(SimulatedInstance { name: label.to_owned(), spec: serde_json::from_value(spec).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_is_valid() {
        let needed = Needed {
            tables: ["new_complaint", "opportunity"].map(str::to_owned).into(),
            records: BTreeSet::from([("lead".to_owned(), Uuid::NAMESPACE_DNS)]),
        };
        let instance = instance("contoso.crm.dynamics.com", &needed).unwrap();
        assert_eq!(instance.spec.validate(), Ok(()));
        assert_eq!((instance.spec.tables.len(), instance.spec.records.len()), (2, 1));
        assert_eq!(instance.spec.client_secret, None);
    }
}
