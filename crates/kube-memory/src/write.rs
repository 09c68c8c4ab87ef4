//! Create and update: the order of checks, and what each endpoint may change.
//!
//! Follows `k8s.io/apiserver/pkg/registry/generic/registry/store.go` and the strategies of the kinds step by step,
//! because the order decides which of several errors a client sees.

use std::sync::Arc;

use bytes::Bytes;
use rand::Rng as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::admission::{AdmissionRequest, Operation};
use super::answer::{FieldError, Outcome, Refusal};
use super::core::{Core, State};
use super::managed_fields::{self, Writer};
use super::resource::Resource;
use super::store::{Actor, Stored};
use super::{built_in, metadata};

/// `fieldValidation`: what happens to fields the schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// They are dropped silently.
    Ignore,
    /// They are dropped with a warning. The default.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

/// What a write is about, read from the request line.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub resource: &'a Resource,
    pub namespace: &'a str,
    /// Empty on create and on collections.
    pub name: &'a str,
    /// `status`, or empty.
    pub subresource: &'a str,
    pub actor: Arc<Actor>,
    pub manager: String,
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// Of server-side apply.
    pub force: bool,
    /// `CreateOptions`, … as policies see them.
    pub options: Value,
}

/// A request that worked.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: u16,
    pub body: Bytes,
}

/// One request's hold on the store.
pub(crate) struct Transaction<'a> {
    pub core: &'a Core,
    pub state: &'a mut State,
    pub call: &'a Call<'a>,
    pub warnings: Vec<String>,
    /// The time of the request, as metadata writes it.
    pub now: String,
}

pub(crate) fn bytes(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("a JSON value always serialises"))
}

/// The key of an object within its kind.
pub(crate) fn key(resource: &Resource, namespace: &str, name: &str) -> String {
    if resource.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
}

impl<'a> Transaction<'a> {
    pub fn new(core: &'a Core, state: &'a mut State, call: &'a Call<'a>) -> Self {
        let now = metadata::rfc3339_seconds(core.now());
        Self { core, state, call, warnings: Vec::new(), now }
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer { manager: &self.call.manager, subresource: self.call.subresource, now: &self.now }
    }

    /// POST.
    pub fn create(&mut self, mut object: Value) -> Outcome<Done> {
        self.decode_body(&mut object)?;
        for field in
            ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
        {
            metadata::set(&mut object, field, None);
        }
        metadata::ensure_namespace(self.call.resource, self.call.namespace, &mut object)?;
        if self.core.managed_fields {
            managed_fields::update(self.call.resource, None, &mut object, self.writer());
        }
        // Before a name is generated: a refusal names the prefix.
        self.admit_namespace(&object)?;
        let prefix = metadata::text(&object, "generateName").to_owned();
        if !prefix.is_empty() && metadata::text(&object, "name").is_empty() {
            // As many tries as a server makes before it gives up.
            for attempt in 1..=8 {
                let mut named = object.clone();
                let suffix = self.random_suffix();
                let stem: String = prefix.chars().take(58).collect();
                metadata::set(&mut named, "name", Some(json!(format!("{stem}{suffix}"))));
                match self.insert(named) {
                    Err(refusal) if refusal.reason == "AlreadyExists" => {
                        if attempt == 8 {
                            return Err(Refusal::no_free_name(
                                self.call.resource,
                                &format!("{stem}{suffix}"),
                            ));
                        }
                    }
                    done => return done,
                }
            }
        }
        self.insert(object)
    }

    /// Everything after decoding, for POST and for an apply or PUT that creates.
    pub(super) fn insert(&mut self, mut object: Value) -> Outcome<Done> {
        let resource = self.call.resource;
        let name = metadata::text(&object, "name").to_owned();
        let uid = self.state.next_uid(self.core.seed, self.call.dry_run);
        metadata::set(&mut object, "creationTimestamp", Some(json!(self.now)));
        metadata::set(&mut object, "uid", Some(json!(uid.to_string())));
        if resource.custom {
            if resource.has_status
                && let Some(map) = object.as_object_mut()
            {
                map.remove("status");
            }
            metadata::set(&mut object, "generation", Some(json!(1)));
        } else {
            built_in::prepare(resource, &mut object, None);
        }
        let mut errors = self.type_errors(&object);
        if errors.is_empty() {
            errors = metadata::validate(resource, built_in::name_rule(resource), &object);
            errors.extend(self.validate(&object, None));
        }
        self.refuse_invalid(&name, &object, &errors)?;
        self.warnings.extend(metadata::finalizer_warnings(&object, None));
        self.admit(Operation::Create, &name, Some(&object), None)?;
        // What is no number is no version, and a server drops it.
        if metadata::text(&object, "resourceVersion").parse().is_ok_and(|version: u64| version != 0) {
            return Err(Refusal::unknown("resourceVersion should not be set on objects to be created"));
        }
        let key = key(resource, self.call.namespace, &name);
        if let Some(existing) = self.state.store.get(resource.store, &key) {
            let terminating = !metadata::text(&existing.value(), "deletionTimestamp").is_empty();
            return Err(Refusal::already_exists(resource, &name, terminating));
        }
        metadata::set(&mut object, "resourceVersion", None);
        if self.call.dry_run {
            // As it would be read.
            if resource.custom {
                self.core.admission.default(resource, &mut object);
            }
            return Ok(Done { code: 201, body: bytes(&object) });
        }
        let stored = self.commit(&key, object);
        Ok(Done { code: 201, body: stored.raw.clone() })
    }

    pub(super) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let resource = self.call.resource;
        if resource.custom {
            let subresource = (!self.call.subresource.is_empty()).then_some(self.call.subresource);
            self.core.admission.validate(resource, subresource, object, old)
        } else if self.call.subresource.is_empty() {
            built_in::validate(resource, object, old)
        } else {
            Vec::new()
        }
    }

    pub(super) fn type_errors(&self, object: &Value) -> Vec<FieldError> {
        let resource = self.call.resource;
        let api_version = self.stored_api_version();
        let mut errors = Vec::new();
        for (field, must) in [("kind", resource.kind.as_str()), ("apiVersion", api_version.as_str())] {
            let is = object[field].as_str().unwrap_or_default();
            if is != must {
                errors.push(FieldError::invalid(field, is, &format!("must be {must}")));
            }
        }
        errors
    }

    pub(super) fn stored_api_version(&self) -> String {
        self.core.catalogue.of_store(self.call.resource.store).api_version()
    }

    pub(super) fn refuse_invalid(&self, name: &str, object: &Value, errors: &[FieldError]) -> Outcome<()> {
        if errors.is_empty() {
            return Ok(());
        }
        let resource = self.call.resource;
        let kind = object["kind"].as_str().unwrap_or(&resource.kind);
        // Events of either group are one internal kind, which belongs to the core group.
        let group = if kind == "Event" && !resource.custom { "" } else { &resource.group };
        Err(Refusal::invalid(group, kind, name, errors))
    }

    /// The namespace must exist, and nothing is created in one that is going away.
    pub(super) fn admit_namespace(&self, object: &Value) -> Outcome<()> {
        let resource = self.call.resource;
        if !resource.namespaced {
            return Ok(());
        }
        let namespaces = self.core.catalogue.namespaces();
        let Some(namespace) = self.state.store.get(namespaces.store, self.call.namespace) else {
            return Err(Refusal::not_found(namespaces, self.call.namespace));
        };
        let creating = metadata::text(object, "uid").is_empty() || self.call.name.is_empty();
        let exists = !self.call.name.is_empty()
            && self
                .state
                .store
                .get(resource.store, &key(resource, self.call.namespace, self.call.name))
                .is_some();
        if creating && !exists && namespace.field(0) == "Terminating" {
            let name = match (metadata::text(object, "name"), metadata::text(object, "generateName")) {
                ("", "") => "Unknown",
                ("", prefix) => prefix,
                (name, _) => name,
            };
            let mut refusal = Refusal::forbidden(
                resource,
                name,
                &format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    self.call.namespace
                ),
            );
            refusal.add_cause(json!({
                "reason": "NamespaceTerminating",
                "message": format!("namespace {} is being terminated", self.call.namespace),
                "field": "metadata.namespace",
            }));
            return Err(refusal);
        }
        Ok(())
    }

    /// Asks the policies.
    pub fn admit(
        &mut self,
        operation: Operation,
        name: &str,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Outcome<()> {
        let namespace_object = self
            .state
            .store
            .get(self.core.catalogue.namespaces().store, self.call.namespace)
            .filter(|_| self.call.resource.namespaced)
            .map(|stored| stored.value());
        let verdict = self.core.admission.admit(&AdmissionRequest {
            operation,
            resource: self.call.resource,
            subresource: (!self.call.subresource.is_empty()).then_some(self.call.subresource),
            namespace: self.call.namespace,
            name,
            actor: &self.call.actor,
            dry_run: self.call.dry_run,
            object,
            old_object: old,
            namespace_object: namespace_object.as_ref(),
            options: &self.call.options,
        });
        self.warnings.extend(verdict.warnings);
        // A request about a collection bears no name, and a server then says so.
        let collection = operation == Operation::Delete && self.call.name.is_empty();
        let name = if collection { "Unknown" } else { name };
        match verdict.denied {
            None => Ok(()),
            Some(no) => Err(Refusal::denied(self.call.resource, name, no.code, no.reason, &no.message)),
        }
    }

    pub(super) fn check_name(&self, object: &Value) -> Outcome<()> {
        let (is, url) = (metadata::text(object, "name"), self.call.name);
        if is.is_empty() {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({url} based on URL) was undeterminable: name must be provided"
            )));
        }
        if is != url {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({is}) does not match the name on the URL ({url})"
            )));
        }
        Ok(())
    }

    /// Stores the object as the new state of `key`.
    pub fn commit(&mut self, key: &str, mut object: Value) -> Arc<Stored> {
        let resource = self.call.resource;
        let mut defaulted = false;
        if resource.custom {
            // A server defaults when it reads; `status` defaults appear only now, after the write dropped it.
            let written = object.clone();
            self.core.admission.default(resource, &mut object);
            defaulted = written != object;
        }
        let owner = self.core.catalogue.of_store(resource.store);
        self.state.store.put(owner, key, &mut object, defaulted, &self.call.actor)
    }

    /// Removes `key` for good.
    pub fn remove(&mut self, key: &str) -> Option<Arc<Stored>> {
        let owner = self.core.catalogue.of_store(self.call.resource.store);
        self.state.store.delete(owner, key, &self.call.actor)
    }

    pub(super) fn random_suffix(&mut self) -> String {
        // Without vowels and look-alikes, as a server generates them.
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(ALPHABET[self.state.random.random_range(0..ALPHABET.len())])).collect()
    }
}

/// A reproducible uid: the seed names the run, the number the object.
pub(crate) fn uid(seed: u64, number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("kube-memory/{seed}/{number}").as_bytes())
}
