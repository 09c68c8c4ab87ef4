//! The served kinds: one `Resource` each, built-in or from a `CustomResourceDefinition`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::built_in_schemas;
use crate::error::SetupError;

/// A field that a `fieldSelector` can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// The name in the selector, such as `spec.nodeName`.
    pub label: String,
    /// The path of the value in the stored object.
    pub path: Vec<String>,
}

/// A served kind.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each flag is an independent rule of a real server's strategy for the kind"
)]
pub struct Resource {
    /// API group. Empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Kind, such as `Widget`.
    pub kind: String,
    /// Plural name, as in URLs.
    pub plural: String,
    /// Singular name, such as `widget`.
    pub singular: String,
    /// Kind of lists, such as `WidgetList`.
    pub list_kind: String,
    /// Short names, such as `ns`.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects belong to a namespace.
    pub namespaced: bool,
    /// Whether the kind has the `status` subresource.
    pub has_status: bool,
    /// Whether the kind comes from a `CustomResourceDefinition`: its generation is counted, and
    /// [`Admission`](crate::Admission) has its schema.
    pub custom: bool,
    /// Whether a PUT creates a missing object, as for leases and events.
    pub create_on_update: bool,
    /// Whether an update may omit the resourceVersion.
    pub unconditional_update: bool,
    /// Whether a completed DELETE answers with the object instead of a `Status`.
    pub returns_deleted: bool,
    /// The fields that a `fieldSelector` can use besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<SelectableField>,
    /// The structural schema. For built-in kinds only the fields, with list and map types.
    pub schema: Value,
    /// The store of its objects. Events of the core group and of `events.k8s.io` share a store.
    pub(crate) store: usize,
    /// Whether the kind is the core event: stored in the shape of `events.k8s.io`, and converted on requests and answers.
    pub(crate) core_event: bool,
}

impl Resource {
    /// `apiVersion` of the objects: `group/version`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Plural with group, such as `widgets.example.com`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Kind with group, such as `Widget.example.com`.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The key of an object in the kind's store: `namespace/name`, or `name` for cluster-scoped kinds.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// The etcd key of the object on a real server. Some error messages contain it.
    pub(crate) fn etcd_key(&self, key: &str) -> String {
        if self.custom {
            format!("/registry/{}/{}/{key}", self.group, self.plural)
        } else {
            format!("/registry/{}/{key}", self.plural)
        }
    }

    /// The position of `label` in `selectable`.
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
    // Selectors of core events use the names of the core group; the store has those of events.k8s.io.
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

/// All served resources, in a fixed order.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    resources: Vec<Resource>,
    /// The number of stores.
    pub(crate) stores: usize,
}

impl Registry {
    /// The built-in kinds and the served versions of `crds`.
    ///
    /// # Errors
    /// When a definition does not serve exactly one version.
    pub(crate) fn new(crds: &[CustomResourceDefinition]) -> Result<Self, SetupError> {
        let mut resources = built_in();
        for crd in crds {
            resources.push(from_crd(crd)?);
        }
        let mut stores = 0;
        for resource in &mut resources {
            // A core event uses the store of the `events.k8s.io` event before it.
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

    /// The resource in whose shape a store keeps its objects.
    pub(crate) fn of_store(&self, store: usize) -> &Resource {
        self.resources
            .iter()
            .find(|r| r.store == store && !r.core_event)
            .expect("every store was numbered after a resource of this list")
    }

    /// The resource of a kind. `Event` is that of `events.k8s.io`.
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

/// Fields of core events and their names in `events.k8s.io`.
const EVENT_NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Converts a core event to `events.k8s.io`, the stored shape.
pub(crate) fn event_from_core(object: &mut Value) {
    rename(object, "events.k8s.io/v1", EVENT_NAMES.iter().copied());
}

/// Converts a stored event to the core group.
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
