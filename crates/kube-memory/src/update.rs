//! PUT and PATCH: the optimistic lock, what each endpoint may change, generation, and the update that completes a
//! deletion. The order of the checks is that of `Store.Update` in `k8s.io/apiserver`.

use serde_json::{Value, json};

use super::admission::Operation;
use super::answer::{FieldError, Outcome, Refusal};
use super::built_in;
use super::built_in_schemas;
use super::managed_fields;
use super::metadata;
use super::names::NameRule;
use super::patch::{self, Change};
use super::resource::Resource;
use super::write::{Done, Transaction, bytes, key};

impl Transaction<'_> {
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
        // There is nothing a version could be compared with.
        metadata::set(&mut object, "resourceVersion", None);
        metadata::ensure_namespace(resource, self.call.namespace, &mut object)?;
        self.check_name(&object)?;
        self.admit_namespace(&object)?;
        self.insert(object)
    }

    fn applied(&mut self, config: &Value, old: Option<&Value>) -> Outcome<Value> {
        let resource = self.call.resource;
        managed_fields::check_type(resource, config)?;
        let mut known = config.clone();
        let mut unknown = metadata::normalise(&mut known, resource).unwrap_or_default();
        unknown.extend(if resource.custom {
            self.core.admission.prune(resource, &mut known)
        } else {
            built_in_schemas::prune(&resource.schema, &mut known)
        });
        let undeclared = |field| (field, "field not declared in schema".to_owned());
        let fault = unknown.into_iter().next().map(undeclared);
        patch::check_typed(self.call, config, fault.or_else(|| built_in::untyped(resource, config)))?;
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
        // Long gone, and taken off whatever is stored.
        metadata::set(new, "selfLink", None);
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
        self.refuse_invalid(self.call.name, new, &errors)?;
        if self.call.subresource.is_empty() {
            self.warnings.extend(metadata::finalizer_warnings(new, Some(old)));
        }
        Ok(())
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
