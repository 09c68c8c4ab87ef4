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
use super::metadata::NameRule;
use super::patch::{self, Change};
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

    fn writer(&self) -> Writer<'_> {
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
    fn insert(&mut self, mut object: Value) -> Outcome<Done> {
        let resource = self.call.resource;
        let name = metadata::text(&object, "name").to_owned();
        self.admit_namespace(&object)?;
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
        self.refuse_invalid(&name, &object, errors)?;
        self.warnings.extend(metadata::finalizer_warnings(&object, None));
        self.admit(Operation::Create, &name, Some(&object), None)?;
        let version = metadata::text(&object, "resourceVersion");
        if !version.is_empty() && version != "0" {
            return Err(Refusal::unknown("resourceVersion should not be set on objects to be created"));
        }
        let key = key(resource, self.call.namespace, &name);
        if let Some(existing) = self.state.store.get(resource.store, &key) {
            let terminating = !metadata::text(&existing.value(), "deletionTimestamp").is_empty();
            return Err(Refusal::already_exists(resource, &name, terminating));
        }
        if self.call.dry_run {
            return Ok(Done { code: 201, body: bytes(&object) });
        }
        let stored = self.commit(&key, object);
        Ok(Done { code: 201, body: stored.raw.clone() })
    }

    /// PUT and PATCH, of the object or of its status.
    pub fn update(&mut self, mut change: Change) -> Outcome<Done> {
        let (resource, name) = (self.call.resource, self.call.name);
        if let Change::Replace(object) = &mut change {
            self.decode_body(object)?;
            metadata::ensure_namespace(resource, self.call.namespace, object)?;
            self.check_name(object)?;
        }
        let key = key(resource, self.call.namespace, name);
        let Some(stored) = self.state.store.get(resource.store, &key).cloned() else {
            return self.create_by_update(change);
        };
        let old = stored.value();
        if let Change::Replace(object) = &change {
            let (sent, uid) = (metadata::text(object, "uid"), metadata::text(&old, "uid"));
            if !sent.is_empty() && sent != uid {
                return Err(Refusal::conflict(
                    resource,
                    name,
                    &format!(
                        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, UID in object meta: {uid}",
                        resource.etcd_key(&key)
                    ),
                ));
            }
        }
        let mut new = self.changed(change, &old)?;
        self.admit_namespace(&new)?;
        self.check_version(&mut new, &old)?;
        self.prepare_update(&mut new, &old);
        self.validate_update(&new, &old)?;
        managed_fields::ignore_times(&old, &mut new);
        self.admit(Operation::Update, name, Some(&new), Some(&old))?;
        if deletes(resource, &new, &old) {
            if !self.call.dry_run {
                self.remove(&key);
            }
            return Ok(Done { code: 200, body: bytes(&new) });
        }
        if new == old && !stored.defaulted_on_read {
            return Ok(Done { code: 200, body: stored.raw.clone() });
        }
        if self.call.dry_run {
            return Ok(Done { code: 200, body: bytes(&new) });
        }
        let stored = self.commit(&key, new);
        Ok(Done { code: 200, body: stored.raw.clone() })
    }

    /// A PUT or an apply of an object that is not there.
    fn create_by_update(&mut self, change: Change) -> Outcome<Done> {
        let (resource, name) = (self.call.resource, self.call.name);
        let missing = || Err(Refusal::not_found(resource, name));
        if !self.call.subresource.is_empty() {
            return missing();
        }
        let mut object = match change {
            Change::Replace(_) if !resource.create_on_update => return missing(),
            Change::Replace(mut object) => {
                if self.core.managed_fields {
                    managed_fields::update(resource, None, &mut object, self.writer());
                }
                object
            }
            Change::Apply(config) => {
                let mut object = self.applied(&config, None)?;
                self.decode_patched(&mut object)?;
                object
            }
            Change::Merge(_) | Change::Json(_) => return missing(),
        };
        let uid = metadata::text(&object, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Refusal::conflict(resource, name, &why));
        }
        metadata::ensure_namespace(resource, self.call.namespace, &mut object)?;
        self.check_name(&object)?;
        self.insert(object)
    }

    fn applied(&mut self, config: &Value, old: Option<&Value>) -> Outcome<Value> {
        if self.call.resource.custom {
            let mut known = config.clone();
            let unknown = self.core.admission.prune(self.call.resource, &mut known);
            patch::check_declared(self.call, &unknown)?;
        }
        let mut object =
            managed_fields::apply(self.call.resource, old, config, self.writer(), self.call.force)?;
        if !self.core.managed_fields {
            metadata::set(&mut object, "managedFields", None);
        }
        Ok(object)
    }

    /// The object after the change, decoded, its fields booked to the writer.
    fn changed(&mut self, change: Change, old: &Value) -> Outcome<Value> {
        let resource = self.call.resource;
        // A core event is patched in the shape its client knows.
        let shown = |object: &Value| {
            let mut object = object.clone();
            if resource.core_event {
                super::resource::event_to_core(&mut object);
            }
            object
        };
        let stored = |mut object: Value| {
            if resource.core_event {
                super::resource::event_from_core(&mut object);
            }
            object
        };
        let mut new = match change {
            // Decoded and checked before the object was looked up, as a server does it.
            Change::Replace(object) => return Ok(self.booked(object, old)),
            Change::Merge(patch) => stored(patch::merge(shown(old), &patch)),
            Change::Json(operations) => stored(patch::json(shown(old), &operations)?),
            Change::Apply(config) => {
                let mut new = stored(self.applied(&config, Some(&shown(old)))?);
                self.decode_patched(&mut new)?;
                self.check_identity(&mut new)?;
                return Ok(new);
            }
        };
        self.decode_patched(&mut new)?;
        self.check_identity(&mut new)?;
        Ok(self.booked(new, old))
    }

    fn booked(&self, mut new: Value, old: &Value) -> Value {
        let resource = self.call.resource;
        if self.core.managed_fields {
            managed_fields::update(resource, Some(old), &mut new, self.writer());
        } else {
            metadata::set(&mut new, "managedFields", None);
        }
        new
    }

    fn check_identity(&self, new: &mut Value) -> Outcome<()> {
        metadata::ensure_namespace(self.call.resource, self.call.namespace, new)?;
        self.check_name(new)
    }

    /// The optimistic lock.
    fn check_version(&self, new: &mut Value, old: &Value) -> Outcome<()> {
        let (resource, name) = (self.call.resource, self.call.name);
        let sent = metadata::text(new, "resourceVersion");
        let version: u64 = if sent.is_empty() {
            0
        } else {
            sent.parse().map_err(|_| {
                Refusal::unknown(format!("strconv.ParseUint: parsing \"{sent}\": invalid syntax"))
            })?
        };
        let current = metadata::text(old, "resourceVersion");
        if version == 0 {
            if !resource.unconditional_update {
                let error =
                    FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
                return Err(Refusal::invalid(&resource.group, &resource.plural, name, &[error]));
            }
            metadata::set(new, "resourceVersion", Some(json!(current)));
        } else if version.to_string() != current {
            return Err(Refusal::stale(resource, name));
        }
        Ok(())
    }

    /// What the endpoint may not change is put back; the generation follows what is left.
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let resource = self.call.resource;
        let restored = |new: &mut Value, field: &str, value: Option<Value>| match (value, new.as_object_mut())
        {
            (Some(value), Some(map)) => {
                map.insert(field.to_owned(), value);
            }
            (None, Some(map)) => {
                map.remove(field);
            }
            (_, None) => {}
        };
        metadata::set(new, "generation", old["metadata"].get("generation").cloned());
        if self.call.subresource == "status" {
            let status = new.get("status").cloned();
            let managed = new["metadata"].get("managedFields").cloned();
            *new = old.clone();
            restored(new, "status", status);
            metadata::set(new, "managedFields", managed);
        } else if resource.custom {
            if resource.has_status {
                restored(new, "status", old.get("status").cloned());
            }
            if !same_but_metadata(new, old) {
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
                metadata::set(new, "generation", Some(json!(generation + 1)));
            }
        } else {
            built_in::prepare(resource, new, Some(old));
        }
        let keep = |field: &str| old["metadata"].get(field).cloned();
        if metadata::text(new, "uid").is_empty() {
            metadata::set(new, "uid", keep("uid"));
        }
        metadata::set(new, "creationTimestamp", keep("creationTimestamp"));
        if keep("deletionTimestamp").is_some() {
            metadata::set(new, "deletionTimestamp", keep("deletionTimestamp"));
        }
        if keep("deletionGracePeriodSeconds").is_some()
            && new["metadata"]["deletionGracePeriodSeconds"].is_null()
        {
            metadata::set(new, "deletionGracePeriodSeconds", keep("deletionGracePeriodSeconds"));
        }
    }

    fn validate_update(&mut self, new: &Value, old: &Value) -> Outcome<()> {
        let resource = self.call.resource;
        // A server runs the common checks and then the kind's own, which repeat them: the causes come twice.
        let mut errors = metadata::validate(resource, NameRule::PathSegment, new);
        errors.extend(metadata::validate_update(new, old));
        let types = self.type_errors(new);
        if types.is_empty() {
            errors.extend(metadata::validate_update(new, old));
            errors.extend(self.validate(new, Some(old)));
        } else {
            errors.extend(types);
        }
        self.refuse_invalid(self.call.name, new, errors)?;
        if self.call.subresource.is_empty() {
            self.warnings.extend(metadata::finalizer_warnings(new, Some(old)));
        }
        Ok(())
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
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

    fn type_errors(&self, object: &Value) -> Vec<FieldError> {
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

    fn stored_api_version(&self) -> String {
        self.core.catalogue.of_store(self.call.resource.store).api_version()
    }

    fn refuse_invalid(&self, name: &str, object: &Value, errors: Vec<FieldError>) -> Outcome<()> {
        if errors.is_empty() {
            return Ok(());
        }
        let kind = object["kind"].as_str().unwrap_or(&self.call.resource.kind);
        Err(Refusal::invalid(&self.call.resource.group, kind, name, &errors))
    }

    /// The namespace must exist, and nothing is created in one that is going away.
    fn admit_namespace(&self, object: &Value) -> Outcome<()> {
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
        match verdict.denied {
            None => Ok(()),
            Some(no) => Err(Refusal::denied(self.call.resource, name, no.code, no.reason, &no.message)),
        }
    }

    fn check_name(&self, object: &Value) -> Outcome<()> {
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

    fn random_suffix(&mut self) -> String {
        // Without vowels and look-alikes, as a server generates them.
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(ALPHABET[self.state.random.random_range(0..ALPHABET.len())])).collect()
    }
}

fn same_but_metadata(a: &Value, b: &Value) -> bool {
    let rest = |v: &Value| -> Vec<(String, Value)> {
        let fields = v.as_object().into_iter().flatten().filter(|(k, _)| *k != "metadata");
        fields.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    rest(a) == rest(b)
}

/// Whether an update that took the last finalizer off completes a deletion.
fn deletes(resource: &Resource, new: &Value, old: &Value) -> bool {
    let spec_finalizers = || new["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    metadata::finalizers(new).is_empty()
        && !metadata::text(old, "deletionTimestamp").is_empty()
        && old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !(resource.kind == "Namespace" && !resource.custom && spec_finalizers())
}

/// A reproducible uid: the seed names the run, the number the object.
pub(crate) fn uid(seed: u64, number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("postlink-memory-api/{seed}/{number}").as_bytes())
}
