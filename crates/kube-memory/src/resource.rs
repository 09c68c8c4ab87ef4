//! What the API serves: one `Resource` per kind, built-in or read from a `CustomResourceDefinition`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::built_in_schemas;
use crate::error::SetupError;

/// A field that a `fieldSelector` may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// The name in the selector, `spec.connectionRef.name`.
    pub label: String,
    /// Where the value stands in the stored object.
    pub path: Vec<String>,
}

/// One served kind and the ways in which kinds differ.
#[derive(Clone, Debug)]
// Each flag is one independent rule of a real server's strategy for the kind; they never exclude one another.
#[allow(clippy::struct_excessive_bools)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind, `Widget`.
    pub kind: String,
    /// Plural, as in the path.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Kind of a list, `WidgetList`.
    pub list_kind: String,
    /// Short names, `plink`.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `/status` is a separate endpoint.
    pub has_status: bool,
    /// Whether the kind comes from a `CustomResourceDefinition`: generation is kept, admission does its schema work.
    pub custom: bool,
    /// Whether a PUT of a missing object creates it (leases, events).
    pub create_on_update: bool,
    /// Whether a PUT may leave the resource version out.
    pub unconditional_update: bool,
    /// Whether a completed DELETE answers with the object instead of a `Status`.
    pub returns_deleted: bool,
    /// What a `fieldSelector` may name besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<SelectableField>,
    /// The kind's structural schema; for built-in kinds only their fields, with list and map types.
    pub schema: Value,
    /// Where its objects are kept; core events and `events.k8s.io` events are one store in two shapes.
    pub(crate) store: usize,
    /// The store keeps the other shape of the event; requests and answers are renamed at the edge.
    pub(crate) core_event: bool,
}

impl Resource {
    /// `group/version`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `widgets.example.com`, as error messages call it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Widget.example.com`, as validation messages call it.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The key of an object in the kind's store: `namespace/name`, or `name` for cluster-scoped kinds.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// The path under which a real server keeps the object in etcd; some error messages quote it.
    pub(crate) fn etcd_key(&self, key: &str) -> String {
        if self.custom {
            format!("/registry/{}/{}/{key}", self.group, self.plural)
        } else {
            format!("/registry/{}/{key}", self.plural)
        }
    }

    /// The position of `label` among the selectable values kept with each object.
    pub(crate) fn selectable_index(&self, label: &str) -> Option<usize> {
        self.selectable.iter().position(|f| f.label == label)
    }
}

/// The built-in kinds: namespaces, secrets, service accounts, both event groups, leases.
fn built_in() -> Vec<Resource> {
    let base = |group: &str, kind: &str, plural: &str, short: &[&str]| Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        list_kind: format!("{kind}List"),
        short_names: short.iter().map(|&s| s.to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        has_status: false,
        custom: false,
        create_on_update: false,
        unconditional_update: true,
        returns_deleted: false,
        selectable: Vec::new(),
        schema: built_in_schemas::schema(group, kind),
        store: 0,
        core_event: false,
    };
    let field = |label: &str, path: &str| SelectableField {
        label: label.to_owned(),
        path: path.split('.').map(str::to_owned).collect(),
    };
    // Labels of core events name the core fields; the store keeps the events.k8s.io names.
    let event_fields: Vec<SelectableField> =
        ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
            .iter()
            .map(|f| field(&format!("involvedObject.{f}"), &format!("regarding.{f}")))
            .chain([
                field("reason", "reason"),
                field("reportingComponent", "reportingController"),
                field("source", "reportingController"),
                field("type", "type"),
            ])
            .collect();
    let regarding_fields = event_fields
        .iter()
        .map(|f| SelectableField {
            label: f.label.replace("involvedObject.", "regarding."),
            path: f.path.clone(),
        })
        .collect();
    vec![
        Resource {
            namespaced: false,
            has_status: true,
            returns_deleted: true,
            selectable: vec![field("status.phase", "status.phase")],
            ..base("", "Namespace", "namespaces", &["ns"])
        },
        Resource { selectable: vec![field("type", "type")], ..base("", "Secret", "secrets", &[]) },
        Resource { returns_deleted: true, ..base("", "ServiceAccount", "serviceaccounts", &["sa"]) },
        Resource {
            create_on_update: true,
            selectable: regarding_fields,
            ..base("events.k8s.io", "Event", "events", &["ev"])
        },
        Resource {
            create_on_update: true,
            core_event: true,
            selectable: event_fields,
            ..base("", "Event", "events", &["ev"])
        },
        Resource {
            create_on_update: true,
            unconditional_update: false,
            ..base("coordination.k8s.io", "Lease", "leases", &[])
        },
    ]
}

/// Every served resource, in a fixed order; positions are the ids used by the store.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    resources: Vec<Resource>,
    /// How many stores there are.
    pub(crate) stores: usize,
}

impl Registry {
    /// The built-in kinds and the served versions of `crds`.
    ///
    /// # Errors
    /// A definition with more than one served version: there is no conversion here.
    pub(crate) fn new(crds: &[CustomResourceDefinition]) -> Result<Self, SetupError> {
        let mut resources = built_in();
        for crd in crds {
            resources.push(from_crd(crd)?);
        }
        let mut stores = 0;
        for resource in &mut resources {
            // The core event follows its store's owner in the list above.
            if !resource.core_event {
                stores += 1;
            }
            resource.store = stores - 1;
        }
        Ok(Self { resources, stores })
    }

    pub(crate) fn all(&self) -> &[Resource] {
        &self.resources
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The resource whose shape a store keeps.
    pub(crate) fn of_store(&self, store: usize) -> &Resource {
        self.resources
            .iter()
            .find(|r| r.store == store && !r.core_event)
            .expect("every store was numbered after a resource of this list")
    }

    /// By kind name, as tests name it. Events mean `events.k8s.io`.
    pub(crate) fn by_kind(&self, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.kind == kind)
    }

    pub(crate) fn namespaces(&self) -> &Resource {
        self.by_kind("Namespace").expect("namespaces are built in")
    }
}

fn from_crd(crd: &CustomResourceDefinition) -> Result<Resource, SetupError> {
    let spec = &crd.spec;
    let mut served = spec.versions.iter().filter(|v| v.served);
    let (Some(version), None) = (served.next(), served.next()) else {
        return Err(SetupError::Versions { plural: spec.names.plural.clone() });
    };
    let schema = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
    let schema = serde_json::to_value(schema)
        .map_err(|source| SetupError::Definition { plural: spec.names.plural.clone(), source })?;
    let selectable = version.selectable_fields.iter().flatten().map(|field| {
        let label = field.json_path.trim_start_matches('.').to_owned();
        SelectableField { path: label.split('.').map(str::to_owned).collect(), label }
    });
    Ok(Resource {
        group: spec.group.clone(),
        version: version.name.clone(),
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
        singular: spec.names.singular.clone().unwrap_or_else(|| spec.names.kind.to_lowercase()),
        list_kind: spec.names.list_kind.clone().unwrap_or_else(|| format!("{}List", spec.names.kind)),
        short_names: spec.names.short_names.clone().unwrap_or_default(),
        categories: spec.names.categories.clone().unwrap_or_default(),
        namespaced: spec.scope == "Namespaced",
        has_status: version.subresources.as_ref().is_some_and(|s| s.status.is_some()),
        custom: true,
        create_on_update: false,
        unconditional_update: false,
        returns_deleted: false,
        selectable: selectable.collect(),
        schema,
        store: 0,
        core_event: false,
    })
}

/// How core events and `events.k8s.io` events name the same thing, core name first.
const EVENT_NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// A core event as its `events.k8s.io` twin, the shape that is stored.
pub(crate) fn event_from_core(object: &mut Value) {
    rename(object, "events.k8s.io/v1", EVENT_NAMES.iter().copied());
}

/// A stored event as the core group shows it.
pub(crate) fn event_to_core(object: &mut Value) {
    rename(object, "v1", EVENT_NAMES.iter().map(|&(core, other)| (other, core)));
}

fn rename<'a>(object: &mut Value, api_version: &str, names: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), json!(api_version));
}
