//! One instance as the dispatcher and the Web API see it.

use uuid::Uuid;

use crate::spec::{InstanceSpec, InstanceState};
use crate::tables::Catalog;

/// A validated specification with the tables that follow from it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub name: String,
    pub spec: InstanceSpec,
    pub catalog: Catalog,
}

impl Instance {
    pub fn new(name: String, spec: InstanceSpec) -> Self {
        let catalog = Catalog::of(&spec);
        Self { name, spec, catalog }
    }

    pub fn is_reachable(&self) -> bool {
        self.spec.state != InstanceState::Unreachable
    }

    /// The first label of the host.
    pub fn url_name(&self) -> &str {
        self.spec.host.split('.').next().unwrap_or_default()
    }

    /// The environment that contains the organization.
    pub fn environment_id(&self) -> Uuid {
        self.derived_id("environment")
    }

    /// Derived from the organization, so that every run gives the same ids.
    pub fn derived_id(&self, name: &str) -> Uuid {
        Uuid::new_v5(&self.spec.organization.id, name.as_bytes())
    }
}

/// The tenant that owns all simulated instances.
pub(crate) fn tenant_id() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"simulated-tenant")
}
