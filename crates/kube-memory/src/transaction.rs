//! A write in progress: the request, the locked state, and the checks that create, update and delete share.
//!
//! Follows `k8s.io/apiserver/pkg/registry/generic/registry/store.go` and the strategies of the kinds step by step: the
//! order of the checks decides which of several errors a client sees.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::admission::{AdmissionRequest, Operation};
use crate::built_in;
use crate::field_error::FieldError;
use crate::managed_fields::Writer;
use crate::metadata;
use crate::resource::Resource;
use crate::server::{Server, ServerState};
use crate::status::{ApiResult, StatusError};
use crate::store::StoredObject;
use crate::user_info::UserInfo;

/// `fieldValidation`: how the API treats fields that the schema does not declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them with a warning. The default.
    #[default]
    Warn,
    /// Reject the request.
    Strict,
}

/// What a write is about, from the request line and the query.
#[derive(Clone, Debug)]
pub(crate) struct WriteRequest<'a> {
    pub resource: &'a Resource,
    pub namespace: &'a str,
    /// Empty on create and on collections.
    pub name: &'a str,
    /// `status`, or empty.
    pub subresource: &'a str,
    pub user: Arc<UserInfo>,
    pub manager: String,
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// Whether server-side apply takes over fields of other managers.
    pub force: bool,
}

/// The answer to a successful write.
#[derive(Debug)]
pub(crate) struct WriteResponse {
    pub code: u16,
    pub body: Bytes,
}

/// A write in progress. It holds the lock on the state.
pub(crate) struct Transaction<'a> {
    pub server: &'a Server,
    pub state: &'a mut ServerState,
    pub request: &'a WriteRequest<'a>,
    pub warnings: Vec<String>,
    /// The time of the request in the format of metadata.
    pub now: String,
}

impl<'a> Transaction<'a> {
    pub fn new(server: &'a Server, state: &'a mut ServerState, request: &'a WriteRequest<'a>) -> Self {
        let now = metadata::rfc3339_seconds(server.now());
        Self { server, state, request, warnings: Vec::new(), now }
    }

    pub fn writer(&self) -> Writer<'_> {
        Writer { manager: &self.request.manager, subresource: self.request.subresource, now: &self.now }
    }

    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let resource = self.request.resource;
        if resource.custom {
            let subresource = (!self.request.subresource.is_empty()).then_some(self.request.subresource);
            self.server.admission.validate(resource, subresource, object, old)
        } else if self.request.subresource.is_empty() {
            built_in::validate(resource, object, old)
        } else {
            Vec::new()
        }
    }

    pub fn type_errors(&self, object: &Value) -> Vec<FieldError> {
        let resource = self.request.resource;
        let api_version = self.stored_api_version();
        let mut errors = Vec::new();
        for (field, must) in [("kind", resource.kind.as_str()), ("apiVersion", api_version.as_str())] {
            let is = object[field].as_str().unwrap_or_default();
            if is != must {
                errors.push(FieldError::invalid(field, is, format!("must be {must}")));
            }
        }
        errors
    }

    pub fn stored_api_version(&self) -> String {
        self.server.registry.of_store(self.request.resource.store).api_version()
    }

    pub fn check_valid(&self, name: &str, object: &Value, errors: &[FieldError]) -> ApiResult<()> {
        if errors.is_empty() {
            return Ok(());
        }
        let resource = self.request.resource;
        let kind = object["kind"].as_str().unwrap_or(&resource.kind);
        // Events of either group are one internal kind, which belongs to the core group.
        let group = if kind == "Event" && !resource.custom { "" } else { &resource.group };
        Err(StatusError::invalid(group, kind, name, errors))
    }

    /// Checks that the namespace exists, and on a create that it is not being deleted.
    pub fn check_namespace(&self, object: &Value) -> ApiResult<()> {
        let resource = self.request.resource;
        if !resource.namespaced {
            return Ok(());
        }
        let namespaces = self.server.registry.namespaces();
        let Some(namespace) = self.state.store.get(namespaces.store, self.request.namespace) else {
            return Err(StatusError::not_found(namespaces, self.request.namespace));
        };
        let creating = metadata::text(object, "uid").is_empty() || self.request.name.is_empty();
        let exists = !self.request.name.is_empty()
            && self
                .state
                .store
                .get(resource.store, &resource.key(self.request.namespace, self.request.name))
                .is_some();
        if creating && !exists && namespace.field(0) == "Terminating" {
            let name = match (metadata::text(object, "name"), metadata::text(object, "generateName")) {
                ("", "") => "Unknown",
                ("", prefix) => prefix,
                (name, _) => name,
            };
            let mut error = StatusError::forbidden(
                resource,
                name,
                &format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    self.request.namespace
                ),
            );
            error.add_cause(json!({
                "reason": "NamespaceTerminating",
                "message": format!("namespace {} is being terminated", self.request.namespace),
                "field": "metadata.namespace",
            }));
            return Err(error);
        }
        Ok(())
    }

    /// Asks admission.
    pub fn admit(
        &mut self,
        operation: Operation,
        name: &str,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> ApiResult<()> {
        let resource = self.request.resource;
        let namespace_object = self
            .state
            .store
            .get(self.server.registry.namespaces().store, self.request.namespace)
            .filter(|_| resource.namespaced)
            .map(|stored| stored.value());
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let request = AdmissionRequest {
            operation,
            user: (*self.request.user).clone(),
            dry_run: self.request.dry_run,
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
            resource: resource.plural.clone(),
            subresource: optional(self.request.subresource),
            namespace: optional(self.request.namespace),
            name: name.to_owned(),
        };
        let response = self.server.admission.admit(&request, object, old, namespace_object.as_ref());
        self.warnings.extend(response.warnings);
        // A request about a collection has no name; the server's message then says "Unknown".
        let collection = operation == Operation::Delete && self.request.name.is_empty();
        let name = if collection { "Unknown" } else { name };
        match response.denied {
            None => Ok(()),
            Some(denial) => {
                Err(StatusError::denied(resource, name, denial.code, denial.reason, &denial.message))
            }
        }
    }

    pub fn check_name(&self, object: &Value) -> ApiResult<()> {
        let (is, url) = (metadata::text(object, "name"), self.request.name);
        if is.is_empty() {
            return Err(StatusError::bad_request(format!(
                "the name of the object ({url} based on URL) was undeterminable: name must be provided"
            )));
        }
        if is != url {
            return Err(StatusError::bad_request(format!(
                "the name of the object ({is}) does not match the name on the URL ({url})"
            )));
        }
        Ok(())
    }

    /// Stores the object at `key`.
    pub fn commit(&mut self, key: &str, mut object: Value) -> Arc<StoredObject> {
        let resource = self.request.resource;
        let mut defaulted = false;
        if resource.custom {
            // A server fills in defaults when it reads; those of `status` appear only now, after the write dropped it.
            let written = object.clone();
            self.server.admission.default(resource, &mut object);
            defaulted = written != object;
        }
        let owner = self.server.registry.of_store(resource.store);
        self.state.store.put(owner, key, &mut object, defaulted, &self.request.user)
    }

    /// Removes the object at `key` from the store.
    pub fn remove(&mut self, key: &str) -> Option<Arc<StoredObject>> {
        let owner = self.server.registry.of_store(self.request.resource.store);
        self.state.store.delete(owner, key, &self.request.user)
    }
}
