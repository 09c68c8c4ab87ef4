//! PUT and PATCH: the optimistic lock, what each endpoint may change, generation, and the update that completes a
//! deletion. The order of the checks is that of `Store.Update` in `k8s.io/apiserver`.

use serde_json::{Value, json};

use crate::admission::Operation;
use crate::built_in;
use crate::built_in_schemas;
use crate::field_error::FieldError;
use crate::managed_fields;
use crate::metadata;
use crate::names::NameRule;
use crate::patch::{self, Change};
use crate::resource::{self, Resource};
use crate::status::{ApiResult, StatusError};
use crate::store::to_bytes;
use crate::transaction::{Transaction, WriteRequest, WriteResponse};

impl Transaction<'_> {
    /// PUT and PATCH, of the object or of its status.
    pub fn update(&mut self, mut change: Change) -> ApiResult<WriteResponse> {
        let (resource, name) = (self.request.resource, self.request.name);
        if let Change::Replace(object) = &mut change {
            self.decode_body(object)?;
            metadata::ensure_namespace(resource, self.request.namespace, object)?;
            self.check_name(object)?;
        }
        let key = resource.key(self.request.namespace, name);
        let Some(stored) = self.state.store.get(resource.store, &key).cloned() else {
            return self.create_by_update(change);
        };
        let old = stored.value();
        if let Change::Replace(object) = &change {
            let (sent, uid) = (metadata::text(object, "uid"), metadata::text(&old, "uid"));
            if !sent.is_empty() && sent != uid {
                return Err(StatusError::conflict(
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
        self.check_namespace(&new)?;
        self.check_version(&mut new, &old)?;
        self.prepare_update(&mut new, &old);
        self.validate_update(&new, &old)?;
        managed_fields::ignore_times(&old, &mut new);
        self.admit(Operation::Update, name, Some(&new), Some(&old))?;
        if deletes(resource, &new, &old) {
            if !self.request.dry_run {
                self.remove(&key);
            }
            return Ok(WriteResponse { code: 200, body: to_bytes(&new) });
        }
        if new == old && !stored.defaulted_on_read {
            return Ok(WriteResponse { code: 200, body: stored.raw.clone() });
        }
        if self.request.dry_run {
            return Ok(WriteResponse { code: 200, body: to_bytes(&new) });
        }
        let stored = self.commit(&key, new);
        Ok(WriteResponse { code: 200, body: stored.raw.clone() })
    }

    /// A PUT or an apply of an object that does not exist.
    fn create_by_update(&mut self, change: Change) -> ApiResult<WriteResponse> {
        let (resource, name) = (self.request.resource, self.request.name);
        let missing = || Err(StatusError::not_found(resource, name));
        if !self.request.subresource.is_empty() {
            return missing();
        }
        let mut object = match change {
            Change::Replace(_) if !resource.create_on_update => return missing(),
            Change::Replace(mut object) => {
                if self.server.managed_fields {
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
            return Err(StatusError::conflict(resource, name, &why));
        }
        // There is no version to compare with.
        metadata::set(&mut object, "resourceVersion", None);
        metadata::ensure_namespace(resource, self.request.namespace, &mut object)?;
        self.check_name(&object)?;
        self.check_namespace(&object)?;
        self.insert(object)
    }

    fn applied(&mut self, config: &Value, old: Option<&Value>) -> ApiResult<Value> {
        let resource = self.request.resource;
        managed_fields::check_type(resource, config)?;
        let mut known = config.clone();
        let mut unknown = metadata::normalize(&mut known, resource).unwrap_or_default();
        unknown.extend(if resource.custom {
            self.server.admission.prune(resource, &mut known)
        } else {
            built_in_schemas::prune(&resource.schema, &mut known)
        });
        let undeclared = |field| (field, "field not declared in schema".to_owned());
        let problem = unknown.into_iter().next().map(undeclared);
        check_typed(self.request, config, problem.or_else(|| built_in::untyped(resource, config)))?;
        let mut object =
            managed_fields::apply(self.request.resource, old, config, self.writer(), self.request.force)?;
        if !self.server.managed_fields {
            metadata::set(&mut object, "managedFields", None);
        }
        Ok(object)
    }

    /// The object after the change: decoded, and its managed fields updated for the writer.
    fn changed(&mut self, change: Change, old: &Value) -> ApiResult<Value> {
        let resource = self.request.resource;
        // A core event is patched in the shape of the core group, which its client knows.
        let shown = |object: &Value| {
            let mut object = object.clone();
            if resource.core_event {
                resource::event_to_core(&mut object);
            }
            object
        };
        let stored = |mut object: Value| {
            if resource.core_event {
                resource::event_from_core(&mut object);
            }
            object
        };
        let mut new = match change {
            // Already decoded and checked: a server does so before it looks the object up.
            Change::Replace(object) => return Ok(self.with_managed_fields(object, old)),
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
        Ok(self.with_managed_fields(new, old))
    }

    fn with_managed_fields(&self, mut new: Value, old: &Value) -> Value {
        let resource = self.request.resource;
        if self.server.managed_fields {
            managed_fields::update(resource, Some(old), &mut new, self.writer());
        } else {
            metadata::set(&mut new, "managedFields", None);
        }
        new
    }

    fn check_identity(&self, new: &mut Value) -> ApiResult<()> {
        metadata::ensure_namespace(self.request.resource, self.request.namespace, new)?;
        self.check_name(new)
    }

    /// The optimistic lock: a resourceVersion in the request must be the current one.
    fn check_version(&self, new: &mut Value, old: &Value) -> ApiResult<()> {
        let (resource, name) = (self.request.resource, self.request.name);
        let sent = metadata::text(new, "resourceVersion");
        let version: u64 = if sent.is_empty() {
            0
        } else {
            sent.parse().map_err(|_| {
                StatusError::unknown(format!("strconv.ParseUint: parsing \"{sent}\": invalid syntax"))
            })?
        };
        let current = metadata::text(old, "resourceVersion");
        if version == 0 {
            if !resource.unconditional_update {
                let error =
                    FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
                return Err(StatusError::invalid(&resource.group, &resource.plural, name, &[error]));
            }
            metadata::set(new, "resourceVersion", Some(json!(current)));
        } else if version.to_string() != current {
            return Err(StatusError::stale(resource, name));
        }
        Ok(())
    }

    /// Restores what the endpoint may not change, and sets the generation.
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let resource = self.request.resource;
        let restore = |new: &mut Value, field: &str, value: Option<Value>| match (value, new.as_object_mut())
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
        if self.request.subresource == "status" {
            let status = new.get("status").cloned();
            let managed = new["metadata"].get("managedFields").cloned();
            *new = old.clone();
            restore(new, "status", status);
            metadata::set(new, "managedFields", managed);
        } else if resource.custom {
            if resource.has_status {
                restore(new, "status", old.get("status").cloned());
            }
            if !same_apart_from_metadata(new, old) {
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
                metadata::set(new, "generation", Some(json!(generation + 1)));
            }
        } else {
            built_in::prepare(resource, new, Some(old));
        }
        // No longer part of the API; removed from every write.
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

    fn validate_update(&mut self, new: &Value, old: &Value) -> ApiResult<()> {
        let resource = self.request.resource;
        // A server runs the common checks and then the checks of the kind, which repeat them: every cause appears twice.
        let mut errors = metadata::validate(resource, NameRule::PathSegment, new);
        errors.extend(metadata::validate_update(new, old));
        let types = self.type_errors(new);
        if types.is_empty() {
            errors.extend(metadata::validate_update(new, old));
            errors.extend(self.validate(new, Some(old)));
        } else {
            errors.extend(types);
        }
        self.check_valid(self.request.name, new, &errors)?;
        if self.request.subresource.is_empty() {
            self.warnings.extend(metadata::finalizer_warnings(new, Some(old)));
        }
        Ok(())
    }
}

fn same_apart_from_metadata(a: &Value, b: &Value) -> bool {
    let rest = |v: &Value| -> Vec<(String, Value)> {
        let fields = v.as_object().into_iter().flatten().filter(|(k, _)| *k != "metadata");
        fields.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    rest(a) == rest(b)
}

/// Whether an update that removed the last finalizer completes a deletion.
fn deletes(resource: &Resource, new: &Value, old: &Value) -> bool {
    let spec_finalizers = || new["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    metadata::finalizers(new).is_empty()
        && !metadata::text(old, "deletionTimestamp").is_empty()
        && old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !(resource.kind == "Namespace" && !resource.custom && spec_finalizers())
}

/// Rejects an apply patch that does not fit its type. `problem` is the first field that does not fit, and why.
fn check_typed(
    request: &WriteRequest<'_>,
    config: &Value,
    problem: Option<(String, String)>,
) -> ApiResult<()> {
    let Some((field, why)) = problem else { return Ok(()) };
    let version = request.resource.api_version();
    // The empty name of the core group keeps its slash.
    let slash = if version.contains('/') { "" } else { "/" };
    // A real server answers 500 without a reason here.
    Err(StatusError::unknown(format!(
        "failed to create typed patch object ({}/{}; {slash}{version}, Kind={}): .{field}: {why}",
        metadata::text(config, "namespace"),
        metadata::text(config, "name"),
        request.resource.kind
    )))
}
